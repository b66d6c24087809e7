"""What every point of every protocol's table shares: name, quantity, unit, range, periods; read and checked once.

Refuses a unit that is not the quantity's and a range that the quantity cannot have. Nothing is raised, all is noted.
"""

import re
from fractions import Fraction
from itertools import combinations
from typing import Any

from device_profiles.problems import nearest
from device_profiles.profiles import LineSettings, Point, Writable
from device_profiles.quantities import QUANTITIES, UnitError, exact_conversion, known_units, units_of
from device_profiles.tables import Table

BAUDS = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


def read_point_head(table: Table, kind: str = "value", text: bool | None = None) -> dict[str, Any]:
    """The fields of ``profiles.Point`` out of one row, checked, to be splatted into a protocol's own point.

    ``kind``: what the protocol calls such a value, for messages; ``text``: True or False where the protocol already
    says whether it is a text, None where the quantity decides.
    """
    head: dict[str, Any] = {
        "name": table.text("name"),
        "title": table.title(),
        "quantity": table.text("quantity"),
        "unit": table.text("unit"),
        "range": _range(table),
        "deadband": table.number("deadband", 0.0, low=0.0),
        "period": table.number("period", 10.0, low=0.1, high=86_400.0),
        "report": table.number("report", 60.0, low=1.0, high=604_800.0),
        "writable": _writable(table),
    }
    if head["name"] and not _NAME.match(head["name"]):
        table.trouble("name", f"{head['name']!r} must be small letters, digits and underscores")
    if not head["title"].get("zh") or not head["title"].get("en"):
        table.trouble("title", 'needs both languages: { zh = "…", en = "…" }')
    if _check_quantity(table, head, kind, text) and head["range"] is not None:
        _check_range(table, head)
    return head


def read_line(table: Table, baud: int = 9600, parity: str = "N", stop: int = 1) -> LineSettings:
    """``baud``, ``parity`` and ``stop`` of a protocol's table; the defaults are the protocol's own."""
    speed = table.integer("baud", baud)
    if speed not in BAUDS:
        table.trouble("baud", f"{speed} is not a usual speed", "one of: " + ", ".join(map(str, BAUDS)))
    return LineSettings(
        baud=speed,
        parity=table.choice("parity", ("N", "E", "O"), parity),
        stop=table.integer("stop", stop, low=1, high=2),
    )


def read_patience(table: Table, timeout_ms: int = 300, late_ms: int = 2000) -> tuple[int, int]:
    """(``timeout_ms``, ``late_ms``) of a protocol's table."""
    timeout = table.integer("timeout_ms", timeout_ms, low=20, high=60_000)
    late = table.integer("late_ms", max(late_ms, timeout), low=20, high=600_000)
    if late < timeout:
        table.trouble("late_ms", f"must be at least timeout_ms ({timeout})")
    return timeout, late


def read_fraction(table: Table, key: str, default: int) -> Fraction:
    """A decimal as it is written: 0.1 is a tenth, not the float nearest to it."""
    value = Fraction(str(table.number(key, default)))
    if key == "scale" and value == 0:
        table.trouble(key, "must not be 0")
        return Fraction(1)
    return value


def check_names(points: tuple[Point, ...], rows: list[Table]) -> None:
    """No two points of one name."""
    for (first, _), (second, row) in combinations(zip(points, rows, strict=True), 2):
        if first.name and first.name == second.name:
            row.trouble("name", f"a second point is called {second.name!r}")


def check_rows(table: Table, key: str = "points") -> list[Table]:
    """The rows of the points; none is a mistake."""
    rows = table.tables(key)
    if not rows:
        table.trouble(key, f"no points: a profile has at least one [[{table.name}.{key}]]")
    return rows


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


def _check_quantity(table: Table, head: dict[str, Any], kind: str, text: bool | None) -> bool:
    """The quantity must exist, the unit convert to it, text meet text. True when a range can be checked."""
    name, unit = head["quantity"], head["unit"]
    quantity = QUANTITIES.get(name)
    if quantity is None:
        if name:
            table.trouble("quantity", f"unknown quantity {name!r}", nearest(name, QUANTITIES))
        return False
    if text is not None and quantity.text != text:
        wanted = "a number" if text else "a text"
        table.trouble("quantity", f"{name!r} is {wanted}, a {kind} is not")
        return False
    try:
        exact_conversion(unit, quantity.unit)
    except UnitError:
        if not unit:
            return False
        known = unit in known_units()
        message = f"{unit!r} does not convert to {quantity.unit!r}, the unit of {name}"
        choices = units_of(name)
        hint = "one of: " + ", ".join(choices) if known else nearest(unit, choices)
        table.trouble("unit", message if known else f"unknown unit {unit!r}", hint)
        return False
    return not quantity.text


def _check_range(table: Table, head: dict[str, Any]) -> None:
    """The quantity must find the range plausible."""
    quantity = QUANTITIES[head["quantity"]]
    scale, offset = exact_conversion(head["unit"], quantity.unit)
    low, high = (float(Fraction(str(bound)) * scale + offset) for bound in head["range"])
    if not quantity.low <= low <= high <= quantity.high:
        table.trouble(
            "range",
            f"{low:g} to {high:g} {quantity.unit} is more than {head['quantity']} can be "
            f"({quantity.low:g} to {quantity.high:g})",
        )
