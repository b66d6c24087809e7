"""Profiles out of TOML files: one file, or the whole library with what a site adds to it.

Every mistake is reported at once with file, line and the nearest right name; nothing here raises but ``ConfigError``,
and that only where nobody brought a ``Problems`` to collect in. A site may add models, never redefine one.
"""

import re
from collections.abc import Iterable, Mapping
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
    Physics,
    Point,
    ProtocolMap,
)
from device_profiles.protocols import MODULES, module_of
from device_profiles.quality import Reason
from device_profiles.readings import Value
from device_profiles.tables import Table, check_top_level

LIBRARY = Path(__file__).parent / "library"
"""The profiles that come with the package, from a source tree or a wheel alike."""

PROFILE_TABLES = ("profile", "simulate", "alarms", "examples", *MODULES)
SEVERITIES = ("notice", "warning", "critical")
REASON_WORDS = tuple(reason.word for reason in Reason if 16 <= reason < 28)
"""What an example may expect instead of a value: reasons of a value that the device did answer."""

_MODEL = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+\Z")
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
    if not root.has("profile"):
        root.trouble("profile", "the table is missing")
    map_ = _map(root)
    points = {point.name: point for point in map_.points}
    simulate = _simulate(root.table("simulate"), points)
    alarms = tuple(_alarm(row, points) for row in root.tables("alarms"))
    examples = tuple(_example(row, points) for row in root.tables("examples"))
    if not root.has("profile"):
        return None
    profile = _identity(root.table("profile"), document.path, map_, simulate, alarms, examples)
    return profile if len(problems.found) == before else None


def _map(root: Table) -> ProtocolMap:
    """The one protocol table; a model that can be reached in two ways is two profiles."""
    written = [key for key in MODULES if root.has(key)]
    if not written:
        root.trouble("", "no protocol table: one of " + ", ".join(f"[{key}]" for key in MODULES))
        return ProtocolMap()
    for key in written[1:]:
        root.trouble(key, f"a profile has one protocol table, and this one has [{written[0]}]", "make it two profiles")
    return module_of(written[0]).read_map(root.table(written[0]))


def _identity(
    table: Table,
    path: str,
    map_: ProtocolMap,
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
        map=map_,
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


def _simulate(table: Table, points: Mapping[str, Point]) -> dict[str, Physics]:
    found: dict[str, Physics] = {}
    for name in table.data:
        if name not in points:
            table.trouble(name, "no such point to simulate", nearest(name, points))
            continue
        physics = read_physics(table.table(name), points[name])
        if physics is not None:
            found[name] = physics
    return found


def _alarm(table: Table, points: Mapping[str, Point]) -> AlarmPreset:
    alarm = AlarmPreset(
        point=table.text("point"),
        severity=table.choice("severity", SEVERITIES, "warning"),
        title=table.title(),
        above=table.optional_number("above"),
        below=table.optional_number("below"),
    )
    table.end()
    if alarm.point and alarm.point not in points:
        table.trouble("point", f"no such point {alarm.point!r}", nearest(alarm.point, points))
    if alarm.above is None and alarm.below is None:
        table.trouble("", "needs above, below or both")
    return alarm


def _example(table: Table, points: Mapping[str, Point]) -> Example:
    """``request`` and ``reply``, or ``report`` (and ``ack``), in hexadecimal; ``…_text`` where the frame is a text."""
    called = any(table.has(key) for key in ("report", "report_text"))
    example = Example(
        title=table.text("title"),
        source=table.text("source"),
        request=b"" if called else _frame(table, "request"),
        reply=b"" if called else _frame(table, "reply"),
        report=_frame(table, "report") if called else b"",
        ack=_frame(table, "ack") if any(table.has(key) for key in ("ack", "ack_text")) else b"",
        at=table.optional_text("at"),
        values=_values(table.table("values"), points),
    )
    if example.at is not None and example.moment is None:
        table.trouble("at", f"is no time: {example.at!r}", "2026-11-21T03:04:05Z")
    table.end()
    return example


def _frame(table: Table, key: str) -> bytes:
    text = table.optional_text(f"{key}_text")
    if text is not None:
        return text.encode()
    text = table.text(key)
    try:
        return bytes.fromhex(text)
    except ValueError:
        table.trouble(key, f"is no hexadecimal: {text!r}", "two digits a byte: 01 03 00 00 00 02 C4 0B")
        return b""


def _values(table: Table, points: Mapping[str, Point]) -> dict[str, Value]:
    """Expected values by point: a number, a text for a string, or a reason's word where there is no value."""
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
