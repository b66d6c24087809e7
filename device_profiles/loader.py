"""Profiles out of TOML files: one file, or the whole library with what a site adds to it.

Every mistake is reported at once with file, line and the nearest right name; nothing here raises but ``ConfigError``,
and that only where nobody brought a ``Problems`` to collect in. A site may add models, never redefine one.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from device_profiles.documents import TomlDocument
from device_profiles.physics import read_physics
from device_profiles.problems import Problems, nearest
from device_profiles.profiles import (
    DOMAINS,
    STATUSES,
    AlarmPreset,
    DeviceProfile,
    Example,
    ModbusMap,
    Physics,
)
from device_profiles.quality import Reason
from device_profiles.readings import Value
from device_profiles.register_maps import read_modbus
from device_profiles.tables import Table, check_top_level

LIBRARY = Path(__file__).parent / "library"
"""The profiles that come with the package, from a source tree or a wheel alike."""

PROFILE_TABLES = ("profile", "modbus", "simulate", "alarms", "examples")
SEVERITIES = ("notice", "warning", "critical")
REASON_WORDS = tuple(reason.word for reason in Reason if 16 <= reason < 28)
"""What an example may expect instead of a value: reasons of a value that the device did answer."""

_MODEL = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+\Z")
_POINT = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_COMPONENT = re.compile(r"\d{4}\Z")


def load_library(extra_dirs: Iterable[str | Path] = (), problems: Problems | None = None) -> dict[str, DeviceProfile]:
    """Every profile by model: the library's, then those of each extra folder.

    With ``problems`` given, mistakes are noted there and the sound profiles returned; without, ConfigError carries all.
    """
    collected = Problems() if problems is None else problems
    found: dict[str, DeviceProfile] = {}
    for folder in (LIBRARY, *map(Path, extra_dirs)):
        if not folder.is_dir():
            collected.add(str(folder), 0, "", "no such folder of profiles")
            continue
        for path in sorted(folder.rglob("*.toml")):
            profile = load_profile(path, collected)
            if profile is None:
                continue
            if profile.model in found:
                collected.add(
                    str(path), 1, "profile.model", f"{profile.model!r} is already in {found[profile.model].path}"
                )
            else:
                found[profile.model] = profile
    if problems is None:
        collected.raise_if_any()
    return found


def load_profile(path: str | Path, problems: Problems) -> DeviceProfile | None:
    """One profile; None, with every mistake noted, when there is any."""
    document = TomlDocument.load(path, problems)
    return None if document is None else read_profile(document, problems)


def read_profile(document: TomlDocument, problems: Problems) -> DeviceProfile | None:
    """One profile out of a parsed file; None, with every mistake noted, when there is any."""
    before = len(problems.found)
    check_top_level(document, PROFILE_TABLES, problems)
    root = Table(document, (), problems)
    for key in ("profile", "modbus"):
        if not root.has(key):
            root.trouble(key, "the table is missing")
    modbus = read_modbus(root.table("modbus")) if root.has("modbus") else ModbusMap()
    _check_point_names(root, modbus)
    simulate = _simulate(root.table("simulate"), modbus)
    alarms = tuple(_alarm(row, modbus) for row in root.tables("alarms"))
    examples = tuple(_example(row, modbus) for row in root.tables("examples"))
    if not root.has("profile"):
        return None
    profile = _identity(root.table("profile"), document.path, modbus, simulate, alarms, examples)
    return profile if len(problems.found) == before else None


def _identity(
    table: Table,
    path: str,
    modbus: ModbusMap,
    simulate: dict[str, Physics],
    alarms: tuple[AlarmPreset, ...],
    examples: tuple[Example, ...],
) -> DeviceProfile:
    profile = DeviceProfile(
        model=table.text("model"),
        version=table.integer("version", 1, low=1, high=65535),
        vendor=table.text("vendor"),
        title=table.title(),
        domain=table.choice("domain", DOMAINS),
        component=table.text("component"),
        status=table.choice("status", STATUSES),
        modbus=modbus,
        sources=tuple(table.texts("sources")),
        caveats=tuple(table.texts("caveats")),
        simulate=simulate,
        alarms=alarms,
        examples=examples,
        path=path,
    )
    table.end()
    _check_identity(table, profile)
    return profile


def _check_identity(table: Table, profile: DeviceProfile) -> None:
    path = Path(profile.path)
    if profile.model and not _MODEL.match(profile.model):
        table.trouble(
            "model", f"{profile.model!r} is no name of the form vendor-model in small letters, digits and hyphens"
        )
    elif profile.model and profile.model != path.stem and path.name != "profile.toml":
        table.trouble("model", f"{profile.model!r} differs from the file's name", f"call the file {profile.model}.toml")
    if profile.component and not _COMPONENT.match(profile.component):
        table.trouble("component", "must be four digits: class and sub-class (GB/T 30428.2)")
    if not profile.title.get("zh") or not profile.title.get("en"):
        table.trouble("title", 'needs both languages: { zh = "…", en = "…" }')
    if not profile.sources:
        table.trouble("sources", "must say where the map comes from")


def _check_point_names(root: Table, modbus: ModbusMap) -> None:
    for index, point in enumerate(modbus.points):
        if point.name and not _POINT.match(point.name):
            row = Table(root.document, ("modbus", "points", index), root.problems)
            row.trouble("name", f"{point.name!r} must be small letters, digits and underscores")


def _simulate(table: Table, modbus: ModbusMap) -> dict[str, Physics]:
    points = {point.name: point for point in modbus.points}
    found: dict[str, Physics] = {}
    for name in table.data:
        if name not in points:
            table.trouble(name, "no such point to simulate", nearest(name, points))
            continue
        physics = read_physics(table.table(name), points[name])
        if physics is not None:
            found[name] = physics
    return found


def _alarm(table: Table, modbus: ModbusMap) -> AlarmPreset:
    alarm = AlarmPreset(
        point=table.text("point"),
        severity=table.choice("severity", SEVERITIES, "warning"),
        title=table.title(),
        above=table.optional_number("above"),
        below=table.optional_number("below"),
    )
    table.end()
    names = [point.name for point in modbus.points]
    if alarm.point and alarm.point not in names:
        table.trouble("point", f"no such point {alarm.point!r}", nearest(alarm.point, names))
    if alarm.above is None and alarm.below is None:
        table.trouble("", "needs above, below or both")
    return alarm


def _example(table: Table, modbus: ModbusMap) -> Example:
    request, reply = _frame(table, "request"), _frame(table, "reply")
    values = _values(table.table("values"), modbus)
    title, source = table.text("title"), table.text("source")
    table.end()
    return Example(title=title, source=source, request=request, reply=reply, values=values)


def _frame(table: Table, key: str) -> bytes:
    text = table.text(key)
    try:
        return bytes.fromhex(text)
    except ValueError:
        table.trouble(key, f"is no hexadecimal: {text!r}", "two digits a byte: 01 03 00 00 00 02 C4 0B")
        return b""


def _values(table: Table, modbus: ModbusMap) -> dict[str, Value]:
    """Expected values by point: a number, a text for a string, or a reason's word where there is no value."""
    points = {point.name: point for point in modbus.points}
    found: dict[str, Value] = {}
    if not table.data:
        table.trouble("", "an example names at least one value")
    for name, value in table.data.items():
        if name not in points:
            table.trouble(name, "no such point", nearest(name, points))
        elif isinstance(value, str) and not points[name].text and value not in REASON_WORDS:
            table.trouble(name, f"neither a number nor a reason: {value!r}", nearest(value, REASON_WORDS))
        elif isinstance(value, (int, float, str)):
            found[name] = value
        else:
            table.trouble(name, f"must be a number, not {value!r}")
    return found
