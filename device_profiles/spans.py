"""Many points at once: a span of registers is decoded in a few bulk steps, not point by point.

This is the pole's hot path. A span's points are compiled once; decoding then is a struct, a division column by
column and a
visit to those points only that need one (sentinels, masks, floats that may be NaN, named encodings, texts).
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from operator import itemgetter, truediv
from typing import Any

from device_profiles.profiles import RegisterPoint
from device_profiles.quality import GOOD_CODE
from device_profiles.readings import Value
from device_profiles.registers import EXACT, FORMATS, byte_positions, decode_value, encode_value, value_of

BIT_TABLES = ("coil", "discrete")
_PLAIN = frozenset({"u16", "i16", "u32", "i32"})
"""Types whose number is the raw and always a value: no visit unless the point has a mask or sentinels."""


def points_within(points: Iterable[RegisterPoint], table: str, start: int, count: int) -> list[RegisterPoint]:
    """The points of a table that lie wholly inside [start, start + count), by address."""
    inside = [
        point
        for point in points
        if point.table == table and start <= point.address and point.address + point.registers <= start + count
    ]
    return sorted(inside, key=lambda point: (point.address, point.name))


class SpanDecoder:
    """Decodes the reply to one read. ``points`` in order; ``decode`` gives one value and one code for each."""

    def __init__(self, points: list[RegisterPoint], start: int) -> None:
        self.points = tuple(points)
        self.start = start
        self._good = bytes(len(points))
        self._pick, self._unpack = _reader(points, start)
        self._scale = _scaler(points)
        self._visits = [(i, point) for i, point in enumerate(points) if _needs_visit(point)]

    def decode(self, data: bytes) -> tuple[list[Value], bytes]:
        """(values, codes) out of a reply's register bytes.

        A number is a float, NaN where its code is BAD; an integer beyond 2**53 stays an int; a text is a str, None
        where BAD.
        """
        numbers = self._unpack(self._pick(data))
        values: list[Value] = self._scale(numbers)
        if not self._visits:
            return values, self._good
        codes: bytearray | None = None
        for i, point in self._visits:
            number = numbers[i]
            value, code = decode_value(point, number) if isinstance(number, bytes) else value_of(point, number)
            values[i] = math.nan if value is None and not point.text else value
            if code != GOOD_CODE:
                if codes is None:
                    codes = bytearray(self._good)
                codes[i] = code
        return values, self._good if codes is None else bytes(codes)


class BitDecoder:
    """Decodes the reply to a read of coils or discrete inputs: bits LSB first (V1.1b3, 6.1)."""

    def __init__(self, points: list[RegisterPoint], start: int) -> None:
        self.points = tuple(points)
        self.start = start
        self._good = bytes(len(points))
        self._bits = [(at >> 3, at & 7) for at in (point.address - start for point in points)]

    def decode(self, data: bytes) -> tuple[list[Value], bytes]:
        """(values, codes): 1.0 or 0.0 each."""
        return [float(data[byte] >> bit & 1) for byte, bit in self._bits], self._good


def compile_span(points: Iterable[RegisterPoint], table: str, start: int, count: int) -> SpanDecoder | BitDecoder:
    """The decoder for a read of ``count`` registers (or bits) from ``start``: for every point wholly inside."""
    inside = points_within(points, table, start, count)
    return BitDecoder(inside, start) if table in BIT_TABLES else SpanDecoder(inside, start)


def _needs_visit(point: RegisterPoint) -> bool:
    return point.type not in _PLAIN or point.mask is not None or bool(point.sentinels)


def _reader(
    points: list[RegisterPoint], start: int
) -> tuple[Callable[[bytes], bytes], Callable[[bytes], tuple[Any, ...]]]:
    """How to get at the points' big-endian numbers: a byte permutation where one is needed, and a struct."""
    positions: list[int] = []
    codes = ""
    for point in points:
        base = 2 * (point.address - start)
        size = 2 * point.registers
        order = point.order if point.type != "string" else "ABCD"  # decode_value reorders a text itself
        positions += [base + at for at in byte_positions(order, size)]
        codes += f"{size}s" if point.type == "string" else FORMATS[point.type]
    machine = struct.Struct(">" + codes)
    if positions == list(range(len(positions))):
        return itemgetter(slice(0, len(positions))), machine.unpack
    pick = itemgetter(*positions)
    return (lambda data: bytes(pick(data))), machine.unpack


def _scaler(points: list[RegisterPoint]) -> Callable[[tuple[int | float, ...]], list[Value]]:
    """raw × scale + offset for the whole tuple; what cannot be scaled here is visited later and passes through."""
    visited = [_needs_visit(point) for point in points]
    fractions = [(Fraction(1), Fraction(0)) if v else (p.scale, p.offset) for p, v in zip(points, visited, strict=True)]
    if any(point.text for point in points):
        return lambda numbers: [math.nan] * len(numbers) if all(visited) else _mixed(numbers, fractions, visited)
    if all(scale.numerator == 1 and offset == 0 for scale, offset in fractions):
        denominators = [scale.denominator for scale, _ in fractions]
        if set(denominators) <= {1}:
            return lambda numbers: list(map(float, numbers))
        return lambda numbers: list(map(truediv, numbers, denominators))
    rows = [_row(scale, offset) for scale, offset in fractions]
    return lambda numbers: [(n * a + b) / c for n, (a, b, c) in zip(numbers, rows, strict=True)]


def _row(scale: Fraction, offset: Fraction) -> tuple[int, int, int]:
    """(a, b, c) with value = (raw × a + b) / c in whole numbers: one rounding only."""
    denominator = scale.denominator * offset.denominator
    return scale.numerator * offset.denominator, offset.numerator * scale.denominator, denominator


def _mixed(
    numbers: tuple[int | float, ...], fractions: list[tuple[Fraction, Fraction]], visited: list[bool]
) -> list[Value]:
    rows = [_row(scale, offset) for scale, offset in fractions]
    return [
        math.nan if seen else (number * a + b) / c
        for number, (a, b, c), seen in zip(numbers, rows, visited, strict=True)
    ]


def encode_registers(points: Iterable[RegisterPoint], values: Mapping[str, Value]) -> dict[tuple[str, int], int]:
    """The profile backwards: {(table, address): register or bit} for every point that ``values`` names.

    Points that share a register by their masks are merged. ValueError for a value that does not fit its point.
    """
    cells: dict[tuple[str, int], int] = {}
    for point in points:
        if point.name not in values:
            continue
        value = values[point.name]
        if point.table in BIT_TABLES:
            cells[point.table, point.address] = int(bool(value))
            continue
        data = encode_value(point, value)
        for index in range(0, len(data), 2):
            key = (point.table, point.address + index // 2)
            word = int.from_bytes(data[index : index + 2], "big")
            if point.mask is not None:
                word |= cells.get(key, 0)
            cells[key] = word
    return cells


def is_wide(value: Value) -> bool:
    """True for an integer that a float64 cannot carry exactly."""
    return isinstance(value, int) and abs(value) > EXACT
