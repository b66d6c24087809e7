"""A whole worker: real broker, real file, real HTTP."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from device_profiles.ledger import Ledger
from device_profiles.receipts import Outcome, Receipt, Unreadable
from ingest.service import load_config
from tests.parts import BROKERS, Broker, nats_server
from tests.rooms.ingest.running import Process, aget, get, worker, write_centre
from tests.rooms.ingest.sender import GATEWAY, ORIGIN, START, TEMPERATURE, Sender, batch, manifest


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("name", sorted(BROKERS))
def test_batches_are_receipted_after_they_are_stored(tmp_path: Path, name: str, qos: int) -> None:
    start: Callable[[Path], AbstractContextManager[Broker]] = BROKERS[name]

    async def body(port: int) -> None:
        config = load_config(write_centre(tmp_path, port))
        async with worker(config), Sender(port, qos=qos) as sender:
            await sender.send(batch(1))
            later = await sender.receipts(1)
            assert [r.outcome for r in later if isinstance(r, Receipt)] == [Outcome.LATER]
            await sender.announce(manifest())
            for payload in (batch(1), batch(2), batch(2), b"rubbish"):
                await sender.send(payload)
            receipts = await sender.receipts(4)
            assert [r.outcome for r in receipts if isinstance(r, Receipt)] == [
                Outcome.STORED,
                Outcome.STORED,
                Outcome.DUPLICATE,
            ]
            assert len([r for r in receipts if isinstance(r, Unreadable)]) == 1
            ledger = await aget(config, "/api/v1/ledger")
            assert ledger["intake"] | {"running": None} == {
                "arrived": 4,
                "stored": 2,
                "duplicate": 1,
                "rejected": {},
                "later": {"unknown_manifest": 1},
                "malformed": {"malformed": 1},
                "running": None,
                "batches": {
                    "arrived": 5,
                    "stored": 2,
                    "duplicate": 1,
                    "rejected": {"malformed": 1},
                    "later": {"unknown_manifest": 1},
                },
            }

    with start(tmp_path / "broker") as broker:
        asyncio.run(body(broker.port))


def test_a_restart_knows_everything(tmp_path: Path) -> None:
    async def first(port: int) -> None:
        async with worker(config), Sender(port) as sender:
            await sender.announce(manifest())
            await sender.send(batch(1, [(TEMPERATURE, 0, 21.5, 0)]))
            await sender.receipts(1)
            ledger = Ledger(polled=1, good=1, handed=1, spooled=1, stored=1)
            await sender.state(ledger, START, online=False)

    async def second(port: int) -> None:
        async with worker(config), Sender(port) as sender:
            devices = (await aget(config, "/api/v1/devices"))["devices"]
            assert devices[0]["points"][0]["value"] == 21.5
            await sender.send(batch(1))
            (receipt,) = await sender.receipts(1)
            assert isinstance(receipt, Receipt)
            assert receipt.outcome is Outcome.DUPLICATE
            ledger = await aget(config, "/api/v1/ledger")
            assert (ledger["intake"]["stored"], ledger["intake"]["duplicate"]) == (1, 1)
            assert ledger["gateways"][0]["ledger"]["stored"] == 1
            assert ledger["differences"] == []

    with nats_server(tmp_path / "broker") as broker:
        config = load_config(write_centre(tmp_path, broker.port))
        asyncio.run(first(broker.port))
        asyncio.run(second(broker.port))


def test_a_broker_that_dies_is_found_again(tmp_path: Path) -> None:
    async def body(broker: Broker) -> None:
        config = load_config(write_centre(tmp_path, broker.port))
        async with worker(config):
            async with Sender(broker.port) as sender:
                await sender.announce(manifest())
                await sender.send(batch(1))
                await sender.receipts(1)
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            receipts: list[Receipt | Unreadable] = []
            async with Sender(broker.port) as sender:
                while not receipts:  # until the worker has subscribed again nobody gets it: a gateway sends again
                    await sender.send(batch(2))
                    try:
                        receipts = await sender.receipts(1, seconds=0.5)
                    except TimeoutError:
                        continue
            assert isinstance(receipts[0], Receipt)
            assert receipts[0].outcome in (Outcome.STORED, Outcome.DUPLICATE)
            assert receipts[0].origin == ORIGIN

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(body(broker))


def test_a_worker_starts_without_a_broker_and_stops_in_order(tmp_path: Path) -> None:
    process = Process(write_centre(tmp_path, 1))
    try:
        process.start(connected=False)
        assert get(process.config, "/api/v1/devices")["devices"] == []
        assert process.stop() == 0
    finally:
        process.kill()


def test_sigterm_commits_and_receipts_what_is_queued(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        async with Sender(port) as sender:
            await sender.announce(manifest())
            await sender.send(batch(1))
            await sender.receipts(1)
            for seq in range(2, 200):
                await sender.send(batch(seq))
            first = await sender.receipts(1)
            code = await asyncio.to_thread(process.stop)
            assert code == 0, process.log.read_text()
            receipted = {1} | {r.seq for r in first if isinstance(r, Receipt)}
            try:
                while True:
                    receipted |= {r.seq for r in await sender.receipts(1, seconds=1) if isinstance(r, Receipt)}
            except TimeoutError:
                pass
            await asyncio.to_thread(process.start)
            stored = (await aget(process.config, "/api/v1/ledger"))["intake"]["batches"]["stored"]
            assert stored == len(receipted)

    with nats_server(tmp_path / "broker") as broker:
        process = Process(write_centre(tmp_path, broker.port))
        try:
            process.start()
            asyncio.run(body(broker.port))
        finally:
            process.kill()


def test_only_our_shards_are_taken(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        ours, other = "kz-001", "kz-002"
        mine = Sender(port, ours).topics.batch(ours).split("/")[-3]
        config = load_config(write_centre(tmp_path, port, shards=mine))
        async with worker(config), Sender(port, ours) as sender, Sender(port, other) as stranger:
            await sender.announce(manifest())
            await stranger.send(batch(1, origin=f"{other}/agent"))
            wrong = sender.topics.batch(ours).replace(f"/{ours}/", f"/{other}/")
            await stranger.send(batch(1, origin=f"{other}/agent"), topic=wrong)
            (refused,) = await stranger.receipts(1)
            assert (refused.reason.word, refused.outcome) == ("wrong_shard", Outcome.REJECTED)  # type: ignore[union-attr]  # this one has an outcome
            await sender.send(b"?", topic=sender.topics.batch(ours).replace("/batch", "/gossip"))
            await sender.send(batch(1))
            await sender.receipts(1)
            intake = (await aget(config, "/api/v1/ledger"))["intake"]
            assert intake["malformed"] == {"wrong_shard": 1, "unknown_topic": 1}
            assert (intake["stored"], intake["rejected"]) == (1, {"wrong_shard": 1})

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(body(broker.port))


def test_the_gateway_is_named_in_the_device_list(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        config = load_config(write_centre(tmp_path, port))
        async with worker(config), Sender(port) as sender:
            await sender.announce(manifest())
            await sender.send(batch(1))
            await sender.receipts(1)
            device = (await aget(config, "/api/v1/devices"))["devices"][0]
            assert (device["gateway"], device["origin"], device["code"]) == (GATEWAY, ORIGIN, "5002360301000001")

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(body(broker.port))
