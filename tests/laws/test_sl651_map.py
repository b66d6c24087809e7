"""Profiles of hydrological stations: mistakes told at once, reports decoded with their times, lanes and keys."""

from pathlib import Path

import msgspec
import pytest

from device_profiles.codecs.sl651 import Reader, encode
from device_profiles.codecs.sl651_body import EVENT, HOURLY, MANUAL, QUERY_STATE, TEST, Message, Section, parse_time
from device_profiles.codecs.sl651_messages import encode_message, parse_message
from device_profiles.lint import lint_file
from device_profiles.loader import load_library
from device_profiles.maps.sl651 import SlMap, alarms_of, check_value, decode_report, encode_report
from device_profiles.problems import Problems
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane, Value
from tests.laws import sl651_frames as published

LIBRARY = load_library()
STATION = bytes.fromhex("5002360011")
NOON = 1_795_262_400_000_000
"""2026-11-21T12:00:00Z in µs."""


def map_of(model: str = "sl651-rain-river") -> SlMap:
    found = LIBRARY[model].map
    assert isinstance(found, SlMap)
    return found


RIVER = map_of()


def message_of(name: str) -> Message:
    return parse_message(Reader().feed(published.data(name))[0])


def said(values: dict[str, Value], at: int = NOON, **more: object) -> Message:
    """A report of a river station, over the wire."""
    made = encode_report(RIVER, values, at, station=STATION, **more)  # type: ignore[arg-type]  # any of its keywords
    return parse_message(Reader().feed(encode(encode_message(made)))[0])


def test_readings_carry_the_observation_time() -> None:
    report = decode_report(RIVER, message_of("timed report"))
    assert {one.point: one.value for one in report.readings} == {
        "rain_today": 4.0,
        "rain_total": 4.0,
        "river_level": 10.49,
        "supply_voltage": 10.99,
    }
    assert {one.at for one in report.readings} == {parse_time("1707181100")}
    assert (report.lane, report.repeats, report.unmapped) == (Lane.LIVE, True, {})


def test_without_an_observation_time_the_send_time_holds() -> None:
    report = decode_report(RIVER, message_of("answer: state"))
    assert {one.at for one in report.readings} == {parse_time("170718102008")}
    assert report.readings[0].value == 0


def test_what_no_point_names_is_unmapped_with_its_digits() -> None:
    report = decode_report(RIVER, message_of("timed report with extensions"))
    assert report.unmapped == {"FF09": "20", "FF33": "0205"}
    assert decode_report(RIVER, message_of("manual entry")).unmapped == {"F2": "Q 1.234"}
    version = decode_report(RIVER, message_of("answer: software version"))
    assert list(version.unmapped) == ["rest of 45"]
    picture = msgspec.structs.replace(Reader().feed(published.data("picture, first packet"))[0], packet=None)
    assert decode_report(RIVER, parse_message(picture)).unmapped == {"F3": "256 bytes"}


def test_missing_is_no_value() -> None:
    report = decode_report(RIVER, message_of("county station, river level missing"))
    (level,) = [one for one in report.readings if one.point == "river_level"]
    assert (level.value, level.quality, level.reason) == (None, Quality.BAD, Reason.MISSING)


def test_a_saturated_gauge_is_no_level() -> None:
    message = said({"river_level": 9999.999})
    assert decode_report(RIVER, message).readings[0].reason is Reason.MISSING


def test_a_test_report_is_no_measurement() -> None:
    report = decode_report(RIVER, message_of("test report"))
    assert {(one.quality, one.reason) for one in report.readings} == {(Quality.UNCERTAIN, Reason.MAINTENANCE)}
    assert said({}, function=TEST).function == TEST


def test_twelve_values_have_twelve_times() -> None:
    hours: dict[str, list[Value]] = {"rain_5min": [0.1 * n for n in range(11)] + [None]}
    message = said({"rain_total": 5.0}, function=HOURLY, hours=hours)
    report = decode_report(RIVER, message)
    rain = [one for one in report.readings if one.point == "rain_5min"]
    assert [one.value for one in rain] == [pytest.approx(0.1 * n) for n in range(11)] + [None]
    assert [one.at for one in rain] == [NOON - (11 - n) * 300_000_000 for n in range(12)]
    assert report.readings[-1].at == NOON


