"""What a fire transmitter's message says by its profile: which point has what, what is left over, what is mistaken."""

import hashlib

import msgspec
import pytest

from device_profiles.codecs.gb26875 import Command, Frame, Gb26875Error, Reader, address_bytes, encode, write_time
from device_profiles.codecs.gb26875_objects import (
    Clock,
    Object,
    PartState,
    PartValue,
    SystemConfig,
    SystemOperation,
    SystemState,
    TransmitterState,
)
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit, write_text
from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.maps.gb26875 import complaints_about, decode_report, encode_report, make_units
from device_profiles.maps.gb26875_points import ITEMS, FireMap, FirePoint, check_value, read_map
from device_profiles.problems import Problems
from device_profiles.profiles import Example
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane
from device_profiles.reports import Report
from device_profiles.tables import Table

LIBRARY = load_library()
NOON = 1_795_262_400_000_000
TAG = write_time(NOON)
BIT = 'title = { zh = "位", en = "Bit" }\nquantity = "state"\nunit = "1"\n'
TEXT = 'title = { zh = "文", en = "Text" }\nquantity = "words"\nunit = "1"\n'


def fire_map(model: str) -> FireMap:
    found = LIBRARY[model].map
    assert isinstance(found, FireMap)
    return found


def message(unit: int, *objects: Object, serial: int = 1, sent: bytes = TAG, command: int = Command.SEND) -> Frame:
    return Frame(
        serial=serial,
        command=command,
        source=address_bytes("1001"),
        destination=address_bytes("88888"),
        sent=sent,
        unit=encode_unit(Unit(unit, objects)),
    )


def read(text: str) -> tuple[FireMap, list[str]]:
    """A [gb26875] table out of its rows, and what is wrong with it."""
    problems = Problems()
    document = TomlDocument.parse("[gb26875]\n" + text, "x.toml", problems)
    assert document is not None
    found = read_map(Table(document, ("gb26875",), problems))
    return found, [f"{problem.message} ({problem.hint})" for problem in problems.found]


def row(name: str, rest: str, head: str = BIT) -> str:
    return f'[[gb26875.points]]\nname = "{name}"\n{head}{rest}\n'


def said(report: Report) -> dict[str, object]:
    return {one.point: one.value for one in report.readings}


# --- what a message says ---------------------------------------------------------------------------------------------


def test_normal_does_not_cancel_a_fire() -> None:
    """8.2.1.1: the bits stand beside each other; a 1 in bit 0 says nothing about bit 1."""
    floor = fire_map("generic-fire-floor")
    report = decode_report(floor, message(1, SystemState(1, 1, 0x0003, TAG)))
    assert said(report) == {"panel_normal": 1, "panel_fire": 1, "panel_fault": 0}
    assert {one.at for one in report.readings} == {NOON}
    assert (report.lane, report.repeats, report.unmapped) == (Lane.EVENT, True, {})


def test_all_bits_zero_is_all_clear() -> None:
    report = decode_report(fire_map("generic-fire-floor"), message(1, SystemState(1, 1, 0, TAG)))
    assert said(report) == {"panel_normal": 0, "panel_fire": 0, "panel_fault": 0}


def test_the_point_that_says_most_about_where_it_is_has_it() -> None:
    """Smoke detector 2 has rows of its own; detector 9 has none and goes to the text; nothing is said twice."""
    parts = [PartState(1, 1, 42, 2, 2, bytes(31), TAG), PartState(1, 1, 42, 9, 2, write_text("九号"), TAG)]
    report = decode_report(fire_map("generic-fire-floor"), message(2, *parts))
    assert said(report) == {
        "smoke_2_normal": 0,
        "smoke_2_fire": 1,
        "smoke_2_fault": 0,
        "other_parts": "1.1/42.9 fire 九号",
    }


