"""A street out of a TOML file, or every mistake in it at once.

Refuses units that cannot share a link, and profiles that cannot be run backwards. Listeners: see `street_callers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.maps.points import read_line
from device_profiles.problems import ConfigError, Problems, nearest
from device_profiles.profiles import DeviceProfile, LineSettings
from device_profiles.protocols import ASKED, asked_module_of
from device_profiles.tables import Table, check_top_level
from device_profiles.topics import GATEWAY_NAME
from firmware_sim.pacing import silence_s
from firmware_sim.street import LinkPlan, PolePlan, SerialPlan, Street, TcpPlan, UnitPlan
from firmware_sim.street_callers import check_physics, read_listener
from firmware_sim.street_faults import read_faults

BUILT_IN = Path(__file__).parent / "streets"
TOP_LEVEL = frozenset({"street", "poles"})
KINDS = ("rtu", "serial", "tcp")
"""`rtu` and `serial` are the same line: with meters on it nobody would call it Modbus RTU."""
Library = Mapping[str, DeviceProfile]


def built_in_streets() -> list[str]:
    """Names that `find_street` knows without a path."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def find_street(text: str) -> Path:
    """The file of a built-in street's name, or the path itself."""
    return BUILT_IN / f"{text}.toml" if text in built_in_streets() else Path(text)


def load_street(text: str) -> Street:
    """Read a built-in street or a file; ConfigError with every problem in it."""
    path, problems = find_street(text), Problems()
    document = TomlDocument.load(path, problems)
    if document is None:
        if path.suffix != ".toml":
            problems.add(text, 0, "", "no built-in street either", nearest(text, built_in_streets()))
        raise ConfigError(problems.found)
    check_top_level(document, TOP_LEVEL, problems)
    street = _street(document, problems)
    problems.raise_if_any()
    return street


def _street(document: TomlDocument, problems: Problems) -> Street:
    table = Table(document, ("street",), problems)
    name, seed, title = table.text("name"), table.integer("seed", 1), table.title()
    folders = tuple((Path(document.path).parent / text).absolute() for text in table.texts("profiles"))
    table.end()
    library = load_library(folders, problems)
    if not library:
        problems.raise_if_any()  # nothing to check the units against
    seen: dict[str, str] = {}
    root = Table(document, (), problems)
    poles = tuple(_pole(pole, library, seen) for pole in root.tables("poles"))
    if not poles:
        table.trouble("", "the street has no [[poles]]")
    _unique(root.tables("poles"), [pole.name for pole in poles], "name")
    return Street(name=name, seed=seed, title=title, profiles=folders, poles=poles)


def _unique(tables: list[Table], names: list[str], key: str) -> None:
    for index, name in enumerate(names):
        if name and name in names[:index]:
            tables[index].trouble(key, f"{name!r} is taken by {tables[names.index(name)].name}")


def _pole(table: Table, library: Library, seen: dict[str, str]) -> PolePlan:
    name = table.text("name")
    if name and not GATEWAY_NAME.match(name):
        table.trouble("name", f"{name!r} must be 1 to 64 of A-Z a-z 0-9 . _ -")
    links = tuple(_link(link, library, seen) for link in table.tables("links"))
    listeners = tuple(read_listener(row, library, seen) for row in table.tables("listeners"))
    if not links and not listeners:
        table.trouble("", "the pole has no links and no listeners")
    _unique(table.tables("links"), [link.name for link in links], "name")
    _unique(table.tables("listeners"), [listener.name for listener in listeners], "name")
    pole = PolePlan(name=name, title=table.title(), links=links, listeners=listeners)
    table.end()
    return pole


