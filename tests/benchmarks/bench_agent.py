"""The pole as one process on one core: CPU per reading, memory, the most it sustains, and what it takes to install.

50 Modbus TCP units of 100 registers, every reading a changed one, polled by a real `kuimen pole run`; a reading counts
when it is in the centre's store. Refuses to count what only waits in the spool.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import ROOT, Row, cores, row, say

UNITS = 50
REGISTERS = 100
ONCE_A_SECOND = 1.0
WARM_UP_S = 5.0
ASKED = (50_000, 100_000, 200_000, 400_000)
"""Readings a second that are asked for, one after the other until half of it is not stored any more."""

CPU_TARGET = 0.005
"""CPU seconds per 1,000 readings: a tenth of what thingsboard-gateway took with one tag a register."""
RSS_TARGET_MB = 60.0
CEILING_TARGET = 45_000.0
INSTALL_TARGET_MB = 15.0


@dataclass(frozen=True)
class Load:
    """What a pole did over a while.

    Rates are a second; `cpu`: seconds per 1,000 readings stored; `core`: share of one core; `rss_mb`: 10**6 bytes.
    """

    stored: float
    polled: float
    cpu: float
    core: float
    rss_mb: float


def measure(period: float, seconds: float) -> Load:
    """Poll the units every `period` seconds for `seconds` after warming up."""
    from tests.benchmarks.pole_rig import rig
    from tests.benchmarks.units import units

    with tempfile.TemporaryDirectory(prefix="kuimen-bench-") as name:
        folder = Path(name)
        with units(UNITS, folder, cores()[1]) as served, rig(folder, served.ports, period) as running:

            def state() -> tuple[float, float, float, float]:
                return running.stored(), served.reads * REGISTERS, running.pole.cpu_seconds(), time.monotonic()

            time.sleep(WARM_UP_S)
            before = state()
            time.sleep(seconds)
            after = state()
            rss = running.pole.rss_mb()
    stored, polled, cpu, elapsed = (b - a for a, b in zip(before, after, strict=True))
    return Load(stored / elapsed, polled / elapsed, cpu / max(stored, 1) * 1000, cpu / elapsed, rss)


@functools.cache
def steady(quick: bool) -> Load:
    """5,000 readings a second: 50 units × 100 registers once a second."""
    say("pole: 50 units × 100 registers once a second")
    load = measure(ONCE_A_SECOND, 10.0 if quick else 40.0)
    say(f"pole: {load.stored:,.0f} readings/s stored, {load.cpu:.5f} CPU s per 1,000, {load.rss_mb:.1f} MB")
    return load


@functools.cache
def ceiling(quick: bool) -> Load:
    """The most readings a second that reach the centre's store from one core."""
    best: Load | None = None
    for asked in ASKED[2:3] if quick else ASKED:
        load = measure(UNITS * REGISTERS / asked, 5.0 if quick else 12.0)
        say(f"pole: asked {asked:,}/s: {load.polled:,.0f} polled, {load.stored:,.0f} stored, {load.core:.2f} of a core")
        best = load if best is None or load.stored > best.stored else best
        if load.stored < asked / 2:
            break
    assert best is not None
    return best


def install_size() -> float:
    """MB that `pip install '.[pole]'` brings into an empty environment, pip and setuptools left out."""
    with tempfile.TemporaryDirectory(prefix="kuimen-install-") as name:
        subprocess.run([sys.executable, "-m", "venv", name], check=True)
        pip = [str(Path(name) / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, f"{ROOT}[pole]"], check=True, stdout=sys.stderr)
        packages = next(Path(name).glob("lib/python*/site-packages"))
        sizes = (
            (Path(place) / file).lstat().st_size
            for place, _, files in os.walk(packages)
            if not _tools(Path(place).relative_to(packages))
            for file in files
        )
        return sum(sizes) / 1e6


def _tools(place: Path) -> bool:
    first = place.parts[0] if place.parts else ""
    return first.startswith(("pip", "setuptools", "_distutils_hack", "pkg_resources"))


def run(quick: bool = False) -> list[Row]:
    """The pole's own figures; those beside the peer are bench_peer's."""
    usual, most = steady(quick), ceiling(quick)
    say("pole: installing the extra into an empty environment")
    size, rss = install_size(), usual.rss_mb
    return [
        row("pole: CPU per 1,000 readings stored", usual.cpu, "s", f"<= {CPU_TARGET}", usual.cpu <= CPU_TARGET),
        row("pole: resident memory, 50 units", rss, "MB", f"<= {RSS_TARGET_MB:g}", rss <= RSS_TARGET_MB),
        row(
            "pole: most readings stored per second, one core",
            most.stored,
            "readings/s",
            f">= {CEILING_TARGET:,.0f}",
            most.stored >= CEILING_TARGET,
        ),
        row("pole: share of the core at that", most.core, "cores"),
        row("pole: the extra, installed", size, "MB", f"<= {INSTALL_TARGET_MB:g}", size <= INSTALL_TARGET_MB),
    ]
