"""A profile's ``[gb26875]`` table: which bit, value or record of which system or part is which point, read and checked.

A point describes what it is addressed by (system type, part type, part address …); what it leaves out may be anything,
and where several points fit, the one that says most has it. Nothing is raised, all is noted.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import msgspec

from device_profiles.codecs.gb26875_words import (
    MEASURES,
    OPERATION_BITS,
    PART_BITS,
    SYSTEM_BITS,
    TRANSMITTER_BITS,
    TRANSMITTER_OPERATION_BITS,
    Word,
)
from device_profiles.maps.points import check_names, check_rows, read_fraction, read_point_head
from device_profiles.problems import nearest
from device_profiles.profiles import Point, ProtocolMap
from device_profiles.readings import Value
from device_profiles.tables import Table


class Item(msgspec.Struct, frozen=True):
    """What a point can be. ``unit``: the type of unit that carries it; ``selects``: what narrows it down; ``width``:
    bits of its field. Without ``bits`` it has no ``bit``."""

    unit: int
    selects: tuple[str, ...] = ()
    bits: tuple[Word, ...] = ()
    width: int = 0


_SYSTEM = ("system_type", "system_address")
_PART = (*_SYSTEM, "part_type", "part_address")

ITEMS = {
    "system_state": Item(1, _SYSTEM, SYSTEM_BITS, 16),
    "part_state": Item(2, _PART, PART_BITS, 16),
    "part_value": Item(3, (*_PART, "value_type")),
    "system_operation": Item(4, _SYSTEM, OPERATION_BITS, 8),
    "system_version": Item(5, _SYSTEM),
    "transmitter_state": Item(21, (), TRANSMITTER_BITS, 8),
    "transmitter_operation": Item(24, (), TRANSMITTER_OPERATION_BITS, 8),
    "transmitter_version": Item(25),
    "raw": Item(0, ("unit_type",)),
}
"""Items by their words (8.1.1, table 3). ``raw``: a unit that the standard does not describe, in hexadecimal."""

_DESCRIBED = ("system_state", "part_state")
"""What is told as a text where its row names no bit: which system or part, and every bit that is set."""

_LIMITS = {
    "system_type": 0xFF,
    "system_address": 0xFF,
    "part_type": 0xFF,
    "part_address": 0xFFFF_FFFF,
    "unit_type": 0xFF,
}

NO_VALUE = (0x7FFF, -0x8000)
"""Raw values that no type of analogue value reaches (8.2.1.3, table 6: at most 32,000): what is sent for "none"."""


class FirePoint(Point, frozen=True, kw_only=True):
    """A point of a transmitter. ``item``: a key of ITEMS; what is None may be anything.

    ``bit``: of a state or an operation; None means the whole: the operator of an operation, the description of a part's
    state as a text. ``value_type`` and ``scale`` of a part's value: value = raw × scale; ``sentinels``: raw, no value.
    """

    item: str
    system_type: int | None = None
    system_address: int | None = None
    part_type: int | None = None
    part_address: int | None = None
    value_type: int | None = None
    unit_type: int | None = None
    bit: int | None = None
    scale: Fraction = Fraction(1)
    sentinels: tuple[float, ...] = NO_VALUE

    @property
    def says(self) -> int:
        """How much it says about what it is addressed by: the more, the sooner it is taken."""
        return sum(getattr(self, name) is not None for name in ITEMS[self.item].selects)

    def fits(self, thing: object) -> bool:
        """True for an object of its item that it may be about."""
        for name in ITEMS[self.item].selects:
            wanted = getattr(self, name)
            if wanted is not None and wanted != getattr(thing, name):
                return False
        return True


class FireMap(ProtocolMap, frozen=True, kw_only=True):
    """What a transmitter and the systems behind it say, point by point."""

    protocol: ClassVar[str] = "gb26875"

    points: tuple[FirePoint, ...] = ()
    by_unit: dict[tuple[int, int | None], tuple[FirePoint, ...]] = msgspec.field(default_factory=dict)
    by_name: dict[str, FirePoint] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sort the points by unit and part address: hundreds of detectors are looked through for every message."""
        found: dict[tuple[int, int | None], list[FirePoint]] = {}
        for point in self.points:
            found.setdefault((ITEMS[point.item].unit, point.part_address), []).append(point)
        msgspec.structs.force_setattr(self, "by_unit", {key: tuple(points) for key, points in found.items()})
        msgspec.structs.force_setattr(self, "by_name", {point.name: point for point in self.points})

    def named(self, name: str) -> FirePoint:
        """The point of that name; KeyError when there is none."""
        return self.by_name[name]

    def candidates(self, unit: int, thing: object) -> list[FirePoint]:
        """The points that an object of a unit of that type may be about, those that say most first."""
        found = list(self.by_unit.get((unit, None), ()))
        address = getattr(thing, "part_address", None)
        if address is not None:
            found += self.by_unit.get((unit, address), ())
        return sorted((point for point in found if point.fits(thing)), key=lambda point: -point.says)


