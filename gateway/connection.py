"""One MQTT connection that cleans up behind itself, whatever happens to it.

aiomqtt leaves socket and task open when a broker accepts the TCP connection and then falls silent; a gateway must try
again for months, so this closes them.
"""

from types import TracebackType
from typing import Self

import aiomqtt

from device_profiles.topics import Topics
from gateway.config import UplinkConfig

CONNECT_SECONDS = 3.0
"""For the TCP connection; it runs in a thread that cannot be interrupted, so it is kept short."""

ANSWER_SECONDS = 5.0
"""For CONNACK, SUBACK, PUBACK, and for a socket that takes no more bytes."""

KEEPALIVE_SECONDS = 15

INCOMING = 1_024
"""Receipt messages not yet read; one that is dropped only costs a re-send and a duplicate."""


class Connection(aiomqtt.Client):
    """A gateway's client. Enter it to connect: aiomqtt.MqttError when that fails."""

    def __init__(self, config: UplinkConfig, gateway: str, last_will: bytes) -> None:
        super().__init__(
            config.host,
            config.port,
            username=config.username,
            password=config.password,
            identifier=f"kuimen-{gateway}",
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            will=aiomqtt.Will(Topics(config.root).state(gateway), last_will, qos=0, retain=True) if last_will else None,
            timeout=ANSWER_SECONDS,
            keepalive=KEEPALIVE_SECONDS,
            max_queued_incoming_messages=INCOMING,
        )
        self.pending_calls_threshold = config.window + 8  # a window of QoS 1 publishes is no cause for a warning
        self._client.connect_timeout = CONNECT_SECONDS

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            self._abandon()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """Close what is still open, and take the exceptions that nobody will ask for."""
        self._client._sock_close()
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()


async def probe(config: UplinkConfig, gateway: str) -> None:
    """Connect, subscribe and leave, under a name of its own; aiomqtt.MqttError when the broker does not take us."""
    async with Connection(config, f"{gateway}-check", b"") as client:
        granted = await client.subscribe(Topics(config.root).receipt(gateway))
        if any(isinstance(code, int) and code >= 0x80 for code in granted):
            raise aiomqtt.MqttError("it refuses the subscription to receipts")
