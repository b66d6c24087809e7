"""The gateway's own reading of the time."""

import os
import time
import uuid
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """device_profiles.clock.Clock over the operating system's clocks."""

    def now(self) -> int:
        """UTC in integer microseconds since 1970."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back."""
        return time.monotonic()


def boot_id() -> bytes:
    """The kernel's name for this boot, 16 bytes; a random one where there is none: nothing is dated later then.

    Within one boot the monotonic clock of all processes is the same (clock_gettime(2), CLOCK_MONOTONIC).
    """
    try:
        return uuid.UUID(BOOT_ID.read_text().strip()).bytes
    except (OSError, ValueError):
        return os.urandom(16)
