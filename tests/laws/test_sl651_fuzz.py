"""Hostile bytes against the SL 651 codec: nothing but its own errors, and no growing memory.

FUZZ=long runs ten million inputs instead of a hundred thousand.
"""

import os
import random
from collections.abc import Iterator

import msgspec
import pytest

from device_profiles.codecs.sl651 import LIMIT, Frame, Reader, Sl651Error, encode
from device_profiles.codecs.sl651_body import LINK
from device_profiles.codecs.sl651_messages import confirm, encode_message, parse_message, split_stations
from device_profiles.codecs.sl651_packets import MOST_BYTES, MOST_MESSAGES, Assembler
from device_profiles.loader import load_library
from device_profiles.maps.sl651 import SlMap, alarms_of, decode_report
from device_profiles.quality import Quality
from tests.laws import sl651_frames as published

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000
SEEDS = [published.data(name) for name in published.ALL]
BODIES = [frame for seed in SEEDS for frame in Reader().feed(seed)]
WORDS = [b"\x7e\x7e", b"\x01", b"\xf0\xf0", b"\xf1\xf1", b"\x04\x18", b"\xff", b"\x45\x20", b"\xf4\x60", b" M ", b"ST "]
WORDS += [b"DRN05 ", b"TT ", b"\xf2\xf2", b"\xf3\xf3", b"\x16", b"0FFF"]
MAPS = [profile.map for profile in load_library().values() if isinstance(profile.map, SlMap)]


def mutated(dice: random.Random, data: bytearray, spare: list[bytes]) -> bytes:
    """A few bytes changed, cut, doubled, spliced, marks put in."""
    for _ in range(dice.randrange(4)):
        place = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0 if data:
                data[place % len(data)] = dice.randrange(256)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = dice.choice(spare)
            case 3:
                data[place:place] = dice.choice(WORDS)
            case _:
                data[place:place] = dice.randbytes(3)
    return bytes(data)


def hostile(dice: random.Random, rounds: int) -> Iterator[bytes]:
    """Random bytes and mutated frames."""
    for number in range(rounds):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(64))
        else:
            yield mutated(dice, bytearray(dice.choice(SEEDS)), SEEDS)


def test_hostile_bytes_raise_nothing_of_others() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    reader, assembler = Reader(), Assembler()
    for number, data in enumerate(hostile(dice, ROUNDS)):
        cut = dice.randrange(len(data) + 1)
        found = reader.feed(data[:cut]) + reader.feed(data[cut:])
        assert reader.held <= LIMIT + 64
        if number % 16 == 0:
            found += reader.flush()
            assert reader.held == 0
        for frame in found:
            assert Reader().feed(encode(frame)) == [frame]  # what is taken can be said again
            read(frame, assembler)
    assert len(reader.rejects.newest) <= 16
    assert set(reader.rejects.counts) <= {"noise", "malformed", "bad_checksum", "truncated"}


def test_hostile_bodies_raise_nothing_of_others() -> None:
    """Frames whose check is right and whose body is not: every maker's mistakes."""
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    assembler = Assembler()
    for _ in range(ROUNDS // 2):
        frame = dice.choice(BODIES)
        body = mutated(dice, bytearray(frame.body), [one.body for one in BODIES])[:LIMIT]
        change = {"function": dice.randrange(256)} if dice.random() < 0.1 else {}
        if dice.random() < 0.1:
            total = dice.randrange(1, 6)
            change["packet"] = (total, dice.randrange(1, total + 1))  # type: ignore[assignment]  # any field of a frame
        read(msgspec.structs.replace(frame, body=body, **change), assembler)
        assert assembler.held <= MOST_MESSAGES * MOST_BYTES


def read(frame: Frame, assembler: Assembler) -> None:
    """What a session does with a frame."""
    whole = assembler.add(frame, 0).whole if frame.packet is not None else frame
    if whole is None:
        return
    try:
        message = parse_message(whole)
    except Sl651Error:
        return
    if not message.down and message.function != LINK:
        answer = encode_message(confirm(message, 1_795_262_400_000_000))
        assert Reader().feed(encode(answer)) == [answer]
    for one in split_stations(message):
        for map_ in MAPS:
            report = decode_report(map_, one, alarms_of(one))
            assert all((reading.value is None) == (reading.quality is Quality.BAD) for reading in report.readings)


@pytest.mark.parametrize("kind", ["random", "marks", "soh", "frames", "long"])
def test_a_babbling_line_grows_no_memory(kind: str) -> None:
    """A quarter of a megabyte of babble: what is held stays small."""
    piece = {
        "random": random.Random(7).randbytes(4096),
        "marks": b"\x7e" * 4096,
        "soh": b"\x01" + b"0" * 22 + b"\x02" * 4,
        "frames": SEEDS[1] * 40,
        "long": bytes.fromhex("7E7E01001234567812342F0FFF02") * 100,
    }[kind]
    reader = Reader()
    for _ in range(262_144 // len(piece)):
        reader.feed(piece)
        assert reader.held <= LIMIT + 64
    assert sum(len(rejected.data) for rejected in reader.rejects.newest) <= 16 * 512
