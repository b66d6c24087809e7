"""``kuimen ingest``: run a worker, check its file, follow what comes in, read its gaps and its ledger."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import msgspec

from device_profiles.ledger import Ledger
from device_profiles.problems import ConfigError, Problem
from ingest.clock import SystemClock
from ingest.config import CentreConfig, load_config

CENTRE = click.argument("centre", type=click.Path(path_type=Path))
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
    """Ingest: what arrives is accepted once, normalised, stored and accounted for."""


@cli.command()
@CENTRE
@click.option("-v", "--verbose", is_flag=True, help="Log what the libraries do, too.")
@tells_problems
def run(centre: Path, verbose: bool) -> None:
    """Run the worker of CENTRE until SIGTERM or Ctrl-C; then commit what is queued and leave."""
    from ingest import service

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger(None if verbose else "ingest").setLevel(logging.INFO)
    config = load_config(centre)

    async def main() -> None:
        await service.run(config, SystemClock(), _stop_on_signals())

    asyncio.run(main())


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
@CENTRE
@click.option("--connect", is_flag=True, help="Also reach the broker, with these credentials.")
@JSON
@tells_problems
def check(centre: Path, connect: bool, as_json: bool) -> None:
    """Check what CENTRE says about ingest; with --connect also the broker."""
    config = load_config(centre)
    if connect:
        _check_broker(config)
    intake = config.intake
    told = {
        "broker": f"mqtt://{intake.host}:{intake.port}" + (" answers" if connect else ""),
        "coap": intake.coap and "{}:{}".format(*intake.coap),
        "root": intake.root,
        "shards": list(intake.shards),
        "qos": intake.qos,
        "username": intake.username,
        "password": None if intake.password is None else "***",
        "store": str(config.store.path),
        "memory_mb": config.store.memory_mb,
        "api": config.api.url,
    }
    if as_json:
        _print_json(told)
        return
    for name, value in (told | {"shards": f"{len(intake.shards)} of 64"}).items():
        print(f"{name:10} {'-' if value is None else value}")


def _check_broker(config: CentreConfig) -> None:
    import aiomqtt

    from device_profiles.tls import TlsTrouble, in_words
    from ingest.intake import probe

    try:
        asyncio.run(probe(config.intake))
    except (aiomqtt.MqttError, OSError, TlsTrouble) as trouble:
        place = f"{'mqtts' if config.intake.tls else 'mqtt'}://{config.intake.host}:{config.intake.port}"
        said = f"the broker does not take us: {in_words(trouble)}"
        raise ConfigError([Problem(place, 0, "intake", said)]) from None


@cli.command()
@CENTRE
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@JSON
@tells_problems
def gaps(centre: Path, limit: int, as_json: bool) -> None:
    """List the readings that are known not to exist, newest first."""
    from ingest.client import ask, read_gaps

    config = load_config(centre)
    answer = ask(config, f"/api/v1/gaps?limit={limit}") or read_gaps(config, limit)
    if as_json:
        _print_json(answer)
        return
    if not answer["gaps"]:
        print("no gap has been told")
    for gap in answer["gaps"]:
        count = "unknown" if gap["readings"] is None else f"{gap['readings']:,}"
        devices = ", ".join(gap["devices"]) or "all devices"
        times = f"{_utc(gap['begin'])} … {_utc(gap['end'])}"
        print(f"{times}  {gap['origin']}  {gap['reason']}  {count} readings of {devices}")


@cli.command()
@CENTRE
@click.argument("device")
@click.argument("point")
@click.argument("value", type=float)
@click.option("--expires", type=click.FloatRange(1, 604_800), default=60.0, show_default=True, help="Seconds.")
@click.option("--gateway", help="Which pole, where two have such a device.")
@click.option("--by", help="Who wants it.  [default: your login]")
@click.option("--wait", is_flag=True, help="Until something has come of it; exit 1 unless it was done.")
@JSON
@tells_problems
def command(
    centre: Path,
    device: str,
    point: str,
    value: float,
    expires: float,
    gateway: str | None,
    by: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Set POINT of DEVICE to VALUE, in the unit that the API shows; through the running worker of CENTRE."""
    import getpass

    from ingest.client import await_result, give

    config = load_config(centre)
    wanted = {"device": device, "point": point, "value": value, "expires_s": expires, "gateway": gateway}
    answer = give(config, wanted | {"by": by or getpass.getuser()})
    if wait:
        answer = await_result(config, answer["id"])
    if as_json:
        _print_json(answer)
    else:
        print(_command_line(answer) if wait else f"{answer['id']}  on its way to {answer['gateway']}")
    if wait and answer["status"] != "done":
        raise SystemExit(1)


