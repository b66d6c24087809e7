"""Commands and their results: what goes in comes out, what is out of bounds is refused, hostile bytes raise
CommandError and nothing else; and a write of any register point, read back, is what was meant."""

import math
import random
from array import array
from pathlib import Path

import cbor2
import pycddl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import envelope
from device_profiles.bounds import refusal_of
from device_profiles.codecs.modbus_pdu import WriteMany, WriteOne, decode_request, encode_request
from device_profiles.commands import (
    MAX_LIFETIME,
    MAX_MESSAGE,
    Command,
    CommandError,
    CommandOutcome,
    CommandResult,
    decode_command,
    decode_commands,
    decode_result,
    encode_command,
    encode_commands,
    encode_result,
    no_value,
)
from device_profiles.envelope import Batch, Columns, EnvelopeError, pack_body, unpack_body
from device_profiles.loader import load_library
from device_profiles.manifests import Title
from device_profiles.profiles import READ_FUNCTION, ModbusMap, RegisterPoint, Writable
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Lane
from device_profiles.registers import decode_value
from device_profiles.writes import agrees, mask_bytes, needs_reading, read_of, wanted_data, write_of

PROFILES = Path(__file__).parents[1] / "drills" / "profiles"
CDDL = Path(envelope.__file__).with_name("batch.cddl").read_text(encoding="utf-8")
COLUMNS = pycddl.Schema("start = columns\n" + CDDL)
EMPTY = (array("H"), array("I"), array("d"), array("B"))
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.蚕室灯", min_size=1, max_size=64)
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def commands(draw: st.DrawFn) -> Command:
    issued = draw(st.integers(-(1 << 50), 1 << 60))
    expires = issued + draw(st.integers(1, MAX_LIFETIME))
    return Command(draw(IDS), draw(NAMES), draw(NAMES), draw(NUMBERS), issued, expires, draw(st.just("") | NAMES))


@st.composite
def results(draw: st.DrawFn) -> CommandResult:
    at, outcome = draw(st.integers(-(1 << 60), 1 << 60)), draw(st.sampled_from(CommandOutcome))
    text, reason = draw(st.text(max_size=200)), draw(st.sampled_from(Reason))
    if draw(st.booleans()):
        return no_value(draw(IDS), at, outcome, reason, text)
    quality = draw(st.sampled_from([Quality.GOOD, Quality.UNCERTAIN]))
    return CommandResult(draw(IDS), at, outcome, draw(NUMBERS), code_of(quality, reason), text)


@given(st.lists(commands(), max_size=5), st.integers(0, 1 << 60))
def test_commands_come_back_as_they_were(given_commands: list[Command], sent: int) -> None:
    assert decode_commands(encode_commands(given_commands, sent)) == (sent, given_commands)
    for command in given_commands:
        assert decode_command(encode_command(command)) == command


@given(results())
def test_a_result_comes_back_as_it_was(result: CommandResult) -> None:
    assert decode_result(encode_result(result)) == result


def batch_of(body: bytes, packed: bool) -> Batch:
    return Batch(
        origin="kz/commands", epoch=1, seq=1, lane=Lane.EVENT, manifest=1, base=0, count=0, body=body, packed=packed
    )


@given(st.lists(results(), min_size=1, max_size=5), st.sampled_from([0, 1]))
def test_results_travel_in_a_batch_of_no_readings(told: list[CommandResult], level: int) -> None:
    body, packed = pack_body(Columns(*EMPTY, results=told), level)
    if not packed:
        COLUMNS.validate_cbor(body)
    assert unpack_body(batch_of(body, packed)).results == told


def test_a_batch_with_a_result_of_another_form_is_refused() -> None:
    body, _ = pack_body(Columns(*EMPTY), 0)
    good: list[object] = ["a" * 32, 0, 0, 1.0, 0, ""]
    fine = cbor2.dumps({**cbor2.loads(body), 7: [good]})
    assert len(unpack_body(batch_of(fine, False)).results) == 1
    for place, wrong in enumerate(["A" * 32, 1.5, 9, "1", 256, 7]):
        row = [*good[:place], wrong, *good[place + 1 :]]
        odd = cbor2.dumps({**cbor2.loads(body), 7: [row]})
        with pytest.raises(EnvelopeError):
            unpack_body(batch_of(odd, False))


