"""The spool's rules, one transaction at a time and without its thread: taken once, given up aloud, counted exactly."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from device_profiles.envelope import decode_batch
from device_profiles.ledger import Ledger
from device_profiles.manifests import decode_manifests, encode_manifests
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane
from device_profiles.receipts import Outcome
from gateway.books import Arrival
from gateway.gaps import decode_gaps
from gateway.inspection import read_ledger
from gateway.schema import SpoolError, open_database
from gateway.store import Store, Waiting, Wish
from tests.rooms.gateway.doubles import AGENT, SITE, batch_of, manifest_of, snapshot

SECOND = 1_000_000
NOON = 1_795_000_000 * SECOND


class StoppedClock:
    """Noon, for ever."""

    def now(self) -> int:
        return NOON

    def monotonic(self) -> float:
        return 0.0


class Bench:
    """A store whose calls are each one transaction, and the numbers that they should add up to."""

    def __init__(self, path: Path, quota: int = 1 << 20, epoch: int = 77) -> None:
        self.path = path
        self.store = Store(path, SITE, epoch, quota, StoppedClock())
        self.handed: dict[int, int] = {}

    def append(self, seq: int, count: int = 10, epoch: int = 1, **kinds: object) -> tuple[Reason, bool]:
        payload = batch_of(seq, count, epoch=epoch, **{"at": NOON + seq * SECOND, **kinds})  # type: ignore[arg-type]  # passed through
        handed = self.handed.get(epoch, 0) + count
        ledger = msgspec.json.encode(snapshot(handed))
        batch = decode_batch(payload)
        arrival = Arrival(
            origin=AGENT,
            epoch=epoch,
            seq=seq,
            lane=batch.lane,
            at=batch.base,
            manifest=batch.manifest,
            count=count,
            payload=payload,
            ledger=ledger,
        )
        self.store.begin()
        answer = self.store.append(arrival)
        self.store.commit()
        if answer == (Reason.NONE, True):
            self.handed[epoch] = handed
        return answer

    def hello(self, epoch: int, at: int = NOON) -> None:
        self.store.begin()
        self.store.hello(AGENT, epoch, at)
        self.store.commit()

    def lend(self, size: int = 1 << 20, held: Iterable[int] = ()) -> list[Waiting]:
        self.store.ready()
        limits, since = dict.fromkeys(Lane, 64), NOON - 60 * SECOND
        return self.store.lend(Wish(held=frozenset(held), limits=limits, total=64, size=size, since=since))

    def settle(self, waiting: list[Waiting], outcome: Outcome = Outcome.STORED, reason: Reason = Reason.NONE) -> None:
        self.store.settled.update({each.id: (outcome, reason) for each in waiting})
        self.store.begin()
        self.store.commit()

    def ledger(self) -> Ledger:
        """From the file, beside the open store: it must always balance."""
        found = read_ledger(self.path)
        assert found.differences() == []
        assert found == self.store.books.view().ledger()
        return found

    def gaps(self) -> list[Gap]:
        rows = self.store.books.connection.execute(
            "SELECT payload FROM payloads JOIN batches USING (id) JOIN streams s ON s.id = stream WHERE s.origin = ?",
            (SITE,),
        )
        return [gap for (payload,) in rows for gap in decode_gaps(bytes(payload))]


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A fresh spool; @quota(bytes) makes it a small one."""
    bench = Bench(tmp_path / "spool.db", quota=getattr(request, "param", 1 << 20))
    yield bench
    bench.store.close()


