"""Laws of the poll plan, over arbitrary register maps and over the whole library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.loader import load_library
from device_profiles.profiles import Avoid, DeviceProfile, ModbusMap, RegisterPoint
from device_profiles.spans import points_within
from edge_agent.plan import PlanError, Span, most_in_one_read, plan_spans, shorter_reads

LIBRARY = {model: profile for model, profile in load_library().items() if profile.protocol == "modbus"}


def point(name: str, table: str, address: int, kind: str, period: float, length: int = 1) -> RegisterPoint:
    return RegisterPoint(
        name=name,
        title={},
        quantity="",
        unit="1",
        table=table,
        address=address,
        type=kind,
        period=period,
        length=length,
    )


@st.composite
def maps(draw: st.DrawFn) -> ModbusMap:
    """Maps with several tables, holes, overlaps, wide points and addresses to avoid."""
    points = []
    for table in draw(st.lists(st.sampled_from(["holding", "input", "coil"]), min_size=1, max_size=3, unique=True)):
        address = draw(st.integers(0, 50))
        for index in range(draw(st.integers(1, 12))):
            kind = "bit" if table == "coil" else draw(st.sampled_from(["u16", "i16", "f32", "u64", "string"]))
            period = draw(st.sampled_from([1.0, 10.0, 60.0]))
            made = point(f"{table}{index}", table, address, kind, period, draw(st.integers(1, 4)))
            points.append(made)
            address += draw(st.sampled_from([0, made.registers, made.registers, made.registers + 1, 12]))
    first = draw(st.integers(0, 80))
    avoid = (Avoid(table="holding", first=first, last=first + draw(st.integers(0, 3)), why="it does something"),)
    return ModbusMap(
        points=tuple(points), max_block=draw(st.integers(4, 40)), avoid=avoid if draw(st.booleans()) else ()
    )


def owned(modbus: ModbusMap) -> set[tuple[str, int]]:
    return {(p.table, p.address + i) for p in modbus.points for i in range(p.registers)}


def avoided(modbus: ModbusMap) -> set[tuple[str, int]]:
    return {(a.table, address) for a in modbus.avoid for address in range(a.first, a.last + 1)}


def cells(span: Span) -> set[tuple[str, int]]:
    return {(span.table, address) for address in range(span.start, span.end)}


def check_laws(modbus: ModbusMap) -> None:
    spans = plan_spans(modbus)
    forbidden = avoided(modbus)
    for span in spans:
        assert cells(span) <= owned(modbus), "no hole is read"
        assert not cells(span) & forbidden, "nothing is read that must be avoided"
        assert 1 <= span.count <= most_in_one_read(span.table, modbus.max_block)
    for p in modbus.points:
        mine = {(p.table, p.address + i) for i in range(p.registers)}
        reads = [span for span in spans if span.covers(p)]
        if mine & forbidden:
            assert not reads
        else:
            assert reads, "every point is read whole"
            assert min(span.period for span in reads) <= p.period, "and at least as often as it asks"
    assert spans == sorted(spans, key=lambda span: (span.period, span.table, span.start))


@given(maps())
def test_a_plan_keeps_the_laws(modbus: ModbusMap) -> None:
    check_laws(modbus)


@pytest.mark.parametrize("profile", LIBRARY.values(), ids=LIBRARY.keys())
def test_every_profile_of_the_library_has_a_lawful_plan(profile: DeviceProfile) -> None:
    check_laws(profile.modbus)


@given(maps())
def test_a_shorter_read_is_inside_a_span_and_of_another_shape(modbus: ModbusMap) -> None:
    spans = plan_spans(modbus)
    shapes = [span.shape for span in spans]
    found = shorter_reads(spans, modbus.points)
    for shorter, readings in found:
        assert any(cells(shorter) <= cells(span) for span in spans)
        assert shorter.shape not in shapes
        assert readings == len(points_within(modbus.points, shorter.table, shorter.start, shorter.count))
    assert len({shorter.shape for shorter, _ in found}) == len(found)


def test_neighbours_make_one_read_and_a_hole_makes_two() -> None:
    together = ModbusMap(points=(point("a", "holding", 0, "u16", 1), point("b", "holding", 1, "f32", 1)))
    assert [(s.start, s.count) for s in plan_spans(together)] == [(0, 3)]
    apart = ModbusMap(points=(point("a", "holding", 0, "u16", 1), point("b", "holding", 2, "f32", 1)))
    assert [(s.start, s.count) for s in plan_spans(apart)] == [(0, 1), (2, 2)]


def test_a_slow_point_between_fast_ones_is_read_with_them_and_not_again() -> None:
    modbus = ModbusMap(
        points=(
            point("a", "holding", 0, "u16", 1),
            point("slow", "holding", 1, "u16", 60),
            point("b", "holding", 2, "u16", 1),
        )
    )
    assert plan_spans(modbus) == [Span(1.0, "holding", 0, 3)]


def test_a_point_wider_than_a_read_is_refused_by_name() -> None:
    modbus = ModbusMap(points=(point("serial", "holding", 0, "string", 1, length=10),), max_block=8)
    with pytest.raises(PlanError, match="serial takes 10 registers"):
        plan_spans(modbus)
