"""A profile's ``[jt808]`` table: which field, bit or extra item of a position report is which point.

The base fields have the units that the wire has; an extra item says its type and scale. Nothing is raised, all is
noted.
"""

import math
from fractions import Fraction
from itertools import combinations
from typing import ClassVar

import msgspec

from device_profiles.codecs.jt808_words import EXTRAS
from device_profiles.maps.points import check_names, check_rows, read_fraction, read_point_head
from device_profiles.profiles import Point, ProtocolMap
from device_profiles.readings import Value
from device_profiles.tables import Table

EDITIONS = (2013, 2019)


class Field(msgspec.Struct, frozen=True):
    """A number of the base report (2013 table 23): its ``unit`` on the wire, how many raw steps make one of it, and the
    highest raw value."""

    unit: str
    steps: int
    highest: int


BASE_FIELDS = {
    "latitude": Field("deg", 1_000_000, 90_000_000),
    "longitude": Field("deg", 1_000_000, 180_000_000),
    "altitude": Field("m", 1, 0xFFFF),
    "speed": Field("km/h", 10, 0xFFFF),
    "direction": Field("deg", 1, 360),
}
SIGNED_FIELDS = ("latitude", "longitude")
"""Their sign is a status bit (2013 table 25)."""

FIELDS = (*BASE_FIELDS, "alarm", "status", "extra")

TYPES = {"u8": 1, "u16": 2, "u32": 4, "i8": 1, "i16": 2, "i32": 4, "sm16": 2, "text": 0}
"""Types of an extra item and their bytes; ``sm16``: bit 15 is the sign (2019, item 06); ``text``: GBK, all of it."""


class JtPoint(Point, frozen=True, kw_only=True):
    """A point of a vehicle terminal. ``field``: a word of FIELDS.

    ``bit`` of the alarms or the status, or of an extra item; None: the whole. Of an extra item: ``id``, ``type``, the
    byte ``at`` which it begins, value = raw × ``scale`` + ``offset``, ``sentinels``: raw values that are none.
    """

    field: str
    bit: int | None = None
    id: int = 0
    type: str = "u16"
    at: int = 0
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    sentinels: tuple[float, ...] = ()

    @property
    def place(self) -> tuple[object, ...]:
        """What no two points of a profile may share."""
        return (self.field, self.bit, *((self.id, self.at) if self.field == "extra" else ()))

    @property
    def size(self) -> int:
        """Bytes of its extra item that it needs."""
        return self.at + TYPES[self.type]


class JtMap(ProtocolMap, frozen=True, kw_only=True):
    """A terminal's points. ``edition``: what it speaks, for building; each frame tells its own.

    ``by_field`` sorts them; ``alarm_mask`` has a 1 for each alarm bit that some point names: what no point carries
    is no event.
    """

    protocol: ClassVar[str] = "jt808"

    edition: int = 2013
    points: tuple[JtPoint, ...] = ()
    by_field: dict[str, tuple[JtPoint, ...]] = msgspec.field(default_factory=dict)
    by_id: dict[int, tuple[JtPoint, ...]] = msgspec.field(default_factory=dict)
    alarm_mask: int = 0
    status_mask: int = 0


def make_map(edition: int, points: tuple[JtPoint, ...]) -> JtMap:
    """A map with its look-ups."""
    by_field: dict[str, tuple[JtPoint, ...]] = {}
    by_id: dict[int, tuple[JtPoint, ...]] = {}
    for point in points:
        by_field[point.field] = (*by_field.get(point.field, ()), point)
        if point.field == "extra":
            by_id[point.id] = (*by_id.get(point.id, ()), point)
    return JtMap(
        edition=edition,
        points=points,
        by_field=by_field,
        by_id=by_id,
        alarm_mask=_mask(by_field.get("alarm", ())),
        status_mask=_mask(by_field.get("status", ())),
    )


def _mask(points: tuple[JtPoint, ...]) -> int:
    """The bits that the points name; a point of the whole word names all."""
    mask = 0
    for point in points:
        mask |= 0xFFFF_FFFF if point.bit is None else 1 << point.bit
    return mask


