"""SL 651-2014 frames held against published ones, in both encodings and directions, and against a bad line."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.sl651 import (
    ACK,
    ENDS,
    ENQ,
    EOT,
    ESC,
    ETB,
    ETX,
    LIMIT,
    NAK,
    Frame,
    Reader,
    Sl651Error,
    encode,
    station_bytes,
    station_name,
)
from device_profiles.codecs.sl651_body import Item, Message, Section, format_time, parse_time
from device_profiles.codecs.sl651_messages import (
    confirm,
    deny,
    encode_message,
    function_name,
    parse_message,
    question,
    set_clock,
    split_stations,
)
from device_profiles.codecs.sl651_packets import MOST_ASKED, MOST_BYTES, MOST_MESSAGES, ROUNDS, Assembler, split_frame
from device_profiles.quality import Reason
from tests.laws import sl651_frames as published

GOOD = published.data("timed report")
TEXT = published.data("timed report in ASCII")
STATION = bytes.fromhex("5002360011")

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


# --- what the centre says ---------------------------------------------------------------------------------------------


def test_confirmations_are_the_published_ones() -> None:
    for up, down, stay in (
        ("timed report", "confirmation of a timed report", True),
        ("test report", "confirmation, stay", True),
    ):
        sent = parsed(down).sent
        assert sent is not None
        owed = confirm(parsed(up), sent, stay=stay)
        assert encode(encode_message(owed)) == published.data(down)


@pytest.mark.parametrize(
    ("function", "end", "packet", "stay", "answer"),
    [
        (0x32, ETX, None, False, EOT),
        (0x32, ETX, None, True, ESC),
        (0x32, ETB, None, False, ESC),  # more is to come: the station must not sign off
        (0x38, ETB, None, False, ACK),
        (0x38, ETX, None, False, EOT),
        (0x36, ETX, (3, 3), False, EOT),
    ],
)
def test_how_a_confirmation_ends(
    function: int, end: int, packet: tuple[int, int] | None, stay: bool, answer: int
) -> None:
    message = Message(station=STATION, function=function, serial=7, sent=0, end=end, packet=packet)
    owed = confirm(message, us("2026-11-21T12:00:00"), stay)
    assert (owed.end, owed.serial, owed.down, owed.packet) == (answer, 7, True, packet)


def test_link_keeping_is_not_answered() -> None:
    with pytest.raises(ValueError, match="not answered"):
        confirm(parsed("link keeping"), 0)
    with pytest.raises(ValueError, match="not answered"):
        confirm(parsed("question: now"), 0)


def test_questions_are_the_published_ones() -> None:
    state = parsed("question: state")
    five = parsed("question: five elements")
    period = parsed("question: period")
    clock = parsed("set the clock")
    assert state.sent and five.sent and period.sent and clock.sent
    asked = [
        question(0x46, state.station, state.sent, centre=5, password=0x1234),
        question(0x3A, five.station, five.sent, centre=5, password=0x3E8, elements=[0x1F, 0x20, 0x26, 0x38, 0x39]),
        question(
            0x38,
            period.station,
            period.sent,
            centre=16,
            password=0x1234,
            elements=[0xF4],
            span=("13032410", "13032510"),
            step=bytes(3),
        ),
        set_clock(clock.station, clock.sent, centre=5, password=0x3E8),
    ]
    names = ["question: state", "question: five elements", "question: period", "set the clock"]
    assert [encode(encode_message(one)) for one in asked] == [published.data(name) for name in names]
    assert all(one.end == ENQ for one in asked)


@pytest.mark.parametrize(
    ("function", "more"),
    [(0x32, {}), (0x3A, {}), (0x37, {"elements": [0x39]}), (0x38, {"elements": [0x39]})],
)
def test_a_question_that_is_none(function: int, more: dict[str, list[int]]) -> None:
    with pytest.raises(ValueError, match=r"no question|elements for 38"):
        question(function, STATION, 0, elements=more.get("elements", ()))


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


# --- stations of a relay ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ascii", [False, True])
def test_a_relay_speaks_for_several_stations(ascii: bool) -> None:
    define, data = (-1, b"1.5") if ascii else (0x12, b"\x01\x50")
    items = (Item(element=0x38, define=define, data=data, at=us("2026-11-21T12:00:00")),)
    other = bytes.fromhex("5002360012")
    message = Message(
        station=bytes.fromhex("500236EA61"),
        function=0x32,
        serial=3,
        sent=us("2026-11-21T12:00:05"),
        sections=(Section(items=items, station=STATION, kind=80), Section(items=items, station=other, kind=72)),
        ascii=ascii,
    )
    back = parse_message(read(encode(encode_message(message))))
    assert back == message
    assert [one.station for one in split_stations(back)] == [STATION, other]
    assert [one.sections for one in split_stations(back)] == [(message.sections[0],), (message.sections[1],)]


# --- packets ----------------------------------------------------------------------------------------------------------


def packets(count: int, size: int = 10, serial: int = 5) -> list[Frame]:
    body = serial.to_bytes(2, "big") + bytes.fromhex("261121200000") + bytes(count * size - 8)
    return split_frame(Frame(station=STATION, function=0x36, body=body), size)


def test_packets_are_put_together_by_number() -> None:
    parts = packets(5)
    assert [(part.packet, part.end) for part in parts][-2:] == [((5, 4), ETB), ((5, 5), ETX)]
    assembler = Assembler()
    order = [parts[2], parts[0], parts[1], parts[3], parts[0], parts[4]]
    whole = [assembler.add(part).whole for part in order]
    assert whole[:-1] == [None] * 5
    assert whole[-1] is not None
    assert whole[-1].body == b"".join(part.body for part in parts)
    assert whole[-1].packet == (5, 5)
    assert assembler.held == 0


def test_the_last_packet_brings_the_numbers_that_are_missing() -> None:
    parts, assembler = packets(6), Assembler()
    for place in (0, 2, 4):
        assert assembler.add(parts[place]).missing == ()
    gathered = assembler.add(parts[5])
    assert gathered.missing == (2, 4)
    denials = [deny(parts[5], gathered.first, number, us("2026-11-21T12:00:00")) for number in gathered.missing]
    assert [(one.packet, one.end, one.serial) for one in denials] == [((6, 2), NAK, 5), ((6, 4), NAK, 5)]
    back = parse_message(read(encode(encode_message(denials[0]))))
    assert back == denials[0]
    assert assembler.add(parts[1]) == assembler.add(parts[1])  # the first of those asked for: nothing to say yet
    assert assembler.add(parts[3]).whole is not None


def test_a_packet_that_stays_away_is_asked_for_twice_more() -> None:
    parts, assembler = packets(3), Assembler()
    assembler.add(parts[0])
    asked = [assembler.add(parts[2]).missing for _ in range(ROUNDS + 1)]
    assert asked == [(2,)] * ROUNDS + [()]
    assert assembler.held == 0
    assert assembler.rejects.counts == {Reason.TRUNCATED.word: 1}


def test_a_new_first_packet_begins_a_new_message() -> None:
    assembler = Assembler()
    assembler.add(packets(3)[0])
    for part in packets(3, serial=6)[:2]:
        assembler.add(part)
    whole = assembler.add(packets(3, serial=6)[2]).whole
    assert whole is not None
    assert parse_message(whole).serial == 6
    assert assembler.rejects.counts == {Reason.TRUNCATED.word: 1}


def test_packets_are_bounded() -> None:
    big = Frame(station=STATION, function=0x36, body=bytes(4000), packet=(4095, 1))
    assembler = Assembler()
    for number in range(1, 4095):
        assembler.add(msgspec.structs.replace(big, packet=(4095, number)))
        assert assembler.held <= MOST_BYTES
    assert Reason.OVERSIZED.word in assembler.rejects.counts
    for function in range(20):
        assembler.add(msgspec.structs.replace(big, function=function, packet=(9, 1)))
    assert assembler.held <= MOST_MESSAGES * 4000
    last = msgspec.structs.replace(big, function=1, packet=(4095, 4095))
    assert len(assembler.add(last).missing) == MOST_ASKED
    assembler.flush()
    assert assembler.held == 0


@pytest.mark.parametrize("ascii", [False, True])
@given(body=st.binary(min_size=1, max_size=2000), room=st.integers(1, 400))
def test_any_body_survives_being_cut(ascii: bool, body: bytes, room: int) -> None:
    whole = Frame(station=STATION, function=0x36, body=body, ascii=ascii)
    reader, assembler = Reader(), Assembler()
    frames = reader.feed(b"".join(encode(part) for part in split_frame(whole, room)))
    gathered = [assembler.add(frame).whole for frame in frames]
    assert gathered[-1] is not None
    assert gathered[-1].body == body
