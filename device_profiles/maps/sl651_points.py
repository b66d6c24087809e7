"""A profile's ``[sl651]`` table: which element of a hydrological station is which point, read and checked.

An array (F4 to FC: twelve values of an hour) is one point, whose readings carry twelve times; a bit of element 45 is a
point of its own. What a report says is in ``maps.sl651``. Nothing is raised, all is noted.
"""

import math
from itertools import combinations
from typing import ClassVar

import msgspec

from device_profiles.codecs.sl651_elements import CLASSES, ELEMENTS, TEXT, WORD, Element, id_of, text_of_id
from device_profiles.codecs.sl651_values import ENCODINGS, SLOTS, write_clock, write_hour, write_value
from device_profiles.maps.points import check_names, check_rows, read_point_head
from device_profiles.profiles import Point, ProtocolMap
from device_profiles.readings import Value
from device_profiles.tables import Table

MODES = ("M1", "M2", "M3")
"""How a station sends (table 15): M1 says it once, M2 until it is confirmed, M3 in packets. M4 is our own asking."""

_DIGITS = 6
_UNSAYABLE = ("picture", "raw")


class SlPoint(Point, frozen=True, kw_only=True):
    """A point of a hydrological station.

    ``element``: the identifier as written, "39" or "FF11", ``code``: as a number; ``digits`` and ``decimals`` as the
    model sends them; ``encoding``: see ``sl651_values.ENCODINGS``; ``bit`` of a word; ``sentinels``: values that mean
    "no value".
    """

    element: str
    digits: int
    decimals: int
    encoding: str = "bcd"
    bit: int | None = None
    sentinels: tuple[float, ...] = ()

    @property
    def code(self) -> int:
        """The identifier; 0xFF00 + xx for an extension."""
        return int(self.element, 16)

    @property
    def kind(self) -> str:
        """The element's kind, see ``sl651_elements.Element``."""
        known = ELEMENTS.get(self.code)
        return "number" if known is None else known.kind


class SlMap(ProtocolMap, frozen=True, kw_only=True):
    """A station's elements. ``station_class``: a letter of table A.1; ``mode`` and ``ascii``: as delivered."""

    protocol: ClassVar[str] = "sl651"

    station_class: str = "H"
    mode: str = "M2"
    ascii: bool = False
    points: tuple[SlPoint, ...] = ()
    by_element: dict[int, tuple[SlPoint, ...]] = msgspec.field(default_factory=dict)


def make_map(station_class: str, mode: str, ascii: bool, points: tuple[SlPoint, ...]) -> SlMap:
    """A map with its look-up."""
    by_element: dict[int, tuple[SlPoint, ...]] = {}
    for point in points:
        by_element[point.code] = (*by_element.get(point.code, ()), point)
    return SlMap(station_class=station_class, mode=mode, ascii=ascii, points=points, by_element=by_element)


def read_map(table: Table) -> SlMap:
    """The ``[sl651]`` table. Mistakes are noted and the best that can be made of it is returned."""
    station_class = table.choice("class", tuple(CLASSES))
    mode = table.choice("mode", MODES, "M2")
    ascii = table.choice("encoding", ("hex", "ascii"), "hex") == "ascii"
    rows = check_rows(table)
    points = tuple(_point(row) for row in rows)
    table.end()
    check_names(points, rows)
    for (first, _), (second, row) in combinations(zip(points, rows, strict=True), 2):
        if second.code and (first.element, first.bit) == (second.element, second.bit):
            row.trouble("element", f"{second.name} is the same element as {first.name}")
    return make_map(station_class, mode, ascii, points)


def _point(table: Table) -> SlPoint:
    text = table.text("element")
    try:
        element = id_of(text)
    except ValueError as trouble:
        element = 0
        if text:
            table.trouble("element", str(trouble), '"39", "FF11"')
    known = ELEMENTS.get(element)
    encoding = table.choice("encoding", ENCODINGS, "bcd")
    is_text = element == TEXT or encoding == "text"
    head = read_point_head(table, kind=f"value of {encoding}", text=is_text)
    digits = table.integer("digits", known.digits if known and known.digits else _DIGITS, low=1, high=62)
    decimals = table.integer("decimals", known.decimals if known else 0, low=0, high=7)
    bit = table.integer("bit", low=0, high=31) if table.has("bit") else None
    sentinels = tuple(table.numbers("sentinels"))
    table.end()
    _check(table, known, element, encoding, bit)
    return SlPoint(
        **head,
        element=text_of_id(element),
        digits=digits,
        decimals=decimals,
        encoding=encoding,
        bit=bit,
        sentinels=sentinels,
    )


def _check(table: Table, known: Element | None, element: int, encoding: str, bit: int | None) -> None:
    """What one element cannot be."""
    if known is not None and known.kind in _UNSAYABLE:
        table.trouble("element", f"{text_of_id(element)} ({known.en}) is no value")
    if element == WORD and bit is None:
        table.trouble("bit", "is missing: element 45 is made of bits (table 58)")
    if bit is not None and element != WORD and encoding != "hex":
        table.trouble("bit", f"element {text_of_id(element)} is not made of bits", 'encoding = "hex"')
    if encoding != "bcd" and known is not None and known.kind != "number":
        table.trouble("encoding", f"element {text_of_id(element)} has an encoding of its own")


def write_point(point: SlPoint, value: Value, ascii: bool) -> tuple[int, bytes]:
    """(definition byte or -1, data) of a point's value; None is said as missing. ValueError for what it cannot say.

    An array is said with the value in its last place; ``maps.sl651.encode_report`` takes all twelve.
    """
    if point.code == TEXT:
        return -1, str(value).encode()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{point.name}: {value} is no number")
    if point.kind in ("rain", "level"):
        return write_hour([None] * (SLOTS - 1) + [value], point.kind, ascii)
    if point.kind == "clock":
        return write_clock(value, ascii)
    return write_value(value, point.digits, point.decimals, ascii, point.encoding)


def check_value(point: Point, value: Value) -> None:
    """ValueError when the point cannot say the value on the wire; None is said as missing."""
    if not isinstance(point, SlPoint):
        raise TypeError(f"{point.name} is no point of an SL 651 station")
    if point.bit is not None:
        if value not in (None, 0, 1):
            raise ValueError(f"{point.name}: {value!r} is no bit")
        return
    if point.text != isinstance(value, str) and value is not None:
        raise ValueError(f"{point.name}: {value!r} is {'no text' if point.text else 'no number'}")
    write_point(point, value, False)
