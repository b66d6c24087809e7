"""A profile's ``[modbus]`` table, read and checked as a whole: each point for itself, then all against each other.

Refuses what could not be polled safely: points that overlap or lie where reading does something, values wider than a
read may be, units that are not the quantity's, ranges that the registers cannot say. Nothing is raised; all is noted.
"""

from fractions import Fraction
from itertools import combinations

from device_profiles.problems import nearest
from device_profiles.profiles import (
    ORDERS,
    TABLES,
    TYPE_REGISTERS,
    Avoid,
    LineSettings,
    ModbusMap,
    Point,
    Writable,
)
from device_profiles.quantities import QUANTITIES, UnitError, exact_conversion, known_units, units_of
from device_profiles.registers import encode_value
from device_profiles.spans import BIT_TABLES
from device_profiles.tables import Table

BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
SYNONYMS = {
    "s16": "i16",
    "int16": "i16",
    "short": "i16",
    "uint16": "u16",
    "word": "u16",
    "s32": "i32",
    "int32": "i32",
    "uint32": "u32",
    "dword": "u32",
    "s64": "i64",
    "int64": "i64",
    "uint64": "u64",
    "float": "f32",
    "float32": "f32",
    "real": "f32",
    "double": "f64",
    "float64": "f64",
    "bool": "bit",
    "bcd": "bcd16",
    "ascii": "string",
    "text": "string",
}
"""What manuals and other programs call our types: a near miss must not lead to ``sm16``, which means something else."""

MASKED_TYPES = {"u16": 16, "u32": 32, "u64": 64, "bits": 16}
"""Types that may carry a mask, with their bits."""


def read_modbus(table: Table) -> ModbusMap:
    """The register map. Mistakes are noted in the table's problems and the best that can be made of it is returned."""
    line = _line(table)
    max_block = table.integer("max_block", 125, low=1, high=125)
    timeout_ms = table.integer("timeout_ms", 300, low=20, high=60_000)
    late_ms = table.integer("late_ms", 2000, low=20, high=600_000)
    if late_ms < timeout_ms:
        table.trouble("late_ms", f"must be at least timeout_ms ({timeout_ms})")
    avoid = tuple(_avoid(row) for row in table.tables("avoid"))
    rows = table.tables("points")
    if not rows:
        table.trouble("points", "no points: a profile has at least one [[modbus.points]]")
    points = [_point(row) for row in rows]
    unit = table.integer("unit", 1, low=1, high=255)
    table.end()
    modbus = ModbusMap(
        unit=unit,
        line=line,
        max_block=max_block,
        timeout_ms=timeout_ms,
        late_ms=late_ms,
        avoid=avoid,
        points=tuple(points),
    )
    _check_together(modbus, rows)
    return modbus


def _line(table: Table) -> LineSettings:
    baud = table.integer("baud", 9600)
    if baud not in BAUDS:
        table.trouble("baud", f"{baud} is not a usual speed", "one of: " + ", ".join(map(str, BAUDS)))
    return LineSettings(
        baud=baud, parity=table.choice("parity", ("N", "E", "O"), "N"), stop=table.integer("stop", 1, low=1, high=2)
    )


def _avoid(table: Table) -> Avoid:
    found = Avoid(
        table=table.choice("table", TABLES),
        first=table.integer("first", low=0, high=0xFFFF),
        last=table.integer("last", low=0, high=0xFFFF),
        why=table.text("why"),
    )
    if found.last < found.first:
        table.trouble("last", f"must not be below first ({found.first})")
    table.end()
    return found


def _point(table: Table) -> Point:
    """One row of [[modbus.points]]."""
    kind = _type(table)
    point = Point(
        name=table.text("name"),
        title=table.title(),
        quantity=table.text("quantity"),
        unit=table.text("unit"),
        table=table.choice("table", TABLES),
        address=table.integer("address", low=0, high=0xFFFF),
        type=kind,
        order=table.choice("order", ORDERS, "ABCD"),
        scale=_fraction(table, "scale", 1),
        offset=_fraction(table, "offset", 0),
        mask=_mask(table, kind),
        length=table.integer("length", 1, low=1, high=125) if table.has("length") else 1,
        sentinels=tuple(table.numbers("sentinels")),
        range=_range(table),
        deadband=table.number("deadband", 0.0, low=0.0),
        period=table.number("period", 10.0, low=0.1, high=86_400.0),
        report=table.number("report", 60.0, low=1.0, high=604_800.0),
        writable=_writable(table),
    )
    table.end()
    known = str(table.data.get("type")) in TYPE_REGISTERS  # else nothing can be said about encoding and range
    if known:
        _check_encoding(table, point)
    if _check_quantity(table, point) and known and point.range is not None:
        _check_range(table, point)
    return point


def _type(table: Table) -> str:
    """The encoding's name; other trades' names for it are answered with ours."""
    kind = table.text("type")
    if not kind or kind in TYPE_REGISTERS:
        return kind or "u16"
    ours = SYNONYMS.get(kind.lower().replace("_", ""))
    hint = f"here it is called {ours!r}" if ours else nearest(kind, TYPE_REGISTERS)
    table.trouble("type", f"unknown type {kind!r}", hint)
    return ours or "u16"


def _fraction(table: Table, key: str, default: int) -> Fraction:
    """A decimal as it is written: 0.1 is a tenth, not the float nearest to it."""
    value = Fraction(str(table.number(key, default)))
    if key == "scale" and value == 0:
        table.trouble(key, "must not be 0")
        return Fraction(1)
    return value


