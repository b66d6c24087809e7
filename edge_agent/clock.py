"""The machine's clock, read in one place, and how finely an answer's time is told."""

import time

from device_profiles.clock import Clock

STAMP_US = 1000
"""One character at 9600 baud takes longer than this, so finer stamps would tell of our scheduler, not of the device."""


def stamp(clock: Clock) -> int:
    """`at` of a reading: UTC µs, taken to the millisecond."""
    now = clock.now()
    return now - now % STAMP_US


class SystemClock:
    """A `device_profiles.clock.Clock` on the system's own clocks."""

    def now(self) -> int:
        """UTC microseconds."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds; never steps back."""
        return time.monotonic()