BOUNDS: dict[str, list[object]] = {
    "id": ["", "a" * 31, "A" * 32, "a" * 33],
    "device": ["", "x" * 65, "a\nb"],
    "point": ["", "x" * 65],
    "value": [math.nan, math.inf, -math.inf],
    "by": ["x" * 65, "\x1b[2J"],
    "expires": [0, 5, 5 + MAX_LIFETIME + 1],
}


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name, all_ in BOUNDS.items() for wrong in all_])
def test_a_command_out_of_its_bounds_does_not_exist(name: str, wrong: object) -> None:
    fields = {"id": "a" * 32, "device": "d", "point": "p", "value": 1.0, "issued": 5, "expires": 6, "by": "me"}
    Command(**fields)  # type: ignore[arg-type]  # a table of fields
    with pytest.raises(ValueError):
        Command(**(fields | {name: wrong}))  # type: ignore[arg-type]  # as above


def test_a_bad_result_carries_no_value_and_a_good_one_does() -> None:
    for value, code in ((1.0, code_of(Quality.BAD, Reason.TIMEOUT)), (None, 0), (math.nan, 0), (1.0, 255)):
        with pytest.raises(ValueError):
            CommandResult("a" * 32, 0, CommandOutcome.DONE, value, code)


@pytest.mark.parametrize("decode", [decode_command, decode_commands, decode_result])
def test_hostile_bytes_raise_only_our_own_error(decode: object) -> None:
    chance = random.Random(7)
    command = Command("a" * 32, "lamp", "level", 5.0, 0, 9, "me")
    good = [
        encode_command(command),
        encode_commands([command], 4),
        encode_result(CommandResult("a" * 32, 1, CommandOutcome.DONE, 5.0, 0, "x")),
    ]
    survived = 0
    for n in range(20_000):
        data = bytearray(chance.choice(good)) if n % 4 else bytearray(chance.randbytes(chance.randrange(60)))
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            decode(bytes(data))  # type: ignore[operator]  # one of three functions
            survived += 1
        except CommandError:
            continue
    assert survived < 20_000
    for flood in (b"[" * MAX_MESSAGE, b" " * (MAX_MESSAGE + 1), b"[1,2,[" + b"9" * 400 + b"]]"):
        with pytest.raises(CommandError):
            decode(flood)  # type: ignore[operator]  # as above


# -- writes ------------------------------------------------------------------------------------------------------------

TITLE: Title = {"zh": "点", "en": "point"}
KINDS = [("u16", 0, 65535), ("i16", -300, 300), ("u32", 0, 1e6), ("i32", -1e6, 1e6), ("f32", -500, 500)]
KINDS += [("f64", -1e9, 1e9), ("bcd16", 0, 9999), ("sm16", -99, 99), ("i16_over_10000", -99, 99), ("u64", 0, 1e9)]


