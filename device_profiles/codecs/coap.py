"""CoAP messages, both directions (RFC 7252 clause 3): header, token, options, payload; one datagram is one message.

Sans-IO, for a gateway that listens and for a device that calls. What is no message raises ``CoapError``; RFC 7252
clause 4.2 says what a receiver does then.
"""

import msgspec

VERSION = 1
CON, NON, ACK, RST = range(4)
"""Types (RFC 7252, 3): wants an acknowledgement, does not, is one, and "I do not know what you mean"."""

EMPTY = 0
GET, POST, PUT, DELETE, FETCH, PATCH, IPATCH = range(1, 8)
"""Methods (RFC 7252, 12.1.1; RFC 8132, 4)."""

CREATED, DELETED, VALID, CHANGED, CONTENT, CONTINUE = 0x41, 0x42, 0x43, 0x44, 0x45, 0x5F
BAD_REQUEST, UNAUTHORIZED, BAD_OPTION, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, NOT_ACCEPTABLE = range(0x80, 0x87)
INCOMPLETE, TOO_LARGE, UNSUPPORTED_FORMAT = 0x88, 0x8D, 0x8F
INTERNAL_ERROR, UNAVAILABLE = 0xA0, 0xA3
"""Response codes, class × 32 + detail (RFC 7252, 12.1.2; RFC 7959, 2.9)."""

OBSERVE, LOCATION_PATH, URI_PATH, CONTENT_FORMAT, MAX_AGE, URI_QUERY, ACCEPT = 6, 8, 11, 12, 14, 15, 17
LOCATION_QUERY, BLOCK2, BLOCK1, SIZE2, SIZE1 = 20, 23, 27, 28, 60
"""Option numbers (RFC 7252, 12.2; RFC 7641, 2; RFC 7959, 2.1)."""

MAX_TOKEN = 8
MAX_BLOCK_SIZE = 1024

Options = tuple[tuple[int, bytes], ...]


class CoapError(ValueError):
    """The bytes are no CoAP message (RFC 7252, 3). ``mid``: of a confirmable one, which is then answered with a RST."""

    def __init__(self, text: str, mid: int | None = None) -> None:
        self.mid = mid
        super().__init__(text)


class Message(msgspec.Struct, frozen=True):
    """One message. ``options``: (number, value) with numbers rising; ``code`` as one byte, see ``code_text``."""

    type: int
    code: int
    mid: int
    token: bytes = b""
    options: Options = ()
    payload: bytes = b""

    @property
    def request(self) -> bool:
        """True for a method."""
        return 0 < self.code < 0x20

    @property
    def response(self) -> bool:
        """True for classes 2, 4 and 5."""
        return self.code >= 0x40

    def option(self, number: int) -> bytes | None:
        """The first option of that number; None when there is none."""
        for found, value in self.options:
            if found == number:
                return value
        return None

    def uint(self, number: int) -> int | None:
        """The first option of that number as an unsigned number (RFC 7252, 3.2); None when there is none."""
        value = self.option(number)
        return None if value is None else int.from_bytes(value, "big")

    def texts(self, number: int) -> list[str]:
        """Every option of that number as text; what is no UTF-8 is shown with replacement characters."""
        return [value.decode("utf-8", "replace") for found, value in self.options if found == number]

    @property
    def path(self) -> tuple[str, ...]:
        """The segments of Uri-Path."""
        return tuple(self.texts(URI_PATH))

    @property
    def query(self) -> dict[str, str]:
        """Uri-Query as names and values; a name alone has an empty value, the last of a name counts."""
        return {name: value for name, _, value in (item.partition("=") for item in self.texts(URI_QUERY))}


class Block(msgspec.Struct, frozen=True):
    """A Block1 or Block2 option (RFC 7959, 2.2). ``size``: bytes of a block, 16 to 1024, a power of two."""

    number: int
    more: bool
    size: int

    @property
    def start(self) -> int:
        """Where the block's bytes begin."""
        return self.number * self.size


def code_text(code: int) -> str:
    """A code as people write it: 2.05."""
    return f"{code >> 5}.{code & 31:02d}"


def uint_bytes(value: int) -> bytes:
    """An unsigned number in as few bytes as it takes; zero takes none (RFC 7252, 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def path_options(path: str, query: tuple[str, ...] = ()) -> Options:
    """``/a/b`` and queries as options, in order."""
    segments = [(URI_PATH, part.encode()) for part in path.split("/") if part]
    return (*segments, *((URI_QUERY, part.encode()) for part in query))


def read_block(message: Message, number: int) -> Block | None:
    """The message's Block1 or Block2 option; None when it has none. CoapError for the reserved size (RFC 7959, 2.2)."""
    value = message.uint(number)
    if value is None:
        return None
    if value & 7 == 7 or value >> 24:
        raise CoapError("a block option with a reserved size or more than three bytes")
    return Block(value >> 4, bool(value & 8), 16 << (value & 7))


