"""`kuimen demo`: a simulated street end to end, with the live page, judged at the end.

Every part runs as the process it is in the field; this one only starts them, watches and asks. Refuses to say "well"
unless ledger, simulator and store agree to the reading.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from threading import Event

import click

from device_profiles.problems import ConfigError
from firmware_sim.children import DemoError
from firmware_sim.cli import stop_on_signals
from firmware_sim.parts import Parts
from firmware_sim.street_file import load_street
from firmware_sim.verdict import Finding, judge, total_of

LOOK_EVERY_S = 1.0
PAGE_PORT = 8080


def _folder(given: Path | None) -> Path:
    """The work folder: fresh, because a count that starts at zero cannot be held against an old store."""
    if given is None:
        return Path(tempfile.mkdtemp(prefix="kuimen-demo-"))
    if given.exists() and any(given.iterdir()):
        raise DemoError(f"{given} is not empty: an earlier run's readings would spoil the count; name a fresh folder")
    given.mkdir(parents=True, exist_ok=True)
    return given.absolute()


class Progress:
    """One line that says how it goes; rewritten on a terminal, now and then a new one elsewhere."""

    QUIET_EVERY_S = 10

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._began = time.monotonic()
        self._told = -self.QUIET_EVERY_S

    def show(self, text: str) -> None:
        """Show how it stands now."""
        seconds = int(time.monotonic() - self._began)
        if self._live:
            click.echo(f"\r\x1b[K{seconds:>5} s  {text}", nl=False)
        elif seconds >= self._told + self.QUIET_EVERY_S:
            self._told = seconds
            click.echo(f"{seconds:>5} s  {text}")

    def done(self) -> None:
        """Leave the line."""
        if self._live:
            click.echo()


def _watch(parts: Parts, stop: Event, seconds: float | None) -> None:
    """Show the count until somebody says stop or the time is over; DemoError when a part dies."""
    progress, end = Progress(), None if seconds is None else time.monotonic() + seconds
    try:
        while end is None or time.monotonic() < end:
            left = LOOK_EVERY_S if end is None else min(LOOK_EVERY_S, max(0.0, end - time.monotonic()))
            if stop.wait(left):
                return
            parts.check()
            total = total_of(parts.ledger())
            progress.show(
                f"polled {total.polled:,}  stored {total.stored:,}  unchanged {total.unchanged:,}"
                f"  bad {sum(total.bad.values()):,}  waiting {total.waiting:,}"
            )
    finally:
        progress.done()


def _finish(parts: Parts) -> list[Finding]:
    """Drain from the street inwards, then judge."""
    click.echo("Draining: callers first, then the poles, the simulator and the centre …")
    trouble = parts.hush_callers()
    trouble += parts.end_poles()
    trouble += parts.end_simulator()
    body = parts.settled_ledger()
    trouble += parts.end_centre()
    for line in total_of(body).lines():
        click.echo(f"  {line}")
    findings = judge(body, parts.witness(), parts.rows(), len(parts.street.poles))
    return [*findings, *(Finding(False, text) for text in trouble)]


def _run(parts: Parts, seconds: float | None) -> bool:
    stop = stop_on_signals()
    try:
        parts.start(stop)
        if not stop.is_set():
            click.echo(f"Look here:  http://127.0.0.1:{parts.page_port}/   (Ctrl-C drains and judges)")
            click.echo(f"Logs and files: {parts.directory}")
            _watch(parts, stop, seconds)
        findings = _finish(parts)
    finally:
        parts.end_at_once()
    for finding in findings:
        click.echo(f"  {finding}")
    return all(finding.holds for finding in findings)


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after this long.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Work folder (a fresh one).")
@click.option("--port", default=PAGE_PORT, show_default=True, help="Where the live page listens.")
@click.option("--street", default="demo", show_default=True, help="A built-in street or a TOML file.")
def demo(seconds: float | None, directory: Path | None, port: int, street: str) -> None:
    """A simulated street end to end, with the live page; exit 0 only if the ledger and the simulator agree."""
    try:
        plan = load_street(street)
        folder = _folder(directory)
        well = _run(Parts(plan, street, folder, port), seconds)
    except (ConfigError, DemoError) as wrong:
        click.echo(str(wrong), err=True)
        raise SystemExit(1) from None
    if well and directory is None:
        shutil.rmtree(folder)
    click.echo("Nothing was lost, invented or changed." if well else f"It does NOT add up; see {folder}")
    raise SystemExit(0 if well else 1)
