"""Rows of a meter's points out of TOML, checked each for itself and all against each other. Nothing is raised, all is
noted: sizes that a type does not have, bytes that belong to two points or to none, ranges that digits cannot say."""

from itertools import pairwise
from typing import Any

from device_profiles.maps.meter_items import TEXT_TYPES, TYPE_SIZES, UNITS, ItemPoint, encode_point, items_of
from device_profiles.maps.points import check_names, check_rows, read_point_head
from device_profiles.quantities import UnitError, exact_conversion
from device_profiles.tables import Table

PLACES = ("", "after", "before")


def read_points(table: Table, highest: int, units: bool) -> tuple[ItemPoint, ...]:
    """``[[….points]]``; ``highest``: the largest identifier, ``units``: values may have a unit byte beside them."""
    rows = check_rows(table)
    points = tuple(_point(row, highest, units) for row in rows)
    check_names(points, rows)
    _check_together(points, rows)
    return points


def _point(table: Table, highest: int, units: bool) -> ItemPoint:
    kind = table.choice("type", tuple(TYPE_SIZES), "bcd")
    fixed = TYPE_SIZES[kind]
    point = ItemPoint(
        **read_point_head(table, kind, kind in TEXT_TYPES),
        item=table.integer("item", low=0, high=highest),
        offset=table.integer("offset", 0, low=0, high=199),
        size=table.integer("size", fixed, low=1, high=16) if fixed else table.integer("size", low=1, high=16),
        type=kind,
        decimals=table.integer("decimals", 0, low=0, high=8),
        signed=table.flag("signed"),
        mask=table.integer("mask", low=1) if table.has("mask") else None,
        **(_unit_byte(table) if units else {}),
    )
    table.end()
    _check(table, point, fixed)
    return point


def _unit_byte(table: Table) -> dict[str, Any]:
    """``unit_byte`` (where it stands) and ``says`` (which one this model sends)."""
    beside = table.choice("unit_byte", PLACES, "")
    says = table.integer("says", low=0, high=0xFF) if beside else 0
    if beside and says not in UNITS:
        known = ", ".join(f"0x{code:02X} {name}" for code, (name, factor) in UNITS.items() if factor == 1)
        table.trouble("says", f"0x{says:02X} is no unit", known)
    return {"beside": beside, "says": says}


def _check(table: Table, point: ItemPoint, fixed: int) -> None:
    """Type, size, sign, mask, unit and range must fit each other."""
    if fixed and point.size != fixed:
        table.trouble("size", f"a {point.type} has {fixed} bytes")
    if point.type != "bcd" and (point.signed or point.decimals or point.beside):
        table.trouble("type", f"a {point.type} has no sign, decimals or unit byte")
    if point.mask is not None and (point.type != "bits" or point.mask >= 1 << 8 * point.size):
        table.trouble("mask", "is for bits, and lies inside them")
    if point.beside and point.says in UNITS:
        try:
            exact_conversion(UNITS[point.says][0], point.unit)
        except UnitError as trouble:
            table.trouble("says", str(trouble))
            return
    for bound in point.range or ():
        try:
            encode_point(point, bound)
        except ValueError as trouble:
            table.trouble("range", f"cannot be said in {point.size} bytes: {trouble}")
            return


def _check_together(points: tuple[ItemPoint, ...], rows: list[Table]) -> None:
    """Within an item every byte belongs to a point, and to one only, but for masks that do not meet."""
    row_of = dict(zip((id(point) for point in points), rows, strict=True))
    for item in items_of(points, exact=True).values():
        end = 0
        for point in item.points:
            if point.offset > end:
                where = f"{end}" if point.offset == end + 1 else f"{end} to {point.offset - 1}"
                row_of[id(point)].trouble("offset", f"byte {where} of 0x{item.identifier:X} belongs to no point")
            end = max(end, point.end)
        for first, second in pairwise(item.points):
            if second.offset < first.end and not _apart(first, second, item.points):
                row_of[id(second)].trouble("offset", f"{second.name!r} overlaps {first.name!r}")


def _apart(first: ItemPoint, second: ItemPoint, points: tuple[ItemPoint, ...]) -> bool:
    """True when both are masks of the same bytes and no two masks of those bytes meet."""
    if (first.offset, first.size) != (second.offset, second.size) or first.mask is None or second.mask is None:
        return False
    masks = [point.mask for point in points if point.offset == first.offset and point.mask is not None]
    return sum(masks) == _union(masks)


def _union(masks: list[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found
