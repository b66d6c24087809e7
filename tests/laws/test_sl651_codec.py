"""SL 651-2014 frames held against published ones, in both encodings and directions, and against a bad line."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.sl651 import (
    ENDS,
    ESC,
    ETB,
    ETX,
    LIMIT,
    Frame,
    Reader,
    Sl651Error,
    encode,
    station_bytes,
    station_name,
)
from device_profiles.codecs.sl651_body import Message, format_time, parse_time
from device_profiles.codecs.sl651_messages import encode_message, function_name, parse_message
from device_profiles.quality import Reason
from tests.laws import sl651_frames as published

GOOD = published.data("timed report")
TEXT = published.data("timed report in ASCII")

each_frame = pytest.mark.parametrize("name", published.ALL)


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


def bitwise_crc(data: bytes) -> int:
    """CRC-16 by its polynomial (H.3.2), not by the table under test."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


def read(data: bytes) -> Frame:
    reader = Reader()
    (frame,) = reader.feed(data)
    assert not reader.rejects
    assert reader.held == 0
    return frame


def parsed(name: str) -> Message:
    return parse_message(read(published.data(name)))


# --- published frames -------------------------------------------------------------------------------------------------


@each_frame
def test_a_published_frame_is_read_and_said_again(name: str) -> None:
    data = published.data(name)
    frame = read(data)
    assert encode(frame) == data
    assert frame.down == (name in published.DOWN)
    if not frame.ascii:
        assert bitwise_crc(data[:-2]) == int.from_bytes(data[-2:], "big")  # high byte first (table 20)


@each_frame
def test_a_published_body_is_read_and_said_again(name: str) -> None:
    frame = read(published.data(name))
    if frame.packet is None:
        assert encode_message(parse_message(frame)) == frame


@each_frame
def test_fed_one_byte_at_a_time(name: str) -> None:
    reader, data = Reader(), published.data(name)
    for byte in data[:-1]:
        assert reader.feed(bytes([byte])) == []
    (frame,) = reader.feed(data[-1:])
    assert encode(frame) == data


def test_the_heads_of_both_directions() -> None:
    up, down = read(GOOD), read(published.data("confirmation of a timed report"))
    assert (up.centre, up.station.hex(), up.password, up.function, up.end) == (5, "0011223344", 0x03E8, 0x32, ETX)
    assert (down.centre, down.station, down.password, down.end) == (up.centre, up.station, up.password, ESC)


def test_what_a_message_says() -> None:
    message = parsed("timed report")
    assert (message.serial, message.sent) == (0x34, us("2017-07-18T03:00:16"))
    (section,) = message.sections
    assert (section.station.hex(), section.kind) == ("0011223344", ord("H"))
    assert [(item.element, item.define, item.data.hex()) for item in section.items] == [
        (0x20, 0x19, "000040"),
        (0x26, 0x19, "000040"),
        (0x39, 0x23, "00010490"),
        (0x38, 0x12, "1099"),
    ]
    assert {item.at for item in section.items} == {us("2017-07-18T03:00:00")}


def test_extensions_are_not_an_element_ff() -> None:
    message = parsed("timed report with extensions")
    assert [(item.element, item.data.hex()) for item in message.items][-2:] == [(0xFF09, "20"), (0xFF33, "0205")]


def test_each_observation_time_holds_for_what_follows_it() -> None:
    message = parsed("hourly report, two observation times")
    times = {item.element: item.at for item in message.items}
    assert times == {
        0xF5: us("2026-06-30T21:05:00"),
        0x39: us("2026-06-30T22:00:00"),
        0x38: us("2026-06-30T22:00:00"),
    }


def test_the_ascii_encoding() -> None:
    frame = read(TEXT)
    assert (frame.ascii, frame.centre, frame.station.hex(), frame.function) == (True, 1, "5010123456", 0x32)
    assert frame.body == b"0001260909080000ST 5010123456 H TT 2609090800 Z 6.38 VT 12.50 "
    assert [(item.element, item.data) for item in parse_message(frame).items] == [(0x39, b"6.38"), (0x38, b"12.50")]


def test_manual_text_and_pictures_go_to_the_end() -> None:
    assert parsed("manual entry").text == b"Q 1.234"
    frame = read(published.data("picture, first packet"))
    assert frame.packet == (13, 1)
    assert frame.end == ETB
    message = parse_message(msgspec.structs.replace(frame, packet=None))
    assert message.picture is not None
    assert message.picture.startswith(b"\xff\xd8\xff\xe0")  # a JPEG
    assert message.seen == parse_time("5910111611")


def test_what_is_not_made_of_elements_is_kept_as_it_is() -> None:
    assert parsed("answer: software version").rest[1:] == b"DATA86-SW-V1.2(H)"
    assert parsed("answer: state").sections[0].kind == 0  # table 60: no class


def test_functions_have_names() -> None:
    assert function_name(0x33)[1] == "additional report (event)"
    assert function_name(0xE7)[1] == "user-defined E7"
    assert function_name(0x60)[1] == "reserved 60"


