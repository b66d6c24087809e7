"""HJ 212 frames (2005, 2017 and 2025, 6.2): ``##``, length, data segment, CRC, CR LF; cut out of a stream, and built.

A frame is found by its length and its check. The one exception is an encrypted body of the 2025 edition: its length
may count the plaintext (Annex A.2) or what is sent (table 2), and its CRC covers the plaintext, so such a frame is
cut at the closing ``&&`` and comes out ``sealed``: unchecked until ``hj212_sealed.open_frame`` has the key.

The check is weak: eight of its sixteen bits survive from one byte to the next, and one damaged frame in 256 passes
it. So a segment must also begin with a letter and end with ``&&`` (6.3.1).
"""

import re

import msgspec

from device_profiles.codecs.modbus_rtu import crc16 as modbus_crc16
from device_profiles.framing import Rejects
from device_profiles.quality import Reason

MARK = b"##"
LIMIT = 8192
"""Bytes of a data segment. The standard allows 1024 (6.2); loggers in the field send 1623, and encryption writes each
byte of up to 950 as five characters."""

STANDARD_LIMIT = 1024
"""Bytes of a data segment that we send ourselves (6.2), encryption aside."""

PATIENCE = 64 * LIMIT
"""Bytes checked in vain since the last good frame, before a reader stops looking for frames inside bad ones: else a few
bytes that pretend to begin long frames would each cost a check of thousands."""

_SEAL = b"CP=&&{"
_SEAL_WITHIN = 512
"""The header before CP is at most some 150 bytes; behind this no encrypted body begins any more."""

_CLEAR_TAIL = 15
"""Bytes of an encrypted body's last, incomplete block, left in clear (Annex A.2)."""

_HEX = frozenset(b"0123456789abcdefABCDEF")
_SEALED_BODY = re.compile(rb"\{(?:0[xX][0-9a-fA-F]{2}(?:, ?|(?=\})))*\}")


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
        table.append(register)
    return table


_TABLE = _crc_table()
_HIGH = bytes(entry >> 8 for entry in _TABLE)


def crc16(data: bytes | bytearray | memoryview) -> int:
    """The CRC of HJ 212 (2017 Annex A, 2025 Annex A.1): the register is shifted eight bits *before* a byte is XORed in.

    That is not the CRC of Modbus. Only the register's high byte reaches the next step, so only that is carried here.
    """
    if not data:
        return 0xFFFF
    high, table = 0xFF, _HIGH
    for byte in data[:-1]:
        high = table[high ^ byte]
    return _TABLE[high ^ data[-1]]


def crc16_swapped(data: bytes | bytearray | memoryview) -> int:
    """What some loggers send instead: the CRC of Modbus, low byte first (seen in tonyxia2016/HJ212Receiver, rx.log)."""
    crc = modbus_crc16(data)
    return crc >> 8 | (crc & 0xFF) << 8


class Frame(msgspec.Struct, frozen=True):
    """A whole frame. ``sealed``: the body is encrypted and ``crc`` is that of the plaintext, so nothing is checked yet.

    ``swapped``: the sender checks with Modbus' CRC, low byte first; it will want its answers like that.
    """

    segment: bytes
    crc: int
    sealed: bool = False
    swapped: bool = False


def frame(segment: bytes, swapped: bool = False) -> Frame:
    """The frame of a plaintext data segment; ValueError when the segment is longer than LIMIT."""
    if len(segment) > LIMIT:
        raise ValueError(f"a data segment of {len(segment)} bytes; {LIMIT} at most")
    return Frame(segment, crc16_swapped(segment) if swapped else crc16(segment), swapped=swapped)


def encode(frame: Frame) -> bytes:
    """The frame as it goes on the wire (6.2): the length counts the bytes that are sent."""
    return b"%b%04d%b%04X\r\n" % (MARK, len(frame.segment), frame.segment, frame.crc)


