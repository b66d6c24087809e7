"""DL/T 645-2007 and -1997 frames, both directions: electricity meters on RS-485 (2007, clauses 5 and 7).

``68 A0…A5 68 C L DATA CS 16``: six address bytes low first, data bytes with 33 added to each, a sum modulo 256. The
editions differ in control codes and in the width of a data identifier. Refuses to know what an item means.
"""

import msgspec

from device_profiles.codecs.meter_frames import (
    REFUSED,
    SLAVE,
    START,
    UNNAMED_ERROR,
    Bytes,
    FrameReader,
    Layout,
    MeterExchange,
    address_bytes,
    address_text,
    is_addressed,
    sealed,
)
from device_profiles.codecs.meter_frames import sort_strays as _sort_strays
from device_profiles.exchange import Answer, Stray

WILDCARD = "AAAAAAAAAAAA"
"""Any meter answers: for a line with a single one (2007, 5.2.2). Pairs of A also fill up a shortened address."""
EVERYBODY = "999999999999"
"""All meters hear and none answers (2007, 5.2.2)."""

ADDRESS_SIZE = 6
CONTROL_AT = 8
DATA_AT = 10
LAYOUT = Layout(DATA_AT, 7, 200)
"""2007, 5.2.4: at most 200 bytes in an answer, 50 in a write."""

MORE = 0x20
"""Bit 5 of the control byte: more frames of this answer can be asked for (2007, 5.2.3)."""
FUNCTION = 0x1F

_ADD = bytes((byte + 0x33) & 0xFF for byte in range(256))
_TAKE = bytes((byte - 0x33) & 0xFF for byte in range(256))
"""2007, 5.2.5: the sender adds 33 to each data byte, the receiver takes it away, modulo 256."""

ERRORS_2007 = (
    "other",
    "no such data",
    "wrong password or no authority",
    "baud rate cannot change",
    "too many yearly zones",
    "too many daily slots",
    "too many tariffs",
)
"""Bits of the error byte, from bit 0 (2007, annex of error codes)."""


class Dlt645Error(ValueError):
    """A whole frame does not say what was expected; the text says why."""


class Edition(msgspec.Struct, frozen=True):
    """What the two editions say differently. ``wide``: bytes of a data identifier; ``numbered``: follow-up frames carry
    a sequence byte."""

    year: int
    wide: int
    read: int
    follow: int
    write: int
    numbered: bool


E2007 = Edition(2007, 4, 0x11, 0x12, 0x14, True)  # 2007, 7.1 to 7.3
E1997 = Edition(1997, 2, 0x01, 0x02, 0x04, False)  # 1997, control codes 01, 02, 04
EDITIONS = {2007: E2007, 1997: E1997}
READ_ADDRESS = 0x13  # 2007, 7.4; the 1997 edition has nothing of the kind


class Frame(msgspec.Struct, frozen=True):
    """One checked frame. ``address``: 12 digits, high first; ``control``: the whole byte; ``data``: without the 33."""

    address: str
    control: int
    data: bytes

    @property
    def function(self) -> int:
        """Bits 0 to 4 of the control byte."""
        return self.control & FUNCTION

    @property
    def from_meter(self) -> bool:
        """True for an answer."""
        return bool(self.control & SLAVE)

    @property
    def refused(self) -> bool:
        """True when the meter refuses; ``data`` is then an error byte."""
        return bool(self.control & REFUSED)

    @property
    def more(self) -> bool:
        """True when the answer goes on in another frame."""
        return bool(self.control & MORE)


def encode(frame: Frame, preamble: int = 0) -> bytes:
    """A frame as it goes on the wire, behind ``preamble`` bytes FE. ValueError for what fits no frame."""
    if len(frame.data) > LAYOUT.longest:
        raise ValueError(f"{len(frame.data)} data bytes, a frame has at most {LAYOUT.longest}")
    head = bytes([START, *address_bytes(frame.address, ADDRESS_SIZE), START, frame.control, len(frame.data)])
    return sealed(head + frame.data.translate(_ADD), preamble)


def _make(data: Bytes) -> Frame:
    return Frame(address_text(data[1:7]), data[CONTROL_AT], bytes(data[DATA_AT:-2]).translate(_TAKE))


class Reader(FrameReader[Frame]):
    """Cuts a byte stream of a line into frames of both directions; see ``Frame.from_meter``."""

    def __init__(self) -> None:
        super().__init__(LAYOUT, _make)


def identifier_bytes(identifier: int, edition: Edition) -> bytes:
    """A data identifier as on the wire, low byte first (2007, 5.3; DI0 is the lowest)."""
    return identifier.to_bytes(edition.wide, "little")


def parse_identifier(frame: Frame, edition: Edition) -> tuple[int, bytes]:
    """(identifier, what stands behind it) of a read, a write or an answer to a read. Dlt645Error when it is too
    short."""
    if len(frame.data) < edition.wide:
        raise Dlt645Error(f"{len(frame.data)} data bytes hold no identifier")
    return int.from_bytes(frame.data[: edition.wide], "little"), frame.data[edition.wide :]


