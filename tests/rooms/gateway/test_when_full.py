"""A full spool that thins: one value a minute stays before anything goes, alarms last of all, and all of it is told."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.quality import Reason
from device_profiles.readings import Lane
from gateway.thinning import MINUTE
from tests.rooms.gateway.spoolings import NOON, SECOND, MovedClock, Spooling

DICE = random.Random(1)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Spooling]:
    """A spool of 100 kB that thins."""
    spooling = Spooling(tmp_path / "spool.db", MovedClock(), quota=100_000, thin=True)
    yield spooling
    spooling.store.close()


def a_minute(spooling: Spooling, lane: Lane = Lane.LIVE) -> Reason:
    """A batch of sixty readings, one a second; noise, so that nothing deflates it."""
    begin = spooling.clock.now()
    spooling.clock.run(60)
    return spooling.append([begin + n * SECOND for n in range(60)], lane, [DICE.random() for _ in range(60)])


def test_it_thins_the_oldest_and_gives_up_none(full: Spooling) -> None:
    for _ in range(300):
        assert a_minute(full) is Reason.NONE
    ledger = full.ledger()
    assert set(ledger.given_up) == {"thinned"}
    assert ledger.spooled == 300 * 60 == ledger.given_up["thinned"] + ledger.waiting
    kept = full.kept()
    assert sorted(kept) == list(range(1, 301)), "every batch is there under its name"
    for readings in kept.values():
        minutes = {at // MINUTE for at, _, _ in readings}
        assert len(minutes) <= 2, "a batch touches two minutes at most"
    firsts = {min(at for readings in kept.values() for at, _, _ in readings if at // MINUTE == minute)
              for minute in range(NOON // MINUTE, NOON // MINUTE + 300)}  # fmt: skip
    assert len(firsts) == 300, "of every minute something is left"


def test_the_gaps_tell_exactly_what_went(full: Spooling) -> None:
    for _ in range(300):
        a_minute(full)
    told = [gap for gap in full.gaps() if gap.reason is Reason.THINNED]
    assert sum(gap.readings or 0 for gap in told) == full.ledger().given_up["thinned"]
    assert all(NOON <= gap.begin <= gap.end <= full.clock.now() for gap in told)
    assert len(told) < 20, "what touches is told together"


def test_batches_that_are_emptied_go_under_their_name(full: Spooling) -> None:
    """A batch a second: of each minute one stays, and the others' numbers are in the gaps."""
    while full.ledger().given_up.get("thinned", 0) < 500:
        full.clock.run(1)
        assert full.append([full.clock.now()]) is Reason.NONE
    named = {
        seq for gap in full.gaps() if gap.reason is Reason.THINNED and gap.first_seq is not None
        for seq in range(gap.first_seq, (gap.last_seq or 0) + 1)
    }  # fmt: skip
    assert named.isdisjoint(full.kept()) and named | set(full.kept()) == set(range(1, full.seq + 1))


def test_what_is_lent_is_not_touched(full: Spooling) -> None:
    for _ in range(20):
        a_minute(full)
    lent = {each.id: each for each in full.lend()}
    before = full.kept()
    while not full.ledger().given_up:
        assert a_minute(full) is Reason.NONE
    after = full.kept()
    assert all(after[each.name[2]] == before[each.name[2]] for each in lent.values())


def test_nothing_is_thinned_twice_and_then_the_oldest_go(full: Spooling) -> None:
    """When one value a minute is left everywhere, it is as if nothing thinned; alarms stay to the end."""
    a_minute(full, Lane.EVENT)
    alarm = full.kept()[1]
    while "quota" not in full.ledger().given_up:
        assert a_minute(full) is Reason.NONE
    ledger = full.ledger()
    assert ledger.spooled == ledger.waiting + sum(ledger.given_up.values())
    assert full.kept()[1] == alarm, "an alarm is not thinned"
    assert 2 not in full.kept(), "the oldest went"
    rows = full.store.books.connection.execute("SELECT COUNT(*), SUM(thinned) FROM batches WHERE lane <> 0").fetchone()
    assert rows[0] - rows[1] < 100, "everything but the newest is thinned"


def test_a_failed_transaction_does_not_remember_what_it_thinned(full: Spooling) -> None:
    """The first value of a minute that was kept in a transaction that failed is kept again."""
    full.append([NOON, NOON + SECOND])
    full.append([NOON + 2 * SECOND])
    full.store.begin()
    losses = full.store._losses
    assert losses._thin(full.store.books, 1, NOON)
    full.store.abort()
    full.tick()
    assert {seq: len(readings) for seq, readings in full.kept().items()} == {1: 2, 2: 1}
    full.store.begin()
    assert losses._thin(full.store.books, 1, NOON)
    full.store.commit()
    assert {seq: len(readings) for seq, readings in full.kept().items()} == {1: 1}
    assert full.ledger().given_up == {"thinned": 2}


def test_a_batch_that_nobody_can_read_stays(full: Spooling) -> None:
    full.append([NOON, NOON + SECOND])
    full.store.begin()
    full.store.books.connection.execute("UPDATE payloads SET payload = x'00'")
    assert full.store._losses._thin(full.store.books, 1, NOON)
    full.store.commit()
    assert full.ledger().waiting == 2 and full.ledger().given_up == {}


def test_without_the_policy_nothing_is_thinned(tmp_path: Path) -> None:
    spooling = Spooling(tmp_path / "spool.db", MovedClock(), quota=100_000)
    for _ in range(300):
        assert a_minute(spooling) is Reason.NONE
    assert set(spooling.ledger().given_up) == {"quota"}
    spooling.store.close()