@st.composite
def points(draw: st.DrawFn) -> tuple[RegisterPoint, float]:
    """A writable register point, and a value on its grid."""
    kind, low, high = draw(st.sampled_from(KINDS))
    mask = draw(st.sampled_from([None, 0x0001, 0x00F0, 0x8000])) if kind in ("u16", "u32") else None
    top = high if mask is None else (mask >> ((mask & -mask).bit_length() - 1))
    point = RegisterPoint(
        name="p",
        title=TITLE,
        quantity="code",
        unit="1",
        table="holding",
        address=draw(st.integers(0, 60_000)),
        type=kind,
        order=draw(st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"])),
        mask=mask,
        writable=Writable(low=low, high=high),
    )
    return point, float(draw(st.integers(int(low), int(top))))


def after(point: RegisterPoint, before: bytes, request: WriteOne | WriteMany) -> bytes:
    """The registers of a unit that obeyed."""
    decoded = decode_request(encode_request(request))
    assert decoded == request and request.address == point.address
    return request.value.to_bytes(2, "big") if isinstance(request, WriteOne) else request.data


@given(points(), st.randoms(), st.booleans())
def test_a_write_read_back_is_what_was_meant(
    pair: tuple[RegisterPoint, float], chance: random.Random, many: bool
) -> None:
    point, value = pair
    before = chance.randbytes(2 * point.registers)
    wanted = wanted_data(point, value, before if needs_reading(point) else b"")
    found = after(point, before, write_of(point, wanted, many))
    assert decode_value(point, found) == (value, 0)
    assert agrees(point, wanted, found)
    others = zip(before, found, mask_bytes(point), strict=True)
    assert all((old ^ new) & ~bit & 0xFF == 0 for old, new, bit in others), "the bits of others stay"
    assert read_of(point).count == point.registers


@given(points(), st.randoms())
def test_another_value_is_not_taken_for_it(pair: tuple[RegisterPoint, float], chance: random.Random) -> None:
    point, value = pair
    before = bytes(2 * point.registers)
    wanted = wanted_data(point, value, before)
    found = bytearray(wanted)
    bits = [(at, bit) for at, mask in enumerate(mask_bytes(point)) for bit in range(8) if mask >> bit & 1]
    at, bit = chance.choice(bits)
    found[at] ^= 1 << bit
    assert not agrees(point, wanted, bytes(found))
    assert not agrees(point, wanted, bytes(found[:-1]))


def test_functions_as_published() -> None:
    """MODBUS Application Protocol V1.1b3, 6.5, 6.6 and 6.12: the standard's own examples."""
    coil = RegisterPoint(
        name="c", title=TITLE, quantity="state", unit="1", table="coil", address=0xAC, type="bit",
        writable=Writable(low=0, high=1),
    )  # fmt: skip
    assert encode_request(write_of(coil, wanted_data(coil, 1))) == bytes.fromhex("05 00AC FF00")
    one = RegisterPoint(name="r", title=TITLE, quantity="code", unit="1", table="holding", address=1, type="u16")
    assert encode_request(write_of(one, wanted_data(one, 3))) == bytes.fromhex("06 0001 0003")
    two = RegisterPoint(name="r", title=TITLE, quantity="code", unit="1", table="holding", address=1, type="u32")
    assert encode_request(write_of(two, wanted_data(two, 0x000A0102))) == bytes.fromhex("10 0001 0002 04 000A 0102")
    assert encode_request(write_of(coil, b"\x01", many=True)) == bytes.fromhex("0F 00AC 0001 01 01")


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_bounds_are_the_profiles() -> None:
    lamp = load_library([PROFILES])["drill-lamp"]
    assert refusal_of(lamp, "level", 10) == refusal_of(lamp, "level", 100) == refusal_of(lamp, "lamp", 0) == ""
    assert "outside 10 to 100 %" in refusal_of(lamp, "level", 9.999)
    assert "cannot be written" in refusal_of(lamp, "fault", 1)
    assert "no point" in refusal_of(lamp, "lever", 1)
    assert "0 or 1" in refusal_of(lamp, "valve", 0.2)


def writable_points() -> list[tuple[str, RegisterPoint]]:
    library = load_library([PROFILES])
    return [
        (model, point)
        for model, profile in library.items()
        if isinstance(profile.map, ModbusMap)
        for point in profile.map.points
        if point.writable is not None
    ]


@pytest.mark.parametrize(("model", "point"), writable_points(), ids=lambda value: getattr(value, "name", value))
def test_every_writable_point_of_the_library_can_say_its_bounds(model: str, point: RegisterPoint) -> None:
    assert point.writable is not None and READ_FUNCTION[point.table] in (1, 3)
    profile = load_library([PROFILES])[model]
    for value in (point.writable.low, point.writable.high):
        assert refusal_of(profile, point.name, value) == ""
        before = bytes(2 * point.registers)
        data = wanted_data(point, value, before)
        if point.table == "holding":
            assert decode_value(point, data)[0] == pytest.approx(value)
