"""What the centre of SL 651-2014 says, relays that speak for several stations, and long messages in packets (M3)."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.sl651 import ACK, ENQ, EOT, ESC, ETB, ETX, NAK, Frame, Reader, encode
from device_profiles.codecs.sl651_body import Item, Message, Section
from device_profiles.codecs.sl651_messages import (
    confirm,
    deny,
    encode_message,
    parse_message,
    question,
    set_clock,
    split_stations,
)
from device_profiles.codecs.sl651_packets import (
    MOST_ASKED,
    MOST_BYTES,
    MOST_MESSAGES,
    ROUNDS,
    WAIT_US,
    Assembler,
    split_frame,
)
from device_profiles.quality import Reason
from tests.laws import sl651_frames as published

STATION = bytes.fromhex("5002360011")


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


def read(data: bytes) -> Frame:
    reader = Reader()
    (frame,) = reader.feed(data)
    assert not reader.rejects
    return frame


def parsed(name: str) -> Message:
    return parse_message(read(published.data(name)))


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
    whole = [assembler.add(part, 0).whole for part in order]
    assert whole[:-1] == [None] * 5
    assert whole[-1] is not None
    assert whole[-1].body == b"".join(part.body for part in parts)
    assert whole[-1].packet == (5, 5)
    assert assembler.held == 0


def test_the_last_packet_brings_the_numbers_that_are_missing() -> None:
    parts, assembler = packets(6), Assembler()
    for place in (0, 2, 4):
        assert assembler.add(parts[place], 0).missing == ()
    gathered = assembler.add(parts[5], 0)
    assert gathered.missing == (2, 4)
    denials = [deny(parts[5], gathered.first, number, us("2026-11-21T12:00:00")) for number in gathered.missing]
    assert [(one.packet, one.end, one.serial) for one in denials] == [((6, 2), NAK, 5), ((6, 4), NAK, 5)]
    back = parse_message(read(encode(encode_message(denials[0]))))
    assert back == denials[0]
    assert assembler.add(parts[1], 0) == assembler.add(parts[1], 0)  # the first of those asked for: nothing to say yet
    assert assembler.add(parts[3], 0).whole is not None


def test_a_packet_that_stays_away_is_asked_for_twice_more() -> None:
    parts, assembler = packets(3), Assembler()
    assembler.add(parts[0], 0)
    asked = [assembler.add(parts[2], 0).missing for _ in range(ROUNDS + 1)]
    assert asked == [(2,)] * ROUNDS + [()]
    assert assembler.held == 0
    assert assembler.rejects.counts == {Reason.TRUNCATED.word: 1}


def test_without_the_first_packet_nothing_is_asked_for() -> None:
    """Only that one has the serial number, and without it nobody knows what the others belong to."""
    parts, assembler = packets(3), Assembler()
    assembler.add(parts[1], 0)
    assert assembler.add(parts[2], 0).missing == ()
    assert assembler.held == 0
    assert assembler.rejects.counts == {Reason.TRUNCATED.word: 1}


def test_packets_of_two_messages_are_never_put_together() -> None:
    """A1 A2, A3 lost; B1 lost, B2 B3: no packet but the first says which message it is."""
    one = split_frame(Frame(station=STATION, function=0x31, body=b"\0\1AAAAAAAAAA"), 4)
    two = split_frame(Frame(station=STATION, function=0x31, body=b"\0\2BBBBBBBBBB"), 4)
    assembler = Assembler()
    assert [assembler.add(part, 0).whole for part in (one[0], one[1], two[1], two[2])] == [None] * 4
    assembler.add(one[0], 0)
    assembler.add(one[1], 0)
    assert assembler.add(two[2], WAIT_US + 1).whole is None
    assembler.add(one[0], WAIT_US * 2)
    assembler.add(one[1], WAIT_US * 2)
    assert assembler.add(one[2], WAIT_US * 3).whole is not None


def test_a_new_first_packet_begins_a_new_message() -> None:
    assembler = Assembler()
    assembler.add(packets(3)[0], 0)
    for part in packets(3, serial=6)[:2]:
        assembler.add(part, 0)
    whole = assembler.add(packets(3, serial=6)[2], 0).whole
    assert whole is not None
    assert parse_message(whole).serial == 6
    assert assembler.rejects.counts == {Reason.TRUNCATED.word: 1}


def test_packets_are_bounded() -> None:
    big = Frame(station=STATION, function=0x36, body=bytes(4000), packet=(4095, 1))
    assembler = Assembler()
    for number in range(1, 4095):
        assembler.add(msgspec.structs.replace(big, packet=(4095, number)), 0)
        assert assembler.held <= MOST_BYTES
    assert Reason.OVERSIZED.word in assembler.rejects.counts
    for function in range(20):
        assembler.add(msgspec.structs.replace(big, function=function, packet=(9, 1)), 0)
    assert assembler.held <= MOST_MESSAGES * 4000
    assembler.add(msgspec.structs.replace(big, function=1, packet=(4095, 1)), 0)
    last = msgspec.structs.replace(big, function=1, packet=(4095, 4095))
    assert len(assembler.add(last, 0).missing) == MOST_ASKED
    assembler.flush()
    assert assembler.held == 0


@pytest.mark.parametrize("ascii", [False, True])
@given(body=st.binary(min_size=1, max_size=2000), room=st.integers(1, 400))
def test_any_body_survives_being_cut(ascii: bool, body: bytes, room: int) -> None:
    whole = Frame(station=STATION, function=0x36, body=body, ascii=ascii)
    reader, assembler = Reader(), Assembler()
    frames = reader.feed(b"".join(encode(part) for part in split_frame(whole, room)))
    gathered = [assembler.add(frame, 0).whole for frame in frames]
    assert gathered[-1] is not None
    assert gathered[-1].body == body
