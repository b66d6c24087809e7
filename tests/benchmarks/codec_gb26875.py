"""GB/T 26875.3 on one core: frames cut out of a stream, units parsed, reports read by a profile, frames built.

No library for GB/T 26875.3 is known in Python's or Node's registry, so there is no peer beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from device_profiles.codecs.gb26875 import Command, Frame, Reader, encode, write_time
from device_profiles.codecs.gb26875_objects import PartState
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit, write_text
from device_profiles.loader import load_library
from device_profiles.maps.gb26875 import decode_report
from device_profiles.maps.gb26875_points import FireMap
from tests.benchmarks.processes import Row, row, say

ROUNDS = 100_000
GLUED = 40
AT = 1_790_000_000_000_000
NO_PEER = "no library known"


def _frame() -> Frame:
    """One detector's alarm: 78 bytes, the message that matters."""
    tag = write_time(AT)
    part = PartState(1, 1, 42, 2, 0x0003, write_text("一层走廊烟感"), tag)
    unit = encode_unit(Unit(2, (part,)))
    return Frame(
        serial=7, command=Command.SEND, source=b"\xe9\x03\0\0\0\0", destination=b"8[\x01\0\0\0", sent=tag, unit=unit
    )


def _rate(rounds: int, work: Callable[[], object], each: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(rounds):
        work()
    return rounds * each / (time.perf_counter() - begin)


def measure(quick: bool) -> list[Row]:
    """Frames a second: cut and checked, parsed as well, read by a profile, built."""
    rounds = ROUNDS // 10 if quick else ROUNDS
    frame = _frame()
    wire = encode(frame)
    map_ = load_library()["generic-fire-floor"].map
    assert isinstance(map_, FireMap)
    say(f"GB/T 26875.3: {rounds} frames of {len(wire)} bytes")
    stream, reader = wire * GLUED, Reader()
    cut = _rate(rounds // GLUED, lambda: reader.feed(stream), GLUED)
    parsed = _rate(rounds // GLUED, lambda: [parse_unit(one.unit) for one in reader.feed(stream)], GLUED)
    read = _rate(rounds // 4, lambda: decode_report(map_, frame))
    built = _rate(rounds, lambda: encode(frame))
    return [
        row("GB/T 26875.3 frames cut and checked", cut, "frames/s", NO_PEER),
        row("GB/T 26875.3 frames cut, checked and parsed", parsed, "frames/s", NO_PEER),
        row(f"GB/T 26875.3 reports read by a profile of {len(map_.points)} points", read, "reports/s"),
        row("GB/T 26875.3 frames built", built, "frames/s"),
    ]
