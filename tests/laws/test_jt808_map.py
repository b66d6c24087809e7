"""What a vehicle's report means in the words of its profile: edges, lanes, times, places that are none, and back."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.jt808 import Frame
from device_profiles.codecs.jt808_messages import BATCH, HEARTBEAT, POSITION
from device_profiles.codecs.jt808_position import (
    BLIND_ZONE,
    NORMAL,
    Jt808Error,
    Position,
    encode_batch,
    encode_position,
    format_time,
)
from device_profiles.codecs.jt808_words import SHIFTED, SOUTH, WEST
from device_profiles.loader import load_library, load_profile
from device_profiles.maps.jt808 import alarms_after, check_value, complaints_about, decode_report, encode_report
from device_profiles.maps.jt808_points import JtMap, JtPoint, make_map
from device_profiles.problems import Problems
from device_profiles.profiles import DeviceProfile
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported

LIBRARY = load_library()
AT = 1_795_262_400_000_000
"""2026-11-21T12:00:00Z in µs."""

TRAFFIC = [profile for profile in LIBRARY.values() if profile.protocol == "jt808"]
each_profile = pytest.mark.parametrize("profile", TRAFFIC, ids=[profile.model for profile in TRAFFIC])


def map_of(model: str = "jt808-vehicle-2013") -> JtMap:
    """A library profile's map."""
    found = LIBRARY[model].map
    assert isinstance(found, JtMap)
    return found


def spot(at: int | None = AT, **changes: Any) -> Position:
    """A position in Fengjie; ``changes``: fields of Position."""
    place = Position(status=3, latitude=31_020_000, longitude=109_460_000, speed=305, time=format_time(at))
    return msgspec.structs.replace(place, **changes)


def single(position: Position, serial: int = 7) -> Frame:
    """A 0200."""
    return Frame(message=POSITION, number="013800138000", serial=serial, body=encode_position(position))


def batch(kind: int, *positions: Position, serial: int = 8) -> Frame:
    """A 0704."""
    return Frame(message=BATCH, number="013800138000", serial=serial, body=encode_batch(kind, positions))


def read(report: Report, name: str) -> Reported:
    """The last reading of a point."""
    return next(one for one in reversed(report.readings) if one.point == name)


# --- edges and lanes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "lane"),
    [
        (0, 0, Lane.LIVE),
        (0, 0b10, Lane.EVENT),
        (0b10, 0b10, Lane.LIVE),  # still too fast: no second alarm
        (0b10, 0b11, Lane.EVENT),  # and the emergency button on top
        (0b11, 0b10, Lane.LIVE),
    ],
)
def test_an_alarm_that_rises_makes_an_event(before: int, now: int, lane: Lane) -> None:
    frame = single(spot(alarms=now))
    assert decode_report(map_of(), frame, before).lane is lane
    assert alarms_after(frame, before) == now


def test_an_alarm_that_no_point_carries_is_no_event_but_is_told() -> None:
    profile = LIBRARY["jt808-vehicle-2013"]
    few = tuple(point for point in profile.map.points if isinstance(point, JtPoint) and point.name != "alarm_word")
    report = decode_report(make_map(2013, few), single(spot(alarms=1 << 9)))
    assert report.lane is Lane.LIVE
    assert report.unmapped["alarm 9"] == "display fault"


def test_edges_are_followed_through_a_batch() -> None:
    on_off = batch(NORMAL, spot(alarms=2), spot(AT + 30_000_000, alarms=0))
    assert decode_report(map_of(), on_off).lane is Lane.EVENT
    assert alarms_after(on_off) == 0
    assert decode_report(map_of(), on_off, 2).lane is Lane.LIVE


def test_a_blind_zone_is_backlog_with_its_own_times() -> None:
    """It raises no live alarm, changes no standing one, and every position keeps its time."""
    late = [AT - n * 30_000_000 for n in (3, 2, 1)]
    frame = batch(BLIND_ZONE, *(spot(at, alarms=1) for at in late))
    report = decode_report(map_of(), frame, alarms=4)
    assert report.lane is Lane.BACKLOG
    assert [one.at for one in report.readings if one.point == "latitude"] == late
    assert alarms_after(frame, 4) == 4


def test_a_filled_in_position_without_a_time_is_doubted() -> None:
    report = decode_report(map_of(), batch(BLIND_ZONE, spot(None)))
    assert {(one.at, one.quality, one.reason) for one in report.readings} == {
        (None, Quality.UNCERTAIN, Reason.CLOCK_DOUBTED)
    }
    live = decode_report(map_of(), single(spot(None)))
    assert {one.quality for one in live.readings} == {Quality.GOOD}  # it is now, as far as anybody knows


# --- retransmissions ------------------------------------------------------------------------------------------------


