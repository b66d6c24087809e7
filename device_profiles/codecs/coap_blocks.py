"""Block-wise transfer (RFC 7959), both directions: requests and answers that are larger than a datagram should be.

Bounded in size, number and time: a peer that gives up in the middle leaves nothing behind for long. Two transfers of
one peer to one resource are told apart by their Request-Tag (RFC 9175, 3). Sans-IO: time (µs) is passed in.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from device_profiles.codecs import coap
from device_profiles.codecs.coap import BLOCK1, BLOCK2, Block, CoapError, Message, Options

LARGEST = 16_384
"""Bytes of one request of a device: a registration has a few hundred, a Send of a day's values some thousand."""

MOST = 1024
"""Requests half heard; 16 MB when all of them are of the largest kind."""

PATIENCE_US = 93_000_000
"""MAX_TRANSMIT_WAIT (RFC 7252, 4.8.2): the next block comes before this, or never."""

ETAG, REQUEST_TAG = 4, 292
"""Options (RFC 7252, 5.10.6; RFC 9175, 3.2)."""

RESTARTS = 3
"""How often an upload begins anew because the other side has lost its beginning."""

Address = tuple[str, int]
_Place = tuple[Address, int, tuple[str, ...], bytes]


class Blocked(Exception):
    """The request is not whole: answer this and wait for more."""

    def __init__(self, code: int, options: Options = ()) -> None:
        self.code = code
        self.options = options
        super().__init__(coap.code_text(code))


class _Assembly(msgspec.Struct):
    at: int
    data: bytearray


def place_of(message: Message, addr: Address) -> _Place:
    """What the blocks of one transfer have in common (RFC 7959, 2.5; RFC 9175, 3.3)."""
    return addr, message.code, message.path, message.option(REQUEST_TAG) or b""


class Assemblies:
    """Requests whose blocks are coming in. ``abandoned``: how many were given up before they were whole."""

    def __init__(
        self, largest: int = LARGEST, most: int = MOST, per_peer: int = MOST, patience_us: int = PATIENCE_US
    ) -> None:
        """``largest``: bytes of one request; ``most`` and ``per_peer``: requests half heard, of all and of one peer."""
        self._largest = largest
        self._most = most
        self._per_peer = per_peer
        self._patience = patience_us
        self._open: OrderedDict[_Place, _Assembly] = OrderedDict()
        self.abandoned = 0

    def __len__(self) -> int:
        """Requests half heard."""
        return len(self._open)

    @property
    def held(self) -> int:
        """Bytes of them."""
        return sum(len(assembly.data) for assembly in self._open.values())

    def take(self, message: Message, addr: Address, now: int) -> tuple[Message, Options]:
        """(the whole request, options that its answer repeats). Blocked when it is not whole yet, or never will be."""
        try:
            block = coap.read_block(message, BLOCK1)
        except CoapError:
            raise Blocked(coap.BAD_REQUEST) from None
        if block is None:
            return message, ()
        echo: Options = (coap.block_option(BLOCK1, block),)
        if block.number == 0 and not block.more:
            return message, echo
        place = place_of(message, addr)
        assembly = self._assembly(place, block, now)
        del assembly.data[block.start :]  # a block that comes again takes its own place
        if len(assembly.data) != block.start:
            raise Blocked(coap.INCOMPLETE)  # 2.9.2: blocks are missing, or of another size
        if block.start + len(message.payload) > self._largest:
            del self._open[place]
            raise Blocked(coap.TOO_LARGE)  # 2.9.3
        if block.more and len(message.payload) != block.size:
            raise Blocked(coap.BAD_REQUEST)  # 2.2: every block but the last is full
        assembly.data += message.payload
        assembly.at = now
        if block.more:
            raise Blocked(coap.CONTINUE, echo)  # 2.9.1
        del self._open[place]
        return msgspec.structs.replace(message, payload=bytes(assembly.data)), echo

    def expire(self, now: int) -> None:
        """Forget what has been waiting for its next block for too long."""
        while self._open and not 0 <= now - next(iter(self._open.values())).at < self._patience:
            self._abandon(next(iter(self._open)))

    def _abandon(self, place: _Place) -> None:
        del self._open[place]
        self.abandoned += 1

    def _assembly(self, place: _Place, block: Block, now: int) -> _Assembly:
        self.expire(now)
        if block.number and place not in self._open:
            raise Blocked(coap.INCOMPLETE)  # 2.9.2: its beginning is not known here
        if block.number == 0:
            if self._open.pop(place, None) is None:
                self._make_room(place[0])
            self._open[place] = _Assembly(now, bytearray())
        self._open.move_to_end(place)
        return self._open[place]

    def _make_room(self, addr: Address) -> None:
        """Whoever has been quiet longest goes, first among the same peer's."""
        if self._per_peer < self._most:
            own = [place for place in self._open if place[0] == addr]
            if len(own) >= self._per_peer:
                self._abandon(own[0])
        if len(self._open) >= self._most:
            self._abandon(next(iter(self._open)))


