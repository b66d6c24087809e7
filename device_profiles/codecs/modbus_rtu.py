"""Modbus RTU frames, both directions (MODBUS over Serial Line V1.02, 2.5.1): address, PDU, CRC-16 low byte first.

Frames are found by length and check, never by timing: user space cannot measure 1.5 characters. After a bad check
one byte is dropped and the search goes on, for a good frame may start inside the bad one.
"""

from device_profiles.codecs.modbus_pdu import (
    Request,
    encode_request,
    match_reply,
    reply_length,
    reply_size,
    request_length,
)
from device_profiles.exchange import Answer, Stray, keep_strays
from device_profiles.quality import Reason

MAX_FRAME = 256
_BOUND = 4 * MAX_FRAME
"""A babbling line cannot grow a buffer beyond this: four frames are more than one exchange can meet."""


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
        table.append(register)
    return table


_TABLE = _crc_table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/MODBUS (V1.02, 6.2.2): polynomial 0xA001 reflected, start 0xFFFF."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register


def frame(unit: int, pdu: bytes) -> bytes:
    """Address, PDU, check."""
    body = bytes([unit]) + pdu
    return body + crc16(body).to_bytes(2, "little")


def _checked(data: bytes | bytearray) -> bool:
    return crc16(data) == 0  # over a frame with its own CRC the register ends at zero


def sort_strays(data: bytes, request: bytes = b"") -> list[Stray]:
    """Judge bytes that nobody waited for: whole checked replies are LATE (with unit and shape), our own request is
    ECHO, the rest NOISE."""
    strays: list[Stray] = []
    noise = at = 0  # where the noise in hand began, and where we are
    while at < len(data):
        echo = bool(request) and data.startswith(request, at)
        size = len(request) if echo else _whole_frame(data, at)
        if size == 0:
            at += 1
            continue
        if noise < at:
            strays.append(Stray(Reason.NOISE, data[noise:at]))
        whole = data[at : at + size]
        strays.append(Stray(Reason.ECHO, whole) if echo else Stray(Reason.LATE, whole, whole[0], (whole[1], size)))
        noise = at = at + size
    if noise < at:
        strays.append(Stray(Reason.NOISE, data[noise:at]))
    return strays


def _whole_frame(data: bytes, at: int) -> int:
    """Length of the checked reply that starts at ``at``, else 0."""
    length = reply_length(data[at + 1 : at + 3])
    end = at + (length or 0) + 3
    return end - at if length and end <= len(data) and _checked(data[at:end]) else 0


class RtuExchange:
    """One question on an RTU line; see ``exchange.Exchange``. ``echo``: the adapter hears what it sends."""

    def __init__(self, unit: int, request: Request, echo: bool = False) -> None:
        self.unit = unit
        self.shape = (request.function, reply_size(request) + 3)
        self.strays: list[Stray] = []
        self._request = request
        self._frame = frame(unit, encode_request(request))
        self._awaiting_echo = echo
        self._buffer = bytearray()
        self._answer: Answer | None = None

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
        """Bytes held and not judged: what came behind the answer, or what never became one."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        self._buffer += data
        if self._awaiting_echo and len(self._buffer) >= len(self._frame):
            if self._buffer.startswith(self._frame):
                self._set_aside(len(self._frame))
            self._awaiting_echo = False
        if len(self._buffer) > _BOUND:
            self._set_aside(len(self._buffer) - _BOUND)

    def take(self, silent: bool = False) -> Answer | None:
        """The answer once whole and checked. ``silent``: no more bytes will come, so look behind a candidate that never
        became whole."""
        if self._answer is not None or self._awaiting_echo:
            return self._answer
        buffer = self._buffer
        self._strip()
        start = 0
        while start + 5 <= len(buffer):
            size = self._size_at(start)
            if size and start + size > len(buffer):
                if not silent:
                    return None
            elif size and _checked(buffer[start : start + size]):
                return self._accept(start, size)
            start += 1
        return None

    def _size_at(self, start: int) -> int:
        """Length of our answer if it may start here, else 0."""
        buffer = self._buffer
        if buffer[start] != self.unit:
            return 0
        if buffer[start + 1] == self._request.function | 0x80:
            return 5 if buffer[start + 2] else 0  # an exception with the code 0 is none
        if buffer[start + 1] != self._request.function:
            return 0
        size = self.shape[1]
        if start + size > len(buffer):
            plausible = self._request.function > 4 or buffer[start + 2] == size - 5
            return size if plausible else 0
        return size if match_reply(self._request, bytes(buffer[start + 1 : start + size - 2])) else 0

    def _accept(self, start: int, size: int) -> Answer | None:
        self._set_aside(start)
        whole = bytes(self._buffer[:size])
        matched = match_reply(self._request, whole[1:-2])
        if matched is not None:
            del self._buffer[:size]
            self._answer = Answer(matched[0], matched[1], whole)
        return self._answer

    def _strip(self) -> None:
        """Set aside whole frames of others at the front, so that waiting for our own goes on undisturbed."""
        while len(self._buffer) >= 5 and not self._size_at(0):
            size = reply_length(bytes(self._buffer[1:3]))
            if not size or len(self._buffer) < size + 3 or not _checked(self._buffer[: size + 3]):
                return
            self._set_aside(size + 3)

    def _set_aside(self, count: int) -> None:
        keep_strays(self.strays, sort_strays(bytes(self._buffer[:count]), self._frame))
        del self._buffer[:count]

    def conclude(self) -> Reason:
        """Why there is no answer, judged by what did arrive."""
        buffer = self._buffer
        if not buffer:
            return Reason.TIMEOUT
        if buffer[0] == self.unit and len(buffer) > 1 and buffer[1] & 0x7F == self._request.function:
            expected = 5 if buffer[1] & 0x80 else self.shape[1]
            return Reason.TRUNCATED if len(buffer) < expected else Reason.BAD_CHECKSUM
        if len(buffer) < 5 and buffer[0] == self.unit:
            return Reason.TRUNCATED
        return Reason.NOISE


class RtuRequestReader:
    """The server's half: cuts a byte stream into (unit, PDU) of checked requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.dropped = 0
        """Bytes that belonged to no request."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The requests that are now whole."""
        buffer = self._buffer
        buffer += data
        found: list[tuple[int, bytes]] = []
        while len(buffer) >= 4:
            length = request_length(bytes(buffer[1:8]))
            if length is None and len(buffer) < 8:
                break
            size = (length or 0) + 3
            if length and size <= MAX_FRAME and len(buffer) < size:
                break
            if length and size <= MAX_FRAME and _checked(buffer[:size]):
                found.append((buffer[0], bytes(buffer[1 : size - 2])))
                del buffer[:size]
            else:
                del buffer[:1]
                self.dropped += 1
        return found
