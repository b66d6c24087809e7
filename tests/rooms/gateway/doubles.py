"""Doubles of the wire for the gateway's tests: an agent that hands over, and a centre that receipts, as told.

They speak the real protocols on real sockets to real brokers; nothing of the gateway is replaced.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import msgspec

from device_profiles.envelope import Batch, Columns, decode_batch, encode_batch, pack_body, unpack_body
from device_profiles.handover import (
    BatchMessage,
    Bye,
    HandoverReceipt,
    Hello,
    ManifestMessage,
    Message,
    Reader,
    Trouble,
    encode,
)
from device_profiles.ledger import Ledger
from device_profiles.manifests import (
    DeviceEntry,
    Manifest,
    SeriesEntry,
    decode_manifests,
    encode_manifests,
    make_manifest,
)
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane
from device_profiles.receipts import Outcome, Receipt, Unreadable, digest_of, encode_receipts
from device_profiles.topics import Topics
from gateway import service
from gateway.clock import SystemClock
from gateway.config import GatewayConfig, SpoolConfig, UplinkConfig

PATIENCE = 20.0
"""Seconds for anything that must happen; a healthy run needs a fraction of one."""

SITE = "kz-001"
AGENT = f"{SITE}/agent"
CLOCK = SystemClock()

Verdict = Outcome | tuple[Outcome, Reason] | None


def manifest_of(origin: str = AGENT, devices: int = 1) -> Manifest:
    """A small manifest."""
    entries = [DeviceEntry(f"air-{n}", None, {}, "environment", "renke-louver", 1) for n in range(devices)]
    series = [SeriesEntry(n, "temperature", {}, "air_temperature", "Cel", "number", 60.0) for n in range(devices)]
    return make_manifest(origin, entries, series)


def batch_of(
    seq: int,
    count: int = 10,
    *,
    origin: str = AGENT,
    epoch: int = 1,
    lane: Lane = Lane.LIVE,
    at: int | None = None,
    noise: int = 0,
    manifest: int | None = None,
) -> bytes:
    """A batch whose values are its seq; ``noise`` makes it larger than deflating can undo."""
    base = CLOCK.now() if at is None else at
    columns = Columns(
        array("H", [0] * count), array("I", range(count)), array("d", [float(seq)] * count), array("B", bytes(count))
    )
    if noise:
        columns.others = [(0, 0, os.urandom(noise).hex(), 0)]
        columns.aliases, columns.offsets, columns.values, columns.codes = (
            array("H", [0] * (count - 1)),
            array("I", range(count - 1)),
            array("d", [float(seq)] * (count - 1)),
            array("B", bytes(count - 1)),
        )
    body, packed = pack_body(columns)
    return encode_batch(
        Batch(
            origin=origin,
            epoch=epoch,
            seq=seq,
            lane=lane,
            manifest=manifest_of(origin).id if manifest is None else manifest,
            base=base,
            count=count,
            body=body,
            packed=packed,
        )
    )


def snapshot(handed: int) -> Ledger:
    """The ledger of an agent that polled only good values and handed over all of them."""
    return Ledger(polled=handed, good=handed, handed=handed)


class Agent:
    """One agent's connection: hands over batches and collects the receipts."""

    def __init__(self, config: GatewayConfig, epoch: int = 1, origin: str = AGENT) -> None:
        self._config = config
        self.epoch = epoch
        self.origin = origin
        self.seq = 0
        self.handed = 0
        self._frames = Reader()
        self._inbox: list[Message] = []
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self, greet: bool = True) -> Agent:
        """Open the stream and, unless told otherwise, introduce itself."""
        self._frames, self._inbox = Reader(), []
        if isinstance(self._config.listen, Path):
            self._reader, self._writer = await asyncio.open_unix_connection(self._config.listen)
        else:
            self._reader, self._writer = await asyncio.open_connection(*self._config.listen)
        if greet:
            self.say(Hello(self.origin, self.epoch, CLOCK.now()))
            self.say(ManifestMessage(encode_manifests(self.origin, [manifest_of(self.origin)])))
        return self

    def say(self, message: Message) -> None:
        """Send one message."""
        self._writer.write(encode(message))

    def say_bytes(self, data: bytes) -> None:
        """Send what may be no message at all."""
        self._writer.write(data)

    async def hear(self) -> Message | None:
        """The next message; None at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            while not self._inbox:
                data = await self._reader.read(65_536)
                if not data:
                    return None
                self._inbox += self._frames.feed(data)
        return self._inbox.pop(0)

    def send(self, payload: bytes) -> None:
        """Hand over prepared bytes with the snapshot that belongs to them."""
        self.say(BatchMessage(payload, msgspec.json.encode(snapshot(self.handed))))

    def next_batch(self, count: int = 10, lane: Lane = Lane.LIVE, noise: int = 0, at: int | None = None) -> bytes:
        """Seal the next batch, without handing it over."""
        self.seq += 1
        self.handed += count
        return batch_of(self.seq, count, origin=self.origin, epoch=self.epoch, lane=lane, noise=noise, at=at)

    async def hand(self, batches: int = 1, count: int = 10, **kinds: object) -> list[HandoverReceipt]:
        """Hand over new batches and wait for all their receipts."""
        for _ in range(batches):
            self.send(self.next_batch(count, **kinds))  # type: ignore[arg-type]  # passed through
        return await self.receipts(batches)

    async def receipts(self, number: int) -> list[HandoverReceipt]:
        """So many receipts; AssertionError when something else is said."""
        found: list[HandoverReceipt] = []
        while len(found) < number:
            message = await self.hear()
            assert isinstance(message, HandoverReceipt), message
            found.append(message)
        return found

    async def trouble(self) -> str:
        """The trouble that the gateway tells before it hangs up."""
        message = await self.hear()
        assert isinstance(message, Trouble), message
        assert await self.hear() is None
        return message.text

    async def part(self) -> None:
        """Say goodbye and wait until the gateway has it on disk."""
        self.say(Bye(self.origin, self.epoch, msgspec.json.encode(snapshot(self.handed))))
        assert await self.hear() is None
        await self.close()

    async def close(self) -> None:
        """Hang up without a word."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return


