"""Every transcript that `kuimen agent read --save` wrote, replayed: our codec asks the same and reads the same.

Beside NAME.txt stands NAME.json with the values that the unit's own display, manual or simulator gave.
"""

import json
from pathlib import Path

import pytest

from device_profiles.codecs.modbus_pdu import Read, decode_request
from device_profiles.codecs.modbus_rtu import RtuExchange, RtuRequestReader
from device_profiles.loader import load_library
from device_profiles.profiles import READ_FUNCTION, DeviceProfile
from device_profiles.readings import Value
from device_profiles.spans import compile_span

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))
TABLE = {function: table for table, function in READ_FUNCTION.items()}
LIBRARY = load_library()


def exchanges(text: str) -> list[tuple[bytes, bytes]]:
    """(question, answer) pairs of a transcript."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    marks = [line[:2] for line in lines]
    assert marks == [">>", "<<"] * (len(lines) // 2)
    frames = [bytes.fromhex(line[2:]) for line in lines]
    return list(zip(frames[::2], frames[1::2], strict=True))


def values_of(profile: DeviceProfile, question: bytes, answer: bytes) -> dict[str, Value]:
    """The values of one exchange, its answer heard byte by byte."""
    ((unit, pdu),) = RtuRequestReader().feed(question)
    request = decode_request(pdu)
    assert isinstance(request, Read)
    exchange = RtuExchange(unit, request)
    assert exchange.request() == question
    heard = None
    for byte in answer:
        assert heard is None, "taken before its end"
        exchange.feed(bytes([byte]))
        heard = exchange.take()
    assert heard is not None and not exchange.strays
    decoder = compile_span(profile.modbus.points, TABLE[request.function], request.address, request.count)
    values, codes = decoder.decode(heard.data)
    assert not any(codes)
    return {point.name: value for point, value in zip(decoder.points, values, strict=True)}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript_reads_as_noted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    profile = LIBRARY[text.removeprefix("# ").partition(",")[0]]
    found: dict[str, Value] = {}
    for question, answer in exchanges(text):
        found |= values_of(profile, question, answer)
    assert found == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