class Reader:
    """Cuts a byte stream into frames; never raises, holds at most one frame, counts what it could not use.

    Tolerated (all met in the field): a CRC in small letters, no CR LF behind it, a length without leading zeros.
    """

    def __init__(self) -> None:
        self.rejects = Rejects()
        self._buffer = bytearray()
        self._vain = 0

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
            self._drop(Reason.TRUNCATED if self._buffer.startswith(MARK) else Reason.NOISE, final=True)
            self._cut(found)
        return found

    def _cut(self, found: list[Frame]) -> None:
        buffer = self._buffer
        while buffer:
            start = buffer.find(MARK)
            if start:
                if not self._skip(start):
                    return
                continue
            outcome = self._judge()
            if outcome is None:
                return
            if isinstance(outcome, Reason):
                self._drop(outcome)
            else:
                found.append(outcome)

    def _skip(self, start: int) -> bool:
        """Pass over what stands before the next mark (or before a half one); False when nothing is left to look at."""
        buffer = self._buffer
        end = start if start > 0 else len(buffer) - buffer.endswith(b"#")
        self.rejects.add(Reason.NOISE, bytes(buffer[:end]).strip(b"\r\n"))  # the tail of the frame before is no noise
        del buffer[:end]
        return start > 0

    def _drop(self, reason: Reason, final: bool = False) -> None:
        """Give up the mark at the front and everything up to the next one."""
        buffer = self._buffer
        end = buffer.find(MARK, 1) if self._vain < PATIENCE else -1
        if end < 0:
            end = len(buffer) - (buffer.endswith(b"#") and len(buffer) > len(MARK) and not final)
        self.rejects.add(reason, buffer[:end])
        del buffer[:end]

    def _judge(self) -> Frame | Reason | None:
        """The frame at the front, taken out; why there is none; or None while more bytes are needed."""
        buffer = self._buffer
        digits = 0
        while digits < 4 and len(MARK) + digits < len(buffer) and 0x30 <= buffer[len(MARK) + digits] <= 0x39:
            digits += 1
        start = len(MARK) + digits
        if start == len(buffer):
            return None
        if not digits or not (0x41 <= buffer[start] & 0xDF <= 0x5A):
            return Reason.MALFORMED
        size = int(buffer[len(MARK) : start])
        if _SEAL in buffer[start : start + _SEAL_WITHIN]:
            return self._judge_sealed(start)
        if size > LIMIT:
            return Reason.OVERSIZED
        end = start + size
        if len(buffer) < end + 4:
            return None
        return self._check(start, end)

    def _check(self, start: int, end: int) -> Frame | Reason:
        buffer = self._buffer
        if b"&&" not in buffer[max(start, end - 4) : end] or not _HEX.issuperset(buffer[end : end + 4]):
            return Reason.BAD_CHECKSUM
        segment, crc = bytes(buffer[start:end]), int(buffer[end : end + 4], 16)
        if crc != crc16(segment):
            if crc != crc16_swapped(segment):
                self._vain += len(segment)
                return Reason.BAD_CHECKSUM
            self._take(end + 4)
            return Frame(segment, crc, swapped=True)
        self._take(end + 4)
        return Frame(segment, crc)

    def _judge_sealed(self, start: int) -> Frame | Reason | None:
        """2025 Annex A.2: ``CP=&&{0xNN,…}``, up to 15 bytes in clear, ``&&``, CRC of the plaintext."""
        buffer = self._buffer
        opening = buffer.find(_SEAL, start) + len(_SEAL) - 1
        closing = buffer.find(b"}", opening)
        if closing < 0:
            return Reason.OVERSIZED if len(buffer) - start > LIMIT else None
        if not _SEALED_BODY.fullmatch(buffer, opening, closing + 1):
            return Reason.MALFORMED
        end = buffer.find(b"&&", closing, closing + 1 + _CLEAR_TAIL + 2) + 2
        if end < 2:
            return Reason.MALFORMED if len(buffer) > closing + 2 + _CLEAR_TAIL + 2 else None
        if len(buffer) < end + 4:
            return None
        if end - start > LIMIT:
            return Reason.OVERSIZED
        if not _HEX.issuperset(buffer[end : end + 4]):
            return Reason.MALFORMED
        taken = Frame(bytes(buffer[start:end]), int(buffer[end : end + 4], 16), sealed=True)
        self._take(end + 4)
        return taken

    def _take(self, end: int) -> None:
        """Take a frame out of the buffer, with as much of its CR LF as is there."""
        buffer = self._buffer
        while end < len(buffer) and buffer[end] in b"\r\n":
            end += 1
        del buffer[:end]
        self._vain = 0