def read_map(table: Table) -> JtMap:
    """The ``[jt808]`` table. Mistakes are noted and the best that can be made of it is returned."""
    edition = table.integer("edition", 2013)
    if edition not in EDITIONS:
        table.trouble("edition", f"{edition} is no edition that builds its own frames", "2013 or 2019 (2011: say 2013)")
        edition = 2013
    rows = check_rows(table)
    points = tuple(_point(row) for row in rows)
    table.end()
    check_names(points, rows)
    for (first, _), (second, row) in combinations(zip(points, rows, strict=True), 2):
        if first.place == second.place:
            row.trouble("field", f"{second.name} is the same as {first.name}")
    return make_map(edition, points)


def _point(table: Table) -> JtPoint:
    field = table.choice("field", FIELDS)
    if field == "extra":
        return _extra(table)
    head = read_point_head(table, kind=field or "value", text=False)
    bit: int | None = None
    if field in BASE_FIELDS:
        unit = BASE_FIELDS[field].unit
        if head["unit"] and head["unit"] != unit:
            table.trouble("unit", f"{field} comes in {unit!r}, not {head['unit']!r}", unit)
    elif table.has("bit"):
        bit = table.integer("bit", low=0, high=31)
    table.end()
    return JtPoint(**head, field=field, bit=bit)


def _extra(table: Table) -> JtPoint:
    """An item behind the base report (2013 tables 26 and 27)."""
    number = table.integer("id", low=0, high=0xFF)
    kind = table.choice("type", tuple(TYPES), "u16")
    head = read_point_head(table, kind=kind, text=kind == "text")
    at = table.integer("at", 0, low=0, high=0xFF - TYPES[kind])
    bit: int | None = None
    if table.has("bit"):
        bit = table.integer("bit", low=0, high=8 * (TYPES[kind] or 1) - 1)
    length = EXTRAS.get(number, (0,))[0]
    if length and at + (TYPES[kind] or 1) > length:
        table.trouble("type", f"item {number:02X} has {length} bytes; {kind} at {at} does not fit")
    point = JtPoint(
        **head,
        field="extra",
        bit=bit,
        id=number,
        type=kind,
        at=at,
        scale=read_fraction(table, "scale", 1),
        offset=read_fraction(table, "offset", 0),
        sentinels=tuple(table.numbers("sentinels")),
    )
    table.end()
    return point


def raw_of(point: JtPoint, value: Value) -> int:
    """A number as it stands on the wire, unsigned where the sign is elsewhere. ValueError for what cannot be said."""
    if isinstance(value, str) or value is None or not math.isfinite(value):
        raise ValueError(f"{point.name}: {value!r} is no number")
    if point.bit is not None:
        if value not in (0, 1):
            raise ValueError(f"{point.name}: a bit is 0 or 1, not {value!r}")
        return int(value)
    if point.field in BASE_FIELDS:
        base = BASE_FIELDS[point.field]
        raw = round(Fraction(value) * base.steps)
        low, high = -base.highest if point.field in SIGNED_FIELDS else 0, base.highest
    elif point.field == "extra":
        raw = round((Fraction(value) - point.offset) / point.scale)
        low, high = _bounds(point.type)
    else:
        raw, low, high = round(value), 0, 0xFFFF_FFFF
    if not low <= raw <= high:
        raise ValueError(f"{point.name}: {value:g} is beyond what {point.field} can say")
    return raw


def _bounds(kind: str) -> tuple[int, int]:
    bits = 8 * TYPES[kind]
    if kind == "sm16":
        return -0x7FFF, 0x7FFF
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)


def check_value(point: Point, value: Value) -> None:
    """ValueError when the point cannot say the value. None: the device leaves it out, or has no fix."""
    if not isinstance(point, JtPoint):
        raise TypeError(f"{point.name} is no point of a vehicle terminal")
    if value is None:
        return
    if point.text:
        if len(str(value).encode("gbk")) > 0xFF:
            raise ValueError(f"{point.name}: more than 255 bytes")
        return
    raw_of(point, value)
