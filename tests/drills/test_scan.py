"""A scan of one line with Modbus, two electricity meters that answer over each other and a water meter, each at its own
speed: all are found, and the rows that it proposes are a site file."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from edge_agent.cli import cli
from edge_agent.clock import SystemClock
from edge_agent.config import load_config
from firmware_sim.running import RunningStreet
from firmware_sim.street_file import load_street

STREET = """
[street]
name = "unknown"
seed = 5

[[poles]]
name = "kz-001"

[[poles.links]]
name = "line"
kind = "rtu"
baud = 38400

[[poles.links.units]]
device = "air"
profile = "xy-md02"
unit = 3

[[poles.links.units]]
device = "power"
profile = "generic-dlt645-three"
unit = "000012345678"
parity = "E"

[[poles.links.units]]
device = "shop"
profile = "generic-dlt645-single"
unit = "000012345603"
parity = "E"

[[poles.links.units]]
device = "old-power"
profile = "generic-dlt645-1997"
unit = "000000000017"
baud = 1200
parity = "E"

[[poles.links.units]]
device = "water"
profile = "generic-cjt188-water"
unit = "00112200123456"
baud = 2400
parity = "E"
"""
SITE = """
[site]
name = "kz-001"

[gateway]
socket = "agent.sock"

[[links]]
name = "line"
url = "serial://{wire}?baud=38400"

[[devices]]
name = "air"
profile = "xy-md02"
link = "line"
unit = 3
"""
METERS = {"000012345678", "000012345603", "000000000017", "00112200123456"}


def scan(site: Path, *options: str) -> Result:
    words = ["scan", str(site), "line", "--units", "2-4", "--timeout", "120", "--meter-timeout", "120", *options]
    return CliRunner().invoke(cli, words)


def test_a_mixed_line_is_found_and_proposed(tmp_path: Path) -> None:
    (tmp_path / "street.toml").write_text(STREET)
    with RunningStreet(load_street(str(tmp_path / "street.toml")), tmp_path, SystemClock()) as running:
        (line,) = running.lines
        site = tmp_path / "site.toml"
        site.write_text(SITE.format(wire=line.path))
        said = scan(site, "--bauds", "38400,2400,1200")
        told = scan(site, "--protocols", "modbus,cjt188", "--bauds", "38400,2400", "--json")
        assert line.counts.collisions >= 1
    assert said.exit_code == 0, said.stderr
    assert said.stdout.startswith("# unit 3 on line is air already\n")
    site.write_text(site.read_text() + "\n" + said.stdout)
    found = {device.unit: device for device in load_config(site).devices}
    assert found.keys() == {3} | METERS
    water, old, power = found["00112200123456"], found["000000000017"], found["000012345678"]
    assert (water.profile.model, water.line and (water.line.baud, water.line.parity)) == (
        "generic-cjt188-water",
        (2400, "E"),
    )
    assert (old.profile.model, old.line and old.line.baud) == ("generic-dlt645-1997", 1200)
    assert power.line is None and power.profile.protocol == "dlt645"
    rows = json.loads(told.stdout)["found"]
    assert [(row["unit"], row["protocol"]) for row in rows] == [(3, "modbus"), ("00112200123456", "cjt188")]
    assert rows[1]["line"] == {"baud": 2400, "parity": "E", "stop": 1}


def test_an_empty_line_is_no(tmp_path: Path) -> None:
    (tmp_path / "street.toml").write_text(STREET)
    with RunningStreet(load_street(str(tmp_path / "street.toml")), tmp_path, SystemClock()) as running:
        site = tmp_path / "site.toml"
        site.write_text(SITE.format(wire=running.lines[0].path))
        said = scan(site, "--bauds", "4800")
    assert said.exit_code == 1 and said.stdout == ""
    assert "0 units answered" in said.stderr
