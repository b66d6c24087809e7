"""An asyncio event loop whose time-outs are exact to some tens of microseconds.

`selectors.EpollSelector` rounds every time-out up to a whole millisecond, because that is the unit of
epoll_wait. At 115200 baud one character takes 95 µs and the silent interval 1.75 ms, so the rounding alone
would cost a tenth of the bus. This loop waits in select(2) on the epoll descriptor itself, whose time-out is
in microseconds, and then collects what is ready without waiting. It refuses to spin: nothing here polls in a
loop to gain precision.
"""

from __future__ import annotations

import asyncio
import select
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

#: select(2) cannot name a descriptor above this; beyond it the loop falls back to epoll's milliseconds.
_SELECT_LIMIT = 1024


class PreciseSelector(selectors.EpollSelector):
    """An epoll selector whose positive time-outs are waited out in microseconds."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As `EpollSelector.select`; `timeout` in seconds, honoured without rounding up to a millisecond."""
        if timeout is not None and timeout > 0 and self.fileno() < _SELECT_LIMIT:
            try:
                ready = select.select([self], [], [], timeout)[0]
            except InterruptedError:
                return []
            if not ready:
                return []
            timeout = 0
        return super().select(timeout)


def new_loop() -> asyncio.SelectorEventLoop:
    """A fresh event loop on a `PreciseSelector`; for `asyncio.Runner(loop_factory=new_loop)`."""
    return asyncio.SelectorEventLoop(PreciseSelector())


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` to its end on a precise loop of its own, as `asyncio.run` does, and return its result."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)
