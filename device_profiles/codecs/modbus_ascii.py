"""Modbus ASCII frames, both directions (MODBUS over Serial Line V1.02, 2.5.2): a colon, hexadecimal, LRC, CR LF.

A colon begins a frame wherever it stands (2.5.2.1: the receiver starts over), so a damaged one costs nothing behind it.
Both cases of hexadecimal are read, upper case is sent; a lost CR is forgiven, a wrong LRC is not.
"""

from device_profiles.codecs.modbus_pdu import Request, encode_request, match_reply, reply_length, reply_size
from device_profiles.exchange import Answer, Stray, keep_strays
from device_profiles.quality import Reason

START, END = b":", b"\n"
MAX_FRAME = 513
"""Characters: colon, 2 × (address, PDU of 253, LRC), CR, LF (2.5.2.1)."""

_BOUND = 4 * MAX_FRAME


def lrc(data: bytes) -> int:
    """Longitudinal redundancy check (2.5.2.2): two's complement of the sum of the bytes, carries dropped."""
    return -sum(data) & 0xFF


def frame(unit: int, pdu: bytes) -> bytes:
    """Colon, address, PDU and LRC in hexadecimal, CR LF."""
    body = bytes([unit]) + pdu
    return b":" + (body + bytes([lrc(body)])).hex().upper().encode() + b"\r\n"


def parse(line: bytes) -> tuple[int, bytes] | Reason:
    """(unit, PDU) of the characters from colon to line feed; MALFORMED or BAD_CHECKSUM when they are no frame."""
    digits = line[1:].rstrip(b"\r\n")
    try:
        body = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return Reason.MALFORMED
    if len(body) < 3 or len(digits) != 2 * len(body):  # fromhex forgives spaces, the standard does not
        return Reason.MALFORMED
    if sum(body) & 0xFF:
        return Reason.BAD_CHECKSUM
    return body[0], body[1:-1]


def _lines(data: bytes) -> list[tuple[int, int]]:
    """(begin, end) of each colon-to-line-feed stretch, the colon being the last one before its line feed."""
    found, at = [], 0
    while (end := data.find(END, at)) >= 0:
        begin = data.rfind(START, at, end)
        if begin >= 0:
            found.append((begin, end + 1))
        at = end + 1
    return found


def sort_strays(data: bytes) -> list[Stray]:
    """Judge bytes that nobody waited for: whole checked replies are LATE (with unit and shape), the rest NOISE. A shape
    is (function, bytes of the PDU) and 1 behind it, so that it never equals one of RTU on the same line."""
    strays: list[Stray] = []
    noise = 0
    for begin, end in _lines(data):
        parsed = parse(data[begin:end])
        if isinstance(parsed, Reason) or reply_length(parsed[1][:2]) != len(parsed[1]):
            continue
        if noise < begin:
            strays.append(Stray(Reason.NOISE, data[noise:begin]))
        unit, pdu = parsed
        strays.append(Stray(Reason.LATE, data[begin:end], unit, shape_of(pdu[0], len(pdu))))
        noise = end
    if noise < len(data):
        strays.append(Stray(Reason.NOISE, data[noise:]))
    return strays


def shape_of(function: int, size: int) -> tuple[int, int, int]:
    """What tells two ASCII answers of a unit apart: function, bytes of the PDU, and that it is ASCII."""
    return function, size, 1


class AsciiExchange:
    """One question in Modbus ASCII; see ``exchange.Exchange``."""

    def __init__(self, unit: int, request: Request) -> None:
        self.unit = unit
        self.shape = shape_of(request.function, reply_size(request))
        self.strays: list[Stray] = []
        self._request = request
        self._frame = frame(unit, encode_request(request))
        self._buffer = bytearray()
        self._answer: Answer | None = None
        self._damage = Reason.NONE

    def request(self) -> bytes:
        """The question as it goes on the wire."""
        return self._frame

    def next_request(self) -> bytes:
        """Modbus has one answer a question."""
        return b""

    @property
    def started(self) -> bool:
        """True while bytes are held that may still become the answer."""
        return bool(self._buffer)

    @property
    def rest(self) -> bytes:
        """Bytes held and not judged."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        self._buffer += data
        if len(self._buffer) > _BOUND:
            self._set_aside(len(self._buffer) - _BOUND)

    def take(self, silent: bool = False) -> Answer | None:
        """The answer once whole and checked; ``silent`` changes nothing, for a frame says where it ends."""
        while self._answer is None and (end := self._buffer.find(END)) >= 0:
            begin = self._buffer.rfind(START, 0, end)
            parsed = parse(bytes(self._buffer[begin : end + 1])) if begin >= 0 else Reason.NOISE
            if isinstance(parsed, Reason):
                self._damage = parsed
                self._set_aside(end + 1)
            elif parsed[0] != self.unit or (matched := match_reply(self._request, parsed[1])) is None:
                self._set_aside(end + 1)  # our own echo, or another unit's
            else:
                whole = bytes(self._buffer[begin : end + 1])
                self._set_aside(begin)
                del self._buffer[: len(whole)]
                self._answer = Answer(matched[0], matched[1], whole)
        return self._answer

    def _set_aside(self, count: int) -> None:
        data = bytes(self._buffer[:count])
        own = [Stray(Reason.ECHO, data)] if data == self._frame else sort_strays(data)
        keep_strays(self.strays, own)
        del self._buffer[:count]

    def conclude(self) -> Reason:
        """Why there is no answer, judged by what did arrive."""
        if START in self._buffer:
            return Reason.TRUNCATED
        if self._buffer:
            return Reason.NOISE
        return self._damage if self._damage in (Reason.BAD_CHECKSUM, Reason.MALFORMED) else Reason.TIMEOUT


class AsciiRequestReader:
    """The server's half: cuts a byte stream into (unit, PDU) of checked requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.dropped = 0
        """Bytes that belonged to no request."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The requests that are now whole."""
        self._buffer += data
        found: list[tuple[int, bytes]] = []
        while (end := self._buffer.find(END)) >= 0:
            begin = self._buffer.rfind(START, 0, end)
            parsed = parse(bytes(self._buffer[begin : end + 1])) if begin >= 0 else Reason.NOISE
            used = end + 1
            if isinstance(parsed, Reason):
                self.dropped += used
            else:
                found.append(parsed)
                self.dropped += begin
            del self._buffer[:used]
        if len(self._buffer) > MAX_FRAME:
            self.dropped += len(self._buffer) - MAX_FRAME
            del self._buffer[:-MAX_FRAME]
        return found
