"""GB/T 26875.3-2011 frames (6.6): ``@@``, control unit, application unit, sum, ``##``; cut out of a stream, and built.

A frame is found by its length and its sum; nothing is escaped, so ``@@`` and ``##`` also occur inside. All numbers
are little-endian. Refuses to wait for more than the 1,024 bytes that a unit may have, whatever a length field says.
"""

from datetime import datetime, timedelta
from enum import IntEnum
from struct import Struct

import msgspec

from device_profiles.framing import Rejects
from device_profiles.quality import Reason

MARK = b"@@"
END = b"##"
LIMIT = 1024
"""Bytes of an application unit (6.6, table 1)."""

ADDRESS_BYTES = 6
TIME_BYTES = 6

_HEAD = Struct("<2sHBB6s6s6sHB")
"""Mark, serial, main and user version, time tag, source, destination, length of the unit, command (6.6, table 1)."""

_SMALLEST = _HEAD.size + len(END) + 1
_LENGTH = _HEAD.size - 3
"""Where the unit's length stands."""

CHINA = timedelta(hours=8)
"""Time tags are China Standard Time, UTC+8 all year."""

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_DAY_US = 86_400_000_000


class Command(IntEnum):
    """What a frame is for (6.6, table 2). 0 and 7 to 127 are reserved, 128 to 255 are the makers' own."""

    CONTROL = 1
    SEND = 2
    CONFIRM = 3
    REQUEST = 4
    RESPONSE = 5
    DENY = 6


