"""One gateway process that thousands of devices call: what holding them costs, and how much it can acknowledge.

5,000 sessions (half JT/T 808, half HJ 212) stay connected; each report is acknowledged after the spool's fsync. Then
50,000 known CoAP endpoints in a callers' file: what knowing them costs. There is no broker: the spool only fills.
Refuses to count what the ledger does not have: every acknowledged report must be in the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.inspection import read_ledger
from tests.benchmarks.crowd import CAR, STATION, Crowd, numbers, percentile
from tests.benchmarks.pole_rig import kuimen
from tests.benchmarks.processes import ROOT, Child, Row, child, cores, free_port, listening, row, say

SESSIONS = 5_000
KNOWN = 50_000
ENDPOINT = "generic-parking-nb"
STARTING_S = 300.0
SPARE_FILES = 500
"""Open files beside the connections."""


def write_site(folder: Path, cars: int, stations: int, endpoints: int, ports: tuple[int, int, int]) -> Path:
    """A gateway with three doors and their callers in files; ports for JT/T 808, HJ 212 and CoAP."""
    crowd = {"cars": (CAR, numbers("jt808", cars)), "stations": (STATION, numbers("hj212", stations))}
    crowd["endpoints"] = ENDPOINT, [f"86{n:013d}" for n in range(endpoints)]
    for name, (model, ids) in crowd.items():
        rows = "".join(f"{id_},{name}-{n},{model}\n" for n, id_ in enumerate(ids))
        (folder / f"{name}.csv").write_text("id,name,profile\n" + rows)
    site = folder / "site.toml"
    site.write_text(
        '[site]\nname = "bench"\n\n[gateway]\nsocket = "pole.sock"\n\n[gateway.spool]\npath = "spool.db"\n'
        f'quota_mb = 4096\n\n[uplink]\nurl = "mqtt://127.0.0.1:{free_port()}"\n'
        f'\n[[listeners]]\nname = "cars"\nprotocol = "jt808"\nlisten = "tcp://127.0.0.1:{ports[0]}"\n'
        'authenticate = false\ncallers = "cars.csv"\n'
        f'\n[[listeners]]\nname = "stations"\nprotocol = "hj212"\nlisten = "tcp://127.0.0.1:{ports[1]}"\n'
        'callers = "stations.csv"\n'
        f'\n[[listeners]]\nname = "endpoints"\nprotocol = "payload"\nlisten = "coap://127.0.0.1:{ports[2]}"\n'
        'callers = "endpoints.csv"\n'
    )
    return site


@contextlib.contextmanager
def gateway(folder: Path, cars: int, stations: int, endpoints: int) -> Iterator[tuple[Child, tuple[int, int], float]]:
    """(the process, its two TCP ports, seconds until it served)."""
    ports = free_port(), free_port(), free_port()
    site = write_site(folder, cars, stations, endpoints, ports)
    began = time.monotonic()
    with child("gateway", kuimen("gateway", "run", site), folder, cores()[0]) as running:
        running.wait_for(lambda: all(map(listening, ports[:2])), "its doors", STARTING_S)
        yield running, ports[:2], time.monotonic() - began


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """This process on the other core, with as many open files as it may have; children inherit the files."""
    before, files = os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    os.sched_setaffinity(0, {cores()[1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)


async def crowded(running: Child, ports: tuple[int, int], count: int, seconds: float) -> tuple[list[Row], int]:
    """(rows, readings in all acknowledged reports)."""
    empty = running.rss_mb()
    crowd = Crowd(ports, count)
    try:
        await crowd.connect()
        await crowd.speak(0)
        held = running.rss_mb()
        before, busy, began = crowd.acked[0], running.cpu_seconds(), time.perf_counter()
        await crowd.speak(seconds)
        took, busy = time.perf_counter() - began, running.cpu_seconds() - busy
        acked = crowd.acked[0] - before
        waits = [one for member in crowd.members for one in member.took]
        name = f"{len(crowd.members):,} sessions"
        say(f"sessions: {acked:,} reports in {took:.1f} s, {busy / took:.0%} of a core")
        return [
            row(f"gateway: resident with {name}, half JT/T 808, half HJ 212", held, "MB"),
            row("gateway: of that for each connected session", (held - empty) * 1000 / len(crowd.members), "kB"),
            row(f"gateway: reports acknowledged after fsync, {name}", acked / took, "messages/s"),
            row("gateway: CPU for each of them", busy / acked * 1e6, "µs"),
            row(f"gateway: time to an acknowledgement with all {name} waiting, 99 %", percentile(waits, 0.99), "s"),
            row("gateway: resident after that", running.rss_mb(), "MB"),
        ], crowd.acked[1]
    finally:
        crowd.close()


def run(quick: bool = False) -> list[Row]:
    """Sessions first, then known endpoints."""
    count, known = (200, 2_000) if quick else (SESSIONS, KNOWN)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(count, (limit - SPARE_FILES) // 2 * 2)
    place = ROOT / "run"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-sessions-", dir=place) as name, aside():
        folder = Path(name)
        say(f"sessions: {count:,} connections")
        with gateway(folder, count // 2, count // 2, 1) as (running, ports, _):
            rows, readings = asyncio.run(crowded(running, ports, count, 1.0 if quick else 15.0))
        _check(folder / "spool.db", readings)
        say(f"sessions: {known:,} known endpoints")
        for extra in folder.glob("spool.db*"):
            extra.unlink()
        with gateway(folder, 1, 1, 1) as (running, _, alone_s):
            alone = running.rss_mb()
        with gateway(folder, 1, 1, known) as (running, _, started_s):
            resident = running.rss_mb()
    return [
        *rows,
        row(f"gateway: resident with {known:,} known CoAP endpoints", resident, "MB"),
        row("gateway: of that for each known endpoint", (resident - alone) * 1000 / known, "kB"),
        row(f"gateway: start with {known:,} known CoAP endpoints", started_s, "s"),
        row("gateway: start with three callers", alone_s, "s"),
    ]


def _check(spool: Path, readings: int) -> None:
    """Everything that was acknowledged is in the file, and nothing else."""
    ledger = read_ledger(spool)
    wrong = ledger.differences()
    if wrong or ledger.spooled != readings:
        raise RuntimeError(f"{readings} readings were acknowledged, {ledger.spooled} are spooled; {wrong}")
