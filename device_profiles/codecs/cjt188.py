"""CJ/T 188-2004 and -2018 frames, both directions: water, heat and gas meters on RS-485 or M-Bus.

``68 T A0…A6 C L DATA CS 16``: a kind byte, seven address bytes low first, data as they are, a sum modulo 256. DATA
begins with a data identifier and a serial number. Makers disagree about the identifier's byte order: it is sent as the
profile says, and taken in either. Refuses to know what an item means. The standard's text was not at hand: layouts and
codes are those on which published captures of several makers agree.
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

WILDCARD = "AAAAAAAAAAAAAA"
"""Any meter answers: for a line with a single one."""
ANY_KIND = 0xAA

ADDRESS_SIZE = 7
CONTROL_AT = 9
DATA_AT = 11
LAYOUT = Layout(DATA_AT, 0, 255, frozenset({*range(0x10, 0x50), ANY_KIND}))
"""T is 10 to 49 (water 1x, heat 2x, gas 3x, others 4x; makers use the second digit); bytes that cannot be a kind
start no frame."""

READ, READ_ADDRESS, WRITE, WRITE_ADDRESS, MOTOR = 0x01, 0x03, 0x04, 0x15, 0x16
"""Control codes of questions (2004)."""

ORDERS = ("low_first", "high_first")
"""901F goes as 1F 90 or as 90 1F."""

VALVE_ITEM = 0xA017
ADDRESS_ITEM = 0x810A
VALVE_ACTIONS = {"open": 0x55, "close": 0x99}
"""Content of a write to A017 (2004); makers add codes of their own."""


class Cjt188Error(ValueError):
    """A whole frame does not say what was expected; the text says why."""


class Frame(msgspec.Struct, frozen=True):
    """One checked frame. ``kind``: T; ``address``: 14 hexadecimal digits, maker's four first; ``data``: as they are."""

    kind: int
    address: str
    control: int
    data: bytes

    @property
    def from_meter(self) -> bool:
        """True for an answer."""
        return bool(self.control & SLAVE)

    @property
    def refused(self) -> bool:
        """True when the meter refuses."""
        return bool(self.control & REFUSED)


class Said(msgspec.Struct, frozen=True):
    """DATA of a frame: the item, the serial number that an answer repeats, and what it says of the item."""

    identifier: int
    serial: int
    content: bytes


def encode(frame: Frame, preamble: int = 0) -> bytes:
    """A frame as it goes on the wire, behind ``preamble`` bytes FE. ValueError for what fits no frame."""
    if len(frame.data) > LAYOUT.longest:
        raise ValueError(f"{len(frame.data)} data bytes, a frame has at most {LAYOUT.longest}")
    head = [START, frame.kind, *address_bytes(frame.address, ADDRESS_SIZE), frame.control, len(frame.data)]
    return sealed(bytes(head) + frame.data, preamble)


def _make(data: Bytes) -> Frame:
    return Frame(data[1], address_text(data[2:9]), data[CONTROL_AT], bytes(data[DATA_AT:-2]))


class Reader(FrameReader[Frame]):
    """Cuts a byte stream of a line into frames of both directions; see ``Frame.from_meter``."""

    def __init__(self) -> None:
        super().__init__(LAYOUT, _make)


def encode_said(said: Said, order: str = "low_first") -> bytes:
    """DATA of a frame, the identifier in the order that the maker wants."""
    wire = said.identifier.to_bytes(2, "little" if order == "low_first" else "big")
    return wire + bytes([said.serial]) + said.content


def parse_said(frame: Frame, order: str = "low_first") -> Said:
    """DATA of a frame. Cjt188Error when it is too short."""
    if len(frame.data) < 3:
        raise Cjt188Error(f"{len(frame.data)} data bytes hold no identifier and serial number")
    identifier = int.from_bytes(frame.data[:2], "little" if order == "low_first" else "big")
    return Said(identifier, frame.data[2], frame.data[3:])


def swapped(identifier: int) -> int:
    """The identifier read in the other order."""
    return identifier >> 8 | (identifier & 0xFF) << 8