def quota(size: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bench", [size], indirect=True)


def reopened(bench: Bench, quota: int = 1 << 20, epoch: int = 78) -> Bench:
    """The same file in a new process's place."""
    bench.store.close()
    again = Bench(bench.path, quota, epoch)
    again.handed = bench.handed
    again.store.ready()
    return again


def test_a_batch_is_taken_once(bench: Bench) -> None:
    assert bench.append(1) == (Reason.NONE, True)
    assert bench.append(1) == (Reason.NONE, False)
    assert bench.append(2) == (Reason.NONE, True)
    assert bench.ledger().spooled == 20


def test_a_batch_is_taken_once_even_after_it_left(bench: Bench) -> None:
    bench.append(1)
    bench.settle(bench.lend())
    assert bench.append(1) == (Reason.NONE, False)
    again = reopened(bench)
    assert again.append(1) == (Reason.NONE, False)
    assert again.ledger().stored == again.ledger().spooled == 10
    again.store.close()


def test_a_hole_is_refused_until_it_is_filled(bench: Bench) -> None:
    bench.append(1)
    assert bench.append(3) == (Reason.MALFORMED, False)
    assert bench.append(2) == (Reason.NONE, True)
    assert bench.append(3) == (Reason.NONE, True)


def test_an_originator_that_outlives_a_spool_goes_on_where_it_was(bench: Bench) -> None:
    assert bench.append(41) == (Reason.NONE, True)
    assert bench.append(42) == (Reason.NONE, True)
    assert bench.append(40) == (Reason.NONE, False)


def test_what_a_failed_transaction_held_is_not_skipped(bench: Bench) -> None:
    """The first batch of an unknown stream is lost with its transaction: the next one may not take its place."""
    bench.hello(1)
    bench.store.begin()
    bench.store.append(arrival_of(5))
    bench.store.abort()
    assert bench.append(6) == (Reason.MALFORMED, False)
    assert bench.append(5) == (Reason.NONE, True)


def arrival_of(seq: int) -> Arrival:
    payload = batch_of(seq)
    batch = decode_batch(payload)
    return Arrival(
        origin=AGENT, epoch=1, seq=seq, lane=batch.lane, at=batch.base, manifest=batch.manifest, count=10,
        payload=payload, ledger=b"{}",
    )  # fmt: skip


def test_each_outcome_has_its_account(bench: Bench) -> None:
    for seq in range(1, 5):
        bench.append(seq, count=seq)
    one, two, three, _ = bench.lend()
    bench.settle([one])
    bench.settle([two], Outcome.DUPLICATE)
    bench.settle([three], Outcome.REJECTED, Reason.UNKNOWN_ALIAS)
    bench.settle([three], Outcome.REJECTED, Reason.UNKNOWN_ALIAS)
    ledger = bench.ledger()
    assert (ledger.stored, ledger.duplicate, ledger.rejected) == (1, 2, {"unknown_alias": 3})
    assert ledger.waiting == 4


def test_lanes_leave_in_their_order_and_late_live_data_is_backlog(bench: Bench) -> None:
    bench.append(1, at=NOON - 3600 * SECOND)
    bench.append(2, lane=Lane.BACKLOG)
    bench.append(3)
    bench.append(4, lane=Lane.EVENT)
    assert [(each.name[2], each.lane) for each in bench.lend()] == [
        (4, Lane.EVENT),
        (3, Lane.LIVE),
        (1, Lane.BACKLOG),
        (2, Lane.BACKLOG),
    ]
    assert bench.lend(held=range(1, 5)) == []


def test_what_was_lent_to_nobody_is_lent_again(bench: Bench) -> None:
    bench.append(1)
    assert len(bench.lend()) == 1
    assert len(bench.lend(held=())) == 1
    assert bench.lend(held=(1,)) == []


def test_lending_is_bounded_in_bytes_but_never_stuck(bench: Bench) -> None:
    for seq in range(1, 4):
        bench.append(seq, noise=10_000)
    (first,) = bench.lend(size=15_000)
    assert bench.lend(size=5_000, held=(first.id,)) == []
    bench.settle([first])
    assert len(bench.lend(size=1)) == 1, "one batch goes, however large, when nothing else is under way"


@quota(100_000)
def test_a_full_spool_gives_up_the_oldest_and_says_so(bench: Bench) -> None:
    bench.append(1, lane=Lane.EVENT, noise=5_000)
    for seq in range(2, 40):
        assert bench.append(seq, noise=5_000) == (Reason.NONE, True)
    ledger = bench.ledger()
    lost = ledger.given_up["quota"]
    assert lost and ledger.waiting == 390 - lost
    (mine, gap) = bench.gaps()
    assert (gap.first_seq, gap.last_seq, gap.readings) == (2, 1 + lost // 10, lost)
    assert gap.reason is Reason.QUOTA and gap.begin == NOON + 2 * SECOND
    assert NOON + (1 + lost // 10) * SECOND <= gap.end < NOON + (2 + lost // 10) * SECOND
    assert (mine.origin, mine.first_seq, mine.readings) == (SITE, 1, 0), "gap batches folded into one are told too"


@quota(55_000)
def test_what_is_under_way_is_never_given_up(bench: Bench) -> None:
    for seq in range(1, 10):
        bench.append(seq, noise=5_000)
    lent = bench.lend()
    assert bench.append(10, noise=5_000) == (Reason.QUOTA, False)
    bench.settle(lent)
    assert bench.append(10, noise=5_000) == (Reason.NONE, True)
    assert bench.ledger().given_up == {}


@quota(4_000)
def test_a_batch_larger_than_the_quota_is_refused(bench: Bench) -> None:
    bench.append(1)
    assert bench.append(2, noise=5_000) == (Reason.QUOTA, False)
    assert bench.ledger().given_up == {}


def test_old_batches_expire_with_a_gap(bench: Bench) -> None:
    for seq in range(1, 11):
        bench.append(seq)
    bench.store.begin()
    assert bench.store.expire(NOON + 6 * SECOND) == 5
    bench.store.commit()
    assert bench.ledger().given_up == {"expired": 50}
    (gap,) = bench.gaps()
    assert (gap.first_seq, gap.last_seq, gap.readings, gap.reason) == (1, 5, 50, Reason.EXPIRED)


def test_a_start_without_a_goodbye_before_it_is_told(bench: Bench) -> None:
    bench.hello(1)
    bench.append(1)
    bench.hello(1)
    assert bench.gaps() == []
    bench.hello(2, at=NOON + 60 * SECOND)
    (gap,) = bench.gaps()
    assert gap == Gap(
        origin=AGENT,
        epoch=1,
        reason=Reason.ORIGINATOR_KILLED,
        begin=NOON + SECOND,
        end=NOON + 60 * SECOND,
        readings=None,
    )
    bench.append(1, epoch=2)
    assert bench.ledger().spooled == 20


def test_what_a_killed_originator_held_is_counted_as_refused(bench: Bench) -> None:
    bench.hello(1)
    bench.store.begin()
    held = Ledger(polled=30, good=30, handed=10, pending=20)
    bench.store.append(msgspec.structs.replace(arrival_of(1), ledger=msgspec.json.encode(held)))
    bench.store.commit()
    bench.hello(2)
    ledger = bench.ledger()
    assert ledger.refused == {"originator_killed": 20} and ledger.pending == 0 and ledger.handed == 30


def test_after_a_goodbye_there_is_no_gap(bench: Bench) -> None:
    bench.hello(1)
    bench.append(1)
    bench.store.begin()
    bench.store.bye(AGENT, 1, msgspec.json.encode(snapshot(10)))
    bench.store.commit()
    bench.hello(2)
    assert bench.gaps() == []


def test_many_starts_are_remembered_in_sum_only(bench: Bench) -> None:
    for epoch in range(1, 31):
        bench.hello(epoch)
        bench.append(1, epoch=epoch)
        bench.settle(bench.lend())
    assert len(bench.store.books.streams) < 10
    assert bench.ledger().stored == bench.ledger().handed == 300


def test_manifests_stay_while_batches_need_them(bench: Bench) -> None:
    def keep(devices: int) -> int:
        manifest = manifest_of(devices=devices)
        bench.store.begin()
        bench.store.keep_manifest(AGENT, manifest.id, encode_manifests(AGENT, [manifest]))
        bench.store.commit()
        return manifest.id

    def kept() -> list[int]:
        return [m.id for data in bench.store.manifests() for m in decode_manifests(data)[1] if m.origin == AGENT]

    first = keep(1)
    bench.append(1, manifest=first)
    second = keep(2)
    assert kept() == [first, second]
    bench.settle(bench.lend())
    assert kept() == [second]


def test_the_own_stream_of_an_earlier_start_is_closed_quietly(bench: Bench) -> None:
    bench.hello(1)
    bench.append(1)
    bench.hello(2)
    again = reopened(bench)
    again.hello(3)
    own = [s for s in again.store.books.streams.values() if s.origin == SITE]
    assert [stream.epoch for stream in own] == [77, 78] and [stream.through for stream in own] == [1, 1]
    assert [gap.epoch for gap in again.gaps()] == [1, 2]
    again.store.close()


def test_a_damaged_file_and_a_later_version_are_refused_in_words(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database, it is a long line of text" * 100)
    with pytest.raises(SpoolError, match="is no spool, or is damaged"):
        open_database(damaged)
    later = tmp_path / "later.db"
    with sqlite3.connect(later) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SpoolError, match="later version"):
        open_database(later)
