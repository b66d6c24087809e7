"""kill -9 of a worker under load: what was receipted is stored, once; what was not is sent again and stored, once."""

import asyncio
import random
from pathlib import Path

from device_profiles.receipts import Outcome, Receipt
from ingest.loading import load_memory
from ingest.store_duckdb import DuckdbStore
from tests.parts import nats_server
from tests.rooms.ingest.running import Process, write_centre
from tests.rooms.ingest.sender import TEMPERATURE, Sender, batch, manifest

BATCHES = 400
ROWS = 25
KILLS = 5
WINDOW = 64


async def _deliver(sender: Sender, receipted: set[int], process: Process, done: asyncio.Event) -> None:
    """A gateway in small: a window of unreceipted batches, sent again until every one has its receipt."""
    while len(receipted) < BATCHES:
        waiting = [seq for seq in range(1, BATCHES + 1) if seq not in receipted][:WINDOW]
        for seq in random.sample(waiting, len(waiting)):
            rows = [(TEMPERATURE, seq * 1000 + n, float(seq), 0) for n in range(ROWS)]
            await sender.send(batch(seq, rows))
        try:
            while any(seq not in receipted for seq in waiting):
                for receipt in await sender.receipts(1, seconds=0.3):
                    assert isinstance(receipt, Receipt)
                    if receipt.outcome is not Outcome.LATER:
                        receipted.add(receipt.seq)
        except TimeoutError:
            continue
    done.set()


async def _kill_now_and_then(process: Process, receipted: set[int], done: asyncio.Event) -> None:
    for turn in range(1, KILLS + 1):
        while len(receipted) < BATCHES * turn // (KILLS + 1) and not done.is_set():  # noqa: ASYNC110 - the receipts of another thread are looked at
            await asyncio.sleep(random.uniform(0, 0.02))  # the moment is meant to be random
        process.kill()
        await asyncio.to_thread(process.start)


def test_kill_9_under_load(tmp_path: Path) -> None:
    receipted: set[int] = set()

    async def body(port: int) -> None:
        async with Sender(port) as sender:
            await sender.announce(manifest())
            done = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(_deliver(sender, receipted, process, done))
                group.create_task(_kill_now_and_then(process, receipted, done))

    with nats_server(tmp_path / "broker") as broker:
        process = Process(write_centre(tmp_path, broker.port))
        try:
            process.start()
            asyncio.run(body(broker.port))
        finally:
            process.kill()
    store = DuckdbStore(process.config.store.path)
    store.open()
    try:
        memory, _ = load_memory(store)
        twice = store.query("SELECT seq FROM batches GROUP BY origin, epoch, seq HAVING count(*) > 1")["seq"].tolist()
        readings = store.query("SELECT count(*) AS n, count(DISTINCT at_us) AS d FROM readings")
        assert twice == []
        assert int(readings["n"][0]) == int(readings["d"][0]) == BATCHES * ROWS
        assert memory.accounts.summary()["stored"] == BATCHES * ROWS
        assert len(memory.acceptance) == BATCHES
        assert float(memory.latest.value[TEMPERATURE]) == float(BATCHES)
    finally:
        store.close()
