"""Batches over CoAP to a real ingest worker, through a path that loses, repeats and reorders: each is stored once."""

import asyncio
import dataclasses
from array import array
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from device_profiles.codecs import coap
from device_profiles.envelope import Batch, Columns, encode_batch, pack_body
from device_profiles.readings import Lane
from gateway.coap_client import CoapClient, NoAnswer
from gateway.inspection import read_ledger
from gateway.uplink_config import CoapOptions
from tests.parts import free_port
from tests.rooms.gateway.doubles import AGENT, CLOCK, PATIENCE, Agent, manifest_of, running
from tests.rooms.gateway.ways import QUICK, check_spool, check_stored, over_coap, settled, street, told
from tests.rooms.ingest.running import Process, write_centre


def large_batch(agent: Agent, count: int) -> bytes:
    """The agent's next batch, with values that no deflating makes smaller: some 10 bytes a reading."""
    agent.seq += 1
    agent.handed += count
    rng = np.random.default_rng(agent.seq)
    values = array("d", rng.random(count).tolist())
    columns = Columns(array("H", bytes(2 * count)), array("I", range(count)), values, array("B", bytes(count)))
    body, packed = pack_body(columns)
    return encode_batch(
        Batch(
            origin=AGENT, epoch=1, seq=agent.seq, lane=Lane.LIVE, manifest=manifest_of().id, base=CLOCK.now(),
            count=count, body=body, packed=packed,
        )
    )  # fmt: skip


@pytest.mark.parametrize(("seed", "block"), [(1, 1024), (2, 64), (3, 32)])
def test_every_batch_is_stored_once_through_a_path_that_loses_repeats_and_reorders(
    tmp_path: Path, seed: int, block: int
) -> None:
    options = dataclasses.replace(QUICK, block_bytes=block)

    async def main() -> None:
        async with street(tmp_path, seed, trouble=0.12) as (centre, wire):
            config = over_coap(tmp_path, wire.port, options)
            async with running(config) as pole:
                agent = await pole.agent()
                for _ in range(10):
                    await agent.hand(3, count=10)
                await agent.hand(2, noise=500, count=2)
                ledger = await told(centre, settled(304), "304 readings settled")
                assert ledger["differences"] == []
                await agent.part()
            assert wire.lost and wire.doubled and wire.overtaken
        check_spool(config, 304)
        check_stored(centre, 32, 304)

    asyncio.run(main())


def test_a_batch_of_hundreds_of_blocks_arrives_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with street(tmp_path, 7, trouble=0.02) as (centre, wire):
            config = over_coap(tmp_path, wire.port)
            async with running(config) as pole:
                agent = await pole.agent()
                payload = large_batch(agent, 40_000)
                assert len(payload) > 300 * 1024
                agent.send(payload)
                await agent.receipts(1)
                await told(centre, settled(40_000), "40,000 readings settled")
                await agent.part()
        check_stored(centre, 1, 40_000)

    asyncio.run(main())


def test_a_lost_receipt_is_told_again_and_nothing_is_stored_twice(tmp_path: Path) -> None:
    """The same answer to the same message; a batch said anew, because the gateway gave up, is a duplicate."""

    async def main() -> None:
        async with street(tmp_path) as (centre, wire):
            lost = 0

            def first_receipts_are_lost(inward: bool, data: bytes) -> bool:
                nonlocal lost
                receipt = inward and b"kz-001/agent" in data
                lost += receipt and lost < 12
                return not (receipt and lost < 12)

            wire.passes = first_receipts_are_lost
            config = over_coap(tmp_path, wire.port, CoapOptions(ack_seconds=0.1, retransmissions=2))
            async with running(config) as pole:
                agent = await pole.agent()
                await agent.hand(5)
                ledger = await told(centre, settled(50), "50 readings settled")
                assert ledger["intake"]["stored"] == 50 and ledger["intake"]["duplicate"] > 0
                assert ledger["intake"]["running"]["coap"]["repeated"] > 0
                await agent.part()
        check_spool(config, 50)
        check_stored(centre, 5, 50)

    asyncio.run(main())


