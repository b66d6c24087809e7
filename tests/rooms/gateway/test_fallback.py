"""Two ways out: the second carries while the first is in doubt, and nothing is lost or stored twice on the way."""

import asyncio
import dataclasses
from pathlib import Path

from gateway import service
from tests.parts import mosquitto
from tests.rooms.gateway.doubles import CLOCK, Agent, running
from tests.rooms.gateway.ways import QUICK, carries, check_spool, check_stored, settled, told, two_ways, uses
from tests.rooms.ingest.running import aget


def test_the_fallback_carries_while_the_broker_is_away_and_the_broker_takes_over_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_ways(tmp_path, after=0.5) as (config, centre, broker), running(config) as pole:
            agent = await pole.agent()
            await agent.hand(10)
            await told(centre, settled(100), "100 readings settled over MQTT")
            broker.kill()
            await agent.hand(10)
            await told(centre, lambda ledger: settled(200)(ledger) and carries("fallback")(ledger), "the fallback")
            await asyncio.to_thread(broker.start)
            handed = 200
            while not carries("primary")(await aget(centre, "/api/v1/ledger")):
                await agent.hand(1)  # only a receipt proves the way: there has to be something to send
                handed += 10
            await agent.hand(10)
            ledger = await told(centre, settled(handed + 100), "all settled")
            assert ledger["differences"] == [] and ledger["intake"]["stored"] == handed + 100
            await agent.part()
        check_spool(config, handed + 100)
        check_stored(centre, (handed + 100) // 10, handed + 100)

    asyncio.run(main())


def test_a_broker_behind_which_nobody_listens_is_not_believed(tmp_path: Path) -> None:
    """It takes every batch, and no receipt comes: the fallback carries, and goes on carrying."""

    async def main() -> None:
        async with two_ways(tmp_path, after=0.5) as (config, centre, _):
            with mosquitto(tmp_path / "deaf") as deaf:
                lonely = dataclasses.replace(config, uplink=dataclasses.replace(config.uplink, port=deaf.port))
                async with running(lonely) as pole:
                    agent = await pole.agent()
                    await agent.hand(10)
                    ledger = await told(
                        centre, lambda ledger: settled(100)(ledger) and carries("fallback")(ledger), "the fallback"
                    )
                    assert ledger["gateways"][0]["health"]["uplink"]["connected"], "to a broker that leads nowhere"
                    await agent.part()
        check_spool(lonely, 100)

    asyncio.run(main())


def test_a_new_site_file_changes_from_one_kind_to_the_other_under_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with two_ways(tmp_path, after=60.0) as (config, centre, _):
            mqtt = dataclasses.replace(config.uplink, fallback=None)
            over_udp = dataclasses.replace(mqtt, port=config.uplink.fallback.port, coap=QUICK)  # type: ignore[union-attr]  # two_ways gives it one
            renewals: service.Renewals = asyncio.Queue()
            stop, ready = asyncio.Event(), asyncio.Event()
            async with asyncio.TaskGroup() as group:
                first = dataclasses.replace(config, uplink=mqtt)
                group.create_task(service.run(first, CLOCK, stop, ready, renewals))
                await ready.wait()
                agent = await Agent(config).connect()
                for turn, uplink in enumerate((over_udp, mqtt, over_udp), 1):
                    await agent.hand(5)
                    renewals.put_nowait(dataclasses.replace(config, uplink=uplink))
                    await agent.hand(5)
                    await told(
                        centre,
                        lambda ledger, url=uplink.url, n=turn: settled(100 * n)(ledger) and uses(url)(ledger),  # type: ignore[misc]  # mypy cannot type a lambda with defaults
                        f"{uplink.url} in use",
                    )
                await agent.part()
                stop.set()
        check_spool(config, 300)
        check_stored(centre, 30, 300)

    asyncio.run(main())
