"""One connection from an agent (or from a tool that asks): what it sends is judged here, one message at a time.

Refuses what is no hand-over, a batch before a hello, and a batch under another's name; then the session ends with a
``Trouble`` in words. A batch is answered only after the spool's commit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from device_profiles.commands import CommandError, decode_result
from device_profiles.envelope import EnvelopeError, decode_batch
from device_profiles.handover import (
    Answer,
    Ask,
    BatchMessage,
    Bye,
    CommandMessage,
    HandoverError,
    HandoverReceipt,
    Hello,
    ManifestMessage,
    Message,
    Reader,
    ResultMessage,
    Trouble,
    encode,
)
from device_profiles.manifests import decode_manifests
from device_profiles.quality import Reason
from gateway.books import Arrival
from gateway.commands import Commands
from gateway.spool import Spool
from gateway.streams import read_ledger
from gateway.taps import Taps
from gateway.writer import WriteFailed

log = logging.getLogger(__name__)

UNANSWERED = 16
"""Batches of one session that wait for the disk; an agent has at most 8 under way, so reading on never stalls it."""

READ_BYTES = 65_536

PARTING_SECONDS = 0.5
"""How long a session goes on after the gateway was told to stop."""

LAST_WORDS_SECONDS = 5.0
"""How long a peer may take to read its last receipts; they are on disk, so it loses nothing but time."""

Pending = tuple[Arrival, "asyncio.Future[tuple[Reason, bool]]"]


class Session:
    """Speaks device_profiles.handover on one stream until the peer leaves, errs, or the gateway stops."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        spool: Spool,
        taps: Taps,
        answer: Callable[[str], Awaitable[bytes]],
        commands: Commands,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._spool = spool
        self._taps = taps
        self._answer = answer
        self._commands = commands
        self._hello: Hello | None = None
        self._manifest: tuple[int, bytes] | None = None
        self._error: HandoverError | None = None
        self._pending: asyncio.Queue[Pending | None] = asyncio.Queue(UNANSWERED)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the peer until it leaves, errs (HandoverError) or ``stop``; what it sent before is still answered."""
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            group.create_task(self._send_receipts())
            reading = group.create_task(self._read())
            stopping = group.create_task(_cancel_at(stop, reading))
            await asyncio.wait([reading])
            if self._hello is not None:
                self._commands.leave(self._hello.origin, self._hand_down)
            stopping.cancel()
            limit.reschedule(asyncio.get_running_loop().time() + LAST_WORDS_SECONDS)
            await self._pending.put(None)
        if self._error is not None:
            raise self._error

    async def _read(self) -> None:
        frames = Reader()
        try:
            while data := await self._reader.read(READ_BYTES):
                for message in frames.feed(data):
                    if not await self._take(message):
                        return
        except HandoverError as trouble:
            self._error = trouble
            await self._send(Trouble(str(trouble)))

    async def _take(self, message: Message) -> bool:
        """Deal with one message of an originator; False after its bye."""
        match message:
            case Ask():
                await self._answer_tool(message)
            case Hello():
                await self._greet(message)
            case ManifestMessage():
                await self._keep_manifest(message)
            case ResultMessage():
                await self._settle(message)
            case BatchMessage():
                if self._manifest is not None:
                    await self._write_manifest(*self._manifest)
                arrival = self._arrival(message)
                await self._pending.put((arrival, self._spool.append(arrival)))
            case Bye():
                await self._part(message)
                return False
            case _:
                raise HandoverError(f"a gateway is not sent a {type(message).__name__}")
        return True

    def _greeted(self) -> Hello:
        if self._hello is None:
            raise HandoverError("a hello comes first")
        return self._hello

    async def _greet(self, hello: Hello) -> None:
        if self._hello is not None and (self._hello.origin, self._hello.epoch) != (hello.origin, hello.epoch):
            raise HandoverError("one session is one originator")
        self._hello = hello
        try:
            await self._spool.hello(hello.origin, hello.epoch, hello.at)
        except WriteFailed as trouble:  # the first batch that reaches the disk opens the stream
            log.warning("session %s: hello not written: %s", hello.origin, trouble)
        self._taps.offer("hello", origin=hello.origin, epoch=hello.epoch)

    async def _keep_manifest(self, message: ManifestMessage) -> None:
        origin = self._greeted().origin
        try:
            _, manifests = decode_manifests(message.payload)
        except EnvelopeError as trouble:
            raise HandoverError(f"manifest: {trouble}") from None
        if len(manifests) != 1 or manifests[0].origin != origin:
            raise HandoverError(f"a manifest message of {origin} holds one manifest, its own")
        devices = [device.name for device in manifests[0].devices]
        self._commands.join(origin, self._greeted().epoch, devices, self._hand_down)
        await self._write_manifest(manifests[0].id, message.payload)

    def _hand_down(self, message: CommandMessage) -> None:
        """A command for one of this originator's devices."""
        self._writer.write(encode(message))

    async def _settle(self, message: ResultMessage) -> None:
        self._greeted()
        try:
            result = decode_result(message.payload)
        except CommandError as trouble:
            raise HandoverError(f"result: {trouble}") from None
        await self._commands.settle(result)

    async def _write_manifest(self, manifest: int, payload: bytes) -> None:
        """Keep the manifest, or try again with the next batch: the centre cannot read batches without it."""
        self._manifest = (manifest, payload)
        try:
            await self._spool.keep_manifest(self._greeted().origin, manifest, payload)
        except WriteFailed as trouble:
            log.warning("session %s: manifest not written: %s", self._greeted().origin, trouble)
        else:
            self._manifest = None

    def _arrival(self, message: BatchMessage) -> Arrival:
        hello = self._greeted()
        try:
            batch = decode_batch(message.payload)
            ledger = msgspec.json.encode(read_ledger(message.ledger))
        except (EnvelopeError, msgspec.DecodeError, UnicodeDecodeError) as trouble:
            raise HandoverError(f"batch: {trouble}") from None
        if (batch.origin, batch.epoch) != (hello.origin, hello.epoch):
            raise HandoverError(f"a batch of {batch.origin} in a session of {hello.origin}")
        return Arrival(
            origin=batch.origin,
            epoch=batch.epoch,
            seq=batch.seq,
            lane=batch.lane,
            at=batch.base,
            manifest=batch.manifest,
            count=batch.count,
            payload=message.payload,
            ledger=ledger,
        )

    async def _part(self, bye: Bye) -> None:
        hello = self._greeted()
        if (bye.origin, bye.epoch) != (hello.origin, hello.epoch):
            raise HandoverError(f"a bye of {bye.origin} in a session of {hello.origin}")
        try:
            ledger = msgspec.json.encode(read_ledger(bye.ledger)) if bye.ledger else b""
            await self._spool.bye(bye.origin, bye.epoch, ledger)
        except (msgspec.DecodeError, UnicodeDecodeError) as trouble:
            raise HandoverError(f"bye: {trouble}") from None
        except WriteFailed as trouble:
            log.warning("session %s: bye not written: %s", bye.origin, trouble)
        self._taps.offer("bye", origin=bye.origin, epoch=bye.epoch)

    async def _send_receipts(self) -> None:
        """Answer each batch in its turn, once the disk has it or has failed."""
        refusal: Reason | None = None
        while (pending := await self._pending.get()) is not None:
            arrival, future = pending
            try:
                reason, new = await future
            except WriteFailed as trouble:
                reason, new = trouble.reason, False
            if reason is Reason.MALFORMED and refusal is not None:
                reason = refusal  # refused because the batch before it was: for the same reason, then
            refusal = reason or None
            name = (arrival.origin, arrival.epoch, arrival.seq)
            await self._send(HandoverReceipt(*name, reason is Reason.NONE, reason))
            if self._taps:
                what = "spooled" if new else "refused" if reason else "again"
                self._taps.offer(
                    what, name=name, lane=arrival.lane.word, readings=arrival.count, bytes=len(arrival.payload),
                    reason=reason.word,
                )  # fmt: skip

    async def _answer_tool(self, ask: Ask) -> None:
        if ask.what != "tap":
            await self._send(Answer(await self._answer(ask.what)))
            return
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(self._show())
            while await self._reader.read(READ_BYTES):
                pass
            showing.cancel()

    async def _show(self) -> None:
        with self._taps.open() as tap:
            while True:
                await self._send(Answer(msgspec.json.encode(await tap.take())))

    async def _send(self, message: Message) -> None:
        self._writer.write(encode(message))
        await self._writer.drain()


async def _cancel_at(stop: asyncio.Event, reading: "asyncio.Task[None]") -> None:
    """At the gateway's stop, read on for a moment: an agent that stopped just before has its bye in the pipe."""
    await stop.wait()
    await asyncio.wait([reading], timeout=PARTING_SECONDS)
    reading.cancel()
