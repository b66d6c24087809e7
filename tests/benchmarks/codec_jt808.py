"""JT/T 808 frames decoded and built a second on one core: a position report of 2013 with seven extra items.

There is nothing to compare with: of PyPI's names only `tongue` speaks of JT/T 808, a source distribution of 1.2 kB that
does not build; npm has no package of the usual names (both asked in November 2026).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from device_profiles.codecs.jt808 import Frame, Reader, encode
from device_profiles.codecs.jt808_position import encode_position, parse_position
from tests.benchmarks.processes import Row, row

PUBLISHED = bytes.fromhex(
    "7E0200003C0400216820871D0C00000000000C00C2015B6C6E06C85698001E000000E0180916103537010400054C7D01020200000302000025"
    "04000000002B040000000030011D31010D977E"
)
"""SmallChi/JT808, JT808_0x0200Test Test6: 76 bytes on the wire, one of them escaped."""


def measure(quick: bool) -> list[Row]:
    """Frames a second: cut, unescaped, checked and parsed, and the way back."""
    count = 2_000 if quick else 50_000
    (frame,) = Reader().feed(PUBLISHED)
    return [
        row("JT/T 808 positions cut, checked and parsed (no peer published)", _rate(_decode, count), "frames/s"),
        row("JT/T 808 positions built", _rate(_encoder(frame), count), "frames/s"),
    ]


def _rate(work: Callable[[int], None], count: int) -> float:
    work(count // 10)
    began = time.perf_counter()
    work(count)
    return count / (time.perf_counter() - began)


def _decode(count: int) -> None:
    """Frames as they come in reads of some ten each."""
    reader, read = Reader(), PUBLISHED * 10
    for _ in range(count // 10):
        for frame in reader.feed(read):
            parse_position(frame.body)


def _encoder(frame: Frame) -> Callable[[int], None]:
    position = parse_position(frame.body)

    def work(count: int) -> None:
        for serial in range(count):
            encode(Frame(message=0x0200, number=frame.number, serial=serial & 0xFFFF, body=encode_position(position)))

    return work
