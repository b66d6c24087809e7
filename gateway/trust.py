"""Whether the box knows what time it is: judged from its wall clock, its monotonic clock and what the spool remembers.

Pure: the two clocks are passed in. A wall clock is doubted while it is before this software was made, or more than a
day before the newest time at which the spool is sure to have written. What was spooled meanwhile can be dated later in
the same boot, because the monotonic clock ran on: wall - monotonic then, against wall - monotonic now.
"""

from enum import IntEnum, unique

import msgspec

SECOND = 1_000_000
"""µs."""

FLOOR = 1_767_225_600 * SECOND
"""2026-01-01: no box has run this software before."""

TOLERANCE = 24 * 3600 * SECOND
"""How far a clock may go back and be believed: corrections, a wrong time zone; not a lost battery."""

STEP = 2 * SECOND
"""A change of wall - monotonic by more than this is a step; NTP slews by half a millisecond a second."""

STEADY = 3600 * SECOND
"""How long a clock must have run without a step before its time is remembered: a wrong leap must not make every right
time after it doubtful."""

IN_HAND = 300 * SECOND
"""How long after the box learnt the time originators may still hand over what they dated before."""


@unique
class Dating(IntEnum):
    """How a spooled batch stands with the time."""

    SOUND = 0
    WAITING = 1  # the box did not know the time; it will be re-dated when it does
    LOST = 2  # the same, but that boot is over: nobody can date it any more


class Stamp(msgspec.Struct, frozen=True):
    """The clocks at the moment of spooling. ``mono``: µs since the boot; ``wall``: UTC µs, if it was right."""

    boot: bytes
    mono: int
    wall: int
    dating: Dating = Dating.SOUND

    @property
    def offset(self) -> int:
        """What the box added to its monotonic clock to tell the time, µs."""
        return self.wall - self.mono


class Trust:
    """One boot's judgement. ``mark``: the newest sure time that the file remembers, µs (0: none)."""

    def __init__(self, boot: bytes) -> None:
        self.boot = boot
        self.trusted = True
        self.mark = 0
        self.now: Stamp | None = None
        """The clocks at the last look."""
        self.since = 0
        """Monotonic µs when the clock became as it is: trusted, or not."""
        self._steady_since = 0
        self._before: int | None = None
        self._left: Stamp | None = None

    def look(self, wall: int, mono: int) -> bool:
        """Look at the clocks (µs); True when the judgement has changed with this look, or is the first."""
        last, self.now = self.now, Stamp(self.boot, mono, wall)
        if last is None or abs(self.now.offset - last.offset) > STEP:
            self._stepped(last)
        was = self.trusted
        self.trusted = wall >= FLOOR and wall >= self.mark - TOLERANCE
        if self.trusted and mono - self._steady_since >= STEADY:
            self.mark = max(self.mark, wall)
        if last is not None and was == self.trusted:
            return False
        self.since = mono
        if last is not None and self.trusted:  # the last moment of the old time: later than every reading dated by it
            self._left = Stamp(self.boot, mono, mono + last.offset, Dating.WAITING)
        return True

    def _stepped(self, last: Stamp | None) -> None:
        """The wall clock is not where it was: a leap forward that is taken back was no time to remember."""
        assert self.now is not None
        self._steady_since = self.now.mono
        if self._before is not None and abs(self.now.offset - self._before) <= STEP:
            self.mark = min(self.mark, self.now.wall)
            self._before = None
        elif last is not None and self.trusted and self.now.offset > last.offset:
            self._before = last.offset

    def stamp(self, at: int, backlog: bool) -> Stamp:
        """How a batch of base time ``at`` (µs) is spooled now; ``look`` comes first."""
        assert self.now is not None
        if not self.trusted:
            return msgspec.structs.replace(self.now, dating=Dating.WAITING)
        left = self._left
        if left is None or backlog or self.now.mono - left.mono > IN_HAND:
            return self.now
        begin, end = span(left)
        return left if begin <= at <= end else self.now

    def shift(self, stamp: Stamp) -> int:
        """What to add to a time that was dated by ``stamp``'s clock, µs; 0 where it needs no correction."""
        assert self.now is not None
        by = self.now.offset - stamp.offset
        return by if abs(by) > STEP else 0


def span(stamp: Stamp) -> tuple[int, int]:
    """The times, µs, that the box itself can have given in this boot, up to the stamp: others came with their own."""
    return stamp.offset - STEP, stamp.wall + STEP
