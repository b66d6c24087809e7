"""Programs whose power is cut: each writes on the forgetful file system and reports, on a sound one, what it was told.

    python -m tests.drills.power_workload spool PATH REPORT SEED EPOCH FIRST
    python -m tests.drills.power_workload sqlite PATH REPORT SYNCHRONOUS FIRST

``spool`` is the real spool under an agent that never stops: groups of batches, receipts that settle some, now and then
a clean stop and start. ``sqlite`` is a bare table in WAL mode, to show what the same cuts do to a careless writer.

A report's lines: ``offered EPOCH SEQ`` before, ``acked EPOCH SEQ`` after the spool said yes; ``settling EPOCH SEQ``
before, ``settled EPOCH SEQ`` after a commit that held the receipt. They end where the power ended.
"""

import asyncio
import random
import sqlite3
import sys
from array import array
from pathlib import Path
from typing import TextIO

import msgspec

from device_profiles.envelope import Batch, Columns, encode_batch, pack_body
from device_profiles.ledger import Ledger
from device_profiles.quality import Reason
from device_profiles.readings import Lane
from device_profiles.receipts import Outcome
from gateway.books import Arrival
from gateway.clock import SystemClock
from gateway.config import SpoolConfig
from gateway.spool import Spool
from gateway.store import Waiting, Wish
from gateway.writer import WriteFailed

SITE, AGENT, READINGS = "kz-001", "kz-001/agent", 10
COUNT = READINGS + 1
"""Readings of each batch: the numbers, and one text that makes it large or small."""

SIZES = (0, 50, 400, 3_000, 20_000)
"""Bytes beside the readings: within a page, over several, and enough for a checkpoint every few hundred batches."""


def arrival(epoch: int, seq: int) -> Arrival:
    """The batch of that name, the same bytes in every process; its agent handed over everything so far."""
    chance = random.Random(f"{epoch}/{seq}")
    columns = Columns(
        array("H", bytes(2 * READINGS)),
        array("I", range(READINGS)),
        array("d", [float(seq)] * READINGS),
        array("B", bytes(READINGS)),
    )
    columns.others = [(0, 0, chance.randbytes(chance.choice(SIZES)).hex(), 0)]
    body, packed = pack_body(columns)
    handed = seq * COUNT
    lane = chance.choice([Lane.EVENT, Lane.LIVE, Lane.LIVE, Lane.BACKLOG])
    batch = Batch(
        origin=AGENT, epoch=epoch, seq=seq, lane=lane, manifest=1, base=seq, count=COUNT, body=body, packed=packed
    )
    return Arrival(
        origin=AGENT, epoch=epoch, seq=seq, lane=lane, at=seq, manifest=1, count=COUNT, payload=encode_batch(batch),
        ledger=msgspec.json.encode(Ledger(polled=handed, good=handed, handed=handed)),
    )  # fmt: skip


class Agent:
    """An agent and a centre in one, over the real spool; ends by the power cut only."""

    def __init__(self, path: Path, report: TextIO, chance: random.Random, epoch: int, first: int) -> None:
        self._path = path
        self._report = report
        self._chance = chance
        self._epoch = epoch
        self._next = first

    def _say(self, word: str, epoch: int, seq: int) -> None:
        print(word, epoch, seq, file=self._report, flush=True)

    async def run(self) -> None:
        """Start, work, stop, start again."""
        while True:
            spool = Spool(SpoolConfig(path=self._path), SITE, SystemClock())
            try:
                await spool.load()
                await spool.hello(AGENT, self._epoch, self._next)
                for _ in range(self._chance.choice([2, 20, 200])):
                    await self._hand_over(spool, self._chance.choice([1, 1, 4, 16, 64]))
                    if self._chance.random() < 0.3:
                        await self._settle(spool, self._chance.choice([1, 8, 64]))
            except WriteFailed as trouble:  # the power is gone, or will be when this has been looked at
                print("refused", trouble, file=sys.stderr, flush=True)
            finally:
                await spool.close()

    async def _hand_over(self, spool: Spool, size: int) -> None:
        """A group of batches at once, each acknowledged."""
        waiting = []
        for seq in range(self._next, self._next + size):
            self._say("offered", self._epoch, seq)
            waiting.append((seq, spool.append(arrival(self._epoch, seq))))
        for seq, future in waiting:
            reason, _new = await future
            if reason is not Reason.NONE:
                raise RuntimeError(f"{seq} refused: {reason}")
            self._say("acked", self._epoch, seq)
            self._next = seq + 1

    async def _settle(self, spool: Spool, most: int) -> None:
        """The centre's receipts for some of what waits."""
        lent: list[Waiting] = []
        spool.on_news = lambda found, again: lent.extend(found)
        wish = Wish(held=frozenset(), limits=dict.fromkeys(Lane, most), total=most, size=1 << 20, since=0)
        spool.want(wish, now=True)
        await spool.load()
        for batch in lent:
            if batch.name[0] == AGENT:
                self._say("settling", *batch.name[1:])
        spool.settle({batch.id: (Outcome.STORED, Reason.NONE) for batch in lent})
        failures = spool.view.failures
        await spool.load()
        for batch in lent:
            if batch.name[0] == AGENT and spool.view.failures == failures:
                self._say("settled", *batch.name[1:])


def write_rows(path: Path, report: TextIO, synchronous: str, first: int) -> None:
    """One row after the other into a bare table, each reported after its commit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS rows (seq INTEGER PRIMARY KEY, payload BLOB)")
    seq = first
    while True:
        connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (seq, bytes(2_000)))
        print("acked", 0, seq, file=report, flush=True)
        seq += 1


def main(kind: str, path: Path, report: TextIO, *rest: str) -> None:
    """Run one of the two until the power is cut."""
    if kind == "sqlite":
        write_rows(path, report, rest[0], int(rest[1]))
    else:
        agent = Agent(path, report, random.Random(rest[0]), int(rest[1]), int(rest[2]))
        asyncio.run(agent.run())


if __name__ == "__main__":
    with Path(sys.argv[3]).open("a") as file:
        main(sys.argv[1], Path(sys.argv[2]), file, *sys.argv[4:])
