"""DL/T 645 held against published frames and against frames made by hand (what a line does: test_meter_frames)."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import dlt645, dlt645_commands
from device_profiles.codecs.dlt645 import E1997, E2007, Edition, Frame
from device_profiles.codecs.dlt645_commands import RelayOrder, Written
from device_profiles.codecs.meter_frames import UNNAMED_ERROR
from device_profiles.quality import Reason
from tests.laws import meter_frames_by_hand as by_hand

ADDRESS = "000012345678"
each_edition = pytest.mark.parametrize("edition", [E2007, E1997], ids=["2007", "1997"])
ADDRESSES = st.text("0123456789", min_size=12, max_size=12)


@pytest.mark.parametrize("published", by_hand.DLT645, ids=lambda published: str(published.frame[:50]))
def test_published_frames(published: by_hand.Published) -> None:
    frames = dlt645.Reader().feed(published.wire)
    data = bytes.fromhex(published.data)
    assert frames == [Frame(published.address, published.control, data)]
    preamble = published.wire.count(0xFE, 0, published.wire.index(0x68))
    assert dlt645.encode(frames[0], preamble) == published.wire
    assert by_hand.dlt645(published.address, published.control, data) == published.wire[preamble:]


@given(ADDRESSES, st.integers(0, 255), st.binary(max_size=200))
def test_round_trip(address: str, control: int, data: bytes) -> None:
    frame = Frame(address, control, data)
    wire = dlt645.encode(frame)
    assert wire == by_hand.dlt645(address, control, data)
    assert dlt645.Reader().feed(wire) == [frame]


@pytest.mark.parametrize("address", ["", "12345678901", "1234567890123", "12345678901x", "1234 5678 90"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is no address of 12 digits"):
        dlt645.encode(Frame(address, 0x11, b""))


def test_too_much_data_is_refused() -> None:
    with pytest.raises(ValueError, match="201 data bytes"):
        dlt645.encode(Frame(ADDRESS, 0x94, bytes(201)))


# --- reads ----------------------------------------------------------------------------------------------------------


def _ask(edition: Edition) -> dlt645.ReadExchange:
    return dlt645.ReadExchange(ADDRESS, 0x0001FF00 if edition is E2007 else 0x901F, edition)


def _named(edition: Edition) -> bytes:
    return bytes.fromhex("00 FF 01 00" if edition is E2007 else "1F 90")


@each_edition
def test_a_read_asks_as_the_edition_does(edition: Edition) -> None:
    control = 0x11 if edition is E2007 else 0x01
    assert _ask(edition).request() == b"\xfe" * 4 + by_hand.dlt645(ADDRESS, control, _named(edition))
    assert _ask(edition).shape == (control | 0x80, 0x0001FF00 if edition is E2007 else 0x901F)


@each_edition
def test_an_answer_in_three_frames(edition: Edition) -> None:
    """B1, B2, 92: each further frame is asked for; the sequence byte of 2007 is checked and taken off."""
    read, follow = (0x91, 0x92) if edition is E2007 else (0x81, 0x82)
    exchange = _ask(edition)
    frames = [by_hand.dlt645(ADDRESS, read | 0x20, _named(edition) + b"\x01" * 100)]
    exchange.feed(frames[0])
    assert exchange.take() is None
    for number, (more, fill) in enumerate([(0x20, b"\x02"), (0, b"\x03")], start=1):
        sequence = bytes([number]) if edition is E2007 else b""
        wanted = by_hand.dlt645(ADDRESS, follow & 0x7F, _named(edition) + sequence)
        assert exchange.next_request() == b"\xfe" * 4 + wanted
        assert exchange.next_request() == b""
        assert exchange.take() is None
        frames.append(by_hand.dlt645(ADDRESS, follow | more, _named(edition) + fill * 50 + sequence))
        exchange.feed(frames[-1])
        exchange.take()
    answer = exchange.take()
    assert answer is not None
    assert answer.data == b"\x01" * 100 + b"\x02" * 50 + b"\x03" * 50
    assert answer.frame == b"".join(frames)
    assert exchange.strays == []


def test_a_follow_up_frame_of_another_number_is_not_taken() -> None:
    exchange = _ask(E2007)
    exchange.feed(by_hand.dlt645(ADDRESS, 0xB1, _named(E2007) + b"\x01" * 4))
    assert exchange.take() is None
    exchange.next_request()
    exchange.feed(by_hand.dlt645(ADDRESS, 0x92, _named(E2007) + b"\x02" * 4 + b"\x02"))
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.TRUNCATED
    assert [stray.shape for stray in exchange.strays] == [(0x92, 0x0001FF00)]
    exchange.feed(by_hand.dlt645(ADDRESS, 0x92, _named(E2007) + b"\x03" * 4 + b"\x01"))
    answer = exchange.take()
    assert answer is not None
    assert answer.data == b"\x01" * 4 + b"\x03" * 4


def test_a_meter_that_never_ends_is_refused() -> None:
    exchange = _ask(E1997)
    for _ in range(256):
        exchange.feed(by_hand.dlt645(ADDRESS, 0xA1 if exchange.next_request() == b"" else 0xA2, b"\x1f\x90\x00"))
        exchange.take()
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception) == (b"", UNNAMED_ERROR)


@each_edition
@pytest.mark.parametrize(("said", "exception"), [("02", 2), ("FE", 0xFE), ("00", UNNAMED_ERROR), ("", UNNAMED_ERROR)])
def test_refusals_are_never_a_success(edition: Edition, said: str, exception: int) -> None:
    """D1 and C1; 31 on the wire is FE, every bit but one (seen in the field)."""
    exchange = _ask(edition)
    exchange.feed(by_hand.dlt645(ADDRESS, 0xD1 if edition is E2007 else 0xC1, said))
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception) == (b"", exception)


def test_a_real_zero_and_a_wrap_around() -> None:
    """33333333 on the wire is zero; 32 on the wire is FF."""
    exchange = dlt645.ReadExchange(ADDRESS, 0x00010000)
    exchange.feed(bytes.fromhex("68 78 56 34 12 00 00 68 91 08 33 33 34 33 33 33 33 32 15 16"))
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.data == b"\x00\x00\x00\xff"


@pytest.mark.parametrize(
    "stranger",
    [
        by_hand.dlt645("000012345679", 0x91, "00 FF 01 00 00 00 00 00"),  # another meter
        by_hand.dlt645(ADDRESS, 0x91, "00 00 01 00 00 00 00 00"),  # another item
        by_hand.dlt645(ADDRESS, 0x81, "1F 90 00 00 00 00"),  # the other edition
        by_hand.dlt645(ADDRESS, 0x94, ""),  # a write's answer
        by_hand.dlt645(ADDRESS, 0xD4, "04"),  # a write's refusal
        by_hand.dlt645(ADDRESS, 0x92, "00 FF 01 00 00 00 00 00 01"),  # a follow-up that nobody asked for
    ],
)
def test_answers_to_something_else_are_late(stranger: bytes) -> None:
    exchange = _ask(E2007)
    exchange.feed(stranger)
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.TIMEOUT
    assert [stray.reason for stray in exchange.strays] == [Reason.LATE]
    assert exchange.strays[0].shape != exchange.shape or exchange.strays[0].unit != exchange.unit


def test_who_is_there() -> None:
    exchange = dlt645.AddressExchange(preamble=1)
    assert exchange.request() == bytes.fromhex("FE 68 AA AA AA AA AA AA 68 13 00 DF 16")
    reply = bytes.fromhex("68 00 36 19 00 00 00 68 93 06 33 69 4C 33 33 33 39 16")
    exchange.feed(by_hand.dlt645("000000193600", 0x93, "00 36 19") + reply)
    answer = exchange.take()
    assert answer is not None
    assert answer.frame == reply
    (frame,) = dlt645.Reader().feed(reply)
    assert dlt645.parse_address(frame) == frame.address == "000000193600"


def test_a_wildcard_read_is_answered_by_name_or_by_the_wildcard() -> None:
    for name in ("000014359743", "AAAAAAAAAAAA"):
        exchange = dlt645.ReadExchange(dlt645.WILDCARD, 0x9010, E1997)
        exchange.feed(by_hand.dlt645(name, 0x81, "10 90 48 63 24 00"))
        answer = exchange.take()
        assert answer is not None
        assert answer.data == bytes.fromhex("48 63 24 00")


# --- commands -------------------------------------------------------------------------------------------------------

FOUR = st.binary(min_size=4, max_size=4)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31, 23, 59, 59)).map(
    lambda moment: moment.replace(microsecond=0)
)


def _through_the_wire(frame: Frame) -> Frame:
    (found,) = dlt645.Reader().feed(dlt645.encode(frame))
    assert found == frame
    return found


@each_edition
@given(number=st.integers(0, 0xFFFF), password=FOUR, operator=FOUR, data=st.binary(max_size=38))
def test_writes_there_and_back(edition: Edition, number: int, password: bytes, operator: bytes, data: bytes) -> None:
    written = Written(number, password, operator if edition is E2007 else b"", data)
    frame = _through_the_wire(dlt645_commands.write_frame(ADDRESS, written, edition))
    assert dlt645_commands.parse_write(frame, edition) == written


@given(st.sampled_from(sorted(dlt645_commands.RELAY_ACTIONS)), FOUR, FOUR, MOMENTS)
def test_relay_orders_there_and_back(action: str, password: bytes, operator: bytes, until: datetime) -> None:
    order = RelayOrder(action, password, operator, until)
    assert dlt645_commands.parse_relay(_through_the_wire(dlt645_commands.relay_frame(ADDRESS, order))) == order


@given(MOMENTS)
def test_the_time_for_everybody(moment: datetime) -> None:
    frame = _through_the_wire(dlt645_commands.time_frame(moment))
    assert frame.address == dlt645.EVERYBODY
    assert dlt645_commands.parse_time(frame) == moment


def test_published_commands() -> None:
    (time,) = dlt645.Reader().feed(bytes.fromhex("68 99 99 99 99 99 99 68 08 06 84 55 43 38 39 4A 4B 16"))
    assert dlt645_commands.parse_time(time) == datetime(2017, 6, 5, 10, 22, 51)
    assert dlt645_commands.time_frame(datetime(2017, 6, 5, 10, 22, 51)) == time
    relay = "68 06 10 24 05 19 20 68 1C 10 35 33 33 33 33 33 33 33 4D 33 33 33 33 33 33 33 C0 16"
    (order,) = dlt645.Reader().feed(bytes.fromhex(relay))
    with pytest.raises(dlt645.Dlt645Error, match="is no time"):
        dlt645_commands.parse_relay(order)  # published with an all-zero deadline


@pytest.mark.parametrize("pattern", ["99999999", "99010000", "11210304"])
def test_freezing_there_and_back(pattern: str) -> None:
    assert dlt645_commands.parse_freeze(_through_the_wire(dlt645_commands.freeze_frame(ADDRESS, pattern))) == pattern


@pytest.mark.parametrize("baud", dlt645_commands.SPEEDS)
def test_speeds_there_and_back(baud: int) -> None:
    assert dlt645_commands.parse_speed(_through_the_wire(dlt645_commands.speed_frame(ADDRESS, baud))) == baud


def test_commands_refuse_what_they_cannot_say() -> None:
    with pytest.raises(ValueError, match="password has four bytes"):
        dlt645_commands.write_frame(ADDRESS, Written(1, b"123", b"1234", b""))
    with pytest.raises(ValueError, match="two digits for the year"):
        dlt645_commands.time_frame(datetime(1999, 1, 1))
    with pytest.raises(ValueError, match="is not 8 decimal digits"):
        dlt645_commands.freeze_frame(ADDRESS, "9999999x")


@pytest.mark.parametrize("data", ["", "33", "00" * 6, "00" * 16])
def test_parsers_raise_only_their_own_error(data: str) -> None:
    frame = Frame(ADDRESS, 0x91, bytes.fromhex(data))
    for parse in (
        dlt645.parse_address,
        dlt645_commands.parse_write,
        dlt645_commands.parse_relay,
        dlt645_commands.parse_time,
        dlt645_commands.parse_freeze,
        dlt645_commands.parse_speed,
    ):
        with pytest.raises(dlt645.Dlt645Error):
            parse(frame)


def test_a_write_is_acknowledged() -> None:
    exchange = dlt645.CommandExchange(ADDRESS, 0x14, b"\x01" * 12)
    assert exchange.shape == (0x94,)
    exchange.feed(by_hand.dlt645(ADDRESS, 0x94))
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception) == (b"", 0)