def _mask(table: Table, kind: str) -> int | None:
    if not table.has("mask"):
        return None
    if kind not in MASKED_TYPES:
        table.trouble("mask", f"a {kind} takes no mask", "one of: " + ", ".join(MASKED_TYPES))
        return None
    return table.integer("mask", 1, low=1, high=(1 << MASKED_TYPES[kind]) - 1)


def _range(table: Table) -> tuple[float, float] | None:
    bounds = table.numbers("range", count=2)
    if not bounds:
        return None
    if bounds[0] >= bounds[1]:
        table.trouble("range", f"must rise: [{bounds[0]:g}, {bounds[1]:g}]")
        return None
    return bounds[0], bounds[1]


def _writable(table: Table) -> Writable | None:
    if not table.has("writable"):
        return None
    inner = table.table("writable")
    found = Writable(low=inner.number("low"), high=inner.number("high"))
    inner.end()
    if found.high < found.low:
        inner.trouble("high", f"must not be below low ({found.low:g})")
    return found


def _check_encoding(table: Table, point: Point) -> None:
    """Type, table, length and words must fit each other."""
    bit_table = point.table in BIT_TABLES
    if bit_table != (point.type == "bit"):
        wanted = "a bit" if bit_table else "a register type, not bit"
        table.trouble("type", f"the {point.table} table holds {wanted}")
    if (point.type == "string") != ("length" in table.data):
        table.trouble(
            "length", "is missing: registers of the string" if point.type == "string" else "is for strings only"
        )
    if point.writable is not None and point.table not in ("holding", "coil"):
        table.trouble("writable", f"the {point.table} table cannot be written")
    if not point.title.get("zh") or not point.title.get("en"):
        table.trouble("title", 'needs both languages: { zh = "…", en = "…" }')
    if point.address + point.registers > 0x10000:
        table.trouble("address", f"{point.registers} registers from {point.address} reach beyond 65535")


def _check_quantity(table: Table, point: Point) -> bool:
    """The quantity must exist, the unit convert to it, text meet text. True when a range can be checked."""
    quantity = QUANTITIES.get(point.quantity)
    if quantity is None:
        if point.quantity:
            table.trouble("quantity", f"unknown quantity {point.quantity!r}", nearest(point.quantity, QUANTITIES))
        return False
    if quantity.text != point.text:
        wanted = "a number" if point.text else "a text"
        table.trouble("quantity", f"{point.quantity!r} is {wanted}, a {point.type} is not")
        return False
    try:
        exact_conversion(point.unit, quantity.unit)
    except UnitError:
        if not point.unit:
            return False
        known = point.unit in known_units()
        message = f"{point.unit!r} does not convert to {quantity.unit!r}, the unit of {point.quantity}"
        choices = units_of(point.quantity)
        hint = "one of: " + ", ".join(choices) if known else nearest(point.unit, choices)
        table.trouble("unit", message if known else f"unknown unit {point.unit!r}", hint)
        return False
    return not point.text


def _check_range(table: Table, point: Point) -> None:
    """The registers must be able to say the range, and the quantity must find it plausible."""
    assert point.range is not None
    quantity = QUANTITIES[point.quantity]
    scale, offset = exact_conversion(point.unit, quantity.unit)
    low, high = (float(Fraction(str(bound)) * scale + offset) for bound in point.range)
    if not quantity.low <= low <= high <= quantity.high:
        table.trouble(
            "range",
            f"{low:g} to {high:g} {quantity.unit} is more than {point.quantity} can be "
            f"({quantity.low:g} to {quantity.high:g})",
        )
    if point.table in BIT_TABLES or point.type == "bit":
        return
    try:
        for bound in point.range:
            encode_value(point, bound)
    except ValueError as trouble:
        table.trouble("range", f"cannot be said in a {point.type}: {str(trouble).partition(': ')[2]}")


def _check_together(modbus: ModbusMap, rows: list[Table]) -> None:
    """What only shows when all points are known."""
    for point, row in zip(modbus.points, rows, strict=True):
        if point.registers > modbus.max_block and point.table not in BIT_TABLES:
            row.trouble("type", f"takes {point.registers} registers, a read of this unit at most {modbus.max_block}")
        for avoid in modbus.avoid:
            if point.table == avoid.table and _meet(point, avoid.first, avoid.last + 1):
                row.trouble("address", f"lies in {avoid.first} to {avoid.last}, which must not be read: {avoid.why}")
    for (first, _), (second, row) in combinations(zip(modbus.points, rows, strict=True), 2):
        if first.name and first.name == second.name:
            row.trouble("name", f"a second point is called {second.name!r}")
        if first.table == second.table and _meet(second, first.address, first.address + first.registers):
            _check_overlap(row, first, second)


def _meet(point: Point, start: int, end: int) -> bool:
    return point.address < end and start < point.address + point.registers


def _check_overlap(row: Table, first: Point, second: Point) -> None:
    """Only masked parts of the same registers may share them."""
    same = (first.address, first.type, first.order) == (second.address, second.type, second.order)
    if not same or first.mask is None or second.mask is None:
        row.trouble("address", f"{second.name!r} overlaps {first.name!r} at {first.address}")
    elif first.mask & second.mask:
        row.trouble("mask", f"{second.name!r} shares bits {first.mask & second.mask:#06x} with {first.name!r}")
