"""A small life of the real spool, run under a system-call fault injector; stdout is its journal.

Lines: ``acked SEQ`` after the spool said yes, ``settled SEQ`` after a commit that held the receipt. Whatever was
refused is offered again, as an agent would. Ends with exit code 0 when all was taken in the end.
"""

import asyncio
import sys
from array import array
from pathlib import Path

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

SITE, AGENT, READINGS, BATCHES = "kz-001", "kz-001/agent", 10, 6
TRIES = 20


def arrival(seq: int) -> Arrival:
    """A batch with the ledger of an agent that handed over everything so far."""
    numbers = array("d", [float(seq)] * READINGS)
    columns = Columns(
        array("H", bytes(2 * READINGS)), array("I", range(READINGS)), numbers, array("B", bytes(READINGS))
    )
    body, packed = pack_body(columns)
    handed = seq * READINGS
    batch = Batch(
        origin=AGENT, epoch=1, seq=seq, lane=Lane.LIVE, manifest=1, base=seq, count=READINGS, body=body, packed=packed
    )
    ledger = msgspec.json.encode(Ledger(polled=handed, good=handed, handed=handed))
    return Arrival(
        origin=AGENT, epoch=1, seq=seq, lane=Lane.LIVE, at=seq, manifest=1, count=READINGS,
        payload=encode_batch(batch), ledger=ledger,
    )  # fmt: skip


async def offer(spool: Spool, seqs: list[int]) -> None:
    """Append in one go what can share a transaction, and offer again what was refused, in order."""
    for _ in range(TRIES):
        futures = [(seq, spool.append(arrival(seq))) for seq in seqs]
        seqs = []
        for seq, future in futures:
            try:
                reason, _new = await future
            except WriteFailed as trouble:
                reason = trouble.reason
            if reason is Reason.NONE:
                print("acked", seq, flush=True)
            else:
                seqs.append(seq)
        if not seqs:
            return
    raise SystemExit(f"never taken: {seqs}")


async def settle_all(spool: Spool) -> None:
    """Lend everything and settle it as stored; then make sure that a commit has held it."""
    wish = Wish(held=frozenset(), limits=dict.fromkeys(Lane, 64), total=64, size=1 << 20, since=0)
    lent: list[Waiting] = []
    spool.on_news = lambda found, again: lent.extend(found)
    for _ in range(TRIES):
        spool.want(wish, now=True)
        await spool.load()
        if lent:
            break
    spool.settle({batch.id: (Outcome.STORED, Reason.NONE) for batch in lent})
    for _ in range(TRIES):
        failures = spool.view.failures
        await spool.load()
        if spool.view.batches == 0 and spool.view.failures == failures:
            break
    for batch in lent:
        print("settled", batch.name[2], flush=True)


async def main(path: Path) -> None:
    """Take, send, take again, and end in order."""
    spool = Spool(SpoolConfig(path=path), SITE, SystemClock())
    try:
        await offer(spool, [1])
        await offer(spool, [2, 3])
        await settle_all(spool)
        await offer(spool, [4])
        await offer(spool, [5, 6])
    finally:
        await spool.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
