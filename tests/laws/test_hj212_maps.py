"""What HJ 212 messages say in a profile's words: flags, times, lanes, numbers; and its table, with every mistake."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.hj212 import Reader, encode, frame
from device_profiles.codecs.hj212_segment import Segment, encode_segment, parse_segment, parse_time
from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library, read_profile
from device_profiles.maps.hj212 import check_value, complaints_about, decode_report, encode_report
from device_profiles.maps.hj212_points import HjMap, HjPoint
from device_profiles.problems import Problems
from device_profiles.profiles import DeviceProfile
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported

LIBRARY = load_library()
PROFILES = [profile for profile in LIBRARY.values() if isinstance(profile.map, HjMap)]
WATER = LIBRARY["hj212-wastewater"]
DUST = LIBRARY["hj212-dust-noise"]
AT = 1_795_262_400_000_000
DATE = "20261121200000"

each_profile = pytest.mark.parametrize("profile", PROFILES, ids=[profile.model for profile in PROFILES])


def map_of(profile: DeviceProfile) -> HjMap:
    assert isinstance(profile.map, HjMap)
    return profile.map


def said(body: str, cn: str = "2011", profile: DeviceProfile = WATER, **head: object) -> Report:
    message = parse_segment(f"CN={cn};MN=A;CP=&&{body}&&".encode())
    return decode_report(map_of(profile), msgspec.structs.replace(message, **head))


def one(body: str, **head: object) -> Reported:
    (reading,) = said(body, **head).readings  # type: ignore[arg-type]  # a head field by name
    return reading


# --- flags and values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letter", "quality", "reason"),
    [
        ("N", Quality.GOOD, Reason.NONE),
        ("n", Quality.GOOD, Reason.NONE),
        ("", Quality.GOOD, Reason.NONE),
        ("F", Quality.UNCERTAIN, Reason.STOPPED),
        ("M", Quality.UNCERTAIN, Reason.MAINTENANCE),
        ("S", Quality.UNCERTAIN, Reason.MAINTENANCE),
        ("C", Quality.UNCERTAIN, Reason.MAINTENANCE),
        ("D", Quality.UNCERTAIN, Reason.DEVICE_FAULT),
        ("T", Quality.UNCERTAIN, Reason.OUT_OF_RANGE),
        ("X", Quality.UNCERTAIN, Reason.BAD_ENCODING),
        ("B", Quality.BAD, Reason.INSTRUMENT_SILENT),
    ],
)
def test_each_flag_has_its_quality(letter: str, quality: Quality, reason: Reason) -> None:
    value = None if quality is Quality.BAD else 12.5
    wanted = Reported("cod", value, AT, quality, reason)
    assert one(f"DataTime={DATE};w01018-Rtd=12.5,w01018-Flag={letter}") == wanted
    assert one(f"DataTime={DATE};w01018-Rtd=12.5;w01018-Flag={letter}") == wanted  # an item of its own
    assert one(f"DataTime={DATE};w01018-Rtd=12.5;Flag={letter}") == wanted  # bare


@pytest.mark.parametrize("letter", ["B", "D", "M"])
def test_a_flag_without_a_value_says_why_there_is_none(letter: str) -> None:
    reading = one(f"DataTime={DATE};w01018-Flag={letter}")
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert reading.reason is not Reason.NONE


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("12.50", 12.5, Reason.NONE),
        ("+7", 7.0, Reason.NONE),
        ("-.5", -0.5, Reason.NONE),
        ("1e2", 100.0, Reason.NONE),
        ("", None, Reason.MISSING),
        ("--", None, Reason.MISSING),
        ("NULL", None, Reason.MISSING),
        ("nan", None, Reason.MISSING),
        ("inf", None, Reason.BAD_ENCODING),
        ("1e999", None, Reason.BAD_ENCODING),
        ("1_000", None, Reason.BAD_ENCODING),
        ("0x10", None, Reason.BAD_ENCODING),
        ("１２", None, Reason.BAD_ENCODING),
        ("12,5", 12.0, Reason.NONE),
    ],
)
def test_numbers_and_what_is_none(text: str, value: Value, reason: Reason) -> None:
    reading = next(r for r in said(f"DataTime={DATE};w01018-Rtd={text}").readings if r.point == "cod")
    assert (reading.value, reading.reason) == (value, reason)
    assert (reading.quality is Quality.BAD) == (value is None)


def test_the_flags_reason_goes_before_a_missing_value() -> None:
    reading = one(f"DataTime={DATE};w01018-Rtd=,w01018-Flag=M")
    assert (reading.value, reading.quality, reading.reason) == (None, Quality.BAD, Reason.MAINTENANCE)


def test_each_sample_keeps_its_own_time() -> None:
    report = said(f"DataTime={DATE};w01018-SampleTime=20261121190000,w01018-Rtd=1,w01018-Flag=N;w21003-Rtd=2")
    assert {one.point: one.at for one in report.readings} == {"cod": AT - 3_600_000_000, "ammonia_nitrogen": AT}


def test_a_device_that_does_not_say_when() -> None:
    assert one("w01018-Rtd=1").at is None
    assert one("DataTime=20261332000000;w01018-Rtd=1").at is None


def test_a_period_is_dated_with_its_start() -> None:
    report = said("DataTime=20261121190000;w01018-Avg=5,w01018-Flag=N;w00000-Cou=17.5", cn="2061")
    wanted = {"cod_hour": 5.0, "discharge_hour": 17.5}
    assert {one.point: one.value for one in report.readings} == wanted
    assert {one.at for one in report.readings} == {AT - 3_600_000_000}


def test_what_no_point_names_is_kept_and_not_used() -> None:
    report = said(f"DataTime={DATE};w01018-Rtd=1,w01018-Flag=N,w01018-EFlag=3;ele01-Rtd=7;PolId=w1;w99999-Flag=N")
    assert [one.point for one in report.readings] == ["cod"]
    assert report.unmapped == {"w01018-EFlag": "3", "ele01-Rtd": "7", "PolId": "w1", "w99999-Flag": "N"}
    twice = said(f"DataTime={DATE};w01018-Rtd=1;w01018-Rtd=2")
    assert [one.value for one in twice.readings] == [1.0]
    assert twice.unmapped == {"w01018-Rtd": "2"}


def test_an_hour_is_no_instant() -> None:
    """The same code in another command is another point, or none."""
    report = said(f"DataTime={DATE};w01018-Rtd=1;w01018-Avg=2", cn="2051")
    assert report.readings == ()
    assert set(report.unmapped) == {"w01018-Rtd", "w01018-Avg"}


def test_other_spellings_are_read() -> None:
    assert one(f"DataTime={DATE};LA-td=50.1,LA-Flag=N", profile=DUST).value == 50.1


# --- which message it is --------------------------------------------------------------------------------------------


def test_back_fill_goes_the_slow_lane() -> None:
    body = f"DataTime={DATE};w01018-Rtd=1"
    assert said(body).lane is Lane.LIVE
    assert said(body, backfill=True).lane is Lane.BACKLOG
    message = parse_segment(f"CN=2011;CP=&&{body}&&".encode())
    assert decode_report(map_of(WATER), message, history=True).lane is Lane.BACKLOG


def test_a_retransmission_is_known_and_nothing_else_is() -> None:
    body = f"DataTime={DATE};w01018-Rtd=1"
    first = said(body, qn="20261121200000123", flag=5).key
    assert said(body, qn="20261121200000123", flag=5).key == first
    assert said(body, qn="20261121200000123", flag=5, backfill=True).key == first  # said again after an outage
    different = [
        said(body, qn="20261121200030123").key,
        said(body, qn="20261121200000123", pno=2, pnum=2).key,
        said(body, qn="20261121200000123", cn="2051").key,
        said(body.replace("=1", "=2"), qn="20261121200000123").key,  # a logger whose QN stands still
        said(body).key,
    ]
    assert len({first, *different}) == len(different) + 1
    assert all(different)


def test_only_what_wants_an_answer_is_said_again() -> None:
    body = f"DataTime={DATE};w01018-Rtd=1"
    assert [said(body, flag=flag).repeats for flag in (None, 4, 5, 8, 9)] == [False, False, True, False, True]


# --- backwards ------------------------------------------------------------------------------------------------------


@each_profile
@given(st.data())
def test_what_is_uploaded_reads_as_it_was(profile: DeviceProfile, data: st.DataObject) -> None:
    """Every value on a point's grid, every command, one byte at a time."""
    map_ = map_of(profile)
    values: dict[str, Value] = {}
    for point in map_.points:
        low, high = point.range or (0.0, 1000.0)
        grid = 10**point.decimals
        step = data.draw(st.none() | st.integers(round(low * grid), round(high * grid)))
        values[point.name] = None if step is None else step / grid
    for cn in {point.cn for point in map_.points}:
        wire = encode(frame(encode_segment(encode_report(map_, values, AT, cn=cn, qn="1", mn="A"))))
        reader, found = Reader(), []
        for byte in wire:
            found += reader.feed(bytes([byte]))
        report = decode_report(map_, parse_segment(found[0].segment))
        wanted = {point.name: values[point.name] for point in map_.points if point.cn == cn}
        silent = {(point.cn, point.code) for point in map_.points if values[point.name] is None}
        for reading in report.readings:
            said_of = profile.point(reading.point)
            assert isinstance(said_of, HjPoint)
            assert reading.at == AT
            if (said_of.cn, said_of.code) in silent:
                assert reading.reason is Reason.INSTRUMENT_SILENT
            else:
                assert reading.value == wanted[reading.point]
        assert {one.point for one in report.readings} == set(wanted)
        assert report.unmapped == {}


