"""Those who look on while batches pass. A tap that does not keep up misses events and is told how many."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

WAITING_EVENTS = 1_000
"""Events kept for one slow onlooker: some seconds of a busy pole, about 200 kB."""

Event = dict[str, object]


class Tap:
    """One onlooker's queue."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue(WAITING_EVENTS)
        self._missed = 0

    def offer(self, event: Event) -> None:
        """Add an event, or count it as missed."""
        if self._queue.full():
            self._missed += 1
        else:
            self._queue.put_nowait(event)

    async def take(self) -> Event:
        """The next event; first of all the number of those missed."""
        if self._missed and self._queue.empty():
            missed, self._missed = self._missed, 0
            return {"what": "missed", "events": missed}
        return await self._queue.get()


class Taps:
    """Everyone who looks on."""

    def __init__(self) -> None:
        self._taps: list[Tap] = []

    def __bool__(self) -> bool:
        return bool(self._taps)

    def offer(self, what: str, **fields: object) -> None:
        """Show an event to all onlookers; costs nothing when there are none."""
        for tap in self._taps:
            tap.offer({"what": what, **fields})

    @contextmanager
    def open(self) -> Iterator[Tap]:
        """Look on for as long as the context lasts."""
        tap = Tap()
        self._taps.append(tap)
        try:
            yield tap
        finally:
            self._taps.remove(tap)
