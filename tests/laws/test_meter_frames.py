"""What a line does to meter frames, both protocols: the laws every reader and every exchange keeps."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import cjt188, dlt645
from device_profiles.codecs.meter_frames import FrameReader, MeterExchange, is_addressed
from device_profiles.exchange import Stray
from device_profiles.quality import Reason
from tests.laws import meter_frames_by_hand as by_hand

Make = Callable[[bytes], bytes]
"""An answer with this content behind what names it."""


def _answer_645(content: bytes) -> bytes:
    return by_hand.dlt645("000012345678", 0x91, bytes.fromhex("00 00 01 00") + content)


def _answer_188(content: bytes) -> bytes:
    return by_hand.cjt188(0x10, "78330011223344", 0x81, bytes.fromhex("1F 90 00") + content)


class Kit:
    """One protocol, as the laws see it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_645 = name == "dlt645"
        self.answer: Make = _answer_645 if self.is_645 else _answer_188
        self.head = 10 if self.is_645 else 11
        self.longest = 196 if self.is_645 else 250  # content bytes

    def reader(self) -> FrameReader[Any]:
        """A fresh reader."""
        return dlt645.Reader() if self.is_645 else cjt188.Reader()

    def exchange(self) -> MeterExchange:
        """A fresh question that ``answer`` answers."""
        if self.is_645:
            return dlt645.ReadExchange("000012345678", 0x00010000)
        return cjt188.ReadExchange(0x10, "78330011223344", 0x901F)

    def other(self, content: bytes) -> bytes:
        """An answer of somebody else."""
        if self.is_645:
            return by_hand.dlt645("000099999998", 0x91, bytes.fromhex("00 00 01 00") + content)
        return by_hand.cjt188(0x10, "78330000000001", 0x81, bytes.fromhex("1F 90 00") + content)

    def encode(self, frame: Any) -> bytes:
        """What a reader made, as bytes again."""
        return dlt645.encode(frame) if self.is_645 else cjt188.encode(frame)

    def sort(self, data: bytes) -> list[Stray]:
        """Strays of bytes that nobody waited for."""
        return dlt645.sort_strays(data) if self.is_645 else cjt188.sort_strays(data)


both = pytest.mark.parametrize("kit", [Kit("dlt645"), Kit("cjt188")], ids=lambda kit: str(kit.name))
CONTENT = st.binary(max_size=60)
NOISE = st.binary(max_size=20).filter(lambda noise: 0x68 not in noise)


@both
@given(content=st.binary(max_size=250))
def test_whole_frames_are_found_and_made_again(kit: Kit, content: bytes) -> None:
    wire = kit.answer(content[: kit.longest])
    reader = kit.reader()
    frames = reader.feed(wire)
    assert [kit.encode(frame) for frame in frames] == [wire]
    assert reader.held == 0
    assert not reader.rejects


@both
@given(content=CONTENT)
def test_one_byte_at_a_time(kit: Kit, content: bytes) -> None:
    wire = b"\xfe\xfe" + kit.answer(content)
    reader, exchange = kit.reader(), kit.exchange()
    for byte in wire[:-1]:
        assert reader.feed(bytes([byte])) == []
        exchange.feed(bytes([byte]))
        assert exchange.take() is None
        assert exchange.started
    exchange.feed(wire[-1:])
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception, answer.frame) == (content, 0, wire)
    assert len(reader.feed(wire[-1:])) == 1
    assert not reader.rejects


@both
@given(first=CONTENT, second=CONTENT)
def test_glued_frames(kit: Kit, first: bytes, second: bytes) -> None:
    wire = kit.answer(first) + kit.other(second)
    reader = kit.reader()
    assert [kit.encode(frame) for frame in reader.feed(wire)] == [kit.answer(first), kit.other(second)]
    exchange = kit.exchange()
    exchange.feed(kit.other(second) + b"\xfe" + kit.answer(first))
    answer = exchange.take()
    assert answer is not None
    assert answer.data == first
    (late,) = exchange.strays
    assert (late.reason, late.data, late.shape) == (Reason.LATE, kit.other(second), exchange.shape)
    assert late.unit != exchange.unit


@both
@given(content=CONTENT, before=NOISE, after=NOISE)
def test_garbage_before_and_after(kit: Kit, content: bytes, before: bytes, after: bytes) -> None:
    wire = before + kit.answer(content) + after
    reader, exchange = kit.reader(), kit.exchange()
    frames = reader.feed(wire) + reader.flush()
    assert [kit.encode(frame) for frame in frames] == [kit.answer(content)]
    assert reader.rejects.size == len(before.rstrip(b"\xfe")) + len(after)
    assert set(reader.rejects.counts) <= {"noise"}
    exchange.feed(wire)
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.data == content
    told = b"".join(stray.data for stray in exchange.strays)
    assert told + answer.frame + exchange.rest == wire


