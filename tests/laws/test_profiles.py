"""The laws of the library: they hold for every profile on every run; a new file needs no line of test.

The frames' checks are computed here bit by bit, not by the codec under test.
"""

import math
import random
import struct
from fractions import Fraction

import pytest

from device_profiles.codecs.modbus_pdu import Read
from device_profiles.codecs.modbus_rtu import RtuExchange
from device_profiles.examples import is_plausible, points_without_negative
from device_profiles.lint import lint
from device_profiles.loader import LIBRARY, load_library
from device_profiles.maps.modbus_examples import TABLE_OF, example_read
from device_profiles.physics import KINDS, extent
from device_profiles.problems import Problems
from device_profiles.profiles import READ_FUNCTION, DeviceProfile, Example, Point, RegisterPoint
from device_profiles.quality import GOOD_CODE, split_code
from device_profiles.quantities import QUANTITIES, to_canonical
from device_profiles.readings import Value
from device_profiles.registers import decode_value, encode_value
from device_profiles.spans import BIT_TABLES, compile_span, encode_registers
from edge_agent.plan import plan_spans

PROFILES = load_library()
EXAMPLES = [(profile, example) for profile in PROFILES.values() for example in profile.examples]
POINTS = [(profile, point) for profile in PROFILES.values() for point in profile.points]
SAMPLES = 200

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
each_example = pytest.mark.parametrize(
    ("profile", "example"), EXAMPLES, ids=[f"{profile.model}: {example.title}" for profile, example in EXAMPLES]
)
MODBUS = [profile for profile in PROFILES.values() if profile.protocol == "modbus"]
REGISTERS = [(profile, point) for profile in MODBUS for point in profile.modbus.points]
MODBUS_EXAMPLES = [(profile, example) for profile in MODBUS for example in profile.examples]

each_modbus = pytest.mark.parametrize("profile", MODBUS, ids=[profile.model for profile in MODBUS])
each_modbus_example = pytest.mark.parametrize(
    ("profile", "example"),
    MODBUS_EXAMPLES,
    ids=[f"{profile.model}: {example.title}" for profile, example in MODBUS_EXAMPLES],
)
each_register = pytest.mark.parametrize(
    ("profile", "point"), REGISTERS, ids=[f"{profile.model}.{point.name}" for profile, point in REGISTERS]
)
each_point = pytest.mark.parametrize(
    ("profile", "point"), POINTS, ids=[f"{profile.model}.{point.name}" for profile, point in POINTS]
)


def checked(body: bytes) -> bytes:
    """Body and CRC-16/MODBUS, by the polynomial."""
    register = 0xFFFF
    for byte in body:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return body + struct.pack("<H", register)


def asked(example: Example) -> Read:
    """The read of an example, unpacked by hand."""
    _, function, address, count = struct.unpack(">BBHH", example.request[:6])
    return Read(function, address, count)


def test_there_is_a_library() -> None:
    assert len(PROFILES) >= 10
    assert len({profile.domain for profile in PROFILES.values()}) >= 5
    assert all(str(LIBRARY) in profile.path for profile in PROFILES.values())


def test_lint_finds_nothing() -> None:
    problems = Problems()
    assert lint([], problems) == len(PROFILES)
    assert [str(problem) for problem in problems.found] == []


# --- examples -------------------------------------------------------------------------------------------------------


@each_modbus_example
def test_the_request_is_what_we_would_send(profile: DeviceProfile, example: Example) -> None:
    read = asked(example)
    assert example.request == checked(example.request[:-2])
    assert RtuExchange(example.request[0], read).request() == example.request
    assert example_read(example) == (example.request[0], read)
    assert read.count <= profile.modbus.max_block


@each_modbus_example
def test_the_reply_fed_one_byte_at_a_time_reads_as_written(profile: DeviceProfile, example: Example) -> None:
    read = asked(example)
    assert example.reply == checked(example.reply[:-2])
    exchange = RtuExchange(example.request[0], read)
    for byte in example.reply[:-1]:
        exchange.feed(bytes([byte]))
        assert exchange.take() is None
    exchange.feed(example.reply[-1:])
    answer = exchange.take()
    assert answer is not None
    decoder = compile_span(profile.modbus.points, TABLE_OF[read.function], read.address, read.count)
    values, codes = decoder.decode(answer.data)
    got: dict[str, Value] = {
        point.name: value if code == GOOD_CODE else split_code(code)[1].word
        for point, value, code in zip(decoder.points, values, codes, strict=True)
    }
    assert got == example.values


@each_modbus_example
def test_the_values_encoded_give_the_reply_again(profile: DeviceProfile, example: Example) -> None:
    read = asked(example)
    values: dict[str, Value] = {
        name: None if isinstance(value, str) and not profile.point(name).text else value
        for name, value in example.values.items()
    }
    cells = encode_registers(profile.modbus.points, values)
    words = [cells[TABLE_OF[read.function], read.address + place] for place in range(read.count)]
    bits = TABLE_OF[read.function] in BIT_TABLES
    data = packed_bits(words) if bits else struct.pack(f">{read.count}H", *words)
    assert checked(bytes([example.request[0], read.function, len(data)]) + data) == example.reply


