"""`kuimen sim`: run a street of simulated units, write the site files that match it, look at the faults it can show."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from threading import Event
from types import FrameType

import click

from device_profiles.problems import ConfigError
from firmware_sim.bench_units import tcp_units
from firmware_sim.callers.mishaps import CALLER_CATALOGUE
from firmware_sim.clock import SystemClock
from firmware_sim.faults import CATALOGUE
from firmware_sim.ports import settle_ports
from firmware_sim.running import RunningStreet
from firmware_sim.sites import Centre, write_sites
from firmware_sim.street import CallerPlan, SerialPlan, Street, UnitPlan
from firmware_sim.street_file import load_street

WRITE_EVERY_S = 1.0
DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("run/street"),
    show_default=True,
    help="Where serial lines, site files and the witness lie.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def stop_on_signals() -> Event:
    """An event that SIGTERM and Ctrl-C set; a second one of them interrupts whatever is going on."""
    stop = Event()

    def enough(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, enough)
    signal.signal(signal.SIGINT, enough)
    return stop


def be_prompt() -> None:
    """Ask the system to run this process before all others, because real units do not wait for a busy computer.

    Without the right to ask (only root has it) the pace is as good as the machine makes it.
    """
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _street(text: str) -> Street:
    """The street, or every problem on stderr and exit 1."""
    try:
        return load_street(text)
    except ConfigError as wrong:
        click.echo(str(wrong), err=True)
        raise SystemExit(1) from None


@click.group()
def cli() -> None:
    """Devices that are not there: a street with faults."""


@cli.command()
@click.argument("street")
@DIRECTORY
@click.option("--journal", is_flag=True, help="Also write each answer to DIR/journal.jsonl.")
def run(street: str, directory: Path, journal: bool) -> None:
    """Run STREET (a built-in name such as demo, or a TOML file) until SIGTERM or Ctrl-C; SIGUSR1 stops its callers."""
    plan, stop, hush = _street(street), stop_on_signals(), Event()
    signal.signal(signal.SIGUSR1, lambda number, frame: hush.set())
    be_prompt()
    running = RunningStreet(plan, directory, SystemClock(), journal)
    try:
        running.start()
    except OSError as trouble:
        click.echo(f"the street cannot be opened: {trouble.strerror}", err=True)
        raise SystemExit(1) from None
    try:
        click.echo(json.dumps({"ready": plan.name, "witness": str(running.witness_path)}))
        sys.stdout.flush()
        while not stop.wait(WRITE_EVERY_S):
            running.check()
            if hush.is_set() and running.witness.calling:
                running.hush()
            running.witness.write(running.witness_path)
    finally:
        running.stop()


@cli.command()
@click.argument("street")
@DIRECTORY
@click.option("--mqtt", default=Centre.mqtt, show_default=True, help="The broker.")
@click.option("--api", default=Centre.api, show_default=True, help="Where ingest listens.")
@click.option("--dashboards", default=Centre.dashboards, show_default=True, help="Where the page listens.")
@AS_JSON
def sites(street: str, directory: Path, mqtt: str, api: str, dashboards: str, as_json: bool) -> None:
    """Write site.toml of every pole of STREET, and centre.toml."""
    plan = settle_ports(_street(street), directory)
    paths = write_sites(plan, directory, Centre(mqtt=mqtt, api=api, dashboards=dashboards))
    *poles, centre = map(str, paths)
    click.echo(json.dumps({"sites": poles, "centre": centre}) if as_json else "\n".join([*poles, centre]))


@cli.command()
@AS_JSON
def faults(as_json: bool) -> None:
    """What a unit and a caller can be told to do wrong, as a street's TOML says it."""
    units = {str(fault): text for fault, text in CATALOGUE.items()}
    callers = {str(fault): text for fault, text in CALLER_CATALOGUE.items()}
    if as_json:
        click.echo(json.dumps({"units": units, "callers": callers}))
        return
    for who, texts in (("unit", units), ("caller", callers)):
        for fault, text in texts.items():
            click.echo(f"{who:7} {fault:13} {text}")


@cli.command()
@click.argument("street")
@AS_JSON
def check(street: str, as_json: bool) -> None:
    """Check STREET and print what is on it; every problem at once, exit 1."""
    plan = _street(street)
    rows: list[dict[str, object]] = [
        {
            "pole": pole.name,
            "link": link.name,
            "kind": "rtu" if isinstance(link, SerialPlan) else "tcp",
            "unit": unit.address,
            **_model(unit),
        }
        for pole, link, unit in plan.places()
    ]
    calls: list[dict[str, object]] = [
        {"pole": pole.name, "listener": door.name, "protocol": door.protocol, "id": caller.id, **_model(caller)}
        for pole, door, caller in plan.callers()
    ]
    if as_json:
        click.echo(json.dumps({"street": plan.name, "seed": plan.seed, "units": rows, "callers": calls}))
        return
    for row in rows:
        click.echo("{pole:8} {link:10} {kind:7} {unit:>14}  {device:14} {profile:20} {points:>3} points".format(**row))
    for row in calls:
        line = "{pole:8} {listener:10} {protocol:7} {id:>14}  {device:14} {profile:20} {points:>3} points"
        click.echo(line.format(**row))


def _model(place: UnitPlan | CallerPlan) -> dict[str, object]:
    return {"device": place.device, "profile": place.profile.model, "points": len(place.profile.points)}


@cli.command()
@click.option("--units", default=50, show_default=True, help="How many Modbus TCP units.")
@click.option("--registers", default=100, show_default=True, help="Holding registers of each, from 0.")
@click.option("--first-port", default=0, show_default=True, help="0: any free ports.")
def bench(units: int, registers: int, first_port: int) -> None:
    """Serve plain Modbus TCP units for benchmarks; prints their ports as JSON, ends on SIGTERM or Ctrl-C."""

    async def serve() -> None:
        enough = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, enough.set)
        async with tcp_units(units, registers, SystemClock(), first_port) as ports:
            click.echo(json.dumps({"ports": ports, "unit": 1, "registers": registers}))
            sys.stdout.flush()
            await enough.wait()

    try:
        asyncio.run(serve())
    except RuntimeError as trouble:
        click.echo(str(trouble), err=True)
        raise SystemExit(1) from None
