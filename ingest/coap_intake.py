"""The CoAP side: gateways call, their batches go into the same inbox as those of MQTT, and the receipt is the answer.

``POST /v1/{gateway}/batch`` is answered 2.04 with the receipt after the store's commit; ``PUT /v1/{gateway}/manifest``
and ``/state`` when they are queued. A retransmission gets the answer that the first one got. Refuses to grow: what is
half heard, what waits and what is remembered are bounded; what is not taken is counted with its reason. There is no
DTLS: whoever can send here can speak for a gateway.
"""

import asyncio
import logging
import socket
from collections import OrderedDict

import msgspec

from device_profiles.clock import Clock
from device_profiles.codecs import coap
from device_profiles.codecs.coap import ACK, CON, NON, RST, Block, CoapError, Message, Options
from device_profiles.codecs.coap_blocks import Address, Assemblies, Blocked, slice_of
from device_profiles.envelope import MAX_BATCH_BYTES
from device_profiles.ledger import count
from device_profiles.quality import Reason
from device_profiles.receipts import digest_of
from device_profiles.topics import GATEWAY_NAME, Topics, shard_of
from ingest.inbox import Inbox

log = logging.getLogger(__name__)

LIFETIME_US = 247_000_000
"""EXCHANGE_LIFETIME (RFC 7252, 4.8.2): so long a retransmission may come."""

REMEMBERED = 20_000
"""Answers kept for retransmissions; a receipt has some 60 bytes. A batch forgotten here is a duplicate there."""

HALF_HEARD, OF_ONE_PEER = 64, 4
"""Requests whose blocks are coming in, of all peers and of one: 58 MB when all are of the largest kind."""

ASKERS = 4
"""Places to which one batch's receipt is told: a gateway whose port changed asks from a new one."""

_METHODS = {"batch": coap.POST, "manifest": coap.PUT, "state": coap.PUT}

KNOWN_OPTIONS = frozenset({3, 7, coap.URI_PATH, coap.URI_QUERY, coap.ACCEPT, coap.BLOCK1, coap.BLOCK2})
"""Critical options that we understand; 3 and 7 name our own host and port."""

RECEIVE_BUFFER = 8 << 20
"""Bytes that the kernel keeps for us while the loop is busy."""

_REASONS = {
    coap.BAD_REQUEST: Reason.MALFORMED,
    coap.INCOMPLETE: Reason.TRUNCATED,
    coap.TOO_LARGE: Reason.OVERSIZED,
}


class CoapCounts(msgspec.Struct):
    """What came over CoAP since the worker started. ``refused``: requests, or datagrams that are none, by reason."""

    requests: int = 0
    batches: int = 0
    receipted: int = 0
    repeated: int = 0
    turned_away: int = 0
    refused: dict[str, int] = {}


class _Asker(msgspec.Struct):
    """A request that waits for its answer. ``echo``: the options that the answer repeats."""

    message: Message
    addr: Address
    echo: Options


