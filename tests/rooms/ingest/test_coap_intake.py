"""The worker's CoAP door: aiocoap posts, and a bare socket says what no library would; everything meets one outcome."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiocoap
import pytest

from device_profiles.codecs import coap
from device_profiles.codecs.coap import BLOCK1, BLOCK2, CON, NON, POST, PUT, Block, Message
from device_profiles.manifests import encode_manifests
from device_profiles.problems import ConfigError
from device_profiles.receipts import Outcome, Receipt, Unreadable, decode_receipts
from device_profiles.topics import shard_of
from ingest.coap_intake import CoapIntake
from ingest.config import CentreConfig
from ingest.inbox import MAX_MESSAGES, Inbox
from ingest.service import load_config
from tests.parts import free_port, nats_server
from tests.rooms.ingest.running import aget, worker, write_centre
from tests.rooms.ingest.sender import GATEWAY, Sender, batch, manifest

PATIENCE = 20.0
BATCH, MANIFEST = f"/v1/{GATEWAY}/batch", f"/v1/{GATEWAY}/manifest"


class Wire:
    """A bare socket."""

    def __init__(self, port: int) -> None:
        self._end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._end.setblocking(False)
        self._end.connect(("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def heard(self) -> Message:
        async with asyncio.timeout(PATIENCE):
            return coap.decode(await asyncio.get_running_loop().sock_recv(self._end, 2048))

    async def asked(self, message: Message) -> Message:
        await self.send(coap.encode(message))
        return await self.heard()

    def close(self) -> None:
        self._end.close()


def post(mid: int, payload: bytes, *options: tuple[int, bytes], path: str = BATCH, kind: int = CON) -> Message:
    """A request with a token of its own."""
    return Message(kind, POST, mid, bytes([mid & 255]), (*coap.path_options(path), *options), payload)


def put(mid: int, path: str, payload: bytes) -> Message:
    return Message(CON, PUT, mid, b"", coap.path_options(path), payload)


@asynccontextmanager
async def door(folder: Path, shards: str = "0-63") -> AsyncIterator[tuple[CentreConfig, int, Wire]]:
    """A worker without a broker, its CoAP port, and a socket that calls there."""
    port = free_port()
    config = load_config(write_centre(folder, free_port(), shards, port))
    async with worker(config, broker=False):
        wire = Wire(port)
        try:
            yield config, port, wire
        finally:
            wire.close()


async def coap_health(config: CentreConfig) -> Any:
    return (await aget(config, "/api/v1/ledger"))["intake"]["running"]["coap"]


def outcomes(payload: bytes) -> list[Outcome | str]:
    """Of the receipts in an answer."""
    named, unreadable = decode_receipts(payload)
    return [*(receipt.outcome for receipt in named), *(mark.reason.word for mark in unreadable)]


def test_aiocoap_posts_batches_in_blocks_and_gets_receipts(tmp_path: Path) -> None:
    """The independent witness: its own messages, blocks and options."""

    async def ask(context: aiocoap.Context, port: int, code: object, path: str, payload: bytes) -> Any:
        request = aiocoap.Message(code=code, uri=f"coap://127.0.0.1:{port}{path}", payload=payload)
        async with asyncio.timeout(PATIENCE):
            return await context.request(request).response

    async def main() -> None:
        async with door(tmp_path) as (config, port, _):
            context = await aiocoap.Context.create_client_context(transports=["udp6"])
            try:
                large = batch(1, [(0, n, float(n) ** 1.5, 0) for n in range(2_000)])
                assert len(large) > 4 * 1024
                later = await ask(context, port, aiocoap.POST, BATCH, large)
                assert (later.code, outcomes(later.payload)) == (aiocoap.CHANGED, [Outcome.LATER])
                told = await ask(context, port, aiocoap.PUT, MANIFEST, encode_manifests(GATEWAY, [manifest()]))
                assert told.code == aiocoap.CHANGED
                for expected in (Outcome.STORED, Outcome.DUPLICATE):
                    answer = await ask(context, port, aiocoap.POST, BATCH, large)
                    assert outcomes(answer.payload) == [expected]
            finally:
                await context.shutdown()
            ledger = await aget(config, "/api/v1/ledger")
            assert (ledger["intake"]["stored"], ledger["intake"]["duplicate"]) == (2_000, 2_000)

    asyncio.run(main())


def test_a_retransmission_gets_the_same_answer_and_is_no_second_arrival(tmp_path: Path) -> None:
    async def main() -> None:
        async with door(tmp_path) as (config, _, wire):
            await wire.asked(put(1, MANIFEST, encode_manifests(GATEWAY, [manifest()])))
            first = await wire.asked(post(2, batch(1)))
            assert outcomes(first.payload) == [Outcome.STORED] and first.type == coap.ACK
            assert await wire.asked(post(2, batch(1))) == first
            ledger = await aget(config, "/api/v1/ledger")
            assert ledger["intake"]["batches"]["arrived"] == 1
            assert ledger["intake"]["running"]["coap"]["repeated"] == 1

    asyncio.run(main())


def test_the_same_batch_said_anew_while_it_waits_is_answered_at_both_places(tmp_path: Path) -> None:
    """A gateway that gave up asks again, perhaps from another port, while the commit is under way."""

    async def main() -> None:
        async with door(tmp_path) as (config, port, wire):
            await wire.asked(put(1, MANIFEST, encode_manifests(GATEWAY, [manifest()])))
            other = Wire(port)
            try:
                await wire.send(coap.encode(post(2, batch(1))))
                await other.send(coap.encode(post(7, batch(1))))
                for one in (wire, other):
                    assert outcomes((await one.heard()).payload) == [Outcome.STORED]
            finally:
                other.close()
            assert (await aget(config, "/api/v1/ledger"))["intake"]["batches"]["arrived"] == 1

    asyncio.run(main())


def test_small_blocks_cut_the_receipt_too(tmp_path: Path) -> None:
    """RFC 7959, 3.3: the caller wishes for 16 bytes, and fetches the rest."""

    async def main() -> None:
        async with door(tmp_path) as (_, _, wire):
            wish = coap.block_option(BLOCK2, Block(0, False, 16))
            answer = await wire.asked(post(1, batch(1), wish))
            found, number = answer.payload, 1
            while (block := coap.read_block(answer, BLOCK2)) is not None and block.more:
                assert len(answer.payload) == 16
                again = coap.block_option(BLOCK2, Block(number, False, 16))
                answer = await wire.asked(post(1 + number, b"", again))
                found, number = found + answer.payload, number + 1
            assert outcomes(found) == [Outcome.LATER] and number > 2
            lost = coap.block_option(BLOCK2, Block(99, False, 16))
            assert (await wire.asked(post(99, b"", lost))).code == coap.INCOMPLETE

    asyncio.run(main())


def test_what_wants_no_acknowledgement_gets_an_answer_of_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with door(tmp_path) as (_, _, wire):
            answer = await wire.asked(post(5, batch(1), kind=NON))
            assert answer.type == NON and outcomes(answer.payload) == [Outcome.LATER]

    asyncio.run(main())


def test_bad_input_is_counted_with_its_reason(tmp_path: Path) -> None:
    async def main() -> None:
        async with door(tmp_path) as (config, _, wire):
            await wire.send(b"no CoAP at all")
            assert (await wire.asked(post(1, b"", path="/else"))).code == coap.NOT_FOUND
            assert (await wire.asked(post(2, b"x", path="/v1/a b/batch"))).code == coap.NOT_FOUND
            assert (await wire.asked(put(3, BATCH, b"x"))).code == coap.NOT_ALLOWED
            assert (await wire.asked(post(4, b"x", (9, b"?")))).code == coap.BAD_OPTION
            middle = coap.block_option(BLOCK1, Block(3, True, 16))
            assert (await wire.asked(post(5, bytes(16), middle))).code == coap.INCOMPLETE
            reserved = (BLOCK1, b"\x07")
            assert (await wire.asked(post(6, b"x", reserved))).code == coap.BAD_REQUEST
            rubbish = await wire.asked(post(7, b"rubbish"))
            named, unreadable = decode_receipts(rubbish.payload)
            assert not named and isinstance(unreadable[0], Unreadable)
            assert (await wire.asked(put(8, f"/v1/{GATEWAY}/state", b"no state"))).code == coap.CHANGED
            ping = await wire.asked(Message(CON, coap.EMPTY, 9))
            assert (ping.type, ping.mid) == (coap.RST, 9)
            for mid in (10, 11):  # the second one's answer comes after the pack in which the state was
                await wire.asked(post(mid, batch(1)))
            health = await coap_health(config)
            assert health["refused"] == {"malformed": 3, "unknown_topic": 3, "truncated": 1}
            malformed = (await aget(config, "/api/v1/ledger"))["intake"]["malformed"]
            assert malformed == {"malformed": 2}, "the batch and the state, kept with their bytes"

    asyncio.run(main())


def test_more_than_a_batch_can_hold_is_refused_while_it_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with door(tmp_path) as (config, _, wire):
            answer, number = await wire.asked(post(0, bytes(1024), _block(0))), 1
            while answer.code == coap.CONTINUE:
                answer = await wire.asked(post(number, bytes(1024), _block(number)))
                number += 1
            assert answer.code == coap.TOO_LARGE and number * 1024 > 900_000
            health = await coap_health(config)
            assert health["refused"] == {"oversized": 1} and health["half_heard"] == 0

    asyncio.run(main())


def _block(number: int) -> tuple[int, bytes]:
    return coap.block_option(BLOCK1, Block(number, True, 1024))


def test_a_gateway_of_another_worker_is_sent_away_and_keeps_its_batch(tmp_path: Path) -> None:
    """Over MQTT the broker sees to it; a wrong address here must not cost the batch."""

    async def main() -> None:
        others = ",".join(str(n) for n in range(64) if n != shard_of(GATEWAY))
        async with door(tmp_path, others) as (config, _, wire):
            answer = await wire.asked(post(1, batch(1)))
            assert answer.code == coap.FORBIDDEN and b"not ours" in answer.payload
            assert (await coap_health(config))["refused"] == {"wrong_shard": 1}
            assert (await aget(config, "/api/v1/ledger"))["intake"]["batches"]["arrived"] == 0

    asyncio.run(main())


def test_a_full_inbox_is_said_and_the_gateway_keeps_its_batch(tmp_path: Path) -> None:
    """The inbox alone, with nobody who takes out of it."""
    from device_profiles.topics import Topics
    from ingest.clock import SystemClock
    from ingest.coap_intake import bind

    async def main() -> None:
        inbox = Inbox(SystemClock())
        for _ in range(MAX_MESSAGES):
            assert inbox.put("t", b"")
        intake, stop = CoapIntake(Topics(), tuple(range(64)), inbox, SystemClock()), asyncio.Event()
        with bind("127.0.0.1", 0) as calling:
            wire = Wire(calling.getsockname()[1])
            async with asyncio.TaskGroup() as group:
                group.create_task(intake.run(calling, stop))
                for mid, message in enumerate((post(0, batch(1)), put(1, MANIFEST, b"x")), 1):
                    answer = await wire.asked(message)
                    assert answer.code == coap.UNAVAILABLE and answer.uint(coap.MAX_AGE) == 5
                    assert intake.counts.turned_away == mid
                stop.set()
            wire.close()

    asyncio.run(main())


def test_a_batch_over_both_ways_is_stored_once(tmp_path: Path) -> None:
    async def main(broker_port: int) -> None:
        port = free_port()
        config = load_config(write_centre(tmp_path, broker_port, coap_port=port))
        async with worker(config), Sender(broker_port) as sender:
            wire = Wire(port)
            try:
                await sender.announce(manifest())
                await sender.send(batch(1))
                (receipt,) = await sender.receipts(1)
                assert isinstance(receipt, Receipt) and receipt.outcome is Outcome.STORED
                assert outcomes((await wire.asked(post(1, batch(1)))).payload) == [Outcome.DUPLICATE]
                assert outcomes((await wire.asked(post(2, batch(2)))).payload) == [Outcome.STORED]
                await sender.send(batch(2))
                (receipt,) = await sender.receipts(1)
                assert isinstance(receipt, Receipt) and receipt.outcome is Outcome.DUPLICATE, (
                    "and CoAP's went elsewhere"
                )
            finally:
                wire.close()

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(main(broker.port))


@pytest.mark.parametrize("listen", ["", "5683", "host.example:5683", "127.0.0.1:0", "coap://127.0.0.1:5683"])
def test_addresses_that_are_none(tmp_path: Path, listen: str) -> None:
    centre = tmp_path / "centre.toml"
    centre.write_text(f'[intake.coap]\nlisten = "{listen}"\n')
    with pytest.raises(ConfigError, match=r"intake\.coap\.listen.*such as 0\.0\.0\.0:5683"):
        load_config(centre)


def test_a_port_that_is_taken_is_told_at_the_start(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        config = load_config(write_centre(tmp_path, free_port(), coap_port=taken.getsockname()[1]))

        async def main() -> None:
            async with worker(config, broker=False):
                raise AssertionError("it started")

        with pytest.raises(BaseExceptionGroup) as told:
            asyncio.run(main())
    assert told.group_contains(ConfigError, match=r"intake\.coap\.listen.*in use")
