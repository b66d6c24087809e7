"""CJ/T 188 held against published frames and against frames made by hand (what a line does: test_meter_frames)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import cjt188
from device_profiles.codecs.cjt188 import ORDERS, Frame, Said
from device_profiles.codecs.meter_frames import UNNAMED_ERROR
from device_profiles.quality import Reason
from tests.laws import meter_frames_by_hand as by_hand

ADDRESS = "78330011223344"
each_order = pytest.mark.parametrize("order", ORDERS)
ADDRESSES = st.text("0123456789ABCDEF", min_size=14, max_size=14)


@pytest.mark.parametrize("published", by_hand.CJT188, ids=lambda published: str(published.frame[:60]))
def test_published_frames(published: by_hand.Published) -> None:
    frames = cjt188.Reader().feed(published.wire)
    preamble = published.wire.index(0x68)
    kind, data = published.wire[preamble + 1], bytes.fromhex(published.data)
    assert frames == [Frame(kind, published.address, published.control, data)]
    assert cjt188.encode(frames[0], preamble) == published.wire
    assert by_hand.cjt188(kind, published.address, published.control, data) == published.wire[preamble:]


def test_the_most_copied_frame_has_a_wrong_check() -> None:
    frame = "68 10 44 33 22 11 00 33 78 81 16 1F 90 00 00 77 66 55 2C 00 77 66 55 2C 31 01 22 11 05 15 20 21 84 08 16"
    reader = cjt188.Reader()
    assert reader.feed(bytes.fromhex(frame)) == []
    assert reader.rejects.counts == {"bad_checksum": 1}


@given(st.sampled_from([0x10, 0x13, 0x20, 0x25, 0x30, 0x49, 0xAA]), ADDRESSES, st.integers(0, 255), st.binary())
def test_round_trip(kind: int, address: str, control: int, data: bytes) -> None:
    frame = Frame(kind, address, control, data[:255])
    wire = cjt188.encode(frame)
    assert wire == by_hand.cjt188(kind, address, control, data[:255])
    assert cjt188.Reader().feed(wire) == [frame]


def test_what_cannot_be_a_kind_starts_no_frame() -> None:
    reader = cjt188.Reader()
    assert reader.feed(by_hand.cjt188(0x50, ADDRESS, 0x81, "1F 90 00")) + reader.flush() == []
    assert reader.rejects.counts == {"noise": 1}


@pytest.mark.parametrize("address", ["", "1234567890123", "7833001122334x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is no address of 14 digits"):
        cjt188.encode(Frame(0x10, address, 1, b""))


@each_order
@given(st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(max_size=252))
def test_identifiers_in_both_orders(order: str, identifier: int, serial: int, content: bytes) -> None:
    said = Said(identifier, serial, content)
    frame = Frame(0x10, ADDRESS, 0x81, cjt188.encode_said(said, order))
    assert cjt188.parse_said(frame, order) == said
    assert cjt188.swapped(cjt188.swapped(identifier)) == identifier


@each_order
@pytest.mark.parametrize("answered", ["1F 90", "90 1F"])
def test_an_answer_in_either_order_is_taken(order: str, answered: str) -> None:
    """A meter may be asked in one order and answer in the other."""
    exchange = cjt188.ReadExchange(0x10, ADDRESS, 0x901F, order, serial=7)
    asked = "1F 90" if order == "low_first" else "90 1F"
    assert exchange.request() == b"\xfe" * 4 + by_hand.cjt188(0x10, ADDRESS, 0x01, asked + "07")
    exchange.feed(by_hand.cjt188(0x10, ADDRESS, 0x81, answered + "07 00 77 66 55 2C"))
    answer = exchange.take()
    assert answer is not None
    assert answer.data == bytes.fromhex("00 77 66 55 2C")


@pytest.mark.parametrize(
    "stranger",
    [
        by_hand.cjt188(0x10, "78330011223345", 0x81, "1F 90 00 00"),  # another meter
        by_hand.cjt188(0x20, ADDRESS, 0x81, "1F 90 00 00"),  # another kind under the same number
        by_hand.cjt188(0x10, ADDRESS, 0x81, "81 0A 00"),  # another item
        by_hand.cjt188(0x10, ADDRESS, 0x84, "1F 90 00"),  # a write's answer
        by_hand.cjt188(0x10, ADDRESS, 0x81, "1F"),  # too short to say what it is
    ],
)
def test_answers_to_something_else_are_late(stranger: bytes) -> None:
    exchange = cjt188.ReadExchange(0x10, ADDRESS, 0x901F)
    exchange.feed(stranger)
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.TIMEOUT
    assert [stray.reason for stray in exchange.strays] == [Reason.LATE]


@pytest.mark.parametrize(
    ("said", "exception"), [("00 21 84", 0x8421), ("00 00 00", UNNAMED_ERROR), ("", UNNAMED_ERROR)]
)
def test_refusals_are_never_a_success(said: str, exception: int) -> None:
    exchange = cjt188.ReadExchange(0x10, ADDRESS, 0x901F)
    exchange.feed(by_hand.cjt188(0x10, ADDRESS, 0xC1, said))
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception) == (b"", exception)


@pytest.mark.parametrize(
    "answered", ["68 10 01 00 00 05 08 00 00 83 03 81 0A 00 97 16", "68AA0100000508000083030A81003116"]
)
def test_who_is_there(answered: str) -> None:
    exchange = cjt188.AddressExchange(order="high_first")
    assert exchange.request() == b"\xfe" * 4 + by_hand.cjt188(0xAA, cjt188.WILDCARD, 0x03, "81 0A 00")
    exchange.feed(bytes.fromhex(answered))
    answer = exchange.take()
    assert answer is not None
    assert cjt188.answered_by(answer.frame)[1] == "00000805000001"


@each_order
@pytest.mark.parametrize("action", cjt188.VALVE_ACTIONS)
def test_valve_orders_there_and_back(order: str, action: str) -> None:
    frame = cjt188.valve_frame(0x10, ADDRESS, action, 1, order)
    (heard,) = cjt188.Reader().feed(cjt188.encode(frame))
    assert cjt188.parse_valve(heard) == action


def test_published_valve_orders() -> None:
    for action, wire in [
        ("open", "FEFEFE6810011312190000000404A0170155CC16"),
        ("close", "FEFEFE6810011312190000000404A01701991016"),
    ]:
        assert cjt188.encode(cjt188.valve_frame(0x10, "00000019121301", action, 1, "high_first"), 3) == bytes.fromhex(
            wire
        )
    (free,) = cjt188.Reader().feed(bytes.fromhex("FE FE FE 68 10 01 13 12 19 00 00 00 04 04 A0 17 01 66 DD 16"))
    with pytest.raises(cjt188.Cjt188Error, match="no action of the valve: 66"):
        cjt188.parse_valve(free)  # a maker's own


def test_parsers_raise_only_their_own_error() -> None:
    for data in (b"", b"\x1f", b"\x1f\x90\x00", b"\x17\xa0\x00"):
        frame = Frame(0x10, ADDRESS, 0x01, data)
        with pytest.raises(cjt188.Cjt188Error):
            cjt188.parse_valve(frame)
    with pytest.raises(cjt188.Cjt188Error):
        cjt188.answered_by(b"\x68\x10")
