"""The spool's books: streams, counters and totals as the open transaction has them, and the only place that counts.

Read from the file when made; true on disk only after the commit that follows ``save``. A batch that is taken out twice
is counted once, because counting follows the row that was really deleted.
"""

import sqlite3

import msgspec

from device_profiles.ledger import count
from device_profiles.quality import Reason
from device_profiles.readings import Lane
from device_profiles.receipts import Outcome
from gateway import rows
from gateway.gaps import Victim
from gateway.streams import Fate, Stream, read_ledger
from gateway.thinning import Thinner
from gateway.trust import Dating, Trust
from gateway.views import View

REMEMBERED = 4
"""Ended streams kept of one origin: an originator that is gone does not send again."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A batch on its way into the spool. ``at``: its base time, µs; ``ledger``: its originator's snapshot, JSON."""

    origin: str
    epoch: int
    seq: int
    lane: Lane
    at: int
    manifest: int
    count: int
    payload: bytes
    ledger: bytes
    marks: tuple[tuple[str, bytes, bytes], ...] = ()
    """(caller, number of its message, an older number to forget): kept in the same transaction, so that a
    retransmission is known for one even after a restart."""


class Books:
    """What the file says, in memory, with the changes of one transaction."""

    def __init__(self, connection: sqlite3.Connection, first_id: int, trust: Trust) -> None:
        self.connection = connection
        self.streams = rows.load_streams(connection)
        self.mine = rows.load_ledger(connection, "ledger")
        self.past = rows.load_ledger(connection, "past")
        self.batches, self.mine.waiting, self.size = rows.waiting(connection)
        self.turn = rows.last_turn(connection)
        self.next_id = max(first_id, rows.last_id(connection) + 1)
        """Never twice in one process, whatever was deleted: the uplink remembers ids."""
        self.thinner = Thinner()
        """What thinning has kept so far: as true as the transaction, so it is thrown away with a failed one."""
        self.thinned_through = 0
        self.trust = trust
        self.undated = rows.undated(connection)
        """Batches that wait for the box to learn the time."""
        self.mark = rows.load_mark(connection)
        self._dirty: set[tuple[str, int]] = set()
        self._cleared = False

    def save(self) -> None:
        """Write what changed in memory, just before the commit."""
        for name in self._dirty:
            rows.save_stream(self.connection, self.streams[name])
        if self._dirty or self._cleared:
            rows.save_ledger(self.connection, "ledger", self.mine)
        if self._cleared and not self.batches:
            rows.drop_manifests(self.connection)
        self._dirty.clear()
        self._cleared = False

    def touch(self, stream: Stream) -> Stream:
        """Note that a stream's row is to be written."""
        self._dirty.add(stream.name)
        return stream

    def open_stream(self, origin: str, epoch: int, at: int) -> Stream:
        """A stream that was not known; ``at``: its hello's time, µs."""
        number = max((stream.id for stream in self.streams.values()), default=0) + 1
        stream = Stream(id=number, origin=origin, epoch=epoch, last=at)
        self.streams[stream.name] = stream
        return self.touch(stream)

    def forget_streams(self, origin: str) -> None:
        """Drop the oldest ended streams of an origin of which nothing waits; their ledgers go into the past's."""
        ended = [s for s in self.streams.values() if s.origin == origin and s.fate is not Fate.OPEN]
        for stream in sorted(ended, key=lambda s: s.id)[:-REMEMBERED]:
            if rows.anything_waits(self.connection, stream.id):
                continue
            self.past = self.past.plus(read_ledger(stream.ledger))
            rows.save_ledger(self.connection, "past", self.past)
            rows.drop_stream(self.connection, stream.id)
            del self.streams[stream.name]
            self._dirty.discard(stream.name)

    def put(self, stream: Stream, arrival: Arrival) -> None:
        """Take a batch in: one row with the clocks of the moment, its bytes, and the counters."""
        stamp = self.trust.stamp(arrival.at, arrival.lane is Lane.BACKLOG)
        size = len(arrival.payload)
        lane, at = int(arrival.lane), arrival.at
        row = (self.next_id, stream.id, arrival.seq, lane, at, arrival.manifest, arrival.count, size)
        rows.put(self.connection, row, stamp, arrival.payload)
        self.undated += stamp.dating is Dating.WAITING
        self.next_id += 1
        self.batches += 1
        self.size += size
        self.mine.spooled += arrival.count
        self.mine.waiting += arrival.count
        stream.through = arrival.seq
        stream.last = max(stream.last, arrival.at)
        self.touch(stream)

    def remove(self, batch: int, outcome: Outcome | None, reason: Reason) -> bool:
        """Take a batch out for a final outcome (None: given up). False, and nothing counted, when it was not there."""
        taken = rows.take_out(self.connection, batch)
        if taken is None:
            return False
        readings, size, dating = taken
        self.undated -= dating == Dating.WAITING
        self.batches -= 1
        self.size -= size
        self.mine.waiting -= readings
        self._cleared = True
        if outcome is Outcome.STORED:
            self.mine.stored += readings
        elif outcome is Outcome.DUPLICATE:
            self.mine.duplicate += readings
        else:
            count(self.mine.given_up if outcome is None else self.mine.rejected, reason.word, readings)
        return True

    def shrink(self, victim: Victim, payload: bytes, removed: int) -> None:
        """A batch was thinned: fewer readings, the others are given up."""
        rows.rewrite(self.connection, victim.id, payload, count=victim.count - removed, thinned=1)
        self.size += len(payload) - victim.size
        self.mine.waiting -= removed
        count(self.mine.given_up, Reason.THINNED.word, removed)
        self._cleared = True

    def dated(self, batch: int, payload: bytes, at: int, dating: Dating) -> None:
        """A batch that waited for the time has it: its bytes and its base time, µs, are others under the same name."""
        stream, before = rows.rewrite_dated(self.connection, batch, payload, at, dating)
        self.size += len(payload) - before
        self.undated -= 1
        for known in self.streams.values():
            if known.id == stream and known.last < at:
                self.touch(known).last = at

    def view(self, trouble: str = "", failures: int = 0) -> View:
        """A picture to hand out."""
        mine = msgspec.structs.replace(self.mine, rejected=dict(self.mine.rejected), given_up=dict(self.mine.given_up))
        theirs = tuple(stream.ledger for stream in self.streams.values())
        return View(mine, self.past, theirs, self.batches, self.size, self.turn, trouble, failures, self.undated)
