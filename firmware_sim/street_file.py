"""A street out of a TOML file, or every mistake in it at once.

Refuses units that cannot share a link, faults that a link cannot show, and profiles that cannot be run backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.problems import ConfigError, Problems, nearest
from device_profiles.profiles import DeviceProfile
from device_profiles.tables import Table, check_top_level
from device_profiles.topics import GATEWAY_NAME
from firmware_sim.faults import EXCEPTION_CODES, FaultPlan
from firmware_sim.pacing import silence_s
from firmware_sim.physics import Signal
from firmware_sim.street import LinkPlan, PolePlan, SerialPlan, Street, TcpPlan, UnitPlan

BUILT_IN = Path(__file__).parent / "streets"
TOP_LEVEL = frozenset({"street", "poles"})
BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
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
    if not links:
        table.trouble("", "the pole has no links")
    _unique(table.tables("links"), [link.name for link in links], "name")
    pole = PolePlan(name=name, title=table.title(), links=links)
    table.end()
    return pole


def _link(table: Table, library: Library, seen: dict[str, str]) -> SerialPlan | TcpPlan:
    name = table.text("name")
    kind = table.choice("kind", ("rtu", "tcp"))
    timeout_ms = table.integer("timeout_ms", 300, low=1, high=60_000)
    retries = table.integer("retries", 1, low=0, high=10)
    units = tuple(_unit(unit, library, seen, kind) for unit in table.tables("units"))
    if not units:
        table.trouble("", "the link has no units")
    _unique(table.tables("units"), [str(unit.address) for unit in units], "unit")
    common = LinkPlan(name=name, timeout_ms=timeout_ms, retries=retries, units=units)
    link = _serial(table, common) if kind == "rtu" else _tcp(table, common)
    table.end()
    return link


def _serial(table: Table, link: LinkPlan) -> SerialPlan:
    baud = table.integer("baud", 9600)
    if baud not in BAUDS:
        table.trouble("baud", f"{baud} is no usual speed", "one of: " + ", ".join(map(str, BAUDS)))
        baud = 9600
    turnaround_ms = table.number("turnaround_ms", 5.0, low=0, high=10_000)
    if turnaround_ms < 1000 * silence_s(baud):
        least = f"at least the line's 3.5 characters of silence, {1000 * silence_s(baud):.2f}"
        table.trouble("turnaround_ms", f"must be {least}, not {turnaround_ms:g}")
    return SerialPlan(
        name=link.name,
        timeout_ms=link.timeout_ms,
        retries=link.retries,
        units=link.units,
        baud=baud,
        parity=table.choice("parity", ("N", "E", "O"), "N"),
        stop=table.integer("stop", 1, low=1, high=2),
        turnaround_ms=turnaround_ms,
    )


def _tcp(table: Table, link: LinkPlan) -> TcpPlan:
    port = table.integer("port", 0, low=0, high=65_535)
    return TcpPlan(name=link.name, timeout_ms=link.timeout_ms, retries=link.retries, units=link.units, port=port)


def _unit(table: Table, library: Library, seen: dict[str, str], kind: str) -> UnitPlan:
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
        _check_physics(table, profile)
    period = table.optional_number("period", low=0.01, high=86_400)
    fastest = min((point.period for point in profile.modbus.points), default=0.0)
    if period is not None and period < fastest and library.get(model):
        table.trouble("period", f"{period:g} s is faster than the model allows", f"{fastest:g} or slower")
    plan = UnitPlan(
        address=table.integer("unit", low=1, high=247),
        device=device,
        profile=profile,
        code=table.optional_text("code"),
        title=table.title(),
        period=period,
        faults=_faults(table.table("faults"), kind),
    )
    table.end()
    return plan


def _check_physics(table: Table, profile: DeviceProfile) -> None:
    for point in profile.modbus.points:
        try:
            Signal(point, profile.simulate.get(point.name), "", 0).check()
        except ValueError as trouble:
            table.trouble("profile", f"{profile.model} cannot be simulated: {trouble}")


def _faults(table: Table, kind: str) -> FaultPlan:
    late, exception = table.table("late"), table.table("exception")
    plan = FaultPlan(
        dead=table.flag("dead"),
        silent=_share(table, "silent"),
        late=_probability(late) if table.has("late") else 0.0,
        bad_checksum=_share(table, "bad_checksum"),
        truncated=_share(table, "truncated"),
        exception=_probability(exception) if table.has("exception") else 0.0,
        delay_ms=late.integer("delay_ms", 450, low=1, high=60_000),
        code=exception.integer("code", 4),
    )
    late.end()
    exception.end()
    if plan.bad_checksum and kind == "tcp":
        table.trouble("bad_checksum", "Modbus TCP has no checksum", "use it on an rtu link")
    if plan.code not in EXCEPTION_CODES:
        exception.trouble("code", f"{plan.code} is no exception", "one of: " + ", ".join(map(str, EXCEPTION_CODES)))
    if plan.total > 1:
        table.trouble("", f"the probabilities sum up to {plan.total:g}, more than 1")
    table.end()
    return plan


def _share(table: Table, name: str) -> float:
    """`name = { probability = 0.1 }` where nothing else can be said."""
    if not table.has(name):
        return 0.0
    fault = table.table(name)
    share = _probability(fault)
    fault.end()
    return share


def _probability(table: Table) -> float:
    return table.number("probability", low=0, high=1)
