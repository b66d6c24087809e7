"""Values in meters' items: digits, signs, units, clocks; what is no value; and rows of TOML that must be refused."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.bcd import read_bcd, write_bcd
from device_profiles.documents import TomlDocument
from device_profiles.loader import read_profile
from device_profiles.maps import cjt188, dlt645
from device_profiles.maps.meter_items import UNITS, Item, ItemPoint, decode_point, encode_point, items_of
from device_profiles.problems import Problems
from device_profiles.quality import GOOD_CODE, Reason, split_code
from device_profiles.readings import Value

HEAD: dict[str, Any] = {"name": "x", "title": {"zh": "x", "en": "x"}, "quantity": "active_energy", "unit": "kW.h"}


def point(**what: Any) -> ItemPoint:
    """A point of four digits' bytes, or as told."""
    return ItemPoint(**{**HEAD, "item": 1, "size": 4, "decimals": 2, **what})


def reason(code: int) -> Reason:
    """Why there is no value."""
    return split_code(code)[1]


# --- digits ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 8).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, 100**size - 1))))
def test_digits_there_and_back(case: tuple[int, int]) -> None:
    size, number = case
    data = bytes.fromhex(f"{number:0{2 * size}d}")[::-1]
    assert write_bcd(number, size) == data
    assert read_bcd(data) == (number, 0)


@given(st.integers(-7_999_999, 7_999_999))
def test_the_sign_is_a_bit_and_never_an_eight(number: int) -> None:
    data = bytearray(bytes.fromhex(f"{abs(number):08d}")[::-1])
    if number < 0:
        data[-1] += 0x80
    assert write_bcd(number, 4, signed=True) == bytes(data)
    assert read_bcd(bytes(data), signed=True) == (number, 0)
    if number < 0:
        assert read_bcd(bytes(data))[0] == -number + 80_000_000  # what a reader without the sign would say


def test_the_most_that_fits() -> None:
    assert read_bcd(write_bcd(-79999999, 4, signed=True), signed=True) == (-79999999, 0)
    for number, signed in [(80_000_000, True), (-80_000_000, True), (100_000_000, False), (-1, False)]:
        with pytest.raises(ValueError, match="does not fit"):
            write_bcd(number, 4, signed)


@pytest.mark.parametrize(
    ("data", "why"),
    [("FF FF FF FF", Reason.MISSING), ("12 34 5A 00", Reason.BAD_ENCODING), ("FF FF FF 00", Reason.BAD_ENCODING)],
)
@pytest.mark.parametrize("signed", [False, True])
def test_what_is_no_number(data: str, why: Reason, signed: bool) -> None:
    value, code = read_bcd(bytes.fromhex(data), signed)
    assert value is None
    assert reason(code) is why


@given(st.integers(0, 99_999_999), st.integers(0, 6))
def test_decimals_are_exact_until_the_one_division(raw: int, decimals: int) -> None:
    value, code = decode_point(point(decimals=decimals), write_bcd(raw, 4))
    assert (value, code) == (float(Fraction(raw, 10**decimals)), GOOD_CODE)


def test_many_digits_lose_none() -> None:
    assert decode_point(point(size=8, decimals=0), write_bcd(9_999_999_999_999_999, 8))[0] == 9_999_999_999_999_999
    with pytest.raises(ValueError, match="a text where a number is due"):
        encode_point(point(), "12")
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="is no number"):
            encode_point(point(), value)


# --- units ----------------------------------------------------------------------------------------------------------


def volume(**what: Any) -> ItemPoint:
    """A volume in cubic metres with its unit byte."""
    return point(quantity="volume", unit="m3", **{"beside": "after", "says": 0x2C, **what})


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("78 56 34 12 2C", 123456.78),
        ("78 56 34 12 29", 123.45678),
        ("29 00 00 00 2C", 0.29),
        ("29 2C 29 00 29", 2.92929),
    ][:3],
)
def test_the_unit_byte_decides(data: str, value: float) -> None:
    assert decode_point(volume(), bytes.fromhex(data)) == (value, GOOD_CODE)


def test_a_unit_byte_in_front() -> None:
    assert decode_point(volume(beside="before"), bytes.fromhex("29 78 56 34 12")) == (123.45678, GOOD_CODE)
    assert encode_point(volume(beside="before"), 123456.78) == bytes.fromhex("2C 78 56 34 12")


