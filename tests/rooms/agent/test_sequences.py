"""Units that are started, warm up, are read and stopped, in virtual time: each step once, the bus free meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from device_profiles.codecs.modbus_pdu import (
    DEVICE_BUSY,
    DEVICE_FAILURE,
    Read,
    Trigger,
    WriteMany,
    decode_request,
    encode_exception,
    encode_reply,
)
from device_profiles.ledger import Ledger
from edge_agent.assembly import Agent
from edge_agent.breaker import OPENS_AFTER
from edge_agent.bus import Bus
from edge_agent.questions import LATE_SECONDS
from edge_agent.visits import ReadPoint, read_device
from tests.rooms.agent.sites import FakeGateway, site
from tests.rooms.agent.test_service import asleep, run_agent
from tests.rooms.agent.wire import CLEAN, DEAD, FakeUnit, Fate, MemoryLink
from tests.virtual_time import VirtualClock, run_virtual

WARM = 8.0
START, WIPE, STOP = 0x2500, 0x1C00, 0x2E00
LOUVER = '\n[[devices]]\nname = "air"\nprofile = "agent-louver"\nlink = "line"\nunit = 9\n'


@dataclass
class Head(FakeUnit):
    """Answers readings only when it was started and has warmed up. `log`: (seconds, what) of all that it was asked;
    `refusal`: the exception to `refused`."""

    log: list[tuple[float, str]] = field(default_factory=list)
    refused: str = ""
    refusal: int = DEVICE_FAILURE
    running: bool = False
    since: float = 0.0

    def reply(self, pdu: bytes, fate: Fate) -> bytes:
        request, now = decode_request(pdu), asyncio.get_running_loop().time()
        what = {START: "start", WIPE: "wipe", STOP: "stop"}.get(request.address, "read")
        self.log.append((now, what))
        if what == self.refused:
            return encode_exception(request.function, self.refusal)
        if isinstance(request, WriteMany):
            assert (request.count, request.data) == (0, b"")
            self.since = now
            return encode_reply(request)
        assert isinstance(request, Read)
        if what in ("start", "stop"):
            self.running = what == "start"
            return encode_reply(Trigger(request.function, request.address, request.count))
        if not self.running or now < self.since + WARM:
            return encode_exception(request.function, DEVICE_BUSY)
        return super().reply(pdu, fate)

    def times(self, what: str) -> int:
        """How often it was asked for that."""
        return sum(word == what for _, word in self.log)


def run(folder: Path, head: Head, seconds: float, others: tuple[FakeUnit, ...] = ()) -> tuple[Agent, FakeGateway]:
    """The head (and others at address 9) polled for some time."""
    config = site(folder, profile="agent-head", extra=LOUVER if others else "")
    return run_agent(folder, config, [head, *others], asleep(seconds))


def test_a_cycle_is_start_wait_read_stop(tmp_path: Path) -> None:
    head = Head(1)
    agent, _ = run(tmp_path, head, 230)
    cycle = ["start", "wipe", "read", "stop"]
    assert [what for _, what in head.log] == ["start", "wipe", "read", "read", "stop", *cycle] * 2
    begun = [at - LATE_SECONDS for at, what in head.log if what == "start"]
    assert begun == pytest.approx([0, 60, 120, 180], abs=0.1)
    assert not head.running
    assert agent.ledger.polled == agent.ledger.good == 6 and not agent.ledger.bad


def test_the_bus_is_everybodys_while_it_warms_up(tmp_path: Path) -> None:
    head, air = Head(1), FakeUnit(9)
    alone = FakeUnit(9)
    run(tmp_path, head, 230, (air,))
    (tmp_path / "alone").mkdir()
    run(tmp_path / "alone", Head(1, fate=lambda n: DEAD), 230, (alone,))
    assert air.asked == alone.asked > 100
    assert head.times("start") == head.times("stop") == 4


def test_a_refused_start_makes_the_cycle_bad_and_is_not_repeated(tmp_path: Path) -> None:
    head = Head(1, refused="start")
    agent, _ = run(tmp_path, head, 110)
    assert [what for _, what in head.log] == ["start", "start"]
    assert agent.ledger.bad == {"exception": 3} and not agent.ledger.good


def test_a_start_that_is_busy_says_so(tmp_path: Path) -> None:
    agent, _ = run(tmp_path, Head(1, refused="start", refusal=DEVICE_BUSY), 50)
    assert agent.ledger.bad == {"busy": 2}


def test_what_was_half_started_is_stopped(tmp_path: Path) -> None:
    head = Head(1, refused="wipe")
    agent, _ = run(tmp_path, head, 50)
    assert [what for _, what in head.log] == ["start", "wipe", "stop"] and not head.running
    assert agent.ledger.bad == {"exception": 2}


def test_it_is_stopped_although_a_read_failed(tmp_path: Path) -> None:
    head = Head(1, refused="read")
    agent, _ = run(tmp_path, head, 50)
    assert [what for _, what in head.log] == ["start", "wipe", "read", "read", "stop"]
    assert agent.ledger.bad == {"exception": 2}


@pytest.mark.parametrize(("fate", "reason"), [(DEAD, "timeout"), (Fate(flip=3), "bad_checksum")])
def test_a_start_that_was_not_understood_is_never_repeated(fate: Fate, reason: str, tmp_path: Path) -> None:
    head = Head(1, fate=lambda n: fate if n == 1 else CLEAN)
    agent, _ = run(tmp_path, head, 50)
    assert head.asked == 2, "the start, and the stop: it may have been obeyed"
    assert head.log[-1][1] == "stop" and not head.running
    assert agent.ledger.bad == {reason: 2}


def test_a_stop_that_was_damaged_is_not_repeated(tmp_path: Path) -> None:
    head = Head(1, fate=lambda n: Fate(flip=3) if n == 5 else CLEAN)
    agent, _ = run(tmp_path, head, 50)
    assert head.times("stop") == 1 and agent.ledger.good == 2


def test_a_dead_one_is_only_probed(tmp_path: Path) -> None:
    head, air = Head(1, fate=lambda n: DEAD), FakeUnit(9)
    agent, _ = run(tmp_path, head, 3600, (air,))
    assert head.asked <= OPENS_AFTER + 1 + 3600 / 60
    (unit,) = {id(job.unit): job.unit for job in agent.pollers[0].jobs if job.unit.name == "unit-1"}.values()
    assert unit.bus_seconds < 0.02 * 3600


def test_the_agent_does_not_leave_it_running(tmp_path: Path) -> None:
    head = Head(1)
    run(tmp_path, head, 3)
    assert [what for _, what in head.log] == ["start", "wipe", "stop"] and not head.running


def test_a_line_lost_over_the_warm_up_ends_the_cycle(tmp_path: Path) -> None:
    head = Head(1)

    async def story(gateway: FakeGateway, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE_SECONDS + 4)
        links[0].lose("pulled out")
        await asyncio.sleep(30)

    run_agent(tmp_path, site(tmp_path, profile="agent-head"), [head], story)
    assert [what for _, what in head.log] == ["start", "wipe", "stop"] and not head.running


@pytest.mark.parametrize(("refused", "quality"), [("", "good"), ("start", "bad")])
def test_a_read_by_hand_starts_and_stops_it_too(refused: str, quality: str, tmp_path: Path) -> None:
    head, config = Head(1, refused=refused), site(tmp_path, profile="agent-head")

    async def main() -> list[ReadPoint]:
        bus = Bus(MemoryLink(config.links[0].target, [head]), VirtualClock(), Ledger())
        assert await bus.open()
        return await read_device(bus, config.devices[0], config.links[0])

    rows = run_virtual(main())
    assert [row.quality for row in rows] == [quality] * 2
    assert head.log[0][1] == "start" and head.log[-1][1] == "stop" and not head.running
