"""The spool's batches that wait for the box to learn the time: held back, re-dated before they leave, or let go.

Looks at the clocks in each transaction. Logs once when the box loses its trust in its clock, and when it is back.
"""

import logging
from collections.abc import Collection

from device_profiles.clock import Clock
from device_profiles.envelope import EnvelopeError, decode_batch
from device_profiles.readings import Lane
from gateway import rows
from gateway.books import Books
from gateway.dating import doubt, redate
from gateway.trust import SECOND, Dating, Stamp, Trust, span

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Batches that are re-dated in one transaction: some tens of milliseconds; the writer goes on with the rest at once."""

MARK_EVERY = 3600 * SECOND
"""How far the newest sure time may be ahead of what the file says: much less than trust.TOLERANCE."""


class Undated:
    """For one process. ``hold``: seconds for which batches wait for the time, before they leave marked as doubtful."""

    def __init__(self, gateway: str, clock: Clock, trust: Trust, hold: float) -> None:
        self._gateway = gateway
        self._clock = clock
        self._trust = trust
        self._hold = int(hold * SECOND)
        self.unfinished = False
        """There is more to re-date than the last transaction did."""

    def look(self, books: Books) -> None:
        """Look at the clocks; within a transaction. What an earlier boot left undated stays so."""
        trust, mono = self._trust, int(self._clock.monotonic() * SECOND)
        if trust.now is None:
            trust.mark = books.mark
        first = trust.now is None
        changed = trust.look(self._clock.now(), mono)
        if first:
            trust.since = min(trust.since, rows.undated_since(books.connection, trust.boot, mono))
        if books.undated:
            books.undated -= rows.lose_dates(books.connection, trust.boot)
        if changed and (not first or not trust.trusted):
            self._say()

    def _say(self) -> None:
        if self._trust.trusted:
            log.warning("clock: the box knows the time again; what it dated before is moved to it, and marked")
        else:
            log.error(
                "clock: the box does not know the time (it says %d s since 1970); batches wait for it for %d s",
                self._clock.now() // SECOND, self._hold // SECOND,
            )  # fmt: skip

    def tend(self, books: Books, lent: Collection[int]) -> None:
        """Before the commit: re-date what can be, but for what is lent, and keep the newest sure time."""
        trust = self._trust
        if trust.mark - books.mark >= MARK_EVERY or trust.mark < books.mark:
            books.mark = trust.mark
            rows.save_mark(books.connection, trust.mark)
        self.unfinished = False
        if not books.undated or not trust.trusted:
            return
        found = rows.waiting_for_date(books.connection, trust.boot, AT_ONCE + len(lent))
        free = [row for row in found if row[0] not in lent]
        for batch, mono, wall, at in free[:AT_ONCE]:
            self._date(books, batch, Stamp(trust.boot, mono, wall), at)
        self.unfinished = len(free) > AT_ONCE or len(found) == AT_ONCE + len(lent)

    def _date(self, books: Books, batch: int, stamp: Stamp, at: int) -> None:
        """Move one batch's times to what the clock says now; bytes that cannot be read are for the centre to judge."""
        before, by = rows.payload_of(books.connection, batch), self._trust.shift(stamp)
        try:
            payload = redate(before, span(stamp), by) if by else before
            books.dated(batch, payload, decode_batch(payload).base, Dating.SOUND)
        except EnvelopeError:
            books.dated(batch, before, at, Dating.LOST)

    def leaving(self, books: Books, lane: Lane, since: int, limit: int) -> list[rows.Leaving]:
        """Batches that may leave in a lane, oldest first; ``rows.leaving`` says the rest.

        While the clock is doubted batches wait, at most ``hold`` seconds. Only alarms never wait.
        """
        connection = books.connection
        found = rows.leaving(connection, (Dating.SOUND, Dating.LOST), lane, since, limit)
        if not books.undated or self._trust.trusted:
            return found
        now = self._trust.now
        over = now is not None and int(self._clock.monotonic() * SECOND) - self._trust.since >= self._hold
        if over or lane is Lane.EVENT:
            waiting = rows.leaving(connection, (Dating.WAITING,), lane, since, limit)
            found += [row for row in waiting if over or row.origin != self._gateway]
            found.sort(key=lambda row: row.at)
        return found[:limit]

    def payload_to_send(self, books: Books, row: rows.Leaving) -> bytes:
        """A batch's bytes; where the box did not know the time, its readings say so."""
        payload = rows.payload_of(books.connection, row.id)
        if row.dating == Dating.SOUND:
            return payload
        return doubt(payload, span(Stamp(b"", row.mono, row.wall)))