def test_a_report_is_known_by_what_it_says_and_when() -> None:
    """Under another serial (after a reboot), and alone in a later batch: the acknowledgement was lost, the data not."""
    key = decode_report(map_of(), single(spot())).key
    assert decode_report(map_of(), single(spot(), serial=900)).key == key
    assert decode_report(map_of(), batch(BLIND_ZONE, spot())).key == key
    assert decode_report(map_of(), single(spot(AT + 1_000_000))).key != key
    assert decode_report(map_of(), single(spot(alarms=1))).key != key
    assert decode_report(map_of(), batch(BLIND_ZONE, spot(), spot())).key != key


def test_without_a_time_the_serial_tells_reports_apart() -> None:
    """A parked vehicle that has no time yet says the same bytes again and again, and each time it means now."""
    keys = {decode_report(map_of(), single(spot(None), serial=serial)).key for serial in (1, 2, 2)}
    assert len(keys) == 2


# --- places ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (spot(status=1), Reason.NO_FIX),
        (spot(latitude=0, longitude=0), Reason.NO_FIX),  # the bit is set all the same
        (spot(status=3 | 1 << SHIFTED), Reason.BAD_ENCODING),
        (spot(latitude=109_460_000, longitude=31_020_000), Reason.OUT_OF_RANGE),  # exchanged
        (spot(longitude=180_000_001), Reason.OUT_OF_RANGE),
    ],
)
def test_a_place_that_is_none_is_none(position: Position, reason: Reason) -> None:
    report = decode_report(map_of(), single(position))
    for name in ("latitude", "longitude", "altitude", "speed", "heading"):
        one = read(report, name)
        assert (one.value, one.quality, one.reason, one.at) == (None, Quality.BAD, reason, AT)
    assert read(report, "ignition").value == 1


@pytest.mark.parametrize(("bits", "signs"), [(0, (1, 1)), (1 << SOUTH, (-1, 1)), (1 << WEST, (1, -1))])
def test_the_hemisphere_is_in_the_status(bits: int, signs: tuple[int, int]) -> None:
    report = decode_report(map_of(), single(spot(status=3 | bits)))
    assert (read(report, "latitude").value, read(report, "longitude").value) == (31.02 * signs[0], 109.46 * signs[1])


def test_extras_too_short_unknown_or_broken() -> None:
    extras = ((0x01, b"\0\0\1"), (0xF3, b"\x12\x34"), (0x30, b"\x1f"), (0x30, b"\x01"))
    position = spot(extras=extras)
    frame = Frame(message=POSITION, number="1", serial=0, body=encode_position(position) + b"\x31\x05\x01")
    report = decode_report(map_of(), frame)
    assert (read(report, "mileage").quality, read(report, "mileage").reason) == (Quality.BAD, Reason.BAD_ENCODING)
    assert read(report, "signal").value == 31
    assert report.unmapped == {"extra F3": "1234", "extra 30 again": "01", "malformed extras": "310501"}
    assert not any(one.point == "fuel" for one in report.readings)  # not said is not zero


def test_a_negative_temperature_has_a_sign_bit() -> None:
    report = decode_report(map_of("jt808-truck-2019"), single(spot(extras=((6, b"\x80\x12"),))))
    assert read(report, "compartment_temperature").value == -18


def test_what_is_no_report_is_refused() -> None:
    for frame in (
        Frame(message=HEARTBEAT, number="1", serial=0),
        Frame(message=POSITION, number="1", serial=0, body=bytes(27)),
        Frame(message=BATCH, number="1", serial=0, body=b"\0"),
    ):
        with pytest.raises(Jt808Error):
            decode_report(map_of(), frame)


def test_an_item_that_is_no_position_is_told() -> None:
    body = encode_batch(NORMAL, [spot()]) + b"\0\2xx"
    report = decode_report(map_of(), Frame(message=BATCH, number="1", serial=0, body=body))
    assert report.unmapped == {"broken item 1": "00027878"}
    assert read(report, "speed").value == 30.5


# --- backwards ------------------------------------------------------------------------------------------------------


@st.composite
def values_of(draw: st.DrawFn, profile: DeviceProfile) -> dict[str, Value]:
    """Values on the grid of each point, within its range; words that hold no bit of another point's."""
    found: dict[str, Value] = {}
    for point in profile.points:
        assert isinstance(point, JtPoint)
        low, high = point.range or (0, 1)
        if point.bit is None and point.field in ("alarm", "status"):
            continue
        steps = {"latitude": 10**6, "longitude": 10**6, "speed": 10}.get(point.field, 1 / point.scale)
        raw = draw(st.integers(round(low * steps), round(min(high, 60_000) * steps)))
        found[point.name] = float(raw / steps) if steps != 1 else raw
    if not found["latitude"] and not found["longitude"]:
        found["latitude"] = 1.0
    return found


