"""A profile's ``[modbus.sequence]``: what a unit is told before and after its reads. Mistakes are noted.

Refuses a read that answers with values (that is a point) and a register that is a point: what polls read must not do
something.
"""

from device_profiles.profiles import MeasuringSequence, RegisterPoint, Step
from device_profiles.tables import Table

FUNCTIONS = (3, 4, 6, 16)
LONGEST_WAIT = 3600.0


def read_sequence(table: Table) -> MeasuringSequence | None:
    """The sequence of a [modbus] table; None where it has none."""
    if not table.has("sequence"):
        return None
    rows = table.table("sequence")
    start = tuple(_step(row) for row in rows.tables("start"))
    if rows.data.get("start", []) == []:
        rows.trouble("start", "is missing: the steps that start the measurement")
    found = MeasuringSequence(
        start, rows.number("wait_s", low=0, high=LONGEST_WAIT), tuple(_step(row) for row in rows.tables("stop"))
    )
    rows.end()
    return found


def _step(table: Table) -> Step:
    function = table.integer("function")
    address = table.integer("address", low=0, high=0xFFFF)
    value = table.integer("value", low=0, high=0xFFFF) if table.has("value") else None
    empty = table.flag("empty")
    reading = function in (3, 4)
    count = table.integer("count", 1 if reading else 0, low=0, high=125)
    if table.has("function") and function not in FUNCTIONS:
        table.trouble("function", f"no step goes by function {function}", "one of: 3, 4, 6, 16")
    elif reading:
        _check_trigger(table, address, count, value, empty)
    elif function in (6, 16):
        _check_write(table, function, count, value, empty)
    table.end()
    return Step(function, address, count, value, empty)


def _check_trigger(table: Table, address: int, count: int, value: int | None, empty: bool) -> None:
    if not empty:
        table.trouble("empty", "must be true: a step is answered with the byte count 0; a read with values is a point")
    if value is not None:
        table.trouble("value", "is for functions 6 and 16")
    if not 1 <= count <= 0x10000 - address:
        table.trouble("count", f"{count} registers from {address}: at least 1, and none beyond 65535")


def _check_write(table: Table, function: int, count: int, value: int | None, empty: bool) -> None:
    if empty:
        table.trouble("empty", "is for functions 3 and 4")
    if function == 6 and value is None:
        table.trouble("value", "is missing: what function 6 writes")
    if "count" in table.data and count != int(function == 16 and value is not None):
        table.trouble("count", "is 1 with a value and 0 without one: leave it out")


def check_sequence(sequence: MeasuringSequence, points: list[tuple[RegisterPoint, Table]]) -> None:
    """Note each point that lies where a step does something, or that is due again before the unit is warm."""
    for point, row in points:
        if point.period <= sequence.wait_s:
            row.trouble("period", f"must be more than the {sequence.wait_s:g} s that the unit warms up for")
        for step in (*sequence.start, *sequence.stop):
            table = "input" if step.function == 4 else "holding"
            end = step.address + max(1, step.count)
            meet = point.table == table and point.address < end and step.address < point.address + point.registers
            if step.empty and meet:
                row.trouble("address", f"lies at {step.address}, which reading does something: see modbus.sequence")
