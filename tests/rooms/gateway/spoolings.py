"""A store without its thread, over clocks that a test moves: each call is one transaction, and the ledger must hold."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from device_profiles.envelope import Batch, Columns, decode_batch, encode_batch, pack_body, unpack_body
from device_profiles.ledger import Ledger
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane
from device_profiles.receipts import Outcome
from gateway.books import Arrival
from gateway.gaps import decode_gaps
from gateway.inspection import read_ledger
from gateway.store import Store, Waiting, Wish
from gateway.thinning import times_of
from tests.rooms.gateway.doubles import AGENT, SITE, manifest_of, snapshot

SECOND = 1_000_000
NOON = 1_795_000_000 * SECOND


class MovedClock:
    """True time runs with ``run``; the wall clock is ``error`` µs off it; the monotonic clock begins with each boot."""

    def __init__(self, error: int = 0) -> None:
        self.true = NOON
        self.error = error
        self.uptime = 30 * SECOND
        self.boots = 1

    def now(self) -> int:
        return self.true + self.error

    def monotonic(self) -> float:
        return self.uptime / SECOND

    @property
    def boot(self) -> bytes:
        return bytes([self.boots]) * 16

    def run(self, seconds: float) -> None:
        self.true += int(seconds * SECOND)
        self.uptime += int(seconds * SECOND)

    def reboot(self, error: int) -> None:
        self.true += 20 * SECOND
        self.uptime, self.error, self.boots = 10 * SECOND, error, self.boots + 1


def batch_at(
    seq: int, times: Sequence[int], lane: Lane = Lane.LIVE, values: Sequence[float] = (), epoch: int = 1
) -> bytes:
    """A batch with one reading of series 0 at each time (µs); the values are the seq unless given."""
    base = min(times)
    columns = Columns(
        array("H", bytes(2 * len(times))),
        array("q", [at - base for at in times]),
        array("d", values or [float(seq)] * len(times)),
        array("B", bytes(len(times))),
    )
    body, packed = pack_body(columns)
    return encode_batch(
        Batch(
            origin=AGENT, epoch=epoch, seq=seq, lane=lane, manifest=manifest_of().id, base=base, count=len(times),
            body=body, packed=packed,
        )
    )  # fmt: skip


def arrival_of(payload: bytes, handed: int = 0) -> Arrival:
    """A batch with the ledger of an agent that handed over ``handed`` readings before it."""
    batch = decode_batch(payload)
    return Arrival(
        origin=AGENT, epoch=batch.epoch, seq=batch.seq, lane=batch.lane, at=batch.base, manifest=batch.manifest,
        count=batch.count, payload=payload, ledger=msgspec.json.encode(snapshot(handed + batch.count)),
    )  # fmt: skip


def readings_of(payload: bytes) -> list[tuple[int, float | None, int]]:
    """(time, value, code) of each numeric reading."""
    batch = decode_batch(payload)
    columns = unpack_body(batch)
    values = [None if math.isnan(value) else value for value in columns.values]
    return list(zip(times_of(batch, columns), values, columns.codes, strict=False))


class Spooling:
    """One spool file through starts and boots, under one agent that hands over everything it polled."""

    def __init__(
        self, path: Path, clock: MovedClock, quota: int = 1 << 24, thin: bool = False, hold: float = 600.0
    ) -> None:
        self.path = path
        self.clock = clock
        self._options = (quota, thin, hold)
        self._starts = 0
        self.seq = 0
        self.handed = 0
        self.store: Store
        self.start()

    def start(self) -> None:
        """A new process on the same file."""
        if self._starts:
            self.store.close()
        self._starts += 1
        quota, thin, hold = self._options
        self.store = Store(
            self.path, SITE, 70 + self._starts, quota, self.clock, thin=thin, boot=self.clock.boot, hold=hold
        )
        self.tick()

    def tick(self) -> None:
        """An empty transaction, and as many more as the store asks for."""
        for _ in range(1_000):
            self.store.begin()
            self.store.commit()
            if not self.store.unfinished:
                return
        raise AssertionError("the store never finishes")

    def append(
        self, times: Sequence[int] | None = None, lane: Lane = Lane.LIVE, values: Sequence[float] = ()
    ) -> Reason:
        """The next batch, of readings taken now unless told otherwise."""
        arrival = arrival_of(batch_at(self.seq + 1, times or [self.clock.now()], lane, values), self.handed)
        self.store.begin()
        reason, new = self.store.append(arrival)
        self.store.commit()
        if new:
            self.seq += 1
            self.handed += arrival.count
        return reason

    def lend(self, held: Iterable[int] = (), most: int = 10_000) -> list[Waiting]:
        """What may leave now, gaps of the gateway's own too."""
        self.store.ready()
        limits = dict.fromkeys(Lane, most)
        wish = Wish(held=frozenset(held), limits=limits, total=most, size=1 << 30, since=self.clock.now() - 60 * SECOND)
        return self.store.lend(wish)

    def leave(self) -> dict[int, list[tuple[int, float | None, int]]]:
        """Lend and settle: the agent's batches that left, by seq."""
        lent = self.lend()
        self.store.settled.update({each.id: (Outcome.STORED, Reason.NONE) for each in lent})
        self.tick()
        return {each.name[2]: readings_of(each.payload) for each in lent if each.name[0] == AGENT}

    def kept(self) -> dict[int, list[tuple[int, float | None, int]]]:
        """The agent's batches in the file, by seq."""
        rows = self.store.books.connection.execute(
            "SELECT b.seq, payload FROM payloads JOIN batches b USING (id) JOIN streams s ON s.id = stream"
            " WHERE s.origin = ?",
            (AGENT,),
        )
        return {seq: readings_of(bytes(payload)) for seq, payload in rows}

    def gaps(self) -> list[Gap]:
        """The gaps that wait in the gateway's own batches."""
        rows = self.store.books.connection.execute(
            "SELECT payload FROM payloads JOIN batches USING (id) JOIN streams s ON s.id = stream WHERE s.origin = ?",
            (SITE,),
        )
        return [gap for (payload,) in rows for gap in decode_gaps(bytes(payload))]

    def ledger(self) -> Ledger:
        """From the file, beside the open store: it must balance, and agree with what the store believes."""
        found = read_ledger(self.path)
        assert found.differences() == []
        assert found == self.store.books.view().ledger()
        return found
