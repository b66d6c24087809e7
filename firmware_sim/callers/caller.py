"""One device that calls, as two tasks: it measures every period, and it calls, again and again.

Refuses to hammer a platform that does not answer: the pauses grow to seconds (a real device's to minutes; a simulated
street's day is short).
"""

from __future__ import annotations

import asyncio

from firmware_sim.callers.call import Call, Manners
from firmware_sim.callers.device import CallingDevice
from firmware_sim.callers.wires import open_wire

SETTLE_S = 2.0
"""How long an ack that is on its way is waited for at the end."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


class Caller:
    """One caller; all of it runs in one event loop."""

    def __init__(self, device: CallingDevice, manners: Manners) -> None:
        self.device = device
        self.seat = device.seat
        self._manners = manners

    async def run(self, enough: asyncio.Event) -> None:
        """Measure and call until `enough`, then hear what is on its way and hang up."""
        if self.device.mishaps.plan.dead:
            return
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(self._keep_calling(enough))
            await self._measure(enough)
            self.device.news.set()
            await asyncio.wait({calling}, timeout=SETTLE_S)
            calling.cancel()

    async def _measure(self, enough: asyncio.Event) -> None:
        """A first report soon, then one a period at a moment of the caller's own."""
        loop, period, jitter = asyncio.get_running_loop(), self._manners.period, self.device.mishaps.jitter
        due = loop.time() + jitter() * min(1.0, period)
        share = jitter()  # of a period to the second report, so that a street's callers do not march in step
        while not await _happens(enough, due - loop.time()):
            self.device.measure()
            due = max(due + period * share, loop.time())
            share = 1.0

    async def _keep_calling(self, enough: asyncio.Event) -> None:
        """One connection after the other, with longer and longer pauses while nothing is acked."""
        counts, pause = self.device.counts, FIRST_PAUSE_S
        while not enough.is_set():
            before = counts.acked + counts.repeats
            try:
                wire = await open_wire(self._manners.transport, self._manners.address)
            except OSError:
                counts.lost += 1
            else:
                counts.connected += 1
                await Call(self.device, self._manners, enough).run(wire)
            if counts.acked + counts.repeats > before:
                pause = FIRST_PAUSE_S
            await _happens(enough, pause * (0.5 + self.device.mishaps.jitter()))
            pause = min(2 * pause, LONGEST_PAUSE_S)


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    """Whether `event` is set within so many seconds."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
