"""A desk with a real spool behind it, and the real door of a protocol before it; what is stored is read from the file.

Nothing of ours is replaced but the clock, which a test may move.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from device_profiles.envelope import decode_batch, unpack_body
from device_profiles.ledger import Ledger
from device_profiles.manifests import decode_manifests
from device_profiles.quality import Quality, Reason, split_code
from device_profiles.readings import Gap, Lane, Value
from gateway.config import SpoolConfig
from gateway.inspection import read_ledger
from gateway.listeners.callers import Caller
from gateway.listeners.config import ListenerConfig
from gateway.listeners.desk import Desk
from gateway.listeners.doors import open_door
from gateway.spool import Spool
from gateway.taps import Taps
from tests.parts import free_port

NOON = 1_795_262_400_000_000
"""2026-11-21T12:00:00Z in µs."""

PATIENCE = 20.0
"""Seconds for anything that must happen; a healthy run needs a fraction of one."""


class HandClock:
    """A clock that the test moves: ``at`` in UTC µs."""

    def __init__(self, at: int = NOON) -> None:
        self.at = at

    def now(self) -> int:
        """UTC µs."""
        return self.at

    def monotonic(self) -> float:
        """Seconds since noon."""
        return (self.at - NOON) / 1e6


class Stored(msgspec.Struct, frozen=True):
    """One reading in the spool's file."""

    device: str
    point: str
    value: Value
    at: int
    quality: Quality
    reason: Reason
    lane: Lane


class Stand:
    """A desk at work. ``path``: its spool's file."""

    def __init__(self, desk: Desk, spool: Spool, clock: HandClock, config: ListenerConfig, path: Path) -> None:
        self.desk = desk
        self.spool = spool
        self.clock = clock
        self.config = config
        self.path = path

    def stored(self) -> list[Stored]:
        """Every reading that is on disk, in the order of their batches."""
        return list(self._stored())

    def values(self, device: str) -> dict[str, Value]:
        """The newest value of each point of a device, by name."""
        return {one.point: one.value for one in self.stored() if one.device == device}

    def gaps(self) -> list[Gap]:
        """Every gap that is on disk."""
        return [gap for payload in self._payloads() for gap in unpack_body(decode_batch(payload)).gaps]

    def ledger(self) -> Ledger:
        """The file's ledger; it must balance."""
        ledger = read_ledger(self.path)
        assert ledger.differences() == []
        return ledger

    def _payloads(self) -> list[bytes]:
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as connection:
            found = [bytes(row[0]) for row in connection.execute("SELECT payload FROM payloads ORDER BY id")]
        connection.close()
        return found

    def _manifests(self) -> dict[int, list[tuple[str, str]]]:
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as connection:
            payloads = [bytes(row[0]) for row in connection.execute("SELECT payload FROM manifests")]
        connection.close()
        found = [manifest for payload in payloads for manifest in decode_manifests(payload)[1]]
        return {m.id: [(m.devices[series.device].name, series.point) for series in m.series] for m in found}

    def _stored(self) -> Iterator[Stored]:
        names = self._manifests()
        for payload in self._payloads():
            batch = decode_batch(payload)
            columns = unpack_body(batch)
            series = names[batch.manifest]
            rows = zip(columns.aliases, columns.offsets, columns.values, columns.codes, strict=True)
            for alias, step, number, code in rows:
                value = None if number != number else number
                yield _stored(series[alias], value, batch.base + step * columns.tick, code, batch.lane)
            for alias, offset, other, code in columns.others:
                yield _stored(series[alias], other, batch.base + offset, code, batch.lane)


def _stored(series: tuple[str, str], value: Value, at: int, code: int, lane: Lane) -> Stored:
    quality, reason = split_code(code)
    return Stored(series[0], series[1], value, at, quality, reason, lane)


@asynccontextmanager
async def stand(
    folder: Path,
    callers: Sequence[Caller],
    protocol: str = "hj212",
    *,
    transport: str = "tcp",
    options: object = None,
    unknown: str = "refuse",
    clock: HandClock | None = None,
    quota: int = 1 << 26,
) -> AsyncIterator[Stand]:
    """A desk of one listener at work, with its spool in ``folder``: the same one again when called again."""
    clock = clock or HandClock()
    path = folder / "spool.db"
    spool = Spool(SpoolConfig(path=path, quota=quota), "kz-001", clock)
    config = ListenerConfig(
        name="door",
        origin="kz-001/door",
        protocol=protocol,
        transport=transport,
        host="127.0.0.1",
        port=free_port(),
        unknown=unknown,
        options=options,
        callers=tuple(callers),
    )
    desk = Desk(config, "kz-001", spool, clock, Taps())
    try:
        await spool.load()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            writing = group.create_task(desk.run())
            yield Stand(desk, spool, clock, config, path)
            writing.cancel()
    finally:
        await spool.close()


@asynccontextmanager
async def door(stand: Stand) -> AsyncIterator[int]:
    """The protocol's real door before the desk; yields its port on the loopback interface."""
    ready, stop = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(open_door(stand.config, stand.desk, ready, stop))
        await ready.wait()
        yield stand.config.port
        stop.set()
