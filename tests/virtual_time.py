"""A virtual-time asyncio loop: when every task waits, the clock jumps to the next timer.

A day of bus time takes seconds, nothing depends on the machine's load, and a hang is an error instead of a
test that never ends. Sockets of this process still work (unix sockets deliver at once), so only time is
faked. It refuses threads: a loop that waits for a thread would be called hung.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

#: 2026-01-01T00:00:00Z in µs: where every virtual clock starts.
START_MICROSECONDS = 1_767_225_600_000_000


class Hang(RuntimeError):
    """Every task waits for something and no timer is set: nothing can ever happen again."""


class Overtime(RuntimeError):
    """The virtual clock passed the limit the test set."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise Hang("every task waits and no timer is set")
        self._jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` moves only when everything waits."""

    def __init__(self, limit: float) -> None:
        self._virtual_now = 0.0
        self._limit = limit
        super().__init__(_JumpingSelector(self._jump))

    def _jump(self, seconds: float) -> None:
        # A hair more than asked: float sums must not leave the timer a rounding error in the future, for
        # ever.
        self._virtual_now += seconds + 1e-9
        if self._virtual_now > self._limit:
            raise Overtime(f"more than {self._limit} s of virtual time went by")

    def time(self) -> float:
        return self._virtual_now


class VirtualClock:
    """A `device_profiles.clock.Clock` that reads the running virtual loop; `skew` shifts only the wall
    clock."""

    def __init__(self, start: int = START_MICROSECONDS) -> None:
        self.start = start
        self.skew = 0

    def now(self) -> int:
        """UTC microseconds."""
        return self.start + self.skew + round(self.monotonic() * 1e6)

    def monotonic(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return asyncio.get_running_loop().time()


def run_virtual(main: Coroutine[Any, Any, Result], limit: float = 200_000.0) -> Result:
    """Run `main` on a virtual loop and return its result; `Hang` when it can never end, `Overtime` after
    `limit` s."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(limit)) as runner:
        return runner.run(main)
