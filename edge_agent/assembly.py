"""An agent put together from its configuration: manifest, memory, one poller a link. Opens nothing and
starts nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from device_profiles.clock import Clock
from device_profiles.codecs.modbus_pdu import Read, Request
from device_profiles.ledger import Ledger
from device_profiles.manifests import DeviceEntry, Manifest, SeriesEntry, make_manifest
from device_profiles.profiles import BusMap, ModbusMap, Point
from device_profiles.reads import PlannedRead
from device_profiles.steps import request_of
from edge_agent.agenda import Job, PolledUnit
from edge_agent.bus import Bus
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.links import Link, LinkTarget, make_link
from edge_agent.outbox import Outbox
from edge_agent.own_readings import OwnReadings, own_device, own_series
from edge_agent.poller import LinkPoller
from edge_agent.polls import Poll, ascii_request, polls_of, resync_reads
from edge_agent.questions import Question
from edge_agent.reporting import SpanReport
from edge_agent.sequences import Cycle, Routine

Aliases = Mapping[tuple[str, str], int]
"""(device, point) to the series' number in the manifest."""


class Agent(msgspec.Struct):
    """One pole's agent, not yet running."""

    config: AgentConfig
    manifest: Manifest
    ledger: Ledger
    outbox: Outbox
    pollers: list[LinkPoller]
    own: OwnReadings


def longest_silence(point: Point, device: DeviceConfig, period: float) -> float:
    """Seconds that may lie between two reports of a point: its report period, in whole polls."""
    report = device.report if device.report is not None else point.report
    return max(1, math.ceil(report / period - 1e-9)) * period


def _period(point: Point, polls: list[Poll]) -> float | None:
    """Seconds between two polls of a point in this plan; None when nothing reads it."""
    return min((poll.period for poll in polls if any(read.name == point.name for read in poll.points)), default=None)


def build_manifest(config: AgentConfig, before: Manifest | None = None) -> Manifest:
    """What the aliases of this agent's batches stand for: every point that its plans read, and what it says of itself.

    `before`: the manifest in use. Its series keep their numbers, also those that are not read any more, and what is
    new comes behind them: so what was read and not yet sent still means the same.
    """
    devices = list(before.devices) if before else []
    series = list(before.series) if before else []
    for entry, series_at in _announced(config):
        if entry not in devices:
            devices.append(entry)
        series += [new for new in series_at(devices.index(entry)) if new not in series]
    return make_manifest(config.origin, devices, series)


def _announced(config: AgentConfig) -> list[tuple[DeviceEntry, Callable[[int], list[SeriesEntry]]]]:
    """Each device as the manifest has it, and its series when it has that index there; the agent itself comes last."""
    found: list[tuple[DeviceEntry, Callable[[int], list[SeriesEntry]]]] = []
    for device in config.devices:
        profile = device.profile
        title = device.title or profile.title
        entry = DeviceEntry(device.name, device.code, title, profile.domain, profile.model, profile.version)
        found.append((entry, partial(_series_of, device)))
    if config.own_readings and config.links:
        found.append((own_device(config), partial(own_series, config)))
    return found


def _series_of(device: DeviceConfig, index: int) -> list[SeriesEntry]:
    """The series of one device, which is the manifest's `index`-th."""
    polls = polls_of(device)
    found = []
    for point in device.read_points:
        period = _period(point, polls)
        if period is None:
            continue
        kind = "text" if point.text else "number"
        silence = longest_silence(point, device, period)
        found.append(SeriesEntry(index, point.name, point.title, point.quantity, point.unit, kind, silence))
    return found


def aliases_of(config: AgentConfig, manifest: Manifest) -> Aliases:
    """The number of every series of the configuration, by (device, point)."""
    numbers = {msgspec.json.encode(entry): alias for alias, entry in enumerate(manifest.series)}
    places = {msgspec.json.encode(entry): index for index, entry in enumerate(manifest.devices)}
    found: dict[tuple[str, str], int] = {}
    for entry, series_at in _announced(config):
        for series in series_at(places[msgspec.json.encode(entry)]):
            found[entry.name, series.point] = numbers[msgspec.json.encode(series)]
    return found


