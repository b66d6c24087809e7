"""A CoAP endpoint on one datagram socket (RFC 7252, 7641, 7959): requests in, answers out, and questions of our own.

An answer to a confirmable message leaves when its handler says so, and not before: a handler that returns None leaves
it without one, so that the device says it again. Refuses to grow: queues, exchanges and assemblies are bounded.
"""

import asyncio
import logging
import random
import socket
from collections import OrderedDict

import msgspec

from device_profiles.codecs import coap
from device_profiles.codecs.coap import ACK, CON, NON, RST, Message, Options
from device_profiles.codecs.coap_blocks import Assemblies, Blocked
from device_profiles.framing import Rejects
from device_profiles.quality import Reason
from gateway.listeners.desk import Desk
from gateway.listeners.repeats import LIFETIME_US

log = logging.getLogger(__name__)

Address = tuple[str, int]

QUEUED = 4096
"""Messages that wait for a worker; more are dropped and counted: their devices say it again."""

WORKERS = 256
"""Messages in hand at once: as many share one commit of the spool."""

MOST_EXCHANGES = 32_768
"""Questions of ours without an answer yet: half of the message ids."""

REMEMBERED = 4096
"""Answers kept for a retransmission of what must not be done twice (a registration)."""

KNOWN_OPTIONS = frozenset({3, 7, coap.URI_PATH, coap.URI_QUERY, coap.ACCEPT, coap.BLOCK1, coap.BLOCK2})
"""Critical options that we understand; 3 and 7 name our own host and port."""

LARGEST_DATAGRAM = 4096
"""RFC 7252, 4.6: 1152 bytes are what a sender may count on; asyncio's own transport reserves 256 kB a datagram."""

AT_A_TIME = 64

RECEIVE_BUFFER = 4 << 20
"""Bytes that the kernel keeps for us while a commit is under way."""


_Place = tuple[Address, int, bool]


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered with. ``once``: a retransmission gets these very bytes again."""

    code: int
    payload: bytes = b""
    options: Options = ()
    once: bool = False


class NoAnswer(Exception):
    """A question of ours was not answered, or reset."""


class _Exchange:
    """One question of ours: sent again with doubling pauses until something comes (RFC 7252, 4.2)."""

    def __init__(self, data: bytes, addr: Address, mid: int, pause: float, left: int) -> None:
        self.data, self.addr, self.mid = data, addr, mid
        self.pause, self.left = pause, left
        self.done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None


class Party:
    """Who stands behind an endpoint: all that is a protocol's own."""

    async def on_request(self, message: Message, addr: Address) -> Answer | None:
        """The answer; None when there must be none."""
        raise NotImplementedError

    def owns(self, token: bytes) -> bool:
        """True when responses with this token are notifications that ``on_notice`` takes."""
        return False

    async def on_notice(self, message: Message, addr: Address) -> bool | None:
        """A notification: True acknowledges it, False ends the observation, None leaves it unanswered."""
        return False


