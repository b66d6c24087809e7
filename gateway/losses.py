"""What the spool gives up, and how it says so: every reading given up is in a gap of the gateway's own stream.

Never gives up what is lent to the uplink (it may be stored already), nor the gateway's own batches (they are the gaps).
"""

from collections.abc import Iterable

import msgspec

from device_profiles.envelope import EnvelopeError, decode_batch, encode_batch
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

THINNED_TOGETHER = 500
"""Batches that a full spool thins at least at a time, so that one gap speaks of many."""

THINNED_AT_ONCE = 4_000
"""At most as many, a second or so; what is to be spooled is then refused once more, and offered again."""

EXPIRED_AT_ONCE = 1_000
"""Batches that expire in one transaction: some milliseconds; the rest goes the next time."""


class Losses:
    """Giving up, for one gateway start (``epoch``). ``lent``: ids that the uplink has, shared with the store.

    ``thin``: a full spool keeps one value a minute of its oldest batches before it gives any of them up.
    """

    def __init__(self, gateway: str, epoch: int, quota: int, lent: set[int], thin: bool = False) -> None:
        self._gateway = gateway
        self._epoch = epoch
        self._quota = quota
        self._lent = lent
        self._thinning = thin
        self._manifest = gap_manifest(gateway).id

    def make_room(self, books: Books, size: int, now: int) -> bool:
        """Give up the oldest batches until ``size`` more bytes fit the quota; False when that cannot be."""
        missing = books.size + size - self._quota
        if missing <= 0:
            return True
        if size > self._quota:
            return False
        if self._thinning and not self._thin(books, missing, now):
            return books.size + size <= self._quota
        missing = books.size + size - self._quota
        if missing <= 0:
            return True
        self._give_up(books, self._oldest(books, max(missing, self._quota // SPARE)), Reason.QUOTA, now)
        return books.size + size <= self._quota

    def _oldest(self, books: Books, wanted: int) -> list[Victim]:
        """The oldest batches of at least ``wanted`` bytes together, as far as there are any."""
        victims: list[Victim] = []
        for victim in rows.oldest(books.connection, self._gateway):
            if wanted <= 0:
                break
            if victim.id not in self._lent:
                victims.append(victim)
                wanted -= victim.size
        return victims

    def _thin(self, books: Books, missing: int, now: int) -> bool:
        """Thin the oldest batches until ``missing`` bytes are free; False when there are more than fit one transaction.

        What is thinned wholly is given up under its name, the rest of what is removed between two times.
        """
        looked, freed = 0, books.size
        gaps: list[Gap] = []
        while looked < THINNED_TOGETHER or freed - books.size < missing:
            if looked >= THINNED_AT_ONCE:
                break
            victims = rows.unthinned(books.connection, self._gateway, books.thinned_through, THINNED_TOGETHER)
            if not victims:
                break
            looked += len(victims)
            books.thinned_through = victims[-1].id
            gaps += [gap for victim in victims if victim.id not in self._lent for gap in _thin_one(books, victim)]
        if gaps:
            self.tell(books, self._folded(books, gaps), now)
        return looked < THINNED_AT_ONCE or freed - books.size >= missing

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
        dating = books.trust.stamp(0, True).dating  # gaps that are dated by different clocks are not folded together
        waiting = rows.own_waiting(books.connection, self._gateway, dating, FOLDED)
        unsent = [victim for victim in waiting if victim.id not in self._lent]
        earlier = [gap for victim in unsent for gap in decode_gaps(rows.payload_of(books.connection, victim.id))]
        together = joined([*earlier, *gaps, *gaps_of(unsent, Reason.QUOTA)])
        if len(together) > MAX_GAPS:
            return gaps
        for victim in unsent:
            books.remove(victim.id, None, Reason.QUOTA)
        return together


def _thin_one(books: Books, victim: Victim) -> list[Gap]:
    """Thin one batch: what is to be told about it."""
    try:
        thinned = books.thinner.thin(decode_batch(rows.payload_of(books.connection, victim.id)))
    except EnvelopeError:  # nobody can read it: it stays as it is
        thinned = None
    if thinned is None or not thinned.removed:
        rows.mark_thinned(books.connection, victim.id)
        return []
    seq = None
    if thinned.empty:
        books.remove(victim.id, None, Reason.THINNED)
        seq = victim.seq
    else:
        books.shrink(victim, encode_batch(thinned.batch), thinned.removed)
    return [
        Gap(
            origin=victim.origin,
            epoch=victim.epoch,
            reason=Reason.THINNED,
            begin=thinned.begin,
            end=thinned.end,
            readings=thinned.removed,
            first_seq=seq,
            last_seq=seq,
        )
    ]
