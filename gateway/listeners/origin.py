"""What a listener's callers say, as one originator's batches: the next one is sealed as soon as the last is on disk.

So one commit carries whatever came in while the one before it was written. Refuses to number what did not reach the
disk: a refused batch leaves its number to the next one, and its reports without an acknowledgement.
"""

import asyncio
import logging
import secrets
from array import array
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from device_profiles.clock import EPOCH_RANDOM_BITS, Clock, make_epoch
from device_profiles.envelope import MILLISECOND, Batch, Columns, encode_batch, pack_body
from device_profiles.ledger import Ledger, count
from device_profiles.manifests import SeriesEntry, encode_manifests, make_manifest
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Gap, Lane, Value
from device_profiles.reports import Report, Reported
from device_profiles.spans import is_wide
from gateway.books import Arrival
from gateway.listeners.callers import Caller, device_entry, series_entries
from gateway.spool import Spool
from gateway.writer import WriteFailed

log = logging.getLogger(__name__)

MOST_READINGS = 2_000
"""Readings in one batch: some 12 kB; more would make an event wait longer for the disk."""

MOST_SERIES = 15_000
"""Series of one originator: their manifest fits one message (``manifests.MAX_MANIFEST_BYTES``)."""

MOST_GAPS = 1_000
"""Gaps that wait to be told; about 100 bytes each. What they counted stays in the ledger."""

LATE_US = 60_000_000
"""A report older than this does not share a batch with fresh ones: it would drag them into the backlog with it."""

_NAN = float("nan")


class Pending(msgspec.Struct):
    """A report that waits for the disk. ``base``: first alias of its caller; ``mark``: how it will be known again."""

    caller: Caller
    base: int
    report: Report
    readings: tuple[Reported, ...]
    done: "asyncio.Future[Reason]"
    mark: tuple[str, bytes, bytes] | None = None


class Originator:
    """One originator of a listener, from ``run`` until it is cancelled."""

    def __init__(self, name: str, gateway: str, callers: Sequence[Caller], spool: Spool, clock: Clock) -> None:
        """``name``: its origin. The aliases of a caller are ``base_of`` plus the index of the point in its profile."""
        self.name = name
        self.epoch = make_epoch(clock.now(), secrets.randbits(EPOCH_RANDOM_BITS))
        self.ledger = Ledger()
        self._gateway = gateway
        self._spool = spool
        self._clock = clock
        self._bases: dict[str, int] = {}
        series: list[SeriesEntry] = []
        for place, caller in enumerate(callers):
            self._bases[caller.id] = len(series)
            series += series_entries(caller, place)
        self._manifest = make_manifest(name, [device_entry(caller) for caller in callers], series)
        self._announced = False
        self._seq = 0
        self._queues: dict[tuple[Lane, bool], deque[Pending]] = {}
        self._gaps: list[Gap] = []
        self._wake = asyncio.Event()

    def base_of(self, caller: Caller) -> int:
        """The alias of a caller's first point."""
        return self._bases[caller.id]

    def put(
        self, caller: Caller, report: Report, readings: tuple[Reported, ...], mark: tuple[str, bytes, bytes] | None
    ) -> "asyncio.Future[Reason]":
        """Queue a report (``readings``: its readings with their final times); resolves when the disk has it, with
        NONE, or with why it has not."""
        done: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        now = self._clock.now()
        late = any(reading.at is not None and reading.at < now - LATE_US for reading in readings)
        pending = Pending(caller, self._bases[caller.id], report, readings, done, mark)
        self._queues.setdefault((report.lane, late), deque()).append(pending)
        self._wake.set()
        return done

    async def run(self) -> None:
        """Write what is put, batch after batch, until cancelled; what was put before is still written."""
        await self._announce()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._drain()
        finally:
            # Cancelled: nobody puts any more, but what was put is owed an answer.
            await self._drain()
            await self._bye()

    async def _drain(self) -> None:
        for lane, late in self._order():
            queue = self._queues[lane, late]
            while queue:
                await self._write(lane, self._cut(queue))
                if lane is not Lane.EVENT and self._queues.get((Lane.EVENT, False)):
                    self._wake.set()  # an event came meanwhile: it goes before the rest of this queue
                    return

    def _order(self) -> list[tuple[Lane, bool]]:
        return sorted(key for key, queue in self._queues.items() if queue)

    def _cut(self, queue: deque[Pending]) -> list[Pending]:
        """As many reports from the front as one batch may carry, at least one."""
        taken = [queue.popleft()]
        size = len(taken[0].readings)
        while queue and size + len(queue[0].readings) <= MOST_READINGS:
            size += len(queue[0].readings)
            taken.append(queue.popleft())
        return taken

    async def _write(self, lane: Lane, group: list[Pending]) -> None:
        """One batch: counted, numbered, written, answered."""
        payload, base, size = self._encode(lane, group)
        taken = _counted(group)
        snapshot = msgspec.json.encode(self.ledger.plus(taken))
        reason = await self._append(lane, payload, base, snapshot, size, group)
        if reason is Reason.NONE:
            self._seq += 1
            self._gaps = []
            self.ledger = self.ledger.plus(taken)
        else:
            self._refused(group, reason)
        for pending in group:
            if not pending.done.done():
                pending.done.set_result(reason)

    async def _append(
        self, lane: Lane, payload: bytes, base: int, snapshot: bytes, size: int, group: list[Pending]
    ) -> Reason:
        if not await self._announce():
            return Reason.DISK_FULL
        arrival = Arrival(
            origin=self.name,
            epoch=self.epoch,
            seq=self._seq + 1,
            lane=lane,
            at=base,
            manifest=self._manifest.id,
            count=size,
            payload=payload,
            ledger=snapshot,
            marks=tuple(pending.mark for pending in group if pending.mark),
        )
        try:
            reason, _ = await self._spool.append(arrival)
        except WriteFailed as trouble:
            return trouble.reason
        return reason

    def _refused(self, group: list[Pending], reason: Reason) -> None:
        """Readings that a device will say again were not received yet; the others are lost, and that is told."""
        lost = [pending for pending in group if not pending.report.repeats and pending.readings]
        taken = _counted(lost)
        count(taken.refused, reason.word, taken.handed)
        self.ledger = self.ledger.plus(taken)
        self._gaps += [self._gap(pending, reason) for pending in lost]
        del self._gaps[:-MOST_GAPS]

    def _gap(self, pending: Pending, reason: Reason) -> Gap:
        times = [reading.at or 0 for reading in pending.readings]
        return Gap(
            origin=self.name,
            epoch=self.epoch,
            reason=reason,
            begin=min(times),
            end=max(times),
            readings=len(times),
            devices=(pending.caller.device,),
        )

    def _encode(self, lane: Lane, group: list[Pending]) -> tuple[bytes, int, int]:
        """(the batch's bytes, its base time, its readings)."""
        rows = list(_rows(group))
        base = min((at for _, at, _, _ in rows), default=self._clock.now())
        body, packed = pack_body(_columns(rows, base, self._gaps))
        batch = Batch(
            origin=self.name,
            epoch=self.epoch,
            seq=self._seq + 1,
            lane=lane,
            manifest=self._manifest.id,
            base=base,
            count=len(rows),
            body=body,
            packed=packed,
        )
        return encode_batch(batch), base, len(rows)

    async def _announce(self) -> bool:
        """Say hello and keep the manifest, once; False while the disk does not take it."""
        if self._announced:
            return True
        try:
            await self._spool.hello(self.name, self.epoch, self._clock.now())
            message = encode_manifests(self._gateway, [self._manifest])
            await self._spool.keep_manifest(self.name, self._manifest.id, message)
        except WriteFailed as trouble:
            log.warning("%s: not announced: %s", self.name, trouble)
            return False
        self._announced = True
        return True

    async def _bye(self) -> None:
        try:
            await self._spool.bye(self.name, self.epoch, msgspec.json.encode(self.ledger))
        except WriteFailed as trouble:
            log.warning("%s: bye not written: %s", self.name, trouble)


