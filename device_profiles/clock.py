"""What a clock is: the only way that a room learns the time. Each room brings its own implementation."""

from typing import Protocol


class Clock(Protocol):
    """Wall time for what is written down, monotonic time for what is waited for; never mixed."""

    def now(self) -> int:
        """UTC in integer microseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back."""
        ...


EPOCH_RANDOM_BITS = 20


def make_epoch(now: int, noise: int) -> int:
    """A new originator epoch out of wall time (µs) and a random number.

    Seconds in the high bits keep epochs sortable for people; 20 random bits keep two starts apart on a
    box whose clock was set back (or that boots in 1970 every time). Stays below 2**53, so JSON carries it.
    """
    return (max(now, 0) // 1_000_000) << EPOCH_RANDOM_BITS | noise & ((1 << EPOCH_RANDOM_BITS) - 1)
