"""The spool with its thread: who waits for what, and what a bug or a late caller meets."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from device_profiles.envelope import decode_batch
from device_profiles.quality import Reason
from gateway.books import Arrival
from gateway.config import SpoolConfig
from gateway.inspection import read_ledger
from gateway.schema import SpoolError
from gateway.spool import Spool
from gateway.store import Store
from gateway.taps import WAITING_EVENTS, Taps
from gateway.writer import WriteFailed
from tests.rooms.gateway.doubles import AGENT, CLOCK, SITE, batch_of, snapshot


def arrival(seq: int) -> Arrival:
    payload = batch_of(seq)
    batch = decode_batch(payload)
    return Arrival(
        origin=AGENT, epoch=1, seq=seq, lane=batch.lane, at=batch.base, manifest=batch.manifest, count=batch.count,
        payload=payload, ledger=msgspec.json.encode(snapshot(seq * 10)),
    )  # fmt: skip


def with_spool(path: Path, body: Callable[[Spool], Awaitable[None]]) -> None:
    async def main() -> None:
        spool = Spool(SpoolConfig(path=path), SITE, CLOCK)
        try:
            await spool.load()
            await body(spool)
        finally:
            await spool.close()

    asyncio.run(main())


def test_what_queues_up_shares_a_transaction(tmp_path: Path) -> None:
    async def body(spool: Spool) -> None:
        news: list[int] = []
        spool.on_news = lambda lent, again: news.append(spool.view.batches)
        answers = await asyncio.gather(*(spool.append(arrival(seq)) for seq in range(1, 101)))
        assert answers == [(Reason.NONE, True)] * 100
        assert len(news) < 50 and news[-1] == 100

    with_spool(tmp_path / "spool.db", body)
    assert read_ledger(tmp_path / "spool.db").spooled == 1000


def test_a_bug_in_one_job_fails_that_job_only(tmp_path: Path) -> None:
    def buggy(store: Store) -> None:
        store.append(arrival(99))
        raise KeyError("a bug of ours")

    async def body(spool: Spool) -> None:
        first, wrong, second = (
            spool.append(arrival(1)),
            spool._writer.submit(buggy, writes=True),
            spool.append(arrival(2)),
        )
        assert await first == await second == (Reason.NONE, True)
        with pytest.raises(KeyError):
            await wrong

    with_spool(tmp_path / "spool.db", body)
    ledger = read_ledger(tmp_path / "spool.db")
    assert ledger.spooled == 20 and ledger.differences() == []


def test_after_the_close_nothing_is_taken(tmp_path: Path) -> None:
    async def main() -> None:
        spool = Spool(SpoolConfig(path=tmp_path / "spool.db"), SITE, CLOCK)
        last = spool.append(arrival(1))
        await spool.close()
        assert await last == (Reason.NONE, True), "what was queued before is still written"
        with pytest.raises(WriteFailed):
            await spool.append(arrival(2))
        await spool.watch()

    asyncio.run(main())


def test_one_file_has_one_owner(tmp_path: Path) -> None:
    async def body(spool: Spool) -> None:
        with pytest.raises(SpoolError, match="in use"):
            Spool(SpoolConfig(path=tmp_path / "spool.db"), SITE, CLOCK)

    with_spool(tmp_path / "spool.db", body)


def test_a_slow_onlooker_is_told_what_it_missed() -> None:
    async def main() -> None:
        taps = Taps()
        with taps.open() as tap:
            for number in range(WAITING_EVENTS + 5):
                taps.offer("spooled", number=number)
            seen = [await tap.take() for _ in range(WAITING_EVENTS + 1)]
        assert seen[0]["number"] == 0 and seen[-1] == {"what": "missed", "events": 5}
        assert not taps

    asyncio.run(main())
