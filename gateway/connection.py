"""One MQTT connection that cleans up behind itself, whatever happens to it.

aiomqtt leaves socket and task open when a broker accepts the TCP connection and then falls silent; a gateway must try
again for months, so this closes them.
"""

import logging
import socket
import ssl
from types import TracebackType
from typing import Self

import aiomqtt

from device_profiles.tls import client_context
from device_profiles.topics import Topics
from gateway.config import UplinkConfig

CONNECT_SECONDS = 3.0
"""For the TCP connection; it runs in a thread that cannot be interrupted, so it is kept short."""

ANSWER_SECONDS = 5.0
"""For CONNACK, SUBACK, PUBACK, and for a socket that takes no more bytes."""

KEEPALIVE_SECONDS = 15

INCOMING = 1_024
"""Receipt messages not yet read; one that is dropped only costs a re-send and a duplicate."""


class _LastWords(logging.Handler):
    """Hears what paho only logs: why the other side broke off in the middle of TLS 1.3 (RFC 8446, 6.2)."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said = ""
        self.logger = logging.Logger("mqtt")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an error's text."""
        if "SSL" in record.getMessage():
            self.said = record.getMessage()


class Connection(aiomqtt.Client):
    """A gateway's client. Enter it to connect: aiomqtt.MqttError when that fails. TlsTrouble: our files are wrong."""

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
            tls_context=None if config.tls is None else client_context(config.tls),
        )
        self._last_words = _LastWords()
        self._client.enable_logger(self._last_words.logger)
        if config.tls is not None:
            self._client._ssl_wrap_socket = self._secure  # type: ignore[method-assign]  # paho leaves a socket open whose handshake fails
        self.pending_calls_threshold = config.window + 8  # a window of QoS 1 publishes is no cause for a warning
        self._client.connect_timeout = CONNECT_SECONDS

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except aiomqtt.MqttError as trouble:
            self._abandon()
            raise aiomqtt.MqttError(self._last_words.said or str(trouble)) from trouble
        except BaseException:
            self._abandon()
            raise

    def _secure(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """As paho does, but a socket whose handshake fails is closed."""
        context = self._client._ssl_context
        assert context is not None
        secured = context.wrap_socket(tcp_sock, server_hostname=self._client.host, do_handshake_on_connect=False)
        try:
            secured.settimeout(CONNECT_SECONDS)
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured

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
