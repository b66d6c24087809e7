"""A profile's ``[modbus]`` table, read and checked as a whole: each point for itself, then all against each other.

Refuses what could not be polled safely: points that overlap or lie where reading does something, values wider than a
read may be, units that are not the quantity's, ranges that the registers cannot say. Nothing is raised; all is noted.
"""

from itertools import combinations

from device_profiles.maps.modbus_examples import complaints_about as complaints_about
from device_profiles.maps.modbus_sequence import check_sequence, read_sequence
from device_profiles.maps.points import check_rows, read_fraction, read_line, read_patience, read_point_head
from device_profiles.problems import nearest
from device_profiles.profiles import ORDERS, TABLES, TYPE_REGISTERS, Avoid, ModbusMap, Point, RegisterPoint
from device_profiles.readings import Value
from device_profiles.registers import encode_value
from device_profiles.spans import BIT_TABLES
from device_profiles.tables import Table

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


def read_map(table: Table) -> ModbusMap:
    """The register map. Mistakes are noted in the table's problems and the best that can be made of it is returned."""
    line = read_line(table)
    max_block = table.integer("max_block", 125, low=1, high=125)
    timeout_ms, late_ms = read_patience(table)
    avoid = tuple(_avoid(row) for row in table.tables("avoid"))
    sequence = read_sequence(table)
    rows = check_rows(table)
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
        sequence=sequence,
        points=tuple(points),
    )
    _check_together(modbus, rows)
    return modbus


def check_value(point: Point, value: Value) -> None:
    """ValueError when the point's registers cannot say the value."""
    if isinstance(point, RegisterPoint) and point.table not in BIT_TABLES:
        encode_value(point, value)


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


def _point(table: Table) -> RegisterPoint:
    """One row of [[modbus.points]]."""
    kind = _type(table)
    known = str(table.data.get("type")) in TYPE_REGISTERS  # else nothing can be said about encoding and range
    point = RegisterPoint(
        **read_point_head(table, kind, kind == "string" if known else None),
        table=table.choice("table", TABLES),
        address=table.integer("address", low=0, high=0xFFFF),
        type=kind,
        order=table.choice("order", ORDERS, "ABCD"),
        scale=read_fraction(table, "scale", 1),
        offset=read_fraction(table, "offset", 0),
        mask=_mask(table, kind),
        length=table.integer("length", 1, low=1, high=125) if table.has("length") else 1,
        sentinels=tuple(table.numbers("sentinels")),
    )
    table.end()
    if known:
        _check_encoding(table, point)
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


def _mask(table: Table, kind: str) -> int | None:
    if not table.has("mask"):
        return None
    if kind not in MASKED_TYPES:
        table.trouble("mask", f"a {kind} takes no mask", "one of: " + ", ".join(MASKED_TYPES))
        return None
    return table.integer("mask", 1, low=1, high=(1 << MASKED_TYPES[kind]) - 1)


def _check_encoding(table: Table, point: RegisterPoint) -> None:
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
    if point.address + point.registers > 0x10000:
        table.trouble("address", f"{point.registers} registers from {point.address} reach beyond 65535")


def _check_range(table: Table, point: RegisterPoint) -> None:
    """The registers must be able to say the range."""
    if point.range is None or point.text or point.table in BIT_TABLES or point.type == "bit":
        return
    try:
        for bound in point.range:
            encode_value(point, bound)
    except ValueError as trouble:
        table.trouble("range", f"cannot be said in a {point.type}: {str(trouble).partition(': ')[2]}")


def _check_together(modbus: ModbusMap, rows: list[Table]) -> None:
    """What only shows when all points are known."""
    if modbus.sequence is not None:
        check_sequence(modbus.sequence, list(zip(modbus.points, rows, strict=True)))
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


def _meet(point: RegisterPoint, start: int, end: int) -> bool:
    return point.address < end and start < point.address + point.registers


def _check_overlap(row: Table, first: RegisterPoint, second: RegisterPoint) -> None:
    """Only masked parts of the same registers may share them."""
    same = (first.address, first.type, first.order) == (second.address, second.type, second.order)
    if not same or first.mask is None or second.mask is None:
        row.trouble("address", f"{second.name!r} overlaps {first.name!r} at {first.address}")
    elif first.mask & second.mask:
        row.trouble("mask", f"{second.name!r} shares bits {first.mask & second.mask:#06x} with {first.name!r}")