@cli.command()
@CENTRE
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@JSON
@tells_problems
def commands(centre: Path, limit: int, as_json: bool) -> None:
    """List the newest commands, who gave them, and what came of them."""
    from ingest.client import ask

    config = load_config(centre)
    answer = ask(config, f"/api/v1/commands?limit={limit}")
    if answer is None:
        raise ConfigError([Problem(config.api.url, 0, "", "nothing listens; is `ingest run` running?")])
    if as_json:
        _print_json(answer)
        return
    for one in answer["commands"]:
        print(_command_line(one))
    if not answer["commands"]:
        print("no command has been given")


def _command_line(one: Any) -> str:
    result = one["result"] or {}
    read = result.get("value")
    parts = [
        _utc(one["issued"]),
        one["id"][:8],
        f"{one['gateway']}:{one['device']}.{one['point']} = {one['value']:g} {one['unit']}",
        f"by {one['by']}",
        one["status"] + ("" if read is None else f", reads {read:g}"),
    ]
    return "  ".join(parts) + (f": {result['text']}" if result.get("text") else "")


@cli.command()
@CENTRE
@JSON
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many rows or events.")
@tells_problems
def tap(centre: Path, as_json: bool, count: int | None) -> None:
    """Follow what is stored, as it is stored."""
    from ingest.client import ask, follow

    config = load_config(centre)
    names = _series_names(ask(config, "/api/v1/devices"))
    told = 0
    for event, data in follow(config):
        if event == "devices":
            names = _series_names(ask(config, "/api/v1/devices"))
        if event not in ("readings", "skipped"):
            continue
        for line in _tap_lines(event, data, names, as_json):
            print(line, flush=True)
            told += 1
            if count is not None and told >= count:
                return


def _series_names(answer: Any) -> dict[int, tuple[str, str, str]]:
    return {
        point["series"]: (f"{device['origin']}:{device['device']}", point["point"], point["unit"])
        for device in (answer or {"devices": []})["devices"]
        for point in device["points"]
    }


def _tap_lines(event: str, data: Any, names: dict[int, tuple[str, str, str]], as_json: bool) -> list[str]:
    if event == "skipped":
        return [json.dumps({"skipped": data["rows"]}) if as_json else f"-- {data['rows']} rows skipped: too slow --"]
    lines = []
    for series, value, at, quality, reason in data["rows"]:
        device, point, unit = names.get(series, ("?", str(series), ""))
        row = {"at": at, "device": device, "point": point, "value": value, "unit": unit}
        if as_json:
            lines.append(json.dumps(row | {"quality": quality, "reason": reason}, ensure_ascii=False))
        else:
            shown = reason if value is None else f"{value} {unit}" + ("" if quality == "good" else f" ({reason})")
            lines.append(f"{_utc(at)}  {device}  {point}  {shown}")
    return lines


@cli.command()
@CENTRE
@JSON
@tells_problems
def ledger(centre: Path, as_json: bool) -> None:
    """Where every reading is; exit 1 when an identity does not hold. Works beside a running worker and without."""
    from ingest.client import ask, read_ledger

    config = load_config(centre)
    answer = ask(config, "/api/v1/ledger") or read_ledger(config, SystemClock())
    if as_json:
        _print_json(answer)
    else:
        _print_ledger(answer)
    raise SystemExit(1 if answer["differences"] else 0)


def _print_ledger(answer: Any) -> None:
    intake = answer["intake"]
    for state in answer["gateways"]:
        word = "online" if state["online"] else "offline"
        print(f"{state['gateway']}  {word}, as of {_utc(state['at'])}, {state['stored_here']:,} readings stored here")
    print("all gateways")
    for line in msgspec.convert(answer["total"], Ledger).lines():
        print(f"  {line}")
    refused = ", ".join(
        f"{kind} {reason} {n:,}" for kind in ("rejected", "later") for reason, n in sorted(intake[kind].items())
    )
    print(
        f"intake   arrived {intake['arrived']:,} = stored {intake['stored']:,} + duplicate {intake['duplicate']:,}"
        + (f" + {refused}" if refused else "")
    )
    for line in answer["differences"]:
        print(f"DIFFERENCE  {line}")
    if not answer["differences"]:
        print("every identity holds")


def _print_json(data: Any) -> None:
    print(json.dumps(data, ensure_ascii=False, indent=2))


def _utc(at: int) -> str:
    """µs as people read them; a number where it is no time that a calendar knows."""
    import datetime

    try:
        moment = datetime.datetime.fromtimestamp(at / 1e6, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{at} µs"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    cli()
