"""Hostile bytes against both meter codecs: nothing but their own errors, and no growing memory.

FUZZ=long runs ten million inputs instead of a hundred thousand.
"""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from device_profiles.codecs import cjt188, dlt645, dlt645_commands
from device_profiles.codecs.meter_frames import FrameReader, MeterExchange
from device_profiles.quality import Reason
from tests.laws import meter_frames_by_hand as by_hand

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000
SEEDS = [published.wire for published in (*by_hand.DLT645, *by_hand.CJT188)] + [
    by_hand.dlt645("000000193600", 0xB1, bytes.fromhex("00 FF 01 00") + bytes(20)),
    by_hand.dlt645("000000193600", 0x92, bytes.fromhex("00 FF 01 00") + bytes(20) + b"\x01"),
    by_hand.cjt188(0x10, "78330011223344", 0xC1, "00 21 84"),
]


def _hostile(dice: random.Random, rounds: int) -> Iterator[bytes]:
    """Random bytes and mutated frames: bytes changed, cut, doubled, spliced."""
    for number in range(rounds):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(64))
            continue
        data = bytearray(dice.choice(SEEDS))
        for _ in range(dice.randrange(4)):
            place = dice.randrange(len(data) + 1)
            match dice.randrange(4):
                case 0 if data:
                    data[place % len(data)] = dice.randrange(256)
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = dice.choice(SEEDS)
                case _:
                    data[place:place] = dice.randbytes(3)
        yield bytes(data)


def _exchanges() -> list[MeterExchange]:
    return [
        dlt645.ReadExchange("000000193600", 0x0001FF00),
        dlt645.ReadExchange(dlt645.WILDCARD, 0x9010, dlt645.E1997),
        dlt645.AddressExchange(),
        cjt188.ReadExchange(0x10, "78330011223344", 0x901F),
        cjt188.AddressExchange(),
    ]


def test_hostile_bytes_raise_nothing_of_others() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    kinds = len(_exchanges())
    for data in _hostile(dice, ROUNDS):
        cut = dice.randrange(len(data) + 1)
        exchange = _exchanges()[dice.randrange(kinds)]
        for piece in (data[:cut], data[cut:]):
            exchange.feed(piece)
            exchange.take()
            exchange.next_request()
        answer = exchange.take(silent=True)
        assert answer is not None or isinstance(exchange.conclude(), Reason)
        reader, water = dlt645.Reader(), cjt188.Reader()
        for frame in reader.feed(data[:cut]) + reader.feed(data[cut:]) + reader.flush():
            assert dlt645.Reader().feed(dlt645.encode(frame)) == [frame]
            _parse(frame)
        for other in water.feed(data[:cut]) + water.feed(data[cut:]) + water.flush():
            assert cjt188.Reader().feed(cjt188.encode(other)) == [other]
            _parse_188(other)
        assert reader.held == water.held == 0
        assert b"".join(stray.data for stray in dlt645.sort_strays(data)) == data
        assert b"".join(stray.data for stray in cjt188.sort_strays(data)) == data


def _parse(frame: dlt645.Frame) -> None:
    for parse in (
        dlt645.parse_address,
        dlt645_commands.parse_write,
        dlt645_commands.parse_relay,
        dlt645_commands.parse_time,
        dlt645_commands.parse_freeze,
        dlt645_commands.parse_speed,
    ):
        try:
            parse(frame)
        except dlt645.Dlt645Error:
            continue


def _parse_188(frame: cjt188.Frame) -> None:
    try:
        cjt188.parse_valve(frame)
    except cjt188.Cjt188Error:
        return


@pytest.mark.parametrize("kind", ["random", "ff", "frames", "starts", "preamble"])
def test_a_babbling_line_grows_no_memory(kind: str) -> None:
    """A quarter of a megabyte of babble into exchanges and readers: what they hold stays small."""
    dice = random.Random(7)
    piece = {
        "random": dice.randbytes(4096),
        "ff": b"\xff" * 4096,
        "frames": by_hand.dlt645("000099999998", 0x91, "00 00 01 00") * 256,
        "starts": bytes.fromhex("68 10 00 00 00 00 00 68 81 C8 FF") * 372,
        "preamble": b"\xfe" * 4096,
    }[kind]
    readers: list[FrameReader[Any]] = [dlt645.Reader(), cjt188.Reader()]
    exchanges = _exchanges()
    for _ in range(64):
        for reader in readers:
            reader.feed(piece)
            assert reader.held < 2000
        for exchange in exchanges:
            exchange.feed(piece)
            exchange.take()
    for exchange in exchanges:
        held = len(exchange.rest) + sum(len(stray.data) + 100 for stray in exchange.strays)
        assert held < 45_000


def test_the_bytes_add_up() -> None:
    """Used and rejected bytes are all there were, however they were cut (preambles are neither)."""
    dice = random.Random(3)
    for data in _hostile(dice, 2000):
        data = data.replace(b"\xfe", b"\xfd")
        pairs: list[tuple[FrameReader[Any], Callable[[Any], bytes]]] = [
            (dlt645.Reader(), dlt645.encode),
            (cjt188.Reader(), cjt188.encode),
        ]
        for reader, encode in pairs:
            frames: list[Any] = []
            for at in range(0, len(data), 7):
                frames += reader.feed(data[at : at + 7])
            frames += reader.flush()
            used = sum(len(encode(frame)) for frame in frames)
            assert used + reader.rejects.size == len(data)