def test_what_cannot_be_said_is_refused() -> None:
    cod = WATER.point("cod")
    check_value(cod, 1.5)
    check_value(cod, None)
    for wrong in (float("nan"), float("inf"), "text", 10.0**20):
        with pytest.raises(ValueError, match="cod"):
            check_value(cod, wrong)
    with pytest.raises(TypeError):
        check_value(LIBRARY["xy-md02"].points[0], 1)


def test_an_edition_shows_in_what_is_uploaded() -> None:
    map_ = map_of(WATER)
    assert encode_report(map_, {}, AT, qn="1", edition="2017").flag == 5
    assert encode_report(map_, {}, AT, qn="1", edition="2025", ack=False).flag == 8
    assert encode_report(map_, {}, AT, edition="2005") == Segment(
        cn="2011", st="32", pw="123456", body=((("DataTime", DATE),),)
    )


# --- the table ------------------------------------------------------------------------------------------------------

TABLE = """
[profile]
model = "a-b"
vendor = "v"
title = { zh = "水", en = "w" }
domain = "water"
component = "0502"
status = "draft"
sources = ["none"]
[hj212]
edition = "2017"
st = "21"
[[hj212.points]]
name = "ph"
title = { zh = "pH", en = "pH" }
quantity = "ph"
unit = "[pH]"
code = "w01001"
kind = "Min.Avg"
"""


