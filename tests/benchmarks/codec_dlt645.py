"""DL/T 645 frames decoded a second on one core, beside PyPI's `dlt645`: the same frames in the same run.

Once each frame arrives as one piece, as from a serial port, and once the stream comes in pieces of 64 bytes, as from a
serial server. The library is not a dependency: put it, and its loguru, on PYTHONPATH.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from device_profiles.codecs.dlt645 import Frame, Reader, encode
from device_profiles.loader import load_library
from device_profiles.maps import dlt645
from tests.benchmarks.processes import Row, row, say

TARGET = 3.0
ROUNDS = 5
"""The best of so many counts: a busy machine only ever makes it slower."""
PIECE = 64
ITEMS = {0x00010000: 4, 0x0001FF00: 20, 0x02010100: 2, 0x02020100: 3, 0x02030000: 3, 0x02060000: 2}
"""Identifiers and the bytes that answer them."""


def frames(count: int) -> list[bytes]:
    """Answers of a street's meters, each behind four FE."""
    dice = random.Random(645)
    found = []
    for _ in range(count):
        item = dice.choice(sorted(ITEMS))
        digits = "".join(dice.choice("0123456789") for _ in range(2 * ITEMS[item]))
        address = f"{dice.randrange(10**12):012d}"
        found.append(encode(Frame(address, 0x91, item.to_bytes(4, "little") + bytes.fromhex(digits)), 4))
    return found


def rate(decode: Callable[[Sequence[bytes]], int], pieces: Sequence[bytes], expected: int) -> float:
    """Frames a second, the best of several runs."""
    best = 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        count = decode(pieces)
        best = max(best, count / (time.perf_counter() - began))
        assert count == expected
    return best


def ours(pieces: Sequence[bytes]) -> int:
    """Through our reader."""
    reader = Reader()
    return sum(len(reader.feed(piece)) for piece in pieces)


def theirs() -> Callable[[Sequence[bytes]], int] | None:
    """Through the library's stream decoder; None where it is not installed."""
    try:
        from dlt645.protocol.protocol import (  # type: ignore[import-not-found]  # no dependency of ours
            DLT645Protocol,
        )
    except ImportError:
        return None

    def decode(pieces: Sequence[bytes]) -> int:
        count, held = 0, b""
        for piece in pieces:
            held, frame = DLT645Protocol.deserialize_with_remaining(held + piece)
            while frame is not None:
                count += 1
                held, frame = DLT645Protocol.deserialize_with_remaining(held) if held else (held, None)
        return count

    return decode


def values(count: int) -> float:
    """Values a second out of the block of energies, as the bus gets them: frame, answer, five values."""
    profile = load_library()["generic-dlt645-single"]
    map_ = profile.map
    assert isinstance(map_, dlt645.Dlt645Map)
    wanted = [point for point in profile.points if point.name.startswith("energy_t")]
    (read,) = dlt645.plan_reads(map_, "000012345678", wanted, lambda point: point.period)
    reply = encode(Frame("000012345678", 0x91, bytes.fromhex("00FF0100") + bytes(20)), 4)
    best = 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(count):
            exchange = read.exchange()
            exchange.feed(reply)
            answer = exchange.take()
            assert answer is not None
            read.decode(answer.data)
        best = max(best, count * len(wanted) / (time.perf_counter() - began))
    return best


def measure(quick: bool = False) -> list[Row]:
    """Frames a second, values a second, and how many times the library's speed that is."""
    whole = frames(2_000 if quick else 20_000)
    count, stream = len(whole), b"".join(whole)
    cut = [stream[at : at + PIECE] for at in range(0, len(stream), PIECE)]
    say(f"DL/T 645: {count} frames")
    peer = theirs()
    rows = [row("DL/T 645: values read, exchange included", values(count // 10), "1/s")]
    for name, pieces in (("frame by frame", whole), (f"in pieces of {PIECE} bytes", cut)):
        mine = rate(ours, pieces, count)
        rows.append(row(f"DL/T 645: frames decoded, {name}", mine, "1/s"))
        name = f"DL/T 645: times the library dlt645, {name}"
        if peer is None:
            rows.append(row(name, 0.0, "not installed", f"≥ {TARGET:g}"))
            continue
        times = mine / rate(peer, pieces, count)
        rows.append(row(name, times, "ratio", f"≥ {TARGET:g}", times >= TARGET))
    return rows


if __name__ == "__main__":
    for line in measure():
        print(line)
