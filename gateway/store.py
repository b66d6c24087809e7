"""The spool without its thread: one writing connection, and every rule about what is taken, lent and deleted.

Each change belongs to a transaction that its owner begins and commits. What the store keeps in memory about the file is
true only after a commit, so a failed one throws it away and reads it again. Never acknowledges: the owner does, later.
"""

import sqlite3
from pathlib import Path

import msgspec

from device_profiles.clock import Clock
from device_profiles.manifests import encode_manifests
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane
from device_profiles.receipts import Outcome
from gateway import rows
from gateway.books import Arrival, Books
from gateway.gaps import gap_manifest
from gateway.losses import Losses
from gateway.schema import open_database
from gateway.streams import UNKNOWN, Fate, without_pending
from gateway.trust import Trust
from gateway.undated import Undated
from gateway.views import Depth

MAX_SETTLED = 1_024
"""Receipts that a failing disk may leave unwritten before nothing more is lent out."""


HOLD_SECONDS = 600.0
"""How long batches wait for a box to learn the time: its network and an NTP server need some minutes after a boot."""

QUARANTINED, QUARANTINED_BYTES = 1_000, 2_048
"""Strangers' messages that are kept: at most 2 MB, whoever knocks how often."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A batch lent to the uplink. ``lane`` is the one that it leaves in; ``at``: its base time, µs."""

    id: int
    name: tuple[str, int, int]
    lane: Lane
    at: int
    count: int
    payload: bytes


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How much the uplink can carry. ``limits``: batches of each lane; ``total``: of all; ``unhurried``: of live and
    backlog together, so that an event finds room; ``size``: payload bytes; ``since`` (µs): live batches from before
    leave as backlog; ``held``: ids that are under way."""

    held: frozenset[int]
    limits: dict[Lane, int]
    total: int
    size: int
    since: int
    unhurried: int = 1 << 30


class Store:
    """One spool file. ``epoch`` names this start of the gateway as an originator of gaps; ``quota``: payload bytes."""

    def __init__(
        self,
        path: Path,
        gateway: str,
        epoch: int,
        quota: int,
        clock: Clock,
        *,
        thin: bool = False,
        boot: bytes = b"",
        hold: float = HOLD_SECONDS,
    ) -> None:
        """``thin``: thin before giving up; ``boot``: the kernel's boot id; ``hold``: see ``Undated``."""
        self.gateway = gateway
        self.epoch = epoch
        self._path = path
        self._gateway = gateway
        self._quota = quota
        self._clock = clock
        self._trust = Trust(boot)
        self._undated = Undated(gateway, clock, self._trust, hold)
        self._connection: sqlite3.Connection | None = None
        self._books: Books | None = None
        self._next = 1
        self._lent: set[int] = set()
        self._losses = Losses(gateway, epoch, quota, self._lent, thin)
        self._starts: dict[tuple[str, int], int] = {}
        self.settled: dict[int, tuple[Outcome, Reason]] = {}
        """Receipts that are not written yet: batch id to its fate. Written with the next commit that succeeds."""

    def ready(self) -> None:
        """Open and read the file if need be. sqlite3.DatabaseError: the disk fails; SpoolError: it is no spool."""
        if self._connection is None:
            self._connection = open_database(self._path)
        if self._books is None:
            self._books = Books(self._connection, self._next, self._trust)

    def begin(self) -> None:
        """Begin a transaction; raises as ``ready`` does."""
        self.ready()
        self.books.connection.execute("BEGIN IMMEDIATE")
        self._undated.look(self.books)

    @property
    def unfinished(self) -> bool:
        """True while there is more to re-date than one transaction did: another one, even an empty one, goes on."""
        return self._undated.unfinished

    @property
    def waits_for_time(self) -> bool:
        """True while batches wait for the box to learn the time: its clocks are to be looked at now and then."""
        return self._books is not None and self._books.undated > 0

    def commit(self) -> None:
        """Write receipts and counters, then commit: after it everything done since ``begin`` is on disk."""
        books = self.books
        self._undated.tend(books, self._lent)
        for batch, (outcome, reason) in self.settled.items():
            books.remove(batch, outcome, reason)
        books.save()
        books.connection.execute("COMMIT")
        self._next = books.next_id
        self._lent.difference_update(self.settled)
        self.settled.clear()

    def abort(self) -> None:
        """Undo what was done since ``begin``; whatever the disk does now, the next ``begin`` finds a sound state."""
        if self._books is not None:
            self._next = self._books.next_id
        self._books = None
        try:
            if self._connection is not None:
                self._connection.rollback()
        except sqlite3.DatabaseError:
            self.close()

    def close(self) -> None:
        """Close the file."""
        connection, self._connection, self._books = self._connection, None, None
        if connection is not None:
            connection.close()

    @property
    def books(self) -> Books:
        """The books of the open transaction, or as the last commit left them."""
        assert self._books is not None, "begin() comes first"
        return self._books

    def hello(self, origin: str, epoch: int, at: int) -> None:
        """An originator starts (``at``: µs), or is back. Earlier starts that ended without a bye are told as gaps."""
        books = self.books
        stream = books.streams.get((origin, epoch))
        if stream is not None and stream.fate is Fate.OPEN:
            return
        killed = [s for s in books.streams.values() if s.origin == origin and s.fate is Fate.OPEN]
        if stream is None:
            books.open_stream(origin, epoch, at)
        else:
            books.touch(stream).fate = Fate.OPEN
        for other in killed:
            books.touch(other).fate = Fate.KILLED
            other.ledger = without_pending(other.ledger)
        killed_gap = Reason.ORIGINATOR_KILLED
        gaps = [Gap(origin=origin, epoch=k.epoch, reason=killed_gap, begin=k.last, end=max(at, k.last)) for k in killed]
        self._losses.tell(books, gaps, self._clock.now())
        books.forget_streams(origin)

    def bye(self, origin: str, epoch: int, ledger: bytes) -> None:
        """An originator ended cleanly, and this is its last word (JSON; empty: what it said before stands)."""
        stream = self.books.streams.get((origin, epoch))
        if stream is not None:
            self.books.touch(stream).fate = Fate.BYE
            stream.ledger = ledger or stream.ledger

    def append(self, arrival: Arrival) -> tuple[Reason, bool]:
        """(NONE, True): taken; (NONE, False): it was taken before; (a reason, False): refused for that reason.

        MALFORMED refuses a hole in the numbering: the batch before this one was refused and comes again first.
        """
        books, name = self.books, (arrival.origin, arrival.epoch)
        if name not in books.streams:  # its hello was in a transaction that failed
            self.hello(arrival.origin, arrival.epoch, arrival.at)
        stream = books.streams[name]
        if stream.through == UNKNOWN:
            expected = self._starts.setdefault(name, arrival.seq)
        elif arrival.seq <= stream.through:
            return Reason.NONE, False
        else:
            expected = stream.through + 1
        if arrival.seq != expected:
            return Reason.MALFORMED, False
        if not self._losses.make_room(books, len(arrival.payload), self._clock.now()):
            return Reason.QUOTA, False
        books.put(stream, arrival)
        rows.mark_seen(books.connection, arrival.marks)
        stream.ledger = arrival.ledger
        return Reason.NONE, True

    def keep_manifest(self, origin: str, manifest: int, payload: bytes) -> None:
        """Keep an originator's manifest (manifests.encode_manifests of that one) while batches refer to it."""
        self.books.turn += 1
        rows.keep_manifest(self.books.connection, origin, manifest, self.books.turn, payload)
        rows.drop_manifests(self.books.connection)

    def seen(self, caller: str) -> list[bytes]:
        """The numbers of a caller's last messages, oldest first."""
        return rows.seen(self.books.connection, caller)

    def quarantine(self, listener: str, caller: str, peer: str, reason: Reason, data: bytes) -> None:
        """Keep a stranger's message; at most QUARANTINED of them, each cut to QUARANTINED_BYTES."""
        row = (self._clock.now(), listener, caller[:64], peer, int(reason), data[:QUARANTINED_BYTES])
        rows.quarantine(self.books.connection, row, QUARANTINED)

    def expire(self, before: int) -> int:
        """Give up batches whose base time is before ``before`` (µs): how many."""
        return self._losses.expire(self.books, before, self._clock.now())

    def lend(self, wish: Wish) -> list[Waiting]:
        """Batches to send that are not lent yet: events, then live, then backlog, oldest first in each.

        One batch larger than ``wish.size`` is lent when nothing else is. They stay lent until they are settled.
        """
        result: list[Waiting] = []
        # What an earlier call lent and nobody received (its caller was cancelled) is not under way: it may go again.
        self._lent.intersection_update(wish.held | self.settled.keys())
        self._lent.update(wish.held)
        if len(self.settled) >= MAX_SETTLED:
            return result
        size, events = wish.size, 0
        for lane in Lane:
            limit = min(wish.limits[lane], wish.total - len(result))
            if lane is Lane.LIVE:
                events = len(result)
            if lane is not Lane.EVENT:
                limit = min(limit, wish.unhurried - (len(result) - events))
            for row in self._candidates(lane, wish.since, limit):
                alone = not self._lent
                if row.size > size and not alone:
                    break
                result.append(self._lend(row, lane))
                size -= row.size
        return result

    def _candidates(self, lane: Lane, since: int, limit: int) -> list[rows.Leaving]:
        if limit <= 0:
            return []
        found = self._undated.leaving(self.books, lane, since, limit + len(self._lent))
        return [row for row in found if row.id not in self._lent][:limit]

    def _lend(self, row: rows.Leaving, lane: Lane) -> Waiting:
        self._lent.add(row.id)
        payload = self._undated.payload_to_send(self.books, row)
        name = (row.origin, row.epoch, row.seq)
        return Waiting(id=row.id, name=name, lane=lane, at=row.at, count=row.readings, payload=payload)

    def manifests(self) -> list[bytes]:
        """The manifests that waiting batches may refer to, the gateway's own first, then oldest first."""
        own = encode_manifests(self._gateway, [gap_manifest(self._gateway)])
        return [own, *rows.manifests(self.books.connection)]

    def depth(self) -> Depth:
        """What waits, by lane, read from the file."""
        return rows.depth(self.books.connection, self._quota)
