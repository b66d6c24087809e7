"""Hostile bytes against the Modbus codec: nothing but its own errors, and no growing memory.

FUZZ=long runs ten million inputs instead of a hundred thousand.
"""

import os
import random
from collections.abc import Iterator

import pytest

from device_profiles.codecs import modbus_rtu, modbus_tcp
from device_profiles.codecs.modbus_pdu import (
    ModbusError,
    Read,
    Request,
    WriteMany,
    WriteOne,
    decode_request,
    encode_exception,
    encode_reply,
    encode_request,
    match_reply,
)
from device_profiles.codecs.modbus_rtu import RtuExchange, RtuRequestReader
from device_profiles.codecs.modbus_tcp import TcpExchange, TcpRequestReader
from device_profiles.quality import Reason

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000


def _seeds() -> list[bytes]:
    asked: list[Request] = [Read(3, 0, 2), Read(4, 7, 125), Read(1, 3, 19), WriteOne(6, 1, 2)]
    asked.append(WriteMany(16, 9, 3, b"abcdef"))
    found: list[bytes] = []
    for request in asked:
        data = bytes(request.data_bytes) if isinstance(request, Read) else b""
        for pdu in (encode_request(request), encode_reply(request, data), encode_exception(request.function, 2)):
            found += [modbus_rtu.frame(1, pdu), modbus_tcp.frame(0x0102, 1, pdu)]
    return found


def _hostile(dice: random.Random, rounds: int) -> Iterator[bytes]:
    """Random bytes and mutated frames: bits flipped, cut, doubled, spliced."""
    seeds = _seeds()
    for number in range(rounds):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(64))
            continue
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(4)):
            place = dice.randrange(len(data) + 1)
            match dice.randrange(4):
                case 0 if data:
                    data[place % len(data)] = dice.randrange(256)
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = dice.choice(seeds)
                case _:
                    data[place:place] = dice.randbytes(3)
        yield bytes(data)


def test_hostile_bytes_raise_nothing_of_others() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    requests: list[Request] = [Read(3, 0, 2), Read(1, 3, 19), WriteOne(5, 1, 1), WriteMany(16, 9, 3, b"abcdef")]
    for data in _hostile(dice, ROUNDS):
        request = requests[dice.randrange(len(requests))]
        cut = dice.randrange(len(data) + 1)
        rtu: RtuExchange | TcpExchange = RtuExchange(1, request, echo=dice.random() < 0.2)
        tcp: RtuExchange | TcpExchange = TcpExchange(1, request, 0x0102)
        for exchange in (rtu, tcp):
            for piece in (data[:cut], data[cut:]):
                exchange.feed(piece)
                exchange.take()
            answer = exchange.take(silent=True)
            if answer is None:
                assert isinstance(exchange.conclude(), Reason)
            else:
                assert answer.exception or len(answer.data) == (request.data_bytes if isinstance(request, Read) else 0)
        for unit, pdu in RtuRequestReader().feed(data):
            assert 0 <= unit <= 255
            _read_request(pdu)
        for _, _, pdu in TcpRequestReader().feed(data):
            _read_request(pdu)
        match_reply(request, data)


def _read_request(pdu: bytes) -> None:
    try:
        request = decode_request(pdu)
    except ModbusError as trouble:
        assert 1 <= trouble.code <= 11
        return
    assert encode_request(request) == pdu


@pytest.mark.parametrize("kind", ["random", "ff", "frames", "starts"])
def test_a_babbling_line_grows_no_memory(kind: str) -> None:
    """A quarter of a megabyte of babble into one exchange and one reader: what they hold stays small."""
    dice = random.Random(7)
    piece = {
        "random": dice.randbytes(4096),
        "ff": b"\xff" * 4096,
        "frames": modbus_rtu.frame(2, b"\x03\x04abcd") * 455,
        "starts": bytes.fromhex("0103FA") * 1365,
    }[kind]
    exchange, tcp = RtuExchange(1, Read(3, 0, 125)), TcpExchange(1, Read(3, 0, 125), 1)
    reader, tcp_reader = RtuRequestReader(), TcpRequestReader()
    for _ in range(64):
        exchange.feed(piece)
        exchange.take()
        tcp.feed(piece)
        tcp.take()
        reader.feed(piece)
        tcp_reader.feed(piece)
    assert _held(exchange) + _held(tcp) + _held(reader) + _held(tcp_reader) < 120_000
    assert exchange.take(silent=True) is None


def _held(machine: object) -> int:
    """Bytes that a machine keeps, in buffers and strays."""
    total = 0
    for value in vars(machine).values():
        parts = [stray.data for stray in value] if isinstance(value, list) else [value]
        total += sum(len(part) + 100 for part in parts if isinstance(part, (bytes, bytearray)))
    return total
