"""SL 651-2014 frames, HEX/BCD (6.5) and ASCII (6.4), both directions: cut out of a stream, and built.

Found by length and check, never by the start mark alone: 7E 7E occurs in data. In ASCII every field of the head is the
HEX field written as characters, so both encodings share one head. What a body says is in ``sl651_body``.
"""

import re

import msgspec

from device_profiles.codecs.modbus_rtu import crc16
from device_profiles.framing import Rejects
from device_profiles.quality import Reason

HEX_MARK = b"\x7e\x7e"
SOH = 0x01
STX, SYN = 0x02, 0x16
ETX, ETB = 0x03, 0x17
EOT, ENQ, ACK, NAK, ESC = 0x04, 0x05, 0x06, 0x15, 0x1B
"""Control characters (table 10). Up: ETX last, ETB more to come. Down: EOT sign off, ENQ a question, ACK go on, NAK say
a packet again, ESC stay on line."""

ENDS = frozenset((ETX, ETB, EOT, ENQ, ACK, NAK, ESC))

LIMIT = 4095
"""Bytes of a body, packet numbers included (tables 16, 20: twelve bits); so no frame can be declared longer."""

_HEAD = 11
"""Addresses 6, password 2, function 1, direction and length 2."""

_DOWN = 0x8000

_START = re.compile(rb"\x7e\x7e|\x01(?:[0-9A-Fa-f]{22}|[0-9A-Fa-f]{0,21}\Z)|\x7e\Z")
_HEX_DIGITS = re.compile(rb"[0-9A-Fa-f]+\Z")


class Sl651Error(ValueError):
    """A whole frame whose body says nothing that can be used; the text says what is wrong."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A whole, checked frame.

    ``station``: the five bytes A5 … A1 (6.2.3.2); ``packet``: (total, number) where the frame is a part of a long
    message (M3, SYN), ``body`` then is that part; ``down``: from the centre to the station; ``ascii``: its encoding.
    """

    station: bytes
    function: int
    body: bytes
    centre: int = 1
    password: int = 0
    down: bool = False
    end: int = ETX
    packet: tuple[int, int] | None = None
    ascii: bool = False


def station_bytes(name: str) -> bytes:
    """The five address bytes of a station as people write it; ValueError for what is none.

    "12345678": a hydrological station (table 13); "50023600017": county code and five decimal digits (table 14);
    ten hex digits: the address as it is on the wire.
    """
    if len(name) == 8 and name.isdecimal() and name.isascii():
        return bytes.fromhex("00" + name)
    if len(name) == 11 and name.isdecimal() and name.isascii() and int(name[6:]) <= 0xFFFF:
        return bytes.fromhex(name[:6]) + int(name[6:]).to_bytes(2, "big")
    if len(name) == 10 and _HEX_DIGITS.match(name.encode()):
        return bytes.fromhex(name)
    raise ValueError(f"{name!r} is no station: 8 digits, 6 + 5 digits, or 10 hex digits")


def station_name(station: bytes) -> str:
    """A station's address as people write it (6.2.3.2): A5 = 00 is hydrological, else county code and number."""
    if station[0] == 0:
        return station[1:].hex().upper()
    return f"{station[:3].hex().upper()}{int.from_bytes(station[3:], 'big'):05d}"


def encode(frame: Frame) -> bytes:
    """The frame as it goes on the wire. ValueError when a field does not fit."""
    if len(frame.station) != 5:
        raise ValueError(f"a station address has 5 bytes, not {len(frame.station)}")
    inner = _packet_bytes(frame) + frame.body
    if not 0 < len(inner) <= LIMIT:
        raise ValueError(f"a body of {len(inner)} bytes; 1 to {LIMIT}")
    centre = bytes([frame.centre])
    addresses = frame.station + centre if frame.down else centre + frame.station  # tables 20 and 21: the order differs
    head = b"%b%b%b%b" % (
        addresses,
        frame.password.to_bytes(2, "big"),
        bytes([frame.function]),
        (len(inner) | _DOWN * frame.down).to_bytes(2, "big"),
    )
    start = STX if frame.packet is None else SYN
    if frame.ascii:
        whole = b"\x01%b%c%b%c" % (head.hex().upper().encode(), start, inner, frame.end)
        return whole + b"%04X" % crc16(whole)
    whole = b"%b%b%c%b%c" % (HEX_MARK, head, start, inner, frame.end)
    return whole + crc16(whole).to_bytes(2, "big")  # tables 11 and 20: high byte first, unlike Modbus


