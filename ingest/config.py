"""What the centre is told by its file: every mistake found at once, nothing guessed, no connection made.

Reads ``[intake]``, ``[store]`` and ``[api]`` of a centre.toml and leaves ``[dashboards]`` to the room that
owns it.
"""

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from device_profiles.documents import TomlDocument
from device_profiles.problems import ConfigError, Problems
from device_profiles.tables import CENTRE_TABLES, Table, check_top_level
from device_profiles.tls_files import TlsFiles, read_tls
from device_profiles.topics import DEFAULT_ROOT, SHARDS

_SHARD_RANGE = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?\Z")


class IntakeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where batches come from. ``shards``: which of the 64 are ours."""

    host: str = "127.0.0.1"
    port: int = 1883
    root: str = DEFAULT_ROOT
    shards: tuple[int, ...] = tuple(range(SHARDS))
    qos: int = 0
    username: str | None = None
    password: str | None = None
    tls: TlsFiles | None = None
    coap: tuple[str, int] | None = None
    """(host, port) on which gateways may call over CoAP; None: they may not."""

    def __repr__(self) -> str:
        return f"IntakeConfig(mqtt://{self.host}:{self.port}, root={self.root!r}, {len(self.shards)} shards)"


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The DuckDB file. ``memory_mb`` bounds its buffers: the default of DuckDB is 80 % of the machine."""

    path: Path
    memory_mb: int = 1024
    threads: int | None = None


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where the API listens; the loopback interface only."""

    host: str = "127.0.0.1"
    port: int = 8081

    @property
    def url(self) -> str:
        """The address as a client writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class CentreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One ingest worker."""

    intake: IntakeConfig
    store: StoreConfig
    api: ApiConfig


def load_config(path: str | Path) -> CentreConfig:
    """Read a centre.toml; ConfigError with every problem in the tables that concern ingest."""
    problems = Problems()
    document = TomlDocument.load(path, problems)
    if document is None:
        raise ConfigError(problems.found)
    check_top_level(document, CENTRE_TABLES, problems)
    config = CentreConfig(
        intake=_intake(Table(document, ("intake",), problems)),
        store=_store(Table(document, ("store",), problems)),
        api=_api(Table(document, ("api",), problems)),
    )
    problems.raise_if_any()
    return config


def _intake(table: Table) -> IntakeConfig:
    host, port, secure = _broker(table)
    root = table.text("root", DEFAULT_ROOT).strip("/")
    if not root or any(mark in root for mark in "+#$ \0"):
        table.trouble("root", f"{root!r} is no topic prefix", f'such as "{DEFAULT_ROOT}"')
    config = IntakeConfig(
        host=host,
        port=port,
        root=root,
        shards=_shards(table),
        qos=table.integer("qos", 0, low=0, high=1),
        username=table.optional_text("username"),
        password=table.secret("password"),
        tls=read_tls(table.table("tls"), secure),
        coap=_coap(table.table("coap")) if table.has("coap") else None,
    )
    table.end()
    return config


def _coap(table: Table) -> tuple[str, int]:
    listen = table.text("listen", "")
    parts = urlsplit(f"//{listen}")
    try:
        port = parts.port or 0
        ipaddress.ip_address(parts.hostname or "")
    except ValueError:
        port = 0
    if not port or parts.path or parts.username:
        table.trouble("listen", f"{listen!r} is not ADDRESS:PORT", "such as 0.0.0.0:5683 (there is no coaps://)")
    table.end()
    return parts.hostname or "127.0.0.1", port


def _broker(table: Table) -> tuple[str, int, bool]:
    """(host, port, with TLS)."""
    url = table.text("url", "mqtt://127.0.0.1:1883")
    parts = urlsplit(url)
    try:
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    except ValueError:
        port = 0
    known = parts.scheme in ("mqtt", "mqtts")
    if not known or not parts.hostname or not port or parts.path.strip("/") or parts.username:
        table.trouble("url", f"{url!r} is no address", "mqtt://HOST:PORT or mqtts://HOST:PORT")
    return parts.hostname or "127.0.0.1", port, parts.scheme == "mqtts"


def _shards(table: Table) -> tuple[int, ...]:
    text = table.text("shards", f"0-{SHARDS - 1}")
    shards: set[int] = set()
    for part in text.split(","):
        found = _SHARD_RANGE.match(part.strip())
        first = int(found[1]) if found else SHARDS
        last = int(found[2]) if found and found[2] else first
        if not first <= last < SHARDS:
            table.trouble("shards", f"{part.strip()!r} is no shard or range", f'such as "0-{SHARDS - 1}" or "0-15,20"')
            return (0,)
        shards.update(range(first, last + 1))
    return tuple(sorted(shards))


def _store(table: Table) -> StoreConfig:
    table.choice("kind", ["duckdb"], "duckdb")
    config = StoreConfig(
        path=table.path("path", "centre.duckdb").absolute(),
        memory_mb=table.integer("memory_mb", 1024, low=64, high=1 << 20),
        threads=table.integer("threads", 0, low=0, high=256) or None,
    )
    table.end()
    return config


def _api(table: Table) -> ApiConfig:
    listen = table.text("listen", "127.0.0.1:8081")
    parts = urlsplit(f"//{listen}")
    try:
        port = parts.port or 0
        loopback = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        port, loopback = 0, False
    if not port or not loopback:
        table.trouble("listen", f"{listen!r} is not HOST:PORT on the loopback interface", "such as 127.0.0.1:8081")
    table.end()
    return ApiConfig(host=parts.hostname or "127.0.0.1", port=port)
