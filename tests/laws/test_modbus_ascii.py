"""Modbus ASCII (MODBUS over Serial Line V1.02, 2.5.2) against pymodbus' framer, and against every kind of damage."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.ascii import FramerAscii
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadHoldingRegistersResponse

from device_profiles.codecs.modbus_ascii import AsciiExchange, AsciiRequestReader, frame, lrc, sort_strays
from device_profiles.codecs.modbus_pdu import Read, encode_exception, encode_reply, encode_request
from device_profiles.quality import Reason

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000
units = st.integers(1, 247)
words = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=60)


def reply(unit: int, values: list[int]) -> bytes:
    """As pymodbus would send it."""
    pdu = ReadHoldingRegistersResponse(registers=values, dev_id=unit)
    return bytes(FramerAscii(DecodePDU(False)).buildFrame(pdu))


def packed(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def test_the_standards_own_check() -> None:
    """A frame's bytes with its LRC sum up to zero (2.5.2.2)."""
    body = bytes.fromhex("0103000A0001")
    assert (sum(body) + lrc(body)) & 0xFF == 0
    assert frame(1, body[1:]) == b":0103000A0001F1\r\n"


@given(units, st.integers(0, 0xFFFF - 125), st.integers(1, 125))
def test_requests_are_those_of_pymodbus(unit: int, address: int, count: int) -> None:
    exchange = AsciiExchange(unit, Read(3, address, count))
    theirs = FramerAscii(DecodePDU(True)).buildFrame(
        ReadHoldingRegistersRequest(address=address, count=count, dev_id=unit)
    )
    assert exchange.request() == theirs
    assert AsciiRequestReader().feed(theirs) == [(unit, encode_request(Read(3, address, count)))]


@given(units, words)
def test_replies_of_pymodbus_are_read_one_byte_at_a_time(unit: int, values: list[int]) -> None:
    exchange, whole = AsciiExchange(unit, Read(3, 0, len(values))), reply(unit, values)
    for byte in whole[:-1]:
        exchange.feed(bytes([byte]))
        assert exchange.take() is None
        assert exchange.started
    exchange.feed(whole[-1:])
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception, answer.frame) == (packed(values), 0, whole)


@given(units, words, st.binary(max_size=40), st.binary(max_size=40))
def test_garbage_before_and_after(unit: int, values: list[int], before: bytes, after: bytes) -> None:
    exchange = AsciiExchange(unit, Read(3, 0, len(values)))
    exchange.feed(before + reply(unit, values) + after)
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.data == packed(values)
    assert exchange.rest == after
    assert b"".join(stray.data for stray in exchange.strays) == before


@given(units, words)
def test_behind_another_reply_and_our_own_echo(unit: int, values: list[int]) -> None:
    exchange = AsciiExchange(unit, Read(3, 0, len(values)))
    other = frame(unit % 247 + 1, encode_reply(Read(3, 0, 1), b"\0\1"))
    exchange.feed(exchange.request() + other + reply(unit, values))
    answer = exchange.take()
    assert answer is not None
    assert answer.data == packed(values)
    assert [stray.reason for stray in exchange.strays] == [Reason.ECHO, Reason.LATE]


@given(units, words, st.data())
def test_damage_is_no_answer_and_a_good_frame_behind_it_is_one(
    unit: int, values: list[int], data: st.DataObject
) -> None:
    exchange, whole = AsciiExchange(unit, Read(3, 0, len(values))), reply(unit, values)
    place = data.draw(st.integers(1, len(whole) - 3))
    digit = data.draw(st.sampled_from([d for d in b"0123456789ABCDEF" if d != whole[place]]))
    exchange.feed(whole[:place] + bytes([digit]) + whole[place + 1 :])
    assert exchange.take() is None
    assert exchange.conclude() in (Reason.BAD_CHECKSUM, Reason.TIMEOUT)  # a wrong address is somebody else's
    exchange.feed(whole[: data.draw(st.integers(1, len(whole) - 1))])
    exchange.take()
    exchange.feed(whole)  # a colon begins anew, whatever was unfinished
    answer = exchange.take()
    assert answer is not None
    assert answer.data == packed(values)


def test_why_there_is_no_answer() -> None:
    def concluded(data: bytes) -> Reason:
        exchange = AsciiExchange(1, Read(3, 0, 1))
        exchange.feed(data)
        assert exchange.take(silent=True) is None
        return exchange.conclude()

    assert concluded(b"") is Reason.TIMEOUT
    assert concluded(b":010302") is Reason.TRUNCATED
    assert concluded(b"xyz") is Reason.NOISE
    assert concluded(b":0103020001FA\r\n") is Reason.BAD_CHECKSUM
    assert concluded(b":01 03 02 00 01 F9\r\n") is Reason.MALFORMED


def test_exceptions_and_a_lost_carriage_return() -> None:
    exchange = AsciiExchange(1, Read(3, 0, 1))
    exchange.feed(frame(1, encode_exception(3, 2)).replace(b"\r", b""))
    answer = exchange.take()
    assert answer is not None
    assert answer.exception == 2


def test_late_frames_are_told_with_unit_and_shape() -> None:
    late = frame(7, encode_reply(Read(4, 0, 2), b"\0\1\0\2"))
    strays = sort_strays(b"??" + late + b":0703")
    assert [(stray.reason, stray.unit, stray.shape) for stray in strays] == [
        (Reason.NOISE, None, None),
        (Reason.LATE, 7, (4, 6, 1)),
        (Reason.NOISE, None, None),
    ]
    assert b"".join(stray.data for stray in strays) == b"??" + late + b":0703"


def test_hostile_bytes_raise_nothing() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    good = [reply(1, [1, 2]), frame(1, encode_exception(3, 2)), frame(2, encode_request(Read(3, 0, 2)))]
    for _ in range(ROUNDS):
        data = bytearray(dice.choice([*good, dice.randbytes(dice.randrange(40)), b":" * 5, b"\n"]))
        for _ in range(dice.randrange(3)):
            place = dice.randrange(len(data) + 1)
            data[place:place] = dice.choice([b":", b"\r\n", b"0", dice.randbytes(2)])
        exchange = AsciiExchange(1, Read(3, 0, 2))
        exchange.feed(bytes(data))
        answer = exchange.take(silent=True)
        if answer is None:
            assert isinstance(exchange.conclude(), Reason)
        else:
            assert answer.exception or len(answer.data) == 4
        AsciiRequestReader().feed(bytes(data))
        assert b"".join(stray.data for stray in sort_strays(bytes(data))) == data


@pytest.mark.parametrize("piece", [b":" * 4096, b"\xff" * 4096, b":0103" * 800, b"0" * 4096])
def test_a_babbling_line_grows_no_memory(piece: bytes) -> None:
    exchange, reader = AsciiExchange(1, Read(3, 0, 125)), AsciiRequestReader()
    for _ in range(64):
        exchange.feed(piece)
        exchange.take()
        reader.feed(piece)
    assert len(exchange.rest) + sum(len(stray.data) for stray in exchange.strays) < 50_000
    assert len(reader._buffer) <= 4096