class Centre:
    """A centre that stores in a dictionary. ``verdict`` decides each first arrival; None loses the receipt."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.verdict: Callable[[Batch], Verdict] = lambda batch: Outcome.STORED
        self.unreadable: Callable[[bytes], bool] = lambda payload: False
        self.stored: dict[tuple[str, int, int], Batch] = {}
        self.arrivals: list[Batch] = []
        self.manifests: dict[int, Manifest] = {}
        self.announcements = 0
        self.states: list[dict[str, object]] = []
        self.receipts_sent = 0
        self._news = asyncio.Condition()
        self._client: aiomqtt.Client
        self.topics = Topics("kuimen/v1")

    @asynccontextmanager
    async def listening(self, qos: int = 0) -> AsyncIterator[Centre]:
        """Serve while the context lasts, across restarts of the broker."""
        subscribed = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve(qos, subscribed))
            await subscribed.wait()
            try:
                yield self
            finally:
                serving.cancel()

    async def _serve(self, qos: int, subscribed: asyncio.Event) -> None:
        while True:
            try:
                async with aiomqtt.Client("127.0.0.1", self._port, timeout=5) as self._client:
                    await self._client.subscribe("kuimen/v1/up/#", qos=qos)
                    subscribed.set()
                    async for message in self._client.messages:
                        assert isinstance(message.payload, bytes)
                        await self._take(str(message.topic), message.payload)
                        async with self._news:
                            self._news.notify_all()
            except aiomqtt.MqttError:
                await asyncio.sleep(0.05)  # the broker is away: knock again

    async def _take(self, topic: str, payload: bytes) -> None:
        place = self.topics.parse(topic)
        assert place is not None, topic
        if place.kind == "manifest":
            self.announcements += 1
            self.manifests |= {manifest.id: manifest for manifest in decode_manifests(payload)[1]}
        elif place.kind == "state":
            self.states.append(msgspec.json.decode(payload))
        elif self.unreadable(payload):
            mark = Unreadable(digest_of(payload), Reason.MALFORMED)
            await self.say(encode_receipts([], [mark]))
        else:
            await self._judge(decode_batch(payload))

    async def _judge(self, batch: Batch) -> None:
        self.arrivals.append(batch)
        verdict = self.verdict(batch)
        lost = verdict is None
        outcome, reason = verdict if isinstance(verdict, tuple) else (verdict or Outcome.STORED, Reason.NONE)
        if batch.name in self.stored:
            outcome = Outcome.DUPLICATE
        elif outcome is Outcome.STORED:
            self.stored[batch.name] = batch
        if not lost:
            await self.say(encode_receipts([Receipt(*batch.name, outcome, reason)]))

    async def say(self, payload: bytes) -> None:
        """Send bytes as a receipt message."""
        self.receipts_sent += 1
        await self._client.publish(self.topics.receipt(SITE), payload)

    async def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait for messages until something holds."""
        try:
            async with asyncio.timeout(PATIENCE), self._news:
                await self._news.wait_for(lambda: bool(holds()))
        except TimeoutError:
            raise AssertionError(f"never: {what}; {self.summary()}") from None

    def summary(self) -> str:
        """What there is, for a failure's message."""
        return f"{len(self.stored)} stored, {len(self.arrivals)} arrived, last state {self.states[-1:]}"

    @property
    def ledger(self) -> Ledger:
        """The ledger in the newest state."""
        return msgspec.convert(self.states[-1]["ledger"], Ledger) if self.states else Ledger()

    async def until_settled(self, spooled: int) -> Ledger:
        """Wait until the gateway says that nothing waits and that so much was spooled; the identity must hold."""
        await self.until(
            lambda: self.states and "ledger" in self.states[-1] and self.ledger.waiting == 0
            and self.ledger.spooled == spooled,
            f"{spooled} readings spooled and none waiting",
        )  # fmt: skip
        assert self.ledger.differences() == []
        return self.ledger

    def readings(self, origin: str = AGENT) -> int:
        """Readings stored of one origin."""
        return sum(batch.count for batch in self.stored.values() if batch.origin == origin)

    def gaps(self) -> list[Gap]:
        """Every gap told by the gateway itself."""
        own = [batch for batch in self.stored.values() if batch.origin == SITE]
        return [gap for batch in own for gap in unpack_body(batch).gaps]


