"""``kuimen gateway``: run it, check its site file, look at what waits, follow what passes, read the ledger."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import msgspec

from device_profiles.problems import ConfigError, Problem
from gateway.config import GatewayConfig, load_config

SITE = click.argument("site", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Data as JSON on stdout.")


def tells_problems(verb: Callable[..., None]) -> Callable[..., None]:
    """Print an operator's mistakes, all of them, without a traceback; exit 1."""

    @wraps(verb)
    def told(*args: Any, **kwargs: Any) -> None:
        try:
            verb(*args, **kwargs)
        except ConfigError as mistake:
            print(mistake, file=sys.stderr)
            raise SystemExit(1) from None

    return told


@click.group()
def cli() -> None:
    """The gateway: one durable spool, and the way out to the centre."""


@cli.command()
@SITE
@tells_problems
def run(site: Path) -> None:
    """Run the gateway of SITE until SIGTERM or Ctrl-C; then drain and leave. SIGHUP reads SITE anew."""
    from gateway import service
    from gateway.clock import SystemClock
    from gateway.reloading import watch
    from gateway.watchdog import keep_alive

    config = load_config(site)

    def load() -> GatewayConfig:
        renewed = load_config(site)
        service.check_renewal(config, renewed)
        return renewed

    async def main() -> None:
        renewals: service.Renewals = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(watch(site, load, renewals.put_nowait)), group.create_task(keep_alive())]
            try:
                await service.run(config, SystemClock(), _stop_on_signals(), renewals=renewals)
            finally:
                for task in beside:
                    task.cancel()

    found: list[Problem] = []
    try:
        asyncio.run(main())
    except* ConfigError as wrong:
        found += [problem for error in wrong.exceptions if isinstance(error, ConfigError) for problem in error.problems]
    if found:
        raise ConfigError(found)


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
@click.option("--connect", is_flag=True, help="Also reach the broker, with these credentials.")
@JSON
@tells_problems
def check(site: Path, connect: bool, as_json: bool) -> None:
    """Check what SITE says about its gateway; with --connect also the broker."""
    config = load_config(site)
    modems = _check_broker(config) if connect else {}
    uplink = config.uplink
    told: dict[str, Any] = {
        "gateway": config.name,
        "socket": str(config.listen) if isinstance(config.listen, Path) else "tcp://{}:{}".format(*config.listen),
        "spool": str(config.spool.path),
        "quota_bytes": config.spool.quota,
        "uplink": uplink.url,
        "fallback": uplink.fallback and f"{uplink.fallback.url} after {uplink.after_seconds:g} s",
        "root": uplink.root,
        "qos": uplink.qos,
        "username": uplink.username,
        "password": None if uplink.password is None else "***",
        "broker": "answers" if connect else "not asked",
        "modems": modems,
        "listeners": [
            f"{door.name}: {door.protocol} on {door.transport}://{door.host}:{door.port}, {len(door.callers):,} callers"
            for door in config.listeners
        ],
    }
    if as_json:
        _print_json(told)
        return
    doors = told.pop("listeners")
    modem_lines = [f"{port}: {line}" for port, line in told.pop("modems").items()]
    rows = [*told.items(), *(("modem", line) for line in modem_lines), *(("listener", door) for door in doors)]
    for name, value in rows:
        print(f"{name:12} {'-' if value is None else value}")


def _check_broker(config: GatewayConfig) -> dict[str, str]:
    """Each way out is asked; ConfigError with all that do not take us. What their modems say, by port."""
    import aiomqtt

    from device_profiles.tls import TlsTrouble, in_words
    from gateway.coap_client import NoAnswer
    from gateway.coap_client import probe as probe_coap
    from gateway.connection import probe

    found: list[Problem] = []
    modems: dict[str, str] = {}
    for key, way in (("uplink", config.uplink), ("uplink.fallback", config.uplink.fallback)):
        if way is None:
            continue
        try:
            if way.coap is None:
                asyncio.run(probe(way, config.name))
            elif (modem := asyncio.run(probe_coap(way))) is not None and way.coap.modem is not None:
                modems[str(way.coap.modem.port)] = modem.report()
        except (aiomqtt.MqttError, TlsTrouble) as trouble:
            found.append(Problem(way.url, 0, key, f"the broker does not take us: {in_words(trouble)}"))
        except (NoAnswer, OSError) as trouble:
            found.append(Problem(way.url, 0, key, f"the centre does not answer: {trouble}"))
    if found:
        raise ConfigError(found)
    return modems


@cli.command()
@SITE
@JSON
@tells_problems
def spool(site: Path, as_json: bool) -> None:
    """Show what waits in SITE's spool, by lane; the gateway may run or not."""
    from gateway.clock import SystemClock
    from gateway.inspection import read_depth

    config = load_config(site)
    depth = read_depth(config.spool.path, config.spool.quota)
    if as_json:
        _print_json({"quota": depth.quota, "lanes": depth.lanes, "total": depth.total})
        return
    now = SystemClock().now()
    print(f"{'lane':10}{'batches':>10}{'readings':>12}{'bytes':>14}  oldest")
    for lane, part in [*depth.lanes.items(), ("total", depth.total)]:
        age = "-" if part.oldest is None else f"{(now - part.oldest) / 1e6:,.0f} s ago"
        print(f"{lane:10}{part.batches:>10,}{part.readings:>12,}{part.size:>14,}  {age}")
    print(f"quota     {config.spool.quota:,} bytes, {depth.total.size / config.spool.quota:.1%} used")