@each_example
def test_an_examples_values_are_plausible(profile: DeviceProfile, example: Example) -> None:
    for name, value in example.values.items():
        if isinstance(value, (int, float)):
            assert is_plausible(profile.point(name), value), name


@each_profile
def test_every_point_has_an_example(profile: DeviceProfile) -> None:
    named = {name for example in profile.examples for name in example.values}
    assert {point.name for point in profile.points} <= named


@each_profile
def test_what_can_go_below_zero_is_shown_there(profile: DeviceProfile) -> None:
    """Three ways to write a negative temperature are in use: only an example tells which one it is."""
    assert points_without_negative(profile) == []


# --- values ---------------------------------------------------------------------------------------------------------


def grid(point: RegisterPoint) -> list[float]:
    """Values that the point's registers can say, within its range: both ends, zero's neighbours and a random sample."""
    if point.type == "bit":
        return [0.0, 1.0]
    dice = random.Random(point.name)
    low, high = point.range or (0.0, 1000.0)
    if point.mask is not None:
        bits = point.mask >> ((point.mask & -point.mask).bit_length() - 1)
        return [float(value) for value in range(min(bits, SAMPLES) + 1) if value & ~bits == 0]
    if point.type in ("f32", "f64"):
        drawn = [low, high, 0.0, *(dice.uniform(low, high) for _ in range(SAMPLES))]
        code = ">f" if point.type == "f32" else ">d"
        return [struct.unpack(code, struct.pack(code, value))[0] for value in drawn]
    first, last = sorted(round((Fraction(str(end)) - point.offset) / point.scale) for end in (low, high))
    raws = {first, last, -1, 0, 1, *(dice.randint(first, last) for _ in range(SAMPLES))}
    return [float(raw * point.scale + point.offset) for raw in raws if first <= raw <= last]


@each_register
def test_every_value_on_the_grid_survives_the_wire(profile: DeviceProfile, point: RegisterPoint) -> None:
    assert grid(point)
    if point.table in BIT_TABLES or point.text:
        return
    for value in grid(point):
        assert decode_value(point, encode_value(point, value)) == (value, GOOD_CODE)


def packed_bits(bits: list[int]) -> bytes:
    """As functions 1 and 2 answer (V1.1b3, 6.1): the first bit is the lowest of the first byte."""
    return sum(bit << place for place, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")


@each_modbus
def test_whole_units_survive_the_wire(profile: DeviceProfile) -> None:
    """Every span of the plan: random states, encoded, framed, fed one byte at a time, decoded, compared."""
    dice = random.Random(profile.model)
    for span in plan_spans(profile.modbus):
        decoder = compile_span(profile.modbus.points, span.table, span.start, span.count)
        for _ in range(20):
            values: dict[str, Value] = {point.name: dice.choice(grid(point)) for point in decoder.points}
            cells = encode_registers(decoder.points, values)
            words = [cells[span.table, address] for address in range(span.start, span.end)]
            data = packed_bits(words) if span.table in BIT_TABLES else struct.pack(f">{span.count}H", *words)
            exchange = RtuExchange(profile.modbus.unit, span.read)
            for byte in checked(bytes([profile.modbus.unit, READ_FUNCTION[span.table], len(data)]) + data):
                exchange.feed(bytes([byte]))
            answer = exchange.take()
            assert answer is not None
            got, codes = decoder.decode(answer.data)
            assert dict(zip((point.name for point in decoder.points), got, strict=True)) == values
            assert set(codes) == {GOOD_CODE}


@each_modbus
def test_the_plan_reads_every_point_and_nothing_else(profile: DeviceProfile) -> None:
    modbus = profile.modbus
    spans = plan_spans(modbus)
    for point in modbus.points:
        assert any(span.covers(point) for span in spans), point.name
    owned = {
        (point.table, address)
        for point in modbus.points
        for address in range(point.address, point.address + point.registers)
    }
    for span in spans:
        assert span.count <= modbus.max_block
        assert {(span.table, address) for address in range(span.start, span.end)} <= owned


# --- words ----------------------------------------------------------------------------------------------------------


@each_point
def test_every_unit_converts_and_the_range_is_plausible(profile: DeviceProfile, point: Point) -> None:
    quantity = QUANTITIES[point.quantity]
    scale, offset = to_canonical(point.quantity, point.unit)
    assert scale > 0
    for bound in point.range or ():
        canonical = bound * scale + offset
        assert quantity.low <= canonical <= quantity.high or math.isclose(canonical, quantity.high)


@each_point
def test_every_point_can_be_simulated_within_its_range(profile: DeviceProfile, point: Point) -> None:
    physics = profile.simulate[point.name]
    assert physics.kind in KINDS
    spread = extent(physics)
    if spread is not None and point.range is not None:
        assert point.range[0] <= spread[0] <= spread[1] <= point.range[1]


@each_profile
def test_a_profile_says_where_it_comes_from(profile: DeviceProfile) -> None:
    assert profile.sources
    assert profile.caveats
    assert all(example.source and example.title for example in profile.examples)
    if profile.status == "draft":
        assert any("not" in caveat.lower() or "only" in caveat.lower() for caveat in profile.caveats)
