"""What a gateway is told by its site file: every mistake found at once, nothing guessed, no connection made.

Reads ``[site]``, ``[gateway]``, ``[uplink]``, ``[[listeners]]`` and ``[[callers]]`` and leaves the other tables to the
rooms that own them.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from device_profiles.documents import TomlDocument
from device_profiles.problems import ConfigError, Problems
from device_profiles.tables import SITE_TABLES, Table, check_top_level
from device_profiles.topics import GATEWAY_NAME
from gateway.listeners.config import ListenerConfig, read_listeners
from gateway.uplink_config import UplinkConfig as UplinkConfig
from gateway.uplink_config import host_port, read_uplink

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
    uplink = read_uplink(Table(document, ("uplink",), problems))
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
    host, port = host_port(table, "socket", text)
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        table.trouble("socket", f"{host!r} is not a loopback address", "tcp://127.0.0.1:PORT")
    return host, port


def _spool(table: Table, default: str) -> SpoolConfig:
    path = table.path("path", default).absolute()
    quota = table.integer("quota_mb", 512, low=1, high=1 << 20) * MEBIBYTE
    days = table.optional_number("keep_days", low=0.001, high=36_500)
    thin = table.choice("when_full", ("drop-oldest", "thin"), "drop-oldest") == "thin"
    hold = table.number("hold_undated_seconds", 600.0, low=0, high=30 * 86_400)
    table.end()
    seconds = None if days is None else days * 86_400
    return SpoolConfig(path=path, quota=quota, keep_seconds=seconds, thin=thin, hold_seconds=hold)
