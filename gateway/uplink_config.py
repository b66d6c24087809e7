"""``[uplink]`` of a site file: where batches go, over MQTT or CoAP, and where they go when that way is shut."""

from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from device_profiles.tables import Table
from device_profiles.tls_files import TlsFiles, read_tls
from device_profiles.topics import DEFAULT_ROOT
from gateway.modem_config import ModemConfig, read_modem

_PORTS = {"mqtt": 1883, "mqtts": 8883, "coap": 5683}
"""IANA's; coap: RFC 7252, 6.1."""

_SIZES = (16, 32, 64, 128, 256, 512, 1024)
"""Of a block (RFC 7959, 2.2)."""

_NO_DTLS = (
    "CoAP over DTLS is not built in: use mqtts://HOST:8883, or coap:// inside a network of your own"
    " (a private APN, WireGuard, IPsec)"
)


@dataclass(frozen=True, kw_only=True)
class CoapOptions:
    """How an uplink over CoAP behaves (RFC 7252, 4.8): these defaults are for Ethernet and 4G, ``_NARROW`` for NB-IoT.

    ``nstart``: batches under way at once, and as many events beside them. ``modem``: None for this box's own UDP.
    """

    ack_seconds: float = 2.0
    retransmissions: int = 4
    nstart: int = 4
    block_bytes: int = 1024
    modem: ModemConfig | None = None


_NARROW = CoapOptions(ack_seconds=10.0, nstart=1, block_bytes=256)
"""What a site file need not say when there is a modem; a BC26 sends 512 bytes at once."""


@dataclass(frozen=True, kw_only=True)
class UplinkConfig:
    """Where batches go. ``resend_seconds``: how long a batch waits for its receipt before it is sent again.

    ``coap``: None for MQTT. ``fallback``: the way that carries on after ``after_seconds`` without a receipt here.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    root: str = DEFAULT_ROOT
    qos: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    window: int = 64
    drain_seconds: float = 10.0
    resend_seconds: float = 5.0
    state_seconds: float = 2.0
    tls: TlsFiles | None = None
    late_seconds: float = 60.0
    """A live batch older than this when it is sent leaves as backlog."""
    coap: CoapOptions | None = None
    fallback: "UplinkConfig | None" = None
    after_seconds: float = 60.0

    @property
    def url(self) -> str:
        """The address as a site file has it."""
        scheme = "coap" if self.coap else "mqtts" if self.tls else "mqtt"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def read_uplink(table: Table) -> UplinkConfig:
    """The ``[uplink]`` table with its ``[uplink.fallback]``."""
    config = replace(
        _way(table),
        window=table.integer("window", 64, low=4, high=1024),
        drain_seconds=table.number("drain_seconds", 10.0, low=0, high=600),
        resend_seconds=table.number("resend_seconds", 5.0, low=0.05, high=600),
    )
    if table.has("fallback"):
        config = _with_fallback(config, table, table.table("fallback"))
    table.end()
    return config


def _with_fallback(config: UplinkConfig, table: Table, other: Table) -> UplinkConfig:
    """What is under way belongs to both ways: window and patience are the first one's."""
    shared = {"window": config.window, "drain_seconds": config.drain_seconds, "resend_seconds": config.resend_seconds}
    fallback = replace(_way(other), **shared)  # type: ignore[arg-type]  # mypy cannot tell the fields' types apart
    after = other.number("after_seconds", 60.0, low=1, high=86_400)
    other.end()
    if fallback.url == config.url:
        table.trouble("fallback", f"{fallback.url} is the way that it stands in for", "another address")
    return replace(config, fallback=fallback, after_seconds=after)


def _way(table: Table) -> UplinkConfig:
    """One way out; its keys are those of its kind."""
    scheme, host, port = _address(table)
    tls = read_tls(table.table("tls"), scheme == "mqtts")
    if scheme == "coap":
        state = table.number("state_seconds", 30.0, low=0.1, high=86_400)
        return UplinkConfig(host=host, port=port, state_seconds=state, coap=_coap(table, host))
    root = table.text("root", DEFAULT_ROOT).strip("/")
    if not root or any(mark in root for mark in "+#$ \0"):
        table.trouble("root", f"{root!r} is no topic prefix", f'such as "{DEFAULT_ROOT}"')
    return UplinkConfig(
        host=host,
        port=port,
        root=root,
        qos=table.integer("qos", 0, low=0, high=1),
        username=table.optional_text("username"),
        password=table.secret("password"),
        tls=tls,
    )


def _coap(table: Table, host: str) -> CoapOptions:
    modem = read_modem(table.table("modem"), host)
    usual = CoapOptions() if modem is None else _NARROW
    size = table.integer("block_bytes", usual.block_bytes, low=16, high=1024)
    if size not in _SIZES:
        table.trouble("block_bytes", f"{size} is no block", "16, 32, 64, 128, 256, 512 or 1024")
        size = usual.block_bytes
    if modem is not None and modem.kind == "bc26" and size > _NARROW.block_bytes:
        table.trouble("block_bytes", f"{size} and what goes around it is more than a BC26 sends at once", "256")
    return CoapOptions(
        ack_seconds=table.number("ack_seconds", usual.ack_seconds, low=0.05, high=120),
        retransmissions=table.integer("retransmissions", usual.retransmissions, low=0, high=10),
        nstart=table.integer("nstart", usual.nstart, low=1, high=64),
        block_bytes=size,
        modem=modem,
    )


def _address(table: Table) -> tuple[str, str, int]:
    """(scheme, host, port)."""
    url = table.text("url", "mqtt://127.0.0.1:1883")
    scheme = url.partition("://")[0]
    if scheme == "coaps":
        table.trouble("url", f"{url!r}: no DTLS", _NO_DTLS)
        scheme, url = "coap", url.replace("coaps", "coap", 1)
    elif scheme not in _PORTS:
        table.trouble("url", f"{url!r} is no address", "mqtt://HOST:PORT, mqtts://HOST:PORT or coap://HOST:PORT")
        scheme, url = "mqtt", "mqtt://127.0.0.1:1883"
    host, port = host_port(table, "url", url, _PORTS[scheme])
    return scheme, host, port


def host_port(table: Table, key: str, text: str, default: int | None = None) -> tuple[str, int]:
    """Host and port of an address in ``key``; without a ``default`` the port must be there."""
    parts = urlsplit(text)
    try:
        port = parts.port or default
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.path.strip("/") or parts.query or parts.username:
        table.trouble(key, f"{text!r} is no address", f"{parts.scheme or 'tcp'}://HOST:PORT")
    return parts.hostname or "127.0.0.1", port or 1
