"""Profiles out of TOML: what a sound file becomes, what a site may add, and what the command line prints."""

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from device_profiles.cli import cli
from device_profiles.loader import LIBRARY, load_library, load_profile
from device_profiles.problems import ConfigError, Problems
from device_profiles.profiles import DeviceProfile, RegisterPoint

ROOT = Path(__file__).parents[3]

PROBE = """
[profile]
model = "acme-probe"
version = 3
vendor = "Acme"
title = { zh = "探头", en = "Probe" }
domain = "environment"
component = "0301"
status = "bench-tested"
sources = ["its manual"]

[modbus]
unit = 7
baud = 19200
parity = "E"
stop = 2
max_block = 16
timeout_ms = 250
late_ms = 900
avoid = [{ table = "holding", first = 0x10, last = 0x1F, why = "it resets the unit" }]

[[modbus.points]]
name = "air_temperature"
title = { zh = "气温", en = "Air temperature" }
quantity = "air_temperature"
unit = "[degF]"
table = "input"
address = 0x20
type = "i16"
order = "DCBA"
scale = 0.1
offset = -0.5
sentinels = [0x7FFF, -32768]
range = [-40, 140]
deadband = 0.2
period = 5
report = 120

[[modbus.points]]
name = "set_point"
title = { zh = "设定", en = "Set point" }
quantity = "lamp_level"
unit = "%"
table = "holding"
address = 2
type = "u16"
writable = { low = 0, high = 100 }

[[modbus.points]]
name = "serial_number"
title = { zh = "序列号", en = "Serial number" }
quantity = "words"
unit = "1"
table = "holding"
address = 0x40
type = "string"
length = 7

[[modbus.points]]
name = "door_open"
title = { zh = "箱门", en = "Door" }
quantity = "state"
unit = "1"
table = "discrete"
address = 0
type = "bit"
"""


