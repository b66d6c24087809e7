"""The bus against the wire's own limit: exchanges a second on a simulated line that is never idle.

The limit of one exchange is (bytes of request and reply) x 11 bits, 3.5 characters of silence (1.75 ms above
19200 baud) and the unit's turn-around. The simulator paces a pseudo-terminal in a process of its own; the
poller is the agent's, on its precise loop.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from device_profiles.codecs.modbus_pdu import Read, reply_size
from device_profiles.profiles import RegisterPoint
from edge_agent.assembly import Agent, assemble
from edge_agent.clock import SystemClock
from edge_agent.config import AgentConfig, DeviceConfig, load_config
from edge_agent.poller import LinkPoller
from edge_agent.precise_loop import run as run_precisely
from tests.benchmarks.processes import Row, child, row, say

UNITS = 10
MODEL = "renke-louver"
TURNAROUND_MS = 5.0
#: Faster than any line here: the poller always finds somebody due.
PERIOD = 0.001
#: Seconds to open the port and to listen before the first question, which are not measured.
OPENING = 0.35


def street(folder: Path, baud: int, dead: int) -> Path:
    """One pole, one line, ten units of one model, the last `dead` of them dead."""
    units = "".join(
        f'\n[[poles.links.units]]\nunit = {n}\ndevice = "unit-{n}"\nprofile = "{MODEL}"\n'
        + ("faults = { dead = true }\n" if n > UNITS - dead else "")
        for n in range(1, UNITS + 1)
    )
    path = folder / "bus.toml"
    path.write_text(
        '[street]\nname = "bus"\nseed = 1\n\n[[poles]]\nname = "bench"\n\n'
        '[[poles.links]]\nname = "line"\nkind = "rtu"\n'
        f"baud = {baud}\nturnaround_ms = {TURNAROUND_MS}\n{units}"
    )
    return path


def hurried(config: AgentConfig) -> AgentConfig:
    """The site with every point polled as fast as the line allows, in one read a unit."""

    def hurry(device: DeviceConfig) -> DeviceConfig:
        points = tuple(_faster(point) for point in device.profile.modbus.points)
        modbus = msgspec.structs.replace(device.profile.modbus, points=points)
        return msgspec.structs.replace(device, profile=msgspec.structs.replace(device.profile, modbus=modbus))

    return msgspec.structs.replace(config, devices=tuple(map(hurry, config.devices)))


def _faster(point: RegisterPoint) -> RegisterPoint:
    return msgspec.structs.replace(point, period=PERIOD)


def seconds_per_exchange(poller: LinkPoller) -> float:
    """The wire's own limit for what this poller asks."""
    target = poller.bus.link.target
    reads = [job.question.read for job in poller.jobs]
    frames = [8 + 3 + reply_size(read) for read in reads if isinstance(read, Read)]
    size = sum(frames) / len(frames)
    return size * target.byte_seconds + target.silence_seconds + TURNAROUND_MS / 1000


async def measure(agent: Agent, seconds: float) -> tuple[float, float]:
    """(exchanges answered a second, the limit). What a dead unit costs until its breaker opens is part of
    the measure."""
    poller, clock = agent.pollers[0], SystemClock()
    async with asyncio.TaskGroup() as group:
        polling = group.create_task(poller.run())
        await asyncio.sleep(OPENING)
        before, began = agent.ledger.good, clock.monotonic()
        await asyncio.sleep(seconds)
        answered = (agent.ledger.good - before) / poller.jobs[0].report.size
        took = clock.monotonic() - began
        poller.stop()
        await polling
    return answered / took, 1 / seconds_per_exchange(poller)


def bus(baud: int, dead: int, seconds: float, folder: Path) -> tuple[float, float]:
    """One measurement on a line of its own."""
    plan = street(folder, baud, dead)
    sim = [sys.executable, "-m", "kuimen", "sim"]
    subprocess.run([*sim, "sites", plan, "--dir", folder], check=True, stdout=subprocess.DEVNULL)
    with child("street", [*sim, "run", plan, "--dir", folder], folder) as process:
        process.wait_for((folder / "witness.json").exists, "the street")
        config = hurried(load_config(folder / "bench" / "site.toml"))
        agent = assemble(config, SystemClock(), epoch=1)
        return run_precisely(measure(agent, seconds))


def run(quick: bool = False) -> list[Row]:
    """Four rows: 9600 and 115200 baud, ten healthy units and with one dead among them."""
    rows: list[Row] = []
    for baud in (9600, 115200):
        for dead, target in ((0, 0.90), (1, 0.85)):
            seconds = (6.0 if quick else 30.0) + dead * 14.0
            say(f"bus at {baud} baud, {dead} dead of {UNITS}, {seconds:g} s")
            with tempfile.TemporaryDirectory() as folder:
                rate, limit = bus(baud, dead, seconds, Path(folder))
            name = f"bus {baud} baud, {UNITS - dead} healthy{' and a dead unit' if dead else ' units'}"
            rows.append(row(f"{name}: exchanges", rate, "1/s", f"the wire allows {limit:.1f}"))
            met = rate / limit >= target
            rows.append(row(f"{name}: of the wire's limit", rate / limit, "ratio", f"≥ {target}", met))
    return rows


if __name__ == "__main__":
    for line in run(quick="--quick" in sys.argv):
        print(line)
