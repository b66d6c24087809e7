"""The MQTT side: subscribes to our shards, fills the inbox, publishes receipts; connects again for ever.

Nothing is decided here. A broker that is away, refuses us or forgets us costs time and no reading: gateways
hold their batches until a receipt comes.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import aiomqtt

from device_profiles.tls import TlsTrouble, changed_at, client_context, in_words
from device_profiles.topics import Topics
from ingest.config import IntakeConfig
from ingest.inbox import Inbox

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
LOOK_AT_FILES_S = 2.0
"""How often the certificate files are looked at: they have no event to wait for."""


class _Funnel(asyncio.Queue[aiomqtt.Message]):
    """Stands where aiomqtt keeps its queue and hands messages straight on: its own iterator costs a task a message."""

    def __init__(self, put: Callable[[str, bytes], bool]) -> None:
        super().__init__()
        self._put_on = put

    def put_nowait(self, item: aiomqtt.Message) -> None:
        # A refused message is counted by the inbox and sent again by its gateway: nothing to say here.
        self._put_on(str(item.topic), item.payload)


class Intake:
    """One connection to the broker at a time."""

    def __init__(self, config: IntakeConfig, inbox: Inbox) -> None:
        self._config = config
        self._inbox = inbox
        self._topics = Topics(config.root)
        self._client: aiomqtt.Client | None = None
        self.connected = asyncio.Event()
        self.connections = 0
        self.unsent = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until ``stop``; back-off with full jitter between tries."""
        wait = FIRST_WAIT_S
        while not stop.is_set():
            before = self.connections
            try:
                await self._session(stop)
            except (aiomqtt.MqttError, OSError, TlsTrouble) as trouble:
                if self.connections > before:
                    wait = FIRST_WAIT_S
                level = logging.WARNING if wait == FIRST_WAIT_S else logging.DEBUG  # once an outage is enough
                log.log(level, "broker %s:%d: %s", self._config.host, self._config.port, in_words(trouble))
                with suppress(TimeoutError):
                    async with asyncio.timeout(random.uniform(0, wait)):
                        await stop.wait()
                wait = min(wait * 2, LONGEST_WAIT_S)

    async def _session(self, stop: asyncio.Event) -> None:
        async with self._connect() as client:
            filters = [(name, self._config.qos) for name in self._topics.uplinks(self._config.shards)]
            await client.subscribe(filters)
            self._client = client
            self.connections += 1
            self.connected.set()
            log.info("broker %s:%d: %d shards", self._config.host, self._config.port, len(filters))
            try:
                await _until_lost(client, stop, self._config.tls.files if self._config.tls else ())
            finally:
                self._client = None
                self.connected.clear()

    def _connect(self) -> aiomqtt.Client:
        return _client(self._config, cast(Any, lambda maxsize: _Funnel(self._inbox.put)))

    async def receipt(self, gateway: str, payload: bytes) -> None:
        """Publish a receipt message; one that cannot leave is counted, and its batches will come again."""
        self.unsent += not await self._publish(self._topics.receipt(gateway), payload)

    async def command(self, gateway: str, payload: bytes) -> None:
        """Publish a command message; one that cannot leave is said again."""
        await self._publish(self._topics.command(gateway), payload)

    async def _publish(self, topic: str, payload: bytes) -> bool:
        """False when the broker does not take it."""
        client = self._client
        try:
            if client is None:
                raise aiomqtt.MqttError("not connected")
            await client.publish(topic, payload, qos=0)
        except aiomqtt.MqttError as trouble:
            log.debug("%s not sent: %s", topic, trouble)
            return False
        return True


async def _until_lost(client: aiomqtt.Client, stop: asyncio.Event, files: Sequence[Path]) -> None:
    """Returns when ``stop`` is set; MqttError when the connection is lost, or a certificate file was replaced."""

    async def watch() -> None:
        async for _ in client.messages:  # yields nothing, see _Funnel; raises when the connection is lost
            pass

    async def leave() -> None:
        before = changed_at(files)
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AT_FILES_S if files else None):
                    await stop.wait()
            if changed_at(files) != before:
                raise aiomqtt.MqttError("the certificate files have changed: connecting anew")
        watching.cancel()

    trouble: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            group.create_task(leave())
    except* aiomqtt.MqttError as lost:
        trouble = lost.exceptions[0]
    if trouble is not None:
        raise trouble


def _client(config: IntakeConfig, queue_type: Any = None) -> aiomqtt.Client:
    return aiomqtt.Client(
        config.host,
        config.port,
        username=config.username,
        password=config.password,
        identifier=f"kuimen-ingest-{secrets.token_hex(6)}",
        protocol=aiomqtt.ProtocolVersion.V311,
        queue_type=queue_type,
        keepalive=30,
        tls_context=None if config.tls is None else client_context(config.tls),
    )


async def probe(config: IntakeConfig) -> None:
    """Connect and subscribe as the worker would, and leave; MqttError when the broker does not take us."""
    async with _client(config) as client:
        await client.subscribe([(name, config.qos) for name in Topics(config.root).uplinks(config.shards)])
