"""Application units of GB/T 26875.3-2011 (6.7, 8.1 to 8.3): a type, a number of objects, the objects; both directions.

What was parsed encodes to the same bytes. Types without a layout here, the makers' own 128 to 254 among them, are kept
raw. Refuses (``Gb26875Error``) only a unit that holds less than the objects it announces.
"""

from collections.abc import Callable
from struct import Struct
from struct import error as StructError

import msgspec

from device_profiles.codecs.gb26875 import LIMIT, TIME_BYTES, Gb26875Error
from device_profiles.codecs.gb26875_objects import (
    TEXT_BYTES,
    Clock,
    Object,
    Order,
    PartConfig,
    PartState,
    PartValue,
    ReadPart,
    ReadSystem,
    ReadSystemRecords,
    ReadTransmitterRecords,
    SystemConfig,
    SystemOperation,
    SystemState,
    SystemTime,
    SystemVersion,
    TransmitterConfig,
    TransmitterOperation,
    TransmitterState,
    TransmitterVersion,
)


class Unit(msgspec.Struct, frozen=True):
    """One unit. ``rest``: bytes behind the announced objects; of a type without a layout, all behind the type byte."""

    type: int
    objects: tuple[Object, ...] = ()
    rest: bytes = b""

    @property
    def opaque(self) -> bool:
        """True when this codec does not know what is inside."""
        return self.type not in LAYOUTS


class Layout(msgspec.Struct, frozen=True):
    """How the objects of a type lie. ``text``: a length and so many bytes follow the fixed part; ``timed``: the time at
    its end is a remark that some senders leave out."""

    kind: Callable[..., Object]
    fixed: Struct
    text: bool = False
    timed: bool = False


def _layout(kind: type[Object], fields: str, text: bool = False, timed: bool = False) -> Layout:
    return Layout(kind, Struct("<" + fields), text, timed)


_SYSTEM, _PART, _ORDER = _layout(ReadSystem, "BB"), _layout(ReadPart, "BBI"), _layout(Order, "B")

LAYOUTS: dict[int, Layout] = {
    1: _layout(SystemState, "BBH6s", timed=True),
    2: _layout(PartState, "BBBIH31s6s", timed=True),
    3: _layout(PartValue, "BBBIBh6s", timed=True),
    4: _layout(SystemOperation, "BBBB6s", timed=True),
    5: _layout(SystemVersion, "BBBB"),
    6: _layout(SystemConfig, "BB", text=True),
    7: _layout(PartConfig, "BBBI31s"),
    8: _layout(SystemTime, "BB6s"),
    21: _layout(TransmitterState, "B6s", timed=True),
    24: _layout(TransmitterOperation, "BB6s", timed=True),
    25: _layout(TransmitterVersion, "BB"),
    26: _layout(TransmitterConfig, "", text=True),
    28: _layout(Clock, "6s"),
    61: _SYSTEM,
    62: _PART,
    63: _PART,
    64: _layout(ReadSystemRecords, "BBB6s"),
    65: _SYSTEM,
    66: _SYSTEM,
    67: _PART,
    68: _SYSTEM,
    81: _ORDER,
    84: _layout(ReadTransmitterRecords, "B6s"),
    85: _ORDER,
    86: _ORDER,
    88: _ORDER,
    89: _ORDER,
    90: _layout(Clock, "6s"),
    91: _ORDER,
}
"""Types of units (8.1.1, table 3) and their objects (8.3.1 upwards, 8.3.2 downwards)."""


def parse_unit(data: bytes) -> Unit:
    """The unit that a frame carries. Gb26875Error when there is none, or less in it than it announces."""
    if not data:
        raise Gb26875Error("there is no unit")
    layout = LAYOUTS.get(data[0])
    if layout is None:
        return Unit(data[0], (), data[1:])
    if len(data) < 2:
        raise Gb26875Error(f"a unit of type {data[0]} without a number of objects")
    count, body = data[1], data[2:]
    if layout.text:
        return _parse_texts(data[0], layout, count, body)
    size = layout.fixed.size
    if len(body) < count * size:
        return _parse_untimed(data[0], layout, count, body)
    end = count * size
    kind = layout.kind
    return Unit(data[0], tuple(kind(*fields) for fields in layout.fixed.iter_unpack(body[:end])), body[end:])


def _parse_untimed(type: int, layout: Layout, count: int, body: bytes) -> Unit:
    """Objects without their times: seen as a form of its own in dgiot (apps/dgiot_gb26875, decoder)."""
    size = layout.fixed.size - TIME_BYTES
    if not layout.timed or len(body) != count * size:
        raise Gb26875Error(f"{len(body)} bytes for {count} objects of type {type}, {layout.fixed.size} bytes each")
    blank = bytes(TIME_BYTES)
    objects = []
    for at in range(0, len(body), size):
        fields = layout.fixed.unpack(body[at : at + size] + blank)
        objects.append(layout.kind(*fields[:-1]))
    return Unit(type, tuple(objects))


def _parse_texts(type: int, layout: Layout, count: int, body: bytes) -> Unit:
    """Objects of any length (8.2.1.6, 8.2.1.11): fixed part, length, text."""
    objects: list[Object] = []
    at, size = 0, layout.fixed.size
    for _ in range(count):
        start = at + size + 1
        end = start + (body[start - 1] if start <= len(body) else 0)
        if end > len(body) or start > len(body):
            raise Gb26875Error(f"the text of object {len(objects) + 1} of type {type} is cut off")
        objects.append(layout.kind(*layout.fixed.unpack(body[at : at + size]), body[start:end]))
        at = end
    return Unit(type, tuple(objects), body[at:])


def encode_unit(unit: Unit) -> bytes:
    """The bytes of a unit. ValueError when something in it does not fit, or the whole is longer than 1,024 bytes."""
    layout = LAYOUTS.get(unit.type)
    if layout is None:
        return bytes([unit.type]) + unit.rest
    if len(unit.objects) > 255:
        raise ValueError(f"{len(unit.objects)} objects; a unit has 255 at most")
    parts = [bytes([unit.type, len(unit.objects)])]
    parts += [_encode_object(layout, one) for one in unit.objects]
    data = b"".join(parts) + unit.rest
    if len(data) > LIMIT:
        raise ValueError(f"an application unit of {len(data)} bytes; {LIMIT} at most")
    return data


def _encode_object(layout: Layout, one: Object) -> bytes:
    fields = list(msgspec.structs.astuple(one))
    try:
        if layout.text:
            text = fields.pop()
            return layout.fixed.pack(*fields) + bytes([len(text)]) + bytes(text)
        if layout.timed and not fields[-1]:
            return layout.fixed.pack(*fields[:-1], bytes(TIME_BYTES))[:-TIME_BYTES]
        return layout.fixed.pack(*fields)
    except (StructError, TypeError) as trouble:  # too large a number, or an object of another type
        raise ValueError(f"{one} does not fit its layout: {trouble}") from None


def read_text(data: bytes) -> str:
    """A GB 18030 text up to its first NUL, without blanks around it; what is no character becomes U+FFFD."""
    return data.partition(b"\0")[0].decode("gb18030", errors="replace").strip()


def write_text(text: str, size: int = TEXT_BYTES) -> bytes:
    """A text in GB 18030, cut between characters, filled up with NUL."""
    data = b""
    for character in text:
        more = character.encode("gb18030", errors="replace")
        if len(data) + len(more) > size:
            break
        data += more
    return data.ljust(size, b"\0")
