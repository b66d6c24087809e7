"""Described payloads: fields by position, tagged items and printed ones, both directions; checks and their oracles."""

import binascii
import zlib
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from device_profiles.codecs.payload import build_ack, compile_layout
from device_profiles.codecs.payload_checks import CHECKS
from device_profiles.codecs.payload_fields import SIZES, Field, encode_value, read_raw, value_of
from device_profiles.codecs.payload_layout import (
    Check,
    Layout,
    Length,
    Moment,
    PayloadError,
    What,
    read_moment,
    write_moment,
)
from device_profiles.quality import Reason

IMEI = "861234050123456"

BINARY = Layout(
    start=b"\xaa\x55",
    end=b"\x0d",
    length=Length(Field(name="length", type="u8", place=2), add=3),
    message=Field(name="message", type="u8", place=3),
    known=(1, 2),
    id=Field(name="id", type="bcd", size=8, digits=15, place=4),
    count=Field(name="count", type="u16", place=12),
    moment=Moment(Field(name="time", type="u32", place=14)),
    check=Check("crc16_modbus", little=True),
    fields=(
        Field(name="tilt", type="i16", scale=Fraction(1, 10), sentinels=(0x7FFF,)),
        Field(name="water", type="u8", mask=0x01),
        Field(name="mode", type="u8", mask=0x06, place=20),
        Field(name="battery", type="u16", scale=Fraction(1, 1000), little=True),
        Field(name="pressure", type="f32", messages=(2,)),
    ),
    ack=(b"\xaa\x55", "$message", "$id", "$count", "$check"),
)
VALUES = {"tilt": -12.5, "water": 1, "mode": 2, "battery": 3.6}
SAID = What(id=IMEI, count=77, at=1_795_262_400_000_000, message=1)


def test_fields_by_position() -> None:
    codec = compile_layout(BINARY)
    data = codec.build(VALUES, SAID)
    assert data.hex(" ").upper() == (
        "AA 55 17 01 08 61 23 40 50 12 34 56 00 4D 6B 01 87 C0 FF 83 05 10 0E " + data[-3:].hex(" ").upper()
    )
    parsed = codec.parse(data)
    assert (parsed.message, parsed.id, parsed.count, parsed.at) == (1, IMEI, 77, SAID.at)
    assert parsed.values == VALUES
    assert build_ack(BINARY, parsed)[:-2] == bytes.fromhex("AA55 01 0861234050123456 004D".replace(" ", ""))
    assert CHECKS["crc16_modbus"][1](build_ack(BINARY, parsed)) == 0  # over its own check, low byte first


def test_a_type_of_message_has_fields_of_its_own() -> None:
    codec = compile_layout(BINARY)
    what = What(id=IMEI, count=1, at=SAID.at, message=2)
    assert codec.parse(codec.build({**VALUES, "pressure": 1.5}, what)).values == {**VALUES, "pressure": 1.5}
    with pytest.raises(ValueError, match="no message 3"):
        codec.build(VALUES, What(id=IMEI, message=3))


def with_check(body: bytes) -> bytes:
    return body + CHECKS["crc16_modbus"][1](body).to_bytes(2, "little") + b"\x0d"


def test_an_undescribed_type_of_message_is_kept() -> None:
    data = bytearray(compile_layout(BINARY).build(VALUES, SAID)[:-3])
    data[3] = 9
    parsed = compile_layout(BINARY).parse(with_check(bytes(data)))
    assert (parsed.id, parsed.values, list(parsed.unknown)) == (IMEI, {}, ["message 9"])


def test_what_stands_behind_is_kept() -> None:
    data = bytearray(compile_layout(BINARY).build(VALUES, SAID)[:-3]) + b"\x01\x02"
    data[2] += 2
    assert compile_layout(BINARY).parse(with_check(bytes(data))).unknown == {"rest": "0102"}


def test_one_wrong_byte_is_noticed() -> None:
    data = compile_layout(BINARY).build(VALUES, SAID)
    reasons = set()
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x5A
        with pytest.raises(PayloadError) as trouble:
            compile_layout(BINARY).parse(bytes(broken))
        reasons.add(trouble.value.reason)
    assert reasons == {Reason.NOISE, Reason.TRUNCATED, Reason.BAD_CHECKSUM}


