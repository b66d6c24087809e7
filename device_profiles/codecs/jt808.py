"""JT/T 808 frames (2013, 2019; 2011 tolerated), both directions: ``7E``, escaped header, body and check, ``7E``.

Every ``7E`` ends a frame and starts the next (2013, 4.4). What lies between two is unescaped once it is whole, so an
escape pair may be cut by a read. The check is one XOR byte, and a turned bit that breaks an escape pair (7D 02 → 7C 02)
leaves it intact: a frame must also be as long as its header says, unless the reader is told to be lenient.
"""

import msgspec

from device_profiles.framing import Rejects
from device_profiles.quality import Reason

MARK, ESCAPE = 0x7E, 0x7D
_MARK, _ESCAPE = b"\x7e", b"\x7d"
_ESCAPED_MARK, _ESCAPED_ESCAPE = b"\x7d\x02", b"\x7d\x01"

MAX_BODY = 1023
"""Bytes of a body: ten bits of the attributes (4.4.3)."""

MAX_PIECE = 2 * (21 + MAX_BODY + 1)
"""The longest frame between its marks, were every byte of it escaped."""

LENGTH_BITS, ENCRYPTION_BITS, PARTS_BIT, VERSION_BIT = 0x03FF, 0x1C00, 0x2000, 0x4000
"""Attributes (2013 figure 2; bit 14: 2019 figure 3)."""

_DIGITS = {2013: 12, 2019: 20}
"""Of a terminal number, two a byte (4.4.3)."""

_SHORTEST = 13  # a 2013 header and the check


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One checked frame. ``number``: the terminal's, 12 digits or (2019) 20, leading zeros kept.

    ``edition`` is the header's: 2013 (2011 has the same) or 2019, then with the protocol's ``version`` byte. ``part``
    of ``total`` counts from 1 where a message comes in sub-packets, both 0 where it does not. ``encryption``: 0 none,
    1 RSA. ``odd``: the body is not as long as the header said, and the reader was told to take it all the same.
    """

    message: int
    number: str
    serial: int
    body: bytes = b""
    edition: int = 2013
    version: int = 1
    total: int = 0
    part: int = 0
    encryption: int = 0
    odd: bool = False


def check_of(data: bytes | bytearray) -> int:
    """XOR of all bytes (4.4.4), by folding the whole in halves."""
    folded = int.from_bytes(data, "big")
    bits = 8
    while bits < 8 * len(data):
        bits *= 2
    while bits > 8:
        bits //= 2
        folded ^= folded >> bits  # what stands above the low half no longer matters
    return folded & 0xFF


def escape(data: bytes) -> bytes:
    """7E becomes 7D 02, 7D becomes 7D 01 (4.4.2)."""
    return data.replace(_ESCAPE, _ESCAPED_ESCAPE).replace(_MARK, _ESCAPED_MARK)


def unescape(data: bytes) -> bytes | None:
    """The inverse; None where 7D is followed by anything else. A 7D at the very end stands for itself: terminals are
    met that do not escape their check byte."""
    if _ESCAPE not in data:
        return data
    last = data[-1:] if data.endswith(_ESCAPE) else b""
    body = data[:-1] if last else data
    if body.count(_ESCAPE) != body.count(_ESCAPED_ESCAPE) + body.count(_ESCAPED_MARK):
        return None
    return body.replace(_ESCAPED_MARK, _MARK).replace(_ESCAPED_ESCAPE, _ESCAPE) + last


def encode(frame: Frame) -> bytes:
    """The frame as it goes on the wire. ValueError for what a header cannot say."""
    digits = _DIGITS.get(frame.edition)
    if digits is None:
        raise ValueError(f"edition {frame.edition} has no header: 2013 or 2019")
    if len(frame.body) > MAX_BODY:
        raise ValueError(f"a body of {len(frame.body)} bytes; {MAX_BODY} at most, the rest goes into sub-packets")
    number = frame.number.zfill(digits)
    if len(number) != digits or not number.isascii() or not number.isalnum():
        raise ValueError(f"{frame.number!r} is no terminal number of at most {digits} digits")
    parts = frame.total > 0
    attributes = len(frame.body) | (frame.encryption & 7) << 10 | PARTS_BIT * parts
    head = frame.message.to_bytes(2, "big")
    if frame.edition == 2019:
        head += (attributes | VERSION_BIT).to_bytes(2, "big") + bytes([frame.version])
    else:
        head += attributes.to_bytes(2, "big")
    head += bytes.fromhex(number) + frame.serial.to_bytes(2, "big")
    if parts:
        head += frame.total.to_bytes(2, "big") + frame.part.to_bytes(2, "big")
    data = head + frame.body
    return _MARK + escape(data + bytes([check_of(data)])) + _MARK


class Reader:
    """Cuts a byte stream into frames; never raises, holds at most one unfinished frame, counts what it could not use.

    ``lenient``: a frame with a right check and a wrong length is taken and marked ``odd``. Some terminals count wrong.
    """

    def __init__(self, lenient: bool = False) -> None:
        self.rejects = Rejects()
        self._lenient = lenient
        self._buffer = bytearray()
        self._started = False  # a mark has been seen: what follows it ought to be a frame
        self._babble = False  # what comes until the next mark belongs to a piece that was too long

    @property
    def held(self) -> int:
        """Bytes held that may still become a frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are now whole."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        if MARK in data:
            *pieces, rest = bytes(buffer).split(_MARK)
            buffer[:] = rest
            for piece in pieces:
                if piece:
                    self._take(piece, frames)
                self._started, self._babble = True, False
        if len(buffer) > MAX_PIECE:
            self.rejects.add(Reason.OVERSIZED if self._started else Reason.NOISE, buffer)
            buffer.clear()
            self._babble = True
        return frames

    def flush(self) -> list[Frame]:
        """The stream is silent or closed: what is held never becomes whole."""
        self.rejects.add(Reason.TRUNCATED if self._started and not self._babble else Reason.NOISE, self._buffer)
        self._buffer.clear()
        self._started = self._babble = False
        return []

    def _take(self, piece: bytes, frames: list[Frame]) -> None:
        found = Reason.OVERSIZED if self._babble else _judge(piece, self._lenient)
        if isinstance(found, Frame):
            frames.append(found)
        else:
            self.rejects.add(found if self._started else Reason.NOISE, piece)


