"""Hostile bytes against the JT/T 808 codec: nothing but its own errors, and no growing memory.

FUZZ=long runs ten million inputs instead of a hundred thousand.
"""

import os
import random
from collections.abc import Callable, Iterator

import pytest

from device_profiles.codecs.jt808 import MAX_PIECE, Frame, Reader, encode
from device_profiles.codecs.jt808_messages import (
    parse_ack,
    parse_authentication,
    parse_media,
    parse_media_ack,
    parse_parameters,
    parse_registered,
    parse_registration,
    parse_send_again,
)
from device_profiles.codecs.jt808_parts import MOST_BYTES, Assembler, split
from device_profiles.codecs.jt808_position import (
    Jt808Error,
    Position,
    encode_batch,
    encode_position,
    parse_batch,
    parse_position,
)

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000
SPOT = Position(alarms=2, status=3, latitude=31_020_000, longitude=109_460_000, extras=((1, bytes(4)), (0x31, b"\x7e")))
PARSERS: tuple[Callable[[bytes], object], ...] = (
    parse_position,
    parse_batch,
    parse_ack,
    parse_registered,
    parse_send_again,
    parse_media,
    parse_media_ack,
    parse_parameters,
)


def _seeds() -> list[bytes]:
    body = encode_position(SPOT)
    found = []
    for edition in (2013, 2019):
        plain = [(0x0200, body), (0x0704, encode_batch(1, [SPOT, SPOT])), (0x0002, b""), (0x0100, bytes(90))]
        frames = [Frame(message=id, number="138001", serial=7, body=data, edition=edition) for id, data in plain]
        found += [encode(part) for frame in frames for part in (*split(frame, 40), frame)]
    return found


def _hostile(dice: random.Random, rounds: int) -> Iterator[bytes]:
    """Random bytes and mutated frames: bits flipped, cut, doubled, spliced, marks strewn in."""
    seeds = _seeds()
    for number in range(rounds):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(64))
            continue
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(4)):
            place = dice.randrange(len(data) + 1)
            match dice.randrange(5):
                case 0 if data:
                    data[place % len(data)] = dice.randrange(256)
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = dice.choice(seeds)
                case 3:
                    data[place:place] = dice.choice((b"\x7e", b"\x7d", b"\x7d\x01", b"\x7e\x7e"))
                case _:
                    data[place:place] = dice.randbytes(3)
        yield bytes(data)


def test_hostile_bytes_raise_nothing_of_others() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    strict, lenient, assembler = Reader(), Reader(lenient=True), Assembler()
    taken = 0
    for data in _hostile(dice, ROUNDS):
        cut = dice.randrange(len(data) + 1)
        for reader in (strict, lenient):
            for frame in (*reader.feed(data[:cut]), *reader.feed(data[cut:])):
                taken += 1
                _read_body(frame)
                _same_again(frame)
                assembler.add(frame)
            assert reader.held <= MAX_PIECE
        assert assembler.held <= MOST_BYTES
        if dice.random() < 0.01:
            strict.flush()
            lenient.flush()
        for parser in PARSERS:
            _try(parser, data)
    assert taken > ROUNDS / 10  # the mutations are no mere noise


def _read_body(frame: Frame) -> None:
    _try(parse_registration, frame)
    _try(parse_authentication, frame)
    for parser in PARSERS:
        _try(parser, frame.body)


def _same_again(frame: Frame) -> None:
    """What was read can be built, and reads the same."""
    if not frame.odd:
        assert Reader().feed(encode(frame)) == [frame]


def _try(parser: Callable[..., object], data: object) -> None:
    try:
        parsed = parser(data)
    except Jt808Error:
        return
    if isinstance(parsed, Position):
        assert encode_position(parsed) == data
        assert parsed.at is None or isinstance(parsed.at, int)


@pytest.mark.parametrize("kind", ["random", "marks", "escapes", "frames", "parts"])
def test_a_babbling_line_grows_no_memory(kind: str) -> None:
    """A quarter of a megabyte of babble into one reader and one assembler: what they hold stays small."""
    dice = random.Random(7)
    unfinished = split(Frame(message=1, number="1", serial=5, body=bytes(9999)))[:-1]
    piece = {
        "random": dice.randbytes(4096),
        "marks": b"\x7e" * 4096,
        "escapes": b"\x7d" * 4096,
        "frames": b"".join(_seeds()),
        "parts": b"".join(encode(part) for part in unfinished),
    }[kind]
    reader, assembler = Reader(), Assembler()
    for _ in range(64):
        for frame in reader.feed(piece):
            assembler.add(frame)
    kept = sum(len(one.data) for one in (*reader.rejects.newest, *assembler.rejects.newest))
    assert reader.held + assembler.held + kept < 120_000
