"""The door: receipts mean the disk has it, a session that misbehaves harms itself only, and a stop answers first."""

import asyncio
import dataclasses
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from device_profiles.handover import Answer, Ask, BatchMessage, Bye, HandoverReceipt, Hello, ManifestMessage, encode
from device_profiles.manifests import encode_manifests
from device_profiles.problems import ConfigError
from device_profiles.quality import Reason
from gateway import service
from gateway.gaps import decode_gaps
from gateway.inspection import read_ledger
from gateway.schema import open_for_reading
from tests.parts import free_port
from tests.rooms.gateway.doubles import (
    AGENT,
    CLOCK,
    SITE,
    Agent,
    batch_of,
    make_config,
    manifest_of,
    running,
    snapshot,
)


def test_a_receipt_means_that_the_file_has_it(tmp_path: Path) -> None:
    config = make_config(tmp_path)

    async def main() -> None:
        async with running(config) as pole:
            agent = await pole.agent()
            for number in range(1, 6):
                assert await agent.hand() == [HandoverReceipt(AGENT, 1, number, True, Reason.NONE)]
                assert read_ledger(config.spool.path).spooled == number * 10
            agent.send(batch_of(3))
            assert (await agent.receipts(1))[0].accepted, "a batch that is there already is acknowledged"
            assert read_ledger(config.spool.path).spooled == 50

    asyncio.run(main())


def test_tcp_on_the_loopback_does_as_well(tmp_path: Path) -> None:
    config = dataclasses.replace(make_config(tmp_path), listen=("127.0.0.1", free_port()))

    async def main() -> None:
        async with running(config) as pole:
            assert (await (await pole.agent()).hand())[0].accepted

    asyncio.run(main())


MISBEHAVIOURS = {
    "noise": b"GET / HTTP/1.1\r\n\r\n",
    "huge": b"\xff\xff\xff\xff",
    "not-cbor": b"\x00\x00\x00\x02\xff\xff",
    "batch-first": encode(BatchMessage(batch_of(1), b"{}")),
    "unknown-question": encode(Ask("weather")),
    "receipt": encode(HandoverReceipt(AGENT, 1, 1, True)),
    "two-names": encode(Hello(AGENT, 1, 0)) + encode(Hello(AGENT, 2, 0)),
    "strange-batch": encode(Hello(AGENT, 1, 0)) + encode(BatchMessage(batch_of(1, origin="other/agent"), b"{}")),
    "broken-batch": encode(Hello(AGENT, 1, 0)) + encode(BatchMessage(batch_of(1)[:-5], b"{}")),
    "broken-ledger": encode(Hello(AGENT, 1, 0)) + encode(BatchMessage(batch_of(1), b"[")),
    "broken-manifest": encode(Hello(AGENT, 1, 0)) + encode(ManifestMessage(b"{}")),
    "strange-manifest": encode(Hello(AGENT, 1, 0)) + encode(ManifestMessage(encode_manifests("x", [manifest_of("x")]))),
    "strange-bye": encode(Hello(AGENT, 1, 0)) + encode(Bye("other/agent", 1)),
    "bye-with-noise": encode(Hello(AGENT, 1, 0)) + encode(Bye(AGENT, 1, b"[")),
}


def test_a_misbehaving_session_is_told_and_ended_and_harms_no_other(tmp_path: Path) -> None:
    config = make_config(tmp_path)

    async def main() -> None:
        async with running(config) as pole:
            good = await pole.agent(origin=f"{SITE}/good")
            for name, data in MISBEHAVIOURS.items():
                bad = await pole.agent(greet=False)
                bad.say_bytes(data)
                assert await bad.trouble(), name
                assert (await good.hand())[0].accepted, name

    asyncio.run(main())
    ledger = read_ledger(config.spool.path)
    assert ledger.spooled == 10 * len(MISBEHAVIOURS) and ledger.differences() == []


def test_a_peer_that_vanishes_in_the_middle_of_a_frame_is_forgotten(tmp_path: Path) -> None:
    config = make_config(tmp_path)

    async def main() -> None:
        async with running(config) as pole:
            agent = await pole.agent()
            await agent.hand()
            agent.say_bytes(encode(BatchMessage(agent.next_batch(), b"{}"))[:50])
            await agent.close()
            again = await pole.agent()
            again.seq, again.handed = 1, 10
            assert (await again.hand())[0].accepted

    asyncio.run(main())
    assert read_ledger(config.spool.path).spooled == 20


