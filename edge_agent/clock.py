"""The machine's clock, read in one place."""

import time


class SystemClock:
    """A `device_profiles.clock.Clock` on the system's own clocks."""

    def now(self) -> int:
        """UTC microseconds."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds; never steps back."""
        return time.monotonic()
