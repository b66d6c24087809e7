"""One connection's life with the broker: batches out, receipts in, manifests and state beside them.

Only a final receipt lets the spool delete; what the broker acknowledged proves nothing. Ends with aiomqtt.MqttError
when the connection is lost or a publish finds no taker in time; the window then keeps what was under way.
"""

import asyncio
import logging
from collections.abc import Callable

import aiomqtt
import msgspec

from device_profiles.clock import Clock
from device_profiles.envelope import EnvelopeError, decode_batch, encode_batch
from device_profiles.quality import Reason
from device_profiles.readings import Lane
from device_profiles.receipts import Outcome, Receipt, decode_receipts
from device_profiles.topics import Topics
from gateway.announcing import manifest_messages
from gateway.config import UplinkConfig
from gateway.connection import Connection
from gateway.spool import Spool
from gateway.taps import Taps
from gateway.window import Flight, Window
from gateway.writer import WriteFailed

log = logging.getLogger(__name__)

MANIFEST_SECONDS = 1.0
"""At most one announcement of manifests in this time, however often the centre asks for them."""


class UplinkCounts(msgspec.Struct):
    """What happened on the uplink since the gateway started; batches, not readings."""

    connected: bool = False
    connects: int = 0
    sent: int = 0
    resent: int = 0
    receipts: int = 0
    late_receipts: int = 0
    malformed_receipts: int = 0
    asked_later: int = 0


