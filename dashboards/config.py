"""What the page's server is told by the centre's file: every mistake found at once, no connection made.

Reads ``[dashboards]`` of a centre.toml and leaves the other tables to the room that owns them.
"""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from device_profiles.documents import TomlDocument
from device_profiles.problems import ConfigError, Problems
from device_profiles.tables import CENTRE_TABLES, Table, check_top_level

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_API = "http://127.0.0.1:8081"


class DashboardsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``host``, ``port``: where the page listens, loopback only. ``api``: ingest's address without a path."""

    host: str = "127.0.0.1"
    port: int = 8080
    api: str = DEFAULT_API

    @property
    def url(self) -> str:
        """The page's address as a person types it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


def load_config(path: str | Path) -> DashboardsConfig:
    """Read a centre.toml; ConfigError with every problem in the table that concerns the page."""
    problems = Problems()
    document = TomlDocument.load(path, problems)
    if document is None:
        raise ConfigError(problems.found)
    check_top_level(document, CENTRE_TABLES, problems)
    table = Table(document, ("dashboards",), problems)
    host, port = _listen(table)
    config = DashboardsConfig(host=host, port=port, api=_api(table))
    table.end()
    problems.raise_if_any()
    return config


def _listen(table: Table) -> tuple[str, int]:
    listen = table.text("listen", DEFAULT_LISTEN)
    try:
        parts = urlsplit(f"//{listen}")
        port = parts.port or 0
        loopback = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        port, loopback = 0, False
    if not port or not loopback or listen != parts.netloc:
        message = f"{listen!r} is not HOST:PORT on the loopback interface"
        table.trouble("listen", message, f"such as {DEFAULT_LISTEN}")
        return "127.0.0.1", 8080
    return parts.hostname or "", port


def _api(table: Table) -> str:
    api = table.text("api", DEFAULT_API)
    try:
        parts = urlsplit(api)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        table.trouble("api", f"{api!r} is not ingest's address", f"such as {DEFAULT_API}, without a path")
        return DEFAULT_API
    return api.rstrip("/")