class Upload:
    """A payload on its way out: ``chunk`` goes with ``options``, and ``take`` judges the answer (RFC 7959, 2.5).

    ``size``: bytes of a block; it only shrinks. ``tag``: tells this transfer from others to the same resource.
    """

    def __init__(self, payload: bytes, size: int, tag: bytes) -> None:
        self._payload = payload
        self._size = size
        self._tag = tag
        self._at = 0
        self._restarts = RESTARTS

    @property
    def chunk(self) -> bytes:
        """The bytes to send now."""
        return self._payload[self._at : self._at + self._size]

    @property
    def options(self) -> Options:
        """Block1 and Request-Tag; none for what fits into one block. Block2 says what an answer's blocks may be."""
        wanted: Options = (coap.block_option(BLOCK2, Block(0, False, self._size)),) if self._size < 1024 else ()
        if len(self._payload) <= self._size:
            return wanted
        block = Block(self._at // self._size, self._at + self._size < len(self._payload), self._size)
        return (*(() if block.more else wanted), coap.block_option(BLOCK1, block), (REQUEST_TAG, self._tag))

    def take(self, answer: Message) -> bool:
        """True when this answer is the last word, False when the next chunk is to be sent. CoapError: nonsense."""
        if answer.code == coap.CONTINUE:
            if self._at + self._size >= len(self._payload):
                raise CoapError("asked to continue after the last block")
            self._at += self._size
            self._shrink(answer)
            return False
        if answer.code == coap.INCOMPLETE and self._restarts and len(self._payload) > self._size:
            self._restarts -= 1
            self._at = 0
            return False
        if answer.code == coap.TOO_LARGE and self._shrink(answer):
            self._at = 0
            return False
        return True

    def _shrink(self, answer: Message) -> bool:
        """Take over a smaller block size that the other side wishes (RFC 7959, 2.5); True when it is one."""
        block = coap.read_block(answer, BLOCK1)
        if block is None or block.size >= self._size:
            return False
        self._size = block.size
        return True


def slice_of(payload: bytes, block: Block) -> tuple[bytes, tuple[int, bytes]]:
    """(bytes of one block of an answer, its Block2 option); no bytes when it begins beyond the end."""
    end = block.start + block.size
    return payload[block.start : end], coap.block_option(BLOCK2, Block(block.number, end < len(payload), block.size))


Fetch = Callable[[Options], Awaitable[Message]]
"""Asks for the same resource with further options."""


async def whole_payload(first: Message, fetch: Fetch) -> bytes | None:
    """The payload of a response whose first block has come; the others are fetched (RFC 7959, 2.4).

    None when a block fails, or when the resource changes meanwhile.
    """
    try:
        block = coap.read_block(first, BLOCK2)
        data = bytearray(first.payload)
        while block is not None and block.more:
            if len(data) != block.start + block.size or len(data) > LARGEST:
                return None
            wanted = Block(len(data) // block.size, False, block.size)
            message = await fetch((coap.block_option(BLOCK2, wanted),))
            block = coap.read_block(message, BLOCK2)
            if message.code != first.code or block is None or block.start != len(data):
                return None
            if message.option(ETAG) != first.option(ETAG):
                return None
            data += message.payload
    except CoapError:
        return None
    return bytes(data)