class Conversation:
    """What is said on one connection; the window, the counts and the ``wake`` event outlive it."""

    def __init__(
        self,
        *,
        client: Connection,
        config: UplinkConfig,
        gateway: str,
        spool: Spool,
        clock: Clock,
        taps: Taps,
        state: Callable[[bool], bytes],
        window: Window,
        counts: UplinkCounts,
        wake: asyncio.Event,
        commanded: Callable[[bytes], None],
    ) -> None:
        """``commanded`` is told each message on the command topic."""
        self._client = client
        self._config = config
        self._gateway = gateway
        self._spool = spool
        self._clock = clock
        self._taps = taps
        self._state = state
        self._window = window
        self._counts = counts
        self._wake = wake
        self._commanded = commanded
        self._topics = Topics(config.root)
        self._announced = -1
        self._announced_at = float("-inf")
        self._asked = False
        self._publishing: set[asyncio.Task[None]] = set()

    async def run(self, drained: Callable[[], bool], deadline: Callable[[], float]) -> None:
        """Carry batches until ``drained``; then publish a last state. ``deadline``: monotonic seconds, when to look."""
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(self._receive()), group.create_task(self._tell_state())]
            await self._subscribe()
            while not drained():
                self._wake.clear()
                await self._announce()
                await self._send_due(group)
                self._borrow()
                await self._wait(deadline())
            for task in [*others, *self._publishing]:
                task.cancel()
        await self._client.publish(self._topics.state(self._gateway), self._state(False), retain=True)

    async def _subscribe(self) -> None:
        topics = [self._topics.receipt(self._gateway), self._topics.command(self._gateway)]
        granted = await self._client.subscribe([(topic, self._config.qos) for topic in topics])
        for topic, code in zip(topics, granted, strict=True):
            if isinstance(code, int) and code >= 0x80:  # MQTT 3.1.1, 3.9.3: failure
                raise aiomqtt.MqttError(f"the broker refuses a subscription to {topic}")

    async def _wait(self, deadline: float) -> None:
        """Until something happens, or a batch is due, or it is time to stop draining."""
        times = [deadline, self._window.next_due() or float("inf")]
        if self._asked:
            times.append(self._announced_at + MANIFEST_SECONDS)
        until = min(times)
        seconds = None if until == float("inf") else max(0.0, until - self._clock.monotonic())
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    # -- out ---------------------------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        """Publish the manifests when there are new ones or when the centre asked, but not in a torrent."""
        turn, now = self._spool.view.turn, self._clock.monotonic()
        patient = self._asked and now < self._announced_at + MANIFEST_SECONDS
        if turn == self._announced and (not self._asked or patient):
            return
        self._announced_at = now
        try:
            kept = await self._spool.manifests()
        except WriteFailed:
            return
        self._announced, self._asked = turn, False
        for message in manifest_messages(self._gateway, kept):
            await self._client.publish(self._topics.manifest(self._gateway), message, self._config.qos, retain=True)

    def _late(self) -> int:
        """Live batches from before this time (µs) leave as backlog."""
        return self._clock.now() - int(self._config.late_seconds * 1e6)

    def _borrow(self) -> None:
        """Ask for what there is room for: at once when more waits than is under way, else with the next commit."""
        wish = self._window.wish(self._late())
        if wish is not None:
            self._spool.want(wish, now=self._spool.view.batches > len(self._window))

    async def _send_due(self, group: asyncio.TaskGroup) -> None:
        for flight in self._window.due(self._clock.monotonic()):
            _relabel(flight, self._late())
            self._counts.sent += 1
            self._counts.resent += flight.attempts > 0
            self._window.sent(flight, self._clock.monotonic())
            if self._config.qos == 0:
                await self._publish(flight)
            else:  # an acknowledgement takes a round trip: a window full of them is awaited together
                task = group.create_task(self._publish(flight))
                self._publishing.add(task)
                task.add_done_callback(self._publishing.discard)

    async def _publish(self, flight: Flight) -> None:
        await self._client.publish(self._topics.batch(self._gateway), flight.payload, self._config.qos)

    async def _tell_state(self) -> None:
        topic = self._topics.state(self._gateway)
        while True:
            await self._client.publish(topic, self._state(True), retain=True)
            await asyncio.sleep(self._config.state_seconds)

    # -- in ----------------------------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        async for message in self._client.messages:
            payload = message.payload
            if str(message.topic) == self._topics.command(self._gateway):
                self._commanded(payload if isinstance(payload, bytes) else b"")
                continue
            try:
                receipts, unreadable = decode_receipts(payload if isinstance(payload, bytes) else b"")
            except EnvelopeError as trouble:
                self._counts.malformed_receipts += 1
                log.warning("uplink: receipts that cannot be read: %s", trouble)
                continue
            for mark in unreadable:
                name = self._window.by_digest(mark.digest)
                if name is not None:
                    receipts.append(Receipt(*name, Outcome.REJECTED, mark.reason))
            self._settle(receipts)

    def _settle(self, receipts: list[Receipt]) -> None:
        fates: dict[int, tuple[Outcome, Reason]] = {}
        now = self._clock.monotonic()
        for receipt in receipts:
            self._counts.receipts += 1
            if not receipt.outcome.final:
                self._try_later(receipt, now)
            elif flight := self._window.final(receipt.name, now):
                fates[flight.id] = (receipt.outcome, receipt.reason)
                self._show(receipt, flight, now)
            else:
                self._counts.late_receipts += 1
        if fates:
            self._spool.settle(fates)
        self._wake.set()

    def _try_later(self, receipt: Receipt, now: float) -> None:
        self._counts.asked_later += 1
        self._window.later(receipt.name, now)
        if receipt.reason is Reason.UNKNOWN_MANIFEST:
            self._asked = True

    def _show(self, receipt: Receipt, flight: Flight, now: float) -> None:
        if self._taps:
            self._taps.offer(
                "receipt",
                name=receipt.name,
                outcome=receipt.outcome.name.lower(),
                reason=receipt.reason.word,
                readings=flight.readings,
                attempts=flight.attempts,
                milliseconds=round((now - flight.first_sent) * 1000, 1),
            )


def _relabel(flight: Flight, late: int) -> None:
    """Live data that leaves late says so in its lane; the batch keeps its name and body."""
    if flight.lane is Lane.LIVE and flight.at < late:
        flight.lane = Lane.BACKLOG
    if flight.lane is Lane.BACKLOG:
        batch = decode_batch(flight.payload)
        if batch.lane is not Lane.BACKLOG:
            flight.payload = encode_batch(msgspec.structs.replace(batch, lane=Lane.BACKLOG))
