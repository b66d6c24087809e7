"""A store that fails: nothing half-written, nothing acknowledged, nothing stored twice, and back without a restart."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_profiles.receipts import Outcome, Receipt
from ingest.gateways import Gateways
from ingest.loading import load_memory, settle, sum_up
from ingest.pipeline import Pipeline
from ingest.rows import StoreDown
from ingest.store_duckdb import DuckdbStore, StoreMismatch
from tests.parts import nats_server
from tests.rooms.ingest.running import Process, aget, write_centre
from tests.rooms.ingest.sender import START, STATE, TEMPERATURE, Centre, Sender, arrival, batch, manifest, outcomes


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Writes behind this many bytes of any file fail (EFBIG), as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def log_size(centre: Centre) -> int:
    """Bytes in DuckDB's write-ahead log."""
    log = centre.store.path.with_suffix(".duckdb.wal")
    return log.stat().st_size if log.exists() else 0


def test_the_nth_write_of_a_commit_fails_for_every_n(centre: Centre) -> None:
    """The log may grow a little more each time, until the commit fits: every failure before must leave nothing."""
    centre.take(batch(1))
    failures = 0
    for room in range(0, 1 << 20, 256):
        plan = centre.pipeline.plan([arrival(batch(2)), arrival(batch(3))], centre.now)
        try:
            with no_file_beyond(log_size(centre) + room):
                centre.store.commit(plan.commit)
            break
        except StoreDown:
            failures += 1
            assert centre.rows("SELECT seq FROM batches ORDER BY no") == [(1,)]
            assert centre.rows("SELECT count(*) AS n FROM readings") == [(1,)]
    centre.memory.apply(plan)
    assert failures >= 3
    assert outcomes(centre.take(batch(2), batch(4))) == [(Outcome.DUPLICATE, "none"), (Outcome.STORED, "none")]
    assert centre.rows("SELECT seq FROM batches ORDER BY no") == [(1,), (2,), (3,), (4,)]
    assert centre.rows("SELECT count(*) AS n FROM readings") == [(4,)]


def test_a_commit_whose_answer_was_lost_is_not_repeated(centre: Centre) -> None:
    plan = centre.pipeline.plan([arrival(batch(1))], centre.now)
    centre.store.commit(plan.commit)
    centre.store._doubtful = True  # as after a failure that could not be looked into
    centre.store.commit(plan.commit)
    assert centre.rows("SELECT count(*) AS n FROM readings") == [(1,)]


def test_a_checkpoint_changes_nothing_that_is_known(tmp_path: Path) -> None:
    """With and without sums, in the middle and at the end, a start finds the same."""
    centre = Centre(tmp_path / "c.duckdb")
    centre.register(manifest())
    gateways = Gateways()
    for seq in range(1, 8):
        rows, others = [(TEMPERATURE, seq, float(seq), 0)], [(STATE, seq, f"s{seq}", 0)]
        centre.take(batch(seq, rows, others=others), batch(seq), b"x")
        if seq in (2, 5):
            centre.store.checkpoint(sum_up(centre.memory, gateways))
            settle(centre.memory)
    before = centre.memory
    centre.store.close()
    again = Centre(tmp_path / "c.duckdb")
    after, _ = load_memory(again.store)
    assert after.accounts.tallies == before.accounts.tallies
    assert (after.next_batch, after.next_outcome) == (before.next_batch, before.next_outcome)
    assert dict(after.acceptance.changed()).keys() == {("kz-001/agent", 1_795_000_000 << 20)}
    assert after.latest.texts == before.latest.texts == {STATE: "s7"}
    assert after.latest.value[TEMPERATURE] == 7.0
    assert after.kept.next_no == before.kept.next_no
    assert after.registry.manifests.keys() == before.registry.manifests.keys()
    again.memory, again.pipeline = after, Pipeline(after)
    assert [outcome for outcome, _ in outcomes(again.take(batch(3), batch(8)))] == [
        Outcome.DUPLICATE,
        Outcome.STORED,
    ]
    again.store.close()


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    store = DuckdbStore(tmp_path / "c.duckdb")
    store.open()
    assert store._writer is not None
    store._writer.execute("UPDATE meta SET value = 99 WHERE name = 'version'")
    store.close()
    with pytest.raises(StoreMismatch, match="99"):
        store.open()


def test_a_full_disk_stops_receipts_and_recovers_without_a_restart(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        async with Sender(port) as sender:
            await sender.announce(manifest())
            await sender.send(batch(1))
            await sender.receipts(1)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
            for _ in range(3):
                await sender.send(batch(2))
            with pytest.raises(TimeoutError):
                await sender.receipts(1, seconds=1)
            running = (await aget(process.config, "/api/v1/ledger"))["intake"]["running"]
            assert running["store"] != "up"
            assert (await aget(process.config, "/api/v1/latest"))["rows"][0][1] == 21.5
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            receipts = [r.outcome for r in await sender.receipts(3) if isinstance(r, Receipt)]
            assert receipts == [Outcome.STORED, Outcome.DUPLICATE, Outcome.DUPLICATE]
            ledger = await aget(process.config, "/api/v1/ledger")
            assert (ledger["intake"]["stored"], ledger["intake"]["running"]["store"]) == (2, "up")
            history = await aget(process.config, f"/api/v1/history?series=0&from={START - 1}&to={START + 1}")
            assert history["value"] == [21.5, 21.5]

    with nats_server(tmp_path / "broker") as broker:
        process = Process(write_centre(tmp_path, broker.port))
        try:
            process.start()
            asyncio.run(body(broker.port))
            assert process.stop() == 0
        finally:
            process.kill()


def test_sigterm_while_the_disk_is_full_leaves_in_order_and_loses_nothing(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        async with Sender(port) as sender:
            await sender.announce(manifest())
            await sender.send(batch(1))
            await sender.receipts(1)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
            await sender.send(batch(2))
            with pytest.raises(TimeoutError):
                await sender.receipts(1, seconds=0.5)
            assert await asyncio.to_thread(process.stop) == 0, process.log.read_text()
            await asyncio.to_thread(process.start)
            await sender.send(batch(1))
            await sender.send(batch(2))
            receipts = [r.outcome for r in await sender.receipts(2) if isinstance(r, Receipt)]
            assert receipts == [Outcome.DUPLICATE, Outcome.STORED]

    with nats_server(tmp_path / "broker") as broker:
        process = Process(write_centre(tmp_path, broker.port))
        try:
            process.start()
            asyncio.run(body(broker.port))
        finally:
            process.kill()
