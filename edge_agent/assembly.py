"""An agent put together from its configuration: manifest, memory, one poller a link. Opens nothing and
starts nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from device_profiles.clock import Clock
from device_profiles.ledger import Ledger
from device_profiles.manifests import DeviceEntry, Manifest, SeriesEntry, make_manifest
from device_profiles.profiles import Point
from device_profiles.spans import compile_span
from edge_agent.bus import Bus
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.links import Link, LinkTarget, make_link
from edge_agent.outbox import Outbox
from edge_agent.plan import Span, shorter_reads
from edge_agent.poller import Job, LinkPoller, PolledUnit
from edge_agent.questions import Question
from edge_agent.reporting import SpanReport

Aliases = Mapping[tuple[str, str], int]
"""(device, point) to the series' number in the manifest."""


class Agent(msgspec.Struct):
    """One pole's agent, not yet running."""

    config: AgentConfig
    manifest: Manifest
    ledger: Ledger
    outbox: Outbox
    pollers: list[LinkPoller]


def longest_silence(point: Point, device: DeviceConfig, period: float) -> float:
    """Seconds that may lie between two reports of a point: its report period, in whole polls."""
    report = device.report if device.report is not None else point.report
    return max(1, math.ceil(report / period - 1e-9)) * period


def _period(device: DeviceConfig, point: Point, spans: list[Span]) -> float | None:
    """Seconds between two polls of a point in this plan; None when nothing reads it."""
    return min((span.period for span in spans if span.covers(point)), default=None)


def build_manifest(config: AgentConfig) -> Manifest:
    """What the aliases of this agent's batches stand for: every point that its plans read."""
    devices: list[DeviceEntry] = []
    series: list[SeriesEntry] = []
    for index, device in enumerate(config.devices):
        profile = device.profile
        title = device.title or profile.title
        devices.append(DeviceEntry(device.name, device.code, title, profile.domain, profile.model, profile.version))
        spans = device.spans()
        for point in device.read_points:
            period = _period(device, point, spans)
            if period is None:
                continue
            kind = "text" if point.text else "number"
            silence = longest_silence(point, device, period)
            series.append(SeriesEntry(index, point.name, point.title, point.quantity, point.unit, kind, silence))
    return make_manifest(config.origin, devices, series)


def questions_of(device: DeviceConfig, link: LinkConfig) -> list[tuple[Span, Question]]:
    """Each span of a unit as a question, with those that quarantine may ask instead: short reads, then the
    other spans."""
    modbus = device.profile.modbus
    points = device.read_points
    timeout = max(link.timeout, modbus.timeout_ms / 1000)
    spans = device.spans()

    def question(span: Span, readings: int) -> Question:
        late = modbus.late_ms / 1000
        return Question(unit=device.unit, read=span.read, readings=readings, timeout=timeout, late=late)

    plain = [question(span, sum(map(span.covers, points))) for span in spans]
    short = [question(span, readings) for span, readings in shorter_reads(spans, points)]
    instead = (*short, *plain)
    return [(span, msgspec.structs.replace(asked, instead=instead)) for span, asked in zip(spans, plain, strict=True)]


def build_jobs(device: DeviceConfig, link: LinkConfig, aliases: Aliases) -> list[Job]:
    """What the poller of the link does for one unit."""
    unit = PolledUnit(device.name, device.unit)
    jobs: list[Job] = []
    planned = questions_of(device, link)
    for place, (span, question) in enumerate(planned):
        decoder = compile_span(device.read_points, span.table, span.start, span.count)
        faster = [other for other, _ in planned[:place]]
        own = [i for i, point in enumerate(decoder.points) if not any(other.covers(point) for other in faster)]
        points = [decoder.points[i] for i in own]
        report = SpanReport(
            own,
            points,
            [aliases[device.name, point.name] for point in points],
            [device.deadbands.get(point.name, point.deadband) for point in points],
            [longest_silence(point, device, span.period) for point in points],
            span.period,
            passing=len(decoder.points) - len(own),
        )
        jobs.append(Job(unit, question, span.period, decoder, report))
    return jobs


def assemble(
    config: AgentConfig, clock: Clock, epoch: int, open_link: Callable[[LinkTarget], Link] = make_link
) -> Agent:
    """Put an agent together; `open_link` makes the byte pipes."""
    manifest = build_manifest(config)
    names = [device.name for device in manifest.devices]
    aliases = {(names[entry.device], entry.point): alias for alias, entry in enumerate(manifest.series)}
    owners = [names[entry.device] for entry in manifest.series]
    ledger = Ledger()
    outbox = Outbox(config.origin, epoch, manifest.id, ledger, owners.__getitem__, config.batch_readings)
    pollers: list[LinkPoller] = []
    for link in config.links:
        jobs = [
            job for device in config.devices if device.link == link.name for job in build_jobs(device, link, aliases)
        ]
        bus = Bus(open_link(link.target), clock, ledger, link.retries)
        pollers.append(LinkPoller(link.name, bus, jobs, clock, ledger, outbox))
    return Agent(config, manifest, ledger, outbox, pollers)
