"""From a hand-over to a receipt through real brokers: at least once whatever the wire does, and the ledger knows it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.envelope import Batch
from device_profiles.quality import Reason
from device_profiles.readings import Lane
from device_profiles.receipts import Outcome, Receipt, encode_receipts
from gateway.inspection import read_ledger
from tests.parts import BROKERS, Broker, free_port, mosquitto
from tests.rooms.gateway.doubles import AGENT, CLOCK, Centre, Verdict, make_config, manifest_of, running


@pytest.fixture(params=sorted(BROKERS))
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path / "broker") as running_broker:
        yield running_broker


@pytest.mark.parametrize("qos", [0, 1])
def test_every_batch_arrives_once_and_is_deleted(tmp_path: Path, broker: Broker, qos: int) -> None:
    config = make_config(tmp_path, broker.port, qos=qos)

    async def main() -> None:
        async with Centre(broker.port).listening(qos) as centre, running(config) as pole:
            agent = await pole.agent()
            for _ in range(20):
                assert all(receipt.accepted for receipt in await agent.hand(5, count=10))
            ledger = await centre.until_settled(1000)
            assert ledger.stored == centre.readings() == 1000
            assert manifest_of().id in centre.manifests
            await agent.part()

    asyncio.run(main())
    assert read_ledger(config.spool.path).stored == 1000


@pytest.mark.parametrize("qos", [0, 1])
def test_lost_receipts_cost_a_duplicate_and_nothing_else(tmp_path: Path, broker: Broker, qos: int) -> None:
    config = make_config(tmp_path, broker.port, qos=qos, resend=0.5)
    seen: set[int] = set()

    def every_third_is_lost_once(batch: Batch) -> Verdict:
        lost = batch.seq % 3 == 0 and batch.seq not in seen
        seen.add(batch.seq)
        return None if lost else Outcome.STORED

    async def main() -> None:
        async with Centre(broker.port).listening(qos) as centre, running(config) as pole:
            centre.verdict = every_third_is_lost_once
            agent = await pole.agent()
            await agent.hand(30)
            ledger = await centre.until_settled(300)
            assert centre.readings() == 300
            assert ledger.stored + ledger.duplicate == 300 and ledger.duplicate >= 100

    asyncio.run(main())


@pytest.mark.parametrize("qos", [0, 1])
def test_a_broker_that_forgets_loses_nothing(tmp_path: Path, broker: Broker, qos: int) -> None:
    config = make_config(tmp_path, broker.port, qos=qos, resend=1.0)

    async def main() -> None:
        async with Centre(broker.port).listening(qos) as centre, running(config) as pole:
            agent = await pole.agent()
            await agent.hand(10)
            broker.kill()
            for _ in range(4):
                assert all(receipt.accepted for receipt in await agent.hand(5))
            broker.start()
            ledger = await centre.until_settled(300)
            assert centre.readings() == 300 == ledger.stored + ledger.duplicate

    asyncio.run(main())


def test_a_broker_that_is_absent_at_the_start_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    config = make_config(tmp_path, port)

    async def main() -> None:
        async with running(config) as pole:
            agent = await pole.agent()
            assert (await agent.hand())[0].accepted
            with mosquitto(tmp_path / "broker", port):
                async with Centre(port).listening() as centre:
                    assert (await centre.until_settled(10)).stored == 10

    asyncio.run(main())


def test_a_frozen_broker_does_not_hold_up_the_hand_over(tmp_path: Path, broker: Broker) -> None:
    config = make_config(tmp_path, broker.port)

    async def main() -> None:
        async with Centre(broker.port).listening() as centre, running(config) as pole:
            agent = await pole.agent()
            await agent.hand()
            await centre.until_settled(10)
            broker.freeze()
            try:
                for _ in range(20):
                    assert all(r.accepted for r in await agent.hand(5, count=20, noise=60_000))
            finally:
                broker.thaw()
            await centre.until_settled(2010)

    asyncio.run(main())


def test_later_is_answered_with_the_manifest(tmp_path: Path, broker: Broker) -> None:
    config = make_config(tmp_path, broker.port)

    async def main() -> None:
        async with Centre(broker.port).listening() as centre, running(config) as pole:
            asked: list[int] = []

            def later_until_told_again(batch: Batch) -> Verdict:
                if batch.seq == 2 and centre.announcements <= (asked[0] if asked else centre.announcements):
                    asked.append(centre.announcements)
                    return Outcome.LATER, Reason.UNKNOWN_MANIFEST
                return Outcome.STORED

            centre.verdict = later_until_told_again
            agent = await pole.agent()
            await agent.hand(3)
            ledger = await centre.until_settled(30)
            assert ledger.stored == 30 and asked and centre.announcements > asked[0]

    asyncio.run(main())


def test_a_rejected_and_an_unreadable_batch_are_counted_with_their_reason(tmp_path: Path, broker: Broker) -> None:
    config = make_config(tmp_path, broker.port)

    async def main() -> None:
        async with Centre(broker.port).listening() as centre, running(config) as pole:
            agent = await pole.agent()
            bad = agent.next_batch(7)
            centre.unreadable = lambda payload: payload == bad
            centre.verdict = lambda b: (Outcome.REJECTED, Reason.UNKNOWN_ALIAS) if b.seq == 2 else Outcome.STORED
            agent.send(bad)
            await agent.receipts(1)
            await agent.hand(2)
            ledger = await centre.until_settled(27)
            assert ledger.rejected == {"malformed": 7, "unknown_alias": 10} and ledger.stored == 10

    asyncio.run(main())


def test_strange_receipts_change_nothing(tmp_path: Path, broker: Broker) -> None:
    config = make_config(tmp_path, broker.port)

    async def main() -> None:
        async with Centre(broker.port).listening() as centre, running(config) as pole:
            await centre.until(lambda: centre.states, "a first state")
            await centre.say(b"\xff not receipts")
            await centre.say(encode_receipts([Receipt("stranger", 1, 1, Outcome.STORED)]))
            agent = await pole.agent()
            await agent.hand(3)
            await centre.until_settled(30)
            health = centre.states[-1]["health"]["uplink"]  # type: ignore[index]  # JSON
            assert (health["malformed_receipts"], health["late_receipts"]) == (1, 1)

    asyncio.run(main())


def test_the_last_state_says_offline_and_so_does_the_last_will(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        config = make_config(tmp_path, broker.port)

        async def main() -> None:
            async with Centre(broker.port).listening() as centre:
                async with running(config) as pole:
                    agent = await pole.agent()
                    await agent.hand()
                    await agent.part()
                await centre.until(lambda: centre.states[-1]["online"] is False, "a last state")
                assert centre.ledger.stored == 10 and centre.ledger.differences() == []

        asyncio.run(main())


def test_live_data_that_comes_late_leaves_as_backlog_and_does_not_delay_the_live(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        config = make_config(tmp_path, broker.port, window=8, resend=5.0)
        old = CLOCK.now() - 3600 * 1_000_000

        async def main() -> None:
            broker.kill()
            async with running(config) as pole:
                agent = await pole.agent()
                for _ in range(20):
                    await agent.hand(5, at=old)
                await agent.hand(3)
                await agent.hand(1, lane=Lane.EVENT)
                broker.start()
                async with Centre(broker.port).listening() as centre:
                    ledger = await centre.until_settled(1040)
                    assert ledger.stored == 1040
                    lanes = {batch.seq: batch.lane for batch in centre.arrivals}
                    assert {lanes[seq] for seq in range(1, 101)} == {Lane.BACKLOG}
                    assert [lanes[seq] for seq in range(101, 105)] == [Lane.LIVE] * 3 + [Lane.EVENT]
                    first = [batch.seq for batch in centre.arrivals[:10]]
                    assert {101, 102, 103, 104} <= set(first), "live and event overtake the backlog"

        asyncio.run(main())


def test_a_dead_broker_does_not_keep_the_gateway_from_stopping(tmp_path: Path) -> None:
    config = make_config(tmp_path, free_port(), drain=1.0)

    async def main() -> None:
        async with asyncio.timeout(15):
            async with running(config) as pole:
                agent = await pole.agent()
                await agent.hand(2)
                await agent.part()

    asyncio.run(main())
    ledger = read_ledger(config.spool.path)
    assert ledger.waiting == 20 and ledger.differences() == []


def test_what_waited_leaves_after_a_restart_with_its_manifest(tmp_path: Path, broker: Broker) -> None:
    away = make_config(tmp_path, free_port(), drain=0.0)
    config = make_config(tmp_path, broker.port)

    async def fill() -> None:
        async with running(away) as pole:
            agent = await pole.agent()
            await agent.hand(30)
            await agent.part()

    async def drain() -> None:
        async with Centre(broker.port).listening() as centre:
            async with running(config):
                pass
            await centre.until(lambda: centre.states[-1]["online"] is False, "a last state")
            assert centre.readings(AGENT) == 300 == centre.ledger.stored
            assert manifest_of().id in centre.manifests

    asyncio.run(fill())
    asyncio.run(drain())