def test_an_additional_report_is_an_event() -> None:
    assert decode_report(RIVER, said({"rain_today": 30.0}, function=EVENT)).lane is Lane.EVENT


BITS: dict[str, Value] = {
    "mains_lost": 0.0,
    "battery_low": 0.0,
    "level_alarm": 1.0,
    "gauge_fault": 0.0,
    "door_closed": 1.0,
}


@pytest.mark.parametrize(
    ("before", "alarm", "lane"),
    [(None, 1.0, Lane.EVENT), (None, 0.0, Lane.LIVE), (4, 1.0, Lane.LIVE), (4, 0.0, Lane.EVENT), (0, 1.0, Lane.EVENT)],
)
def test_a_change_of_an_alarm_bit_is_an_event(before: int | None, alarm: float, lane: Lane) -> None:
    message = said({**BITS, "level_alarm": alarm})
    assert decode_report(RIVER, message, before).lane is lane
    assert alarms_of(message) == 4 * alarm


def test_an_open_door_is_no_alarm() -> None:
    assert decode_report(RIVER, said({**BITS, "level_alarm": 0.0, "door_closed": 0.0}), 0).lane is Lane.LIVE
    assert alarms_of(message_of("timed report")) is None


def test_a_word_that_is_not_known() -> None:
    report = decode_report(RIVER, said(dict.fromkeys(BITS)))
    assert {(one.value, one.reason) for one in report.readings} == {(None, Reason.MISSING)}


def test_late_and_asked_for_values_stay_live() -> None:
    """The protocol has no mark for back-fill: whether they are late is the gateway's business."""
    assert decode_report(RIVER, message_of("answer: rain of an hour")).lane is Lane.LIVE
    assert decode_report(RIVER, message_of("uniform period report")).lane is Lane.LIVE


def test_a_retransmission_is_known_and_a_new_report_is_new() -> None:
    first = said({"river_level": 3.5}, serial=7)
    again = said({"river_level": 3.5}, serial=7, sent=NOON + 30_000_000)  # 6.6.2.5: it is sent anew
    assert decode_report(RIVER, first).key == decode_report(RIVER, again).key
    others = [
        said({"river_level": 3.5}, serial=8),
        said({"river_level": 3.6}, serial=7),
        said({"river_level": 3.5}, at=NOON + 60_000_000, serial=7),
        said({"river_level": 3.5}, serial=7, function=EVENT),
    ]
    keys = {decode_report(RIVER, one).key for one in (first, *others)}
    assert len(keys) == 5


def test_without_an_observation_time_the_send_time_belongs_to_the_key() -> None:
    state = message_of("answer: state")
    assert state.function == QUERY_STATE
    later = msgspec.structs.replace(state, sent=NOON)
    assert decode_report(RIVER, state).key != decode_report(RIVER, later).key


def test_a_station_that_says_it_once() -> None:
    once = msgspec.structs.replace(RIVER, mode="M1")
    assert not decode_report(once, message_of("timed report")).repeats
    assert decode_report(once, msgspec.structs.replace(message_of("timed report"), packet=(2, 2))).repeats


@pytest.mark.parametrize(
    ("point", "value"),
    [("river_level", 10_000_000.0), ("river_level", "high"), ("rain_5min", 30.0), ("level_alarm", 2.0)],
)
def test_what_a_point_cannot_say(point: str, value: Value) -> None:
    with pytest.raises(ValueError, match=r"fit|no number|no bit"):
        check_value(LIBRARY["sl651-rain-river"].point(point), value)
    check_value(LIBRARY["sl651-rain-river"].point(point), None)


def test_manual_text_is_a_point_like_another(tmp_path: Path) -> None:
    path = write(tmp_path, POINT.replace('"39"', '"F2"').replace("water_elevation", "words").replace('"m"', '"1"'))
    profile = lint_file(path, Problems())
    assert profile is not None
    assert isinstance(profile.map, SlMap)
    message = encode_report(profile.map, {"level": "水位 1.234"}, NOON, station=STATION, function=MANUAL)
    back = parse_message(Reader().feed(encode(encode_message(message)))[0])
    (reading,) = decode_report(profile.map, back).readings
    assert (reading.value, reading.reason) == ("水位 1.234", Reason.MAINTENANCE)


