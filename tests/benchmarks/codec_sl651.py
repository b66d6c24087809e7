"""SL 651 on one core: frames cut out of a stream and parsed, reports read by a profile, pictures put together.

No library for SL 651 is published in Python's or Node's registry (both were asked, November 2026), so there is no peer.
"""

from __future__ import annotations

import time

from device_profiles.codecs.sl651 import Frame, Reader, encode
from device_profiles.codecs.sl651_messages import encode_message, parse_message
from device_profiles.codecs.sl651_packets import Assembler, split_frame
from device_profiles.loader import load_library
from device_profiles.maps.sl651 import SlMap, decode_report, encode_report
from tests.benchmarks.processes import Row, row, say

ROUNDS = 20_000
AT = 1_790_000_000_000_000
STATION = bytes.fromhex("5002360011")
PICTURE = 60_000
"""Bytes of a picture, in packets of 700."""


def _wire(map_: SlMap, ascii: bool) -> bytes:
    """A river station's timed report: rain, level, voltage, state; some 80 bytes."""
    values = {point.name: sum(point.range or (0, 0)) / 2 for point in map_.points}
    return encode(encode_message(encode_report(map_, values, AT, station=STATION, ascii=ascii)))


def _cut(wire: bytes, rounds: int) -> float:
    """Frames a second, cut, checked and parsed."""
    stream, reader = wire * 40, Reader()
    begin = time.perf_counter()
    for _ in range(rounds // 40):
        for frame in reader.feed(stream):
            parse_message(frame)
    return rounds // 40 * 40 / (time.perf_counter() - begin)


def _read(map_: SlMap, wire: bytes, rounds: int) -> float:
    """Reports a second, read by a profile."""
    message = parse_message(Reader().feed(wire)[0])
    begin = time.perf_counter()
    for _ in range(rounds):
        decode_report(map_, message)
    return rounds / (time.perf_counter() - begin)


def _pictures(rounds: int) -> float:
    """Megabytes a second of M3 packets, cut, checked and put together."""
    whole = Frame(station=STATION, function=0x36, body=bytes(range(250)) * (PICTURE // 250))
    stream = b"".join(encode(part) for part in split_frame(whole, 700))
    reader, assembler = Reader(), Assembler()
    begin = time.perf_counter()
    for _ in range(rounds):
        for frame in reader.feed(stream):
            assembler.add(frame, AT)
    return rounds * PICTURE / 1e6 / (time.perf_counter() - begin)


def measure(quick: bool) -> list[Row]:
    """Frames a second in both encodings, reports a second, and pictures."""
    rounds = ROUNDS // 10 if quick else ROUNDS
    map_ = load_library()["sl651-rain-river"].map
    assert isinstance(map_, SlMap)
    wire, text = _wire(map_, False), _wire(map_, True)
    say(f"SL 651: {rounds} frames of {len(wire)} bytes (HEX) and {len(text)} bytes (ASCII)")
    return [
        row("SL 651 HEX frames cut, checked and parsed (no peer on PyPI or npm)", _cut(wire, rounds), "frames/s"),
        row("SL 651 ASCII frames cut, checked and parsed", _cut(text, rounds), "frames/s"),
        row("SL 651 reports read by a profile", _read(map_, wire, rounds), "reports/s"),
        row("SL 651 pictures put together (M3)", _pictures(max(1, rounds // 1000)), "MB/s"),
    ]