@each_profile
@given(data=st.data())
def test_every_value_on_the_grid_survives_the_wire(profile: DeviceProfile, data: st.DataObject) -> None:
    map_ = profile.map
    assert isinstance(map_, JtMap)
    values = data.draw(values_of(profile))
    for name, value in values.items():
        check_value(profile.point(name), value)
    report = decode_report(map_, single(encode_report(map_, values, AT)))
    got = {one.point: one.value for one in report.readings if one.point in values}
    assert got == pytest.approx(values, rel=1e-12)
    assert {one.at for one in report.readings} == {AT}
    assert report.unmapped == {}


@each_profile
def test_no_position_is_said_as_no_fix(profile: DeviceProfile) -> None:
    assert isinstance(profile.map, JtMap)
    position = encode_report(profile.map, {"speed": 3.0, "mileage": None}, AT)
    assert not position.fixed
    assert position.extras == ()


@pytest.mark.parametrize(
    ("point", "value"),
    [("latitude", 91), ("speed", 7000), ("speed", -1), ("overspeed", 2), ("mileage", 1e9), ("fuel", "much")],
)
def test_what_the_wire_cannot_say_is_refused(point: str, value: Value) -> None:
    with pytest.raises(ValueError, match=point):
        check_value(LIBRARY["jt808-vehicle-2013"].point(point), value)
    with pytest.raises(ValueError, match=point):
        encode_report(map_of(), {point: value}, AT)


# --- the table ------------------------------------------------------------------------------------------------------

HEAD = """
[profile]
model = "kz-tracker"
version = 1
vendor = "KZ"
title = { zh = "终端", en = "Terminal" }
domain = "traffic"
component = "0299"
status = "draft"
sources = ["the test"]
"""
TITLE = 'title = { zh = "某", en = "some" }'


def troubles(tmp_path: Path, table: str) -> list[str]:
    """What reading a profile with this table finds wrong."""
    path = tmp_path / "kz-tracker.toml"
    path.write_text(HEAD + table, encoding="utf-8")
    problems = Problems()
    load_profile(path, problems)
    return [problem.message for problem in problems.found]


@pytest.mark.parametrize(
    ("rows", "trouble"),
    [
        ('name = "v"\nquantity = "vehicle_speed"\nunit = "m/s"\nfield = "speed"', "comes in 'km/h'"),
        ('name = "v"\nquantity = "state"\nunit = "1"\nfield = "alrm"\nbit = 1', "unknown field"),
        ('name = "v"\nquantity = "state"\nunit = "1"\nfield = "alarm"\nbit = 32', "must be ≥ 0 and ≤ 31"),
        ('name = "v"\nquantity = "code"\nunit = "1"\nfield = "extra"\nid = 0x31\ntype = "u16"', "does not fit"),
        ('name = "v"\nquantity = "code"\nunit = "1"\nfield = "extra"\nid = 0xE1\ntype = "text"', "is a number"),
        ('name = "v"\nquantity = "code"\nunit = "1"\nfield = "extra"\nid = 0xE1\nscale = 0', "must not be 0"),
    ],
)
def test_mistakes_in_the_table_are_named(tmp_path: Path, rows: str, trouble: str) -> None:
    found = troubles(tmp_path, f"[jt808]\n[[jt808.points]]\n{TITLE}\n{rows}\n")
    assert any(trouble in one for one in found), found


def test_two_points_of_one_bit_and_a_wrong_edition(tmp_path: Path) -> None:
    row = f'[[jt808.points]]\n{TITLE}\nquantity = "state"\nunit = "1"\nfield = "alarm"\nbit = 1\n'
    found = troubles(tmp_path, f'[jt808]\nedition = 2027\n{row}name = "a"\n{row}name = "b"\n')
    assert [one for one in found if "no edition" in one or "same as" in one] == [
        "2027 is no edition that builds its own frames",
        "b is the same as a",
    ]


def test_a_profile_without_points_is_none(tmp_path: Path) -> None:
    assert any("no points" in one for one in troubles(tmp_path, "[jt808]\n"))


@each_profile
def test_a_wrong_example_is_noticed(profile: DeviceProfile) -> None:
    good = profile.examples[0]
    assert complaints_about(profile, good) == []
    for changed in (
        msgspec.structs.replace(good, values={**good.values, "mileage": 7.7}),
        msgspec.structs.replace(good, at="2026-11-21T00:00:00Z"),
        msgspec.structs.replace(good, report=good.report[:-2] + b"\0\x7e"),
        msgspec.structs.replace(good, report=b"", request=b"1"),
        msgspec.structs.replace(good, ack=bytes.fromhex("7e8001000501234567890100007fff0002008e7e")),
    ):
        assert complaints_about(profile, changed)
