"""A breaker keeps a dead unit from costing everybody else's bus time.

It opens after some time-outs in a row; while it is open the unit is only probed, and a probe that cost c
seconds of the bus is followed by at least `PROBE_RATIO` x c seconds without one, growing to a cap: so a dead
unit costs the bus less than 2 % of its time. The first answer closes it. It refuses to know what a probe is,
to wait, or to read a clock.
"""

from __future__ import annotations

#: Time-outs in a row that open the breaker: one is an accident, two a coincidence.
OPENS_AFTER = 3
#: Seconds without a probe, for each second that the last probe cost: 1 / (1 + 52) is below 2 %.
PROBE_RATIO = 52.0
#: Longest wait between two probes in seconds (unless the ratio asks for more): how long a repaired unit stays
#: dark.
LONGEST_WAIT = 60.0


class Breaker:
    """The state of one unit on one link; times are monotonic seconds handed in by the caller."""

    __slots__ = ("_longest", "_opens_after", "_wait", "opened", "retry_at", "silences")

    def __init__(self, opens_after: int = OPENS_AFTER, longest: float = LONGEST_WAIT) -> None:
        self._opens_after = opens_after
        self._longest = longest
        self._wait = 0.0
        self.silences = 0
        #: How often this breaker has opened, for the log.
        self.opened = 0
        #: When the unit may next be asked; 0.0 while the breaker is closed.
        self.retry_at = 0.0

    @property
    def is_open(self) -> bool:
        """True while the unit is only probed."""
        return self.silences >= self._opens_after

    def answered(self) -> None:
        """The unit said something, even an exception: it lives."""
        self.silences = 0
        self.retry_at = 0.0
        self._wait = 0.0

    def was_silent(self, now: float, cost: float) -> None:
        """The unit kept silent, which cost the bus `cost` seconds until `now`."""
        self.silences += 1
        if not self.is_open:
            return
        if self.silences == self._opens_after:
            self.opened += 1
        least = cost * PROBE_RATIO
        self._wait = max(least, min(self._wait * 2, self._longest))
        self.retry_at = now + self._wait