def block_option(number: int, block: Block) -> tuple[int, bytes]:
    """A block as an option; ValueError for a size that is none."""
    exponent = block.size.bit_length() - 5
    if not 0 <= exponent <= 6 or block.size != 16 << exponent:
        raise ValueError(f"a block of {block.size} bytes; 16 to 1024, a power of two")
    return number, uint_bytes(block.number << 4 | block.more << 3 | exponent)


def unknown_critical(message: Message, known: frozenset[int]) -> int | None:
    """The first option that must be understood (odd numbers; RFC 7252, 5.4.1) and is not; None when all is well."""
    for number, _ in message.options:
        if number & 1 and number not in known:
            return number
    return None


def encode(message: Message) -> bytes:
    """The message's bytes. ValueError for fields outside the standard's bounds."""
    if not 0 <= message.mid <= 0xFFFF or len(message.token) > MAX_TOKEN or not 0 <= message.code <= 0xFF:
        raise ValueError(f"message id {message.mid}, code {message.code} or a token of {len(message.token)} bytes")
    parts = [
        bytes((VERSION << 6 | message.type << 4 | len(message.token), message.code)),
        message.mid.to_bytes(2, "big"),
        message.token,
    ]
    last = 0
    for number, value in sorted(message.options, key=_number):
        parts += _option(number - last, value)
        last = number
    if message.payload:
        parts += (b"\xff", message.payload)
    return b"".join(parts)


def _number(option: tuple[int, bytes]) -> int:
    return option[0]


def _option(delta: int, value: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Head, extended delta, extended length, value (RFC 7252, 3.1)."""
    delta_nibble, delta_more = _extended(delta)
    size_nibble, size_more = _extended(len(value))
    return bytes((delta_nibble << 4 | size_nibble,)), delta_more, size_more, value


def _extended(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    if value > 65_804:
        raise ValueError(f"an option's delta or length of {value}")
    return 14, (value - 269).to_bytes(2, "big")


def decode(data: bytes) -> Message:
    """The message in a datagram. CoapError when it is none."""
    if len(data) < 4 or data[0] >> 6 != VERSION:
        raise CoapError("shorter than a header, or of another version")  # 3: unknown versions are silently ignored
    first, code = data[0], data[1]
    kind, size, mid = first >> 4 & 3, first & 15, data[2] << 8 | data[3]
    answerable = mid if kind == CON else None
    if size > MAX_TOKEN:
        raise CoapError(f"a token length of {size}", answerable)
    if code == EMPTY:
        if len(data) > 4:
            raise CoapError("an empty message with something in it", answerable)  # 4.1
        return Message(kind, EMPTY, mid)
    if code >> 5 in (1, 6, 7) or (kind == RST) or (kind == ACK and code < 0x20):
        raise CoapError(f"a code {code_text(code)} that this type cannot have", answerable)
    at = 4 + size
    if at > len(data):
        raise CoapError("shorter than its token", answerable)
    options, at = _options(data, at, answerable)
    return Message(kind, code, mid, data[4 : 4 + size], options, data[at:])


def _options(data: bytes, at: int, mid: int | None) -> tuple[Options, int]:
    """(options, where the payload begins)."""
    found: list[tuple[int, bytes]] = []
    number, end = 0, len(data)
    while at < end:
        head = data[at]
        at += 1
        if head == 0xFF:
            if at == end:
                raise CoapError("a payload marker and no payload", mid)  # 3
            break
        delta, size = head >> 4, head & 15
        if delta > 12:
            delta, at = _extension(data, at, delta, mid)
        if size > 12:
            size, at = _extension(data, at, size, mid)
        number += delta
        if at + size > end or number > 0xFFFF:
            raise CoapError("an option that reaches beyond the end", mid)
        found.append((number, data[at : at + size]))
        at += size
    return tuple(found), at


def _extension(data: bytes, at: int, nibble: int, mid: int | None) -> tuple[int, int]:
    """(value, where what follows begins) of an extended delta or length (3.1)."""
    if nibble == 13 and at < len(data):
        return data[at] + 13, at + 1
    if nibble == 14 and at + 2 <= len(data):
        return (data[at] << 8 | data[at + 1]) + 269, at + 2
    raise CoapError("an option's head that is cut off or reserved", mid)