def test_an_unclean_start_is_told_and_a_clean_one_is_not(tmp_path: Path) -> None:
    config = make_config(tmp_path)

    async def main() -> None:
        async with running(config) as pole:
            killed = await pole.agent(epoch=1)
            await killed.hand()
            await killed.close()
            clean = await pole.agent(epoch=2)
            await clean.hand()
            await clean.part()
            await (await pole.agent(epoch=3)).hand()

    asyncio.run(main())
    connection = open_for_reading(config.spool.path)
    query = "SELECT payload FROM payloads JOIN batches USING (id) JOIN streams s ON s.id = stream WHERE s.origin = ?"
    payloads = connection.execute(query, (SITE,)).fetchall()
    connection.close()
    gaps = [gap for (payload,) in payloads for gap in decode_gaps(bytes(payload))]
    assert [(gap.origin, gap.epoch, gap.reason, gap.readings) for gap in gaps] == [
        (AGENT, 1, Reason.ORIGINATOR_KILLED, None)
    ]
    assert gaps[0].begin <= gaps[0].end <= CLOCK.now()


def test_a_gateway_that_restarts_is_seamless_for_its_agent(tmp_path: Path) -> None:
    config = make_config(tmp_path)

    async def first() -> bytes:
        async with running(config) as pole:
            agent = await pole.agent()
            await agent.hand(3)
            return batch_of(3)

    async def second(resent: bytes) -> None:
        async with running(config) as pole:
            agent = await pole.agent()
            agent.seq, agent.handed = 3, 30
            agent.send(resent)
            assert (await agent.receipts(1))[0].accepted
            await agent.hand(2)

    asyncio.run(second(asyncio.run(first())))
    ledger = read_ledger(config.spool.path)
    assert ledger.spooled == ledger.handed == 50 and ledger.differences() == []


def test_a_goodbye_in_the_pipe_is_read_before_the_door_closes(tmp_path: Path) -> None:
    config = make_config(tmp_path)

    async def main() -> None:
        stop, ready = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(service.run(config, CLOCK, stop, ready))
            await ready.wait()
            agent = await Agent(config).connect()
            await agent.hand()
            agent.say(Bye(AGENT, 1, msgspec.json.encode(snapshot(10))))
            await agent.close()
            stop.set()

    async def again() -> None:
        async with running(config) as pole:
            await (await pole.agent(epoch=2)).hand()

    asyncio.run(main())
    asyncio.run(again())
    assert read_ledger(config.spool.path).refused == {}


def test_questions_are_answered_while_batches_pass(tmp_path: Path) -> None:
    config = make_config(tmp_path)

    async def main() -> None:
        async with running(config) as pole:
            tap, tool, agent = [await pole.agent(greet=False) for _ in range(2)] + [await pole.agent()]
            tap.say(Ask("tap"))
            tool.say(Ask("ledger"))
            await agent.hand()
            events: list[dict[str, Any]] = []
            while not events or events[-1]["what"] != "spooled":
                answer = await tap.hear()
                assert isinstance(answer, Answer)
                events.append(msgspec.json.decode(answer.payload))
                if events[-1]["what"] == "hello":
                    await agent.hand()
            assert events[-1]["readings"] == 10 and events[-1]["name"][0] == AGENT
            first = await tool.hear()
            assert isinstance(first, Answer) and msgspec.json.decode(first.payload)["given_up"] == {}
            tool.say(Ask("spool"))
            second = await tool.hear()
            assert isinstance(second, Answer) and "live" in msgspec.json.decode(second.payload)["lanes"]

    asyncio.run(main())


def test_two_gateways_do_not_share_a_spool_or_a_socket(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    other = make_config(tmp_path / "other")
    same_socket = dataclasses.replace(other, listen=config.listen)

    async def main() -> None:
        async with running(config):
            with pytest.raises(ConfigError, match="in use by another gateway"):
                await service.run(config, CLOCK, asyncio.Event())
            with pytest.raises(ConfigError, match="another gateway does"):
                await service.run(same_socket, CLOCK, asyncio.Event())

    asyncio.run(main())


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own that can be filled; needs root, and says so where it is missing."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root): the disk-full test did not run")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_takes_nothing_and_recovers_without_a_restart(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        config = make_config(disk)

        async def main() -> None:
            async with running(config) as pole:
                agent = await pole.agent()
                ballast = disk / "ballast"
                await agent.hand(2)
                with ballast.open("wb", buffering=0) as file:
                    try:
                        while True:
                            file.write(bytes(4096))
                    except OSError:
                        pass
                refused = None
                waiting = []
                while refused is None:
                    waiting.append(agent.next_batch(noise=20_000))
                    agent.send(waiting[-1])
                    (receipt,) = await agent.receipts(1)
                    refused = None if receipt.accepted else receipt
                assert refused.reason is Reason.DISK_FULL
                before = read_ledger(config.spool.path)
                assert before.differences() == []
                agent.send(waiting[-1])
                (again,) = await agent.receipts(1)
                assert again.reason is Reason.DISK_FULL
                ballast.unlink()
                agent.send(waiting[-1])
                (accepted,) = await agent.receipts(1)
                assert accepted.accepted
                await agent.hand(3)
                ledger = read_ledger(config.spool.path)
                assert ledger.spooled == before.spooled + 40 == agent.handed and ledger.differences() == []

        asyncio.run(main())
