"""A profile's ``[serial]`` table: a line protocol of a model's own, described; what is asked, how a frame is cut out of
the line, and where its values stand. No expressions: ``{unit}`` in a request or an item is the one placeholder.

Refuses a frame that nothing marks, and a request whose answer could not be told from it.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import ClassVar

from device_profiles.codecs.payload_checks import CHECKS
from device_profiles.codecs.payload_fields import PRINTED, SIZES, TEXTS, Field
from device_profiles.codecs.payload_layout import Check, Length
from device_profiles.codecs.serial_line import LONGEST, UNIT, LineLayout, SerialExchange, Spot, shape_of
from device_profiles.examples import compare, encodable
from device_profiles.exchange import Stray
from device_profiles.maps.points import (
    check_names,
    check_rows,
    read_fraction,
    read_line,
    read_patience,
    read_point_head,
)
from device_profiles.profiles import BusMap, DeviceProfile, Example, Point
from device_profiles.quality import GOOD_CODE, Quality, Reason, code_of
from device_profiles.readings import Value
from device_profiles.reads import Decoded, PlannedRead
from device_profiles.tables import Table

HIGHEST_UNIT = 255
KINDS = ("none", *CHECKS, "lrc")
"""``lrc`` is what Modbus ASCII calls neg8."""


class SerialPoint(Point, frozen=True, kw_only=True):
    """A value in a described frame: at ``byte``, or in the ``item``-th text between separators (from 0). ``before`` and
    ``after``: texts around a printed number; ``nothing``: texts that say that there is no value; ``fill``: "0" or " "
    before a number of fixed width."""

    type: str
    byte: int | None = None
    item: int | None = None
    size: int = 0
    order: str = "big"
    mask: int | None = None
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    sentinels: tuple[float, ...] = ()
    decimals: int = 0
    before: str = ""
    after: str = ""
    nothing: tuple[str, ...] = ()
    fill: str = "0"

    @property
    def text(self) -> bool:
        """True when the value is a text, not a number."""
        return self.type in TEXTS

    @property
    def spot(self) -> Spot:
        """The point as the codec takes it."""
        field = Field(
            name=self.name, type=self.type, size=self.size, place=self.byte, little=self.order == "little",
            mask=self.mask, scale=self.scale, offset=self.offset, sentinels=self.sentinels,
            digits=self.decimals if self.type == "decimal" else None,
        )  # fmt: skip
        texts = tuple(text.encode() for text in self.nothing)
        return Spot(
            field=field, item=self.item, before=self.before.encode(), after=self.after.encode(), nothing=texts,
            blanks=self.fill == " ",
        )  # fmt: skip


class SerialMap(BusMap, frozen=True, kw_only=True):
    """``request``: what is asked, as bytes and texts, the text ``{unit}`` standing for the unit's number (a byte where
    ``binary``, else its digits); empty for a probe that talks by itself. ``request_check``: put behind it."""

    protocol: ClassVar[str] = "serial"

    unit: str = "1"
    request: tuple[bytes | str, ...] = ()
    binary: bool = True
    request_check: Check | None = None
    layout: LineLayout = LineLayout()
    points: tuple[SerialPoint, ...] = ()

    def request_to(self, unit: str) -> bytes:
        """The question to a unit."""
        number = bytes([int(unit)]) if self.binary else unit.encode()
        asked = b"".join(part if isinstance(part, bytes) else number for part in self.request)
        return asked + (b"" if self.request_check is None else self.request_check.over(asked))


def check_unit(unit: str) -> None:
    """ValueError when no unit can have this address: a number from 0 to 255, in quotes; leading zeros are sent."""
    if not unit.isascii() or not unit.isdecimal() or len(unit) > 3 or int(unit) > HIGHEST_UNIT:
        raise ValueError(f"{unit!r} is no unit: a number from 0 to {HIGHEST_UNIT}")


def check_value(point: Point, value: Value) -> None:
    """ValueError when the frame cannot say the value."""
    if isinstance(point, SerialPoint):
        point.spot.write(value)


def sort_strays(data: bytes) -> list[Stray]:
    """Nothing in bytes alone says which model's frame they are: all of them are NOISE."""
    return [Stray(Reason.NOISE, data)] if data else []


def plan_reads(
    map: SerialMap, unit: str, points: Sequence[Point], period_of: Callable[[Point], float]
) -> list[PlannedRead]:
    """One read, of the one frame that the model has."""
    wanted = {point.name for point in points}
    inside = tuple(point for point in map.points if point.name in wanted)
    if not inside:
        return []
    read = PlannedRead(
        period=min(period_of(point) for point in inside),
        points=inside,
        shape=shape_of(map.layout),
        exchange=partial(SerialExchange, map.layout, unit, map.request_to(unit)),
        decode=partial(_decode, map, inside),
        reply_bytes=map.layout.size or 0,
    )
    return [read]


