"""Readings on their way to the gateway: an open chunk that fills, closed chunks that wait, sealed batches
that have a name.

A reading leaves by one door only: sealed into a batch whose (origin, epoch, seq) is kept until the gateway's
receipt, or, when the gateway refuses and memory is full, given up: the oldest first, counted under its reason
and told as a `Gap` in the next batch. A seq is given when a batch is sealed, so there are never holes. It
refuses to talk to anybody, and to keep anything across a restart.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from device_profiles.envelope import MILLISECOND, Batch, Columns, encode_batch, pack_body
from device_profiles.handover import BatchMessage, encode
from device_profiles.ledger import Ledger, count
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane, Value
from device_profiles.spans import is_wide

#: Readings in memory that have no batch yet: some ten seconds of a busy pole, 400 kB.
MOST_PENDING = 20_000
#: Sealed batches without a receipt: enough to keep the gateway's disk busy while one is being committed.
WINDOW = 8
#: Devices named by a gap; more than that and it concerns all devices of the origin.
NAMED_DEVICES = 64

_OFFSETS = (("H", (1 << 16) - 1), ("I", (1 << 32) - 1))
"""The unsigned types of an offset and the largest of each."""


class OutboxError(RuntimeError):
    """The ledger does not balance: we are wrong, and nothing we count can be believed."""


class Sealed(msgspec.Struct, frozen=True):
    """A batch with a name; `frame` is its hand-over message, ready to be sent (again)."""

    seq: int
    count: int
    frame: bytes


class Chunk:
    """Columns that fill; times are kept as runs, for all readings of a reply share one."""

    __slots__ = ("aliases", "codes", "others", "runs", "size", "values")

    def __init__(self) -> None:
        self.aliases = array("H")
        self.values = array("d")
        self.codes = bytearray()
        self.runs: list[tuple[int, int]] = []
        self.others: list[tuple[int, int, Value, int]] = []
        self.size = 0

    def columns(self, base: int) -> Columns:
        """The wire's columns with offsets after `base` (µs): what was read together stays together, and the replies of
        one unit follow each other, in the order of time.

        Neighbours that are alike deflate better. Times come as whole milliseconds (`clock.stamp`) and go as such.
        """
        steps = [(at - base) // MILLISECOND for at, _ in self.runs]
        code = _narrowest(steps)
        aliases, offsets, values, codes = array("H"), array(code or "q"), array("d"), bytearray()
        for first, last, step, at in self._in_order(steps):
            aliases += self.aliases[first:last]
            values += self.values[first:last]
            codes += self.codes[first:last]
            offsets += array(offsets.typecode, (step if code else at - base,)) * (last - first)
        others = [
            (alias, at - base, value if isinstance(value, (str, int)) else None, code_)
            for alias, at, value, code_ in self.others
        ]
        return Columns(aliases, offsets, values, memoryview(codes), others, tick=MILLISECOND if code else 1)

    def _in_order(self, steps: list[int]) -> list[tuple[int, int, int, int]]:
        """(first place, place after the last, step, time) of each run, by its first alias, then by time."""
        rows, first = [], 0
        for step, (at, length) in zip(steps, self.runs, strict=True):
            rows.append((self.aliases[first], at, first, first + length, step))
            first += length
        rows.sort()
        return [(first, last, step, at) for _, at, first, last, step in rows]

    @property
    def begin(self) -> int:
        """The earliest time in it."""
        return min([at for at, _ in self.runs] + [other[1] for other in self.others])

    @property
    def end(self) -> int:
        """The latest time in it."""
        return max([at for at, _ in self.runs] + [other[1] for other in self.others])

    @property
    def named(self) -> set[int]:
        """Every alias in it."""
        return {*self.aliases, *(other[0] for other in self.others)}


def _narrowest(steps: list[int]) -> str:
    """The array type that holds every step; "" when only microseconds in 64 bits do."""
    low, high = min(steps, default=0), max(steps, default=0)
    return next((code for code, most in _OFFSETS if low >= 0 and high <= most), "")


class Outbox:
    """The agent's memory. `on_first` and `on_full` are called when there may be something to send; `owners`: the device
    of each alias."""

    def __init__(
        self,
        origin: str,
        epoch: int,
        manifest: int,
        ledger: Ledger,
        owners: Sequence[str],
        batch_readings: int = 500,
        most_pending: int = MOST_PENDING,
    ) -> None:
        self.origin = origin
        self.epoch = epoch
        self.ledger = ledger
        self.window: deque[Sealed] = deque()
        self.seq = 0
        self.sealed_readings = 0
        #: Why the gateway takes nothing at the moment: what a gap will say if memory overflows now.
        self.refusal = Reason.GATEWAY_DOWN
        self.on_first: Callable[[], None] = lambda: None
        self.on_full: Callable[[], None] = lambda: None
        self._manifest = manifest
        self._owners = owners
        self._batch_readings = batch_readings
        self._most_pending = most_pending
        self._open = Chunk()
        self._closed: deque[Chunk] = deque()
        self._gaps: list[Gap] = []

    def renew(self, manifest: int, owners: Sequence[str]) -> None:
        """Seal under another manifest from now on: the aliases of the one before mean the same in it."""
        self._manifest, self._owners = manifest, owners

    def add(self, at: int, aliases: Sequence[int], values: Sequence[float], codes: bytes) -> None:
        """Take numeric readings of one instant `at` (UTC µs); `values` carry NaN where the code says BAD."""
        chunk = self._open
        length = len(values)
        chunk.aliases.extend(aliases)
        chunk.values.extend(values)
        chunk.codes += codes
        chunk.runs.append((at, length))
        self._grown(length)

    def add_other(self, at: int, alias: int, value: Value, code: int) -> None:
        """Take one reading that no float64 carries: a text, or a whole number beyond 2**53."""
        self._open.others.append((alias, at, value, code))
        self._grown(1)

    def add_any(self, at: int, alias: int, value: Value, code: int, text: bool) -> None:
        """Take one reading of whatever kind."""
        if text or is_wide(value):
            self.add_other(at, alias, None if isinstance(value, float) else value, code)
        else:
            self.add(at, (alias,), (float(value or 0.0),), bytes((code,)))

    def _grown(self, length: int) -> None:
        chunk = self._open
        first = chunk.size == 0
        chunk.size += length
        self.ledger.pending += length
        if self.ledger.pending > self._most_pending:
            self._give_up_oldest()
        if chunk.size >= self._batch_readings:
            self.close_chunk()
            self.on_full()
        elif first:
            self.on_first()

    def close_chunk(self) -> None:
        """The open chunk is to be sealed as it is."""
        if self._open.size:
            self._closed.append(self._open)
            self._open = Chunk()

    def _give_up_oldest(self) -> None:
        if not self._closed:
            self.close_chunk()
        chunk = self._closed.popleft()
        ledger = self.ledger
        ledger.pending -= chunk.size
        ledger.handed += chunk.size
        count(ledger.refused, self.refusal.word, chunk.size)
        devices = sorted({self._owners[alias] for alias in chunk.named})
        gap = Gap(
            origin=self.origin,
            epoch=self.epoch,
            reason=self.refusal,
            begin=chunk.begin,
            end=chunk.end,
            readings=chunk.size,
            devices=tuple(devices) if len(devices) <= NAMED_DEVICES else (),
        )
        self._gaps = _told_together(self._gaps, gap)

    @property
    def closed(self) -> int:
        """Chunks that wait for a place in the window."""
        return len(self._closed)

    def can_seal(self) -> bool:
        """True when a chunk waits and the window has room."""
        return bool(self._closed) and len(self.window) < WINDOW

    def seal(self) -> Sealed:
        """Name the oldest chunk, with every gap not yet told; OutboxError when the ledger does not
        balance."""
        chunk = self._closed.popleft()
        self.seq += 1
        ledger = self.ledger
        ledger.pending -= chunk.size
        ledger.handed += chunk.size
        self.sealed_readings += chunk.size
        self.prove()
        base = chunk.begin
        columns = chunk.columns(base)
        columns.gaps, self._gaps = self._gaps, []
        body, packed = pack_body(columns)
        batch = Batch(
            origin=self.origin,
            epoch=self.epoch,
            seq=self.seq,
            lane=Lane.LIVE,
            manifest=self._manifest,
            base=base,
            count=chunk.size,
            body=body,
            packed=packed,
        )
        message = BatchMessage(encode_batch(batch), msgspec.json.encode(ledger))
        sealed = Sealed(self.seq, chunk.size, encode(message))
        self.window.append(sealed)
        return sealed

    def accepted(self, seq: int) -> None:
        """The gateway has that batch on disk."""
        self.window = deque(sealed for sealed in self.window if sealed.seq != seq)

    @property
    def empty(self) -> bool:
        """True when every reading taken is on the gateway's disk or counted as given up."""
        return not self.window and not self.ledger.pending

    def prove(self) -> None:
        """Assert the agent's half of the identity."""
        whole = msgspec.structs.replace(self.ledger, spooled=self.sealed_readings, waiting=self.sealed_readings)
        if differences := whole.differences():
            raise OutboxError("; ".join(differences))


def _told_together(gaps: list[Gap], new: Gap) -> list[Gap]:
    """Chunks given up one after the other for one reason make one gap."""
    if not gaps or gaps[-1].reason is not new.reason:
        return [*gaps, new]
    last = gaps[-1]
    devices = tuple(sorted({*last.devices, *new.devices}))
    merged = msgspec.structs.replace(
        last,
        begin=min(last.begin, new.begin),
        end=max(last.end, new.end),
        readings=(last.readings or 0) + (new.readings or 0),
        devices=devices if last.devices and new.devices and len(devices) <= NAMED_DEVICES else (),
    )
    return [*gaps[:-1], merged]