def _link(table: Table, library: Library, seen: dict[str, str]) -> SerialPlan | TcpPlan:
    name = table.text("name")
    kind = table.choice("kind", KINDS)
    line = None if kind == "tcp" else read_line(table)
    timeout_ms = table.integer("timeout_ms", 300, low=1, high=60_000)
    retries = table.integer("retries", 1, low=0, high=10)
    units = tuple(_unit(unit, library, seen, line) for unit in table.tables("units"))
    if not units:
        table.trouble("", "the link has no units")
    _unique(table.tables("units"), [str(unit.address) for unit in units], "unit")
    common = LinkPlan(name=name, timeout_ms=timeout_ms, retries=retries, units=units)
    link = _tcp(table, common) if line is None else _serial(table, common, line)
    table.end()
    return link


def _serial(table: Table, link: LinkPlan, line: LineSettings) -> SerialPlan:
    turnaround_ms = table.number("turnaround_ms", 5.0, low=0, high=10_000)
    if turnaround_ms < 1000 * silence_s(line.baud):
        least = f"at least the line's 3.5 characters of silence, {1000 * silence_s(line.baud):.2f}"
        table.trouble("turnaround_ms", f"must be {least}, not {turnaround_ms:g}")
    return SerialPlan(
        name=link.name,
        timeout_ms=link.timeout_ms,
        retries=link.retries,
        units=link.units,
        baud=line.baud,
        parity=line.parity,
        stop=line.stop,
        turnaround_ms=turnaround_ms,
    )


def _tcp(table: Table, link: LinkPlan) -> TcpPlan:
    port = table.integer("port", 0, low=0, high=65_535)
    return TcpPlan(name=link.name, timeout_ms=link.timeout_ms, retries=link.retries, units=link.units, port=port)


def _unit(table: Table, library: Library, seen: dict[str, str], line: LineSettings | None) -> UnitPlan:
    """One unit; `line` is its link's, None on Modbus TCP."""
    device, model = table.text("device"), table.text("profile")
    if device in seen:
        table.trouble("device", f"{device!r} is taken by {seen[device]}")
    seen.setdefault(device, table.name)
    profile = library.get(model)
    if profile is None:
        if model:
            table.trouble("profile", f"there is no profile {model!r}", nearest(model, library))
        profile = next(iter(library.values()))  # a stand-in, so that checking goes on
    else:
        _check_place(table, profile, line)
        check_physics(table, profile)
    period = table.optional_number("period", low=0.01, high=86_400)
    fastest = min((point.period for point in profile.points), default=0.0)
    if period is not None and period < fastest and library.get(model):
        table.trouble("period", f"{period:g} s is faster than the model allows", f"{fastest:g} or slower")
    plan = UnitPlan(
        address=_address(table, profile if library.get(model) else None),
        device=device,
        profile=profile,
        code=table.optional_text("code"),
        title=table.title(),
        period=period,
        line=_own_line(table, line),
        faults=read_faults(table.table("faults"), "tcp" if line is None else "rtu"),
    )
    table.end()
    return plan


def _check_place(table: Table, profile: DeviceProfile, line: LineSettings | None) -> None:
    if profile.protocol not in ASKED:
        hint = "put it under [[poles.listeners.callers]]"
        table.trouble("profile", f"{profile.model} is never asked: it calls ({profile.protocol})", hint)
    elif line is None and profile.protocol != "modbus":
        trouble = f"{profile.model} speaks {profile.protocol}, not Modbus TCP"
        table.trouble("profile", trouble, "put it on a serial link")


def _address(table: Table, profile: DeviceProfile | None) -> int | str:
    """A Modbus unit's number, or another protocol's address as text; without a profile either will do."""
    if profile is None and isinstance(table.data.get("unit"), str):
        return table.text("unit")
    if profile is None or profile.protocol not in ASKED or profile.protocol == "modbus":
        return table.integer("unit", low=1, high=247)
    text = table.text("unit")
    try:
        if text:
            asked_module_of(profile.protocol).check_unit(text)
    except ValueError as trouble:
        table.trouble("unit", str(trouble))
    return text


def _own_line(table: Table, line: LineSettings | None) -> LineSettings | None:
    """The unit's own speed and parity, None where it says nothing of them."""
    if line is None or not {"baud", "parity", "stop"} & table.data.keys():
        return None
    return read_line(table, line.baud, line.parity, line.stop)