@pytest.mark.parametrize(
    ("code", "kwh"), [(0x05, 1), (0x08, 1000), (0x0A, 100_000), (0x02, 0.001), (0x11, "2500/9"), (0x13, "250000/9")]
)
def test_heat_in_every_unit(code: int, kwh: Any) -> None:
    heat = point(quantity="heat_energy", beside="after", says=0x05)
    got, quality = decode_point(heat, bytes.fromhex("00 01 00 00") + bytes([code]))
    assert (got, quality) == (float(Fraction(kwh)), GOOD_CODE)


@pytest.mark.parametrize("code", [0x05, 0x00, 0x35, 0xFF])
def test_a_unit_of_something_else_is_not_believed(code: int) -> None:
    value, quality = decode_point(volume(), bytes.fromhex("78 56 34 12") + bytes([code]))
    assert value is None
    assert reason(quality) is Reason.BAD_ENCODING


@pytest.mark.parametrize("code", UNITS)
def test_every_unit_byte_there_and_back(code: int) -> None:
    unit = UNITS[code][0]
    one = point(unit=unit, beside="after", says=code, decimals=3)
    for raw in (0, 1, 12_345_678, 99_999_999):
        data = write_bcd(raw, 4) + bytes([code])
        value, quality = decode_point(one, data)
        assert quality == GOOD_CODE
        assert encode_point(one, value) == data


# --- bits, texts, clocks --------------------------------------------------------------------------------------------


def test_bits_are_read_low_byte_first() -> None:
    word = bytes.fromhex("21 84")
    assert decode_point(point(type="bits", size=2, mask=0x0003), word) == (1, GOOD_CODE)
    assert decode_point(point(type="bits", size=2, mask=0xFFF8), word) == (0x8420 >> 3, GOOD_CODE)
    assert decode_point(point(type="bits", size=2), b"\xff\xff") == (0xFFFF, GOOD_CODE)
    for value in (4, -1, 0.5, "1", None):
        with pytest.raises(ValueError, match="bits"):
            encode_point(point(type="bits", size=2, mask=0x0003), value)


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("clock", "31 01 22 11 05 15 20", "2015-05-11 22:01:31"),
        ("date", "06 21 11 26", "2026-11-21"),
        ("date", "00 22 11 26", "2026-11-22"),  # a Sunday
        ("time", "05 04 03", "03:04:05"),
        ("digits", "61 01 00 00 00 00", "000000000161"),
    ],
)
def test_texts_there_and_back(kind: str, data: str, text: str) -> None:
    one = point(type=kind, size=len(bytes.fromhex(data)), decimals=0, quantity="words", unit="1")
    assert decode_point(one, bytes.fromhex(data)) == (text, GOOD_CODE)
    assert encode_point(one, text) == bytes.fromhex(data)
    assert decode_point(one, b"\xff" * one.size)[1] == decode_point(one, encode_point(one, None))[1]


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        ("clock", "00 00 00 00 00 00 00", Reason.MISSING),
        ("clock", "FF FF FF FF FF FF FF", Reason.MISSING),
        ("clock", "20 15 05 11 22 01 31", Reason.BAD_ENCODING),  # in reading order
        ("date", "06 31 02 26", Reason.BAD_ENCODING),
        ("time", "60 04 03", Reason.BAD_ENCODING),
        ("digits", "61 A1 00", Reason.BAD_ENCODING),
    ],
)
def test_clocks_that_are_none(kind: str, data: str, why: Reason) -> None:
    one = point(type=kind, size=len(bytes.fromhex(data)), decimals=0, quantity="words", unit="1")
    value, code = decode_point(one, bytes.fromhex(data))
    assert value is None
    assert reason(code) is why


@pytest.mark.parametrize(("kind", "size"), [("clock", 7), ("date", 4), ("time", 3), ("digits", 6)])
@pytest.mark.parametrize("text", ["SIM", "", "2026-02-30", "25:00:00", "12345678901x"])
def test_texts_that_cannot_be_said(kind: str, size: int, text: str) -> None:
    with pytest.raises(ValueError, match="x: "):
        encode_point(point(type=kind, size=size), text)


# --- items ----------------------------------------------------------------------------------------------------------


def block(count: int, exact: bool = False) -> Item:
    """An item of so many values of four bytes."""
    return items_of([point(name=f"v{place}", offset=4 * place) for place in range(count)], exact)[1]


def test_a_block_that_ends_early_has_fewer_tariffs() -> None:
    item = block(5)
    values, codes = item.decode(item.points, write_bcd(100, 4) + write_bcd(200, 4))
    assert values == [1.0, 2.0, None, None, None]
    assert [reason(code) for code in codes] == [Reason.NONE, Reason.NONE, *[Reason.MISSING] * 3]