def _judge(piece: bytes, lenient: bool) -> Frame | Reason:
    """What lies between two marks: a frame, or why it is none."""
    data = unescape(piece)
    if data is None:
        return Reason.MALFORMED
    if len(data) < _SHORTEST - 1:
        return Reason.TRUNCATED
    size = len(data) - 1
    attributes = data[2] << 8 | data[3]
    length = attributes & LENGTH_BITS
    parts = 4 if attributes & PARTS_BIT else 0
    right = wrong = 12 + parts
    if attributes & VERSION_BIT:
        right += 5
    else:
        wrong += 5
    check = check_of(data)
    if check == MARK and size + 1 in (right + length, wrong + length):
        data, size, check = data + _MARK, size + 1, 0  # the check byte is 7E, and nobody escaped it
    if check:
        return Reason.TRUNCATED if size < min(right, wrong) + length else Reason.BAD_CHECKSUM
    if size == right + length:
        return _frame(data, right, parts)
    if size == wrong + length:  # bit 14 lies: 2019 terminals forget it, 2013 ones set it
        return _frame(data, wrong, parts)
    if lenient and size >= right:
        return _frame(data, right, parts, odd=True)
    return Reason.TRUNCATED if size < right + length else Reason.MALFORMED


def _frame(data: bytes, head: int, parts: int, odd: bool = False) -> Frame:
    """The frame in unescaped ``data`` whose header takes ``head`` bytes, the last ``parts`` of them packet numbers."""
    new = head - parts == 17
    serial = head - parts - 2
    total = data[head - 4] << 8 | data[head - 3] if parts else 0
    return Frame(
        message=data[0] << 8 | data[1],
        number=data[5 if new else 4 : serial].hex().upper(),
        serial=data[serial] << 8 | data[serial + 1],
        body=data[head:-1],
        edition=2019 if new else 2013,
        version=data[4] if new else 1,
        total=total,
        part=data[head - 2] << 8 | data[head - 1] if total else 0,  # packets of no message are none
        encryption=(data[2] & 0x1C) >> 2,
        odd=odd,
    )
