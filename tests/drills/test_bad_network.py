"""Bad networks between devices and gateway, and between gateway and broker: links that flap, black holes, duplicates,
reordering, loss, address translations that change, answers that come late. Each report is stored once, and the identity
holds.

ROUNDS=100 for a long run; SEED=… repeats it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from firmware_sim.callers import caller
from firmware_sim.clock import SystemClock
from gateway import service
from gateway.config import load_config
from gateway.inspection import read_ledger
from gateway.listeners import doors
from tests.drills.calling import KINDS, Street, judge, names_of, stored_keys, write_site
from tests.parts import Broker, free_port, mosquitto
from tests.proxies import TcpProxy, UdpProxy, tcp_link, udp_link
from tests.rooms.gateway.doubles import Centre

ROUNDS = int(os.environ.get("ROUNDS", "5"))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices call again soon: a drill is to meet many connections, not to wait for them."""
    monkeypatch.setattr(caller, "LONGEST_PAUSE_S", 0.4)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path / "broker") as running:
        yield running


class Scene:
    """A street of devices, every one behind a bad link, and the gateway behind another one to its broker."""

    def __init__(self, street: Street, chance: random.Random, centre: Centre) -> None:
        self.street = street
        self.chance = chance
        self.centre = centre
        self.streams: list[TcpProxy] = []
        self.datagrams: list[UdpProxy] = []
        self.uplink: TcpProxy


@asynccontextmanager
async def scene(folder: Path, broker: Broker) -> AsyncIterator[Scene]:
    """Everything at work; at the end the links are well, all is drained, and the evidence is judged."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    doors_ = {kind.protocol: free_port() for kind in KINDS}
    async with AsyncExitStack() as leaving:
        centre = await leaving.enter_async_context(Centre(broker.port).listening())
        uplink = await leaving.enter_async_context(tcp_link(broker.port, chance))
        streams, datagrams, addresses = [], [], {}
        for kind in KINDS:
            if kind.transport == "tcp":
                streams.append(await leaving.enter_async_context(tcp_link(doors_[kind.protocol], chance)))
                addresses[kind.protocol] = streams[-1].port
            else:
                datagrams.append(await leaving.enter_async_context(udp_link(doors_[kind.protocol], chance)))
                addresses[kind.protocol] = datagrams[-1].port
        config = load_config(write_site(folder, uplink.port, doors_))
        made = Scene(Street(addresses, SystemClock(), seed=seed), chance, centre)
        made.streams, made.datagrams, made.uplink = streams, datagrams, uplink
        stop, ready, enough = asyncio.Event(), asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(service.run(config, SystemClock(), stop, ready))
            await ready.wait()
            calling = group.create_task(made.street.run(enough))
            await made.street.all_heard()
            yield made
            await made.street.all_heard()
            enough.set()
            await calling
            stop.set()
            await running
        ledger = read_ledger(config.spool.path)
        assert ledger.differences() == []
        assert (ledger.waiting, ledger.rejected, ledger.given_up) == (0, {}, {})
        assert ledger.spooled == ledger.stored + ledger.duplicate
        judge(made.street, stored_keys(list(centre.stored.values()), names_of(centre.manifests.values())))


def test_links_that_flap(tmp_path: Path, broker: Broker) -> None:
    """Connections are reset or refused in the middle of what they carry, towards devices and towards the broker."""

    async def main() -> None:
        async with scene(tmp_path, broker) as made:
            for link in (*made.streams, made.uplink):
                link.chopping = True
            for _ in range(ROUNDS):
                for link in made.streams:
                    link.cut()
                await made.street.all_heard()
                made.uplink.cut()
                link = made.chance.choice(made.streams)
                link.down()
                more = made.street.acks + made.chance.randint(5, 20)
                await made.street.until(lambda more=more: made.street.acks >= more, "the others go on")  # type: ignore[misc]  # binds this turn's
                await link.up()
                await made.street.all_heard()
        assert made.uplink.connections > 1

    asyncio.run(main())


def test_black_holes_and_answers_that_come_late(tmp_path: Path, broker: Broker) -> None:
    """Connections that stay open and carry nothing any more, and such whose bytes all come at once and late."""

    async def main() -> None:
        async with scene(tmp_path, broker) as made:
            for _ in range(ROUNDS):
                link = made.chance.choice(made.streams)
                link.swallowed = 0
                link.black_hole()
                await link.until(lambda: link.swallowed > 0, "something is lost")  # noqa: B023 - called before the next turn
                more = made.street.acks + made.chance.randint(5, 20)
                await made.street.until(lambda more=more: made.street.acks >= more, "the others go on")  # type: ignore[misc]  # binds this turn's
                link.heal()
                for other in made.streams:
                    other.hold(answers_only=made.chance.random() < 0.5)
                    await other.until(lambda: other.held > 0, "something is held")  # noqa: B023 - called before the next turn
                    other.release()
                await made.street.all_heard()

    asyncio.run(main())


def test_datagrams_lost_doubled_reordered_and_from_other_addresses(tmp_path: Path, broker: Broker) -> None:
    async def main() -> None:
        async with scene(tmp_path, broker) as made:
            for link in made.datagrams:
                link.lose = link.double = link.overtake = 0.15
            for _ in range(ROUNDS):
                for link in made.datagrams:
                    link.rebind()
                await made.street.all_heard(4)
            for link in made.datagrams:
                link.lose = link.double = link.overtake = 0.0
        for link in made.datagrams:
            assert link.mappings > ROUNDS
            print(f"{link.lost} lost, {link.doubled} doubled, {link.overtaken} overtaken, {link.mappings} addresses")
            assert link.lost and link.doubled and link.overtaken

    asyncio.run(main())


def test_a_session_that_fell_silent_ends_and_its_device_recovers(
    tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells the gateway that a connection is dead: it lets go of it, and the device calls again."""
    monkeypatch.setattr(doors, "IDLE_SECONDS", 1.0)

    async def main() -> None:
        async with scene(tmp_path, broker) as made:
            link = made.streams[0]
            dead = {leg for leg in link.legs if leg.answers}  # the gateway's ends: nobody but the gateway closes them
            assert dead
            link.black_hole()
            await link.until(lambda: all(leg.hears_nothing for leg in dead), "each of them loses something")
            link.heal()
            await link.until(lambda: not dead & link.legs, "the gateway lets go of the dead connections")
            await made.street.all_heard()

    asyncio.run(main())
