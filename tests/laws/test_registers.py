"""Values in registers, both directions, held against Python's struct and decimal arithmetic."""

import math
import random
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.profiles import ORDERS, RegisterPoint
from device_profiles.quality import GOOD_CODE
from device_profiles.registers import (
    BAD_ENCODING,
    EXACT,
    NOT_A_NUMBER,
    SENSOR_OPEN,
    byte_positions,
    decode_value,
    encode_value,
)
from device_profiles.spans import BitDecoder, SpanDecoder, compile_span, encode_registers, points_within

INTEGERS = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q"}
FLOATS = {"f32": "f", "f64": "d"}
BOUNDS = {
    kind: (-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)
    for kind, bits in {"u16": 16, "i16": 16, "u32": 32, "i32": 32, "u64": 64, "i64": 64}.items()
}


def a_point(kind: str, **fields: Any) -> RegisterPoint:
    """A point of a type, everything else out of the way."""
    row = {"name": "x", "title": {}, "quantity": "code", "unit": "1", "table": "holding", "address": 0, **fields}
    return RegisterPoint(type=kind, **row)


def on_the_wire(code: str, order: str, number: float) -> bytes:
    """The oracle: struct alone, words and bytes swapped by their definition."""
    size = struct.calcsize(code)
    words = struct.unpack(f">{size // 2}H", struct.pack(">" + code, number))
    if order in ("CDAB", "DCBA"):
        words = words[::-1]
    return struct.pack(("<" if order in ("BADC", "DCBA") else ">") + f"{size // 2}H", *words)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", INTEGERS)
@given(data=st.data())
def test_integers_in_every_order(kind: str, order: str, data: st.DataObject) -> None:
    raw = data.draw(st.integers(*BOUNDS[kind]))
    point = a_point(kind, order=order)
    wire = on_the_wire(INTEGERS[kind], order, raw)
    assert decode_value(point, wire) == (raw, GOOD_CODE)
    assert encode_value(point, raw) == wire


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", FLOATS)
@given(data=st.data())
def test_floats_in_every_order(kind: str, order: str, data: st.DataObject) -> None:
    number = data.draw(st.floats(width=32 if kind == "f32" else 64))
    point = a_point(kind, order=order)
    value, code = decode_value(point, on_the_wire(FLOATS[kind], order, number))
    if math.isfinite(number):
        assert (value, code) == (number, GOOD_CODE)
        assert encode_value(point, number) == on_the_wire(FLOATS[kind], order, number)
    else:
        assert (value, code) == (None, NOT_A_NUMBER)


def test_the_four_orders_by_the_book() -> None:
    """123456.0 is 47 F1 20 00; each order as instruments' manuals print it."""
    for order, wire in {
        "ABCD": "47F12000",
        "CDAB": "200047F1",
        "BADC": "F1470020",
        "DCBA": "0020F147",
    }.items():
        assert encode_value(a_point("f32", order=order), 123456.0).hex().upper() == wire
        assert decode_value(a_point("f32", order=order), bytes.fromhex(wire)) == (123456.0, GOOD_CODE)


@given(st.sampled_from(ORDERS), st.sampled_from((2, 4, 8)))
def test_an_order_is_its_own_inverse_or_its_mirror(order: str, size: int) -> None:
    positions = byte_positions(order, size)
    assert sorted(positions) == list(range(size))
    assert [positions[at] for at in positions] == list(range(size))


@given(
    st.integers(-(1 << 15), (1 << 15) - 1),
    st.sampled_from(["0.1", "0.01", "0.001", "0.5", "10", "-0.1", "1.8", "0.0625", "0.3"]),
    st.sampled_from(["0", "-40", "0.05", "32", "-273.15"]),
)
def test_a_decimal_scale_rounds_once(raw: int, scale: str, offset: str) -> None:
    point = a_point("i16", scale=Fraction(scale), offset=Fraction(offset))
    value, code = decode_value(point, struct.pack(">h", raw))
    assert (value, code) == (float(Decimal(raw) * Decimal(scale) + Decimal(offset)), GOOD_CODE)
    assert encode_value(point, value) == struct.pack(">h", raw)


@given(st.integers(0, 0xFFFF))
def test_sign_and_magnitude(number: int) -> None:
    value, _ = decode_value(a_point("sm16"), number.to_bytes(2, "big"))
    sign = -1 if number >> 15 else 1
    assert value == sign * int(f"{number:016b}"[1:], 2)
    if number != 0x8000:  # minus zero reads as zero and is not written
        assert encode_value(a_point("sm16"), value) == number.to_bytes(2, "big")