def test_bits_and_sections_of_an_empty_message() -> None:
    assert decode_report(RIVER, Message(station=STATION, function=0x32, serial=1, sent=None)).readings == ()
    empty = Message(station=STATION, function=0x32, serial=1, sent=None, sections=(Section(station=STATION, kind=72),))
    assert decode_report(RIVER, empty).readings == ()


# --- the table --------------------------------------------------------------------------------------------------------

HEAD = """
[profile]
model = "probe-one"
version = 1
vendor = "v"
title = { zh = "站", en = "Station" }
domain = "water"
component = "0502"
status = "draft"
sources = ["s"]
caveats = ["not yet"]

[sl651]
class = "H"
"""
POINT = """
[[sl651.points]]
name = "level"
title = { zh = "水位", en = "Level" }
quantity = "water_elevation"
unit = "m"
element = "39"
range = [0, 10]
"""


def write(folder: Path, points: str, head: str = HEAD) -> Path:
    path = folder / "probe-one.toml"
    path.write_text(head + points, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("points", "head", "complaint"),
    [
        (POINT.replace('"39"', '"3"'), HEAD, "no identifier"),
        (POINT.replace('"39"', '"F3"'), HEAD, "is no value"),
        (POINT.replace('"39"', '"45"'), HEAD, "made of bits"),
        (POINT + "bit = 3\n", HEAD, "is not made of bits"),
        (POINT + POINT.replace('"level"', '"other"'), HEAD, "the same element as level"),
        (POINT.replace('"39"', '"F5"') + 'encoding = "hex"\n', HEAD, "an encoding of its own"),
        (POINT.replace('"39"', '"F2"'), HEAD, "is a number"),
        (POINT + "colour = 1\n", HEAD, "unknown key"),
        (POINT, HEAD.replace('"H"', '"X"'), "unknown class"),
        (POINT, HEAD + 'mode = "M4"\n', "unknown mode"),
        (POINT, HEAD + 'encoding = "bcd"\n', "unknown encoding"),
        ("", HEAD, "no points"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, points: str, head: str, complaint: str) -> None:
    problems = Problems()
    lint_file(write(tmp_path, points, head), problems)
    assert complaint in "\n".join(str(problem) for problem in problems.found)


@pytest.mark.parametrize(
    ("example", "complaint"),
    [
        ('report = "7E 7E 05"\nvalues = { level = 1 }', "no whole, checked message"),
        ('request = "01"\nreply = "02"\nvalues = { level = 1 }', "is a report"),
        (f'report = "{published.ALL["set the clock"][1]}"\nvalues = {{ level = 1 }}', "the centre's"),
        (f'report = "{published.ALL["rain only, centre 0"][1]}"\nvalues = {{ level = 3 }}', "level is not in"),
        (f'report = "{published.ALL["timed report"][1]}"\nvalues = {{ level = 10.4 }}', "level reads 10.49"),
        (
            f'report = "{published.ALL["timed report"][1]}"\nat = "2017-07-18T11:00:00Z"\nvalues = {{ level = 10.49 }}',
            "the values carry",
        ),
        (
            f'report = "{published.ALL["timed report"][1]}"\nack = "{published.ALL["confirmation, stay"][1]}"\n'
            "values = { level = 10.49 }",
            "we owe another acknowledgement",
        ),
        (
            f'report = "{published.ALL["hourly report, end of the hour"][1]}"\nvalues = {{ level = 27.3 }}',
            "element 39 would be said as 23 00027300",
        ),
    ],
)
def test_examples_that_do_not_hold(tmp_path: Path, example: str, complaint: str) -> None:
    problems = Problems()
    points = POINT.replace("[0, 10]", "[0, 100]")
    lint_file(write(tmp_path, f'{points}\n[[examples]]\ntitle = "t"\nsource = "s"\n{example}\n'), problems)
    assert complaint in "\n".join(str(problem) for problem in problems.found)