@cli.command()
@SITE
@JSON
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many events.")
@tells_problems
def tap(site: Path, as_json: bool, count: int | None) -> None:
    """Follow live what passes through the running gateway of SITE, until Ctrl-C."""
    from gateway.tools import answers

    config = load_config(site)
    try:
        for number, payload in enumerate(answers(config.listen, "tap"), 1):
            print(payload.decode() if as_json else _event_line(msgspec.json.decode(payload)), flush=True)
            if number == count:
                return
    except KeyboardInterrupt:
        return


@cli.command()
@SITE
@JSON
@tells_problems
def sessions(site: Path, as_json: bool) -> None:
    """Show who calls the running gateway of SITE: every known device, when and from where it was last heard."""
    from gateway.clock import SystemClock
    from gateway.tools import answers

    rows = msgspec.json.decode(next(answers(load_config(site).listen, "sessions")))
    if as_json:
        _print_json(rows)
        return
    now = SystemClock().now()
    print(f"{'listener':12}{'device':20}{'id':26}{'heard':>14}{'reports':>10}{'again':>8}  from")
    for row in rows:
        heard = f"{(now - row['at']) / 1e6:,.0f} s ago" if row["at"] else "never"
        where = "disabled" if row["disabled"] else row["peer"]
        print(
            f"{row['listener']:12}{row['device']:20}{row['id']:26}{heard:>14}{row['reports']:>10,}"
            f"{row['repeated']:>8,}  {where}"
        )


@cli.command()
@SITE
@JSON
@click.option("--count", type=click.IntRange(min=1, max=1000), default=20, show_default=True, help="How many.")
@tells_problems
def quarantine(site: Path, as_json: bool, count: int) -> None:
    """Show the newest messages of unknown devices that SITE's gateway kept (listeners with unknown = "quarantine")."""
    from gateway.inspection import read_quarantine

    strangers = read_quarantine(load_config(site).spool.path, count)
    if as_json:
        _print_json(strangers)
        return
    print(f"{'when (UTC)':29}  {'listener':12}{'id':26}{'from':24}why  what")
    for one in strangers:
        print(f"{one.time}  {one.listener:12}{one.id:26}{one.peer:24}{one.reason}  {one.data}")


@cli.command()
@SITE
@JSON
@click.option("--count", type=click.IntRange(min=1, max=1000), default=20, show_default=True, help="How many.")
@tells_problems
def commands(site: Path, as_json: bool, count: int) -> None:
    """Show the newest commands that SITE's gateway was sent, and what became of them; it may run or not."""
    from gateway.inspection import read_commands

    rows = read_commands(load_config(site).spool.path, count)
    if as_json:
        _print_json([_command_told(row) for row in rows])
        return
    print(f"{'id':10}{'expires':22}{'device':20}{'point':20}{'value':>8}  {'by':12}what became of it")
    for row in rows:
        one, end = row.command, row.result
        fate = row.standing.word if end is None else end.outcome.word
        if end is not None and end.value is not None:
            fate += f", reads {end.value:g}"
        if end is not None and end.text:
            fate += f": {end.text}"
        what = f"{one.device:20}{one.point:20}{one.value:>8g}  {one.by:12}"
        print(f"{one.id[:8]:10}{_utc(one.expires):22}{what}{fate}")


def _command_told(row: Any) -> dict[str, Any]:
    one, end = row.command, row.result
    told = {name: getattr(one, name) for name in one.__struct_fields__} | {"state": row.standing.word}
    if end is None:
        return told
    words = {"outcome": end.outcome.word, "quality": end.quality.word, "reason": end.reason.word}
    return told | words | {"at": end.at, "read": end.value, "text": end.text}


def _utc(at: int) -> str:
    import datetime

    moment = datetime.datetime.fromtimestamp(at / 1e6, datetime.UTC)
    return moment.isoformat(sep=" ", timespec="seconds").replace("+00:00", "")


def _event_line(event: dict[str, Any]) -> str:
    what = event.pop("what")
    name = "#".join(str(part) for part in event.pop("name", ()))
    return " ".join([f"{what:8}", name, *(f"{key}={value}" for key, value in event.items())])


@cli.command()
@SITE
@JSON
@tells_problems
def ledger(site: Path, as_json: bool) -> None:
    """Account for every reading handed to SITE's gateway; exit 1 when the identity does not hold."""
    from gateway.inspection import read_ledger

    found = read_ledger(load_config(site).spool.path)
    differences = found.differences()
    if as_json:
        _print_json({"ledger": found, "differences": differences})
    else:
        print("\n".join(found.lines()))
        print("the ledger balances" if not differences else "the ledger does NOT balance:")
        for line in differences:
            print(f"  {line}")
    if differences:
        raise SystemExit(1)


def _print_json(data: object) -> None:
    print(msgspec.json.encode(data).decode())
