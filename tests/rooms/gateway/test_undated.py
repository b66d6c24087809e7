"""A box that does not know the time: it spools on, holds back, and dates what it has when it learns the time.

All in moved time: no clock of this machine is looked at, and ten years take no longer than a second.
"""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Lane
from gateway import schema
from gateway.clock import SystemClock
from gateway.config import SpoolConfig
from gateway.inspection import read_ledger
from gateway.spool import Spool
from gateway.store import Waiting, Wish
from gateway.trust import FLOOR, STEADY, TOLERANCE
from gateway.undated import AT_ONCE
from tests.rooms.gateway.doubles import PATIENCE, SITE
from tests.rooms.gateway.spoolings import NOON, SECOND, MovedClock, Spooling, arrival_of, batch_at

IN_1970 = -NOON
"""The error of a box that boots at the beginning of time."""

HOUR, DAY, YEAR = 3600, 86_400, 365 * 86_400
GOOD = code_of(Quality.GOOD)
RE_DATED = code_of(Quality.UNCERTAIN, Reason.RE_DATED)
DOUBTED = code_of(Quality.UNCERTAIN, Reason.CLOCK_DOUBTED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def lost_box(path: Path, hold: float = 600.0) -> Spooling:
    """A box that has just booted in 1970."""
    return Spooling(path, MovedClock(IN_1970), hold=hold)


def test_a_box_from_1970_dates_what_it_spooled_when_it_learns_the_time(path: Path) -> None:
    box = lost_box(path)
    truth = {}
    for seq in range(1, 11):
        box.clock.run(7)
        truth[seq] = box.clock.true
        assert box.append() is Reason.NONE
        assert box.leave() == {}, "nothing leaves undated"
    assert box.store.books.view().undated == 10
    box.clock.error = 0
    box.tick()
    assert box.leave() == {seq: [(at, float(seq), RE_DATED)] for seq, at in truth.items()}
    assert box.store.books.view().undated == 0
    box.append()
    assert box.leave() == {11: [(box.clock.true, 11.0, GOOD)]}
    assert box.ledger().stored == 11
    box.store.close()


def test_the_file_has_what_leaves(path: Path) -> None:
    """Re-dated batches are rewritten: a restart, or a boot, finds them as they are sent."""
    box = lost_box(path)
    box.append()
    box.clock.error = 0
    box.tick()
    kept = box.kept()
    box.clock.reboot(0)
    box.start()
    assert box.kept() == kept == box.leave() == {1: [(NOON, 1.0, RE_DATED)]}
    box.store.close()


def test_a_new_process_of_the_same_boot_dates_what_the_old_one_spooled(path: Path) -> None:
    box = lost_box(path)
    box.append()
    box.clock.run(100)
    box.clock.error = 0
    box.start()
    assert box.leave() == {1: [(NOON, 1.0, RE_DATED)]}
    box.store.close()


def test_after_another_boot_nobody_can_date_it(path: Path) -> None:
    box = lost_box(path)
    box.append()
    box.clock.reboot(IN_1970)
    box.start()
    box.append()
    assert box.leave() == {1: [(0, 1.0, DOUBTED)]}, "it need not wait: nobody will ever know"
    box.clock.error = 0
    box.tick()
    ((_, (reading,)),) = box.leave().items()
    assert reading == (NOON + 20 * SECOND, 2.0, RE_DATED)
    box.store.close()


def test_they_do_not_wait_for_ever(path: Path) -> None:
    box = lost_box(path, hold=600)
    box.append()
    box.clock.run(599)
    assert box.leave() == {}
    box.clock.run(1)
    assert box.leave() == {1: [(0, 1.0, DOUBTED)]}
    box.clock.run(1)
    box.append()
    assert box.leave() == {2: [(601 * SECOND, 2.0, DOUBTED)]}, "what comes later does not wait again"
    box.start()
    box.append()
    box.clock.run(1)
    assert box.lend() == [], "a new process waits once more, for it may be the one that sees the time come"
    box.store.close()


def test_a_restart_does_not_begin_the_wait_anew(path: Path) -> None:
    box = lost_box(path, hold=600)
    box.append()
    box.clock.run(400)
    box.start()
    box.clock.run(200)
    assert len(box.leave()) == 1
    box.store.close()


def test_what_waits_in_vain_is_still_dated_while_it_has_not_left(path: Path) -> None:
    """No network, so no time and no uplink: after the wait both come back, and the time comes in time."""
    box = lost_box(path, hold=600)
    box.append()
    box.clock.run(HOUR)
    box.tick()
    box.clock.error = 0
    box.tick()
    assert box.leave() == {1: [(NOON, 1.0, RE_DATED)]}
    box.store.close()


def test_an_alarm_does_not_wait(path: Path) -> None:
    box = lost_box(path)
    box.append(lane=Lane.LIVE)
    box.append(lane=Lane.EVENT)
    assert box.leave() == {2: [(0, 2.0, DOUBTED)]}
    box.store.close()


def test_what_is_lent_is_not_dated_behind_its_back(path: Path) -> None:
    box = lost_box(path, hold=0)
    box.append()
    (lent,) = box.lend()
    box.clock.error = 0
    box.store.begin()
    box.store.commit()
    assert box.kept() == {1: [(0, 1.0, GOOD)]}
    assert box.lend(held=[lent.id]) == []
    box.store.close()


def test_what_an_agent_still_held_when_the_time_came_is_dated_too(path: Path) -> None:
    box = lost_box(path)
    box.clock.run(30)
    taken, said = box.clock.true, box.clock.now()
    box.tick()
    box.clock.run(1)
    box.clock.error = 0
    box.tick()
    box.clock.run(5)
    box.append([said])
    box.tick()
    assert box.leave() == {1: [(taken, 1.0, RE_DATED)]}
    box.store.close()


def test_a_device_that_knew_the_time_is_believed(path: Path) -> None:
    """A reading from outside of what the box's own clock can have said brought its own time."""
    box = lost_box(path)
    box.append([box.clock.now(), NOON - 5 * SECOND], values=[1.0, 2.0])
    box.clock.error = 0
    box.tick()
    assert box.leave() == {1: [(NOON, 1.0, RE_DATED), (NOON - 5 * SECOND, 2.0, GOOD)]}
    box.store.close()


def test_many_are_dated_in_pieces(path: Path) -> None:
    box = lost_box(path)
    for _ in range(3 * AT_ONCE):
        box.append()
    box.clock.error = 0
    box.store.begin()
    box.store.commit()
    assert box.store.unfinished and len(box.lend()) == AT_ONCE
    box.tick()
    assert {code for ((_, _, code),) in box.leave().values()} == {RE_DATED}
    assert box.ledger().stored == 3 * AT_ONCE
    box.store.close()


def test_what_waits_for_the_time_does_not_expire(path: Path) -> None:
    box = lost_box(path)
    box.append()
    box.clock.error = 0
    box.store.begin()
    assert box.store.expire(box.clock.now() - DAY * SECOND) == 0
    box.store.commit()
    assert box.ledger().given_up == {}
    box.store.close()


def test_the_gap_of_an_agent_that_was_killed_is_dated_with_the_rest(path: Path) -> None:
    box = lost_box(path)
    box.append()
    box.clock.run(10)
    box.store.begin()
    box.store.hello("kz-001/agent", 2, box.clock.now())
    box.store.commit()
    assert box.leave() == {} and box.lend() == [], "a gap is no alarm: it waits"
    box.clock.error = 0
    box.tick()
    (gap,) = box.gaps()
    assert (gap.begin, gap.end) == (NOON, NOON + 10 * SECOND)
    box.store.close()


# -- a box that knows the time, and is told another ------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 3, 59, HOUR, DAY, 30 * DAY, YEAR, 10 * YEAR])
def test_a_trusted_clock_may_step_forward_and_nothing_is_rewritten(path: Path, step: int) -> None:
    box = Spooling(path, MovedClock())
    box.append()
    box.clock.run(5)
    box.clock.error = step * SECOND
    box.append()
    assert box.leave() == {1: [(NOON, 1.0, GOOD)], 2: [(NOON + (5 + step) * SECOND, 2.0, GOOD)]}
    box.clock.error = 0
    box.append()
    assert box.leave() == {3: [(NOON + 5 * SECOND, 3.0, GOOD)]}, "taken back at once, it has spoilt nothing"
    box.store.close()


@pytest.mark.parametrize("step", [1, 2, 3, 59, HOUR, DAY - 10, DAY + 10, 30 * DAY, 400 * DAY, 10 * YEAR])
def test_a_step_back_is_believed_for_a_day_and_doubted_beyond(path: Path, step: int) -> None:
    box = Spooling(path, MovedClock())
    box.clock.run(2 * HOUR)
    box.append()
    box.clock.error = -step * SECOND
    box.append()
    doubted = step > DAY
    assert set(box.leave()) == ({1} if doubted else {1, 2})
    box.clock.error = 0
    box.tick()
    assert box.leave() == ({2: [(box.clock.true, 2.0, RE_DATED)]} if doubted else {})
    assert box.ledger().stored == 2
    box.store.close()


def test_the_newest_time_survives_a_boot(path: Path) -> None:
    """A battery that is empty: the box boots last month, which is after its software was made."""
    box = Spooling(path, MovedClock())
    box.clock.run(2 * HOUR)
    box.append()
    box.clock.reboot(-30 * DAY * SECOND)
    assert box.clock.now() > FLOOR
    box.start()
    box.append()
    assert set(box.leave()) == {1}
    box.clock.error = 0
    box.tick()
    assert box.leave() == {2: [(box.clock.true, 2.0, RE_DATED)]}
    box.store.close()


def test_a_leap_that_is_taken_back_does_not_make_the_right_time_doubtful(path: Path) -> None:
    box = Spooling(path, MovedClock())
    box.clock.error = 10 * YEAR * SECOND
    box.append()
    box.clock.run(STEADY // SECOND + 10)
    box.append()
    box.clock.error = 0
    box.append()
    assert set(box.leave()) == {1, 2, 3}
    box.clock.reboot(0)
    box.start()
    box.append()
    assert box.leave() == {4: [(box.clock.true, 4.0, GOOD)]}
    box.store.close()


def test_tolerance_is_a_day() -> None:
    assert TOLERANCE == DAY * SECOND


# -- everything at once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_clock_does_nothing_is_lost_or_invented(path: Path, seed: int) -> None:
    """Random steps, boots, restarts, readings and receipts: each reading leaves once, with a time that can be told."""
    dice = random.Random(seed)
    clock = MovedClock(dice.choice([0, IN_1970]))
    box, errors = Spooling(path, clock), {clock.error}
    left: dict[int, list[tuple[int, float | None, int]]] = {}
    taken: dict[int, tuple[int, int]] = {}
    for _ in range(120):
        clock.run(dice.choice([0, 1, 60, 700, 5_000]))
        match dice.randrange(8):
            case 0:
                clock.error = dice.choice([0, 1, -1, 3, -3, HOUR, -HOUR, 3 * DAY, -3 * DAY, -YEAR, 10 * YEAR]) * SECOND
                errors.add(clock.error)
            case 1:
                clock.reboot(dice.choice([0, 0, -clock.true, -30 * DAY * SECOND]))
                errors.add(clock.error)
                box.start()
            case 2:
                box.start()
            case 3 | 4:
                found = box.leave()
                assert not left.keys() & found.keys(), "left twice"
                left |= found
            case _:
                assert box.append(lane=dice.choice(list(Lane))) is Reason.NONE
                taken[box.seq] = (clock.true, clock.now())
    clock.run(700)
    box.tick()
    left |= box.leave()
    assert left.keys() == taken.keys()
    for seq, ((at, value, code),) in left.items():
        true, said = taken[seq]
        assert value == seq and code in (GOOD, DOUBTED, RE_DATED)
        assert at == said if code != RE_DATED else at - true in errors, "a time that no clock of the box ever told"
    assert box.ledger().stored == len(taken)
    box.store.close()


def test_a_file_of_the_first_version_is_brought_up(path: Path) -> None:
    """Its batches have no clocks: they leave as they are."""
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(f"BEGIN; {schema._FIRST} PRAGMA user_version = 1; COMMIT;")
    old.execute("INSERT INTO streams VALUES (1, 'kz-001/agent', 1, 1, 0, 0, x'')")
    payload = batch_at(1, [NOON])
    old.execute("INSERT INTO batches VALUES (1, 1, 1, 1, ?, 1, 1, ?)", (NOON, len(payload)))
    old.execute("INSERT INTO payloads VALUES (1, ?)", (payload,))
    old.close()
    box = Spooling(path, MovedClock())
    assert box.leave() == {1: [(NOON, 1.0, GOOD)]}
    assert read_ledger(path).waiting == 0
    box.store.close()


# -- with its thread -------------------------------------------------------------------------------------------------


class SetClock(SystemClock):
    """This machine's, with a wall clock that can be set."""

    def __init__(self) -> None:
        self.error = -SystemClock.now(self)

    def now(self) -> int:
        return super().now() + self.error


def test_an_idle_spool_notices_that_the_time_has_come(path: Path) -> None:
    """Nothing is handed over and nobody asks: what waited leaves all the same."""

    async def main() -> None:
        clock, lent = SetClock(), asyncio.Queue[Waiting]()
        spool = Spool(SpoolConfig(path=path), SITE, clock)
        try:
            await spool.load()
            await spool.append(arrival_of(batch_at(1, [clock.now()])))
            assert spool.view.undated == 1
            spool.on_news = lambda found, again: lent.put_nowait(found[0]) if found else None
            spool.want(Wish(held=frozenset(), limits=dict.fromkeys(Lane, 9), total=9, size=1 << 20, since=0), now=True)
            await spool.depth()
            assert lent.empty()
            clock.error = 0
            async with asyncio.timeout(PATIENCE):
                found = await lent.get()
            assert found.at > NOON - 30 * DAY * SECOND and found.name[2] == 1
        finally:
            await spool.close()

    asyncio.run(main())
