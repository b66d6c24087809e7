"""The GB/T 26875.3 codec held against frames, units and times that others published."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.gb26875 import (
    Command,
    Gb26875Error,
    Reader,
    address_bytes,
    address_names,
    address_text,
    answer,
    encode,
    read_time,
    write_time,
)
from device_profiles.codecs.gb26875_objects import (
    Clock,
    Order,
    PartConfig,
    PartState,
    PartValue,
    SystemConfig,
    SystemOperation,
    SystemState,
    SystemTime,
    SystemVersion,
    TransmitterOperation,
    TransmitterState,
    TransmitterVersion,
)
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit, read_text, write_text
from device_profiles.codecs.gb26875_words import (
    OPERATION_BITS,
    PART_BITS,
    SYSTEM_BITS,
    TRANSMITTER_BITS,
    TRANSMITTER_OPERATION_BITS,
    bit_keys,
)

CHINA = timezone(timedelta(hours=8))


def us(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """UTC µs of a time on a clock in China."""
    return round(datetime(year, month, day, hour, minute, second, tzinfo=CHINA).timestamp() * 1e6)


THEN = bytes((2, 58, 9, 26, 9, 12))
"""09:58:02 on 26 September 2012, the time in every frame of the first source."""

ACTOR = "ActorLancer/GB-T-26875.3.2011-rs, GB26875文档.md"
GO_FRAMES = (
    "shootingfans/codec_gb26875_3_2011, codec/reader_decoder_test.go; also dgiot/dgiot, dgiot_gb26875_decoder.erl"
)
BLUESKY = "a public Go test, package bluesky"
GO_TEST = "a public Go test, package gb26875"

UP = "40 40 01 00 01 01 20 3A 09 1A 09 0C 79 03 00 00 00 00 38 5B 01 00 00 00"
DOWN = "40 40 01 00 01 01 20 3A 09 1A 09 0C 38 5B 01 00 00 00 79 03 00 00 00 00"
ACK = "40 40 01 00 01 01 23 3A 09 1A 09 0C 38 5B 01 00 00 00 79 03 00 00 00 00 00 00 03 AB 23 23"
DENIED = "40 40 01 00 01 01 23 3A 09 1A 09 0C 38 5B 01 00 00 00 79 03 00 00 00 00 00 00 06 AE 23 23"

FRAMES: dict[str, tuple[str, str, int, Unit | None]] = {
    "smoke detector 2 of zone 10: fire": (
        ACTOR,
        f"{UP} 30 00 02 02 01 01 01 28 0A 00 02 00 02 00 {'20 ' * 30} 00 02 3A 09 1A 09 0C 46 23 23",
        Command.SEND,
        Unit(2, (PartState(1, 1, 40, 0x0002000A, 0x0002, b" " * 30 + b"\0", THEN),)),
    ),
    "main power of the transmitter fails": (
        ACTOR,
        f"{UP} 09 00 02 15 01 08 02 3A 09 1A 09 0C 42 23 23",
        Command.SEND,
        Unit(21, (TransmitterState(0x08, THEN),)),
    ),
    "the guard answers the post check": (
        ACTOR,
        f"{UP} 0A 00 02 18 01 20 01 02 3A 09 1A 09 0C 5F 23 23",
        Command.SEND,
        Unit(24, (TransmitterOperation(0x20, 1, THEN),)),
    ),
    "software version 1.1": (ACTOR, f"{UP} 04 00 02 19 01 01 01 C7 23 23", 2, Unit(25, (TransmitterVersion(1, 1),))),
    "the transmitter's clock": (ACTOR, f"{UP} 08 00 02 1C 01 02 3A 09 1A 09 0C 40 23 23", 2, Unit(28, (Clock(THEN),))),
    "confirmed": (ACTOR, ACK, Command.CONFIRM, None),
    "denied": (ACTOR, DENIED, Command.DENY, None),
    "the state is asked": (ACTOR, f"{DOWN} 03 00 04 51 01 00 FE 23 23", Command.REQUEST, Unit(81, (Order(),))),
    "the state is answered": (
        ACTOR,
        f"{UP} 09 00 05 15 01 08 02 3A 09 1A 09 0C 45 23 23",
        Command.RESPONSE,
        Unit(21, (TransmitterState(0x08, THEN),)),
    ),
    "the version is asked": (ACTOR, f"{DOWN} 03 00 04 55 01 00 02 23 23", 4, Unit(85, (Order(),))),
    "the clock is asked": (ACTOR, f"{DOWN} 03 00 04 58 01 00 05 23 23", 4, Unit(88, (Order(),))),
    "initialise": (ACTOR, f"{DOWN} 03 00 01 59 01 00 03 23 23", Command.CONTROL, Unit(89, (Order(),))),
    "set the clock": (ACTOR, f"{DOWN} 08 00 01 5A 01 02 3A 09 1A 09 0C 7D 23 23", 1, Unit(90, (Clock(THEN),))),
    "post check within 10 min": (ACTOR, f"{DOWN} 03 00 01 5B 01 0A 0F 23 23", 1, Unit(91, (Order(10),))),
    "a part in the loop 6, address 217: fire": (
        GO_FRAMES,
        "40 40 00 00 01 01 18 0D 11 16 0A 14 00 00 00 00 00 00 06 05 04 03 02 01 30 00 02 02 01 01 03 00 D9 00 06 00"
        "02 00 A3 C1 C7 F8 A3 B1 B2 E3 DF C8 B2 B8 D7 DF C0 C8 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 30 12 13"
        "01 08 14 68 23 23",
        Command.SEND,
        Unit(
            2,
            (PartState(1, 3, 0, 0x000600D9, 2, write_text("Ａ区１层呷哺走廊"), bytes((48, 18, 19, 1, 8, 20))),),
        ),
    ),
    "a heartbeat": (BLUESKY, "4040000001010C3B0C1B0C11672B00000000385B01000000000002B52323", Command.SEND, None),
    "somebody resets": (
        BLUESKY,
        "404003000101103B0C1B0C11672B00000000385B010000000A000218010100003B0C1B0C115F2323",
        Command.SEND,
        Unit(24, (TransmitterOperation(1, 0, bytes((0, 59, 12, 27, 12, 17))),)),
    ),
    "software version 1.0": (
        GO_TEST,
        "404000000101011E16080C15800D00000000000000000000040002190101000E2323",
        Command.SEND,
        Unit(25, (TransmitterVersion(1, 0),)),
    ),
    "confirmed with the serial 0": (
        GO_TEST,
        "404000000101001E16080C15000000000000800D00000000000003EF2323",
        Command.CONFIRM,
        None,
    ),
}
"""Frames that others published: (source, bytes, command, unit)."""

NAME = "7楼02室会议室烟感"
TAG, LATER = bytes((4, 0, 9, 2, 7, 21)), bytes((5, 0, 9, 2, 7, 21))

UNITS: dict[str, tuple[bytes, Unit]] = {
    "systems": (
        bytes.fromhex("01 02 01 02 04 02 04 00 09 02 07 15 0D 03 05 01 05 00 09 02 07 15"),
        Unit(1, (SystemState(1, 2, 0x0204, TAG), SystemState(13, 3, 0x0105, LATER))),
    ),
    "a part": (
        bytes.fromhex("02 01 01 02 79 01 02 03 04 04 02") + write_text(NAME) + TAG,
        Unit(2, (PartState(1, 2, 121, 0x04030201, 0x0204, write_text(NAME), TAG),)),
    ),
    "values": (
        bytes.fromhex(
            "03 02 01 02 28 01 02 03 04 03 20 03 04 00 09 02 07 15 0D 03 79 03 04 05 06 02 01 50 05 00 09 02 07 15"
        ),
        Unit(
            3,
            (
                PartValue(1, 2, 40, 0x04030201, 3, 0x0320, TAG),
                PartValue(13, 3, 121, 0x06050403, 2, 0x5001, LATER),
            ),
        ),
    ),
    "operations": (
        bytes.fromhex("04 02 01 02 84 FA 04 00 09 02 07 15 0D 03 73 FB 05 00 09 02 07 15"),
        Unit(4, (SystemOperation(1, 2, 0x84, 0xFA, TAG), SystemOperation(13, 3, 0x73, 0xFB, LATER))),
    ),
    "versions": (
        bytes.fromhex("05 02 01 02 03 04 0D 03 01 01"),
        Unit(5, (SystemVersion(1, 2, 3, 4), SystemVersion(13, 3, 1, 1))),
    ),
    "a configuration": (
        bytes.fromhex("06 01 01 02 1E") + write_text(NAME, 30),
        Unit(6, (SystemConfig(1, 2, write_text(NAME, 30)),)),
    ),
    "a part's configuration": (
        bytes.fromhex("07 01 01 02 28 01 02 03 04") + write_text(NAME),
        Unit(7, (PartConfig(1, 2, 40, 0x04030201, write_text(NAME)),)),
    ),
    "a panel's clock": (bytes.fromhex("08 01 01 02 04 00 09 02 07 15"), Unit(8, (SystemTime(1, 2, TAG),))),
    "a transmitter": (bytes.fromhex("15 01 08 04 00 09 02 07 15"), Unit(21, (TransmitterState(8, TAG),))),
    "an operation": (
        bytes.fromhex("18 01 31 FA 04 00 09 02 07 15"),
        Unit(24, (TransmitterOperation(0x31, 0xFA, TAG),)),
    ),
}
"""Units of the tests of shootingfans/codec_gb26875_3_2011, codec/codec_test.go, with what they say there."""

each_frame = pytest.mark.parametrize(("source", "text", "command", "unit"), FRAMES.values(), ids=FRAMES.keys())
each_unit = pytest.mark.parametrize(("data", "unit"), UNITS.values(), ids=UNITS.keys())


@each_frame
def test_a_published_frame_reads_as_published_and_is_built_again(
    source: str, text: str, command: int, unit: Unit | None
) -> None:
    data = bytes.fromhex(text)
    reader = Reader()
    (frame,) = reader.feed(data)
    assert not reader.rejects and reader.held == 0
    assert (frame.command, frame.version, frame.user_version) == (command, 1, 1)
    assert encode(frame) == data
    if unit is None:
        assert frame.unit == b""
        with pytest.raises(Gb26875Error):
            parse_unit(frame.unit)
    else:
        assert parse_unit(frame.unit) == unit
        assert encode_unit(unit) == frame.unit


@each_unit
def test_a_published_unit_reads_as_published_and_is_built_again(data: bytes, unit: Unit) -> None:
    assert parse_unit(data) == unit
    assert encode_unit(unit) == data


def test_the_published_confirmation_is_the_one_that_we_give() -> None:
    alarm = bytes.fromhex(FRAMES["main power of the transmitter fails"][1])
    (frame,) = Reader().feed(alarm)
    sent = write_time(us(2012, 9, 26, 9, 58, 35))
    assert encode(answer(frame, Command.CONFIRM, sent)) == bytes.fromhex(ACK)
    assert encode(answer(frame, Command.DENY, sent)) == bytes.fromhex(DENIED)


def test_published_bits_mean_what_they_are_said_to_mean() -> None:
    """8.2.1.1, 8.2.1.2, 8.2.1.8 and 8.2.1.9; bit 0 is "normal" and stands beside a fire."""
    assert bit_keys(0x0002, PART_BITS) == ["fire"]
    assert bit_keys(0x0003, PART_BITS) == ["normal", "fire"]
    assert bit_keys(0x0204, SYSTEM_BITS) == ["fault", "backup_power_fault"]
    assert bit_keys(0x08, TRANSMITTER_BITS) == ["main_power_fault"]
    assert bit_keys(0x20, TRANSMITTER_OPERATION_BITS) == ["post_answer"]
    assert bit_keys(0x21, OPERATION_BITS) == ["reset", "confirm"]
    assert bit_keys(0x8100, PART_BITS) == ["power_fault", "bit15"]
    assert bit_keys(0, SYSTEM_BITS) == []


# --- times, addresses, texts -----------------------------------------------------------------------------------------


def test_published_times() -> None:
    """Unix times beside the bytes: shootingfans/codec_gb26875_3_2011, codec_test.go and reader_decoder_test.go."""
    assert read_time(TAG) == 1625187604_000000
    assert read_time(bytes.fromhex("30 12 13 01 08 14")) == 1596280728_000000
    assert read_time(THEN) == us(2012, 9, 26, 9, 58, 2)


@given(st.datetimes(datetime(2000, 1, 1, 8), datetime(2099, 12, 31)))
def test_times_round_trip_to_the_second(moment: datetime) -> None:
    at = round(moment.replace(microsecond=0, tzinfo=UTC).timestamp()) * 1_000_000
    assert read_time(write_time(at)) == at
    assert read_time(write_time(at + 999_999)) == at


@given(st.datetimes(datetime(2000, 1, 1), datetime(2079, 12, 31)))
def test_a_time_in_bcd_is_known_where_the_frame_was_sent_at_that_time(moment: datetime) -> None:
    """Event times in BCD beside a binary time tag of the frame: seen at several makers."""
    local = moment.replace(microsecond=0)
    at = us(local.year, local.month, local.day, local.hour, local.minute, local.second)
    coded = bytes.fromhex(local.strftime("%S%M%H%d%m%y"))
    read = read_time(coded, told=at)
    assert read is not None
    assert read == at or read <= at + 86_400_000_000  # else a binary reading was possible that lies in the past


def test_a_bcd_time_that_also_reads_in_binary() -> None:
    """12 May 2026, 08:09:10 in BCD is 18 May 2038, 08:09:16 in binary: no event lies behind its own message."""
    coded, told = bytes.fromhex("10 09 08 12 05 26"), us(2026, 5, 12, 8, 9, 30)
    assert read_time(coded, told) == us(2026, 5, 12, 8, 9, 10)
    assert read_time(coded) == us(2038, 5, 18, 8, 9, 16)
    assert read_time(bytes.fromhex("05 04 03 21 11 26")) == us(2026, 11, 21, 3, 4, 5)  # there is no 33rd of November


@pytest.mark.parametrize("tag", ["00 00 00 00 00 00", "FF FF FF FF FF FF", "00 00 18 1F 02 0C", "3C 00 00 01 01 10"])
def test_what_is_no_time(tag: str) -> None:
    assert read_time(bytes.fromhex(tag)) is None


def test_an_address_is_the_number_that_panels_show() -> None:
    """11111 and 88888 in the frames of the package bluesky; 0x010203040506 in reader_decoder_test.go."""
    assert address_names(bytes.fromhex("67 2B 00 00 00 00")) == ("000000002B67", "11111")
    assert address_names(bytes.fromhex("38 5B 01 00 00 00")) == ("000000015B38", "88888")
    assert address_text(bytes.fromhex("06 05 04 03 02 01")) == "010203040506"
    assert address_names(b"\xff" * 6) == ("FFFFFFFFFFFF",)


@given(st.binary(min_size=6, max_size=6))
def test_addresses_round_trip(address: bytes) -> None:
    assert all(address_bytes(name) == address for name in address_names(address))


@pytest.mark.parametrize("text", ["", "abc", "1234567890123", "0000000000G0", "-1", "007", " 7", "281474976710656"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        address_bytes(text)


def test_texts_end_at_a_nul_and_are_cut_between_characters() -> None:
    assert read_text(write_text("Ａ区１层呷哺走廊")) == "Ａ区１层呷哺走廊"
    assert read_text("烟感".encode("gb18030") + b"\0old bytes of a longer text") == "烟感"
    assert read_text(b" " * 30 + b"\0") == ""
    assert read_text(b"\xff\xff") == "\ufffd\ufffd"
    assert len(write_text("会" * 20)) == 31
    assert read_text(write_text("会" * 20)) == "会" * 15
