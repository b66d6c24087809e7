"""What an agent is told by its site file: every mistake at once, with its line and the nearest right name.

Reads [site], [agent], [[links]], [[devices]] and the gateway's socket; the other tables belong to the
gateway. A site may slow a device down or report it less closely; it may not redefine a register map. No
connection is made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.manifests import Title
from device_profiles.maps.points import read_line
from device_profiles.problems import ConfigError, Problems, nearest
from device_profiles.profiles import DeviceProfile, LineSettings, Point, RegisterPoint
from device_profiles.protocols import ASKED, asked_module_of
from device_profiles.tables import SITE_TABLES, Table, check_top_level
from edge_agent.links import LinkTarget, LinkUrlError, line_of, parse_link_url
from edge_agent.plan import PlanError, Span, plan_spans

_SITE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_DEVICE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_CODE = re.compile(r"\d{16}\Z")
#: Keys of a profile's point or map: in a site file they mean that somebody tries to redefine one.
_MAP_KEYS = ("modbus", "registers", "address", "table", "type", "order", "scale", "offset", "mask", "sentinels")
_NO_MAP = "a site may not redefine a register map: write a profile and name its folder in site.profiles"


class LinkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`timeout`: seconds at least to a reply's first byte on this link (a slow adapter), 0 leaves it to
    the profiles."""

    name: str
    url: str
    target: LinkTarget
    timeout: float = 0.0
    retries: int = 1


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One installed unit. `period`, `report` (seconds) and `deadbands` (by point) override the profile
    where written; `points`: the names to poll, None for all; `unit`: a Modbus address, or a meter's number as
    text; `line`: the unit's own speed and parity where they are not the link's; `framing`: "ascii" for a Modbus unit
    that is set to it."""

    name: str
    profile: DeviceProfile
    link: str
    unit: int | str
    line: LineSettings | None = None
    framing: str = "rtu"
    code: str | None = None
    title: Title = {}
    period: float | None = None
    report: float | None = None
    deadbands: dict[str, float] = {}
    points: tuple[str, ...] | None = None

    @property
    def spoken(self) -> str:
        """The protocol as the line hears it: "modbus_ascii" is another one than "modbus"."""
        return "modbus_ascii" if self.framing == "ascii" else self.profile.protocol

    def period_of(self, point: Point) -> float:
        """Seconds between two polls of a point: the profile's, or slower."""
        return max(point.period, self.period or 0.0)

    def spans(self) -> list[Span]:
        """The reads of a Modbus unit; PlanError when a point cannot be read."""
        return plan_spans(self.profile.modbus, self.points, self.period_of)

    @property
    def read_points(self) -> tuple[Point, ...]:
        """The points that are decoded."""
        points = self.profile.points
        return points if self.points is None else tuple(point for point in points if point.name in self.points)

    @property
    def read_registers(self) -> tuple[RegisterPoint, ...]:
        """The same of a Modbus unit; TypeError for any other."""
        points = self.profile.modbus.points
        return points if self.points is None else tuple(point for point in points if point.name in self.points)


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One pole's agent. `gateway`: a unix socket's path, or (host, port); `linger` seconds; `own_readings`: whether the
    agent reports of itself."""

    site: str
    gateway: Path | tuple[str, int]
    links: tuple[LinkConfig, ...]
    devices: tuple[DeviceConfig, ...]
    linger: float = 0.05
    batch_readings: int = 500
    own_readings: bool = True

    @property
    def origin(self) -> str:
        """What the agent's batches are named after."""
        return f"{self.site}/agent"


def own_name(site: str) -> str:
    """The device that the agent of a site is in its own manifest; a device's name has at most 64 characters."""
    return f"{site[:58]}.agent"


def load_config(path: str | Path) -> AgentConfig:
    """Read a site file; ConfigError with every problem in the tables that concern an agent."""
    problems = Problems()
    document = TomlDocument.load(path, problems)
    if document is None:
        raise ConfigError(problems.found)
    check_top_level(document, SITE_TABLES, problems)
    root = Table(document, (), problems)
    site, folders = _site(root.table("site"))
    library = load_library(folders, problems)
    agent = root.table("agent")
    linger = agent.number("linger_ms", 50, low=0, high=10_000) / 1000
    batch_readings = agent.integer("batch_readings", 500, low=1, high=20_000)
    own_readings = agent.flag("own_readings", True)
    agent.end()
    gateway = _gateway(root.table("gateway"), f"run/{site}.sock")
    links = _links(root.tables("links"))
    devices = _devices(root.tables("devices"), links, library)
    if own_readings and own_name(site) in {device.name for device in devices}:
        agent.trouble("own_readings", f"{own_name(site)!r}, as the agent calls itself, is a device's name already")
    problems.raise_if_any()
    return AgentConfig(
        site=site,
        gateway=gateway,
        links=tuple(links),
        devices=tuple(devices),
        linger=linger,
        batch_readings=batch_readings,
        own_readings=own_readings,
    )