def test_a_set_bit_without_a_row_is_told_by_the_text_or_counted() -> None:
    shielded = PartState(1, 1, 42, 2, 0x0008, bytes(31), TAG)
    report = decode_report(fire_map("generic-fire-floor"), message(2, shielded))
    assert said(report)["other_parts"] == "1.1/42.2 shielded"
    bare, _ = read(row("fire", 'item = "part_state"\npart_address = 2\nbit = "fire"'))
    report = decode_report(bare, message(2, shielded, msgspec.structs.replace(shielded, part_address=3, state=0)))
    assert said(report) == {"fire": 0}
    assert report.unmapped == {"2 1.1/42.2 shielded": "1", "2 1.1/42.3": "0"}


def test_two_parts_behind_one_point_do_not_clear_each_other() -> None:
    """Where a row leaves the address open, a part that is on fire speaks for all of them."""
    open_map, mistakes = read(row("fire", 'item = "part_state"\npart_type = 40\nbit = "fire"'))
    assert not mistakes
    burning, quiet = PartState(1, 1, 40, 1, 2, bytes(31), TAG), PartState(1, 1, 40, 2, 0, bytes(31), TAG)
    for parts in ([burning, quiet], [quiet, burning]):
        assert [one.value for one in decode_report(open_map, message(2, *parts)).readings] == [1]
    cleared = msgspec.structs.replace(burning, state=0)
    history = decode_report(open_map, message(2, burning, cleared, quiet)).readings
    assert [one.value for one in history] == [1, 0, 0]


def test_values_are_live_exact_and_signed() -> None:
    hydrant = fire_map("generic-hydrant-uitd")
    values = [PartValue(11, 1, 99, 7, 5, -35, TAG), PartValue(11, 1, 92, 7, 2, 265, TAG)]
    report = decode_report(hydrant, message(3, *values))
    assert said(report) == {"water_pressure": -3.5, "tank_level": 2.65}
    assert report.lane is Lane.LIVE


@pytest.mark.parametrize("raw", [0x7FFF, -0x8000])
def test_no_value_is_no_number(raw: int) -> None:
    (reading,) = decode_report(fire_map("generic-hydrant-uitd"), message(3, PartValue(1, 1, 1, 1, 5, raw))).readings
    assert (reading.value, reading.quality, reading.reason) == (None, Quality.BAD, Reason.SENSOR_OPEN)
    assert reading.at is None


def test_what_no_point_names_is_kept() -> None:
    floor = fire_map("generic-fire-floor")
    assert decode_report(floor, message(3, PartValue(1, 1, 30, 5, 3, 215, TAG))).unmapped == {
        "3 1.1/30.5 value 3": "215"
    }
    assert decode_report(floor, message(6, SystemConfig(1, 1, "控制器".encode("gb18030")))).unmapped == {
        "6 1.1": "控制器"
    }
    assert decode_report(floor, message(28, Clock(TAG))).unmapped == {"28": "2026-11-21T20:00:00"}
    assert decode_report(floor, message(4, SystemOperation(1, 1, 0x02, 3, TAG))).unmapped == {"4 1.1 silence": "1"}
    raw = msgspec.structs.replace(message(28, Clock(TAG)), unit=b"\x82\x01\xff")
    assert decode_report(floor, raw).unmapped == {"130": "01FF"}
    longer = msgspec.structs.replace(raw, unit=encode_unit(Unit(21, (TransmitterState(1, TAG),), b"\xaa")))
    assert decode_report(floor, longer).unmapped == {"21 rest": "AA"}


def test_an_event_time_in_bcd_is_read_beside_the_frames_own() -> None:
    tag = bytes.fromhex("00 00 20 21 11 26")  # 20:00:00 on 21 November 2026
    report = decode_report(fire_map("generic-fire-floor"), message(1, SystemState(1, 1, 2, tag)))
    assert {one.at for one in report.readings} == {NOON}


def test_an_answer_to_a_request_is_said_once() -> None:
    report = decode_report(fire_map("generic-uitd"), message(21, TransmitterState(1, TAG), command=Command.RESPONSE))
    assert not report.repeats


def test_a_unit_that_lies_is_an_error() -> None:
    with pytest.raises(Gb26875Error):
        decode_report(fire_map("generic-uitd"), msgspec.structs.replace(message(28, Clock(TAG)), unit=b"\2\1\1"))


# --- knowing it again ------------------------------------------------------------------------------------------------