def _decode(map: SerialMap, wanted: Sequence[Point], data: bytes) -> Decoded:
    told = dict(zip((point.name for point in map.points), map.layout.decode(data), strict=True))
    codes = [_code(told[point.name][1]) for point in wanted]
    return [told[point.name][0] for point in wanted], bytes(codes)


def _code(reason: Reason) -> int:
    return GOOD_CODE if reason is Reason.NONE else code_of(Quality.BAD, reason)


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with one example; empty when all is well. A probe that talks by itself has a ``report``."""
    map = profile.map
    assert isinstance(map, SerialMap)
    frame = example.reply or example.report
    units = [map.unit, *map_units(map)]
    unit = next((unit for unit in units if map.request_to(unit) == example.request), None)
    if unit is None:
        return ["we would not send this request: " + map.request_to(map.unit).hex(" ").upper()]
    exchange = SerialExchange(map.layout, unit, map.request_to(unit))
    exchange.feed((b"" if map.layout.anchored or map.request else map.layout.end) + frame)
    answer = exchange.take(silent=True)
    if answer is None:
        return [f"the reply does not answer the request: {exchange.conclude().word}"]
    if answer.frame != frame:
        return ["the reply holds more than a frame"]
    told = zip(map.points, map.layout.decode(frame), strict=True)
    found = compare(profile, example, {point.name: (value, _code(reason)) for point, (value, reason) in told})
    if found:
        return found
    try:
        built = map.layout.build(encodable(profile, example), map.layout.unit_of(frame) or unit)
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    return [] if built == frame else ["encoding the values gives other bytes: " + built.hex(" ").upper()]


def map_units(map: SerialMap) -> list[str]:
    """Every address that a request may name; none where it names none."""
    return [str(unit) for unit in range(HIGHEST_UNIT + 1)] if UNIT in map.request else []


def read_map(table: Table) -> SerialMap:
    """The table; mistakes are noted in its problems, nothing is raised."""
    unit = table.text("unit", "1")
    try:
        check_unit(unit)
    except ValueError as trouble:
        table.trouble("unit", str(trouble))
        unit = "1"
    order = table.choice("order", ("big", "little"), "big")
    request, binary = _request(table)
    rows = check_rows(table)
    points = tuple(_point(row, order) for row in rows)
    line = read_line(table)
    timeout_ms, late_ms = read_patience(table, 300 if request else 2000)
    request_check = _check(table, "request_check")[0]
    layout = _layout(table, order, points)
    table.end()
    check_names(points, rows)
    map_ = SerialMap(
        unit=unit,
        line=line,
        timeout_ms=timeout_ms,
        late_ms=late_ms,
        request=request,
        binary=binary,
        request_check=request_check,
        layout=layout,
        points=points,
    )
    _check_together(table, map_, rows)
    return map_


def _request(table: Table) -> tuple[tuple[bytes | str, ...], bool]:
    """``request`` in hexadecimal or ``request_text``; neither for a probe that talks by itself."""
    digits, text = table.optional_text("request"), table.optional_text("request_text")
    if digits is not None and text is not None:
        table.trouble("request_text", "there is a request already: one of the two")
    parts: list[bytes | str] = []
    for place, piece in enumerate((digits or text or "").split(UNIT)):
        parts += [UNIT] if place else []
        try:
            parts.append(bytes.fromhex(piece) if digits is not None else piece.encode("ascii"))
        except ValueError:
            kind = "hexadecimal" if digits is not None else "ASCII"
            table.trouble("request", f"is no {kind}: {piece!r}", f'"01 03 {UNIT}"')
    return tuple(part for part in parts if part), digits is not None


def _bytes(table: Table, key: str) -> bytes:
    """A mark: hexadecimal in ``KEY``, or ``KEY_text``."""
    text = table.optional_text(f"{key}_text")
    try:
        return text.encode("ascii") if text is not None else bytes.fromhex(table.optional_text(key) or "")
    except ValueError:
        table.trouble(key, "is no hexadecimal", f'"0D 0A", or {key}_text = "\\r\\n"')
        return b""


def _layout(table: Table, order: str, points: tuple[SerialPoint, ...]) -> LineLayout:
    check, mark, printed = _check(table, "check")
    constants = []
    for row in table.tables("constants"):
        constants.append((row.integer("byte", low=0, high=LONGEST - 1), _bytes(row, "hex")))
        row.end()
    return LineLayout(
        start=_bytes(table, "start"),
        end=_bytes(table, "end"),
        size=table.integer("size", low=1, high=LONGEST) if table.has("size") else None,
        length=_length(table, order),
        unit_byte=table.integer("unit_byte", low=0, high=LONGEST - 1) if table.has("unit_byte") else None,
        constants=tuple(constants),
        separator=_bytes(table, "separator"),
        items=tuple(table.texts("items")),
        check=check,
        mark=mark,
        printed=printed,
        spots=tuple(point.spot for point in points),
    )


def _length(table: Table, order: str) -> Length | None:
    if not table.has("length"):
        return None
    row = table.table("length")
    place, kind = row.integer("byte", low=0, high=LONGEST - 1), row.choice("type", ("u8", "u16"), "u8")
    little = row.choice("order", ("big", "little"), order) == "little"
    add = row.integer("add", 0, low=-64, high=LONGEST)
    row.end()
    return Length(Field(name="length", type=kind, place=place, little=little), add)


def _check(table: Table, key: str) -> tuple[Check | None, bytes, bool]:
    """(check, the mark before it, True when it is written in digits)."""
    if not table.has(key):
        return None, b"", False
    row = table.table(key)
    kind = row.choice("kind", KINDS) or "none"
    first = row.integer("first", 0, low=0, high=64)
    little = row.choice("order", ("big", "little"), "big") == "little"
    mark, printed = _bytes(row, "mark"), row.choice("form", ("bytes", "hex"), "bytes") == "hex"
    row.end()
    known = {"lrc": "neg8"}.get(kind, kind)
    return (None if kind == "none" else Check(known, first, little)), mark, printed


def _point(row: Table, order: str) -> SerialPoint:
    type_ = row.choice("type", tuple(SIZES)) or "u8"
    point = SerialPoint(
        **read_point_head(row, kind=type_, text=type_ in TEXTS),
        type=type_,
        byte=row.integer("byte", low=0, high=LONGEST - 1) if row.has("byte") else None,
        item=row.integer("item", low=0, high=63) if row.has("item") else None,
        size=row.integer("size", 0, low=0, high=64),
        order=row.choice("order", ("big", "little"), order),
        mask=row.integer("mask", low=1, high=0xFFFFFFFF) if row.has("mask") else None,
        scale=read_fraction(row, "scale", 1),
        offset=read_fraction(row, "offset", 0),
        sentinels=tuple(row.numbers("sentinels")),
        decimals=row.integer("decimals", 0, low=0, high=12),
        before=row.text("before", ""),
        after=row.text("after", ""),
        nothing=tuple(row.texts("nothing")),
        fill=row.choice("fill", ("0", " "), "0"),
    )
    row.end()
    if (point.byte is None) == (point.item is None):
        row.trouble("byte", "must say where it stands: byte, or item where the frame has a separator")
    if point.item is not None and point.type not in (*PRINTED, "ascii"):
        row.trouble("type", f"a {point.type} is no text", "one of: " + ", ".join((*PRINTED, "ascii")))
    if point.byte is not None and not SIZES[point.type] and not point.size:
        row.trouble("size", f"is missing: the bytes of the {point.type}")
    if point.mask is not None and point.type not in ("u8", "u16", "u24", "u32"):
        row.trouble("mask", f"a {point.type} takes no mask", "one of: u8, u16, u24, u32")
    if point.range is not None and not point.text:
        for bound in point.range:
            try:
                check_value(point, bound)
            except ValueError as trouble:
                row.trouble("range", f"cannot be said: {trouble}")
    return point


def _check_together(table: Table, map: SerialMap, rows: list[Table]) -> None:
    """What only shows when all is known: a frame that nothing marks, spots outside it, items that are taken."""
    layout = map.layout
    ways = [layout.size is not None, layout.length is not None]
    if sum(ways) > 1 or not (any(ways) or layout.end):
        table.trouble("size", "a frame's end is one of: size, length, or the end mark alone")
    if not layout.anchored and any(ways):
        table.trouble("start", "nothing shows where a frame begins: start, constants or check")
    if bool(layout.separator) != bool(layout.items):
        table.trouble("items", 'separator and items belong together: items = ["", "m"], "" where a point stands')
    for point, row in zip(map.points, rows, strict=True):
        if point.item is not None and (point.item >= len(layout.items) or layout.items[point.item]):
            row.trouble("item", f"no item {point.item} is free for it")
        elif point.byte is not None and layout.separator:
            row.trouble("byte", "the frame is a list: item")
        elif point.byte is not None and point.byte + point.spot.field.width > (layout.size or LONGEST) - layout.tail:
            row.trouble("byte", "lies behind the frame's end")