def _site(table: Table) -> tuple[str, list[Path]]:
    name = table.text("name")
    if name and not _SITE_NAME.match(name):
        table.trouble("name", f"{name!r} must be 1 to 64 of A-Z a-z 0-9 . _ -")
    table.title()
    folder = Path(table.document.path).parent
    folders = [folder / text for text in table.texts("profiles")]
    table.end()
    return name or "unnamed", folders


def _gateway(table: Table, default: str) -> Path | tuple[str, int]:
    """Where the gateway listens; the gateway's own configuration checks the rest of the table."""
    text = table.text("socket", default)
    if not text.startswith("tcp://"):
        return table.path("socket", default).absolute()
    parts = urlsplit(text)
    try:
        port = parts.port or 0
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        table.trouble("socket", f"{text!r} is no address", "tcp://127.0.0.1:PORT")
    return parts.hostname or "", port


def _links(tables: Iterable[Table]) -> list[LinkConfig]:
    links: list[LinkConfig] = []
    seen: dict[str, str] = {}
    for table in tables:
        link = _link(table)
        if link.name in {other.name for other in links}:
            table.trouble("name", f"two links are called {link.name!r}")
        place = f"{link.target.kind} {link.target.place}:{link.target.port}"
        if link.target.place and place in seen:
            table.trouble("url", f"link {seen[place]!r} already uses this port")
        seen[place] = link.name
        links.append(link)
    return links


def _link(table: Table) -> LinkConfig:
    name, url = table.text("name"), table.text("url")
    target = LinkTarget(kind="serial", place="")
    if url:
        try:
            target = parse_link_url(url)
        except LinkUrlError as trouble:
            table.trouble("url", str(trouble))
    timeout = table.number("timeout_ms", 0, low=0, high=60_000) / 1000
    retries = table.integer("retries", 1, low=0, high=5)
    table.end()
    return LinkConfig(name=name, url=url, target=target, timeout=timeout, retries=retries)


def _devices(tables: Iterable[Table], links: list[LinkConfig], library: dict[str, DeviceProfile]) -> list[DeviceConfig]:
    devices: list[DeviceConfig] = []
    taken: dict[tuple[str, int | str], str] = {}
    names: set[str] = set()
    codes: dict[str, str] = {}
    for table in tables:
        device = _device(table, links, library)
        if device is None:
            continue
        if device.name in names:
            table.trouble("name", f"two devices are called {device.name!r}")
        place = device.link, device.unit
        if place in taken:
            table.trouble("unit", f"unit {device.unit} on {device.link!r} is already {taken[place]!r}")
        if device.code and device.code in codes:
            table.trouble("code", f"{device.code} is already the code of {codes[device.code]!r}")
        names.add(device.name)
        taken.setdefault(place, device.name)
        codes.setdefault(device.code or "", device.name)
        devices.append(device)
    return devices


def _device(table: Table, links: list[LinkConfig], library: dict[str, DeviceProfile]) -> DeviceConfig | None:
    """One device; None when its profile or link is not known, all else being checked all the same."""
    name, model, link_name = table.text("name"), table.text("profile"), table.text("link")
    if name and not _DEVICE_NAME.match(name):
        table.trouble("name", f"{name!r} must be 1 to 64 of A-Z a-z 0-9 . _ -")
    link = next((link for link in links if link.name == link_name), None)
    if link_name and link is None:
        table.trouble("link", f"unknown link {link_name!r}", nearest(link_name, [link.name for link in links]))
    profile = library.get(model)
    if model and profile is None:
        table.trouble("profile", f"unknown profile {model!r}", nearest(model, library))
    if profile is not None and profile.protocol not in ASKED:
        table.trouble("profile", f"a {model} calls by itself ({profile.protocol})", "put it under [[callers]]")
        return None
    unit = _unit(table, link, profile.protocol if profile is not None else "modbus")
    line = _own_line(table, link)
    for key in _MAP_KEYS:
        if table.has(key):
            table.trouble(key, _NO_MAP)
    framing = _framing(table, link, profile)
    code = _code(table)
    title = table.title()
    device = _polled(table, profile) if profile is not None else None
    for key in ("period", "report", "points", "deadband"):
        table.has(key)
    table.end()
    if device is None or link is None:
        return None
    where = {"link": link.name, "unit": unit, "line": line, "framing": framing}
    return msgspec.structs.replace(device, name=name, **where, code=code, title=title)