def mistakes(text: str) -> list[str]:
    problems = Problems()
    document = TomlDocument.parse(text, "a-b.toml", problems)
    assert document is not None
    read_profile(document, problems)
    return [f"{problem.where}: {problem.message} ({problem.hint})" for problem in problems.found]


def test_the_table_is_read() -> None:
    assert mistakes(TABLE) == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('edition = "2017"', 'edition = "2018"', "2017"),
        ('st = "21"', 'st = "water"', "no system code"),
        ('kind = "Min.Avg"', 'kind = "Minute.Avg"', "Min"),
        ('kind = "Min.Avg"', 'kind = "Min.Mean"', "unknown suffix 'Mean'"),
        ('kind = "Min.Avg"', 'kind = "State.Avg"', "one of: RS"),
        ('kind = "Min.Avg"', 'kind = "Avg"', "unknown kind 'Avg'"),
        ('code = "w01001"', 'code = "w01001-Rtd"', "holds a separator"),
        ('code = "w01001"', 'code = "w;1"', "holds a separator"),
        ('code = "w01001"', 'codes = "w01001"', "is missing"),
        ('unit = "[pH]"', 'unit = "mg/L"', "does not convert"),
    ],
)
def test_each_mistake_is_named(old: str, new: str, wanted: str) -> None:
    assert old in TABLE
    found = mistakes(TABLE.replace(old, new))
    assert any(wanted in one for one in found), found


def test_two_points_are_not_one_item() -> None:
    row = TABLE[TABLE.index("[[hj212") :].replace('name = "ph"', 'name = "ph2"')
    assert any("same item as ph" in one for one in mistakes(TABLE + row))
    other = row.replace("Min.Avg", "Hour.Avg")
    assert mistakes(TABLE + other) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"report": b"##0101nothing"}, "no whole, checked frame"),
        ({"report": b""}, "is a report"),
        ({"report": encode(frame(b"CN=9014;ST=22;CP=&&&&"))}, "uploads no data"),
        ({"report": encode(frame(b"QN=1;CP=&&&&"))}, "no CN"),
        ({"report": encode(frame(b"ST=21;CN=2011;CP=&&LA-Rtd=50&&"))}, "ST=21"),
        ({"at": "2020-08-14T15:16:00Z"}, "the values carry"),
        ({"ack": b"##0000"}, "another acknowledgement"),
        ({"values": {"noise": 50.1}}, "pm10 is in the reply"),
        ({"values": {**DUST.examples[0].values, "noise": 50.2}}, "noise reads 50.1"),
    ],
)
def test_a_wrong_example_is_told(change: dict[str, object], wanted: str) -> None:
    example = DUST.examples[0]
    assert complaints_about(DUST, example) == []
    found = complaints_about(DUST, msgspec.structs.replace(example, **change))
    assert any(wanted in one for one in found), found


def test_an_example_with_more_decimals_than_the_point_is_told() -> None:
    example = LIBRARY["hj212-surface-water"].examples[0]
    profile = LIBRARY["hj212-surface-water"]
    map_ = map_of(profile)
    coarse = tuple(msgspec.structs.replace(point, decimals=1) for point in map_.points)
    short = msgspec.structs.replace(map_, points=coarse)
    found = complaints_about(msgspec.structs.replace(profile, map=short), example)
    assert any("more decimals" in one for one in found)


def test_times_of_the_library_are_china_times() -> None:
    assert parse_time(DATE) == AT
