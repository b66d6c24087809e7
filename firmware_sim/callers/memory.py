"""What a calling device keeps until the platform has acked it: the newest, those put by, and who is who by key.

Refuses to lose anything silently: a report that no longer fits is counted as forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from firmware_sim.callers.seats import CallerCounts, Sent

KEEP = 10_000
"""Reports of a week at one a minute: as much as a logger's flash keeps."""
KNOWN = 1024
"""Acked reports that are still told apart, for acks that come a second time."""


class Memory:
    """Live before kept, kept in the order in which they were made."""

    def __init__(self, counts: CallerCounts, keep: int = KEEP) -> None:
        self._counts = counts
        self._keep = keep
        self._live: deque[Sent] = deque()
        self._kept: deque[Sent] = deque()
        self._book: dict[bytes, Sent] = {}
        self._done: deque[Sent] = deque()

    def add(self, made: Iterable[Sent]) -> None:
        """New reports of one moment; those before them that have not left yet are put by."""
        while self._live:
            self._put_by(self._live.popleft())
        for sent in made:
            self._counts.reports += 1
            self._counts.waiting += 1
            sent.place = self._counts.reports
            self._live.append(sent)
            self._book[sent.key] = sent

    def next(self) -> Sent | None:
        """The next report to be sent: a live one, else the oldest that was put by."""
        if self._live:
            return self._live.popleft()
        while self._kept:
            taken = self._kept.popleft()
            if not taken.known:  # an ack may come after all
                return taken
        return None

    @property
    def idle(self) -> bool:
        """True when nothing is to be sent."""
        return not self._live and not self._kept

    def keep(self, sent: Sent) -> None:
        """Put a report by that was tried in vain."""
        self._put_by(sent)

    def _put_by(self, sent: Sent) -> None:
        sent.kept = True
        if self._kept and sent.place < self._kept[0].place:
            self._kept.appendleft(sent)
        else:
            self._kept.append(sent)
        if len(self._kept) > self._keep:
            lost = self._kept.popleft()
            self._book.pop(lost.key, None)
            self._counts.waiting -= 1
            self._counts.forgotten += 1
            self._counts.forgotten_readings += lost.readings

    def find(self, key: bytes) -> Sent | None:
        """The report of that key; None for one that was never made or is long done."""
        return self._book.get(key)

    def done(self, sent: Sent) -> None:
        """The device knows that the platform has it."""
        self._counts.waiting -= 1
        self._done.append(sent)
        if len(self._done) > KNOWN:
            old = self._done.popleft()
            if self._book.get(old.key) is old:  # a short number may have come round
                del self._book[old.key]
