"""All callers of a street: one thread, one event loop, from `start` to `stop`.

Refuses to share the loop with the Modbus TCP links: thousands of callers must not make a unit late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event, Thread
from typing import Protocol

from firmware_sim.callers.seats import Seat


class Calling(Protocol):
    """One caller, however it speaks."""

    seat: Seat

    async def run(self, enough: asyncio.Event) -> None:
        """Report until `enough`; returns soon after it, when the acks that were on their way have come."""
        ...


class Callers:
    """They call from `start` to `stop`; nothing is opened before."""

    def __init__(self, callers: Sequence[Calling]) -> None:
        self.callers = callers
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to call; a platform that is not there yet is called again."""
        if not self.callers:
            return
        ready = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve(ready)), name="callers")
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Stop measuring, hear the acks that are on their way, hang up."""
        if self._thread is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._enough.set)
        self._thread.join()
        self._thread = None

    @property
    def alive(self) -> bool:
        """False when calling has ended by a mistake of ours."""
        return self._thread is None or self._thread.is_alive()

    async def _serve(self, ready: Event) -> None:
        self._loop, self._enough = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        async with asyncio.TaskGroup() as group:
            for caller in self.callers:
                group.create_task(caller.run(self._enough))
            await self._enough.wait()
