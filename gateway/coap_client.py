"""A CoAP client on one way for datagrams (RFC 7252): confirmable requests, sent again with doubling pauses, in blocks.

Ends a request with ``NoAnswer`` when nothing comes, or at once when the other host says that nobody listens there.
Refuses to crowd the path: at most ``nstart`` messages are unanswered, and as many urgent ones beside them.
"""

import asyncio
import random
import secrets
from types import TracebackType
from typing import Self

from device_profiles.codecs import coap
from device_profiles.codecs.coap import ACK, CON, RST, CoapError, Message, Options
from device_profiles.codecs.coap_blocks import Upload, whole_payload
from gateway.datagrams import Datagrams, Network, OwnUdp
from gateway.modem import Modem
from gateway.modem_health import ModemHealth
from gateway.uplink_config import UplinkConfig

ACK_RANDOM_FACTOR = 1.5
"""RFC 7252, 4.8: so that many who lost their link together do not come back together."""

TAG_BYTES = 4
"""Of tokens and Request-Tags: unguessable enough on a connected socket, small enough for NB-IoT."""


class NoAnswer(Exception):
    """The other side is silent, unreachable, or speaks no CoAP."""


class _Question:
    """One message without an answer yet. ``promised``: an empty acknowledgement has come (RFC 7252, 5.2.2)."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Message | NoAnswer] = asyncio.get_running_loop().create_future()
        self.promised = False

    def end(self, answer: Message | NoAnswer) -> None:
        """The first answer counts."""
        if not self.answer.done():
            self.answer.set_result(answer)


class CoapClient(asyncio.DatagramProtocol):
    """A client. Enter it to open its socket and see that somebody answers: OSError or NoAnswer when that fails."""

    def __init__(self, config: UplinkConfig, network: Network | None = None) -> None:
        """``network``: who opens the way; this box's own UDP when it is None."""
        assert config.coap is not None
        self._network = network or OwnUdp()
        self._place = (config.host, config.port)
        self._options = config.coap
        self._turns = {urgent: asyncio.Semaphore(config.coap.nstart) for urgent in (False, True)}
        self._mid = random.randrange(0x10000)
        self._by_token: dict[bytes, _Question] = {}
        self._by_mid: dict[int, _Question] = {}
        self._way: Datagrams
        self.retransmitted = 0

    async def __aenter__(self) -> Self:
        self._way = await self._network.connect(self, self._place)
        try:
            await self.ping()
        except BaseException:
            self._way.abort()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._way.abort()

    async def ping(self) -> None:
        """An empty confirmable message, which any endpoint answers with a reset (RFC 7252, 4.3). NoAnswer."""
        await self._ask(Message(CON, coap.EMPTY, self._next_mid()), urgent=True)

    async def send(self, code: int, path: str, payload: bytes, content: int, urgent: bool = False) -> Message:
        """The answer to a request, whole, whatever its code; its payload goes out in blocks where it is too large.

        ``content``: the payload's Content-Format. NoAnswer.
        """
        head = (*coap.path_options(path), (coap.CONTENT_FORMAT, coap.uint_bytes(content)))
        tag = secrets.token_bytes(TAG_BYTES)
        upload = Upload(payload, self._options.block_bytes, tag)
        try:
            while True:
                message = self._request(code, (*head, *upload.options), upload.chunk)
                answer = await self._ask(message, urgent)
                if upload.take(answer):
                    break
        except CoapError as nonsense:
            raise NoAnswer(f"an answer that makes no sense: {nonsense}") from None

        async def fetch(options: Options) -> Message:
            """A further block of a large answer (RFC 7959, 3.3): the same request without its payload."""
            tags = tuple(option for option in message.options if option[0] not in (coap.BLOCK1, coap.BLOCK2))
            return await self._ask(self._request(code, (*tags, *options), b""), urgent)

        whole = await whole_payload(answer, fetch)
        if whole is None:
            raise NoAnswer("an answer in blocks that do not fit together")
        return Message(answer.type, answer.code, answer.mid, answer.token, answer.options, whole)

    def _request(self, code: int, options: Options, payload: bytes) -> Message:
        token = secrets.token_bytes(TAG_BYTES)
        while token in self._by_token:
            token = secrets.token_bytes(TAG_BYTES)
        return Message(CON, code, self._next_mid(), token, options, payload)

    async def _ask(self, message: Message, urgent: bool) -> Message:
        async with self._turns[urgent]:
            question = self._by_mid[message.mid] = _Question()
            if message.code != coap.EMPTY:
                self._by_token[message.token] = question
            try:
                return await self._say(coap.encode(message), question)
            finally:
                self._by_mid.pop(message.mid, None)
                self._by_token.pop(message.token, None)

    async def _say(self, data: bytes, question: _Question) -> Message:
        """Send, and again with doubling pauses (RFC 7252, 4.2), until an answer comes; an empty promise stops that."""
        pause = self._options.ack_seconds * random.uniform(1, ACK_RANDOM_FACTOR)
        for turn in range(self._options.retransmissions + 1):
            if not question.promised:
                self._way.sendto(data)
                self.retransmitted += turn > 0
            await asyncio.wait({question.answer}, timeout=pause)
            if question.answer.done():
                answer = question.answer.result()
                if isinstance(answer, NoAnswer):
                    raise answer
                return answer
            pause *= 2
        raise NoAnswer("no answer")

    def _next_mid(self) -> int:
        self._mid = self._mid + 1 & 0xFFFF
        while self._mid in self._by_mid:
            self._mid = self._mid + 1 & 0xFFFF
        return self._mid

    # -- in ----------------------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One datagram, from the loop; the kernel lets through only what the other side sent."""
        try:
            message = coap.decode(data)
        except CoapError:
            return  # RFC 7252, 4.2: silently ignored; the request is sent again
        if message.type in (ACK, RST) and message.code == coap.EMPTY:
            self._empty(message)
        elif message.response:
            self._response(message)

    def _empty(self, message: Message) -> None:
        question = self._by_mid.get(message.mid)
        if question is None:
            return
        if message.type == ACK:
            question.promised = True
        else:
            ping = question not in self._by_token.values()
            question.end(message if ping else NoAnswer("it resets what we say: no CoAP centre is there"))

    def _response(self, message: Message) -> None:
        question = self._by_token.get(message.token)
        if message.type == CON:  # an answer that comes by itself (RFC 7252, 5.2.2)
            kind = RST if question is None else ACK
            self._way.sendto(coap.encode(Message(kind, coap.EMPTY, message.mid)))
        stale = message.type == ACK and self._by_mid.get(message.mid) is not question
        if question is not None and not stale:
            question.end(message)

    def error_received(self, trouble: Exception) -> None:
        """What ICMP says of the other side."""
        for question in self._by_mid.values():
            question.end(NoAnswer(f"unreachable: {trouble}"))


async def probe(config: UplinkConfig) -> ModemHealth | None:
    """See that somebody speaks CoAP there; OSError or NoAnswer when nobody does.

    Through the modem if there is one, and then what is known of it.
    """
    assert config.coap is not None
    modem = Modem(config.coap.modem) if config.coap.modem else None
    trouble: Exception | None = None
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(modem.run())] if modem else []
        try:
            async with CoapClient(config, modem):
                pass
        except (NoAnswer, OSError) as silence:
            trouble = silence
        for task in running:
            task.cancel()
    if trouble is not None:
        raise trouble
    return None if modem is None else modem.health
