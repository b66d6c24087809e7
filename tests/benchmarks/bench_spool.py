"""Durable appends of the spool per second, one at a time and in groups, beside what the machine's disk does at all.

The disk's own limit is measured in the same run, before and after: the same bytes appended to a bare file with one
fdatasync a group. Batches hold 100 readings of changing values. Refuses a directory in memory: it writes under run/.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import tempfile
import time
from array import array
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.processes import ROOT, Row, row, say

if TYPE_CHECKING:
    from device_profiles.quality import Reason
    from gateway.books import Arrival
    from gateway.spool import Spool

READINGS = 100
GROUPS = (1, 16, 64)
"""Batches outstanding: an agent that waits for each, one session's window, a few sessions."""
PACK = 500
"""Batches made at a time, off the clock."""

ORIGIN = "bench/agent"


@functools.cache
def bodies() -> list[tuple[bytes, bool]]:
    """PACK different bodies of readings; packing them again for each batch would take longer than all the rest."""
    from device_profiles.envelope import Columns, pack_body

    chance = random.Random(1)
    return [
        pack_body(
            Columns(
                array("H", range(READINGS)),
                array("H", sorted(chance.randrange(60_000) for _ in range(READINGS))),
                array("f", [round(chance.gauss(20, 5), 1) for _ in range(READINGS)]),
                array("B", bytes(READINGS)),
                tick=1000,
            )
        )
        for _ in range(PACK)
    ]


def arrivals(first: int) -> list[Arrival]:
    """PACK batches from number ``first`` on, as an agent would hand them over."""
    import msgspec

    from device_profiles.envelope import Batch, encode_batch
    from device_profiles.ledger import Ledger
    from device_profiles.readings import Lane
    from gateway.books import Arrival

    found = []
    for seq, (body, packed) in enumerate(bodies(), first):
        name = {"origin": ORIGIN, "epoch": 1, "seq": seq, "lane": Lane.LIVE, "manifest": 1, "count": READINGS}
        payload = encode_batch(Batch(**name, base=seq, body=body, packed=packed))  # type: ignore[arg-type]  # one dict, many types
        handed = seq * READINGS
        ledger = msgspec.json.encode(Ledger(polled=handed, good=handed, handed=handed))
        found.append(Arrival(**name, at=seq, payload=payload, ledger=ledger))  # type: ignore[arg-type]  # as above
    return found


def bare(path: Path, payload: bytes, group: int, seconds: float) -> float:
    """The disk alone: payloads per second, appended with one fdatasync a group."""
    data = payload * group
    written, began = 0, time.perf_counter()
    with path.open("wb", buffering=0) as file:
        while (took := time.perf_counter() - began) < seconds:
            file.write(data)
            os.fdatasync(file.fileno())
            written += group
    path.unlink()
    return written / took


async def appended(spool: Spool, first: int, group: int, seconds: float) -> tuple[float, int]:
    """(batches per second with ``group`` of them outstanding, the next number). Making batches is not counted."""
    done, took = 0, 0.0
    while took < seconds:
        pack = arrivals(first)
        first += PACK
        began = time.perf_counter()
        waiting: deque[asyncio.Future[tuple[Reason, bool]]] = deque()
        for batch in pack:
            waiting.append(spool.append(batch))
            while len(waiting) >= group or (waiting and waiting[0].done()):
                reason, new = await waiting.popleft()
                assert new, f"refused: {reason}"
        await asyncio.gather(*waiting)
        took += time.perf_counter() - began
        done += PACK
    return done / took, first


async def measured(folder: Path, seconds: float) -> list[Row]:
    """One table for all groups, on one spool that grows."""
    from gateway.clock import SystemClock
    from gateway.config import SpoolConfig
    from gateway.spool import Spool

    spool, rows = Spool(SpoolConfig(path=folder / "spool.db"), "bench", SystemClock()), []
    try:
        await spool.load()
        payload = arrivals(1)[0].payload
        _, first = await appended(spool, 1, GROUPS[-1], seconds / 4)
        for group in GROUPS:
            limit = bare(folder / "bare", payload, group, seconds / 2)
            ours, first = await appended(spool, first, group, seconds)
            limit = (limit + bare(folder / "bare", payload, group, seconds / 2)) / 2
            say(f"spool: {group} outstanding: {ours:,.0f} appends/s, the disk alone {limit:,.0f}")
            how = "one at a time" if group == 1 else f"{group} outstanding"
            rows += [
                row(f"spool: durable appends, {how}", ours, "batches/s"),
                row(f"spool: the same in readings, {READINGS} a batch, {how}", ours * READINGS, "readings/s"),
                row(f"spool: of what write + fdatasync of the same bytes does, {how}", ours / limit, "×"),
            ]
    finally:
        await spool.close()
    return rows


def run(quick: bool = False) -> list[Row]:
    """Appends per second, readings per second, and both beside the disk's own limit."""
    say(f"spool: batches of {READINGS} readings, {', '.join(map(str, GROUPS))} outstanding")
    place = ROOT / "run"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-spool-", dir=place) as name:
        return asyncio.run(measured(Path(name), 0.3 if quick else 3.0))