@given(st.integers(0, 0xFFFF))
def test_ten_thousand_and_more_is_negative(number: int) -> None:
    value, _ = decode_value(a_point("i16_over_10000"), number.to_bytes(2, "big"))
    assert value == (number if number < 10000 else 10000 - number)
    if number != 10000:  # the other zero
        assert encode_value(a_point("i16_over_10000"), value) == number.to_bytes(2, "big")


@pytest.mark.parametrize(("kind", "digits"), [("bcd16", 4), ("bcd32", 8)])
@given(data=st.data())
def test_binary_coded_decimal(kind: str, digits: int, data: st.DataObject) -> None:
    text = data.draw(st.text("0123456789abcdef", min_size=digits, max_size=digits))
    value, code = decode_value(a_point(kind), bytes.fromhex(text))
    if text.isdecimal():
        assert (value, code) == (int(text), GOOD_CODE)
        assert encode_value(a_point(kind), value) == bytes.fromhex(text)
    else:
        assert (value, code) == (None, BAD_ENCODING)


@given(st.integers(1, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_mask_takes_its_bits_and_gives_them_back(mask: int, word: int) -> None:
    point = a_point("u16", mask=mask)
    value, code = decode_value(point, word.to_bytes(2, "big"))
    lowest = (mask & -mask).bit_length() - 1
    assert (value, code) == ((word & mask) >> lowest, GOOD_CODE)
    assert int.from_bytes(encode_value(point, value), "big") == word & mask


@given(st.integers(0, 0xFFFF), st.lists(st.integers(0, 0xFFFF), max_size=3))
def test_a_sentinel_is_no_value(word: int, sentinels: list[int]) -> None:
    point = a_point("u16", scale=Fraction(1, 10), sentinels=tuple(sentinels))
    value, code = decode_value(point, word.to_bytes(2, "big"))
    assert (value, code) == ((None, SENSOR_OPEN) if word in sentinels else (word / 10, GOOD_CODE))
    if sentinels:
        assert decode_value(point, encode_value(point, None)) == (None, SENSOR_OPEN)


def test_a_sentinel_of_a_signed_point_may_be_written_either_way() -> None:
    for sentinel in (0x7FFF, -32768):
        point = a_point("i16", sentinels=(sentinel,))
        assert decode_value(point, struct.pack(">h", sentinel)) == (None, SENSOR_OPEN)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12), st.sampled_from(ORDERS))
def test_texts(text: str, order: str) -> None:
    point = a_point("string", length=6, order=order, quantity="words")
    assert decode_value(point, encode_value(point, text)) == (text, GOOD_CODE)


@given(st.binary(min_size=8, max_size=8), st.sampled_from(ORDERS))
def test_any_bytes_decode_to_a_value_or_a_reason(data: bytes, order: str) -> None:
    sizes = {"u16": 2, "i16": 2, "bits": 2, "bcd16": 2, "sm16": 2, "i16_over_10000": 2, "u32": 4, "i32": 4, "f32": 4}
    sizes |= {"bcd32": 4, "u64": 8, "i64": 8, "f64": 8}
    for kind, size in sizes.items():
        value, code = decode_value(a_point(kind, order=order), data[:size])
        assert (value is None) == (code != GOOD_CODE)
    value, code = decode_value(a_point("string", length=4, order=order), data)
    assert (value is None) == (code == BAD_ENCODING)


@given(
    st.sampled_from([*INTEGERS, "bcd16", "bcd32", "sm16", "i16_over_10000", "bits", "f32"]),
    st.one_of(st.integers(-(1 << 70), 1 << 70), st.floats(), st.none(), st.text(max_size=3)),
)
def test_what_does_not_fit_is_refused_and_nothing_else_is_raised(kind: str, value: Any) -> None:
    point = a_point(kind)
    try:
        wire = encode_value(point, value)
    except ValueError:
        return
    assert len(wire) == 2 * point.registers


def test_whole_numbers_beyond_a_float_keep_every_digit() -> None:
    for raw in (EXACT + 1, (1 << 64) - 1):
        value, code = decode_value(a_point("u64"), raw.to_bytes(8, "big"))
        assert (value, code) == (raw, GOOD_CODE)
        assert isinstance(value, int)


