"""The laws of the library for meters: every example, and every point's grid, through frames made by hand."""

import random
from fractions import Fraction

import msgspec
import pytest

from device_profiles.codecs import dlt645 as dlt645_codec
from device_profiles.exchange import Exchange
from device_profiles.loader import load_library
from device_profiles.maps import cjt188, dlt645
from device_profiles.maps.meter_items import TEXT_TYPES, Item, ItemPoint, decode_point, encode_point, items_of
from device_profiles.profiles import DeviceProfile, Example
from device_profiles.protocols import asked_module_of, module_of
from device_profiles.quality import GOOD_CODE, split_code
from device_profiles.readings import Value
from tests.laws import meter_frames_by_hand as by_hand

PROFILES = {model: profile for model, profile in load_library().items() if profile.protocol in ("dlt645", "cjt188")}
EXAMPLES = [(profile, example) for profile in PROFILES.values() for example in profile.examples]
POINTS = [(profile, point) for profile in PROFILES.values() for point in profile.points]
SAMPLES = 200
TEXTS: dict[str, list[Value]] = {
    "digits": ["000000000001", "987654321098", "000000000000"],
    "date": ["2000-01-01", "2026-11-21", "2028-02-29", "2099-12-31"],
    "time": ["00:00:00", "03:04:05", "23:59:59"],
    "clock": ["1999-12-31 23:59:59", "2026-11-21 03:04:05"],
}

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
each_example = pytest.mark.parametrize(
    ("profile", "example"), EXAMPLES, ids=[f"{profile.model}: {example.title}" for profile, example in EXAMPLES]
)
each_point = pytest.mark.parametrize(
    ("profile", "point"), POINTS, ids=[f"{profile.model}.{point.name}" for profile, point in POINTS]
)


def test_there_are_meters_of_every_kind() -> None:
    assert len(PROFILES) >= 6
    editions = {profile.map.edition for profile in PROFILES.values() if isinstance(profile.map, dlt645.Dlt645Map)}
    kinds = {profile.map.kind >> 4 for profile in PROFILES.values() if isinstance(profile.map, cjt188.Cjt188Map)}
    orders = {profile.map.di_order for profile in PROFILES.values() if isinstance(profile.map, cjt188.Cjt188Map)}
    assert (editions, kinds, orders) == ({2007, 1997}, {1, 2, 3}, {"low_first", "high_first"})


def exchange_of(profile: DeviceProfile, unit: str, item: int) -> Exchange:
    """The question that the plan asks for an item."""
    points = [point for point in profile.points if isinstance(point, ItemPoint) and point.item == item]
    (read,) = asked_module_of(profile.protocol).plan_reads(profile.map, unit, points, lambda point: point.period)
    return read.exchange()


def taken_apart(profile: DeviceProfile, request: bytes) -> tuple[str, int]:
    """(unit, item) of a request, by hand."""
    body = request.lstrip(b"\xfe")
    if isinstance(profile.map, dlt645.Dlt645Map):
        data = bytes((byte - 0x33) % 256 for byte in body[10:-2])
        return body[6:0:-1].hex().upper(), int.from_bytes(data, "little")
    assert isinstance(profile.map, cjt188.Cjt188Map)
    order = "little" if profile.map.di_order == "low_first" else "big"
    return body[8:1:-1].hex().upper(), int.from_bytes(body[11:13], "little" if order == "little" else "big")


@each_example
def test_sums_are_right(profile: DeviceProfile, example: Example) -> None:
    for frame in (example.request, example.reply):
        body = frame.lstrip(b"\xfe")
        assert body[-1] == 0x16
        assert by_hand.sum8(body[:-2]) == body[-2]


@each_example
def test_the_request_is_what_we_would_send(profile: DeviceProfile, example: Example) -> None:
    unit, item = taken_apart(profile, example.request)
    ours = exchange_of(profile, unit, item).request().lstrip(b"\xfe")
    theirs = example.request.lstrip(b"\xfe")
    if isinstance(profile.map, cjt188.Cjt188Map):  # the serial number is anybody's choice
        ours, theirs = ours[:13] + ours[14:-2], theirs[:13] + theirs[14:-2]
    assert ours == theirs


@each_example
def test_the_reply_fed_one_byte_at_a_time_reads_as_written(profile: DeviceProfile, example: Example) -> None:
    unit, identifier = taken_apart(profile, example.request)
    points = [point for point in profile.points if isinstance(point, ItemPoint) and point.item == identifier]
    (read,) = asked_module_of(profile.protocol).plan_reads(profile.map, unit, points, lambda point: point.period)
    exchange = read.exchange()
    for byte in example.reply[:-1]:
        exchange.feed(bytes([byte]))
        assert exchange.take() is None
    exchange.feed(example.reply[-1:])
    answer = exchange.take()
    assert answer is not None
    values, codes = read.decode(answer.data)
    got: dict[str, Value] = {
        point.name: value if code == GOOD_CODE else split_code(code)[1].word
        for point, value, code in zip(read.points, values, codes, strict=True)
    }
    assert got == example.values


