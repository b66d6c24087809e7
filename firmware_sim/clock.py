"""The wall and the stop-watch of this process; refuses to be read by anything that was not handed it."""

from __future__ import annotations

import time


class SystemClock:
    """`device_profiles.clock.Clock` over the operating system's clocks."""

    def now(self) -> int:
        """UTC, integer microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin, never backwards."""
        return time.monotonic()
