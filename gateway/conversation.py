"""One connection's life with the broker: batches out, receipts and commands in, manifests and state beside them.

What the broker acknowledged proves nothing. Ends with aiomqtt.MqttError when the connection is lost or a publish finds
no taker in time; the window then keeps what was under way.
"""

import asyncio
from collections.abc import Callable

import aiomqtt

from device_profiles.topics import Topics
from gateway.carriage import Carriage, Dispatch
from gateway.connection import Connection
from gateway.route import Route
from gateway.window import Flight


class Conversation(Carriage):
    """What is said on one MQTT connection."""

    def __init__(self, client: Connection, dispatch: Dispatch, route: Route) -> None:
        super().__init__(dispatch, route)
        self._client = client
        self._topics = Topics(route.config.root)
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

    async def _announce(self) -> None:
        for message in await self._manifests_to_tell():
            await self._client.publish(self._topics.manifest(self._gateway), message, self._config.qos, retain=True)

    async def _send_due(self, group: asyncio.TaskGroup) -> None:
        for flight in self._due():
            self._leaves(flight)
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

    async def _receive(self) -> None:
        async for message in self._client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            if str(message.topic) == self._topics.command(self._gateway):
                self._commanded(payload)
            else:
                self._receipted(payload)
