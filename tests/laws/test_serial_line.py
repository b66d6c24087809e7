"""Described serial protocols: every way to mark a frame, both directions, cut out of whatever a line brings."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.payload_fields import Field
from device_profiles.codecs.payload_layout import Check, Length
from device_profiles.codecs.serial_line import LONGEST, UNIT, LineLayout, SerialExchange, Spot
from device_profiles.quality import Reason
from device_profiles.readings import Value

TENTH = Fraction(1, 10)


def spot(name: str, kind: str, place: int, **more: object) -> Spot:
    return Spot(field=Field(name=name, type=kind, place=place, **more))  # type: ignore[arg-type]  # Field's own keys


FIXED = LineLayout(
    start=b"\xaa\x55",
    size=10,
    unit_byte=2,
    check=Check("crc16_modbus", little=True),
    spots=(spot("level", "i16", 3, scale=TENTH), spot("raw", "u16", 5, little=True), spot("state", "u8", 7, mask=3)),
)
LENGTH = LineLayout(
    start=b"\x02",
    end=b"\x03",
    length=Length(Field(name="length", type="u8", place=1), add=4),
    check=Check("xor8", first=1),
    spots=(spot("level", "f32", 2), spot("raw", "u8", 6)),
)
CONSTANT = LineLayout(
    size=14,
    unit_byte=0,
    constants=((1, b"\x04\x09ZDJC"),),
    check=Check("crc16_modbus", little=True),
    spots=(spot("raw", "u8", 7), spot("level", "f32", 8)),
)
LISTED = LineLayout(
    start=b"$",
    end=b"\r\n",
    separator=b",",
    items=("WIND", UNIT, "", "", "m"),
    check=Check("xor8", first=1),
    mark=b"*",
    printed=True,
    spots=(
        Spot(field=Field(name="level", type="decimal", digits=1), item=2, nothing=(b"--",)),
        Spot(field=Field(name="raw", type="decimal", digits=0), item=3, before=b"D=", after=b"deg"),
    ),
)
PLAIN = LineLayout(
    end=b"\r\n",
    separator=b" ",
    items=("", ""),
    spots=(
        Spot(field=Field(name="level", type="decimal", digits=1), item=0),
        Spot(field=Field(name="raw", type="decimal", digits=0), item=1),
    ),
)
LAYOUTS = {"fixed": FIXED, "length": LENGTH, "constant": CONSTANT, "listed": LISTED, "plain": PLAIN}
VALUES: dict[str, Value] = {"level": -12.5, "raw": 77, "state": 2}
UNIT_ASKED = "7"
QUESTION = b"\x07?"

each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())


def built(layout: LineLayout, unit: str = UNIT_ASKED, **more: Value) -> bytes:
    return layout.build(VALUES | more, unit)


def asked(layout: LineLayout, request: bytes = QUESTION) -> SerialExchange:
    return SerialExchange(layout, UNIT_ASKED, request)


def values(layout: LineLayout, frame: bytes) -> dict[str, Value]:
    told = layout.decode(frame)
    assert all(reason is Reason.NONE for _, reason in told)
    return {spot.field.name: value for spot, (value, _) in zip(layout.spots, told, strict=True)}


def expected(layout: LineLayout) -> dict[str, Value]:
    return {spot.field.name: VALUES[spot.field.name] for spot in layout.spots}


def test_frames_are_as_a_manual_would_print_them() -> None:
    assert built(FIXED)[:8].hex(" ") == "aa 55 07 ff 83 4d 00 02"
    assert built(LENGTH).hex(" ").startswith("02 05 c1 48 00 00 4d")  # 9 bytes in all: 5 and 4
    assert built(CONSTANT)[:12].hex(" ") == "07 04 09 5a 44 4a 43 4d c1 48 00 00"
    assert built(LISTED).startswith(b"$WIND,7,-12.5,D=77deg,m*")
    assert built(PLAIN) == b"-12.5 77\r\n"


@each_layout
def test_whole(layout: LineLayout) -> None:
    exchange = asked(layout)
    exchange.feed(built(layout))
    answer = exchange.take()
    assert answer is not None and answer.frame == answer.data == built(layout)
    assert values(layout, answer.data) == expected(layout)
    assert not exchange.strays and not exchange.rest


@each_layout
def test_one_byte_at_a_time(layout: LineLayout) -> None:
    exchange = asked(layout)
    for byte in built(layout)[:-1]:
        exchange.feed(bytes([byte]))
        assert exchange.take() is None
    assert exchange.conclude() is Reason.TRUNCATED
    exchange.feed(built(layout)[-1:])
    assert exchange.take() is not None


@each_layout
def test_two_glued_frames_give_the_first_and_leave_the_other(layout: LineLayout) -> None:
    exchange = asked(layout)
    exchange.feed(built(layout) + built(layout, level=3.5))
    answer = exchange.take()
    assert answer is not None and answer.frame == built(layout)
    assert exchange.rest == built(layout, level=3.5)


@each_layout
@pytest.mark.parametrize("garbage", [b"\xff\x00\xfe", b"\xaa", b"\x02\x02", b"$WI", b"\x07\x04\x09ZD"])
def test_garbage_before_and_behind(layout: LineLayout, garbage: bytes) -> None:
    before = garbage + (b"" if layout.anchored else layout.end)
    exchange = asked(layout)
    exchange.feed(before + built(layout) + garbage)
    answer = exchange.take(silent=True)
    assert answer is not None and answer.frame == built(layout)
    assert b"".join(stray.data for stray in exchange.strays) == before


@each_layout
def test_truncated_then_a_good_one(layout: LineLayout) -> None:
    half = built(layout)[: len(built(layout)) // 2]
    exchange = asked(layout)
    exchange.feed(half + (b"" if layout.anchored else layout.end) + built(layout))
    answer = exchange.take(silent=True)
    assert answer is not None and answer.frame == built(layout)


@pytest.mark.parametrize("layout", [FIXED, LENGTH, CONSTANT, LISTED])
def test_a_bad_checksum_is_no_answer(layout: LineLayout) -> None:
    frame = bytearray(built(layout))
    frame[-3 - len(layout.end)] ^= 0x01
    exchange = asked(layout)
    exchange.feed(bytes(frame))
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.BAD_CHECKSUM


def test_what_has_no_check_must_at_least_read() -> None:
    exchange = asked(PLAIN)
    exchange.feed(b"12.5 7x\r\n")
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.MALFORMED


@pytest.mark.parametrize("layout", [FIXED, CONSTANT, LISTED])
def test_another_units_frame_is_not_ours(layout: LineLayout) -> None:
    exchange = asked(layout)
    exchange.feed(built(layout, unit="8"))
    assert exchange.take() is None
    assert exchange.conclude() is Reason.WRONG_UNIT
    exchange.feed(built(layout))
    assert exchange.take() is not None


def test_our_own_echo_is_no_answer() -> None:
    question = built(PLAIN, level=1.0)
    exchange = asked(PLAIN, question)
    exchange.feed(question + built(PLAIN))
    answer = exchange.take()
    assert answer is not None and answer.frame == built(PLAIN)
    assert [stray.reason for stray in exchange.strays] == [Reason.ECHO]


def test_who_just_talks_is_met_in_the_middle_of_a_word() -> None:
    exchange = asked(PLAIN, b"")
    assert exchange.request() == b""
    exchange.feed(b"2.5 77\r\n")  # it may have said 112.5
    assert exchange.take(silent=True) is None
    exchange.feed(built(PLAIN))
    answer = exchange.take()
    assert answer is not None and answer.frame == built(PLAIN)


def test_a_word_that_means_no_value() -> None:
    frame = built(LISTED, level=None)
    assert frame.startswith(b"$WIND,7,--,D=77deg,m*")
    assert LISTED.decode(frame) == [(None, Reason.SENSOR_OPEN), (77, Reason.NONE)]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        built(FIXED, level=4000.0)
    narrow = LineLayout(start=b"R", size=6, end=b"\r", spots=(spot("level", "decimal", 1, size=4, digits=0),))
    assert built(narrow, level=480) == b"R0480\r"
    with pytest.raises(ValueError, match="fit"):
        built(narrow, level=12345)


def test_a_length_that_is_too_long_costs_nothing_behind_it() -> None:
    exchange = asked(LENGTH)
    exchange.feed(b"\x02\xff" + built(LENGTH))
    answer = exchange.take(silent=True)
    assert answer is not None and answer.frame == built(LENGTH)


@given(level=st.integers(-9999, 9999), raw=st.integers(0, 255), unit=st.integers(0, 255))
def test_round_trip(level: int, raw: int, unit: int) -> None:
    for layout in LAYOUTS.values():
        said = {"level": level / 8 if layout in (LENGTH, CONSTANT) else level / 10, "raw": raw, "state": raw & 3}
        frame = layout.build(said, str(unit))
        assert values(layout, frame) == {spot.field.name: said[spot.field.name] for spot in layout.spots}
        named = layout.unit_of(frame)
        assert named is None or int(named) == unit


def test_a_babbling_line_does_not_grow() -> None:
    dice = random.Random(3)
    for layout in LAYOUTS.values():
        exchange = asked(layout)
        for _ in range(200):
            exchange.feed(dice.randbytes(300))
            assert len(exchange.rest) <= 4 * LONGEST
        exchange.take(silent=True)