def _unit(table: Table, link: LinkConfig | None, protocol: str) -> int | str:
    """The unit's address: a number for Modbus, else as its protocol writes it, in quotes."""
    if protocol != "modbus":
        text = table.text("unit")
        if link is not None and link.target.framing == "tcp":
            hint = "rtu+tcp:// or serial://"
            table.trouble("link", f"{link.name!r} is Modbus TCP, and this unit speaks {protocol}", hint)
        try:
            if text:
                asked_module_of(protocol).check_unit(text)
        except ValueError as trouble:
            table.trouble("unit", str(trouble))
        return text
    unit = table.integer("unit", low=0 if link and link.target.framing == "tcp" else 1, high=255)
    if link is not None and link.target.framing == "rtu" and unit > 247:
        table.trouble("unit", f"{unit} is reserved on a serial line: 1 to 247")
    return unit


def _framing(table: Table, link: LinkConfig | None, profile: DeviceProfile | None) -> str:
    """`framing = "ascii"` of a Modbus unit on a line."""
    framing = table.choice("framing", ("rtu", "ascii"), "rtu")
    if framing == "ascii" and profile is not None and profile.protocol != "modbus":
        table.trouble("framing", f"is for Modbus units, and a {profile.model} speaks {profile.protocol}")
    if framing == "ascii" and link is not None and link.target.framing == "tcp":
        table.trouble("framing", f"{link.name!r} is Modbus TCP")
    return framing


def _own_line(table: Table, link: LinkConfig | None) -> LineSettings | None:
    """`baud`, `parity` and `stop` of a unit that differs from its link; None where it does not."""
    if not any(table.has(key) for key in ("baud", "parity", "stop")):
        return None
    target = link.target if link is not None else LinkTarget(kind="serial", place="")
    if target.kind != "serial":
        table.trouble("baud", f"{target.kind}:// has no speed that we could change")
    line = read_line(table, target.baud, target.parity, target.stop)
    return None if line == line_of(target) else line


def _code(table: Table) -> str | None:
    """The component code in the manner of GB/T 30428.2: division 6, class 2, sub-class 2, serial 6 digits.

    The city gives it out, so its class is not held against the profile's.
    """
    code = table.optional_text("code")
    if code is None:
        return None
    if not _CODE.match(code):
        table.trouble("code", f"{code!r} is no component code: 16 digits (GB/T 30428.2)")
    return code


def _polled(table: Table, profile: DeviceProfile) -> DeviceConfig:
    """What is polled, how often, and how closely it is reported."""
    names = _points(table, profile)
    wanted = [point for point in profile.points if names is None or point.name in names]
    fastest = min((point.period for point in wanted), default=0.0)
    period = table.optional_number("period", low=0.0, high=86_400.0)
    if period is not None and period < fastest:
        table.trouble("period", f"{period:g} s is faster than the model allows", f"{fastest:g} or slower")
    report = table.optional_number("report", low=0.0, high=86_400.0)
    device = DeviceConfig(
        name="",
        profile=profile,
        link="",
        unit=0,
        period=period,
        report=report,
        deadbands=_deadbands(table.table("deadband"), profile) if table.has("deadband") else {},
        points=names,
    )
    try:
        if profile.protocol == "modbus":
            device.spans()
    except PlanError as trouble:
        table.trouble("profile", str(trouble))
    return device


def _points(table: Table, profile: DeviceProfile) -> tuple[str, ...] | None:
    if not table.has("points"):
        return None
    if isinstance(table.data["points"], list) and any(isinstance(item, dict) for item in table.data["points"]):
        table.trouble("points", _NO_MAP)
        return None
    known = [point.name for point in profile.points]
    names = table.texts("points")
    for name in names:
        if name not in known:
            table.trouble("points", f"a {profile.model} has no point {name!r}", nearest(name, known))
    return tuple(name for name in names if name in known)


def _deadbands(table: Table, profile: DeviceProfile) -> dict[str, float]:
    known = {point.name for point in profile.points}
    found: dict[str, float] = {}
    for name in table.data:
        if name in known:
            found[name] = table.number(name, 0.0, low=0.0)
        else:
            table.trouble(name, f"a {profile.model} has no such point", nearest(name, known))
    return found
