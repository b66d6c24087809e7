"""The GB/T 26875.3 codec there and back, and what a bad line does to it (hostile bytes: the fuzz)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.gb26875 import (
    LIMIT,
    Command,
    Frame,
    Gb26875Error,
    Reader,
    answer,
    encode,
    write_time,
)
from device_profiles.codecs.gb26875_objects import (
    Clock,
    Object,
    Order,
    PartConfig,
    PartState,
    PartValue,
    ReadPart,
    ReadSystem,
    ReadSystemRecords,
    ReadTransmitterRecords,
    SystemConfig,
    SystemOperation,
    SystemState,
    SystemTime,
    SystemVersion,
    TransmitterConfig,
    TransmitterOperation,
    TransmitterState,
    TransmitterVersion,
)
from device_profiles.codecs.gb26875_units import LAYOUTS, Unit, encode_unit, parse_unit
from device_profiles.quality import Reason

THEN = bytes((2, 58, 9, 26, 9, 12))
TAG = bytes((4, 0, 9, 2, 7, 21))
HEAD = "40 40 01 00 01 01 23 3A 09 1A 09 0C 38 5B 01 00 00 00 79 03 00 00 00 00"
ACK, DENIED = f"{HEAD} 00 00 03 AB 23 23", f"{HEAD} 00 00 06 AE 23 23"
UP = "40 40 01 00 01 01 20 3A 09 1A 09 0C 79 03 00 00 00 00 38 5B 01 00 00 00"
ANSWERED = f"{UP} 0A 00 02 18 01 20 01 02 3A 09 1A 09 0C 5F 23 23"
"""ActorLancer/GB-T-26875.3.2011-rs, GB26875文档.md: confirmed, denied, and the post check answered."""

# --- round trips -----------------------------------------------------------------------------------------------------

BYTE, WORD, ADDRESS = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF_FFFF)
SIGNED = st.integers(-0x8000, 0x7FFF)
TIME = st.binary(min_size=6, max_size=6)
TEXT = st.binary(min_size=31, max_size=31)
OBJECTS: dict[int, st.SearchStrategy[Object]] = {
    1: st.builds(SystemState, BYTE, BYTE, WORD, TIME),
    2: st.builds(PartState, BYTE, BYTE, BYTE, ADDRESS, WORD, TEXT, TIME),
    3: st.builds(PartValue, BYTE, BYTE, BYTE, ADDRESS, BYTE, SIGNED, TIME),
    4: st.builds(SystemOperation, BYTE, BYTE, BYTE, BYTE, TIME),
    5: st.builds(SystemVersion, BYTE, BYTE, BYTE, BYTE),
    6: st.builds(SystemConfig, BYTE, BYTE, st.binary(max_size=60)),
    7: st.builds(PartConfig, BYTE, BYTE, BYTE, ADDRESS, TEXT),
    8: st.builds(SystemTime, BYTE, BYTE, TIME),
    21: st.builds(TransmitterState, BYTE, TIME),
    24: st.builds(TransmitterOperation, BYTE, BYTE, TIME),
    25: st.builds(TransmitterVersion, BYTE, BYTE),
    26: st.builds(TransmitterConfig, st.binary(max_size=60)),
    28: st.builds(Clock, TIME),
    64: st.builds(ReadSystemRecords, BYTE, BYTE, BYTE, TIME),
    84: st.builds(ReadTransmitterRecords, BYTE, TIME),
    90: st.builds(Clock, TIME),
    **dict.fromkeys((61, 65, 66, 68), st.builds(ReadSystem, BYTE, BYTE)),
    **dict.fromkeys((62, 63, 67), st.builds(ReadPart, BYTE, BYTE, ADDRESS)),
    **dict.fromkeys((81, 85, 86, 88, 89, 91), st.builds(Order, BYTE)),
}


@st.composite
def units(draw: st.DrawFn) -> Unit:
    """Any unit, those without a layout included."""
    kind = draw(BYTE | st.sampled_from(sorted(LAYOUTS)))
    if kind not in LAYOUTS:
        return Unit(kind, (), draw(st.binary(max_size=200)))
    return Unit(kind, tuple(draw(st.lists(OBJECTS[kind], max_size=12))), draw(st.just(b"") | st.binary(max_size=4)))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Any frame."""
    return Frame(
        serial=draw(WORD),
        command=draw(BYTE),
        source=draw(TIME),
        destination=draw(TIME),
        sent=draw(TIME),
        unit=draw(units().map(encode_unit) | st.just(b"") | st.binary(max_size=LIMIT)),
        version=draw(BYTE),
        user_version=draw(BYTE),
    )