def write(folder: Path, text: str, name: str = "acme-probe.toml") -> Path:
    """A profile file in a folder of its own."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def register(profile: DeviceProfile, name: str) -> RegisterPoint:
    point = profile.point(name)
    assert isinstance(point, RegisterPoint)
    return point


def test_every_field_arrives(tmp_path: Path) -> None:
    problems = Problems()
    profile = load_profile(write(tmp_path, PROBE), problems)
    assert problems.found == []
    assert profile is not None
    assert (profile.model, profile.version, profile.status) == ("acme-probe", 3, "bench-tested")
    modbus = profile.modbus
    assert (modbus.unit, modbus.max_block, modbus.timeout_ms, modbus.late_ms) == (7, 16, 250, 900)
    assert (modbus.line.baud, modbus.line.parity, modbus.line.stop) == (19200, "E", 2)
    assert [(avoid.first, avoid.last) for avoid in modbus.avoid] == [(0x10, 0x1F)]
    point = register(profile, "air_temperature")
    assert (point.address, point.type, point.order, point.registers) == (0x20, "i16", "DCBA", 1)
    assert (point.scale, point.offset) == (Fraction(1, 10), Fraction(-1, 2))  # as written, not as the nearest float
    assert (point.sentinels, point.range) == ((0x7FFF, -32768), (-40, 140))
    assert (point.deadband, point.period, point.report) == (0.2, 5, 120)
    writable = profile.point("set_point").writable
    assert writable is not None
    assert (writable.low, writable.high) == (0, 100)
    assert register(profile, "serial_number").registers == 7
    assert profile.point("serial_number").text
    assert register(profile, "door_open").registers == 1
    with pytest.raises(KeyError):
        profile.point("no_such_point")


def test_a_site_adds_models(tmp_path: Path) -> None:
    write(tmp_path / "mine", PROBE)
    assert "acme-probe" in load_library([tmp_path / "mine"])
    assert "acme-probe" not in load_library()


def test_a_site_redefines_none(tmp_path: Path) -> None:
    source = next(LIBRARY.rglob("renke-louver.toml"))
    write(tmp_path, source.read_text(encoding="utf-8"), "renke-louver.toml")
    with pytest.raises(ConfigError, match=r"'renke-louver' is already in .*library/environment/renke-louver\.toml"):
        load_library([tmp_path])


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    write(tmp_path, PROBE.replace('"i16"', '"i166"'))
    write(tmp_path, PROBE.replace("acme-probe", "acme-other").replace("0.1", '"a tenth"'), "acme-other.toml")
    problems = Problems()
    profiles = load_library([tmp_path, tmp_path / "nowhere"], problems)
    assert "renke-louver" in profiles  # what is sound can still be used
    assert "acme-probe" not in profiles
    told = "\n".join(str(problem) for problem in sorted(problems.found))
    assert "unknown type 'i166' (did you mean 'i16'?)" in told
    assert "scale: must be a number, not 'a tenth'" in told
    assert "nowhere: no such folder of profiles" in told
    with pytest.raises(ConfigError) as wrong:
        load_library([tmp_path, tmp_path / "nowhere"])
    assert len(wrong.value.problems) == len(problems.found) == 3


def test_the_file_is_called_like_the_model(tmp_path: Path) -> None:
    problems = Problems()
    assert load_profile(write(tmp_path, PROBE, "probe.toml"), problems) is None
    assert [str(problem).partition(": ")[2] for problem in problems.found] == [
        "profile.model: 'acme-probe' differs from the file's name (call the file acme-probe.toml)"
    ]


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"[profile", b'profile = "x"\nmodbus = 3\nexamples = 1\nsimulate = []'])
def test_junk_is_a_problem_and_never_a_traceback(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "acme-probe.toml"
    path.write_bytes(junk)
    problems = Problems()
    assert load_profile(path, problems) is None
    assert problems.found


def test_any_value_of_the_wrong_type_is_a_problem(tmp_path: Path) -> None:
    """Each key of a sound profile in turn gets a value of every wrong type: told, never raised."""
    lines = PROBE.splitlines()
    for number, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if not equals:
            continue
        for wrong in ("true", '"x"', "[]", "{}", "-1", "1979-05-27", "[{ a = 1 }]", "[[1]]"):
            text = "\n".join([*lines[:number], f"{key} = {wrong}", *lines[number + 1 :]])
            problems = Problems()
            profile = load_profile(write(tmp_path, text), problems)
            assert (profile is None) == bool(problems.found), (key, wrong)


# --- the command line -----------------------------------------------------------------------------------------------


def kuimen(*arguments: str) -> Result:
    """`kuimen profiles …` in this process."""
    return CliRunner().invoke(cli, arguments)


def test_lint_in_a_process_of_its_own() -> None:
    started = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-m", "kuimen", "profiles", "lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(f"lint: {(time.monotonic_ns() - started) / 1e9:.2f} s")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" profiles, 0 problems\n")


def test_loading_the_library_imports_nothing_heavy() -> None:
    heavy = ["asyncio", "socket", "logging", "threading", "sqlite3", "rich", "numpy", "click", "pydantic"]
    code = (
        "import sys; before = set(sys.modules); from device_profiles.loader import load_library; load_library();"
        f"print([name for name in {heavy!r} if name in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_list() -> None:
    result = kuimen("list")
    assert result.exit_code == 0
    told = [line.split() for line in result.stdout.splitlines()]
    assert ["water", "yosemitech-y4000", "from-manual", "8", "points", "Water-quality", "sonde", "Y4000"] in told
    rows = json.loads(kuimen("list", "--json").stdout)
    assert {row["model"] for row in rows} == set(load_library())


def test_list_with_a_folder_of_the_sites_own(tmp_path: Path) -> None:
    write(tmp_path, PROBE)
    assert "acme-probe" in kuimen("list", "--library", str(tmp_path)).stdout
    write(tmp_path, PROBE.replace('"i16"', '"s16"'))
    result = kuimen("list", "--library", str(tmp_path))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "unknown type 's16' (here it is called 'i16')" in result.stderr


@pytest.mark.parametrize("model", sorted(load_library()))
def test_show(model: str) -> None:
    result = kuimen("show", model)
    assert result.exit_code == 0
    profile = load_library()[model]
    assert all(point.name in result.stdout for point in profile.points)
    shown = json.loads(kuimen("show", model, "--json").stdout)
    assert shown["protocol"] == profile.protocol
    assert [point["name"] for point in shown["map"]["points"]] == [point.name for point in profile.points]


def test_show_a_model_that_is_not_there() -> None:
    result = kuimen("show", "renke-luover")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "no profile is called 'renke-luover' (did you mean 'renke-louver'?)\n"


RTU = ("01 03 00 00 00 02 C4 0B", "01 03 04 01 D7 00 D6 CA 69")


def test_decode_with_a_model() -> None:
    result = kuimen("decode", "asair-aq3485", *RTU)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "unit 1, function 3, address 0, 2 holding",
        "air_humidity     47.1  %    good",
        "air_temperature  21.4  Cel  good",
    ]
    assert kuimen("decode", "asair-aq3485", *" ".join(RTU).split()).stdout == result.stdout
    decoded = json.loads(kuimen("decode", "asair-aq3485", *RTU, "--json").stdout)
    assert [(row["name"], row["value"]) for row in decoded["rows"]] == [
        ("air_humidity", 47.1),
        ("air_temperature", 21.4),
    ]


def test_decode_a_value_that_is_none() -> None:
    result = kuimen("decode", "jxct-pm", "01 03 00 04 00 01 C5 CB", "01 03 02 FF FF B9 F4")
    assert result.stdout.splitlines()[1].split() == ["pm2_5", "–", "ug/m3", "bad", "sensor_open"]


def test_decode_without_a_model() -> None:
    result = kuimen("decode", "modbus-rtu", *RTU)
    assert result.stdout.splitlines()[1:] == ["0  471        01D7", "1  214        00D6"]
    tcp = kuimen("decode", "modbus-tcp", "0001 0000 0006 01 03 0000 0001", "0001 0000 0005 01 03 02 0005")
    assert tcp.stdout.splitlines()[1:] == ["0  5        0005"]
    coils = kuimen("decode", "modbus-tcp", "0001 0000 0006 01 01 0000 0003", "0001 0000 0004 01 01 01 05")
    assert [line.split() for line in coils.stdout.splitlines()[1:]] == [["0", "1"], ["1", "0"], ["2", "1"]]
    refused = kuimen("decode", "modbus-tcp", "0001 0000 0006 01 03 0000 0001", "0001 0000 0003 01 83 02")
    assert refused.stdout.splitlines()[1:] == ["the unit refuses: exception 2"]
    over_tcp = kuimen("decode", "asair-aq3485", "--tcp", "000100000006010300000002", "0001000000070103 04 01D7 00D6")
    assert "air_humidity     47.1  %    good" in over_tcp.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("modbus-rtu", RTU[0]), "no: the reply is missing\n"),
        (("modbus-rtu", RTU[1]), "no: the request's check"),
        (("modbus-rtu", "FF FF"), "no: the first bytes are no Modbus request"),
        (("modbus-rtu", RTU[0].replace("0B", "0C"), RTU[1]), "no: the request's check is C4 0C, it should be C4 0B\n"),
        (("modbus-rtu", RTU[0], RTU[1][:-3]), "no: the reply does not answer this: truncated\n"),
        (("modbus-rtu", RTU[0], RTU[1].replace("69", "6A")), "no: the reply does not answer this: bad_checksum\n"),
        (("modbus-tcp", "00 01"), "no: the first bytes are no Modbus TCP request"),
        (("nhzd-210", *RTU), "no: no point of nhzd-210 lies in what was read\n"),
    ],
)
def test_decode_says_why_not(arguments: tuple[str, ...], said: str) -> None:
    result = kuimen("decode", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(said)


def test_used_wrongly_is_two() -> None:
    assert kuimen("decode", "modbus-rtu", "xyz").exit_code == 2
    assert kuimen("decode").exit_code == 2
    assert kuimen("lint", "no/such/file").exit_code == 2
