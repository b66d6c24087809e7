"""CJ/T 188 frames decoded a second on one core. No public Python or npm library decodes them to compare with."""

from __future__ import annotations

import random
from collections.abc import Sequence

from device_profiles.codecs.cjt188 import Frame, Reader, encode
from tests.benchmarks.codec_dlt645 import rate
from tests.benchmarks.processes import Row, row, say


def frames(count: int) -> list[bytes]:
    """Answers of water and heat meters, each behind two FE."""
    dice = random.Random(188)
    found = []
    for _ in range(count):
        kind, size = dice.choice([(0x10, 19), (0x20, 43)])
        address = f"{dice.randrange(16**14):014X}"
        found.append(encode(Frame(kind, address, 0x81, bytes.fromhex("1F9000") + dice.randbytes(size)), 2))
    return found


def ours(pieces: Sequence[bytes]) -> int:
    """Through our reader."""
    reader = Reader()
    return sum(len(reader.feed(piece)) for piece in pieces)


def measure(quick: bool = False) -> list[Row]:
    """Frames a second."""
    pieces = frames(2_000 if quick else 20_000)
    say(f"CJ/T 188: {len(pieces)} frames")
    return [row("CJ/T 188: frames decoded", rate(ours, pieces, len(pieces)), "1/s")]


if __name__ == "__main__":
    for line in measure():
        print(line)