KINDS = (*INTEGERS, *FLOATS, "bcd16", "bcd32", "bits", "sm16", "i16_over_10000", "string")


@st.composite
def maps(draw: st.DrawFn) -> list[RegisterPoint]:
    """A handful of points of any types, side by side or with holes."""
    points: list[RegisterPoint] = []
    address = draw(st.integers(0, 500))
    for number in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(KINDS))
        scaled = kind not in ("string", "bits") and draw(st.booleans())
        mask = draw(st.integers(1, 0xFFFF)) if kind == "u16" and draw(st.booleans()) else None
        point = a_point(
            kind,
            name=f"p{number}",
            address=address,
            order=draw(st.sampled_from(ORDERS)),
            length=draw(st.integers(1, 5)) if kind == "string" else 1,
            scale=Fraction(draw(st.sampled_from(["0.1", "0.01", "3", "-2"]))) if scaled else Fraction(1),
            offset=Fraction(draw(st.sampled_from(["0", "-40", "0.5"]))) if scaled else Fraction(0),
            mask=mask,
            # a scaled float may round to the raw of its neighbour, a sentinel included: that is not the law's business
            sentinels=(draw(st.sampled_from([0, 1, 0x7FFF])),) if kind not in ("string", *FLOATS) else (),
        )
        points.append(point)
        address += point.registers + draw(st.sampled_from([0, 0, 1, 3]))
    return points


def same(left: Any, right: Any) -> bool:
    """Equal, with a NaN equal to None: a span hands numbers out as floats."""
    if isinstance(left, float) and math.isnan(left):
        left = None
    return bool(left == right)


@given(maps(), st.randoms(use_true_random=False))
def test_a_span_decodes_like_its_points_one_by_one(points: list[RegisterPoint], dice: random.Random) -> None:
    start = points[0].address
    count = points[-1].address + points[-1].registers - start
    data = dice.randbytes(2 * count)
    decoder = compile_span(points, "holding", start, count)
    assert isinstance(decoder, SpanDecoder)
    assert decoder.points == tuple(points)
    values, codes = decoder.decode(data)
    for point, value, code in zip(points, values, codes, strict=True):
        at = 2 * (point.address - start)
        alone = decode_value(point, data[at : at + 2 * point.registers])
        assert code == alone[1]
        assert same(value, alone[0])


@given(maps(), st.integers(0, 520), st.integers(1, 40))
def test_a_span_holds_the_points_that_lie_wholly_inside(points: list[RegisterPoint], start: int, count: int) -> None:
    inside = points_within(points, "holding", start, count)
    for point in points:
        addresses = set(range(point.address, point.address + point.registers))
        assert (point in inside) == (addresses <= set(range(start, start + count)))


@given(maps(), st.randoms(use_true_random=False))
def test_a_profile_runs_backwards(points: list[RegisterPoint], dice: random.Random) -> None:
    """Whatever decodes to good values encodes to registers that decode to the same values."""
    start = points[0].address
    count = points[-1].address + points[-1].registers - start
    decoder = compile_span(points, "holding", start, count)
    values, codes = decoder.decode(dice.randbytes(2 * count))
    good = {p.name: v for p, v, c in zip(decoder.points, values, codes, strict=True) if c == GOOD_CODE}
    try:
        cells = encode_registers(points, good)
    except ValueError:  # a float scaled beyond its own type
        return
    data = b"".join(cells.get(("holding", at), 0).to_bytes(2, "big") for at in range(start, start + count))
    again, _ = decoder.decode(data)
    for point, value in zip(decoder.points, again, strict=True):
        if point.name not in good:
            continue
        if point.type in FLOATS and point.scale != 1:
            assert value == pytest.approx(good[point.name], rel=1e-6, abs=1e-6)
        else:
            assert value == good[point.name]


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_bits_are_counted_from_the_lowest(count: int, dice: random.Random) -> None:
    points = [a_point("bit", name=f"b{at}", table="coil", address=at) for at in range(count)]
    states = [dice.randrange(2) for _ in points]
    cells = encode_registers(points, {point.name: state for point, state in zip(points, states, strict=True)})
    packed = sum(cells["coil", at] << at for at in range(count)).to_bytes((count + 7) // 8, "little")
    decoder = compile_span(points, "coil", 0, count)
    assert isinstance(decoder, BitDecoder)
    assert decoder.decode(packed) == ([float(state) for state in states], bytes(count))