class Gb26875Error(ValueError):
    """A whole, checked frame whose unit cannot be what it says; the text says why."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """A whole frame. ``source`` and ``destination``: 6 bytes as on the wire, lowest first; ``sent``: the time tag, raw.

    A frame of command SEND without a ``unit`` is a heartbeat.
    """

    serial: int
    command: int
    source: bytes
    destination: bytes
    sent: bytes
    unit: bytes = b""
    version: int = 1
    user_version: int = 1


def encode(frame: Frame) -> bytes:
    """The frame as it goes on the wire. ValueError when the unit or a number does not fit."""
    size = len(frame.unit)
    if size > LIMIT:
        raise ValueError(f"an application unit of {size} bytes; {LIMIT} at most")
    if (len(frame.source), len(frame.destination), len(frame.sent)) != (ADDRESS_BYTES, ADDRESS_BYTES, TIME_BYTES):
        raise ValueError("addresses and the time tag have 6 bytes each")
    octets = (frame.command, frame.version, frame.user_version)
    if not (0 <= frame.serial <= 0xFFFF and all(0 <= octet <= 0xFF for octet in octets)):
        raise ValueError(f"serial {frame.serial}, or command or versions {octets}, do not fit their fields")
    head = _HEAD.pack(
        MARK,
        frame.serial,
        frame.version,
        frame.user_version,
        frame.sent,
        frame.source,
        frame.destination,
        size,
        frame.command,
    )
    data = head + frame.unit
    return data + bytes([sum(data[len(MARK) :]) & 0xFF]) + END  # the sum leaves out the mark and takes in the command


def answer(frame: Frame, command: int, sent: bytes, unit: bytes = b"") -> Frame:
    """What is owed for a frame: its serial and versions, the addresses the other way round (6.6, table 1)."""
    return Frame(
        serial=frame.serial,
        command=command,
        source=frame.destination,
        destination=frame.source,
        sent=sent,
        unit=unit,
        version=frame.version,
        user_version=frame.user_version,
    )


class Reader:
    """Cuts a byte stream into frames; never raises, holds at most one frame, counts what it could not use."""

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
            self._drop(Reason.TRUNCATED if self._buffer.startswith(MARK) else Reason.NOISE, final=True)
            self._cut(found)
        return found

    def _cut(self, found: list[Frame]) -> None:
        buffer = self._buffer
        while buffer:
            if not buffer.startswith(MARK):
                if not self._skip():
                    return
                continue
            outcome = self._judge()
            if outcome is None:
                return
            if isinstance(outcome, Reason):
                self._drop(outcome)
            else:
                found.append(outcome)

    def _skip(self) -> bool:
        """Pass over what stands before the next mark (or before a half one); False when there is no mark."""
        buffer = self._buffer
        start = buffer.find(MARK)
        end = start if start >= 0 else len(buffer) - buffer.endswith(MARK[:1])
        self.rejects.add(Reason.NOISE, buffer[:end])
        del buffer[:end]
        return start >= 0

    def _drop(self, reason: Reason, final: bool = False) -> None:
        """Give up the mark at the front and everything up to the next one: a good frame may start inside a bad one."""
        buffer = self._buffer
        end = buffer.find(MARK, 1)
        if end < 0:
            end = len(buffer) - (len(buffer) > 1 and buffer.endswith(MARK[:1]) and not final)
        self.rejects.add(reason, buffer[:end])
        del buffer[:end]

    def _judge(self) -> Frame | Reason | None:
        """The frame at the front, taken out; why there is none; or None while more bytes are needed."""
        buffer = self._buffer
        if len(buffer) < _LENGTH + 2:
            return None
        size = buffer[_LENGTH] | buffer[_LENGTH + 1] << 8
        if size > LIMIT:
            return Reason.OVERSIZED  # at once: 64 kB would never come (6.5: a unit too long is an error)
        end = _SMALLEST + size
        if len(buffer) < end:
            return None
        check = _HEAD.size + size
        if sum(buffer[len(MARK) : check]) & 0xFF != buffer[check]:
            return Reason.BAD_CHECKSUM
        if buffer[check + 1 : end] != END:
            return Reason.MALFORMED
        _, serial, version, user_version, sent, source, destination, _, command = _HEAD.unpack_from(buffer)
        unit = bytes(buffer[_HEAD.size : check])
        del buffer[:end]
        return Frame(
            serial=serial,
            command=command,
            source=source,
            destination=destination,
            sent=sent,
            unit=unit,
            version=version,
            user_version=user_version,
        )


# --- time tags (8.2.2): second, minute, hour, day, month, year less 2000 ----------------------------------------------


def write_time(at: int) -> bytes:
    """The time tag of a moment (UTC µs), each part one binary byte. ValueError outside of 2000 to 2099."""
    local = _EPOCH + timedelta(microseconds=at) + CHINA
    if not 2000 <= local.year <= 2099:
        raise ValueError(f"a time tag says no year {local.year}")
    return bytes((local.second, local.minute, local.hour, local.day, local.month, local.year - 2000))


def read_time(tag: bytes, told: int | None = None) -> int | None:
    """The moment (UTC µs) of a time tag; None where it is none, as all zeros are.

    Some makers write event times in BCD: taken so where no binary reading is possible, or where the binary one lies a
    day and more behind ``told``, the moment at which the event was told, and the BCD one does not.
    """
    binary = _moment(tag)
    if binary is not None and (told is None or binary <= told + _DAY_US):
        return binary
    digits = tag.hex()
    coded = _moment(bytes(int(digits[at : at + 2]) for at in range(0, 12, 2))) if digits.isdecimal() else None
    if binary is None or (coded is not None and told is not None and coded <= told + _DAY_US):
        return coded
    return binary


def _moment(tag: bytes) -> int | None:
    second, minute, hour, day, month, year = tag
    try:
        local = datetime(2000 + year, month, day, hour, minute, second)
    except ValueError:
        return None
    return None if year > 99 else (local - CHINA - _EPOCH) // _MICROSECOND


# --- addresses -------------------------------------------------------------------------------------------------------


def address_text(address: bytes) -> str:
    """An address as 12 hexadecimal digits, highest byte first: the number that it is (6.6: low byte first)."""
    return address[::-1].hex().upper()


def address_names(address: bytes) -> tuple[str, ...]:
    """The ways to write an address: 12 hexadecimal digits, and the decimal number that panels show, where shorter."""
    number = str(int.from_bytes(address, "little"))
    text = address_text(address)
    return (text, number) if len(number) < len(text) else (text,)


def address_bytes(text: str) -> bytes:
    """The address that ``address_names`` writes like this. ValueError for another text."""
    try:
        number = int(text, 16 if len(text) == 2 * ADDRESS_BYTES else 10)
        address = number.to_bytes(ADDRESS_BYTES, "little")
    except (ValueError, OverflowError):
        address = bytes(ADDRESS_BYTES)
    if text.upper() not in address_names(address):
        raise ValueError(f"{text!r} is no address: 12 hexadecimal digits, or a decimal number of up to 11")
    return address
