"""Hostile bytes against the HJ 212 codec: nothing but its own errors, and no growing memory.

FUZZ=long runs ten million inputs instead of a hundred thousand.
"""

import os
import random
from collections.abc import Iterator

import pytest

from device_profiles.codecs.hj212 import LIMIT, Reader, encode
from device_profiles.codecs.hj212_commands import Merger, ack_of, code_of_answer
from device_profiles.codecs.hj212_sealed import open_frame
from device_profiles.codecs.hj212_segment import Hj212Error, encode_segment, parse_segment, parse_time
from device_profiles.loader import load_library
from device_profiles.maps.hj212 import decode_report
from device_profiles.maps.hj212_points import HjMap
from device_profiles.quality import Quality
from tests.laws import hj212_frames as published

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000
SEEDS = [*published.PUBLISHED.values(), published.A2_SEALED.encode(), published.A2_WHOLE_SEALED.encode()]
WORDS = [b"##", b"&&", b"CP=&&", b"CP=&&{", b"}", b";", b",", b"=", b"//", b"0x4", b"Flag=", b"\xff\xfe", b"##8192"]
MAPS = [profile.map for profile in load_library().values() if isinstance(profile.map, HjMap)]


def hostile(dice: random.Random, rounds: int) -> Iterator[bytes]:
    """Random bytes and mutated frames: bytes changed, cut, doubled, spliced, separators put in."""
    for number in range(rounds):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(64))
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
                    data[place:place] = dice.choice(WORDS)
                case _:
                    data[place:place] = dice.randbytes(3)
        yield bytes(data)


def test_hostile_bytes_raise_nothing_of_others() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    reader, merger = Reader(), Merger()
    for number, data in enumerate(hostile(dice, ROUNDS)):
        cut = dice.randrange(len(data) + 1)
        found = reader.feed(data[:cut]) + reader.feed(data[cut:])
        assert reader.held <= LIMIT + 1024
        if number % 16 == 0:
            found += reader.flush()
            assert reader.held == 0
        for whole in found:
            assert Reader().feed(encode(whole))  # what is taken can be said again
            read(whole.segment, merger)
            if whole.sealed:
                try:
                    read(open_frame(whole, published.A2_KEY).segment, merger)
                except Hj212Error:
                    continue
    assert len(reader.rejects.newest) <= 16
    assert set(reader.rejects.counts) <= {"noise", "malformed", "bad_checksum", "truncated", "oversized"}


def test_hostile_segments_raise_nothing_of_others() -> None:
    """Frames whose check is right and whose text is not: the check lets one in 256 through."""
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    merger = Merger()
    for data in hostile(dice, ROUNDS // 4):
        read(data[6:-6], merger)


def read(segment: bytes, merger: Merger) -> None:
    """Everything that is done with a segment."""
    try:
        message = parse_segment(segment)
    except Hj212Error:
        return
    merger.add(message)
    code_of_answer(message)
    parse_time(message.value("DataTime") or "")
    for map_ in MAPS:
        report = decode_report(map_, message)
        assert all(one.quality is not Quality.BAD or one.value is None for one in report.readings)
        assert len({one.point for one in report.readings}) == len(report.readings)
    try:
        encode_segment(ack_of(message))
    except ValueError as trouble:
        assert "separator" in str(trouble)


@pytest.mark.parametrize(
    "piece",
    [
        random.Random(7).randbytes(4096),
        b"#" * 4096,
        b"##" * 2048,
        b"##8192A" * 585,
        b"##1000CP=&&{0x00," * 240,
        b"##1000CP=&&{0x00}" * 240,
        b"##0020CN=1;CP=&&" * 256,
        b"##9999A" * 585,
    ],
    ids=["random", "marks", "starts", "long lengths", "open braces", "closed braces", "short", "oversized"],
)
def test_a_babbling_line_grows_no_memory(piece: bytes) -> None:
    """A quarter of a megabyte of babble: what is held stays small, and a good frame is found behind it."""
    reader = Reader()
    for _ in range(64):
        reader.feed(piece)
        assert reader.held <= LIMIT + 64
    reader.flush()
    assert reader.held == 0
    assert len(reader.rejects.newest) <= 16
    assert len(reader.feed(published.CLOCK.encode())) == 1


def test_pretended_frames_cost_no_more_than_they_are_worth() -> None:
    """Each thirteen bytes begin a frame of 7998 that ends as a frame would: not each of them is checked."""
    unit = b"##7998A&&0000"
    reader = Reader()
    assert (unit * 700)[6 + 7998 - 2 :].startswith(b"&&0000")
    for _ in range(64):
        reader.feed(unit * 700)
    reader.flush()
    assert reader.rejects.counts["bad_checksum"] < 1000
    assert len(reader.feed(published.CLOCK.encode())) == 1