def parse_address(frame: Frame) -> str:
    """The address that an answer to READ_ADDRESS names. Dlt645Error when it is no such answer."""
    if frame.control != READ_ADDRESS | SLAVE or len(frame.data) != ADDRESS_SIZE:
        raise Dlt645Error("is no answer to a question for the address")
    return address_text(frame.data)


def describe(data: bytes) -> tuple[str, tuple[int, ...]]:
    """(unit, shape) of a whole frame; an answer that goes on has the shape of one that ends."""
    frame = _make(data)
    control = frame.control & ~MORE
    for edition in EDITIONS.values():
        if control & ~SLAVE in (edition.read, edition.follow) and len(frame.data) >= edition.wide:
            return frame.address, (control, parse_identifier(frame, edition)[0])
    return frame.address, (control,)


def sort_strays(data: bytes) -> list[Stray]:
    """Judge bytes that nobody waited for: whole answers are LATE, whole questions ECHO, the rest NOISE."""
    return _sort_strays(LAYOUT, CONTROL_AT, describe, data)


class CommandExchange(MeterExchange):
    """One question that a single frame answers: ``function`` with ``data``; the answer's data must begin with
    ``begins``."""

    layout = LAYOUT
    control_at = CONTROL_AT

    def __init__(self, unit: str, function: int, data: bytes = b"", begins: bytes = b"", preamble: int = 4) -> None:
        shape = (function | SLAVE, int.from_bytes(begins, "little")) if begins else (function | SLAVE,)
        self._function = function
        self._begins = begins
        self._preamble = preamble
        super().__init__(unit, shape, encode(Frame(unit, function, data), preamble))

    def describe(self, frame: bytes) -> tuple[str, tuple[int, ...]]:
        """(unit, shape) of a whole frame."""
        return describe(frame)

    def is_mine(self, frame: bytes) -> bool:
        """Address, function and identifier must be those asked; a refusal names no identifier."""
        said = _make(frame)
        if said.function != self._function or not is_addressed(self.unit, said.address):
            return False
        return said.refused or said.data.startswith(self._begins)

    def accept(self, frame: bytes) -> Answer | None:
        """The data behind what it must begin with; ``exception`` is the error byte."""
        said = _make(frame)
        if said.refused:
            return refusal(said, self._frames)
        return Answer(said.data[len(self._begins) :], 0, self._frames)


def refusal(said: Frame, frames: bytes) -> Answer:
    """D1, C1 and their kin: ``exception`` is the error byte (2007, 7.1), never 0."""
    return Answer(b"", (said.data[0] if said.data else 0) or UNNAMED_ERROR, frames)


class AddressExchange(CommandExchange):
    """Ask the only meter on a line who it is (2007, 7.4); ``Answer.data``: its address as on the wire."""

    def __init__(self, preamble: int = 4) -> None:
        super().__init__(WILDCARD, READ_ADDRESS, preamble=preamble)

    def is_mine(self, frame: bytes) -> bool:
        """A whole address."""
        return super().is_mine(frame) and (bool(frame[CONTROL_AT] & REFUSED) or frame[9] == ADDRESS_SIZE)


class ReadExchange(CommandExchange):
    """Read one item or block. Where the meter says that more follows, ``next_request`` asks for it (2007, 7.2: the
    identifier and a number from 1, which the answer repeats at its end; 1997: the identifier alone)."""

    def __init__(self, unit: str, identifier: int, edition: Edition = E2007, preamble: int = 4) -> None:
        begins = identifier_bytes(identifier, edition)
        super().__init__(unit, edition.read, begins, begins, preamble)
        self._edition = edition
        self._number = 0  # of the follow-up frame that is waited for

    def is_mine(self, frame: bytes) -> bool:
        """Also the number of a follow-up frame must be the one asked."""
        if not super().is_mine(frame):
            return False
        if not self._number or not self._edition.numbered or frame[CONTROL_AT] & REFUSED:
            return True
        return frame[DATA_AT - 1] > self._edition.wide and _TAKE[frame[-3]] == self._number

    def accept(self, frame: bytes) -> Answer | None:
        """The item's bytes, of all frames together, without identifiers and numbers."""
        said = _make(frame)
        if said.refused:
            return refusal(said, self._frames)
        data = said.data[self._edition.wide :]
        if self._number and self._edition.numbered:
            data = data[:-1]
        if not said.more:
            return Answer(self._parts + data, 0, self._frames)
        if self._number == 255:
            return Answer(b"", UNNAMED_ERROR, self._frames)  # a meter that never ends
        self._number += 1
        self._function = self._edition.follow
        number = bytes([self._number]) if self._edition.numbered else b""
        self._ask_on(data, encode(Frame(self.unit, self._function, self._begins + number), self._preamble))
        return None
