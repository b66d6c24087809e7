"""Block-wise transfer (RFC 7959): requests that come in blocks, and large answers that are fetched in blocks.

Bounded in size, number and time: a device that gives up in the middle leaves nothing behind for long.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from device_profiles.codecs import coap
from device_profiles.codecs.coap import BLOCK1, BLOCK2, Block, Message, Options

LARGEST = 16_384
"""Bytes of one request: a registration has a few hundred, a Send of a day's values some thousand."""

MOST = 1024
"""Requests half heard; 16 MB when all of them are of the largest kind."""

PATIENCE_US = 93_000_000
"""MAX_TRANSMIT_WAIT (RFC 7252, 4.8.2): the next block comes before this, or never."""

ETAG = 4

_Place = tuple[tuple[str, int], int, tuple[str, ...]]


class Blocked(Exception):
    """The request is not whole: answer this and wait for more."""

    def __init__(self, code: int, options: Options = ()) -> None:
        self.code = code
        self.options = options
        super().__init__(coap.code_text(code))


class _Assembly(msgspec.Struct):
    at: int
    data: bytearray


class Assemblies:
    """Requests whose blocks are coming in, by address, method and path (RFC 7959, 2.5)."""

    def __init__(self) -> None:
        self._open: OrderedDict[_Place, _Assembly] = OrderedDict()

    def take(self, message: Message, addr: tuple[str, int], now: int) -> tuple[Message, Options]:
        """(the whole request, options that its answer repeats). Blocked when it is not whole yet, or never will be."""
        try:
            block = coap.read_block(message, BLOCK1)
        except coap.CoapError:
            raise Blocked(coap.BAD_REQUEST) from None
        if block is None:
            return message, ()
        echo: Options = (coap.block_option(BLOCK1, block),)
        if block.number == 0 and not block.more:
            return message, echo
        assembly = self._assembly((addr, message.code, message.path), block, now)
        del assembly.data[block.start :]  # a block that comes again takes its own place
        if len(assembly.data) != block.start:
            raise Blocked(coap.INCOMPLETE)  # 2.9.2: blocks are missing, or of another size
        if block.start + len(message.payload) > LARGEST:
            raise Blocked(coap.TOO_LARGE)  # 2.9.3
        if block.more and len(message.payload) != block.size:
            raise Blocked(coap.BAD_REQUEST)  # 2.2: every block but the last is full
        assembly.data += message.payload
        assembly.at = now
        if block.more:
            raise Blocked(coap.CONTINUE, echo)  # 2.9.1
        del self._open[addr, message.code, message.path]
        return msgspec.structs.replace(message, payload=bytes(assembly.data)), echo

    def _assembly(self, place: _Place, block: Block, now: int) -> _Assembly:
        while self._open and not 0 <= now - next(iter(self._open.values())).at < PATIENCE_US:
            self._open.popitem(last=False)
        if block.number == 0 or place not in self._open:
            self._open.pop(place, None)
            self._open[place] = _Assembly(now, bytearray())
            if len(self._open) > MOST:
                self._open.popitem(last=False)
        self._open.move_to_end(place)
        return self._open[place]


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
            if message.code != coap.CONTENT or block is None or block.start != len(data):
                return None
            if message.option(ETAG) != first.option(ETAG):
                return None
            data += message.payload
    except coap.CoapError:
        return None
    return bytes(data)