class CoapIntake:
    """One socket, bound by the caller (``bind``) so that a port that is taken is told at the start."""

    def __init__(self, topics: Topics, shards: tuple[int, ...], inbox: Inbox, clock: Clock) -> None:
        self._topics = topics
        self._shards = frozenset(shards)
        self._inbox = inbox
        self._clock = clock
        self._assemblies = Assemblies(MAX_BATCH_BYTES, HALF_HEARD, OF_ONE_PEER, LIFETIME_US)
        self._answers: OrderedDict[tuple[Address, int], tuple[int, bytes | None]] = OrderedDict()
        self._waiting: dict[tuple[str, bytes], list[_Asker]] = {}
        self._large: OrderedDict[tuple[Address, Options], bytes] = OrderedDict()
        self._transport: asyncio.DatagramTransport | None = None
        self._mid = 0
        self.counts = CoapCounts()

    async def run(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Serve until ``stop``."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=listening)
        try:
            await stop.wait()
        finally:
            self._transport.abort()

    def health(self) -> dict[str, object]:
        """Counts, and what is half heard."""
        refused = dict(self.counts.refused)
        if self._assemblies.abandoned:
            count(refused, Reason.TIMEOUT.word, self._assemblies.abandoned)
        return {**msgspec.structs.asdict(self.counts), "refused": refused, "half_heard": len(self._assemblies)}

    # -- messages ----------------------------------------------------------------------------------------------------

    def received(self, data: bytes, addr: Address) -> None:
        """One datagram, from the loop."""
        now = self._now()
        self._assemblies.expire(now)
        try:
            message = coap.decode(data)
        except CoapError as trouble:
            count(self.counts.refused, Reason.MALFORMED.word)
            if trouble.mid is not None:
                self._send(Message(RST, coap.EMPTY, trouble.mid), addr)  # RFC 7252, 4.2
            return
        if not message.request:
            if message.type == CON:  # a ping (4.3), or an answer that nobody asked for
                self._send(Message(RST, coap.EMPTY, message.mid), addr)
            return
        known = self._answers.get((addr, message.mid))
        if known is not None and 0 <= now - known[0] < LIFETIME_US:
            self.counts.repeated += 1
            if known[1] is not None:
                self._say(known[1], addr)
            return  # its answer is on its way (4.2)
        self.counts.requests += 1
        self._remember(addr, message.mid, None, now)
        self._request(message, addr, now)

    def _request(self, message: Message, addr: Address, now: int) -> None:
        path = message.path
        known = len(path) == 3 and path[0] == "v1" and path[2] in _METHODS and GATEWAY_NAME.match(path[1])
        if coap.unknown_critical(message, KNOWN_OPTIONS) is not None:
            self._refuse(message, addr, coap.BAD_OPTION, Reason.MALFORMED)  # 5.4.1
        elif not known:
            self._refuse(message, addr, coap.NOT_FOUND, Reason.UNKNOWN_TOPIC, "there is /v1/{gateway}/batch")
        elif message.code != _METHODS[path[2]]:
            self._refuse(message, addr, coap.NOT_ALLOWED, Reason.UNKNOWN_TOPIC)
        elif shard_of(path[1]) not in self._shards:
            self._refuse(message, addr, coap.FORBIDDEN, Reason.WRONG_SHARD, f"shard {shard_of(path[1])} is not ours")
        elif not self._continues(message, addr):
            self._assemble(message, addr, now)

    def _assemble(self, message: Message, addr: Address, now: int) -> None:
        try:
            whole, echo = self._assemblies.take(message, addr, now)
        except Blocked as blocked:
            if blocked.code in _REASONS:
                count(self.counts.refused, _REASONS[blocked.code].word)
            self._answer(_Asker(message, addr, blocked.options), blocked.code)
            return
        _, gateway, kind = whole.path
        asker = _Asker(whole, addr, echo)
        if kind == "batch":
            self._batch(gateway, asker)
        elif self._inbox.put(
            self._topics.manifest(gateway) if kind == "manifest" else self._topics.state(gateway), whole.payload
        ):
            self._answer(asker, coap.CHANGED)
        else:
            self._turn_away(asker)

    # -- batches -----------------------------------------------------------------------------------------------------

    def _batch(self, gateway: str, asker: _Asker) -> None:
        """Into the inbox, unless the same bytes wait there already: a slow store does not fill it with repeats."""
        payload = asker.message.payload
        key = gateway, digest_of(payload)
        askers = self._waiting.get(key)
        if askers is not None:
            self.counts.repeated += 1
            askers.append(asker)
            del askers[:-ASKERS]
        elif self._inbox.put(self._topics.batch(gateway), payload, lambda receipt: self._receipt(key, receipt)):
            self.counts.batches += 1
            self._waiting[key] = [asker]
        else:
            self._turn_away(asker)

    def _receipt(self, key: tuple[str, bytes], receipt: bytes) -> None:
        """The worker has committed."""
        self.counts.receipted += 1
        for asker in self._waiting.pop(key):
            self._answer(asker, coap.CHANGED, receipt)

    def _turn_away(self, asker: _Asker) -> None:
        """The inbox is full, or closed: the gateway keeps it."""
        self.counts.turned_away += 1
        self._answer(asker, coap.UNAVAILABLE, options=((coap.MAX_AGE, b"\x05"),))  # 5.9.3.4: not before 5 s

    # -- answers -----------------------------------------------------------------------------------------------------

    def _refuse(self, message: Message, addr: Address, code: int, why: Reason, words: str = "") -> None:
        count(self.counts.refused, why.word)
        self._answer(_Asker(message, addr, ()), code, words.encode())

    def _answer(self, asker: _Asker, code: int, payload: bytes = b"", options: Options = ()) -> None:
        """On the acknowledgement, or by itself where none is wanted (5.2.1, 5.2.3); its first block if it is large."""
        message, addr = asker.message, asker.addr
        size = _block_size(message)
        more: Options = ()
        if len(payload) > size:
            self._large[addr, _identity(message)] = payload
            if len(self._large) > REMEMBERED:
                self._large.popitem(last=False)
            payload, option = slice_of(payload, Block(0, True, size))
            more = (option,)
        kind, mid = (ACK, message.mid) if message.type == CON else (NON, self._next_mid())
        data = coap.encode(Message(kind, code, mid, message.token, (*options, *asker.echo, *more), payload))
        self._remember(addr, message.mid, data, self._now())
        self._say(data, addr)

    def _continues(self, message: Message, addr: Address) -> bool:
        """A further block of a large answer (RFC 7959, 2.4 and 3.3): told, and True."""
        try:
            block = coap.read_block(message, coap.BLOCK2)
        except CoapError:
            self._refuse(message, addr, coap.BAD_OPTION, Reason.MALFORMED)
            return True
        if block is None or block.number == 0:
            return False
        part, option = slice_of(self._large.get((addr, _identity(message)), b""), block)
        if part:
            self._answer(_Asker(message, addr, (option,)), coap.CHANGED, part)
        else:
            self._refuse(message, addr, coap.INCOMPLETE, Reason.TRUNCATED)
        return True

    def _remember(self, addr: Address, mid: int, data: bytes | None, now: int) -> None:
        self._answers[addr, mid] = now, data
        self._answers.move_to_end((addr, mid))
        if len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def _now(self) -> int:
        """µs that only rise."""
        return int(self._clock.monotonic() * 1e6)

    def _next_mid(self) -> int:
        self._mid = self._mid + 1 & 0xFFFF
        return self._mid

    def _send(self, message: Message, addr: Address) -> None:
        self._say(coap.encode(message), addr)

    def _say(self, data: bytes, addr: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, addr)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, intake: CoapIntake) -> None:
        self._intake = intake

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._intake.received(data, addr)

    def error_received(self, trouble: Exception) -> None:
        log.debug("coap: %s", trouble)


def _identity(message: Message) -> Options:
    """What the requests for one answer's blocks have in common: all but the blocks (RFC 7959, 2.4)."""
    return tuple(option for option in message.options if option[0] not in (coap.BLOCK1, coap.BLOCK2))


def _block_size(message: Message) -> int:
    """The largest block that the caller wishes (RFC 7959, 2.4)."""
    try:
        block = coap.read_block(message, coap.BLOCK2)
    except CoapError:
        return coap.MAX_BLOCK_SIZE
    return block.size if block else coap.MAX_BLOCK_SIZE


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; OSError when the address cannot be had."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening
