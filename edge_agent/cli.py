"""``kuimen agent``: run it, check its site file, read one device, look who is on a line, follow it, read
its ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from device_profiles.ledger import Ledger
from device_profiles.loader import load_library
from device_profiles.maps.points import BAUDS
from device_profiles.problems import ConfigError, nearest
from device_profiles.profiles import LineSettings
from edge_agent.clock import SystemClock
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig, load_config
from edge_agent.links import line_of
from edge_agent.loads import link_loads
from edge_agent.precise_loop import run as run_precisely

if TYPE_CHECKING:
    from edge_agent.search import Way  # a running agent searches nothing

SITE = click.argument("site", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Data as JSON on stdout.")

#: How meters leave the factory (DL/T 645-2007, 4.2; CJ/T 188).
METER_LINE = LineSettings(2400, "E")


class Refusal(Exception):
    """The answer is no, in a sentence for the operator; exit 1."""


def tells(verb: Callable[..., None]) -> Callable[..., None]:
    """Print an operator's mistakes, all of them, without a traceback; exit 1."""

    @wraps(verb)
    def told(*args: Any, **kwargs: Any) -> None:
        try:
            verb(*args, **kwargs)
        except (ConfigError, Refusal) as no:
            print(no, file=sys.stderr)
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return told


@click.group()
def cli() -> None:
    """We call the device: poll units over the pole's wires."""


@cli.command()
@SITE
@tells
def run(site: Path) -> None:
    """Run the agent of SITE until SIGTERM or Ctrl-C; then hand over what is left and leave."""
    from edge_agent import service

    config = load_config(site)

    async def main() -> None:
        await service.run(config, SystemClock(), _stop_on_signals())

    run_precisely(main())


def _stop_on_signals() -> asyncio.Event:
    """An event set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    return stop


@cli.command()
@SITE
@click.option("--connect", is_flag=True, help="Also open the links and ask every unit once.")
@JSON
@tells
def check(site: Path, connect: bool, as_json: bool) -> None:
    """Check what SITE says about its links and devices; with --connect on the real wires."""
    config = load_config(site)
    units = asyncio.run(_collect(_check_units(config))) if connect else []
    loads = link_loads(config)
    if as_json:
        _print_json({"site": config.site, "links": loads, "units": units if connect else None})
    else:
        print(f"{config.site}: {len(config.devices)} devices on {len(config.links)} links, gateway at {config.gateway}")
        for load in loads:
            print("{link:12} {units:3} units {reads:4} reads {readings_s:8.1f} readings/s".format(**load), end="")
            print(" {busy:6.1%} busy, a cycle takes {cycle_s:.2f} s  {url}".format(**load))
        for warning in (line for load in loads for line in load["warnings"]):
            print(f"warning: {warning}", file=sys.stderr)
        for row in units:
            print("{link:12} unit {unit:3}  {device:20} {said}".format(said=row["trouble"] or "answers", **row))
    if any(row["trouble"] for row in units):
        raise SystemExit(1)


def _check_units(config: AgentConfig) -> AsyncIterator[dict[str, Any]]:
    from edge_agent.visits import check_units

    return check_units(config, SystemClock())


async def _collect(rows: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row async for row in rows]


@cli.command()
@SITE
@click.argument("device")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Write a transcript of the exchange.")
@JSON
@tells
def read(site: Path, device: str, save: Path | None, as_json: bool) -> None:
    """Poll DEVICE of SITE once: bytes, value, unit and quality of each point. The agent must not hold the
    link."""
    from edge_agent.assembly import protocols_on
    from edge_agent.transcripts import Tape, title_of, transcript
    from edge_agent.visits import LinkTrouble, open_bus, read_device

    config = load_config(site)
    target = _device(config, device)
    link = _link(config, target.link)
    tape = Tape()

    async def visit() -> list[Any]:
        async with open_bus(link, SystemClock(), tape, protocols_on(config, link)) as bus:
            return list(await read_device(bus, target, link))

    try:
        rows = run_precisely(visit())
    except LinkTrouble as trouble:
        raise Refusal(f"{link.name} is down: {trouble}") from None
    if save is not None:
        save.write_text(transcript(title_of(target, link), tape.clear()), encoding="utf-8")
    if as_json:
        _print_json({"device": target.name, "profile": target.profile.model, "points": rows})
    else:
        for row in rows:
            shown = "-" if row.value is None else f"{row.value:g}" if isinstance(row.value, float) else row.value
            print(f"{row.point:24} {row.hex:24} {shown:>14} {row.unit:10} {row.quality:9} {row.reason}".rstrip())
    if not any(row.quality != "bad" for row in rows):
        raise SystemExit(1)


def _device(config: AgentConfig, name: str) -> DeviceConfig:
    for device in config.devices:
        if device.name == name:
            return device
    hint = nearest(name, [device.name for device in config.devices])
    raise Refusal(f"the site has no device {name!r}" + (f" ({hint})" if hint else ""))


def _link(config: AgentConfig, name: str) -> LinkConfig:
    for link in config.links:
        if link.name == name:
            return link
    hint = nearest(name, [link.name for link in config.links])
    raise Refusal(f"the site has no link {name!r}" + (f" ({hint})" if hint else ""))


class Units(click.ParamType[list[int]]):
    """Unit addresses: `7`, `1-32`, `1-8,30`."""

    name = "units"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """A sorted list; click's own error when it is none."""
        found: set[int] = set()
        for part in str(value).split(","):
            first, _, last = part.partition("-")
            if not first.strip().isdigit() or not (last or first).strip().isdigit():
                self.fail(f"{part!r} is no unit or range of units", param, ctx)
            found |= set(range(int(first), int(last or first) + 1))
        if not found or not found <= set(range(1, 248)):
            self.fail("units are 1 to 247", param, ctx)
        return sorted(found)


