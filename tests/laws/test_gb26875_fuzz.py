"""Hostile bytes against the GB/T 26875.3 codec: nothing but its own errors, and no growing memory.

FUZZ=long runs ten million inputs instead of a hundred thousand.
"""

import os
import random
from collections.abc import Iterator

import pytest

from device_profiles.codecs.gb26875 import LIMIT, Frame, Gb26875Error, Reader, encode, read_time
from device_profiles.codecs.gb26875_objects import PartState, PartValue, SystemConfig, SystemState, TransmitterState
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit, read_text
from device_profiles.framing import KEPT, KEPT_BYTES

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000
TAG = bytes((4, 0, 9, 2, 7, 21))


def _frame(unit: bytes, command: int = 2) -> bytes:
    return encode(
        Frame(serial=0x4040, command=command, source=b"\x79\3\0\0\0\0", destination=b"8[\1\0\0\0", sent=TAG, unit=unit)
    )


SEEDS = [
    _frame(b""),
    _frame(b"", 3),
    _frame(b"\x16"),
    _frame(encode_unit(Unit(1, (SystemState(1, 1, 2, TAG),) * 3))),
    _frame(encode_unit(Unit(2, (PartState(1, 1, 40, 0x4040_2323, 2, time=TAG),)))),
    _frame(encode_unit(Unit(3, (PartValue(11, 1, 99, 7, 5, -1, TAG),) * 5))),
    _frame(encode_unit(Unit(6, (SystemConfig(1, 1, b"@@##" * 9),)))),
    _frame(encode_unit(Unit(21, (TransmitterState(3, TAG),)))),
    _frame(b"\x80@@##" * 8),
]


def _hostile(dice: random.Random, rounds: int) -> Iterator[bytes]:
    """Random bytes and mutated frames: bytes changed, cut, spliced, marked."""
    for number in range(rounds):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(80))
            continue
        data = bytearray(dice.choice(SEEDS))
        for _ in range(dice.randrange(4)):
            place = dice.randrange(len(data) + 1)
            match dice.randrange(5):
                case 0 if data:
                    data[place % len(data)] = dice.randrange(256)
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = dice.choice(SEEDS)
                case 3:
                    data[place:place] = b"@@"
                case _:
                    data[place:place] = dice.randbytes(3)
        yield bytes(data)


def test_hostile_bytes_raise_nothing_of_others() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    reader = Reader()
    fed = taken = 0
    for data in _hostile(dice, ROUNDS):
        cut = dice.randrange(len(data) + 1)
        found = reader.feed(data[:cut]) + reader.feed(data[cut:])
        if dice.random() < 0.3:
            found += reader.flush()
        fed += len(data)
        taken += sum(len(encode(frame)) for frame in found)
        for frame in found:
            _read(frame.unit)
        _read(data)
        assert reader.held <= LIMIT + 30
        assert taken + reader.rejects.size + reader.held == fed  # every byte is accounted for
    assert len(reader.rejects.newest) <= KEPT
    assert all(len(rejected.data) <= KEPT_BYTES for rejected in reader.rejects.newest)
    assert taken


def _read(data: bytes) -> None:
    try:
        unit = parse_unit(data)
    except Gb26875Error:
        return
    if len(data) <= LIMIT:
        assert encode_unit(unit) == data
    for one in unit.objects:
        for name in ("time", "since"):
            tag = getattr(one, name, b"")
            assert not tag or read_time(tag) is None or len(tag) == 6
        if hasattr(one, "text"):
            assert isinstance(read_text(one.text), str)


@pytest.mark.parametrize("piece", [b"@", b"@@", b"@#", b"\xff", b"@@" + bytes(22) + b"\xff\x03", SEEDS[4][:-1]])
def test_a_babbling_line_grows_no_memory(piece: bytes) -> None:
    """A quarter of a megabyte of babble: what is held stays below one frame, what is kept stays bounded."""
    reader = Reader()
    for _ in range(64):
        reader.feed(piece * (4096 // len(piece)))
        assert reader.held <= LIMIT + 30
    assert len(reader.rejects.newest) <= KEPT
