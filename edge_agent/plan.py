"""What to ask a unit, and how often: its points merged into as few reads as its limits allow.

A span never covers an address that no point of the profile owns (reading a hole may be refused, or may *do*
something), never an address to avoid, never more than `max_block`, and never splits a point. Pure: it refuses
to know links and clocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

import msgspec

from device_profiles.codecs.modbus_pdu import MAX_BITS, MAX_REGISTERS, Read, reply_size
from device_profiles.profiles import READ_FUNCTION, ModbusMap, RegisterPoint
from device_profiles.spans import BIT_TABLES, points_within

#: Registers of slower points that a span may read in passing to join two of its own: a read of its own would
#: cost about as many bytes (8 to ask, 5 around the answer, 7 of silence).
WORTH_BRIDGING = 8
#: Resync reads offered to quarantine for each span; see quarantine.py. One that differs is enough, and one to
#: spare.
SHORTER_READS = 3


class Span(msgspec.Struct, frozen=True, order=True):
    """One read: `count` registers (or bits) of a table from `start`, every `period` seconds."""

    period: float
    table: str
    start: int
    count: int

    @property
    def end(self) -> int:
        """The first address behind the span."""
        return self.start + self.count

    @property
    def read(self) -> Read:
        """The request."""
        return Read(READ_FUNCTION[self.table], self.start, self.count)

    @property
    def shape(self) -> tuple[int, int]:
        """(function, bytes of the reply's PDU): what tells two answers of one unit apart on a serial line."""
        return READ_FUNCTION[self.table], reply_size(self.read)

    def covers(self, point: RegisterPoint) -> bool:
        """True when the point lies wholly inside."""
        return point.table == self.table and self.start <= point.address and point.address + point.registers <= self.end


class PlanError(ValueError):
    """A point cannot be read at all; the text names it."""


def most_in_one_read(table: str, max_block: int) -> int:
    """How many registers, or bits, of a table one read may ask for."""
    if table in BIT_TABLES:
        return min(max_block * 16, MAX_BITS)
    return min(max_block, MAX_REGISTERS)


def plan_spans(
    modbus: ModbusMap, wanted: Collection[str] | None = None, period_of: Callable[[RegisterPoint], float] | None = None
) -> list[Span]:
    """The spans that read every wanted point (default: all) at its period, fastest first, in order of
    address.

    A point that a faster span reads anyway gets no read of its own. PlanError when a point is wider than one
    read.
    """
    slowed = period_of or (lambda point: point.period)
    groups: dict[tuple[float, str], list[RegisterPoint]] = defaultdict(list)
    for point in modbus.points:
        if (wanted is None or point.name in wanted) and not _is_avoided(modbus, point):
            groups[slowed(point), point.table].append(point)
    spans: list[Span] = []
    for (period, table), points in sorted(groups.items(), key=lambda item: item[0]):
        left = [point for point in points if not any(span.covers(point) for span in spans)]
        spans += _merged(modbus, table, left, period)
    return spans


def _is_avoided(modbus: ModbusMap, point: RegisterPoint) -> bool:
    last = point.address + point.registers - 1
    return any(a.table == point.table and a.first <= last and point.address <= a.last for a in modbus.avoid)


def _owned(modbus: ModbusMap, table: str) -> set[int]:
    """Addresses that may be read in passing."""
    owned = {
        address
        for point in modbus.points
        if point.table == table
        for address in range(point.address, point.address + point.registers)
    }
    for avoid in modbus.avoid:
        if avoid.table == table:
            owned -= set(range(avoid.first, avoid.last + 1))
    return owned


def _merged(modbus: ModbusMap, table: str, points: Iterable[RegisterPoint], period: float) -> list[Span]:
    limit = most_in_one_read(table, modbus.max_block)
    owned = _owned(modbus, table)
    ranges: list[tuple[int, int]] = []
    for point in sorted(points, key=lambda p: (p.address, p.registers)):
        start, end = point.address, point.address + point.registers
        if end - start > limit:
            raise PlanError(f"{point.name} takes {end - start} registers, one read at most {limit}")
        if ranges:
            first, last = ranges[-1]
            between = range(last, start)
            joined = max(last, end) - first <= limit and len(between) <= WORTH_BRIDGING
            if joined and all(address in owned for address in between):
                ranges[-1] = first, max(last, end)
                continue
        ranges.append((start, end))
    return [Span(period, table, first, last - first) for first, last in ranges]


def shorter_reads(spans: Iterable[Span], points: Collection[RegisterPoint]) -> list[tuple[Span, int]]:
    """Reads that a unit answers in another shape than any of its spans, with the number of points each
    covers.

    They begin where a span begins and end inside it, so they are as harmless as the span itself; what they
    read is thrown away. Short ones first; one more than that for each span, because a probe may itself remain
    unanswered.
    """
    spans = list(spans)
    taken = {span.shape for span in spans}
    found: list[tuple[Span, int]] = []
    for span in sorted(spans, key=lambda span: span.count):
        steps = range(1, span.count, 8 if span.table in BIT_TABLES else 1)
        for count in list(steps)[:SHORTER_READS]:
            shorter = Span(span.period, span.table, span.start, count)
            if shorter.shape not in taken:
                taken.add(shorter.shape)
                found.append((shorter, len(points_within(points, span.table, span.start, count))))
    return sorted(found, key=lambda item: item[0].count)