@pytest.mark.parametrize("size", [0, 1, 3, 5, 19, 21])
def test_a_torn_value_takes_everything_with_it(size: int) -> None:
    item = block(5)
    values, codes = item.decode(item.points, bytes(size))
    assert values == [None] * 5
    assert {reason(code) for code in codes} == {Reason.BAD_ENCODING}


def test_lengths_that_fit() -> None:
    assert [size for size in range(30) if block(5).fits(size)] == [4, 8, 12, 16, 20, 24, 28]
    assert [size for size in range(30) if block(5, exact=True).fits(size)] == [20]
    assert [size for size in range(30) if block(1).fits(size)] == [4]


def test_1997_meters_may_end_an_item_with_aa() -> None:
    map_ = dlt645.Dlt645Map(edition=1997, points=(point(item=0x9010),))
    (read,) = dlt645.plan_reads(map_, "000000000001", map_.points, lambda one: one.period)
    assert read.decode(bytes.fromhex("48 63 24 00 AA"))[0] == [2463.48]
    values, codes = read.decode(bytes.fromhex("48 63 24 00 00"))  # five bytes, and the fifth is no end
    assert (values, reason(codes[0])) == ([None], Reason.BAD_ENCODING)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_decode_to_something(data: bytes, exact: bool) -> None:
    for item in (block(3, exact), ST_ITEM):
        values, codes = item.decode(item.points, data)
        assert len(values) == len(codes) == len(item.points)
        assert all((value is None) == (code != GOOD_CODE) for value, code in zip(values, codes, strict=True))


ST_ITEM = items_of(
    [
        volume(name="a"),
        point(name="b", offset=5, type="clock", size=7, decimals=0),
        point(name="c", offset=12, type="bits", size=2, mask=0x0003),
        point(name="d", offset=12, type="bits", size=2, mask=0xFFFC),
    ],
    exact=True,
)[1]


def test_points_that_share_bytes_through_masks() -> None:
    values: dict[str, Value] = {"a": 1.5, "b": "2026-11-21 03:04:05", "c": 2, "d": 33}
    data = ST_ITEM.encode(values)
    assert data == bytes.fromhex("50 01 00 00 2C 05 04 03 21 11 26 20 86 00")
    got, codes = ST_ITEM.decode(ST_ITEM.points, data)
    assert dict(zip("abcd", got, strict=True)) == values
    assert set(codes) == {GOOD_CODE}


# --- plans ----------------------------------------------------------------------------------------------------------


def test_one_read_an_item_as_often_as_its_fastest_point() -> None:
    points = (point(name="slow", item=7), point(name="a"), point(name="b", offset=4), point(name="unwanted", offset=8))
    map_ = dlt645.Dlt645Map(points=points)
    periods = {"slow": 60.0, "a": 30.0, "b": 10.0, "unwanted": 1.0}
    reads = dlt645.plan_reads(map_, "000000000001", points[:3], lambda one: periods[one.name])
    assert [(read.period, [one.name for one in read.points]) for read in reads] == [
        (10.0, ["a", "b"]),
        (60.0, ["slow"]),
    ]
    fast, slow = reads
    assert fast.shape == fast.exchange().shape == (0x91, 1)
    assert slow.shape == (0x91, 7)
    assert fast.exchange() is not fast.exchange()
    assert fast.decode(write_bcd(100, 4) + write_bcd(200, 4) + write_bcd(300, 4))[0] == [1.0, 2.0]
    water = cjt188.Cjt188Map(points=(volume(item=0x901F),), di_order="high_first", kind=0x11)
    (read,) = cjt188.plan_reads(water, "00000000000001", water.points, lambda one: 5.0)
    assert read.exchange().request().endswith(bytes.fromhex("68 11 01 00 00 00 00 00 00 01 03 90 1F 00 2D 16"))
    assert read.shape == (0x81, 0x1F90)


@pytest.mark.parametrize("unit", ["", "12345678901", "99999999999A", "999999999999", "A00000000000", "0000123456 78"])
def test_addresses_that_no_electricity_meter_has(unit: str) -> None:
    with pytest.raises(ValueError, match=r"address|answers"):
        dlt645.check_unit(unit)


@pytest.mark.parametrize("unit", ["", "1234567890123", "7833001122334g", "7833001122334a"])
def test_addresses_that_no_water_meter_has(unit: str) -> None:
    with pytest.raises(ValueError, match=r"address|capital"):
        cjt188.check_unit(unit)


def test_addresses_that_are_right() -> None:
    for unit in ("000012345678", "AAAAAAAAAAAA", "AAAAAAAA5678"):
        dlt645.check_unit(unit)
    for unit in ("78330011223344", "000000EE0001AA"):
        cjt188.check_unit(unit)


