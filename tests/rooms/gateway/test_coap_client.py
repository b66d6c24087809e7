"""The gateway's CoAP client against aiocoap's server, and against a server that behaves badly on purpose."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiocoap
import aiocoap.resource
import pytest

from device_profiles.codecs import coap
from device_profiles.codecs.coap import ACK, CON, RST, Message
from gateway.coap_client import CoapClient, NoAnswer
from gateway.uplink_config import CoapOptions, UplinkConfig
from tests.parts import free_port

QUICK = UplinkConfig(coap=CoapOptions(ack_seconds=0.05, retransmissions=3))
OCTETS = 42


class Mirror(aiocoap.resource.Resource):  # type: ignore[misc]  # aiocoap has no types
    """Answers with what it was given."""

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(code=aiocoap.CHANGED, payload=request.payload)


class Slow(Mirror):
    """Promises with an empty acknowledgement first (RFC 7252, 5.2.2), and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def render_post(self, request: aiocoap.Message) -> aiocoap.Message:
        self.asked.set()
        await self.go.wait()
        return await super().render_post(request)


@asynccontextmanager
async def mirror(resource: aiocoap.resource.Resource, **options: object) -> AsyncIterator[CoapClient]:
    """A client of aiocoap's server."""
    port = free_port()
    site = aiocoap.resource.Site()
    site.add_resource(["mirror"], resource)
    server = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
    assert QUICK.coap is not None
    tuned = dataclasses.replace(QUICK.coap, **options)  # type: ignore[arg-type]  # passed through
    try:
        async with CoapClient(dataclasses.replace(QUICK, port=port, coap=tuned)) as client:
            yield client
    finally:
        await server.shutdown()


@pytest.mark.parametrize("block", [16, 64, 1024])
@pytest.mark.parametrize("size", [0, 1, 1024, 5_000])
def test_what_goes_out_in_blocks_comes_back_in_blocks(size: int, block: int) -> None:
    async def main() -> None:
        async with mirror(Mirror(), block_bytes=block, ack_seconds=2.0) as client:
            payload = bytes(n * 7 % 251 for n in range(size))
            answer = await client.send(coap.POST, "/mirror", payload, OCTETS)
            assert (answer.code, answer.payload) == (coap.CHANGED, payload)

    asyncio.run(main())


def test_a_promised_answer_is_waited_for_and_acknowledged() -> None:
    async def main() -> None:
        slow = Slow()
        async with mirror(slow, ack_seconds=0.3) as client, asyncio.TaskGroup() as group:
            asking = group.create_task(client.send(coap.POST, "/mirror", b"late", OCTETS))
            await slow.asked.wait()
            before = client.retransmitted
            assert not asking.done()
            slow.go.set()
            assert (await asking).payload == b"late"
            assert client.retransmitted == before

    asyncio.run(main())


class Odd(asyncio.DatagramProtocol):
    """Answers a ping, and each request as a test wants: with messages, or not at all."""

    def __init__(self, say: Callable[[Message], list[Message]]) -> None:
        self._say = say
        self.heard: list[Message] = []
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = coap.decode(data)
        if message.code == coap.EMPTY:
            answers = [Message(RST, coap.EMPTY, message.mid)] if message.type == CON else []
        else:
            self.heard.append(message)
            answers = self._say(message)
        for answer in answers:
            self._transport.sendto(coap.encode(answer), addr)


@asynccontextmanager
async def odd(say: Callable[[Message], list[Message]]) -> AsyncIterator[tuple[CoapClient, Odd]]:
    """A client of a server that answers so."""
    server = Odd(say)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        async with CoapClient(dataclasses.replace(QUICK, port=port)) as client:
            yield client, server
    finally:
        transport.abort()


def test_silence_ends_a_request_after_its_retransmissions_with_the_same_number() -> None:
    """RFC 7252, 4.2: the same message, MAX_RETRANSMIT times again."""

    async def main() -> None:
        async with odd(lambda message: []) as (client, server):
            with pytest.raises(NoAnswer, match="no answer"):
                await client.send(coap.POST, "/x", b"y", OCTETS)
            assert len(server.heard) == 4 and len({(m.mid, m.token) for m in server.heard}) == 1
            assert client.retransmitted == 3

    asyncio.run(main())


def _wrong(message: Message) -> list[Message]:
    """Another's token, another's number, nothing readable; then the right one."""
    return [
        Message(ACK, coap.CHANGED, message.mid, b"else", (), b"wrong token"),
        Message(ACK, coap.CHANGED, message.mid ^ 1, message.token, (), b"wrong number"),
        Message(ACK, coap.CHANGED, message.mid, message.token, (), b"right"),
        Message(ACK, coap.CHANGED, message.mid, message.token, (), b"too late"),
    ]


def test_only_the_answer_to_this_very_message_counts() -> None:
    async def main() -> None:
        async with odd(_wrong) as (client, _):
            assert (await client.send(coap.POST, "/x", b"y", OCTETS)).payload == b"right"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("say", "said"),
    [
        (lambda m: [Message(RST, coap.EMPTY, m.mid)], "resets"),
        (lambda m: [Message(ACK, coap.CONTINUE, m.mid, m.token)], "no sense"),
        (lambda m: [Message(ACK, coap.CHANGED, m.mid, m.token, ((coap.BLOCK2, b"\x08"),), b"short")], "do not fit"),
        (lambda m: [Message(ACK, coap.CHANGED, m.mid, m.token, ((coap.BLOCK2, b"\x0f"),), b"x")], "do not fit"),
    ],
)
def test_nonsense_is_no_answer(say: Callable[[Message], list[Message]], said: str) -> None:
    async def main() -> None:
        async with odd(say) as (client, _):
            with pytest.raises(NoAnswer, match=said):
                await client.send(coap.POST, "/x", b"y", OCTETS)

    asyncio.run(main())


def test_no_more_than_nstart_messages_are_unanswered() -> None:
    """RFC 7252, 4.7; urgent ones have as many places of their own."""

    again = asyncio.Event()
    seen: set[int] = set()

    def say(message: Message) -> list[Message]:
        if message.mid in seen:
            again.set()  # the first that is said again: all that may go at once have gone
        seen.add(message.mid)
        return []

    async def main() -> None:
        async with odd(say) as (client, _), asyncio.TaskGroup() as group:
            tasks = [group.create_task(_silent(client, urgent)) for urgent in (False, True) for _ in range(20)]
            await again.wait()
            assert len(seen) == 8, "four of each"
            for task in tasks:
                task.cancel()

    async def _silent(client: CoapClient, urgent: bool) -> None:
        with pytest.raises(NoAnswer):
            await client.send(coap.POST, "/x", b"y", OCTETS, urgent)

    asyncio.run(main())
