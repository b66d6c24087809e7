"""One RS-485 line that carries Modbus, DL/T 645 of both editions and CJ/T 188 together, each at its own speed, with
faults: what the agent received is what the simulator answered, reading for reading."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from edge_agent import service
from edge_agent.assembly import Agent
from edge_agent.clock import SystemClock
from edge_agent.config import load_config
from edge_agent.precise_loop import new_loop
from firmware_sim.running import RunningStreet
from firmware_sim.sites import Centre, write_sites
from firmware_sim.street_file import load_street
from tests.rooms.agent.sites import FakeGateway, start

STREET = """
[street]
name = "mixed"
seed = 5

[[poles]]
name = "kz-001"

[[poles.links]]
name = "line"
kind = "rtu"
baud = 9600

[[poles.links.units]]
device = "air"
profile = "xy-md02"
unit = 3
faults = { late = { probability = 0.05, delay_ms = 900 }, bad_checksum = { probability = 0.05 } }

[[poles.links.units]]
device = "power"
profile = "generic-dlt645-three"
unit = "000012345678"
baud = 2400
parity = "E"
faults = { silent = { probability = 0.05 }, bad_checksum = { probability = 0.05 } }

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
faults = { late = { probability = 0.1, delay_ms = 1400 } }
"""
POLLED = 40


def test_what_the_agent_received_is_what_the_line_answered(tmp_path: Path) -> None:
    (tmp_path / "street.toml").write_text(STREET)
    street = load_street(str(tmp_path / "street.toml"))
    with RunningStreet(street, tmp_path, SystemClock()) as running:
        (site, *_) = write_sites(running.street, tmp_path, Centre())
        with asyncio.Runner(loop_factory=new_loop) as runner:
            agent = runner.run(_poll(site, lambda: all(_heard(running).values())))
        counts = running.witness.document()
    totals = counts["totals"]
    assert agent.ledger.answered == totals["answered_readings"] + totals["late_readings"]


def _heard(running: RunningStreet) -> dict[str, int]:
    """Clean answers in time of each unit."""
    return {row["device"]: row["answered"] for row in running.witness.document()["units"]}


async def _poll(site: Path, enough: Callable[[], bool]) -> Agent:
    """Poll until a good deal was reported, and every unit has answered in time, then leave in order."""
    config = load_config(site)
    assert isinstance(config.gateway, Path)
    gateway = FakeGateway(config.gateway)
    server = await start(gateway)
    stop = asyncio.Event()
    async with asyncio.timeout(90), asyncio.TaskGroup() as group:
        running = group.create_task(service.run(config, SystemClock(), stop))
        await gateway.until(lambda: gateway.readings >= POLLED and enough())
        stop.set()
    server.close()
    return running.result()
