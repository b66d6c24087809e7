"""A profile's ``[dlt645]`` table: the items of an electricity meter, how they are asked for, and examples held against
the codec. Source of items and formats: DL/T 645-2007, annex A; -1997, annex A."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from device_profiles.codecs import dlt645
from device_profiles.codecs.dlt645 import EDITIONS, EVERYBODY, WILDCARD, Edition, Reader, ReadExchange
from device_profiles.codecs.dlt645 import sort_strays as sort_strays
from device_profiles.codecs.meter_frames import PREAMBLE, address_bytes
from device_profiles.examples import compare
from device_profiles.maps.meter_items import Item, ItemPoint, encode_point, items_of
from device_profiles.maps.meter_rows import read_points
from device_profiles.maps.points import read_line, read_patience
from device_profiles.profiles import BusMap, DeviceProfile, Example, Point
from device_profiles.quality import GOOD_CODE
from device_profiles.readings import Value
from device_profiles.reads import Decoded, PlannedRead
from device_profiles.tables import Table

BYTE_GAP = 0.5
"""Seconds between two bytes of an answer (DL/T 645-2007, 5.3.3: at most 500 ms)."""

AROUND = 12
"""Bytes of a frame around its data."""


class Dlt645Map(BusMap, frozen=True, kw_only=True):
    """``edition``: 2007 or 1997; ``unit``: the address as delivered, any meter where it says nothing; ``preamble``: FE
    bytes before a question (2007, 5.3.1: four)."""

    protocol: ClassVar[str] = "dlt645"

    edition: int = 2007
    unit: str = WILDCARD
    preamble: int = 4
    points: tuple[ItemPoint, ...] = ()

    @property
    def codes(self) -> Edition:
        """Control codes and widths of the edition."""
        return EDITIONS[self.edition]

    def item(self, identifier: int) -> Item:
        """The points of an identifier; KeyError when the model has none there."""
        return items_of(self.points, exact=False)[identifier]


def read_map(table: Table) -> Dlt645Map:
    """The meter's items. Mistakes are noted in the table's problems and the best that can be made of it is returned."""
    edition = table.integer("edition", 2007)
    if edition not in EDITIONS:
        table.trouble("edition", f"there is no edition {edition}", "2007 or 1997")
        edition = 2007
    unit = table.text("unit", WILDCARD)
    try:
        check_unit(unit)
    except ValueError as trouble:
        table.trouble("unit", str(trouble))
    line = read_line(table, 2400, "E")  # 2007, 4.2 and 5.1: 2400 baud, even parity
    timeout_ms, late_ms = read_patience(table, 700, 2000)  # 5.3.3: an answer begins within 500 ms
    preamble = table.integer("preamble", 4, low=0, high=16)
    points = read_points(table, (1 << 8 * EDITIONS[edition].wide) - 1, units=False)
    table.end()
    return Dlt645Map(
        edition=edition,
        unit=unit,
        line=line,
        timeout_ms=timeout_ms,
        late_ms=late_ms,
        preamble=preamble,
        points=points,
    )


def check_unit(unit: str) -> None:
    """ValueError when no meter can have this address: 12 digits, pairs of A for "any"."""
    address_bytes(unit, dlt645.ADDRESS_SIZE)
    if unit == EVERYBODY:
        raise ValueError(f"nobody answers to {EVERYBODY}")
    if not unit.replace("AA", "").isdecimal() and unit != WILDCARD:
        raise ValueError(f"{unit!r} is no address of 12 decimal digits (AA stands for any two)")


def check_value(point: Point, value: Value) -> None:
    """ValueError when the item's digits cannot say the value."""
    if isinstance(point, ItemPoint):
        encode_point(point, value)


def item_bytes(map: Dlt645Map, item: Item, data: bytes) -> bytes:
    """An item's bytes as its points describe them: 1997 meters end a block with AA."""
    return data.rstrip(b"\xaa") if map.edition == 1997 and len(data) > item.size else data


def plan_reads(
    map: Dlt645Map, unit: str, points: Sequence[Point], period_of: Callable[[Point], float]
) -> list[PlannedRead]:
    """One read an item that holds wanted points, as often as the fastest of them wants, fastest first."""
    wanted = {point.name for point in points}
    reads = []
    for identifier, item in items_of(map.points, exact=False).items():
        inside = tuple(point for point in item.points if point.name in wanted)
        if inside:
            make = partial(ReadExchange, unit, identifier, map.codes, map.preamble)
            read = PlannedRead(
                period=min(period_of(point) for point in inside),
                points=inside,
                shape=make().shape,
                exchange=make,
                decode=partial(_decode, map, item, inside),
                byte_gap=BYTE_GAP,
                reply_bytes=map.preamble + AROUND + map.codes.wide + item.size,
            )
            reads.append(read)
    return sorted(reads, key=lambda read: read.period)


def _decode(map: Dlt645Map, item: Item, wanted: Sequence[ItemPoint], data: bytes) -> Decoded:
    return item.decode(wanted, item_bytes(map, item, data))


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with one example; empty when all is well."""
    map = profile.map
    assert isinstance(map, Dlt645Map)
    asked = Reader().feed(example.request)
    if len(asked) != 1 or asked[0].control != map.codes.read:
        return [f"the request is no whole, checked read of the {map.edition} edition"]
    identifier, rest = dlt645.parse_identifier(asked[0], map.codes)
    if rest or identifier not in items_of(map.points, exact=False):
        return [f"asks for 0x{identifier:X}, where the profile has no point"]
    exchange = ReadExchange(asked[0].address, identifier, map.codes)
    bare = bytes([PREAMBLE])
    if exchange.request().lstrip(bare) != example.request.lstrip(bare):
        return ["we would not send this request: " + exchange.request().hex(" ").upper()]
    exchange.feed(example.reply)
    answer = exchange.take(silent=True)
    if answer is None:
        return [f"the reply does not answer the request: {exchange.conclude().word}"]
    if answer.exception:
        return [f"the reply is a refusal ({answer.exception}): an example needs values"]
    item = map.item(identifier)
    data = item_bytes(map, item, answer.data)
    values, codes = item.decode(item.points, data)
    decoded = {point.name: (value, code) for point, value, code in zip(item.points, values, codes, strict=True)}
    return compare(profile, example, decoded) or _backwards(example, item, data, decoded)


def _backwards(example: Example, item: Item, data: bytes, decoded: dict[str, tuple[Value, int]]) -> list[str]:
    """The reply is frames and nothing else, and the values encoded are the item's bytes."""
    reader = Reader()
    reader.feed(example.reply)
    reader.flush()
    if reader.rejects:
        return ["the reply holds more than frames"]
    try:
        built = item.encode({name: value if code == GOOD_CODE else None for name, (value, code) in decoded.items()})
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    told = all(byte == 0xFF for byte in built[len(data) :])  # what a shorter answer leaves out is missing
    if built[: len(data)] != data or not told:
        return ["encoding the values gives other bytes: " + built.hex(" ").upper()]
    return []
