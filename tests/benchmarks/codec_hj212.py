"""HJ 212 on one core: frames cut out of a stream and parsed, reports read by a profile, encrypted bodies opened.

No library for HJ 212 is published in Python's or Node's registry, so there is no peer beside it.
"""

from __future__ import annotations

import time

from device_profiles.codecs import sm4
from device_profiles.codecs.hj212 import Reader, encode, frame
from device_profiles.codecs.hj212_sealed import open_frame, seal_frame
from device_profiles.codecs.hj212_segment import encode_segment, parse_segment
from device_profiles.loader import load_library
from device_profiles.maps.hj212 import decode_report, encode_report
from device_profiles.maps.hj212_points import HjMap
from tests.benchmarks.processes import Row, row, say

ROUNDS = 20_000
AT = 1_790_000_000_000_000
KEY = b"0" * sm4.BLOCK


def _wire() -> tuple[HjMap, bytes]:
    """A nine-parameter station's realtime upload, some 400 bytes."""
    map_ = load_library()["hj212-surface-water"].map
    assert isinstance(map_, HjMap)
    values = {point.name: sum(point.range or (0, 2)) / 2 for point in map_.points}
    message = encode_report(map_, values, AT, qn="20260921220640000", mn="500236000021000000000001")
    return map_, encode(frame(encode_segment(message)))


def _per_second(rounds: int, seconds: float) -> float:
    return rounds / seconds


def measure(quick: bool) -> list[Row]:
    """Frames a second, cut and parsed, read by a profile, and encrypted."""
    rounds = ROUNDS // 10 if quick else ROUNDS
    map_, wire = _wire()
    say(f"HJ 212: {rounds} frames of {len(wire)} bytes")
    stream, reader = wire * 40, Reader()
    begin = time.perf_counter()
    for _ in range(rounds // 40):
        for whole in reader.feed(stream):
            parse_segment(whole.segment)
    parsed = _per_second(rounds // 40 * 40, time.perf_counter() - begin)
    message = parse_segment(Reader().feed(wire)[0].segment)
    begin = time.perf_counter()
    for _ in range(rounds):
        decode_report(map_, message)
    read = _per_second(rounds, time.perf_counter() - begin)
    sealed = seal_frame(frame(encode_segment(message)), KEY)
    begin = time.perf_counter()
    for _ in range(rounds // 20):
        open_frame(sealed, KEY)
    opened = _per_second(rounds // 20, time.perf_counter() - begin)
    return [
        row("HJ 212 frames cut, checked and parsed", parsed, "frames/s"),
        row("HJ 212 reports read by a profile", read, "reports/s"),
        row("HJ 212-2025 bodies decrypted (SM4)", opened, "frames/s"),
    ]