def _packet_bytes(frame: Frame) -> bytes:
    """Total and number, twelve bits each (table 22), in ASCII three characters each (table 18)."""
    if frame.packet is None:
        return b""
    total, number = frame.packet
    if not 1 <= number <= total <= LIMIT:
        raise ValueError(f"there is no packet {number} of {total}")
    return b"%03X%03X" % (total, number) if frame.ascii else (total << 12 | number).to_bytes(3, "big")


class Reader:
    """Cuts a byte stream into frames of both encodings and directions; never raises, holds at most one frame.

    Tolerated (met in the field): small letters in ASCII, and a 7E, CR or LF between frames.
    """

    def __init__(self) -> None:
        self.rejects = Rejects()
        self._buffer = bytearray()

    @property
    def held(self) -> int:
        """Bytes held that may still become a frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are now whole."""
        self._buffer += data
        found: list[Frame] = []
        self._cut(found)
        return found

    def flush(self) -> list[Frame]:
        """The stream is silent or closed: what is held never becomes whole. Frames behind a truncated one come out."""
        found: list[Frame] = []
        while self._buffer:
            self._drop(1, Reason.TRUNCATED)
            self._cut(found)
        return found

    def _cut(self, found: list[Frame]) -> None:
        buffer = self._buffer
        while buffer:
            start = _start_in(buffer, 0)
            if start:
                self._discard(start, Reason.NOISE)
                continue
            outcome = self._judge()
            if outcome is None:
                return
            if isinstance(outcome, Reason):
                self._drop(1, outcome)
            else:
                found.append(outcome)

    def _drop(self, at: int, reason: Reason) -> None:
        """Give up the mark at the front and everything up to the next one: a good frame may start inside a bad one."""
        self._discard(_start_in(self._buffer, at), reason)

    def _discard(self, end: int, reason: Reason) -> None:
        self.rejects.add(reason, bytes(self._buffer[:end]).strip(b"\x7e\r\n"))
        del self._buffer[:end]

    def _judge(self) -> Frame | Reason | None:
        """The frame at the front, taken out; why there is none; or None while more bytes are needed."""
        buffer = self._buffer
        text = buffer[0] == SOH
        place = 1 + 2 * _HEAD if text else 2 + _HEAD  # of STX or SYN
        if len(buffer) <= place:
            return None
        head = bytes.fromhex(buffer[1:place].decode("ascii")) if text else bytes(buffer[2:place])
        start, length = buffer[place], head[9] << 8 | head[10]
        size = length & LIMIT
        least = 1 if start == STX else 6 if text else 3
        if start not in (STX, SYN) or length & 0x7000 or size < least:
            return Reason.MALFORMED
        end = place + 1 + size
        whole = end + (5 if text else 3)
        if len(buffer) < whole:
            return None
        if buffer[end] not in ENDS or not _checked(buffer, end + 1, whole, text):
            return Reason.BAD_CHECKSUM
        inner = bytes(buffer[place + 1 : end])
        closing = buffer[end]
        frame = _frame(head, inner, closing, start == SYN, text)
        if isinstance(frame, Frame):
            del buffer[:whole]
        return frame


def _start_in(buffer: bytearray, at: int) -> int:
    """Where a frame may start, from ``at`` on; the buffer's length where none does."""
    found = _START.search(buffer, at)
    return len(buffer) if found is None else found.start()


def _checked(buffer: bytearray, at: int, end: int, text: bool) -> bool:
    """True when the check over everything before it is right (table 11)."""
    said = bytes(buffer[at:end])
    if text:
        return bool(_HEX_DIGITS.match(said)) and crc16(buffer[:at]) == int(said, 16)
    return crc16(buffer[:at]) == said[0] << 8 | said[1]


def _frame(head: bytes, inner: bytes, end: int, many: bool, text: bool) -> Frame | Reason:
    down = bool(head[9] & 0x80)
    packet, body = None, inner
    if many:
        size = 6 if text else 3
        if text and not _HEX_DIGITS.match(inner[:6]):
            return Reason.MALFORMED
        both = int(inner[:6], 16) if text else int.from_bytes(inner[:3], "big")
        packet, body = (both >> 12, both & LIMIT), inner[size:]
        if not 1 <= packet[1] <= packet[0]:
            return Reason.MALFORMED
    return Frame(
        station=head[0:5] if down else head[1:6],
        function=head[8],
        body=body,
        centre=head[5] if down else head[0],
        password=head[6] << 8 | head[7],
        down=down,
        end=end,
        packet=packet,
        ascii=text,
    )