def test_every_type_of_the_standard_has_a_layout() -> None:
    wanted = {*range(1, 9), 21, 24, 25, 26, 28, *range(61, 69), 81, 84, 85, 86, 88, 89, 90, 91}
    assert set(LAYOUTS) == wanted == set(OBJECTS)


@given(units())
def test_units_round_trip(unit: Unit) -> None:
    assert parse_unit(encode_unit(unit)) == unit


@given(frames())
def test_frames_round_trip(frame: Frame) -> None:
    reader = Reader()
    assert reader.feed(encode(frame)) == [frame]
    assert not reader.rejects and reader.held == 0


@given(frames(), TIME)
def test_an_answer_goes_back_under_the_same_serial(frame: Frame, sent: bytes) -> None:
    back = answer(frame, Command.CONFIRM, sent)
    assert (back.serial, back.source, back.destination) == (frame.serial, frame.destination, frame.source)
    assert answer(back, frame.command, frame.sent, frame.unit) == frame
    assert len(encode(back)) == 30


def test_the_limits_of_the_standard_fit() -> None:
    """8.3.1: at most 102, 22, 63, 102 and 127 objects, 1,024 bytes in all."""
    tag = bytes(6)
    full: list[tuple[int, int, Object]] = [
        (1, 102, SystemState(1, 1, 1, tag)),
        (2, 22, PartState(1, 1, 40, 1, 1, time=tag)),
        (3, 63, PartValue(1, 1, 40, 1, 3, -1, tag)),
        (4, 102, SystemOperation(1, 1, 1, 1, tag)),
        (24, 127, TransmitterOperation(1, 1, tag)),
    ]
    for kind, most, one in full:
        data = encode_unit(Unit(kind, (one,) * most))
        assert len(data) <= LIMIT
        assert len(parse_unit(data).objects) == most
        with pytest.raises(ValueError, match="1024 at most"):
            encode_unit(Unit(kind, (one,) * (most + 1)))


def test_analogue_values_are_signed() -> None:
    """8.2.1.3: two bytes, signed; −12.5 °C is FF 83."""
    data = bytes.fromhex("03 01 01 01 1E 01 00 00 00 03 83 FF") + TAG
    (value,) = parse_unit(data).objects
    assert isinstance(value, PartValue)
    assert value.value == -125


# --- content that is not what it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "02",
        "02 01",
        "02 01 01 01 28",
        "01 02 01 02 04 02 04 00 09 02 07 15",
        "06 01 01 02 09 41",
        "1A 01",
        "1A 01 05 41",
    ],
)
def test_less_than_announced_is_an_error(text: str) -> None:
    with pytest.raises(Gb26875Error):
        parse_unit(bytes.fromhex(text))


def test_objects_without_their_times_are_read() -> None:
    """Seen as a form of its own in dgiot/dgiot, apps/dgiot_gb26875, dgiot_gb26875_decoder.erl (decoder_appdata)."""
    unit = Unit(1, (SystemState(1, 1, 2), SystemState(11, 1, 0)))
    data = bytes.fromhex("01 02 01 01 02 00 0B 01 00 00")
    assert parse_unit(data) == unit
    assert encode_unit(unit) == data


def test_more_than_announced_is_kept() -> None:
    unit = parse_unit(bytes.fromhex("19 01 01 01 AA BB"))
    assert (unit.objects, unit.rest) == ((TransmitterVersion(1, 1),), b"\xaa\xbb")


@pytest.mark.parametrize("text", ["16", "17", "80 01 02 03", "FE 01 32"])
def test_handshakes_and_the_makers_own_types_stay_raw(text: str) -> None:
    """FE 01 32: codec_test.go; 16 and 17: one-byte units as handshakes."""
    unit = parse_unit(bytes.fromhex(text))
    assert unit.opaque
    assert encode_unit(unit) == bytes.fromhex(text)


def test_what_does_not_fit_is_not_encoded() -> None:
    good = Frame(serial=1, command=2, source=bytes(6), destination=bytes(6), sent=bytes(6))
    for wrong in ({"serial": 0x10000}, {"command": 256}, {"source": b"123"}, {"unit": bytes(LIMIT + 1)}):
        with pytest.raises(ValueError, match=r"fit|most|bytes"):
            encode(Frame(**{**{name: getattr(good, name) for name in good.__struct_fields__}, **wrong}))
    with pytest.raises(ValueError, match="fit"):
        encode_unit(Unit(3, (PartValue(1, 1, 1, 1, 1, 40_000, TAG),)))
    with pytest.raises(ValueError, match="1999"):
        write_time(946_652_399_000_000)  # a second before 2000 in China


