"""After a day without a network: live data flows at once while the backlog drains, and an alarm is never behind
anything. The real gateway, a real broker; only the day is short. Judged by the order of arrival, never by time."""

import asyncio
import os
import random
import time
from pathlib import Path

import msgspec

from device_profiles.envelope import Batch
from device_profiles.readings import Lane
from gateway import service
from tests.parts import mosquitto
from tests.proxies import TcpProxy, tcp_link
from tests.rooms.gateway.doubles import AGENT, Agent, Centre, make_config

SECOND = 1_000_000
OUTAGE_SECONDS = 86_400 * int(os.environ.get("OUTAGE", "1"))
STEP_SECONDS = 20
ALARM_EVERY = 3600 // STEP_SECONDS
"""During the outage: one alarm an hour."""

BACKLOG_PER_LIVE = 3
LIVE_PER_ALARM = 10
WINDOW = 64
FLOOD = 400
"""Live batches, one after the other as fast as the disk takes them."""


class HandClock:
    """Time runs as it does, and leaps by hand; the monotonic clock leaps along, so it is a day and no wrong clock."""

    def __init__(self) -> None:
        self.leapt = 0
        self._begun = time.monotonic()

    def leap(self, seconds: int) -> None:
        """So much time has gone by."""
        self.leapt += seconds

    def now(self) -> int:
        """UTC µs."""
        return 1_795_262_400 * SECOND + int(self.monotonic() * SECOND)

    def monotonic(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begun + self.leapt


class Handed(msgspec.Struct, frozen=True):
    """A batch that the gateway has on disk. ``after``: how many had arrived at the centre by then."""

    name: tuple[str, int, int]
    lane: Lane
    after: int


class Pole:
    """The agent's side of the drill, and what it wrote down."""

    def __init__(self, agent: Agent, centre: Centre, clock: HandClock) -> None:
        self.agent = agent
        self.centre = centre
        self.clock = clock
        self.handed: list[Handed] = []

    async def sit_it_out(self) -> int:
        """A batch each step of the outage, an alarm now and then: how many alarms."""
        alarms = 0
        for _ in range(0, OUTAGE_SECONDS // STEP_SECONDS, 32):
            for _ in range(32):
                self.clock.leap(STEP_SECONDS)
                alarm = self.agent.seq % ALARM_EVERY == ALARM_EVERY - 1
                alarms += alarm
                lane = Lane.EVENT if alarm else Lane.LIVE
                self.agent.send(self.agent.next_batch(lane=lane, at=self.clock.now()))
            assert all(receipt.accepted for receipt in await self.agent.receipts(32))
        return alarms

    async def hand(self, lane: Lane) -> None:
        """Hand over one batch; note what had arrived when it was on disk."""
        (receipt,) = await self.agent.hand(lane=lane, at=self.clock.now())
        assert receipt.accepted
        self.handed.append(Handed((AGENT, self.agent.epoch, self.agent.seq), lane, len(self.centre.arrivals)))

    def arrived(self) -> dict[tuple[str, int, int], int]:
        """The place of each batch in the order of arrival, at its first."""
        places: dict[tuple[str, int, int], int] = {}
        for place, batch in enumerate(self.centre.arrivals):
            places.setdefault(batch.name, place)
        return places

    def waited(self) -> list[tuple[Lane, list[Batch]]]:
        """For each batch handed over while the backlog drained: what came to the centre before it."""
        places = self.arrived()
        return [(one.lane, self.centre.arrivals[one.after : places[one.name]]) for one in self.handed]


async def drain(pole: Pole, backlog: int, chance: random.Random) -> None:
    """Live data at a third of the backlog's pace, an alarm now and then, until half of the backlog has gone."""
    centre = pole.centre
    gone = 0
    while gone < backlog // 2:
        gone += BACKLOG_PER_LIVE
        await centre.until(lambda: _count(centre, Lane.BACKLOG) >= gone, f"{gone} of the backlog")  # noqa: B023 - called before the next turn
        await pole.hand(Lane.LIVE)
        if chance.randrange(LIVE_PER_ALARM) == 0:
            await pole.hand(Lane.EVENT)
        gone = max(gone, _count(centre, Lane.BACKLOG))


async def flood(pole: Pole) -> int:
    """Live data as fast as the disk takes it: how much of the backlog went meanwhile."""
    before = _count(pole.centre, Lane.BACKLOG)
    for number in range(FLOOD):
        await pole.hand(Lane.EVENT if number % 50 == 25 else Lane.LIVE)
    return _count(pole.centre, Lane.BACKLOG) - before


def _count(centre: Centre, lane: Lane) -> int:
    return sum(batch.lane is lane for batch in centre.arrivals)


def test_after_a_day_without_a_network_live_data_flows_at_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    clock = HandClock()

    async def main() -> None:
        async with (
            Centre(broker.port).listening() as centre,
            tcp_link(broker.port) as link,
            asyncio.TaskGroup() as group,
        ):
            config = make_config(tmp_path, link.port, window=WINDOW)
            stop, ready = asyncio.Event(), asyncio.Event()
            link.down()
            group.create_task(service.run(config, clock, stop, ready))
            await ready.wait()
            pole = Pole(await Agent(config).connect(), centre, clock)
            try:
                await story(pole, link, random.Random(seed))
            finally:
                await pole.agent.close()
                stop.set()

    with mosquitto(tmp_path / "broker") as broker:
        asyncio.run(main())


async def story(pole: Pole, link: TcpProxy, chance: random.Random) -> None:
    """The outage, the return, and what the order of arrival says."""
    centre = pole.centre
    alarms = await pole.sit_it_out()
    backlog = pole.agent.seq - alarms
    await link.up()
    await centre.until(lambda: len(centre.arrivals) > alarms, "the network is back")
    assert {batch.lane for batch in centre.arrivals[:alarms]} == {Lane.EVENT}, "alarms of the outage go first"
    await drain(pole, backlog, chance)
    paced, gone = len(pole.handed), _count(centre, Lane.BACKLOG)
    flooded = await flood(pole)
    print(f"{backlog} batches of backlog: {gone} went beside {paced} handed over, {flooded} beside a flood of {FLOOD}")
    await pole.agent.part()
    await finish(centre, pole.agent.seq)
    ledger = await centre.until_settled(pole.agent.handed)
    assert ledger.spooled == ledger.stored + ledger.duplicate
    judge(pole, paced)


async def finish(centre: Centre, batches: int) -> None:
    """Until all are stored, however long that takes, as long as it goes on."""
    while (stored := len(centre.stored)) < batches:
        await centre.until(lambda: len(centre.stored) > stored, f"more than {stored} of {batches} stored")


def judge(pole: Pole, paced: int) -> None:
    """Hold the order of arrival against the promises."""
    centre = pole.centre
    own = sorted(seq for origin, _, seq in centre.stored if origin == AGENT)
    assert own == list(range(1, pole.agent.seq + 1)), "each exactly once"
    waits: dict[Lane, list[int]] = {Lane.EVENT: [], Lane.LIVE: []}
    for number, (lane, before) in enumerate(pole.waited()):
        unhurried = sum(batch.lane is not Lane.EVENT for batch in before)
        waits[lane].append(unhurried)
        # What comes before it was under way already: of that there is no more than the window holds. In a flood a live
        # batch waits for the live ones before it, too.
        crowded = lane is Lane.LIVE and number >= paced
        # An eighth of the window is kept for events.
        most = WINDOW * 7 // 8 if lane is Lane.EVENT else 2 * WINDOW if crowded else WINDOW
        assert unhurried <= most, f"{lane.word} {number} waited for {unhurried}"
    longest_wait = {lane.word: max(numbers) for lane, numbers in waits.items()}
    print(f"batches under way that came before one handed over, at most: {longest_wait}")
    places = pole.arrived()
    lives = [places[one.name] for one in pole.handed[:paced] if one.lane is Lane.LIVE]
    between = sum(batch.lane is Lane.BACKLOG for batch in centre.arrivals[min(lives) : max(lives)])
    assert between >= BACKLOG_PER_LIVE * (len(lives) - 1), "the backlog drains at three times the live rate"
    starved = longest(centre.arrivals[: places[pole.handed[-1].name]])
    print(f"longest run of arrivals without any backlog while some waited: {starved}")
    assert starved <= 2 * WINDOW, "the backlog never starves"


def longest(arrivals: list[Batch]) -> int:
    """The longest run without a batch of the backlog, while there was any."""
    last = max(place for place, batch in enumerate(arrivals) if batch.lane is Lane.BACKLOG)
    run = most = 0
    for batch in arrivals[:last]:
        run = 0 if batch.lane is Lane.BACKLOG else run + 1
        most = max(most, run)
    return most