def valve_frame(kind: int, address: str, action: str, serial: int = 0, order: str = "low_first") -> Frame:
    """Open or close the valve. KeyError for an action that is not in VALVE_ACTIONS."""
    said = Said(VALVE_ITEM, serial, bytes([VALVE_ACTIONS[action]]))
    return Frame(kind, address, WRITE, encode_said(said, order))


def parse_valve(frame: Frame) -> str:
    """The action in a master's frame, in either order. Cjt188Error when it is none."""
    said = parse_said(frame)
    known = {bytes([code]): action for action, code in VALVE_ACTIONS.items()}
    if frame.control != WRITE or VALVE_ITEM not in (said.identifier, swapped(said.identifier)):
        raise Cjt188Error("is no order to the valve")
    if said.content not in known:
        raise Cjt188Error(f"is no action of the valve: {said.content.hex().upper()}")
    return known[said.content]


def describe(data: bytes) -> tuple[str, tuple[int, ...]]:
    """(unit, shape) of a whole frame. The identifier in a shape is the smaller of its two readings, so that both
    orders are one."""
    frame = _make(data)
    if frame.refused or len(frame.data) < 3:
        return frame.address, (frame.control,)
    return frame.address, shape_of(frame.control, parse_said(frame).identifier)


def shape_of(control: int, identifier: int) -> tuple[int, int]:
    """What tells two answers of one meter apart."""
    return control, min(identifier, swapped(identifier))


def sort_strays(data: bytes) -> list[Stray]:
    """Judge bytes that nobody waited for: whole answers are LATE, whole questions ECHO, the rest NOISE."""
    return _sort_strays(LAYOUT, CONTROL_AT, describe, data)


class ReadExchange(MeterExchange):
    """One question that a single frame answers: read an item (``control`` READ), or the address (READ_ADDRESS).

    The answer's serial number is not compared: not every maker repeats it. ``Answer.data``: the item's content;
    ``exception``: the status word that comes with a refusal, never 0.
    """

    layout = LAYOUT
    control_at = CONTROL_AT

    def __init__(
        self,
        kind: int,
        unit: str,
        identifier: int,
        order: str = "low_first",
        serial: int = 0,
        preamble: int = 4,
        control: int = READ,
        content: bytes = b"",
    ) -> None:
        self._kind = kind
        self._control = control
        self._identifiers = (identifier, swapped(identifier))
        question = Frame(kind, unit, control, encode_said(Said(identifier, serial, content), order))
        super().__init__(unit, shape_of(control | SLAVE, identifier), encode(question, preamble))

    def describe(self, frame: bytes) -> tuple[str, tuple[int, ...]]:
        """(unit, shape) of a whole frame."""
        return describe(frame)

    def is_mine(self, frame: bytes) -> bool:
        """Kind of meter, address, function and identifier must be those asked; a refusal names no identifier."""
        said = _make(frame)
        if said.control & ~REFUSED != self._control | SLAVE or not is_addressed(self.unit, said.address):
            return False
        if said.kind >> 4 != self._kind >> 4 and ANY_KIND not in (said.kind, self._kind):
            return False  # a meter asked as 20 (heat) may call itself 25
        return said.refused or (len(said.data) >= 3 and parse_said(said).identifier in self._identifiers)

    def accept(self, frame: bytes) -> Answer | None:
        """The content behind identifier and serial number."""
        said = _make(frame)
        if said.refused:
            return Answer(b"", int.from_bytes(said.data[1:3], "little") or UNNAMED_ERROR, self._frames)
        return Answer(said.data[3:], 0, self._frames)


class AddressExchange(ReadExchange):
    """Ask the only meter on a line who it is; the address stands in the answer's own head (see ``answered_by``)."""

    def __init__(self, kind: int = ANY_KIND, order: str = "low_first", preamble: int = 4) -> None:
        super().__init__(kind, WILDCARD, ADDRESS_ITEM, order, preamble=preamble, control=READ_ADDRESS)


def answered_by(data: bytes) -> tuple[int, str]:
    """(kind, address) in the head of a frame, for instance ``Answer.frame``. Cjt188Error when it is none."""
    frames = Reader().feed(data)
    if not frames:
        raise Cjt188Error("is no frame")
    return frames[0].kind, frames[0].address