def test_the_key_is_serial_event_time_and_content() -> None:
    floor = fire_map("generic-fire-floor")
    fire, clear = message(1, SystemState(1, 1, 2, TAG)), message(1, SystemState(1, 1, 0, TAG))
    digest = hashlib.blake2b(fire.unit, digest_size=8).digest()
    assert decode_report(floor, fire).key == b"\x01\x00" + TAG + digest
    again = msgspec.structs.replace(fire, sent=write_time(NOON + 10_000_000))
    assert decode_report(floor, again).key == decode_report(floor, fire).key
    others = [
        clear,
        msgspec.structs.replace(fire, serial=2),
        message(1, SystemState(1, 1, 2, write_time(NOON + 1_000_000))),
    ]
    assert len({decode_report(floor, one).key for one in [fire, *others]}) == 4


def test_without_a_time_there_is_another_or_no_key() -> None:
    floor = fire_map("generic-fire-floor")
    untimed = SystemState(1, 1, 2, bytes(6))
    keys = [decode_report(floor, message(1, untimed, sent=write_time(NOON + n * 1_000_000))).key for n in range(2)]
    assert keys[0] != keys[1]
    assert decode_report(floor, message(1, untimed, sent=bytes(6))).key == b""


# --- backwards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["generic-fire-floor", "generic-hydrant-uitd", "generic-electrical-fire"])
def test_what_values_make_reads_as_those_values(model: str) -> None:
    map_ = fire_map(model)
    values = {
        point.name: (1 if point.bit is not None else (sum(point.range or (0, 2)) // 2))
        for point in map_.points
        if not point.text
    }
    found: dict[str, object] = {}
    for unit in make_units(map_, values, NOON):
        frame = msgspec.structs.replace(message(28, Clock(TAG)), unit=encode_unit(unit))
        assert Reader().feed(encode(frame)) == [frame]
        found |= said(decode_report(map_, frame))
    assert found == values


def test_one_message_says_one_type_of_unit() -> None:
    floor = fire_map("generic-fire-floor")
    frame = encode_report(floor, {"smoke_1_fire": 1, "call_point_fire": 0}, NOON, serial=9, source="1001")
    assert (frame.serial, frame.source, frame.command) == (9, address_bytes("1001"), Command.SEND)
    assert parse_unit(frame.unit).objects == (
        PartState(1, 1, 42, 1, 2, time=TAG),
        PartState(1, 1, 23, 4, 0, time=TAG),
    )
    with pytest.raises(ValueError, match="one type of unit, not of 2"):
        encode_report(floor, {"smoke_1_fire": 1, "panel_fire": 1}, NOON)
    with pytest.raises(KeyError):
        encode_report(floor, {"nobody": 1}, NOON)


@pytest.mark.parametrize(
    ("point", "value", "fits"),
    [
        ("hydrant_pressure", 3276.6, True),
        ("hydrant_pressure", 3276.8, False),
        ("hydrant_pressure", None, True),
        ("hydrant_pressure", "high", False),
        ("panel_fire", 1, True),
        ("panel_fire", 2, False),
        ("panel_fire", None, False),
        ("panel_operator", 255, True),
        ("panel_operator", 256, False),
        ("other_parts", "1.1/42.9 fire", True),
        ("other_parts", 3, False),
    ],
)
def test_what_a_point_can_say(point: str, value: float | str | None, fits: bool) -> None:
    found = fire_map("generic-fire-floor").named(point)
    if fits:
        check_value(found, value)
    else:
        with pytest.raises(ValueError, match=point):
            check_value(found, value)


def test_a_wrong_example_is_complained_about() -> None:
    profile = LIBRARY["generic-fire-floor"]
    good = profile.examples[1]
    assert complaints_about(profile, good) == []
    data = bytearray(good.report)
    data[-3] ^= 1
    wrong = {
        "no whole, checked frame": {"report": bytes(data)},
        "the example says": {"values": {**good.values, "smoke_2_fire": 0}},
        "the values carry": {"at": "2026-11-21T03:04:05Z"},
        "another confirmation": {"ack": good.report},
        "is a report": {"report": b"", "request": b"1", "reply": b"2"},
        "announces": {"report": encode(msgspec.structs.replace(message(28, Clock(TAG)), unit=b"\2\1"))},
    }
    for complaint, change in wrong.items():
        example: Example = msgspec.structs.replace(good, **change)  # type: ignore[arg-type]  # fields by name
        found = " ".join(complaints_about(profile, example))
        assert complaint in found or (complaint == "announces" and "bytes for" in found), (complaint, found)
    unknown = message(3, PartValue(9, 9, 9, 9, 9, 9, TAG))
    example = msgspec.structs.replace(good, report=encode(unknown), ack=b"", at=None)
    assert "no point names" in complaints_about(profile, example)[0]


# --- the table -------------------------------------------------------------------------------------------------------


def test_a_table_is_read() -> None:
    found, mistakes = read(
        row("fire", 'item = "part_state"\nsystem_type = 1\npart_type = 40\npart_address = 131082\nbit = "fire"')
        + row("odd", 'item = "part_state"\nbit = 12')
        + row("parts", 'item = "part_state"', TEXT)
        + row(
            "leak",
            'item = "part_value"\nvalue_type = 130\nscale = 0.001\nsentinels = [-1]',
            'title = { zh = "漏", en = "Leak" }\nquantity = "current"\nunit = "A"\n',
        )
    )
    assert mistakes == []
    fire, odd, parts, leak = found.points
    assert isinstance(fire, FirePoint)
    assert (fire.bit, fire.part_address, fire.says) == (1, 131082, 3)
    assert (odd.bit, parts.bit, parts.text) == (12, None, True)
    assert (leak.value_type, leak.sentinels, float(leak.scale)) == (130, (-1.0,), 0.001)
    raw = decode_report(found, message(3, PartValue(1, 1, 1, 1, 130, 287, TAG)))
    assert said(raw) == {"leak": 0.287}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no points"),
        (row("x", 'item = "part_stat"\nbit = "fire"'), "did you mean 'part_state'?"),
        (row("x", 'item = "part_state"\nbit = "fyre"'), "did you mean 'fire'?"),
        (row("x", 'item = "part_state"\nbit = 16'), "must be ≥ 0 and ≤ 15"),
        (row("x", 'item = "part_state"\nbit = "fire"\nvalue_type = 3'), "unknown key"),
        (row("x", 'item = "transmitter_state"\nbit = "fire"\npart_type = 3'), "unknown key"),
        (row("x", 'item = "transmitter_state"'), "is missing"),
        (row("x", 'item = "part_state"\npart_address = 4294967296\nbit = "fire"'), "4294967296"),
        (row("x", 'item = "part_state"'), "is a number, a part_state is not"),
        (row("x", 'item = "part_state"\nbit = "fire"', TEXT), "is a text, a part_state is not"),
        (row("x", 'item = "part_state"\nbit = "fire"', BIT.replace("state", "code")), "a bit is a 'state'"),
        (row("x", 'item = "part_value"\nvalue_type = "presure_kpa"'), "did you mean 'pressure_kpa'?"),
        (row("x", 'item = "part_value"\nvalue_type = 200'), "no step for values of type 200"),
        (row("x", 'item = "part_value"\nvalue_type = "pressure_kpa"'), "are in 'kPa', not '1'"),
        (row("x", 'item = "system_state"\nbit = "fire"') + row("y", 'item = "system_state"\nbit = 1'), "are the same"),
        (row("x", 'item = "system_state"\nbit = "fire"') + row("x", 'item = "system_state"\nbit = 2'), "second point"),
    ],
)
def test_mistakes_in_a_table_are_told(text: str, complaint: str) -> None:
    _, mistakes = read(text)
    assert any(complaint in mistake for mistake in mistakes), mistakes


def test_every_item_is_used_by_the_library() -> None:
    """A kind of point that no profile shows would be one that nobody has tried."""
    maps = [profile.map for profile in LIBRARY.values() if isinstance(profile.map, FireMap)]
    assert {point.item for map_ in maps for point in map_.points} == set(ITEMS)