# --- rows -----------------------------------------------------------------------------------------------------------

PROFILE = """
[profile]
model = "test-meter"
version = 1
vendor = "test"
title = { zh = "表", en = "Meter" }
domain = "energy"
component = "0118"
status = "draft"
sources = ["by hand"]
"""
ROW = """
[[{key}.points]]
name = "{name}"
title = {{ zh = "x", en = "x" }}
quantity = "{quantity}"
unit = "{unit}"
item = {item}
{more}
"""


def _row(
    key: str, more: str, name: str = "x", quantity: str = "active_energy", unit: str = "kW.h", item: str = "1"
) -> str:
    return ROW.format(key=key, name=name, quantity=quantity, unit=unit, item=item, more=more)


@pytest.mark.parametrize(
    ("table", "rows", "trouble"),
    [
        ("[dlt645]\nedition = 2016", [_row("dlt645", "size = 4")], "there is no edition 2016"),
        ("[dlt645]\nunit = '999999999999'", [_row("dlt645", "size = 4")], "nobody answers"),
        ("[dlt645]\nedition = 1997", [_row("dlt645", "size = 4", item="0x00010000")], "must be ≥ 0 and ≤ 65535"),
        ("[dlt645]", [], "no points"),
        ("[dlt645]", [_row("dlt645", "")], "size: is missing"),
        ("[dlt645]", [_row("dlt645", 'size = 4\ntype = "bdc"')], "unknown type 'bdc'"),
        ("[dlt645]", [_row("dlt645", "size = 2\ndecimals = 1\nrange = [0, 1000]")], "cannot be said in 2 bytes"),
        ("[dlt645]", [_row("dlt645", "size = 4\nmask = 3")], "is for bits"),
        ("[dlt645]", [_row("dlt645", 'type = "date"')], "a date is not"),
        ("[dlt645]", [_row("dlt645", 'type = "date"\nsize = 3', quantity="words", unit="1")], "a date has 4 bytes"),
        ("[dlt645]", [_row("dlt645", 'size = 4\nunit_byte = "after"')], "unknown key"),
        ("[dlt645]", [_row("dlt645", "size = 4\noffset = 4")], "byte 0 to 3 of 0x1 belongs to no point"),
        ("[dlt645]", [_row("dlt645", "size = 4"), _row("dlt645", "size = 4\noffset = 2", "y")], "'y' overlaps 'x'"),
        (
            "[dlt645]",
            [_row("dlt645", "size = 4"), _row("dlt645", "size = 4\noffset = 4")],
            "a second point is called 'x'",
        ),
        (
            "[dlt645]",
            [
                _row("dlt645", 'size = 2\ntype = "bits"\nmask = 3', "x", "status_bits", "1"),
                _row("dlt645", 'size = 2\ntype = "bits"\nmask = 6', "y", "status_bits", "1"),
            ],
            "'y' overlaps 'x'",
        ),
        ("[cjt188]", [_row("cjt188", "size = 4")], "kind: is missing"),
        ("[cjt188]\nkind = 0x10\ndi_order = '901F'", [_row("cjt188", "size = 4")], "unknown di_order"),
        ("[cjt188]\nkind = 0x10", [_row("cjt188", 'size = 4\nunit_byte = "after"')], "says: is missing"),
        ("[cjt188]\nkind = 0x10", [_row("cjt188", 'size = 4\nunit_byte = "after"\nsays = 3')], "0x03 is no unit"),
        (
            "[cjt188]\nkind = 0x10",
            [_row("cjt188", 'size = 4\nunit_byte = "after"\nsays = 0x2C')],
            "is a unit of volume",
        ),
    ],
)
def test_rows_that_are_refused(tmp_path: Path, table: str, rows: list[str], trouble: str) -> None:
    path = tmp_path / "test-meter.toml"
    path.write_text(PROFILE + table + "\n" + "".join(rows), encoding="utf-8")
    problems = Problems()
    document = TomlDocument.load(path, problems)
    assert document is not None
    assert read_profile(document, problems) is None
    assert any(trouble in str(problem) for problem in problems.found), [str(problem) for problem in problems.found]


def test_hostile_item_bytes_in_numbers() -> None:
    """A hundred thousand random contents: values or codes, nothing else."""
    dice = random.Random(11)
    for _ in range(100_000):
        data = dice.randbytes(ST_ITEM.size)
        values, codes = ST_ITEM.decode(ST_ITEM.points, data)
        assert len(values) == len(codes)
