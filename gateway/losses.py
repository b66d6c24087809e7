"""What the spool gives up, and how it says so: every reading given up is in a gap of the gateway's own stream.

Never gives up what is lent to the uplink (it may be stored already), nor the gateway's own batches (they are the gaps).
"""

from collections.abc import Iterable

import msgspec

from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane
from gateway import rows
from gateway.books import Arrival, Books
from gateway.gaps import MAX_GAPS, Victim, decode_gaps, encode_gaps, end_of, gap_manifest, gaps_of, joined
from gateway.streams import Fate, Stream

SPARE = 64
"""A full spool gives up at least quota / SPARE at a time, so that one gap speaks of many batches."""

FOLDED = 16
"""Waiting gap batches that are folded into a new one: more than ever wait together, few enough to decode at once."""

EXPIRED_AT_ONCE = 1_000
"""Batches that expire in one transaction: some milliseconds; the rest goes the next time."""


class Losses:
    """Giving up, for one gateway start (``epoch``). ``lent``: ids that the uplink has, shared with the store."""

    def __init__(self, gateway: str, epoch: int, quota: int, lent: set[int]) -> None:
        self._gateway = gateway
        self._epoch = epoch
        self._quota = quota
        self._lent = lent
        self._manifest = gap_manifest(gateway).id

    def make_room(self, books: Books, size: int, now: int) -> bool:
        """Give up the oldest batches until ``size`` more bytes fit the quota; False when that cannot be."""
        missing = books.size + size - self._quota
        if missing <= 0:
            return True
        if size > self._quota:
            return False
        wanted = max(missing, self._quota // SPARE)
        victims: list[Victim] = []
        for victim in rows.oldest(books.connection, self._gateway):
            if wanted <= 0:
                break
            if victim.id not in self._lent:
                victims.append(victim)
                wanted -= victim.size
        self._give_up(books, victims, Reason.QUOTA, now)
        return books.size + size <= self._quota

    def expire(self, books: Books, before: int, now: int) -> int:
        """Give up batches whose base time is before ``before`` (µs): how many."""
        old = rows.older_than(books.connection, self._gateway, before, EXPIRED_AT_ONCE)
        victims = [victim for victim in old if victim.id not in self._lent]
        self._give_up(books, victims, Reason.EXPIRED, now)
        return len(victims)

    def tell(self, books: Books, gaps: Iterable[Gap], now: int) -> None:
        """Write gaps into the gateway's own stream. They never count against the quota: they are what makes room."""
        told = list(gaps)
        if not told:
            return
        stream = books.streams.get((self._gateway, self._epoch))
        if stream is None:
            stream = self._open_own(books, now)
        seq = stream.through + 1
        payload = encode_gaps(self._gateway, self._epoch, seq, now, told)
        own = Arrival(
            origin=self._gateway,
            epoch=self._epoch,
            seq=seq,
            lane=Lane.EVENT,
            at=now,
            manifest=self._manifest,
            count=0,
            payload=payload,
            ledger=b"{}",
        )
        books.put(stream, own)

    def _open_own(self, books: Books, now: int) -> Stream:
        """This start's own stream; earlier starts' lost nothing: they numbered what was committed."""
        for earlier in books.streams.values():
            if earlier.origin == self._gateway:
                books.touch(earlier).fate = Fate.BYE
        books.forget_streams(self._gateway)
        stream = books.open_stream(self._gateway, self._epoch, now)
        stream.through = 0
        return stream

    def _give_up(self, books: Books, victims: list[Victim], reason: Reason, now: int) -> None:
        if not victims:
            return
        ids = {(v.origin, v.epoch, v.seq): v.id for v in victims}
        gaps = []
        for gap in gaps_of(victims, reason):
            last = rows.payload_of(books.connection, ids[gap.origin, gap.epoch, gap.last_seq or 0])
            gaps.append(msgspec.structs.replace(gap, end=max(gap.end, end_of(last) or gap.end)))
        for victim in victims:
            books.remove(victim.id, None, reason)
        self.tell(books, self._folded(books, gaps), now)

    def _folded(self, books: Books, gaps: list[Gap]) -> list[Gap]:
        """The gaps with those that wait unsent, joined: a long outage ends in one gap batch, not in one an hour."""
        waiting = rows.own_waiting(books.connection, self._gateway, FOLDED)
        unsent = [victim for victim in waiting if victim.id not in self._lent]
        earlier = [gap for victim in unsent for gap in decode_gaps(rows.payload_of(books.connection, victim.id))]
        together = joined([*earlier, *gaps, *gaps_of(unsent, Reason.QUOTA)])
        if len(together) > MAX_GAPS:
            return gaps
        for victim in unsent:
            books.remove(victim.id, None, Reason.QUOTA)
        return together