def make_config(
    folder: Path, port: int = 1, quota: int = 64 << 20, qos: int = 0, resend: float = 5.0, drain: float = 10.0,
    window: int = 64, late: float = 60.0, keep: float | None = None,
) -> GatewayConfig:  # fmt: skip
    """A gateway in a folder, impatient enough for tests."""
    return GatewayConfig(
        name=SITE,
        listen=folder / "g.sock",
        spool=SpoolConfig(path=folder / "spool.db", quota=quota, keep_seconds=keep),
        uplink=UplinkConfig(
            port=port, qos=qos, resend_seconds=resend, state_seconds=0.1, drain_seconds=drain, window=window,
            late_seconds=late,
        ),
    )  # fmt: skip


class Pole:
    """A running gateway and the agents that called it; they hang up when it stops."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._agents: list[Agent] = []

    async def agent(self, epoch: int = 1, origin: str = AGENT, greet: bool = True) -> Agent:
        """A new connection."""
        agent = await Agent(self._config, epoch, origin).connect(greet)
        self._agents.append(agent)
        return agent

    async def hang_up(self) -> None:
        """Close every connection that is still open."""
        for agent in self._agents:
            await agent.close()


@asynccontextmanager
async def running(config: GatewayConfig) -> AsyncIterator[Pole]:
    """The real gateway while the context lasts; then it stops in order."""
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(service.run(config, CLOCK, stop, ready))
        await ready.wait()
        pole = Pole(config)
        try:
            yield pole
        finally:
            await pole.hang_up()
            stop.set()
