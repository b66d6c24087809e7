"""The gateway's own reading of the time."""

import time


class SystemClock:
    """device_profiles.clock.Clock over the operating system's clocks."""

    def now(self) -> int:
        """UTC in integer microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back."""
        return time.monotonic()