# --- what a line does to frames --------------------------------------------------------------------------------------


@given(frames())
def test_one_byte_at_a_time(frame: Frame) -> None:
    reader = Reader()
    data = encode(frame)
    for byte in data[:-1]:
        assert reader.feed(bytes([byte])) == []
    assert reader.feed(data[-1:]) == [frame]
    assert not reader.rejects


@given(st.lists(frames(), min_size=2, max_size=4), st.lists(st.integers(0, 500), max_size=5))
def test_glued_frames_in_any_pieces(several: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode(frame) for frame in several)
    reader = Reader()
    found: list[Frame] = []
    at = 0
    for cut in [*sorted(set(cuts)), len(data)]:
        found += reader.feed(data[at:cut])
        at = max(at, cut)
    assert found == several
    assert not reader.rejects and reader.held == 0


CALM = st.binary(max_size=40).filter(lambda data: b"@" not in data)


@given(frames(), CALM, CALM)
def test_garbage_before_and_after(frame: Frame, before: bytes, after: bytes) -> None:
    reader = Reader()
    assert reader.feed(before + encode(frame) + after) == [frame]
    assert reader.flush() == []
    assert reader.rejects.size == len(before) + len(after)
    assert set(reader.rejects.counts) <= {Reason.NOISE.word}


@given(frames(), frames(), st.integers(1, 2000))
def test_a_truncated_frame_does_not_swallow_the_next(first: Frame, second: Frame, cut: int) -> None:
    """The good one comes out at the latest when the line falls silent."""
    data = encode(first)
    kept = data[: cut % (len(data) - 1) + 1]
    reader = Reader()
    found = reader.feed(kept + encode(second)) + reader.flush()
    assert second in found
    assert reader.rejects.size == len(kept)


def test_a_truncated_frame_is_called_so() -> None:
    reader = Reader()
    reader.feed(bytes.fromhex(ACK)[:-3])
    assert reader.held == 27
    assert reader.flush() == []
    assert reader.rejects.counts == {Reason.TRUNCATED.word: 1}
    assert reader.held == 0


@given(frames(), st.integers(0, 5000), st.integers(1, 255))
def test_one_wrong_byte_is_never_taken(frame: Frame, place: int, flip: int) -> None:
    """A sum catches every single wrong byte (6.6: all bytes from the serial to the last of the unit)."""
    data = bytearray(encode(frame))
    data[place % len(data)] ^= flip
    reader = Reader()
    assert frame not in reader.feed(bytes(data)) + reader.flush()
    assert reader.rejects


def test_a_bad_sum_is_called_so() -> None:
    data = bytearray(bytes.fromhex(ACK))
    data[-3] += 1
    reader = Reader()
    assert reader.feed(bytes(data) + bytes.fromhex(DENIED)) != []
    assert reader.rejects.counts == {Reason.BAD_CHECKSUM.word: 1}


def test_a_wrong_end_is_malformed() -> None:
    reader = Reader()
    assert reader.feed(bytes.fromhex(ACK)[:-2] + b"$$") == []
    reader.flush()
    assert reader.rejects.counts == {Reason.MALFORMED.word: 1}


def test_too_long_a_length_is_not_waited_for() -> None:
    data = bytearray(bytes.fromhex(ACK))
    data[24:26] = (LIMIT + 1).to_bytes(2, "little")
    reader = Reader()
    (frame,) = reader.feed(bytes(data[:26]) + bytes.fromhex(DENIED))
    assert frame.command == Command.DENY
    assert reader.rejects.counts == {Reason.OVERSIZED.word: 1}


def test_a_good_frame_may_start_inside_a_bad_one() -> None:
    good = bytes.fromhex(ANSWERED)
    reader = Reader()
    (frame,) = reader.feed(good[:27] + good)
    assert encode(frame) == good
    assert reader.rejects.size == 27


def test_marks_and_ends_inside_are_bytes_like_others() -> None:
    frame = Frame(
        serial=0x4040, command=2, source=b"@@##@@", destination=b"######", sent=b"@@@@@@", unit=b"\x80@@##@@##"
    )
    reader = Reader()
    for byte in encode(frame)[:-1]:
        assert reader.feed(bytes([byte])) == []
    assert reader.feed(b"#") == [frame]
    assert not reader.rejects