def test_every_cut_is_noticed() -> None:
    data = compile_layout(BINARY).build(VALUES, SAID)
    for size in range(len(data)):
        with pytest.raises(PayloadError):
            compile_layout(BINARY).parse(data[:size])
    with pytest.raises(PayloadError) as trouble:
        compile_layout(BINARY).parse(bytes(3000))
    assert trouble.value.reason is Reason.OVERSIZED


def test_no_value_is_no_zero() -> None:
    codec = compile_layout(BINARY)
    parsed = codec.parse(codec.build({**VALUES, "tilt": None}, SAID))
    assert (parsed.values["tilt"], parsed.reasons) == (None, {"tilt": Reason.SENSOR_OPEN})
    with pytest.raises(ValueError, match="no sentinel"):
        codec.build({**VALUES, "battery": None}, SAID)


TAGGED = Layout(
    form="tlv",
    constants=((4, b"\x01"),),
    id=Field(name="id", type="ascii", size=4, place=0),
    count=Field(name="count", type="u8", tag=0x09),
    fields=(
        Field(name="serial", type="hex", size=2, place=5),
        Field(name="temperature", type="i16", tag=0x01, scale=Fraction(1, 10)),
        Field(name="label", type="ascii", size=3, tag=0x02),
    ),
)


def test_tagged_items() -> None:
    codec = compile_layout(TAGGED)
    data = codec.build({"serial": "BEEF", "temperature": -4.5, "label": "abc"}, What(id="dev1", count=3))
    assert data == b"dev1\x01\xbe\xef" + bytes.fromhex("090103 0102FFD3 0203616263".replace(" ", ""))
    parsed = codec.parse(data + bytes.fromhex("7701FF"))
    assert parsed.values == {"serial": "BEEF", "temperature": -4.5, "label": "abc"}
    assert (parsed.count, parsed.unknown) == (3, {"0x77": "FF"})
    assert codec.parse(data[:7]).values == {"serial": "BEEF"}
    for wrong in (data[:-1], data + b"\x01", b"dev1\x02\xbe\xef"):
        with pytest.raises(PayloadError):
            codec.parse(wrong)


def test_printed_items() -> None:
    """The published production test of a manhole cover's BC28 board: one $KEY:value# a line."""
    layout = Layout(
        form="text",
        between="\r\n",
        id=Field(name="id", type="ascii", key="ID"),
        fields=(
            Field(name="battery", type="decimal", digits=2, key="VOL"),
            Field(name="tilt", type="decimal", digits=1, key="ANGLE"),
            Field(name="state", type="hexnumber", size=2, key="BTI"),
        ),
    )
    data = b"$ID:021F0184#\r\n$VOL:3.46#\r\n$ANGLE:180.0#\r\n$BTI:02#"
    codec = compile_layout(layout)
    parsed = codec.parse(data)
    assert (parsed.id, parsed.values) == ("021F0184", {"battery": 3.46, "tilt": 180, "state": 2})
    assert codec.build(parsed.values, What(id=parsed.id)) == data
    assert codec.parse(data + b"\r\n$NEW:1#\r\n").unknown == {"NEW": "1"}
    broken = codec.parse(data.replace(b"3.46", b"3,46"))
    assert (broken.values["battery"], broken.reasons) == (None, {"battery": Reason.BAD_ENCODING})
    for wrong in (b"", b"hello", data + b"x", b"$ID#", b"\xff" + data, data.replace(b"$ID:021F0184#\r\n", b"")):
        with pytest.raises(PayloadError):
            codec.parse(wrong)


# --- fields ---------------------------------------------------------------------------------------------------------


RANGES = {
    **{f"u{8 * n}": (0, (1 << 8 * n) - 1) for n in (1, 2, 3, 4, 8)},
    **{f"i{8 * n}": (-(1 << 8 * n - 1), (1 << 8 * n - 1) - 1) for n in (1, 2, 3, 4, 8)},
    **{f"sm{8 * n}": (1 - (1 << 8 * n - 1), (1 << 8 * n - 1) - 1) for n in (1, 2, 4)},
    "bcd": (0, 999_999),
}


@given(st.sampled_from(sorted(RANGES)), st.booleans(), st.sampled_from(["1", "0.1", "0.005", "3"]), st.data())
def test_numbers_survive(kind: str, little: bool, scale: str, data: st.DataObject) -> None:
    raw = data.draw(st.integers(*RANGES[kind]))
    assume(abs(raw) < 1 << 50)
    field = Field(name="x", type=kind, size=3 if kind == "bcd" else 0, little=little, scale=Fraction(scale))
    value = float(raw * Fraction(scale))
    wire = encode_value(field, value)
    assert len(wire) == field.width
    assert value_of(field, read_raw(field, wire)) == (value, Reason.NONE)


