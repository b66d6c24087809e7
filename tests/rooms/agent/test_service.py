"""The whole agent in virtual time: real plan, bus, breaker, reporting and hand-over; the wire and the
gateway are faked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from device_profiles.codecs.modbus_pdu import Read
from device_profiles.quality import Reason
from edge_agent import service
from edge_agent.assembly import Agent
from edge_agent.config import AgentConfig
from edge_agent.questions import LATE_SECONDS
from tests.rooms.agent.sites import QUIET, FakeGateway, on_memory, site, start
from tests.rooms.agent.wire import CLEAN, DEAD, FakeUnit, Fate, MemoryLink
from tests.virtual_time import VirtualClock, run_virtual

#: Points of a renke-louver: seven, of which noise is read every 2 s by a read of its own, and once more in
#: passing.
POINTS = 7


def restless(read: Read, n: int) -> list[int]:
    """Registers that move far at every read."""
    return [(100 + 97 * n + i) % 900 for i in range(read.count)]


Story = Callable[[FakeGateway, list[MemoryLink]], Awaitable[None]]


def run_agent(
    folder: Path, config: AgentConfig, units: list[FakeUnit], story: Story, listening: bool = True
) -> tuple[Agent, FakeGateway]:
    """Run an agent through a story, stop it, and return it with its gateway."""

    async def main() -> tuple[Agent, FakeGateway]:
        gateway = FakeGateway(folder / "gw.sock")
        server = await start(gateway) if listening else None
        stop, links = asyncio.Event(), list[MemoryLink]()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(service.run(config, VirtualClock(), stop, None, on_memory(units, links)))
            await story(gateway, links)
            stop.set()
            agent = await running
        if server is not None:
            gateway.drop_connections()
            server.close()
            await server.wait_closed()
        return agent, gateway

    return run_virtual(main())


def asleep(seconds: float) -> Story:
    """A story in which time passes."""

    async def story(gateway: FakeGateway, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE_SECONDS + seconds)  # a serial line is listened to first

    return story


def test_what_the_units_answered_is_at_the_gateway_and_goodbye_is_said(tmp_path: Path) -> None:
    units = [FakeUnit(n, restless) for n in (1, 2, 3)]
    agent, gateway = run_agent(tmp_path, site(tmp_path, 3), units, asleep(61))
    ledger = agent.ledger
    assert gateway.bye is not None and agent.outbox.empty
    assert ledger.polled == ledger.good and ledger.handed == gateway.readings > 200
    assert gateway.manifest is not None and len(gateway.manifest.series) == 3 * POINTS
    answered = sum(sum(1 if read.count == 1 else POINTS for read in unit.reads) for unit in units)
    assert ledger.answered == answered


def test_polls_keep_their_grid_and_do_not_drift(tmp_path: Path) -> None:
    unit = FakeUnit(1, restless)
    run_agent(tmp_path, site(tmp_path), [unit], asleep(3600.5))
    assert sum(read.count == 1 for read in unit.reads) == 1801
    assert sum(read.count > 1 for read in unit.reads) == 361


def test_late_replies_under_way_at_the_end_are_counted(tmp_path: Path) -> None:
    unit = FakeUnit(1, restless, lambda n: Fate(delay=1.5))
    agent, gateway = run_agent(tmp_path, site(tmp_path), [unit], asleep(0.7))
    assert agent.ledger.discarded["late"] == sum(1 if read.count == 1 else POINTS for read in unit.reads) > 0
    assert gateway.ledger.discarded == agent.ledger.discarded, "the goodbye carries the last word"


def test_a_dead_unit_costs_the_bus_less_than_two_percent_of_a_day(tmp_path: Path) -> None:
    config = site(tmp_path, 2, device="period = 30\n")
    units = [FakeUnit(1, restless), FakeUnit(2, restless, lambda n: DEAD)]

    async def story(gateway: FakeGateway, links: list[MemoryLink]) -> None:
        await asyncio.sleep(86_400)

    agent, _ = run_agent(tmp_path, config, units, story)
    alive, dead = (job.unit for job in agent.pollers[0].jobs[:: len(agent.pollers[0].jobs) // 2])
    assert (alive.name, dead.name) == ("unit-1", "unit-2")
    assert 0 < dead.bus_seconds / 86_400 < 0.02
    assert alive.skipped == 0 and alive.polls == 2 * len(units[0].reads) // 2
    assert agent.ledger.bad == {"timeout": agent.ledger.polled - agent.ledger.good}


def test_a_unit_that_comes_back_is_polled_again(tmp_path: Path) -> None:
    unit = FakeUnit(1, restless, lambda n: DEAD if n <= 5 else CLEAN)
    agent, _ = run_agent(tmp_path, site(tmp_path), [unit], asleep(300))
    breaker = agent.pollers[0].jobs[0].unit.breaker
    assert breaker.opened == 1 and not breaker.is_open
    assert unit.asked > 100


def test_a_late_unit_does_not_hurt_the_others(tmp_path: Path) -> None:
    units = [FakeUnit(1, restless), FakeUnit(2, restless, lambda n: Fate(delay=0.45) if n % 3 == 0 else CLEAN)]
    agent, _ = run_agent(tmp_path, site(tmp_path, 2), units, asleep(600))
    good = next(job.unit for job in agent.pollers[0].jobs if job.unit.name == "unit-1")
    assert good.skipped == 0 and good.polls == len(units[0].reads)
    sizes = {1: 1, 2: 2, 3: 3, 8: POINTS}
    assert agent.ledger.answered == sum(sizes[read.count] for unit in units for read in unit.reads)
    assert agent.ledger.discarded["late"] > 0


def test_a_full_disk_makes_a_gap_and_ends_without_a_restart(tmp_path: Path) -> None:
    config = site(tmp_path, 20, device="period = 2\n", agent=f"{QUIET}batch_readings = 40\n")
    units = [FakeUnit(n, restless) for n in range(1, 21)]
    polled_meanwhile = 0

    async def story(gateway: FakeGateway, links: list[MemoryLink]) -> None:
        nonlocal polled_meanwhile
        await gateway.until(lambda: len(gateway.batches) > 3)
        gateway.refusal = Reason.DISK_FULL
        before = units[0].asked
        await asyncio.sleep(1200)
        polled_meanwhile = units[0].asked - before
        gateway.refusal = Reason.NONE
        await gateway.until(lambda: any(columns.gaps for columns in gateway.batches.values()))
        await asyncio.sleep(60)

    agent, gateway = run_agent(tmp_path, config, units, story)
    assert polled_meanwhile > 500 and gateway.refused > 1000
    (gap,) = [gap for columns in gateway.batches.values() for gap in columns.gaps]
    assert (gap.reason, gap.readings) == (Reason.DISK_FULL, agent.ledger.refused["disk_full"])
    assert gap.end - gap.begin > 60_000_000
    assert gap.devices == tuple(sorted(f"unit-{n}" for n in range(1, 21)))
    assert agent.ledger.handed == gateway.readings + agent.ledger.refused["disk_full"]
    assert gateway.bye is not None


def test_a_gateway_that_is_killed_gets_everything_again_and_once(tmp_path: Path) -> None:
    units = [FakeUnit(n, restless) for n in (1, 2)]

    async def story(gateway: FakeGateway, links: list[MemoryLink]) -> None:
        for wanted in (2, 9, 30):
            await gateway.until(lambda: len(gateway.batches) >= wanted)  # noqa: B023 - awaited at once
            gateway.drop_connections()
            await asyncio.sleep(10)

    agent, gateway = run_agent(tmp_path, site(tmp_path, 2), units, story)
    assert len(gateway.hellos) >= 4 and len({hello.epoch for hello in gateway.hellos}) == 1
    assert agent.ledger.handed == gateway.readings == agent.ledger.polled - agent.ledger.unchanged


def test_without_a_gateway_polls_go_on_and_no_goodbye_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    unit = FakeUnit(1, restless)
    agent, gateway = run_agent(tmp_path, site(tmp_path), [unit], asleep(100), listening=False)
    assert unit.asked > 50 and gateway.bye is None
    assert agent.ledger.pending == agent.ledger.polled - agent.ledger.unchanged > 0
    assert "could not be handed over" in caplog.text


def test_a_lost_link_is_told_and_reopened(tmp_path: Path) -> None:
    unit = FakeUnit(1, restless)

    async def story(gateway: FakeGateway, links: list[MemoryLink]) -> None:
        await asyncio.sleep(11)
        links[0].down = "pulled out"
        links[0].lose("pulled out")
        await asyncio.sleep(100)
        links[0].down = ""
        await asyncio.sleep(100)

    agent, _ = run_agent(tmp_path, site(tmp_path), [unit], story)
    attempts = agent.ledger.bad["link_down"] // POINTS
    assert 5 <= attempts <= 12, "each attempt is told, and the attempts grow rarer"
    assert agent.ledger.good > 100


def test_a_repeated_failure_is_reported_once_a_report_period(tmp_path: Path) -> None:
    unit = FakeUnit(1, restless, lambda n: Fate(exception=4))
    agent, _ = run_agent(tmp_path, site(tmp_path), [unit], asleep(59))
    assert agent.ledger.bad["exception"] > 40
    assert agent.ledger.handed == POINTS
