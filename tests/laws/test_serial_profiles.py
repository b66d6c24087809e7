"""The laws of the library for described serial protocols, and every mistake that their table can hold."""

import random
from fractions import Fraction
from pathlib import Path

import pytest

from device_profiles.loader import load_library, load_profile
from device_profiles.maps import serial
from device_profiles.maps.serial import SerialMap, SerialPoint
from device_profiles.problems import Problems
from device_profiles.profiles import DeviceProfile, Example
from device_profiles.quality import GOOD_CODE, Reason, split_code
from device_profiles.readings import Value

PROFILES = {model: profile for model, profile in load_library().items() if profile.protocol == "serial"}
EXAMPLES = [(profile, example) for profile in PROFILES.values() for example in profile.examples]
SAMPLES = 200

each_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())


def map_of(profile: DeviceProfile) -> SerialMap:
    assert isinstance(profile.map, SerialMap)
    return profile.map


def test_there_are_some() -> None:
    assert any(not map_of(profile).request for profile in PROFILES.values()), "none that just talks"
    assert any(map_of(profile).request for profile in PROFILES.values()), "none that is asked"


@pytest.mark.parametrize(("profile", "example"), EXAMPLES, ids=[f"{p.model}: {e.title}" for p, e in EXAMPLES])
def test_examples_fed_one_byte_at_a_time_read_as_written(profile: DeviceProfile, example: Example) -> None:
    assert serial.complaints_about(profile, example) == []
    (read,) = serial.plan_reads(map_of(profile), map_of(profile).unit, profile.points, lambda point: point.period)
    exchange = read.exchange()
    assert exchange.request() == example.request
    for byte in example.reply or example.report:
        assert exchange.take() is None
        exchange.feed(bytes([byte]))
    answer = exchange.take()
    assert answer is not None
    values, codes = read.decode(answer.data)
    found = {
        point.name: value if code == GOOD_CODE else split_code(code)[1].word
        for point, value, code in zip(read.points, values, codes, strict=True)
    }
    assert found == example.values


@each_profile
def test_every_value_on_the_grid_survives_the_wire(profile: DeviceProfile) -> None:
    dice, map_ = random.Random(profile.model), map_of(profile)
    (read,) = serial.plan_reads(map_, map_.unit, profile.points, lambda point: point.period)
    for _ in range(SAMPLES):
        said: dict[str, Value] = {}
        for point in map_.points:
            assert isinstance(point, SerialPoint) and point.range is not None
            step = point.scale / 10**point.decimals
            low, high = (round(Fraction(str(bound)) / step) for bound in point.range)
            exact = dice.randint(low, high) * step
            said[point.name] = exact.numerator if exact.denominator == 1 else exact.numerator / exact.denominator
        values, codes = read.decode(map_.layout.build(said, map_.unit))
        assert dict(zip(said, values, strict=True)) == said and set(codes) == {GOOD_CODE}


@pytest.mark.parametrize("unit", ["256", "-1", "", "A", "0001"])
def test_what_is_no_unit(unit: str) -> None:
    with pytest.raises(ValueError, match="no unit"):
        serial.check_unit(unit)


def test_strays_are_noise() -> None:
    (stray,) = serial.sort_strays(b"R0480 \r")
    assert (stray.reason, stray.data) == (Reason.NOISE, b"R0480 \r")
    assert serial.sort_strays(b"") == []


PROFILE = """
[profile]
model = "some-probe"
vendor = "nobody"
title = { zh = "探头", en = "Probe" }
domain = "water"
component = "0502"
status = "draft"
sources = ["made up"]

[serial]
TABLE

[[serial.points]]
name = "distance"
title = { zh = "距离", en = "Distance" }
quantity = "distance"
unit = "m"
POINT
"""
SOUND = (
    'request = "{unit} 03 01"\nrequest_check = { kind = "crc16_modbus", order = "little" }\nstart = "AA"\nsize = 8\n'
)


def read(folder: Path, table: str, point: str = 'byte = 1\ntype = "u16"\n') -> tuple[DeviceProfile | None, str]:
    path = folder / "some-probe.toml"
    path.write_text(PROFILE.replace("TABLE", table).replace("POINT", point), encoding="utf-8")
    problems = Problems()
    return load_profile(path, problems), "\n".join(str(problem) for problem in problems.found)


def test_a_request_with_the_units_number_and_a_check(tmp_path: Path) -> None:
    profile, troubles = read(tmp_path, SOUND)
    assert profile is not None, troubles
    assert map_of(profile).request_to("5")[:3] == b"\x05\x03\x01"
    assert len(map_of(profile).request_to("5")) == 5
    text, troubles = read(tmp_path, 'request_text = "#{unit}\\r"\nstart_text = ">"\nend_text = "\\r"\n')
    assert text is not None, troubles
    assert map_of(text).request_to("05") == b"#05\r"


@pytest.mark.parametrize(
    ("table", "point", "said"),
    [
        ('request = "0G"\nstart = "AA"\nsize = 8\n', "", "is no hexadecimal"),
        ("size = 8\n", "", "nothing shows where a frame begins"),
        ('start = "AA"\n', "", "a frame's end is one of"),
        ('start = "AA"\nsize = 8\nlength = { byte = 1 }\n', "", "a frame's end is one of"),
        ('end = "0D"\nseparator_text = ","\n', "", "separator and items belong together"),
        ('end = "0D"\nseparator_text = ","\nitems = ["", "m"]\n', 'item = 1\ntype = "decimal"\n', "no item 1 is free"),
        ('end = "0D"\nseparator_text = ","\nitems = [""]\n', 'item = 0\ntype = "u8"\n', "a u8 is no text"),
        ('start = "AA"\nsize = 8\n', 'byte = 7\ntype = "u16"\n', "lies behind the frame's end"),
        ('start = "AA"\nsize = 8\n', 'type = "u16"\n', "must say where it stands"),
        ('start = "AA"\nsize = 8\n', 'byte = 1\ntype = "decimal"\n', "is missing: the bytes of the decimal"),
        ('start = "AA"\nsize = 8\n', 'byte = 1\ntype = "u8"\nrange = [0, 300]\n', "cannot be said"),
        ('start = "AA"\nsize = 8\ncheck = { kind = "crc99" }\n', "", "unknown kind 'crc99'"),
        ('start = "AA"\nsize = 8\nunit = "300"\n', "", "no unit"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, table: str, point: str, said: str) -> None:
    profile, troubles = read(tmp_path, table, point or 'byte = 1\ntype = "u16"\n')
    assert profile is None and said in troubles, troubles