class Endpoint:
    """One socket. ``serve`` runs it; ``ask`` puts a question while it runs."""

    def __init__(self, desk: Desk, party: Party, ack_timeout_s: float = 10.0, retransmissions: int = 2) -> None:
        """``ack_timeout_s``: before a question is sent again; a device in deep coverage needs 10 s."""
        self._desk = desk
        self._party = party
        self._pause = ack_timeout_s
        self._retransmissions = retransmissions
        self._queue: asyncio.Queue[tuple[Message, Address]] = asyncio.Queue(QUEUED)
        self._in_hand: set[_Place] = set()
        self._answers: OrderedDict[_Place, tuple[int, bytes]] = OrderedDict()
        self._by_token: dict[bytes, _Exchange] = {}
        self._by_mid: dict[int, _Exchange] = {}
        self._assemblies = Assemblies()
        self._mid = random.randrange(0x10000)
        self._end: socket.socket | None = None
        self._rejects = Rejects()

    async def serve(self, host: str, port: int, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Serve until ``stop``. OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        family, kind, protocol, _, place = (await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM))[0]
        with socket.socket(family, kind, protocol) as end:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            end.bind(place)
            self._end = end
            loop.add_reader(end, self._drain)
            try:
                await self._serve(ready, stop)
            finally:
                loop.remove_reader(end)
                self._end = None

    async def _serve(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(self._work()) for _ in range(WORKERS)]
                ready.set()
                await stop.wait()
                for worker in workers:
                    worker.cancel()
        finally:
            for exchange in list(self._by_token.values()):
                self._finish(exchange, NoAnswer("the gateway stops"))

    def _drain(self) -> None:
        """What has arrived, a few datagrams at a time, so that nobody else has to wait for long."""
        assert self._end is not None  # read only while it is open
        for _ in range(AT_A_TIME):
            try:
                data, addr = self._end.recvfrom(LARGEST_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as trouble:  # an ICMP error of an earlier answer: its device will be heard again, or not
                log.debug("%s: %s", self._desk.name, trouble)
                continue
            self.received(data, addr)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def received(self, data: bytes, addr: Address) -> None:
        """One datagram, from the loop."""
        try:
            message = coap.decode(data)
        except coap.CoapError as trouble:
            self._rejects.add(Reason.MALFORMED, data)
            self._desk.reject(peer_text(addr), self._rejects)
            if trouble.mid is not None:
                self._send(coap.encode(Message(RST, coap.EMPTY, trouble.mid)), addr)  # RFC 7252, 4.2
            return
        if message.code == coap.EMPTY:
            self._empty(message, addr)
        elif message.request:
            self._enqueue(message, addr)
        else:
            self._response(message, addr)

    def _empty(self, message: Message, addr: Address) -> None:
        if message.type == CON:
            self._send(coap.encode(Message(RST, coap.EMPTY, message.mid)), addr)  # a ping (4.3)
            return
        exchange = self._by_mid.get(message.mid)
        if exchange is None or exchange.addr != addr:
            return
        if message.type == RST:
            self._finish(exchange, NoAnswer("reset by the device"))
        elif message.type == ACK:
            self._hush(exchange)  # the answer comes by itself (5.2.2)
            exchange.timer = asyncio.get_running_loop().call_later(self._patience(), self._give_up, exchange)

    def _response(self, message: Message, addr: Address) -> None:
        exchange = self._by_token.get(message.token)
        if exchange is not None and (message.type != ACK or message.mid == exchange.mid):
            self._finish(exchange, message)
        notice = self._party.owns(message.token)
        if notice:
            self._enqueue(message, addr)
        elif message.type == CON:
            kind = RST if exchange is None else ACK  # RFC 7641, 3.6: a reset ends an observation that nobody wants
            self._send(coap.encode(Message(kind, coap.EMPTY, message.mid)), addr)
        elif exchange is None and message.type == NON:
            self._send(coap.encode(Message(RST, coap.EMPTY, message.mid)), addr)

    def _enqueue(self, message: Message, addr: Address) -> None:
        place = _place(message, addr)
        if place in self._in_hand:
            return  # a retransmission of what we have in hand: answered when that is done
        known = self._answers.get(place)
        if known is not None and self._desk.now() - known[0] < LIFETIME_US:
            self._send(known[1], addr)
        elif self._queue.full():
            self._desk.counts.refused += 1
        else:
            self._in_hand.add(place)
            self._queue.put_nowait((message, addr))

    async def _work(self) -> None:
        while True:
            message, addr = await self._queue.get()
            try:
                await self._handle(message, addr)
            except Exception:  # the boundary round one message (DESIGN: errors)
                self._desk.counts.bugs += 1
                log.exception("%s: a message from %s met a bug", self._desk.name, peer_text(addr))
                if message.request:
                    self._answer(message, addr, Answer(coap.INTERNAL_ERROR))
            finally:
                self._in_hand.discard(_place(message, addr))

    async def _handle(self, message: Message, addr: Address) -> None:
        if message.response:
            wanted = await self._party.on_notice(message, addr)
            if wanted is not None and (message.type == CON or (not wanted and message.type == NON)):
                kind = ACK if wanted else RST
                self._send(coap.encode(Message(kind, coap.EMPTY, message.mid)), addr)
            return
        if coap.unknown_critical(message, KNOWN_OPTIONS) is not None:
            self._answer(message, addr, Answer(coap.BAD_OPTION))  # RFC 7252, 5.4.1
            return
        try:
            whole, echo = self._assemblies.take(message, addr, self._desk.now())
        except Blocked as blocked:
            self._answer(message, addr, Answer(blocked.code, options=blocked.options))
            return
        answer = await self._party.on_request(whole, addr)
        if answer is not None:
            options = (*answer.options, *echo)
            self._answer(message, addr, msgspec.structs.replace(answer, options=options) if echo else answer)

    def _answer(self, message: Message, addr: Address, answer: Answer) -> None:
        """Piggybacked on the acknowledgement, or by itself where none is wanted (5.2.1, 5.2.3)."""
        kind, mid = (ACK, message.mid) if message.type == CON else (NON, self._next_mid())
        data = coap.encode(Message(kind, answer.code, mid, message.token, answer.options, answer.payload))
        if answer.once:
            self._answers[_place(message, addr)] = self._desk.now(), data
            if len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        self._send(data, addr)

    # --- questions of our own ---------------------------------------------------------------------------------------

    async def ask(self, code: int, addr: Address, token: bytes, options: Options = (), payload: bytes = b"") -> Message:
        """The response to a confirmable request. NoAnswer when none comes, or when the device resets it."""
        if len(self._by_token) >= MOST_EXCHANGES or token in self._by_token or self._end is None:
            raise NoAnswer("too many questions at once, or the same one twice")
        mid = self._next_mid()
        data = coap.encode(Message(CON, code, mid, token, options, payload))
        exchange = _Exchange(data, addr, mid, self._pause * random.uniform(1, 1.5), self._retransmissions)
        self._by_token[token] = self._by_mid[mid] = exchange
        try:
            self._transmit(exchange)
            return await exchange.done
        finally:
            self._hush(exchange)
            self._by_token.pop(token, None)
            self._by_mid.pop(mid, None)

    def _transmit(self, exchange: _Exchange) -> None:
        self._send(exchange.data, exchange.addr)
        again = self._transmit if exchange.left else self._give_up
        exchange.timer = asyncio.get_running_loop().call_later(exchange.pause, again, exchange)
        exchange.left -= 1
        exchange.pause *= 2

    def _give_up(self, exchange: _Exchange) -> None:
        self._finish(exchange, NoAnswer("no answer"))

    def _patience(self) -> float:
        """For an answer that was promised by an empty acknowledgement."""
        return float(self._pause * 2 ** (self._retransmissions + 1))

    def _hush(self, exchange: _Exchange) -> None:
        if exchange.timer is not None:
            exchange.timer.cancel()
            exchange.timer = None

    def _finish(self, exchange: _Exchange, outcome: Message | NoAnswer) -> None:
        self._hush(exchange)
        if exchange.done.done():
            return
        if isinstance(outcome, NoAnswer):
            exchange.done.set_exception(outcome)
        else:
            exchange.done.set_result(outcome)

    def _next_mid(self) -> int:
        self._mid = self._mid + 1 & 0xFFFF
        while self._mid in self._by_mid:
            self._mid = self._mid + 1 & 0xFFFF
        return self._mid

    def _send(self, data: bytes, addr: Address) -> None:
        if self._end is None:
            return
        try:
            self._end.sendto(data, addr)
        except OSError as trouble:  # no room, no route: as if it were lost on the way
            log.debug("%s: not sent to %s: %s", self._desk.name, peer_text(addr), trouble)


def _place(message: Message, addr: Address) -> _Place:
    """What tells two messages of one address apart: an acknowledgement carries a number of ours, the others theirs."""
    return addr, message.mid, message.type == ACK


def peer_text(addr: Address) -> str:
    """An address as people write it."""
    return f"{addr[0]}:{addr[1]}"
