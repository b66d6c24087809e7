"""Handing over: the agent's side of the local stream to its gateway.

Hello, the manifest, then batches, at most a window of them without a receipt; after a loss of the connection
everything without a receipt is sent again. What the gateway refuses (its disk is full) is offered again in
order, and polls go on meanwhile. `Bye` is said only when nothing is left in memory: its absence is how a
gateway learns that readings died with this process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec

from device_profiles.clock import Clock
from device_profiles.handover import (
    Bye,
    CommandMessage,
    HandoverError,
    HandoverReceipt,
    Hello,
    ManifestMessage,
    Message,
    Reader,
    Trouble,
    encode,
)
from device_profiles.quality import Reason
from edge_agent.commands import Commands
from edge_agent.outbox import Outbox, Sealed

_log = logging.getLogger("kuimen.agent")

#: Where a gateway listens: a unix socket's path, or (host, port).
Address = Path | tuple[str, int]

#: Seconds between two attempts to reach the gateway: it is on the same box and restarts in about one.
RECONNECT_FIRST, RECONNECT_LONGEST = 0.1, 2.0
#: Seconds before refused batches are offered again: a full disk does not empty faster.
REFUSED_PAUSE = 1.0
READ_BYTES = 65536


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream to the gateway. OSError when nothing listens there."""
    if isinstance(address, Path):
        return await asyncio.open_unix_connection(str(address))
    return await asyncio.open_connection(*address)


class Handover:
    """Owns the connection to the gateway; `run` until cancelled, `finish` for a clean end."""

    def __init__(
        self,
        outbox: Outbox,
        address: Address,
        manifest: bytes,
        clock: Clock,
        linger: float = 0.05,
        commands: Commands | None = None,
    ) -> None:
        """`commands`: who executes what the gateway hands down; None where nobody does."""
        self.connected = False
        self._commands = commands
        self._heard = False
        self._outbox = outbox
        self._address = address
        self._manifest = manifest
        self._clock = clock
        self._linger = linger
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False
        self._refused_until = 0.0
        self._resend = False
        self._bye = False
        self._done = asyncio.Event()
        self._announced = False
        outbox.on_first = self._lingering
        outbox.on_full = self._wake.set
        if commands is not None:
            commands.on_result = self._wake.set

    async def run(self) -> None:
        """Keep a session with the gateway, for ever, or until `finish` has said its goodbye."""
        pause = RECONNECT_FIRST
        while not self._done.is_set():
            try:
                reader, writer = await connect(self._address)
            except OSError as trouble:
                if pause == RECONNECT_FIRST:
                    _log.warning("no gateway at %s: %s; readings wait in memory", self._address, trouble)
                await asyncio.sleep(pause)
                pause = min(pause * 2, RECONNECT_LONGEST)
                continue
            self._heard = False
            await self._session(reader, writer)
            if self._done.is_set():
                return
            pause = RECONNECT_FIRST if self._heard else min(pause * 2, RECONNECT_LONGEST)
            await asyncio.sleep(pause)

    def announce(self, manifest: bytes) -> None:
        """Another manifest: it goes out before the next batch."""
        self._manifest, self._announced = manifest, False
        self._wake.set()

    async def finish(self, seconds: float) -> bool:
        """Hand over what is left and say goodbye; False when that took longer than `seconds`."""
        self._bye = True
        self._flush()
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            return False
        return True

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outbox = self._outbox
        hello = encode(Hello(outbox.origin, outbox.epoch, self._clock.now()))
        self.connected, self._resend, self._refused_until = True, False, 0.0
        outbox.refusal = Reason.QUEUE_FULL
        if self._commands is not None:
            self._commands.say_again()
        try:
            writer.write(hello + encode(ManifestMessage(self._manifest)))
            self._announced = True
            self._write(writer, outbox.window)
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(self._hear(reader))
                sending = group.create_task(self._send(writer))
                await asyncio.wait((hearing, sending), return_when=asyncio.FIRST_COMPLETED)
                hearing.cancel()
                sending.cancel()
        finally:
            self.connected = False
            outbox.refusal = Reason.GATEWAY_DOWN
            writer.transport.abort() if not self._done.is_set() else writer.close()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        """Take receipts until the stream ends."""
        messages = Reader()
        while True:
            try:
                data = await reader.read(READ_BYTES)
                heard = messages.feed(data)
            except (OSError, HandoverError) as trouble:
                _log.warning("the gateway's stream broke: %s", trouble)
                return
            if not data:
                return
            for message in heard:
                self._take(message)

    def _take(self, message: Message) -> None:
        outbox = self._outbox
        if isinstance(message, CommandMessage) and self._commands is not None:
            self._commands.take(message)
            return
        if isinstance(message, Trouble):
            _log.error("the gateway could not read us: %s", message.text)
        if not isinstance(message, HandoverReceipt) or (message.origin, message.epoch) != (outbox.origin, outbox.epoch):
            return
        self._heard = True
        if message.accepted:
            outbox.accepted(message.seq)
            outbox.refusal = Reason.QUEUE_FULL
        elif not self._resend:
            if outbox.refusal is not message.reason:  # once, not once a second for as long as it lasts
                _log.warning("the gateway refuses batches: %s; polls go on", message.reason.word)
            self._resend = True
            self._refused_until = self._clock.monotonic() + REFUSED_PAUSE
        if not message.accepted:
            outbox.refusal = message.reason
        self._wake.set()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        """Seal and send while the window has room; after a refusal pause, then offer the whole window
        again."""
        outbox = self._outbox
        while True:
            self._wake.clear()
            pause = self._refused_until - self._clock.monotonic()
            try:
                if not self._announced:
                    self._announced = True
                    writer.write(encode(ManifestMessage(self._manifest)))
                for result in self._commands.unsaid() if self._commands is not None else ():
                    writer.write(encode(result))
                if self._resend and pause <= 0:
                    self._resend = False
                    self._write(writer, outbox.window)
                while not self._resend and self._ready():
                    self._write(writer, (outbox.seal(),))
                if self._bye and outbox.empty:
                    writer.write(encode(Bye(outbox.origin, outbox.epoch, msgspec.json.encode(outbox.ledger))))
                    await writer.drain()
                    self._done.set()
                    return
                await writer.drain()
            except OSError:
                return
            if self._resend:
                await asyncio.sleep(max(pause, 0.0))
            else:
                await self._wake.wait()

    def _ready(self) -> bool:
        """True when a batch can be sealed now. An overdue chunk is closed only here, when it can leave:
        while the gateway takes nothing, readings go on gathering into full batches."""
        if self._overdue and not self._outbox.closed:
            self._overdue = False
            self._outbox.close_chunk()
        return self._outbox.can_seal()

    def _write(self, writer: asyncio.StreamWriter, batches: Iterable[Sealed]) -> None:
        for sealed in tuple(batches):
            writer.write(sealed.frame)

    def _lingering(self) -> None:
        """The first reading entered the open chunk: it may wait for company, but not for long."""
        if self._bye:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._linger, self._linger_over)

    def _linger_over(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        self._overdue = True
        self._wake.set()