Row = tuple[int, int, Value, int]
"""(alias, time in µs, value, code)."""


def _rows(group: list[Pending]) -> Iterator[Row]:
    for pending in group:
        places = {point.name: place for place, point in enumerate(pending.caller.profile.points)}
        for reading in pending.readings:
            code = code_of(reading.quality, reading.reason)
            assert reading.at is not None  # the desk dated it
            yield pending.base + places[reading.point], reading.at, reading.value, code


def _columns(rows: list[Row], base: int, gaps: list[Gap]) -> Columns:
    """The wire's columns; text and whole numbers that no float64 carries go apart."""
    plain = [row for row in rows if not isinstance(row[2], str) and not is_wide(row[2])]
    steps = [at - base for _, at, _, _ in plain]
    coarse = all(step % MILLISECOND == 0 for step in steps) and max(steps, default=0) < MILLISECOND << 32
    tick = MILLISECOND if coarse else 1
    codes = bytes(code for _, _, _, code in plain)
    columns = Columns(
        array("H", (alias for alias, _, _, _ in plain)),
        array("I" if coarse else "q", (step // tick for step in steps)),
        array("d", (_NAN if value is None else float(value) for _, _, value, _ in plain)),
        memoryview(codes),
        tick=tick,
    )
    columns.others = [
        (alias, at - base, value if isinstance(value, (str, int)) else None, code)
        for alias, at, value, code in rows
        if isinstance(value, str) or is_wide(value)
    ]
    columns.gaps = list(gaps)
    return columns


def _counted(group: list[Pending]) -> Ledger:
    """The originator's half of the ledger for these reports, as if all of them were handed over."""
    size = sum(len(pending.readings) for pending in group)
    ledger = Ledger(polled=size, handed=size)
    for pending in group:
        for reading in pending.readings:
            if reading.quality is Quality.GOOD:
                ledger.good += 1
            elif reading.quality is Quality.UNCERTAIN:
                ledger.uncertain += 1
            else:
                count(ledger.bad, reading.reason.word)
    return ledger