# --- stations and times -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wire", "again"),
    [
        ("12345678", "0012345678", "12345678"),
        ("50023600017", "5002360011", "50023600017"),  # table 14: the number is HEX on the wire
        ("5002360011", "5002360011", "50023600017"),
        ("00303A9006", "00303A9006", "303A9006"),
    ],
)
def test_station_addresses(name: str, wire: str, again: str) -> None:
    assert station_bytes(name) == bytes.fromhex(wire)
    assert station_name(bytes.fromhex(wire)) == again


@pytest.mark.parametrize("name", ["", "123", "5002369999x", "50023699999", "１２３４５６７８"])
def test_what_is_no_station(name: str) -> None:
    with pytest.raises(ValueError, match="no station"):
        station_bytes(name)


@given(st.datetimes(datetime(2000, 1, 1, 8), datetime(2099, 12, 31), timezones=st.just(UTC)))
def test_times_are_china_standard_time(moment: datetime) -> None:
    at = int(moment.replace(microsecond=0).timestamp()) * 1_000_000
    assert parse_time(format_time(at)) == at
    assert format_time(at, 10) == format_time(at)[:10]


@pytest.mark.parametrize(
    "digits", ["000000000000", "171318110016", "FFFFFFFFFF", "17071811001", "17071811", "１７０７１８１１００"]
)
def test_what_is_no_time(digits: str) -> None:
    assert parse_time(digits) is None


def test_a_year_that_two_digits_cannot_say() -> None:
    with pytest.raises(ValueError, match="1970"):
        format_time(0)


# --- a bad line -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [GOOD, TEXT], ids=["hex", "ascii"])
def test_glued_frames_and_garbage_around_them(data: bytes) -> None:
    reader = Reader()
    assert len(reader.feed(data + data + b"\x00\x7e\x01zz" + data + b"rubbish")) == 3
    assert reader.flush() == []
    assert reader.held == 0
    assert reader.rejects.size == len(b"\x00\x7e\x01zzrubbish")


@pytest.mark.parametrize("data", [GOOD, TEXT], ids=["hex", "ascii"])
@pytest.mark.parametrize("cut", [1, 5, 20, -1])
def test_a_truncated_frame_does_not_take_the_next_one_with_it(data: bytes, cut: int) -> None:
    reader = Reader()
    found = reader.feed(data[:cut]) + reader.feed(data) + reader.flush()
    assert [encode(frame) for frame in found] == [data]
    assert reader.rejects or data[:cut] == b"\x7e"


@pytest.mark.parametrize("data", [GOOD, TEXT], ids=["hex", "ascii"])
def test_no_damaged_byte_passes(data: bytes) -> None:
    """A flipped bit anywhere: the frame is refused, accounted for, and the good one behind it found."""
    for place in range(len(data)):
        bad = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        reader = Reader()
        found = reader.feed(bad + data) + reader.flush()
        assert data in [encode(frame) for frame in found]
        assert reader.rejects


def test_a_length_that_is_too_long_is_given_up_when_the_line_falls_silent() -> None:
    bad = GOOD[:11] + b"\x0f\xff" + GOOD[13:]
    reader = Reader()
    assert reader.feed(bad + GOOD) == []  # that many bytes may still come …
    assert [encode(frame) for frame in reader.flush()] == [GOOD]
    assert reader.rejects.counts == {Reason.TRUNCATED.word: 1}


def test_the_check_is_sent_high_byte_first() -> None:
    reader = Reader()
    assert reader.feed(GOOD[:-2] + GOOD[:-3:-1]) == []
    assert reader.rejects.counts == {Reason.BAD_CHECKSUM.word: 1}


def test_start_marks_inside_data() -> None:
    frame = msgspec.structs.replace(read(GOOD), body=bytes.fromhex("7E7E1707181100167E7E0102"))
    reader = Reader()
    assert reader.feed(encode(frame) * 2) == [frame, frame]
    assert not reader.rejects


def test_a_mark_between_frames_is_no_noise() -> None:
    """Stations of Fujian end a frame with 7E."""
    reader = Reader()
    assert len(reader.feed(GOOD + b"\x7e" + GOOD + b"\x7e\r\n" + GOOD)) == 3
    assert not reader.rejects


FRAMES = st.builds(
    Frame,
    station=st.binary(min_size=5, max_size=5),
    function=st.integers(0, 255),
    body=st.binary(min_size=1, max_size=300),
    centre=st.integers(0, 255),
    password=st.integers(0, 0xFFFF),
    down=st.booleans(),
    end=st.sampled_from(sorted(ENDS)),
    packet=st.none() | st.integers(1, LIMIT).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))),
    ascii=st.booleans(),
)


@given(FRAMES, st.integers(0, 400))
def test_every_frame_survives_the_wire(frame: Frame, cut: int) -> None:
    data = encode(frame)
    reader = Reader()
    assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == [frame]
    assert not reader.rejects


@pytest.mark.parametrize(
    "change",
    [{"body": b""}, {"body": bytes(LIMIT + 1)}, {"station": b"1234"}, {"packet": (2, 3)}, {"packet": (4096, 1)}],
)
def test_a_frame_that_cannot_be_said(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"bytes|packet"):
        encode(msgspec.structs.replace(read(GOOD), **change))


def test_a_body_without_serial_and_time_says_nothing() -> None:
    for frame in (read(GOOD), read(TEXT)):
        with pytest.raises(Sl651Error):
            parse_message(msgspec.structs.replace(frame, body=frame.body[:7]))