@each_example
def test_the_example_holds_in_both_directions(profile: DeviceProfile, example: Example) -> None:
    assert module_of(profile.protocol).complaints_about(profile, example) == []


@each_example
def test_a_lie_in_an_example_is_found(profile: DeviceProfile, example: Example) -> None:
    """Each byte of the reply turned into another: a complaint, whatever it was (but for the preamble)."""
    module = module_of(profile.protocol)
    start = len(example.reply) - len(example.reply.lstrip(b"\xfe"))
    for place in range(start, len(example.reply)):
        reply = bytearray(example.reply)
        reply[place] ^= 0x01
        assert module.complaints_about(profile, msgspec.structs.replace(example, reply=bytes(reply)))


def grid(point: ItemPoint) -> list[Value]:
    """Values that the point's digits can say, within its range: the ends, zero's neighbours and a random sample."""
    dice = random.Random(point.name)
    if point.type in TEXT_TYPES:
        return TEXTS[point.type]
    low, high = point.range or (0.0, 1.0)
    step = Fraction(1, 10**point.decimals)
    first, last = round(Fraction(str(low)) / step), round(Fraction(str(high)) / step)
    raws = {first, last, -1, 0, 1, *(dice.randint(first, last) for _ in range(SAMPLES))}
    return [float(raw * step) for raw in sorted(raws) if first <= raw <= last]


@each_point
def test_every_value_on_the_grid_survives_the_wire(profile: DeviceProfile, point: ItemPoint) -> None:
    assert grid(point)
    for value in grid(point):
        module_of(profile.protocol).check_value(point, value)
        encoded = encode_point(point, value)
        data = bytes(point.offset) + encoded
        assert decode_point(point, data) == (value, GOOD_CODE)


def framed(profile: DeviceProfile, unit: str, item: Item, data: bytes) -> bytes:
    """The answer of a meter, by hand."""
    if isinstance(profile.map, dlt645.Dlt645Map):
        wide, control = (4, 0x91) if profile.map.edition == 2007 else (2, 0x81)
        return by_hand.dlt645(unit, control, item.identifier.to_bytes(wide, "little") + data)
    assert isinstance(profile.map, cjt188.Cjt188Map)
    order = "little" if profile.map.di_order == "low_first" else "big"
    named = item.identifier.to_bytes(2, "little" if order == "little" else "big") + b"\x00"
    return by_hand.cjt188(profile.map.kind, unit, 0x81, named + data)


@each_profile
def test_whole_meters_survive_the_wire(profile: DeviceProfile) -> None:
    """Every read of the plan: random states, encoded, framed by hand, fed one byte at a time, decoded, compared."""
    dice = random.Random(profile.model)
    unit = "000012345678" if profile.protocol == "dlt645" else "78330011223344"
    points = [point for point in profile.points if isinstance(point, ItemPoint)]
    reads = asked_module_of(profile.protocol).plan_reads(profile.map, unit, points, lambda point: point.period)
    items = list(items_of(points, exact=True).values())
    assert sorted(point.name for read in reads for point in read.points) == sorted(point.name for point in points)
    for item in items:
        (read,) = [read for read in reads if read.points == item.points]
        for _ in range(20):
            values: dict[str, Value] = {point.name: dice.choice(grid(point)) for point in item.points}
            wire = b"\xfe" * dice.randrange(4) + framed(profile, unit, item, item.encode(values))
            exchange = read.exchange()
            for byte in wire:
                exchange.feed(bytes([byte]))
                exchange.take()
            answer = exchange.take()
            assert answer is not None
            assert answer.frame == wire
            assert abs(read.reply_bytes - len(wire)) <= 4
            got, codes = read.decode(answer.data)
            assert dict(zip((point.name for point in read.points), got, strict=True)) == values
            assert set(codes) == {GOOD_CODE}


@each_profile
def test_a_quiet_meter_says_missing_everywhere(profile: DeviceProfile) -> None:
    """All FF: what does not exist reads as missing, and bits as bits; nothing becomes a number."""
    for item in items_of([point for point in profile.points if isinstance(point, ItemPoint)], exact=True).values():
        values, codes = item.decode(item.points, b"\xff" * item.size)
        for point, value, code in zip(item.points, values, codes, strict=True):
            assert (value is None) == (point.type != "bits")
            assert split_code(code)[1].word == ("none" if point.type == "bits" else "missing")


def test_the_wildcard_is_what_profiles_are_delivered_with() -> None:
    assert {profile.map.unit for profile in PROFILES.values() if isinstance(profile.map, dlt645.Dlt645Map)} == {
        dlt645_codec.WILDCARD
    }
