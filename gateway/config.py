"""What a gateway is told by its site file: every mistake found at once, nothing guessed, no connection made.

Reads ``[site]``, ``[gateway]``, ``[uplink]``, ``[[listeners]]`` and ``[[callers]]`` and leaves the other tables to the
rooms that own them.
"""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from device_profiles.documents import TomlDocument
from device_profiles.problems import ConfigError, Problems
from device_profiles.tables import SITE_TABLES, Table, check_top_level
from device_profiles.tls_files import TlsFiles, read_tls
from device_profiles.topics import DEFAULT_ROOT, GATEWAY_NAME
from gateway.listeners.config import ListenerConfig, read_listeners

MEBIBYTE = 1 << 20
MAX_SOCKET_PATH = 107
"""sun_path of a Linux unix socket address, less its closing zero."""


@dataclass(frozen=True, kw_only=True)
class SpoolConfig:
    """``quota`` bounds the payload bytes that wait; ``keep_seconds`` their age (None: for as long as there is room).

    ``thin``: when full, keep one value a minute before giving up; ``hold_seconds``: how long batches wait for a box
    that does not know the time.
    """

    path: Path
    quota: int = 512 * MEBIBYTE
    keep_seconds: float | None = None
    thin: bool = False
    hold_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class UplinkConfig:
    """Where batches go. ``resend_seconds``: how long a batch waits for its receipt before it is sent again."""

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


    @property
    def url(self) -> str:
        """The address as a site file has it."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """One gateway. ``listen``: a unix socket's path, or (host, port) on the loopback interface."""

    name: str
    listen: Path | tuple[str, int]
    spool: SpoolConfig
    uplink: UplinkConfig
    listeners: tuple[ListenerConfig, ...] = ()


def load_config(path: str | Path) -> GatewayConfig:
    """Read a site file; ConfigError with every problem in the tables that concern a gateway."""
    problems = Problems()
    document = TomlDocument.load(path, problems)
    if document is None:
        raise ConfigError(problems.found)
    check_top_level(document, SITE_TABLES, problems)
    name, folders = _site(Table(document, ("site",), problems))
    gateway = Table(document, ("gateway",), problems)
    listen = listen_address(gateway, f"run/{name}.sock")
    spool = _spool(gateway.table("spool"), f"{name}.db")
    gateway.end()
    uplink = _uplink(Table(document, ("uplink",), problems))
    listeners = read_listeners(Table(document, (), problems), name, folders)
    problems.raise_if_any()
    return GatewayConfig(name=name, listen=listen, spool=spool, uplink=uplink, listeners=listeners)


def _site(table: Table) -> tuple[str, list[Path]]:
    """(the gateway's name, folders of further profiles)."""
    name = table.text("name")
    if name and not GATEWAY_NAME.match(name):
        table.trouble("name", f"{name!r} must be 1 to 64 of A-Z a-z 0-9 . _ -")
    table.title()
    folders = [Path(table.document.path).parent / text for text in table.texts("profiles")]
    table.end()
    return name or "unnamed", folders


def listen_address(table: Table, default: str) -> Path | tuple[str, int]:
    """``socket``: a path, or ``tcp://127.0.0.1:port``; anything but the loopback interface is a mistake."""
    text = table.text("socket", default)
    if not text.startswith("tcp://"):
        path = table.path("socket", default).absolute()
        if len(str(path).encode()) > MAX_SOCKET_PATH:
            table.trouble("socket", f"{path} is longer than the {MAX_SOCKET_PATH} bytes of a socket's path")
        return path
    host, port = _host_port(table, "socket", text)
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        table.trouble("socket", f"{host!r} is not a loopback address", "tcp://127.0.0.1:PORT")
    return host, port


def _host_port(table: Table, key: str, text: str, default: int | None = None) -> tuple[str, int]:
    parts = urlsplit(text)
    try:
        port = parts.port or default
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.path.strip("/") or parts.query or parts.username:
        table.trouble(key, f"{text!r} is no address", f"{parts.scheme or 'tcp'}://HOST:PORT")
    return parts.hostname or "127.0.0.1", port or 1


def _spool(table: Table, default: str) -> SpoolConfig:
    path = table.path("path", default).absolute()
    quota = table.integer("quota_mb", 512, low=1, high=1 << 20) * MEBIBYTE
    days = table.optional_number("keep_days", low=0.001, high=36_500)
    thin = table.choice("when_full", ("drop-oldest", "thin"), "drop-oldest") == "thin"
    hold = table.number("hold_undated_seconds", 600.0, low=0, high=30 * 86_400)
    table.end()
    seconds = None if days is None else days * 86_400
    return SpoolConfig(path=path, quota=quota, keep_seconds=seconds, thin=thin, hold_seconds=hold)


def _uplink(table: Table) -> UplinkConfig:
    url = table.text("url", "mqtt://127.0.0.1:1883")
    if not url.startswith(("mqtt://", "mqtts://")):
        table.trouble("url", f"{url!r} is no address", "mqtt://HOST:PORT or mqtts://HOST:PORT")
        url = "mqtt://127.0.0.1:1883"
    secure = url.startswith("mqtts://")
    host, port = _host_port(table, "url", url, 8883 if secure else 1883)
    root = table.text("root", DEFAULT_ROOT).strip("/")
    if not root or any(mark in root for mark in "+#$ \0"):
        table.trouble("root", f"{root!r} is no topic prefix", f'such as "{DEFAULT_ROOT}"')
    config = UplinkConfig(
        host=host,
        port=port,
        root=root,
        qos=table.integer("qos", 0, low=0, high=1),
        username=table.optional_text("username"),
        password=table.secret("password"),
        window=table.integer("window", 64, low=4, high=1024),
        drain_seconds=table.number("drain_seconds", 10.0, low=0, high=600),
        resend_seconds=table.number("resend_seconds", 5.0, low=0.05, high=600),
        tls=read_tls(table.table("tls"), secure),
    )
    table.end()
    return config
