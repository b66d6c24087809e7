"""A profile's ``[cjt188]`` table: the items of a water, heat or gas meter, how they are asked for, and examples held
against the codec. The unit of a value is a byte beside it; points that share the status word do so through masks."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from device_profiles.codecs import cjt188
from device_profiles.codecs.cjt188 import ORDERS, WILDCARD, Reader, ReadExchange
from device_profiles.codecs.cjt188 import sort_strays as sort_strays
from device_profiles.codecs.meter_frames import PREAMBLE, address_bytes
from device_profiles.examples import compare
from device_profiles.maps.meter_items import Item, ItemPoint, encode_point, items_of
from device_profiles.maps.meter_rows import read_points
from device_profiles.maps.points import read_line, read_patience
from device_profiles.profiles import BusMap, DeviceProfile, Example, Point
from device_profiles.quality import GOOD_CODE
from device_profiles.readings import Value
from device_profiles.reads import PlannedRead
from device_profiles.tables import Table

BYTE_GAP = 0.5
"""Seconds between two bytes of an answer, as DL/T 645 has it: the standard's own figure was not at hand."""

AROUND = 13
NAMED = 3
"""Bytes of a frame around its data; of data before the content: identifier and serial number."""


class Cjt188Map(BusMap, frozen=True, kw_only=True):
    """``kind``: T; ``unit``: the address as delivered, any meter where it says nothing; ``di_order``: "low_first" sends
    901F as 1F 90; ``preamble``: FE bytes before a question."""

    protocol: ClassVar[str] = "cjt188"

    kind: int = 0x10
    unit: str = WILDCARD
    di_order: str = "low_first"
    preamble: int = 4
    points: tuple[ItemPoint, ...] = ()

    def item(self, identifier: int) -> Item:
        """The points of an identifier; KeyError when the model has none there."""
        return items_of(self.points, exact=True)[identifier]


def read_map(table: Table) -> Cjt188Map:
    """The meter's items. Mistakes are noted in the table's problems and the best that can be made of it is returned."""
    kind = table.integer("kind", low=0x10, high=0x4F)
    unit = table.text("unit", WILDCARD)
    try:
        check_unit(unit)
    except ValueError as trouble:
        table.trouble("unit", str(trouble))
    order = table.choice("di_order", ORDERS, "low_first")
    line = read_line(table, 2400, "E")
    timeout_ms, late_ms = read_patience(table, 1200, 3000)  # an answer begins within a second
    preamble = table.integer("preamble", 4, low=0, high=32)
    points = read_points(table, 0xFFFF, units=True)
    table.end()
    return Cjt188Map(
        kind=kind,
        unit=unit,
        di_order=order,
        line=line,
        timeout_ms=timeout_ms,
        late_ms=late_ms,
        preamble=preamble,
        points=points,
    )


def check_unit(unit: str) -> None:
    """ValueError when no meter can have this address: 14 hexadecimal digits in capital letters, A0 last."""
    address_bytes(unit, cjt188.ADDRESS_SIZE)
    if unit != unit.upper():
        raise ValueError(f"{unit!r} must be written in capital letters")


def check_value(point: Point, value: Value) -> None:
    """ValueError when the item's digits cannot say the value."""
    if isinstance(point, ItemPoint):
        encode_point(point, value)


def plan_reads(
    map: Cjt188Map, unit: str, points: Sequence[Point], period_of: Callable[[Point], float]
) -> list[PlannedRead]:
    """One read an item that holds wanted points, as often as the fastest of them wants, fastest first."""
    wanted = {point.name for point in points}
    reads = []
    for identifier, item in items_of(map.points, exact=True).items():
        inside = tuple(point for point in item.points if point.name in wanted)
        if inside:
            make = partial(ReadExchange, map.kind, unit, identifier, map.di_order, 0, map.preamble)
            read = PlannedRead(
                period=min(period_of(point) for point in inside),
                points=inside,
                shape=make().shape,
                exchange=make,
                decode=partial(item.decode, inside),
                byte_gap=BYTE_GAP,
                reply_bytes=map.preamble + AROUND + NAMED + item.size,
            )
            reads.append(read)
    return sorted(reads, key=lambda read: read.period)


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with one example; empty when all is well."""
    map = profile.map
    assert isinstance(map, Cjt188Map)
    asked = Reader().feed(example.request)
    if len(asked) != 1 or asked[0].control != cjt188.READ or len(asked[0].data) != NAMED:
        return ["the request is no whole, checked read"]
    said = cjt188.parse_said(asked[0], map.di_order)
    if said.identifier not in items_of(map.points, exact=True):
        return [f"asks for {said.identifier:04X}, where the profile has no point"]
    exchange = ReadExchange(map.kind, asked[0].address, said.identifier, map.di_order, said.serial)
    bare = bytes([PREAMBLE])
    if exchange.request().lstrip(bare) != example.request.lstrip(bare):
        return ["we would not send this request: " + exchange.request().hex(" ").upper()]
    exchange.feed(example.reply)
    answer = exchange.take(silent=True)
    if answer is None:
        return [f"the reply does not answer the request: {exchange.conclude().word}"]
    if answer.exception:
        return [f"the reply is a refusal ({answer.exception}): an example needs values"]
    item = map.item(said.identifier)
    values, codes = item.decode(item.points, answer.data)
    decoded = {point.name: (value, code) for point, value, code in zip(item.points, values, codes, strict=True)}
    return compare(profile, example, decoded) or _backwards(example, item, answer.data, decoded)


def _backwards(example: Example, item: Item, data: bytes, decoded: dict[str, tuple[Value, int]]) -> list[str]:
    """The reply is a frame and nothing else, and the values encoded, in its units, are the item's bytes."""
    reader = Reader()
    reader.feed(example.reply)
    reader.flush()
    if reader.rejects:
        return ["the reply holds more than a frame"]
    values = {name: value if code == GOOD_CODE else None for name, (value, code) in decoded.items()}
    says = {point.name: point.unit_byte(data) for point in item.points if point.beside}
    try:
        built = item.encode(values, says)
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    return [] if built == data else ["encoding the values gives other bytes: " + built.hex(" ").upper()]
