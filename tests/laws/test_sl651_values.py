"""What the bytes of SL 651 elements mean: published values, everything that is no number, and the way back."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.sl651 import Reader
from device_profiles.codecs.sl651_body import Item, parse_time
from device_profiles.codecs.sl651_elements import BY_NAME, CLASSES, ELEMENTS, STATE_BITS, id_of, text_of_id
from device_profiles.codecs.sl651_hex import size_of
from device_profiles.codecs.sl651_messages import define_of, parse_message
from device_profiles.codecs.sl651_values import (
    SLOT_US,
    read_clock,
    read_item,
    read_value,
    read_word,
    step_us,
    write_clock,
    write_hour,
    write_value,
    write_word,
)
from device_profiles.quality import Reason
from device_profiles.quantities import known_units
from device_profiles.readings import Value
from tests.laws import sl651_frames as published

MISSING, OPEN, STRANGE = Reason.MISSING, Reason.SENSOR_OPEN, Reason.BAD_ENCODING


def said(name: str) -> dict[str, list[Value]]:
    """Values by element of a published frame."""
    message = parse_message(Reader().feed(published.data(name))[0])
    return {text_of_id(one.element): [value for value, _, _ in read_item(one, message.sent)] for one in message.items}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("test report", {"20": [0.5], "26": [0.5], "39": [0.127], "38": [11.15]}),  # as the article explains them
        ("timed report", {"20": [4.0], "26": [4.0], "39": [10.49], "38": [10.99]}),
        ("answer: rain of an hour", {"F4": [0.5, 0, 0, 0, 2.0, None, None, None, None, None, 0, 0]}),
        (
            "answer: relative levels of an hour",
            {"F5": [0.12, 0.12, 0.28, 0.49, 0.49, None, None, None, None, None, 0.49, 0.49]},
        ),
        (
            "uniform period report",
            {"39": [0.122, 0.122, 0.285, 10.49, 10.49, None, None, None, None, None, 10.49, 10.49]},
        ),
        ("timed report with flow", {"39": [33.66], "36": [0.11], "27": [4.32], "FF22": [0.11], "38": [12.3]}),
        (
            "test report, undefined element",
            {"20": [0], "26": [0], "39": [0.075], "38": [12.08], "7A": [29], "FFA0": [28.8]},
        ),
        ("timed report in ASCII", {"39": [6.38], "38": [12.5]}),
        ("county station, river level missing", {"20": [0], "26": [0], "39": [None], "38": [11.43]}),
    ],
)
def test_published_values(name: str, values: dict[str, list[Value]]) -> None:
    assert said(name) == values


def test_a_define_byte_that_cannot_be_meant() -> None:
    """Fujian's stations say 5C for the 24 bytes of an hour's levels."""
    assert said("county station, hourly")["F5"] == [26.05] * 10 + [27.96] * 2
    assert said("county station, hourly")["39"] == [28.96]
    assert [size_of(0xF5, 0xC0), size_of(0xF5, 0x5C), size_of(0xF4, 0x60), size_of(0xF4, 0x30)] == [24, 24, 12, 6]


@pytest.mark.parametrize(
    ("digits", "define", "value", "reason"),
    [
        ("00010490", 0x23, 10.49, Reason.NONE),
        ("002730", 0x1A, 27.3, Reason.NONE),
        ("0127", 0x12, 1.27, Reason.NONE),
        ("FF00000352", 0x2B, -0.352, Reason.NONE),  # 6.6.3.3 a: odd digits, FF0
        ("FF0036", 0x19, -3.6, Reason.NONE),  # even digits, FF
        ("FF001234", 0x23, -1.234, Reason.NONE),  # the sign within the usual four bytes
        ("FFFFFFFF", 0x23, None, MISSING),
        ("FFFFFF", 0x1A, None, MISSING),
        ("AAAAAAAA", 0x23, None, OPEN),
        ("", 0x00, None, MISSING),
        ("0A10", 0x12, None, STRANGE),
        ("FF0A", 0x11, None, STRANGE),
        ("09999999", 0x23, 9999.999, Reason.NONE),
        ("000000", 0x19, 0.0, Reason.NONE),
        ("FF000000", 0x21, 0.0, Reason.NONE),
    ],
)
def test_bcd(digits: str, define: int, value: float | None, reason: Reason) -> None:
    assert read_value(bytes.fromhex(digits), define) == (value, reason)


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        (b"12.5", 12.5, Reason.NONE),
        (b"-0.352", -0.352, Reason.NONE),
        (b"7", 7.0, Reason.NONE),
        (b"M", None, MISSING),
        (b"", None, MISSING),
        (b"1e400", None, STRANGE),
        (b"nan", None, STRANGE),
        (b"1,5", None, STRANGE),
    ],
)
def test_ascii(text: bytes, value: float | None, reason: Reason) -> None:
    assert read_value(text, -1) == (value, reason)


@pytest.mark.parametrize(
    ("data", "define", "encoding", "value"),
    [
        (b"\x01\x02", 0x11, "hex", 25.8),
        (b"\xaa", 0x08, "hex", 170.0),
        (b"\xff\xff", 0x10, "hex", None),
        (b"0102", -1, "hex", 258.0),
        (b"G1\0", 0x18, "text", "G1"),
        (b"\x09", 0x08, "compass", 180.0),
        (b"\x17", 0x08, "compass", None),
        (b"1", -1, "compass", 0.0),
    ],
)
def test_encodings_of_makers(data: bytes, define: int, encoding: str, value: Value) -> None:
    assert read_value(data, define, encoding)[0] == value


@pytest.mark.parametrize(
    ("data", "define", "hours", "reason"),
    [
        (b"\x11\x01", 0x12, 11 + 1 / 60, Reason.NONE),
        (b"11.01", 0x28, 11 + 1 / 60, Reason.NONE),  # as the C library's tests have it
        (b"02.30", -1, 2.5, Reason.NONE),
        (b"2", -1, 2.0, Reason.NONE),  # whole hours stand alone (E.1.2.3)
        (b"\x03", 0x08, 3.0, Reason.NONE),
        (b"\x11\x61", 0x12, None, STRANGE),
        (b"\xff\xff", 0x12, None, MISSING),
        (b"\xaa\xaa", 0x12, None, OPEN),
        (b"x", -1, None, STRANGE),
        (b"M", -1, None, MISSING),
    ],
)
def test_durations(data: bytes, define: int, hours: float | None, reason: Reason) -> None:
    assert read_clock(data, define) == (hours, reason)


def at(text: str) -> int:
    found = parse_time(text)
    assert found is not None
    return found


def hour(seen: str, data: bytes = b"\x05" * 12, step: bytes = b"") -> Item:
    return Item(element=0xF4, define=0x60, data=data, at=at(seen), step=step)


@pytest.mark.parametrize(
    ("seen", "sent", "first"),
    [
        ("1707181005", "170718110226", "1707181005"),  # table 36: the first value's time
        ("1406120200", "140612020000", "1406120105"),  # the end of the hour: else eleven values lie ahead
        ("1707181005", "170718105630", "1707181005"),  # the clock was set meanwhile
    ],
)
def test_when_the_values_of_an_hour_were_observed(seen: str, sent: str, first: str) -> None:
    found = [time for _, _, time in read_item(hour(seen), at(sent))]
    assert found == [at(first) + place * SLOT_US for place in range(12)]


def test_several_hours_at_a_time() -> None:
    """0418 with a step of zero: twelve values for each hour (table C.1, note g)."""
    message = parse_message(Reader().feed(published.data("answer: rain of an hour"))[0])
    (item,) = message.items
    many = Item(element=0xF4, define=0x60, data=item.data * 3, at=item.at, step=bytes(3))
    found = read_item(many, message.sent)
    assert len(found) == 36
    assert found[-1][2] == at("1707181005") + 35 * SLOT_US
    assert found[0][0] == found[12][0] == 0.5


def test_hours_that_are_no_hours() -> None:
    assert read_item(hour("1707181005", b"\xaa" * 12), None)[0][:2] == (None, OPEN)
    assert read_item(hour("1707181005", b""), None)[0][:2] == (None, MISSING)
    assert read_item(Item(element=0xF4, data=b"xyz"), None) == [(None, STRANGE, None)]
    assert [one[0] for one in read_item(Item(element=0xF4, data=b"05FF" + b"00" * 10), None)][:2] == [0.5, None]


def test_a_series_is_a_step_apart() -> None:
    data, nine = bytes.fromhex("000012FFFFFF000003"), at("2611210900")
    item = Item(element=0x1A, define=0x19, data=data, at=nine, step=b"\0\1\0")
    ten, eleven = nine + 3_600_000_000, nine + 7_200_000_000
    assert read_item(item, None) == [(1.2, Reason.NONE, nine), (None, MISSING, ten), (0.3, Reason.NONE, eleven)]
    words = Item(element=0x1A, data=b"1.2 M 0.3", at=at("2611210900"), step=b"\0\1\0")
    assert read_item(words, None) == read_item(item, None)


def test_several_elements_of_one_series_in_ascii() -> None:
    """6.6.4.4 b: names first, then a group of values for each time."""
    body = b"0001261121090000ST 5002360011 H TT 2611210800 DRN05 Z PN05 12.31 0.2 M 0.4 12.33 0 "
    frame = Reader().feed(published.data("timed report in ASCII"))[0]
    message = parse_message(type(frame)(station=frame.station, function=0x31, body=body, ascii=True))
    values = {item.element: [value for value, _, _ in read_item(item, message.sent)] for item in message.items}
    assert values == {0x39: [12.31, None, 12.33], 0x22: [0.2, 0.4, 0.0]}
    assert {step_us(item.step) for item in message.items} == {300_000_000}


@pytest.mark.parametrize(
    ("step", "seconds"),
    [("010000", 86400), ("000600", 21600), ("000030", 1800), ("000000", 0), ("0000AA", 0)],
)
def test_steps(step: str, seconds: int) -> None:
    assert step_us(bytes.fromhex(step)) == seconds * 1_000_000


@given(st.integers(-9_999_999, 9_999_999), st.integers(0, 5), st.booleans())
def test_every_number_survives(raw: int, decimals: int, ascii: bool) -> None:
    value = float(Decimal(raw).scaleb(-decimals))
    define, data = write_value(value, 7, decimals, ascii)
    assert read_value(data, define) == (value, Reason.NONE)
    assert ascii or len(data) == (5 if raw < 0 else 4)


@given(st.lists(st.none() | st.integers(0, 254), min_size=12, max_size=12), st.booleans())
def test_every_hour_survives(raws: list[int | None], ascii: bool) -> None:
    values: list[Value] = [None if raw is None else raw / 10 for raw in raws]
    define, data = write_hour(values, "rain", ascii)
    item = Item(element=0xF4, define=define, data=data, at=0)
    assert [value for value, _, _ in read_item(item, None)] == values


@given(st.none() | st.integers(0, 0xFFFF_FFFE), st.booleans())
def test_every_word_survives(word: int | None, ascii: bool) -> None:
    define, data = write_word(word, ascii)
    assert read_word(Item(element=0x45, define=define, data=data)) == word


@given(st.integers(0, 5999), st.booleans())
def test_every_duration_survives(minutes: int, ascii: bool) -> None:
    define, data = write_clock(minutes / 60, ascii)
    assert read_clock(data, define)[0] == pytest.approx(minutes / 60)


@pytest.mark.parametrize(
    ("value", "digits", "decimals", "encoding"),
    [(100_000.0, 4, 0, "bcd"), (99.999, 4, 3, "bcd"), (-1.0, 4, 0, "hex"), (70_000.0, 4, 0, "hex"), ("x", 4, 0, "bcd"),
     (1.0, 70, 0, "bcd")],
)  # fmt: skip
def test_what_does_not_fit(value: Value, digits: int, decimals: int, encoding: str) -> None:
    with pytest.raises(ValueError, match=r"fit|no number|definition"):
        write_value(value, digits, decimals, False, encoding)


@pytest.mark.parametrize("values", [[25.5] * 12, [0.0] * 11, [-0.1] * 12, ["x"] * 12])
def test_an_hour_that_cannot_be_said(values: list[Value]) -> None:
    with pytest.raises(ValueError, match=r"fit|has 12|no number"):
        write_hour(values, "rain", False)


def test_the_table_of_elements() -> None:
    assert len(ELEMENTS) == 128 == len({row.name for row in ELEMENTS.values()})
    assert set(range(0x01, 0x76)) - set(ELEMENTS) == {0x04}  # the step code is no element
    units = {row.unit for row in ELEMENTS.values()} - {"", "m2"}
    assert units <= set(known_units())
    assert BY_NAME["PH"] is BY_NAME["pH"] is ELEMENTS[0x46]
    assert [id_of("39"), id_of("FF11"), id_of("ff11")] == [0x39, 0xFF11, 0xFF11]
    assert (len(CLASSES), len(STATE_BITS)) == (11, 12)
    assert [define_of(element) for element in (0x39, 0x38, 0xF4, 0xF5, 0x45, 0x7A)] == [0x23, 0x12, 0x60, 0xC0, 0x20, 0]


@pytest.mark.parametrize("text", ["", "3", "FF", "FF1", "1139", "zz", "00"])
def test_what_is_no_identifier(text: str) -> None:
    with pytest.raises(ValueError, match="no identifier"):
        id_of(text)
