"""Every transcript that `kuimen agent read --save` wrote, replayed: our codec asks the same and reads the same.

Beside NAME.txt stands NAME.json with the values that the unit's own display, manual or simulator gave.
"""

import json
import re
from pathlib import Path

import pytest

from device_profiles.codecs.modbus_ascii import AsciiExchange, AsciiRequestReader
from device_profiles.codecs.modbus_pdu import Read, decode_request
from device_profiles.codecs.modbus_rtu import RtuExchange, RtuRequestReader
from device_profiles.exchange import Answer, Exchange
from device_profiles.loader import load_library
from device_profiles.profiles import READ_FUNCTION, DeviceProfile, Point
from device_profiles.protocols import asked_module_of
from device_profiles.quality import split_code
from device_profiles.readings import Value
from device_profiles.reads import PlannedRead
from device_profiles.spans import compile_span

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))
TABLE = {function: table for table, function in READ_FUNCTION.items()}
LIBRARY = load_library()
Pairs = list[tuple[bytes, bytes]]


def exchanges(text: str) -> Pairs:
    """(question, answer) pairs of a transcript."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    marks = [line[:2] for line in lines]
    assert marks == [">>", "<<"] * (len(lines) // 2)
    frames = [bytes.fromhex(line[2:]) for line in lines]
    return list(zip(frames[::2], frames[1::2], strict=True))


def heard(exchange: Exchange, pairs: Pairs) -> Answer:
    """The answer to the first question of `pairs`, heard byte by byte; what was used is taken off them."""
    assert exchange.request() == pairs[0][0]
    while True:
        _, answer = pairs.pop(0)
        taken = None
        for byte in answer:
            assert taken is None, "taken before its end"
            exchange.feed(bytes([byte]))
            taken = exchange.take()
        if taken is not None:
            assert not exchange.strays
            return taken
        assert exchange.next_request() == pairs[0][0]


def named(points: tuple[Point, ...] | list[Point], values: list[Value], codes: bytes) -> dict[str, Value]:
    """Values by point, a reason's word where there is no value."""
    told = zip(points, values, codes, strict=True)
    return {point.name: value if not code else split_code(code)[1].word for point, value, code in told}


def registers(profile: DeviceProfile, ascii: bool, pairs: Pairs) -> dict[str, Value]:
    """The values of one exchange with a Modbus unit."""
    ((unit, pdu),) = (AsciiRequestReader() if ascii else RtuRequestReader()).feed(pairs[0][0])
    request = decode_request(pdu)
    assert isinstance(request, Read)
    answer = heard(AsciiExchange(unit, request) if ascii else RtuExchange(unit, request), pairs)
    decoder = compile_span(profile.modbus.points, TABLE[request.function], request.address, request.count)
    values, codes = decoder.decode(answer.data)
    return named(list(decoder.points), list(values), bytes(codes))


def planned(reads: list[PlannedRead], pairs: Pairs) -> dict[str, Value]:
    """The values of one exchange with a unit of any other protocol."""
    (read,) = (read for read in reads if read.exchange().request() == pairs[0][0])
    values, codes = read.decode(heard(read.exchange(), pairs).data)
    return named(read.points, list(values), bytes(codes))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript_reads_as_noted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = re.match(r"# ([^,]+), unit ([^,]+), ", text)
    assert head is not None
    profile, unit = LIBRARY[head[1]], head[2]
    found: dict[str, Value] = {}
    pairs = exchanges(text)
    reads: list[PlannedRead] = []
    if profile.protocol != "modbus":
        module = asked_module_of(profile.protocol)
        reads = module.plan_reads(profile.map, unit, profile.points, lambda point: point.period)
    while pairs:
        ascii = "\n# framing: ascii\n" in text
        found |= planned(reads, pairs) if reads else registers(profile, ascii, pairs)
    assert found == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