@pytest.mark.parametrize("kind", sorted(RANGES))
def test_numbers_beyond_are_refused(kind: str) -> None:
    low, high = RANGES[kind]
    field = Field(name="x", type=kind, size=3 if kind == "bcd" else 0)
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match="does not fit"):
            encode_value(field, value)


def test_what_the_types_mean() -> None:
    for kind, wire, raw in (
        ("sm8", "85", -5), ("sm16", "8005", -5), ("i24", "FFFFFB", -5),
        ("bcd", "123456", 123456), ("bcd", "12345A", None),
        ("f32", "41F80000", 31.0), ("hex", "00BEEF", "00BEEF"), ("ascii", "41420000", "AB"), ("ascii", "FF", None),
        ("decimal", "2D332E3436", Fraction("-3.46")), ("decimal", "312F32", None), ("hexnumber", "3634", 100),
    ):  # fmt: skip
        data = bytes.fromhex(wire)
        assert read_raw(Field(name="x", type=kind, size=0 if SIZES[kind] else len(data)), data) == raw
    assert value_of(Field(name="x", type="f32"), float("inf")) == (None, Reason.NOT_A_NUMBER)


@given(st.integers(0, (1 << 32) - 1).filter(bool))
def test_moments_survive(seconds: int) -> None:
    unix = Moment(Field(name="t", type="u32", place=0))
    assert read_moment(unix, write_moment(unix, seconds * 1_000_000)) == seconds * 1_000_000
    fine = Moment(Field(name="t", type="u64", place=0), "unix_ms")
    assert read_moment(fine, write_moment(fine, seconds * 1_000_000 + 7000)) == seconds * 1_000_000 + 7000


def test_local_time_in_bcd() -> None:
    local = Moment(Field(name="t", type="bcd", size=6, place=0), "ymdhms", 480)
    at = 1_795_230_245_000_000  # 2026-11-21T03:04:05Z
    assert write_moment(local, at).hex() == "261121110405"
    assert read_moment(local, bytes.fromhex("261121110405")) == at
    assert read_moment(local, bytes.fromhex("261321110405")) is None
    assert read_moment(local, bytes(6)) is None
    assert read_moment(Moment(Field(name="t", type="u32", place=0)), bytes(4)) is None  # never set


# --- checks ---------------------------------------------------------------------------------------------------------


def bitwise(data: bytes, width: int, polynomial: int, start: int, reflected: bool) -> int:
    """A CRC by its definition, bit by bit."""
    register, full = start, (1 << width) - 1
    for byte in data:
        for bit in range(8) if reflected else range(7, -1, -1):
            out = (register & 1 if reflected else register >> width - 1) ^ (byte >> bit & 1)
            register = (register >> 1 if reflected else register << 1) & full
            register ^= polynomial if out else 0
    return register


@given(st.binary(max_size=40))
def test_checks_by_their_definitions(data: bytes) -> None:
    found = {name: check(data) for name, (_, check) in CHECKS.items()}
    assert found == {
        "sum8": sum(data) % 256,
        "neg8": -sum(data) % 256,
        "xor8": _xor(data),
        "sum16": sum(data) % 65536,
        "crc8": bitwise(data, 8, 0x07, 0, False),
        "crc8_maxim": bitwise(data, 8, 0x8C, 0, True),
        "crc16_modbus": bitwise(data, 16, 0xA001, 0xFFFF, True),
        "crc16_ccitt": bitwise(data, 16, 0x1021, 0xFFFF, False),
        "crc16_xmodem": binascii.crc_hqx(data, 0),
        "crc32": zlib.crc32(data),
    }


def _xor(data: bytes) -> int:
    found = 0
    for byte in data:
        found ^= byte
    return found


def test_checks_of_the_catalogue() -> None:
    """The check values of "123456789" in the CRC catalogue (reveng)."""
    wanted = {"crc8": 0xF4, "crc8_maxim": 0xA1, "crc16_modbus": 0x4B37, "crc16_ccitt": 0x29B1, "crc16_xmodem": 0x31C3}
    assert {name: CHECKS[name][1](b"123456789") for name in wanted} == wanted
