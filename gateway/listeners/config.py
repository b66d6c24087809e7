"""``[[listeners]]`` and ``[[callers]]`` of a site file: every mistake found at once, no door opened.

Many callers may stand in a CSV file beside it (``callers = "callers.csv"``: id, name, profile and, if wanted, code,
disabled). Refuses two callers of one identity, and a profile that speaks another protocol than its listener.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from device_profiles.loader import load_library
from device_profiles.problems import Problems, nearest
from device_profiles.profiles import DeviceProfile
from device_profiles.tables import Table
from gateway.listeners.callers import Caller
from gateway.listeners.protocols import MODULES, check_caller, module_of

POLICIES = ("refuse", "quarantine")
"""What becomes of a message from an unknown device: turned away, or turned away with its bytes kept for a person."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,48}\Z")
_CODE = re.compile(r"\d{16}\Z")
_COLUMNS = ("id", "name", "profile", "code", "disabled")

Library = Mapping[str, DeviceProfile]


class ListenerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One door. ``transport``: "tcp", "udp" or "coap"; ``origin``: what its batches are named after."""

    name: str
    origin: str
    protocol: str
    transport: str
    host: str
    port: int
    unknown: str = "refuse"
    options: object = None
    callers: tuple[Caller, ...] = ()


class _Row(msgspec.Struct, kw_only=True):
    """One ``[[listeners]]`` row, before its callers are known."""

    table: Table
    config: ListenerConfig
    callers: dict[str, Caller] = {}


def read_listeners(root: Table, site: str, folders: Iterable[Path]) -> tuple[ListenerConfig, ...]:
    """Every listener with its callers. The library is only read where there is a listener."""
    rows: dict[str, _Row] = {}
    for table in root.tables("listeners"):
        row = _Row(table=table, config=_listener(table, site))
        if row.config.name in rows:
            table.trouble("name", f"a second listener is called {row.config.name!r}")
        rows.setdefault(row.config.name, row)
    calling = root.tables("callers")
    if not rows:
        for table in calling[:1]:
            table.trouble("", "there are callers and no [[listeners]] that they could call")
        return ()
    library = load_library(folders, root.problems)
    devices: dict[str, str] = {}
    for row in rows.values():
        if row.table.has("callers"):
            _read_file(row, library, devices)
        row.table.end()
    for table in calling:
        _read_row(table, rows, library, devices)
    return tuple(msgspec.structs.replace(row.config, callers=tuple(row.callers.values())) for row in rows.values())


def _listener(table: Table, site: str) -> ListenerConfig:
    name = table.text("name")
    if name and (not _NAME.match(name) or name in ("agent", "commands")):  # origins that are taken
        table.trouble("name", f"{name!r} must be 1 to 48 of A-Z a-z 0-9 . _ -, and not 'agent' or 'commands'")
    protocol = table.choice("protocol", tuple(MODULES))
    module = module_of(protocol) if protocol in MODULES else None
    transport, host, port = _address(table, module.TRANSPORTS if module else ("tcp",))
    return ListenerConfig(
        name=name,
        origin=f"{site}/{name or 'unnamed'}",
        protocol=protocol,
        transport=transport,
        host=host,
        port=port,
        unknown=table.choice("unknown", POLICIES, "refuse"),
        options=module.read_options(table) if module else None,
    )


def _address(table: Table, transports: tuple[str, ...]) -> tuple[str, str, int]:
    text = table.text("listen")
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = None
    example = f"{transports[0]}://0.0.0.0:PORT"
    if text and (not parts.hostname or port is None):
        table.trouble("listen", f"{text!r} is no address", example)
    elif text and parts.scheme not in transports:
        right = " or ".join(f"{transport}://" for transport in transports)
        table.trouble("listen", f"{parts.scheme}:// is not for this protocol", right)
    return parts.scheme or transports[0], parts.hostname or "127.0.0.1", port or 0


def _read_row(table: Table, rows: Mapping[str, _Row], library: Library, devices: dict[str, str]) -> None:
    """One ``[[callers]]`` row."""
    listener = table.text("listener")
    if listener and listener not in rows:
        table.trouble("listener", f"there is no listener {listener!r}", nearest(listener, rows))
    caller = _caller(table, library)
    table.end()
    if listener in rows and caller is not None:
        _admit(rows[listener], caller, table, table.name, devices)


def _caller(table: Table, library: Library) -> Caller | None:
    id_, device, model = table.text("id"), table.text("name"), table.text("profile")
    profile = library.get(model)
    if model and profile is None:
        table.trouble("profile", f"there is no profile {model!r}", nearest(model, library))
    code = table.optional_text("code")
    if code is not None and not _CODE.match(code):
        table.trouble("code", f"{code!r} is no component code: 16 digits (GB/T 30428.2)")
    title, secret = table.title(), table.secret("secret")
    disabled = table.flag("disabled")
    report = table.optional_number("report", low=1, high=8_640_000)
    if device and not _NAME.match(device):
        table.trouble("name", f"{device!r} must be 1 to 48 of A-Z a-z 0-9 . _ -")
    if profile is None or not id_ or not device:
        return None
    return Caller(
        id=id_, device=device, profile=profile, code=code, title=title, disabled=disabled, secret=secret, report=report
    )


def _admit(row: _Row, caller: Caller, table: Table, place: str, devices: dict[str, str]) -> None:
    """Add a caller to its listener, unless it cannot be told from another."""
    if caller.profile.protocol != row.config.protocol:
        table.trouble(
            "profile", f"{caller.profile.model} speaks {caller.profile.protocol}, the listener {row.config.protocol}"
        )
    elif caller.id in row.callers:
        table.trouble("id", f"{caller.id!r} is {row.callers[caller.id].device} already")
    elif caller.device in devices:
        table.trouble("name", f"{caller.device!r} is taken by {devices[caller.device]}")
    else:
        devices[caller.device] = place
        row.callers[caller.id] = caller
        try:
            check_caller(row.config.protocol, caller)
        except ValueError as trouble:
            table.trouble("id", str(trouble))


def _read_file(row: _Row, library: Library, devices: dict[str, str]) -> None:
    """The callers of a CSV file; its mistakes are told with the file's own line numbers."""
    path, problems = row.table.path("callers"), row.table.problems
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS[:3] if name not in (reader.fieldnames or ())]
            if missing:
                problems.add(str(path), 1, "", f"lacks the columns {', '.join(missing)}", ", ".join(_COLUMNS))
                return
            for line in reader:
                _read_line(row, line, path, reader.line_num, library, devices, problems)
    except (OSError, UnicodeDecodeError, csv.Error) as trouble:
        row.table.trouble("callers", f"cannot be read: {trouble}")