def read_map(table: Table) -> FireMap:
    """The table; mistakes are noted and the best that can be made of it is returned."""
    rows = check_rows(table)
    points = tuple(_point(row) for row in rows)
    table.end()
    check_names(points, rows)
    _check_unique(points, rows)
    return FireMap(points=points)


def check_value(point: Point, value: Value) -> None:
    """ValueError when the value cannot be said in the point's field."""
    if isinstance(point, FirePoint):
        encode_value(point, value)


def encode_value(point: FirePoint, value: Value) -> int:
    """The raw number that says a value: 0 or 1 for a bit, the signed 16 bits of a part's value; a text says none (0).

    None is said with the first sentinel where there is one. ValueError for what does not fit.
    """
    if point.text:
        if not isinstance(value, str):
            raise ValueError(f"{point.name}: {value!r} is no text")
        return 0
    if isinstance(value, str) or (value is None and point.value_type is None):
        raise ValueError(f"{point.name}: {value!r} is no number")
    if value is None:
        return int(point.sentinels[0])
    raw = round(Fraction(value) / point.scale)
    low, high = (-0x8000, 0x7FFF) if point.item == "part_value" else (0, 1 if point.bit is not None else 0xFF)
    if not low <= raw <= high:
        raise ValueError(f"{point.name}: {value} is {raw} on the wire, which takes {low} to {high}")
    return raw


def _point(table: Table) -> FirePoint:
    """One row of [[gb26875.points]]."""
    word = table.text("item")
    item = ITEMS.get(word)
    if item is None:
        if word:
            table.trouble("item", f"unknown item {word!r}", nearest(word, ITEMS))
        word, item = "raw", ITEMS["raw"]
    fields: dict[str, Any] = {name: _select(table, name) for name in item.selects if name != "value_type"}
    if item.bits and table.has("bit"):
        fields["bit"] = _bit(table, item)
    fields |= read_point_head(table, word, _is_text(word, "bit" in fields))
    if word == "part_value":
        fields["value_type"] = _value_type(table)
        fields |= _scaled(table, fields["unit"], fields["value_type"])
    point = FirePoint(item=word, **fields)
    table.end()
    if point.bit is not None and point.quantity not in ("", "state"):
        table.trouble("quantity", f"a bit is a 'state', not {point.quantity!r}")
    if word == "transmitter_state" and point.bit is None:
        table.trouble("bit", "is missing", "one of: " + ", ".join(bit.key for bit in item.bits))
    return point


def _is_text(word: str, bit: bool) -> bool:
    """What has neither a bit nor a number of its own is told as a text."""
    return word in ("system_version", "transmitter_version", "raw") or (word in _DESCRIBED and not bit)


def _select(table: Table, name: str) -> int | None:
    if not table.has(name):
        return None
    return table.integer(name, low=0, high=_LIMITS[name])


def _bit(table: Table, item: Item) -> int | None:
    """A bit by its word, or by its number where the standard has no word for it."""
    value = table.data["bit"]
    if isinstance(value, int) and not isinstance(value, bool):
        return table.integer("bit", low=0, high=item.width - 1)
    word = table.text("bit")
    for place, known in enumerate(item.bits):
        if known.key == word:
            return place
    if word:
        table.trouble("bit", f"unknown bit {word!r}", nearest(word, [known.key for known in item.bits]))
    return 0


def _value_type(table: Table) -> int:
    """A type of analogue value by its word, or by its number where it is the maker's own."""
    value = table.data.get("value_type")
    if isinstance(value, int) and not isinstance(value, bool):
        return table.integer("value_type", low=0, high=0xFF)
    word = table.text("value_type")
    for number, known in MEASURES.items():
        if known.key == word:
            return number
    if word:
        table.trouble("value_type", f"unknown {word!r}", nearest(word, [known.key for known in MEASURES.values()]))
    return 0


def _scaled(table: Table, unit: str, value_type: int) -> dict[str, Any]:
    """``scale`` and ``sentinels`` of a part's value: the step of its type, unless the maker has one of his own."""
    measure = MEASURES.get(value_type)
    found: dict[str, Any] = {}
    if table.has("sentinels"):
        found["sentinels"] = tuple(table.numbers("sentinels")) or NO_VALUE
    if table.has("scale"):
        return {**found, "scale": read_fraction(table, "scale", 1)}
    if measure is None:
        table.trouble("scale", f"is missing: the standard has no step for values of type {value_type}")
        return found
    if unit and unit != measure.unit:
        table.trouble("unit", f"values of type {measure.key!r} are in {measure.unit!r}, not {unit!r}", "or say a scale")
    return {**found, "scale": measure.step}


def _check_unique(points: Sequence[FirePoint], rows: Sequence[Table]) -> None:
    """No two points of the same bit or value with the same words about where."""
    seen: dict[tuple[object, ...], str] = {}
    for point, row in zip(points, rows, strict=True):
        where = tuple(getattr(point, name) for name in ITEMS[point.item].selects)
        first = seen.setdefault((point.item, point.bit, *where), point.name)
        if first != point.name:
            row.trouble("", f"{point.name!r} and {first!r} are the same {point.item.replace('_', ' ')}")
