"""Requests that do something and are answered with the byte count 0, and writes of no registers.

Their frames are those that the manuals of Yosemitech's optical heads print (EnviroDIY/YosemitechModbus, doc/, v0.3.0):
the reply to "start" and "stop" is address, function, 00 and the check.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.modbus_ascii import AsciiExchange
from device_profiles.codecs.modbus_ascii import frame as ascii_frame
from device_profiles.codecs.modbus_pdu import (
    Read,
    Trigger,
    WriteMany,
    decode_request,
    encode_exception,
    encode_reply,
    encode_request,
    match_reply,
    reply_length,
    reply_size,
)
from device_profiles.codecs.modbus_rtu import RtuExchange, RtuRequestReader, crc16, frame, sort_strays
from device_profiles.codecs.modbus_tcp import TcpExchange
from device_profiles.codecs.modbus_tcp import frame as tcp_frame
from device_profiles.profiles import Step
from device_profiles.quality import Reason
from device_profiles.steps import request_of

START, STOP = Trigger(3, 0x2500), Trigger(3, 0x2E00)
DONE = bytes.fromhex("010300") + crc16(bytes.fromhex("010300")).to_bytes(2, "little")
"""The manuals' reply to both."""

triggers = st.builds(Trigger, st.sampled_from([3, 4]), st.integers(0, 0xFF00), st.integers(1, 125))


def test_the_manuals_reply_is_the_whole_answer() -> None:
    assert DONE.hex(" ").upper() == "01 03 00 20 F0"
    for request in (START, STOP):
        exchange = RtuExchange(1, request)
        exchange.feed(DONE)
        answer = exchange.take()
        assert answer is not None and (answer.data, answer.exception, answer.frame) == (b"", 0, DONE)
        assert frame(1, encode_reply(request)) == DONE


@given(triggers, st.integers(1, 247))
def test_it_is_asked_as_a_read_is(request: Trigger, unit: int) -> None:
    alike = Read(request.function, request.address, request.count)
    assert encode_request(request) == encode_request(alike)
    assert decode_request(encode_request(request)) == alike
    assert RtuRequestReader().feed(RtuExchange(unit, request).request()) == [(unit, encode_request(alike))]


@given(triggers, st.integers(1, 247))
def test_its_answer_comes_byte_by_byte_in_every_framing(request: Trigger, unit: int) -> None:
    pdu = encode_reply(request)
    assert len(pdu) == reply_size(request) == reply_length(pdu) == 2
    for exchange, whole in (
        (RtuExchange(unit, request), frame(unit, pdu)),
        (TcpExchange(unit, request, 7), tcp_frame(7, unit, pdu)),
        (AsciiExchange(unit, request), ascii_frame(unit, pdu)),
    ):
        for place in range(len(whole)):
            assert exchange.take() is None
            exchange.feed(whole[place : place + 1])
        answer = exchange.take()
        assert answer is not None and (answer.data, answer.exception) == (b"", 0)


@given(triggers, st.binary(min_size=1, max_size=60))
def test_values_are_no_answer_to_it_and_it_is_none_to_a_read(request: Trigger, data: bytes) -> None:
    assert match_reply(request, bytes([request.function, len(data)]) + data) is None
    read = Read(request.function, request.address, request.count)
    assert match_reply(read, encode_reply(request)) is None


@given(triggers, st.integers(1, 255))
def test_a_refusal_is_an_exception(request: Trigger, code: int) -> None:
    exchange = RtuExchange(9, request)
    exchange.feed(frame(9, encode_exception(request.function, code)))
    answer = exchange.take()
    assert answer is not None and answer.exception == code


def test_damage_silence_and_late_ones() -> None:
    exchange = RtuExchange(1, START)
    assert exchange.conclude() is Reason.TIMEOUT
    exchange.feed(DONE[:-1] + bytes([DONE[-1] ^ 1]))
    assert exchange.take(silent=True) is None and exchange.conclude() is Reason.BAD_CHECKSUM
    (late,) = sort_strays(DONE)
    assert (late.reason, late.unit, late.shape) == (Reason.LATE, 1, (3, len(DONE)))


@pytest.mark.parametrize("address", [0x1C00, 0x3100])
def test_a_write_of_no_registers(address: int) -> None:
    request = WriteMany(16, address, 0, b"")
    pdu = encode_request(request)
    assert pdu == bytes([16, *address.to_bytes(2, "big"), 0, 0, 0])
    assert decode_request(pdu) == request
    exchange = RtuExchange(1, request)
    assert RtuRequestReader().feed(exchange.request()) == [(1, pdu)]
    exchange.feed(frame(1, encode_reply(request)))
    answer = exchange.take()
    assert answer is not None and answer.data == b"" and not answer.exception


def test_a_trigger_stays_within_the_standards_bounds() -> None:
    for wrong in (Trigger(3, 0, 0), Trigger(3, 0, 126), Trigger(3, 0xFFFF, 2), Trigger(4, -1)):
        with pytest.raises(ValueError):
            encode_request(wrong)


def test_steps_become_requests() -> None:
    assert request_of(Step(3, 0x2500, 1, None, True)) == START
    assert encode_request(request_of(Step(16, 0x1C00))).hex() == "101c00000000"
    assert encode_request(request_of(Step(16, 2, 0, 0x1E00))).hex() == "1000020001021e00"
    assert encode_request(request_of(Step(6, 2, 0, 3))).hex() == "0600020003"
    with pytest.raises(ValueError):
        request_of(Step(3, 0x2500, 1))