class Lines(click.ParamType[list[LineSettings]]):
    """Speeds: `9600`, `2400E`, `9600N,4800N,2400E`; without a letter N, at 2400 baud and below E."""

    name = "bauds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[LineSettings]:
        """In the order given; click's own error when one is none."""
        found = []
        for part in str(value).upper().split(","):
            digits = part.strip().rstrip("NEO")
            if not digits.isdigit() or int(digits) not in BAUDS or len(part.strip()) > len(digits) + 1:
                self.fail(f"{part!r} is no speed: 9600, or 2400E", param, ctx)
            parity = part.strip()[len(digits) :] or ("E" if int(digits) <= 2400 else "N")
            found.append(LineSettings(int(digits), parity))
        return found


class Protocols(click.ParamType[list[str]]):
    """Protocols that a scan knows, with commas."""

    name = "protocols"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """In the order given; click's own error when one is none."""
        from edge_agent.search import SEARCHED

        found = [part.strip() for part in str(value).split(",")]
        for part in found:
            if part not in SEARCHED:
                self.fail(f"{part!r} is none of {', '.join(SEARCHED)} ({nearest(part, SEARCHED)})", param, ctx)
        return found


@cli.command()
@SITE
@click.argument("link")
@click.option("--units", type=Units(), default="1-247", show_default=True, help="Which Modbus addresses to ask.")
@click.option("--bauds", type=Lines(), help="Speeds: 9600,2400E (default: the link's own, for meters also 2400E).")
@click.option("--protocols", type=Protocols(), help="modbus,dlt645,cjt188 (default: all that the link can carry).")
@click.option("--timeout", "timeout_ms", default=200, show_default=True, help="Milliseconds to wait for each.")
@click.option("--meter-timeout", "meter_ms", default=700, show_default=True, help="The same for meters.")
@JSON
@tells
def scan(
    site: Path,
    link: str,
    units: list[int],
    bauds: list[LineSettings] | None,
    protocols: list[str] | None,
    timeout_ms: int,
    meter_ms: int,
    as_json: bool,
) -> None:
    """Look who answers on LINK of SITE by harmless reads, what it may be, and propose the rows of site.toml."""
    from edge_agent import search, visits
    from edge_agent.progress import Progress
    from edge_agent.proposals import propose

    config = load_config(site)
    target = _link(config, link)
    wanted = search.Search(
        units=units,
        ways=_ways(target, protocols, bauds),
        patience=timeout_ms / 1000,
        meter_patience=meter_ms / 1000,
    )
    spoken = tuple({way.protocol: None for way in wanted.ways})
    library = {**load_library(), **{device.profile.model: device.profile for device in config.devices}}.values()
    found: list[search.Found] = []

    async def visit() -> None:
        async with visits.open_bus(target, SystemClock(), protocols=spoken) as bus:
            with Progress(wanted.steps) as progress:
                found.extend([row async for row in search.search(bus, wanted, library, progress)])

    try:
        run_precisely(visit())
    except visits.LinkTrouble as trouble:
        raise Refusal(f"{target.name} is down: {trouble}") from None
    if as_json:
        _print_json({"link": target.name, "found": found})
    else:
        print("\n".join(propose(config, target, row) for row in found), end="")
        print(f"{len(found)} units answered {wanted.steps} questions", file=sys.stderr)
    if not found:
        raise SystemExit(1)


