"""The verbs, as an operator uses them: data on stdout, trouble in words on stderr, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from device_profiles.codecs.modbus_pdu import Read
from edge_agent.cli import cli
from tests.rooms.agent.sites import write_site
from tests.rooms.agent.terminal import Terminal, terminal
from tests.rooms.agent.wire import DEAD, FakeUnit


def louver(read: Read, n: int) -> list[int]:
    """The registers of the manual's example: a frosty morning."""
    image = dict(enumerate([658, 0xFF9B, 563, 41, 66, 985, 1, 4674], 500))
    return [image.get(address, 0) for address in range(read.address, read.address + read.count)]


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def served() -> Iterator[Terminal]:
    with terminal(FakeUnit(1, louver), FakeUnit(2, louver, lambda n: DEAD)) as wire:
        yield wire


def on(folder: Path, wire: Terminal, units: int = 1) -> Path:
    path = write_site(folder, units)
    path.write_text(path.read_text().replace("/dev/none", wire.path))
    return path


def test_read_shows_bytes_values_and_quality(tmp_path: Path, served: Terminal) -> None:
    result = invoke("read", on(tmp_path, served), "unit-1", "--json")
    assert result.exit_code == 0, result.stderr
    points = {row["point"]: row for row in json.loads(result.stdout)["points"]}
    assert (points["air_temperature"]["hex"], points["air_temperature"]["value"]) == ("FF 9B", -10.1)
    assert points["illuminance"] == {
        "point": "illuminance",
        "hex": "00 01 12 42",
        "value": 70210,
        "unit": "lx",
        "quality": "good",
        "reason": "",
    }
    table = invoke("read", on(tmp_path, served), "unit-1")
    assert "air_temperature          FF 9B                             -10.1 Cel        good" in table.stdout


def test_save_writes_a_transcript_that_reads_like_the_manual(tmp_path: Path, served: Terminal) -> None:
    saved = tmp_path / "louver.txt"
    assert invoke("read", on(tmp_path, served), "unit-1", "--save", saved).exit_code == 0
    assert saved.read_text().splitlines()[1:] == [
        ">> 01 03 01 F6 00 01 65 C4",
        "<< 01 03 02 02 33 F9 31",
        ">> 01 03 01 F4 00 08 04 02",
        "<< 01 03 10 02 92 FF 9B 02 33 00 29 00 42 03 D9 00 01 12 42 0B D7",
    ]


def test_check_connect_names_the_unit_that_is_silent(tmp_path: Path, served: Terminal) -> None:
    result = invoke("check", on(tmp_path, served, units=2), "--connect")
    assert result.exit_code == 1
    assert "unit   1  unit-1               answers" in result.stdout
    assert "unit   2  unit-2               timeout" in result.stdout


def test_scan_finds_who_answers_and_what_it_may_be(tmp_path: Path, served: Terminal) -> None:
    words = ("line", "--units", "1-3", "--timeout", "50", "--protocols", "modbus", "--json")
    result = invoke("scan", on(tmp_path, served), *words)
    assert result.exit_code == 0, result.stderr
    (found,) = json.loads(result.stdout)["found"]
    assert found["unit"] == 1 and "renke-louver" in found["models"]


def test_a_wrong_site_is_told_whole_and_without_a_traceback(tmp_path: Path) -> None:
    path = write_site(tmp_path, device="peroid = 3\nscale = 2\n")
    for verb in ("check", "run", "tap", "ledger"):
        result = invoke(verb, path)
        assert result.exit_code == 1 and result.stdout == ""
        assert result.stderr.count("\n") == 2 and "did you mean 'period'?" in result.stderr


@pytest.mark.parametrize("verb", ["tap", "ledger"])
def test_where_nobody_listens_the_message_says_what_to_do(tmp_path: Path, verb: str) -> None:
    result = invoke(verb, write_site(tmp_path))
    assert result.exit_code == 1
    assert f"no pole listens at {tmp_path / 'gw.sock'}" in result.stderr and "kuimen pole run" in result.stderr


def test_misspelt_devices_and_links_are_answered_with_the_nearest(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    assert "did you mean 'unit-1'?" in invoke("read", path, "unit1").stderr
    assert "did you mean 'line'?" in invoke("scan", path, "lin").stderr
    assert "line is down: /dev/none" in invoke("read", path, "unit-1").stderr


@pytest.mark.parametrize("units", ["0", "248", "a-b", "9-3", ""])
def test_wrong_units_are_wrong_usage(tmp_path: Path, units: str) -> None:
    assert invoke("scan", write_site(tmp_path), "line", "--units", units).exit_code == 2


@pytest.mark.parametrize("option", [("--bauds", "9601"), ("--bauds", "9600X"), ("--protocols", "modbus,dlt654")])
def test_what_a_scan_does_not_know_is_wrong_usage(tmp_path: Path, option: tuple[str, str]) -> None:
    assert invoke("scan", write_site(tmp_path), "line", *option).exit_code == 2


def test_a_network_link_has_no_speeds_and_modbus_tcp_no_meters(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    path.write_text(path.read_text().replace("serial:///dev/none?baud=9600", "tcp://192.0.2.7:502"))
    assert "carries no meters" in invoke("scan", path, "line", "--protocols", "dlt645").stderr
    assert "no speed that we could change" in invoke("scan", path, "line", "--bauds", "9600").stderr


def test_a_unit_in_ascii_is_read_and_its_transcript_says_so(tmp_path: Path) -> None:
    saved = tmp_path / "louver.txt"
    with terminal(FakeUnit(1, louver), ascii=True) as wire:
        path = on(tmp_path, wire)
        path.write_text(path.read_text() + 'framing = "ascii"\n')
        result = invoke("read", path, "unit-1", "--save", saved)
    assert result.exit_code == 0, result.stderr
    assert "air_temperature          FF 9B                             -10.1 Cel        good" in result.stdout
    lines = saved.read_text().splitlines()
    assert lines[1] == "# framing: ascii"
    assert bytes.fromhex(lines[2][2:]) == b":010301F6000104\r\n"
