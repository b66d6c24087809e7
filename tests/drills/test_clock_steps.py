"""The gateway's clock steps by a second to ten years, forth and back, while devices report and an agent hands over:
nothing is lost, nothing is invented, and no time is sound that the box or the device cannot have known.

STEPS=20 goes through all steps that often; SEED=… repeats a run.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from device_profiles.envelope import unpack_body
from device_profiles.quality import Quality, Reason, split_code
from device_profiles.readings import Value
from firmware_sim.clock import SystemClock
from gateway import service
from gateway.config import load_config
from gateway.inspection import read_ledger
from tests.drills.calling import KINDS, Street, names_of, normal, write_site
from tests.parts import free_port, mosquitto
from tests.rooms.gateway.doubles import AGENT, Agent, Centre

ROUNDS = int(os.environ.get("STEPS", "1"))
SECOND = 1_000_000
DAY = 86_400 * SECOND
SIZES = (SECOND, 60 * SECOND, 3600 * SECOND, DAY, 30 * DAY, 365 * DAY, 3652 * DAY)
STEPS = [sign * size for size in SIZES for sign in (1, -1)]

Row = tuple[str, str, int, Value, Quality, Reason]
"""(device, point, at, value, quality, reason)."""


class SteppingClock(SystemClock):
    """The true time, and an error of the wall clock that the test sets."""

    error = 0

    def now(self) -> int:
        """UTC µs as the box believes it."""
        return super().now() + self.error


def rows_of(centre: Centre) -> Iterator[Row]:
    """Every numeric or textual reading that is stored."""
    names = names_of(centre.manifests.values())
    for batch in centre.stored.values():
        columns, series = unpack_body(batch), names.get(batch.manifest, [])
        for alias, step, number, code in zip(
            columns.aliases, columns.offsets, columns.values, columns.codes, strict=True
        ):
            value = None if number != number else number
            yield (*series[alias], batch.base + step * columns.tick, value, *split_code(code))
        for alias, offset, other, code in columns.others:
            yield (*series[alias], batch.base + offset, other, *split_code(code))


async def live_through(street: Street, agent: Agent, clock: SteppingClock, chance: random.Random) -> None:
    """All steps in some order, each from the true time; reports and hand-overs before, in and after each."""
    steps = STEPS * ROUNDS
    chance.shuffle(steps)
    for step in steps:
        clock.error = step
        await agent.hand(batches=2, at=clock.now())
        await street.all_heard()
        if chance.random() < 0.5:  # now and then from one wrong time to the next
            clock.error = 0
            await agent.hand(at=clock.now())
            await street.all_heard()
    clock.error = 0


def judge(street: Street, agent: Agent, rows: Iterable[Row]) -> Counter[Reason]:
    """Hold what is stored against what was said: the marks that were found."""
    said = normal(street.said())
    undated = _without_times(said)
    acked = _without_times(normal(Counter(street.acked)))
    found: Counter[tuple[str, str, Value]] = Counter()
    marks: Counter[Reason] = Counter()
    handed: Counter[Value] = Counter()
    for device, point, at, value, quality, reason in rows:
        if device.startswith("air"):  # the agent's
            handed[value] += 1
            continue
        found[device, point, value] += 1
        marks[reason] += 1
        if quality is Quality.GOOD:
            assert said[device, point, at, value], f"{device} never said {point} = {value} at {at}"
        else:
            assert reason in (Reason.CLOCK_DOUBTED, Reason.RE_DATED), (device, point, reason)
    assert not found - undated, "invented, or stored twice"
    assert not acked - found, "acknowledged and lost"
    assert handed == {float(seq): 10 for seq in range(1, agent.seq + 1)}
    return marks


def _without_times(keys: Counter[tuple[str, str, int, Value]]) -> Counter[tuple[str, str, Value]]:
    found: Counter[tuple[str, str, Value]] = Counter()
    for (device, point, _, value), number in keys.items():
        found[device, point, value] += number
    return found


def test_no_step_of_the_clock_loses_or_invents_anything(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    ports, clock = {kind.protocol: free_port() for kind in KINDS}, SteppingClock()

    async def main() -> None:
        async with Centre(broker.port).listening() as centre, asyncio.TaskGroup() as group:
            config = load_config(write_site(tmp_path, broker.port, ports))
            street = Street(ports, SystemClock(), seed=seed)
            stop, ready, enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
            running = group.create_task(service.run(config, clock, stop, ready))
            await ready.wait()
            calling = group.create_task(street.run(enough))
            agent = await Agent(config).connect()
            try:
                await street.all_heard()
                await live_through(street, agent, clock, random.Random(seed))
                await street.all_heard()
                await agent.part()
            finally:
                await agent.close()
                enough.set()
                await calling
                stop.set()
                await running
            ledger = read_ledger(config.spool.path)
            assert ledger.differences() == []
            assert (ledger.waiting, ledger.rejected, ledger.given_up) == (0, {}, {})
            assert ledger.spooled == ledger.stored + ledger.duplicate
            assert centre.readings(AGENT) == agent.handed
            marks = judge(street, agent, rows_of(centre))
            told = {reason.word: number for reason, number in marks.items()}
            print(f"{marks.total()} readings of devices stored: {told}")
            # Behind by a month or a year, the gateway takes the devices' true times for implausible, and says so.
            assert marks[Reason.CLOCK_DOUBTED]

    with mosquitto(tmp_path / "broker") as broker:
        asyncio.run(main())