def _read_line(
    row: _Row,
    line: Mapping[str, str | None],
    path: Path,
    number: int,
    library: Library,
    devices: dict[str, str],
    problems: Problems,
) -> None:
    values = {name: (line.get(name) or "").strip() for name in _COLUMNS}
    profile = library.get(values["profile"])
    wrong = ""
    if not values["id"] or not values["name"]:
        wrong = "a caller needs an id and a name"
    elif profile is None:
        wrong = f"there is no profile {values['profile']!r}"
    elif profile.protocol != row.config.protocol:
        wrong = f"{profile.model} speaks {profile.protocol}, the listener {row.config.protocol}"
    elif values["id"] in row.callers or values["name"] in devices:
        wrong = f"{values['id']!r} or {values['name']!r} is there already"
    elif values["code"] and not _CODE.match(values["code"]):
        wrong = f"{values['code']!r} is no component code: 16 digits (GB/T 30428.2)"
    if wrong or profile is None:
        problems.add(str(path), number, "", wrong)
        return
    caller = Caller(
        id=values["id"],
        device=values["name"],
        profile=profile,
        code=values["code"] or None,
        disabled=values["disabled"].lower() in ("1", "true", "yes"),
    )
    try:
        check_caller(row.config.protocol, caller)
    except ValueError as trouble:
        problems.add(str(path), number, "", str(trouble))
        return
    devices[caller.device] = f"{path}:{number}"
    row.callers[caller.id] = caller
