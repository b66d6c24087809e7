"""Described payloads on one core, beside PyPI's ``construct``: the same frame described there, with the same check.

Nobody publishes a library for such payloads; ``construct`` is the usual way to describe a binary format in
Python, so there is a comparison and no target.
"""

from __future__ import annotations

from collections.abc import Callable
from timeit import repeat

from device_profiles.codecs.modbus_rtu import crc16
from device_profiles.codecs.payload import compile_layout
from device_profiles.loader import load_library
from device_profiles.maps.payload import decode_report
from device_profiles.maps.payload_table import PayloadMap
from tests.benchmarks.processes import Row, row, say

ROUNDS = 10_000
CHECKED = {"generic-cover-nb": ", with our CRC-16 on both sides"}
MODELS = ("generic-cover-nb", "dragino-ndds75", "milesight-em400-mud-nb", "generic-cover-text")


def rate(work: Callable[[], object], rounds: int) -> float:
    """Calls a second, the best of five."""
    return rounds / min(repeat(work, number=rounds, repeat=5))


def theirs(model: str, data: bytes) -> Callable[[], object] | None:
    """A frame through construct (compiled), its values scaled by hand; None where it is not installed."""
    try:
        import construct as c  # type: ignore[import-not-found]  # no dependency of ours
    except ImportError:
        return None
    if model == "dragino-ndds75":
        plain = c.Struct(
            "id" / c.Bytes(6), "firmware" / c.Int16ub, "battery" / c.Int16ub, "signal" / c.Int8ub,
            "distance" / c.Int16ub, "interrupt" / c.Int8ub,
        ).compile()  # fmt: skip

        def read_plain() -> object:
            found = plain.parse(data)
            distance = None if found.distance == 0 else found.distance
            signal = None if found.signal == 99 else found.signal
            return found.id.hex(), found.firmware, found.battery, signal, distance, found.interrupt

        return read_plain
    checked = c.Struct(
        "mark" / c.Const(b"\xaa\x55"), "length" / c.Int8ub, "message" / c.Int8ub, "id" / c.Bytes(8),
        "count" / c.Int16ub, "time" / c.Int32ub, "tilt" / c.Int16sb, "flags" / c.Int8ub, "battery" / c.Int16ub,
        "temperature" / c.Int8sb, "rsrp" / c.Int16sb, "check" / c.Int16ul,
    ).compile()  # fmt: skip

    def read_checked() -> object:
        found = checked.parse(data)
        if crc16(data[:-2]) != found.check or found.length != len(data):
            raise ValueError
        return {
            "id": found.id.hex()[1:], "tilt": found.tilt / 10, "water": found.flags & 1, "moved": found.flags >> 1 & 1,
            "battery": found.battery, "temperature": found.temperature, "rsrp": found.rsrp / 10,
        }  # fmt: skip

    return read_checked


def measure(quick: bool = False) -> list[Row]:
    """Payloads a second, parsed, and read into a report."""
    rounds = ROUNDS // 10 if quick else ROUNDS
    rows: list[Row] = []
    library = load_library()
    for model in MODELS:
        map_, data = library[model].map, library[model].examples[0].report
        assert isinstance(map_, PayloadMap)
        codec = compile_layout(map_.layout)
        say(f"payload: {model}, {len(data)} bytes")
        parsed = rate(lambda codec=codec, data=data: codec.parse(data), rounds)  # type: ignore[misc]  # bound at once
        rows.append(row(f"payload: {model} ({map_.layout.form}), parsed", parsed, "payloads/s"))
        if model not in MODELS[:2]:
            continue
        whole = rate(lambda map_=map_, codec=codec, data=data: decode_report(map_, codec.parse(data)), rounds)  # type: ignore[misc]  # bound at once
        rows.append(row(f"payload: {model}, read into a report", whole, "payloads/s"))
        peer = theirs(model, data)
        name = f"payload: times construct (compiled), {model}{CHECKED.get(model, '')}"
        if peer is None:
            rows.append(row(name, 0.0, "not installed"))
        else:
            rows.append(row(name, parsed / rate(peer, rounds), "ratio"))
    return rows


if __name__ == "__main__":
    for line in measure():
        print(line)
