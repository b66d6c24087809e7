"""One connection of a calling device: greeting, reports one at a time, time-outs, repeats, and what goes wrong on it.

Refuses to go on with a connection that does not ack: the next one is greeted afresh and the report is sent again there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.callers.device import CallingDevice
from firmware_sim.callers.mishaps import CallerFault
from firmware_sim.callers.seats import Sent
from firmware_sim.callers.wires import Address, Wire, open_wire

LINGER_S = 2.0
"""How long a connection that was given up is still read, for acks that are on their way."""
OLD_PORTS = 4
"""Source ports behind which late acks are still heard after a rebind."""


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How a caller behaves: seconds between reports and for an ack, how often it sends again, and where it calls."""

    period: float
    transport: str
    address: Address
    timeout_s: float
    retries: int


class Call:
    """One conversation, from greeting to end or to `enough`.

    `over`: the other side has gone. `deaf`: the device misses its acks, the witness does not.
    """

    def __init__(self, device: CallingDevice, manners: Manners, enough: asyncio.Event) -> None:
        self._enough = enough
        self._device = device
        self._manners = manners
        self._over = self._deaf = self._ready = self._lost = False
        self._copies = self._acks = 0
        self._readers: list[tuple[Wire, asyncio.Task[None]]] = []

    async def run(self, wire: Wire) -> None:
        """Talk until the connection is over or of no use; then everything it used is closed."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._attach(wire)
                try:
                    if await self._greet():
                        while await self._say_next():
                            pass
                except OSError:
                    self._lost = True
                await self._hear_out()
                for _, reader in self._readers:
                    reader.cancel()
        finally:
            self._device.counts.lost += self._lost
            for old, _ in self._readers:
                old.close()

    def _attach(self, wire: Wire) -> None:
        """Speak over `wire` from now on; the ports before it are heard for late acks only."""
        self._wire = wire
        self._readers.append((wire, self._group.create_task(self._listen(wire))))
        while len(self._readers) > 1 + OLD_PORTS:
            _end(*self._readers.pop(0))

    async def _listen(self, wire: Wire) -> None:
        """Hear what comes until there is no more."""
        try:
            while (data := await wire.read()) is not None:
                deaf = self._deaf or wire is not self._wire
                heard, acks = self._device.hear(data, deaf)
                self._acks += acks
                if not deaf:
                    self._ready |= heard.ready
                    for frame in heard.reply:
                        self._device.counts.replies += 1
                        await wire.send(frame)
        except OSError:  # told below: the end is the end, however it came
            pass
        if wire is self._wire:
            self._over = self._lost = True
            self._device.news.set()

    async def _greet(self) -> bool:
        frames = self._device.talker.greet()
        self._ready = not frames
        for _ in range(1 + self._manners.retries):
            if self._ready or self._over:
                break
            for frame in frames:
                await self._wire.send(frame)
            await self._until(lambda: self._ready or self._over, self._manners.timeout_s)
        return self._ready and not self._over

    async def _say_next(self) -> bool:
        """Deliver one report, or wait for one; False when it is enough or the connection of no use any more."""
        memory, talker = self._device.memory, self._device.talker
        if self._enough.is_set():
            return False
        sent = memory.next()
        if sent is None:
            beat_s: float | None = getattr(talker, "beat_s", None)
            if not await self._until(lambda: self._over or not memory.idle or self._enough.is_set(), beat_s):
                await self._wire.send(talker.beat())  # type: ignore[attr-defined]  # offered together with beat_s
            return not self._over
        try:
            return await self._deliver(sent) and not self._over
        finally:
            if not sent.known:
                memory.keep(sent)

    async def _deliver(self, sent: Sent) -> bool:
        """Send until it is acked; False when that was in vain or the connection has to go."""
        fault, sent.fault = sent.fault, CallerFault.NONE  # a fault happens once
        if not await self._suffer(sent, fault):
            return False
        for _ in range(1 + self._manners.retries):
            await self._copy(sent)
            if fault is CallerFault.DROP and sent.key:
                self._device.suffered(fault)
                fault, self._deaf = CallerFault.NONE, True
                if not self._wire.datagrams:
                    return False
            await self._until(lambda: sent.known or self._over, self._manners.timeout_s)
            self._deaf = False
            if sent.known:
                if fault is CallerFault.DUPLICATE and sent.key:
                    self._device.suffered(fault)
                    await self._copy(sent)
                return True
            if self._over:
                return False
        return False

    async def _suffer(self, sent: Sent, fault: CallerFault) -> bool:
        """What goes wrong before the frame itself leaves; False when the connection went with it."""
        mishaps, datagrams = self._device.mishaps, self._wire.datagrams
        if fault is CallerFault.REBIND and datagrams:
            self._attach(await open_wire(self._manners.transport, self._manners.address))
        elif fault is CallerFault.NOISE:
            await self._wire.send(mishaps.garbage())
        elif fault is CallerFault.BAD_CHECKSUM:
            sent.spoilt += 1  # damaged where the protocol does not look, it is as good as whole
            await self._wire.send(mishaps.turned(self._device.frame(sent)))
        elif fault is CallerFault.TRUNCATED:
            sent.spoilt += 1
            await self._wire.send(mishaps.cut(self._device.frame(sent)))
        else:
            return True
        self._device.suffered(fault)
        return fault is not CallerFault.TRUNCATED or datagrams

    async def _copy(self, sent: Sent) -> None:
        """One whole copy leaves."""
        frame = self._device.frame(sent)
        sent.copies += 1
        self._device.counts.sent += 1
        self._device.counts.unheard += 1
        self._copies += 1 if sent.key else 0
        try:
            await self._wire.send(frame)
        except OSError:
            if self._wire.datagrams:  # nobody listens: it certainly did not arrive
                self._take_back(sent)
            raise
        if not sent.key:
            self._device.acknowledged(sent)

    def _take_back(self, sent: Sent) -> None:
        sent.copies -= 1
        self._device.counts.sent -= 1
        self._device.counts.unheard -= 1
        self._copies -= 1 if sent.key else 0

    async def _hear_out(self) -> None:
        """Say that nothing more comes and hear the acks that are on their way, not as the device but as the witness."""
        self._deaf = True
        if self._copies > self._acks and not self._over:
            self._wire.finish()
            await self._until(lambda: self._copies <= self._acks or self._over, LINGER_S)

    async def _until(self, holds: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until it holds; False when it does not within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._device.news.clear()
                    await self._device.news.wait()
        except TimeoutError:
            return holds()
        return True


def _end(wire: Wire, reader: asyncio.Task[None]) -> None:
    """Close a wire once nobody reads it any more."""
    reader.add_done_callback(lambda _: wire.close())
    reader.cancel()