def _ways(link: LinkConfig, protocols: list[str] | None, bauds: list[LineSettings] | None) -> list[Way]:
    """Each protocol at each speed; Refusal for what the link cannot carry."""
    from edge_agent.search import METERS, SEARCHED, Way

    own = line_of(link.target)
    if link.target.framing == "tcp":
        if set(protocols or ()) & set(METERS):
            raise Refusal(f"{link.name} is Modbus TCP: it carries no meters")
        protocols = ["modbus"]
    if link.target.kind != "serial":
        if bauds:
            raise Refusal(f"{link.name} has no speed that we could change: {link.url}")
        return [Way(protocol) for protocol in protocols or SEARCHED]
    ways = []
    for protocol in protocols or SEARCHED:
        lines = bauds or [own, *([METER_LINE] if protocol in METERS and own != METER_LINE else [])]
        ways += [Way(protocol, None if line == own else line) for line in lines]
    return ways


@cli.command()
@SITE
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many events.")
@JSON
@tells
def tap(site: Path, count: int | None, as_json: bool) -> None:
    """Follow live what the running pole of SITE hands over, until Ctrl-C."""
    from edge_agent.asking import NobodyListens, answers

    config = load_config(site)

    async def follow() -> None:
        seen = 0
        async with aclosing(answers(config.gateway, "tap")) as events:
            async for payload in events:
                print(payload.decode() if as_json else _event_line(msgspec.json.decode(payload)), flush=True)
                seen += 1
                if seen == count:
                    return

    try:
        asyncio.run(follow())
    except NobodyListens as trouble:
        raise Refusal(str(trouble)) from None


def _event_line(event: dict[str, Any]) -> str:
    what = event.pop("what", "event")
    return " ".join([f"{what:8}", *(f"{key}={value}" for key, value in event.items())])


@cli.command()
@SITE
@JSON
@tells
def ledger(site: Path, as_json: bool) -> None:
    """Account for every reading of the running pole of SITE; exit 1 when the identity does not hold."""
    from edge_agent.asking import NobodyListens, answers

    config = load_config(site)

    async def ask() -> bytes:
        async with aclosing(answers(config.gateway, "ledger")) as replies:
            async for payload in replies:
                return payload
        raise NobodyListens("the gateway closed the connection without an answer")

    try:
        payload = asyncio.run(ask())
    except NobodyListens as trouble:
        raise Refusal(str(trouble)) from None
    said = msgspec.json.decode(payload)
    found = msgspec.convert(said.get("ledger", said), Ledger)
    differences = found.differences()
    if as_json:
        _print_json({"ledger": found, "differences": differences})
    else:
        print("\n".join(found.lines()))
        print("the ledger balances" if not differences else "\n  ".join(["the ledger does NOT balance:", *differences]))
    if differences:
        raise SystemExit(1)


def _print_json(data: object) -> None:
    print(msgspec.json.encode(data).decode())
