"""A described serial sensor beside Modbus on one simulated line; a probe that just talks on a port of its own."""

from __future__ import annotations

import asyncio
import json
import os
import select
import tty
from pathlib import Path
from threading import Thread

from click.testing import CliRunner

from edge_agent import service
from edge_agent.assembly import Agent
from edge_agent.cli import cli
from edge_agent.clock import SystemClock
from edge_agent.config import load_config
from edge_agent.precise_loop import new_loop
from firmware_sim.running import RunningStreet
from firmware_sim.sites import Centre, write_sites
from firmware_sim.street_file import load_street
from tests.rooms.agent.sites import FakeGateway, start

STREET = """
[street]
name = "described"
seed = 5

[[poles]]
name = "kz-001"

[[poles.links]]
name = "line"
kind = "serial"
baud = 9600

[[poles.links.units]]
device = "air"
profile = "xy-md02"
unit = 3

[[poles.links.units]]
device = "gap"
profile = "sankoe-skd40d"
unit = "1"
"""
SITE = """
[site]
name = "kz-001"

[gateway]
socket = "agent.sock"

[[links]]
name = "line"
url = "serial://{wire}"

[[devices]]
name = "river"
profile = "maxbotix-hrusb"
link = "line"
unit = "1"
"""


def read(site: Path, device: str, *more: str) -> dict[str, dict[str, object]]:
    said = CliRunner().invoke(cli, ["read", str(site), device, "--json", *more])
    assert said.exit_code == 0, said.output
    return {row["point"]: row for row in json.loads(said.stdout)["points"]}


def test_a_described_sensor_answers_beside_modbus(tmp_path: Path) -> None:
    (tmp_path / "street.toml").write_text(STREET)
    with RunningStreet(load_street(str(tmp_path / "street.toml")), tmp_path, SystemClock()) as running:
        (site, *_) = write_sites(running.street, tmp_path, Centre())
        gap, air = read(site, "gap", "--save", str(tmp_path / "gap.txt")), read(site, "air")
        counts = {row["device"]: row for row in running.witness.document()["units"]}
    value = gap["distance"]["value"]
    assert isinstance(value, (int, float)) and 4000 <= value <= 6000
    assert gap["distance"]["hex"] == b"\xff".hex().upper() + " " + f"{value:6.0f}".encode().hex(" ").upper()
    assert air["air_temperature"]["quality"] == "good"
    assert counts["gap"]["answered_readings"] == 1
    assert (tmp_path / "gap.txt").read_text().splitlines()[1] == ">> 4F"


def test_a_probe_that_just_talks_is_listened_to(tmp_path: Path) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    hush, hushed = os.pipe()

    def talk() -> None:
        while hush not in select.select([hush], [], [], 0.05)[0]:
            os.write(master, b"R0480 \r")

    probe = Thread(target=talk)
    probe.start()
    try:
        site = tmp_path / "site.toml"
        site.write_text(SITE.format(wire=os.ttyname(slave)))
        river = read(site, "river")
    finally:
        os.write(hushed, b"x")
        probe.join()
        for fd in (master, slave, hush, hushed):
            os.close(fd)
    assert (river["distance"]["value"], river["distance"]["hex"]) == (480, "52 30 34 38 30 20 0D")


def test_what_the_agent_received_is_what_the_line_answered(tmp_path: Path) -> None:
    faults = "faults = { silent = { probability = 0.1 }, truncated = { probability = 0.1 } }\n"
    (tmp_path / "street.toml").write_text(STREET + faults)
    with RunningStreet(load_street(str(tmp_path / "street.toml")), tmp_path, SystemClock()) as running:
        (site, *_) = write_sites(running.street, tmp_path, Centre())
        with asyncio.Runner(loop_factory=new_loop) as runner:
            agent = runner.run(_poll(site))
        counts = running.witness.document()
    totals = counts["totals"]
    assert isinstance(totals, dict)
    assert agent.ledger.answered == totals["answered_readings"] + totals["late_readings"]
    heard = {row["device"]: row["answered"] for row in counts["units"]}
    assert heard["gap"] and heard["air"], heard


async def _poll(site: Path) -> Agent:
    """Poll until both were heard, then leave in order."""
    config = load_config(site)
    assert isinstance(config.gateway, Path)
    gateway = FakeGateway(config.gateway)
    server = await start(gateway)
    stop = asyncio.Event()
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        running = group.create_task(service.run(config, SystemClock(), stop))
        await gateway.until(lambda: gateway.readings >= 4)
        stop.set()
    server.close()
    return running.result()