@both
@given(content=CONTENT, cut=st.integers(1, 300))
def test_a_truncated_frame_then_a_good_one(kit: Kit, content: bytes, cut: int) -> None:
    wire = kit.answer(content)
    broken = wire[: 1 + cut % (len(wire) - 1)]
    reader, exchange = kit.reader(), kit.exchange()
    assert reader.feed(broken) == []
    assert reader.flush() == []
    assert reader.rejects.counts == {"truncated": 1}
    assert [kit.encode(frame) for frame in reader.feed(wire)] == [wire]
    exchange.feed(broken)
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.TRUNCATED
    exchange.feed(wire)
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.frame.endswith(wire)


@both
@given(content=CONTENT, flip=st.integers(1, 255), place=st.integers(0, 300))
def test_one_wrong_byte_is_no_frame(kit: Kit, content: bytes, flip: int, place: int) -> None:
    """A sum modulo 256 notices every single wrong byte; only preamble and length look different then."""
    wire = bytearray(kit.answer(content))
    wire[place % len(wire)] ^= flip
    reader, exchange = kit.reader(), kit.exchange()
    assert reader.feed(bytes(wire)) + reader.flush() == []
    assert reader.rejects.size == len(wire)
    exchange.feed(bytes(wire))
    assert exchange.take(silent=True) is None
    assert exchange.conclude() in (Reason.BAD_CHECKSUM, Reason.TRUNCATED, Reason.NOISE)


@both
def test_a_wrong_sum_is_called_so_and_a_good_frame_inside_still_found(kit: Kit) -> None:
    inner = kit.answer(b"\x01\x02\x03\x04")
    outer = bytearray(kit.other(b"\x00" * 5 + inner + b"\x00"))
    if kit.is_645:  # the inner frame as it is on the wire, not with 33 added
        at = bytes(outer).index(bytes((byte + 0x33) % 256 for byte in inner))
        outer[at : at + len(inner)] = inner
    outer[-2] ^= 0xFF
    reader = kit.reader()
    assert [kit.encode(frame) for frame in reader.feed(bytes(outer)) + reader.flush()] == [inner]
    assert reader.rejects.counts["bad_checksum"] == 1
    exchange = kit.exchange()
    bad = bytearray(inner)
    bad[-2] ^= 1
    exchange.feed(bytes(bad))
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.BAD_CHECKSUM


@both
def test_a_length_that_is_too_long_does_not_swallow_what_follows(kit: Kit) -> None:
    wire = bytearray(kit.answer(b"\x01\x02\x03\x04"))
    wire[kit.head - 1] = 0xC9  # 201: more than DL/T 645 allows; more than is there for CJ/T 188
    good = kit.answer(b"\x05\x06\x07\x08")
    reader = kit.reader()
    frames = reader.feed(bytes(wire) + good) + reader.flush()
    assert [kit.encode(frame) for frame in frames] == [good]
    assert reader.rejects.counts == ({"oversized": 1, "noise": 1} if kit.is_645 else {"truncated": 1})


@both
@given(content=CONTENT)
def test_our_own_question_heard_back_is_no_answer(kit: Kit, content: bytes) -> None:
    exchange = kit.exchange()
    for byte in exchange.request() + kit.answer(content):
        exchange.feed(bytes([byte]))
        exchange.take()
    answer = exchange.take()
    assert answer is not None
    assert answer.data == content
    assert [stray.reason for stray in exchange.strays] == [Reason.ECHO]


@both
def test_silence_is_a_timeout_also_behind_an_echo(kit: Kit) -> None:
    exchange = kit.exchange()
    assert exchange.conclude() is Reason.TIMEOUT
    exchange.feed(exchange.request())
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.TIMEOUT
    exchange.feed(b"\xfe\xfe")
    assert exchange.conclude() is Reason.TRUNCATED


@both
@given(pieces=st.lists(st.one_of(NOISE, CONTENT.map(_answer_645), CONTENT.map(_answer_188)), max_size=5))
def test_every_stray_byte_is_told_once(kit: Kit, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    strays = kit.sort(data)
    assert b"".join(stray.data for stray in strays) == data
    assert all((stray.unit is not None) == (stray.reason is Reason.LATE) for stray in strays)


@both
def test_an_unfinished_frame_in_front_is_looked_behind_when_the_line_is_silent(kit: Kit) -> None:
    """A late frame of the other protocol, cut in the middle, then our answer."""
    stranger = Kit("cjt188" if kit.is_645 else "dlt645").answer(b"\x11" * 40)[:30]
    exchange = kit.exchange()
    exchange.feed(stranger + kit.answer(b"\x01\x02\x03\x04"))
    exchange.take()
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.data == b"\x01\x02\x03\x04"


def test_addresses_match_as_the_standards_say() -> None:
    assert is_addressed("000012345678", "000012345678")
    assert is_addressed("AAAAAAAAAAAA", "000012345678")
    assert is_addressed("AAAAAAAA5678", "000012345678")  # shortened
    assert is_addressed("AAAAAAAAAAAA", "AAAAAAAAAAAA")
    assert not is_addressed("000012345678", "AAAAAAAAAAAA")
    assert not is_addressed("AAAAAAAA5679", "000012345678")