def test_a_nat_that_forgets_in_the_middle_of_a_batch_costs_only_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with street(tmp_path) as (centre, wire):
            seen = 0

            def forget_now_and_then(inward: bool, data: bytes) -> bool:
                nonlocal seen
                seen += not inward
                if not inward and seen % 40 == 0 and seen < 200:
                    wire.rebind()
                return True

            wire.passes = forget_now_and_then
            config = over_coap(tmp_path, wire.port, dataclasses.replace(QUICK, block_bytes=64))
            async with running(config) as pole:
                agent = await pole.agent()
                agent.send(large_batch(agent, 500))
                await agent.receipts(1)
                await told(centre, settled(500), "500 readings settled")
                await agent.part()
        check_stored(centre, 1, 500)

    asyncio.run(main())


def test_a_centre_that_is_killed_and_comes_back_gets_everything_once(tmp_path: Path) -> None:
    port = free_port()
    process = Process(write_centre(tmp_path, free_port(), coap_port=port))
    config = over_coap(tmp_path, port)

    async def main() -> None:
        async with running(config) as pole:
            agent = await pole.agent()
            await agent.hand(20)
            process.kill()
            await agent.hand(20)
            await asyncio.to_thread(process.start, connected=False)
            await agent.hand(20)
            ledger = await told(process.config, settled(600), "600 readings settled")
            assert ledger["intake"]["stored"] == 600
            await agent.part()

    process.start(connected=False)
    try:
        asyncio.run(main())
    finally:
        process.stop()
    check_spool(config, 600)
    check_stored(process.config, 60, 600)


def test_the_centre_asks_for_a_manifest_that_it_does_not_know(tmp_path: Path) -> None:
    """It was told before; its store is another one now."""

    async def main() -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        for folder in (first, second):
            folder.mkdir()
        async with AsyncExitStack() as stack:
            before, wire = await stack.enter_async_context(street(first))
            after, other = await stack.enter_async_context(street(second))
            config = over_coap(tmp_path, wire.port)
            async with running(config) as pole:
                agent = await pole.agent()
                await agent.hand(3)
                await told(before, settled(30), "30 readings settled")
                wire.target = other.target  # the address leads elsewhere from now on
                wire.rebind()
                await agent.hand(3)
                ledger = await told(after, settled(60), "60 readings settled")
                assert ledger["intake"]["later"] and ledger["intake"]["stored"] == 30
                await agent.part()

    asyncio.run(main())


def test_an_event_does_not_wait_behind_what_is_large(tmp_path: Path) -> None:
    """One message under way at once: a large batch is in the middle of its blocks when the alarm comes."""

    async def main() -> None:
        async with street(tmp_path) as (centre, wire):
            options = dataclasses.replace(QUICK, nstart=1, block_bytes=64, ack_seconds=0.02, retransmissions=10)
            config = over_coap(tmp_path, wire.port, options)
            dammed = False

            def dam(inward: bool, data: bytes) -> bool:
                """Of a large batch, no more than its first blocks pass."""
                if inward or not dammed or coap.decode(data).path[2:] != ("batch",):
                    return True
                block = coap.read_block(coap.decode(data), coap.BLOCK1)
                return block is None or block.number < 5

            wire.passes = dam
            async with running(config) as pole:
                agent = await pole.agent()
                await agent.hand(1)
                await told(centre, settled(10), "10 readings settled")
                dammed = True
                agent.send(large_batch(agent, 500))
                await agent.receipts(1)
                await agent.hand(1, lane=Lane.EVENT, count=1)
                ledger = await told(centre, lambda ledger: ledger["intake"]["stored"] == 11, "the event")
                assert ledger["intake"]["batches"]["stored"] == 2
                dammed = False
                await told(centre, settled(511), "511 readings settled")
                await agent.part()

    asyncio.run(main())


def test_the_centres_door_is_closed_and_the_gateway_goes_on_trying(tmp_path: Path) -> None:
    config = over_coap(tmp_path, free_port(), CoapOptions(ack_seconds=0.05, retransmissions=1), drain=0.5)

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), running(config) as pole:
            agent = await pole.agent()
            await agent.hand(2)
            with pytest.raises(NoAnswer, match="unreachable"):
                await CoapClient(config.uplink).__aenter__()
            await agent.part()

    asyncio.run(main())
    assert read_ledger(config.spool.path).waiting == 20