def questions_of(device: DeviceConfig, link: LinkConfig) -> list[tuple[Poll, Question]]:
    """Each read of a unit's plan as a question, with those that quarantine may ask instead: short reads, then the
    others."""
    manners = device.profile.map
    assert isinstance(manners, BusMap)
    timeout, late = max(link.timeout, manners.timeout_ms / 1000), manners.late_ms / 1000

    def question(read: Read | PlannedRead, readings: int) -> Question:
        return Question(
            unit=device.unit, read=read, readings=readings, timeout=timeout, late=late, line=device.line
        )

    polls = polls_of(device)
    plain = [question(poll.read, len(poll.points)) for poll in polls]
    short = [question(read, readings) for read, readings in resync_reads(device)]
    instead = (*short, *(plain if device.profile.protocol == "modbus" else ()))
    return [(poll, msgspec.structs.replace(asked, instead=instead)) for poll, asked in zip(polls, plain, strict=True)]


def routine_of(device: DeviceConfig, link: LinkConfig) -> Routine | None:
    """The unit's sequence as questions; None for one that always measures."""
    manners = device.profile.map
    if not isinstance(manners, ModbusMap) or manners.sequence is None:
        return None
    timeout, late = max(link.timeout, manners.timeout_ms / 1000), manners.late_ms / 1000

    def question(request: Request) -> Question:
        read: Request | PlannedRead = ascii_request(device, request) if device.framing == "ascii" else request
        return Question(unit=device.unit, read=read, readings=0, timeout=timeout, late=late, line=device.line)

    sequence = manners.sequence
    start, stop = (tuple(question(request_of(step)) for step in steps) for steps in (sequence.start, sequence.stop))
    return Routine(start, sequence.wait_s, stop)


def build_jobs(device: DeviceConfig, link: LinkConfig, aliases: Aliases) -> list[Job]:
    """What the poller of the link does for one unit."""
    unit = PolledUnit(device.name, device.unit)
    jobs: list[Job] = []
    for poll, question in questions_of(device, link):
        points = [poll.points[i] for i in poll.own]
        report = SpanReport(
            poll.own,
            points,
            [aliases[device.name, point.name] for point in points],
            [device.deadbands.get(point.name, point.deadband) for point in points],
            [longest_silence(point, device, poll.period) for point in points],
            poll.period,
            passing=len(poll.points) - len(poll.own),
        )
        jobs.append(Job(unit, question, poll.period, poll.decoder, report))
    return jobs


def protocols_on(config: AgentConfig, link: LinkConfig) -> tuple[str, ...]:
    """What the units of a link speak (questions.LineFraming); "modbus" where there is none yet."""
    spoken = {device.spoken: None for device in config.devices if device.link == link.name}
    return tuple(spoken) or ("modbus",)


def owners_of(manifest: Manifest) -> list[str]:
    """The device of each series, by alias."""
    names = [device.name for device in manifest.devices]
    return [names[entry.device] for entry in manifest.series]


def build_poller(
    config: AgentConfig,
    link: LinkConfig,
    aliases: Aliases,
    clock: Clock,
    outbox: Outbox,
    open_link: Callable[[LinkTarget], Link],
    own: OwnReadings,
) -> LinkPoller:
    """What polls the units of one link."""
    ledger = outbox.ledger
    devices = [device for device in config.devices if device.link == link.name]
    jobs: list[Job] = []
    cycles: list[Cycle] = []
    for device in devices:
        asked = build_jobs(device, link, aliases)
        jobs += asked
        routine = routine_of(device, link)
        if routine is not None and asked:
            cycles.append(Cycle(asked, routine))
    usage = own.usage_of(link.name, devices)
    bus = Bus(open_link(link.target), clock, ledger, link.retries, protocols=protocols_on(config, link), usage=usage)
    return LinkPoller(link.name, bus, jobs, clock, ledger, outbox, cycles)


def assemble(
    config: AgentConfig, clock: Clock, epoch: int, open_link: Callable[[LinkTarget], Link] = make_link
) -> Agent:
    """Put an agent together; `open_link` makes the byte pipes."""
    manifest = build_manifest(config)
    aliases, ledger = aliases_of(config, manifest), Ledger()
    outbox = Outbox(config.origin, epoch, manifest.id, ledger, owners_of(manifest), config.batch_readings)
    own = OwnReadings(config, aliases, outbox, clock)
    pollers = [build_poller(config, link, aliases, clock, outbox, open_link, own) for link in config.links]
    return Agent(config, manifest, ledger, outbox, pollers, own)
