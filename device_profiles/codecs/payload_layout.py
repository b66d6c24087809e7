"""What a described payload is made of, whatever its form: marks, length, check, and the fields about the message.

Sans-IO; a payload that is not as described raises ``PayloadError`` with the Reason by which it is counted.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from device_profiles.codecs.payload_checks import CHECKS
from device_profiles.codecs.payload_fields import Field, encode_raw, read_raw
from device_profiles.quality import Reason
from device_profiles.readings import Value

LIMIT = 2048
"""Bytes of a payload; what fits one NB-IoT datagram is less."""

FORMS = ("binary", "tlv", "text")
CLOCKS = ("unix", "unix_ms", "ymdhms")
"""Seconds or milliseconds since 1970 UTC, or six BCD bytes of local time: year, month, day, hour, minute, second."""


class PayloadError(ValueError):
    """The bytes are not what the layout describes. ``reason``: how they are counted."""

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class Length(msgspec.Struct, frozen=True):
    """A field that says how long the payload is: its bytes are the field's value + ``add``."""

    field: Field
    add: int = 0


class Check(msgspec.Struct, frozen=True):
    """A check over the bytes from ``first`` up to itself; it stands right before the end mark."""

    kind: str
    first: int = 0
    little: bool = False

    @property
    def width(self) -> int:
        """Bytes that it takes."""
        return CHECKS[self.kind][0]

    def over(self, data: bytes) -> bytes:
        """The check's bytes for everything that stands before it."""
        return CHECKS[self.kind][1](data[self.first :]).to_bytes(self.width, "little" if self.little else "big")


class Moment(msgspec.Struct, frozen=True):
    """The time of the values. ``zone``: minutes that local time is ahead of UTC."""

    field: Field
    form: str = "unix"
    zone: int = 480


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """A model's payload. ``size``: bytes in all where fixed; ``fields``: one a point.

    ``tag``/``length_of_item``: bytes of a tag and of an item's length (0: each tag's field knows its size), in the
    form "tlv". ``opening``, ``separator``, ``closing``: round an item in the form "text"; ``between`` items when said.
    ``items``: a field that says how many bytes the list takes; ``constants``: (first byte, bytes) that never change.
    ``ack``: hexadecimal parts and $message, $id, $count, $check, copied from what is acknowledged.
    """

    form: str = "binary"
    start: bytes = b""
    end: bytes = b""
    size: int | None = None
    length: Length | None = None
    message: Field | None = None
    id: Field | None = None
    count: Field | None = None
    moment: Moment | None = None
    check: Check | None = None
    fields: tuple[Field, ...] = ()
    known: tuple[int, ...] = ()
    tag: int = 1
    length_of_item: int = 1
    opening: str = "$"
    separator: str = ":"
    closing: str = "#"
    between: str = ""
    items: Field | None = None
    constants: tuple[tuple[int, bytes], ...] = ()
    ack: tuple[bytes | str, ...] = ()

    @property
    def heads(self) -> tuple[Field, ...]:
        """The fields that are about the message, not about a point."""
        length = None if self.length is None else self.length.field
        moment = None if self.moment is None else self.moment.field
        every = (length, self.message, self.id, self.count, moment, self.items)
        return tuple(field for field in every if field is not None)

    @property
    def head_size(self) -> int:
        """Bytes from the front to behind the last field about the message (in a list: to its first item)."""
        placed = self.heads + (self.fields if self.form == "tlv" else ())
        ends = [field.place + field.width for field in placed if field.place is not None]
        return max([len(self.start), *ends, *(place + len(data) for place, data in self.constants)])

    @property
    def tail(self) -> int:
        """Bytes of the check and the end mark."""
        return len(self.end) + (0 if self.check is None else self.check.width)


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """What a payload says. ``values``: one for each field that it holds, None where there is none, then with a reason.

    ``at``: UTC µs; ``heads``: the bytes of the fields about the message, for an acknowledgement; ``unknown``: items
    that nobody has described, as text.
    """

    message: int | None = None
    id: str = ""
    count: int | None = None
    at: int | None = None
    values: dict[str, Value]
    reasons: dict[str, Reason] = {}
    heads: dict[str, bytes] = {}
    unknown: dict[str, str] = {}

    @property
    def numbered(self) -> bool:
        """True when it says itself which message it is, by a counter or its time."""
        return self.count is not None or self.at is not None


class What(msgspec.Struct, frozen=True, kw_only=True):
    """What a payload says beside its values, for ``build``."""

    id: str = ""
    count: int = 0
    at: int = 0
    message: int | None = None


def read_moment(moment: Moment, data: bytes) -> int | None:
    """UTC µs; None for bytes that are no time."""
    if moment.form == "ymdhms":
        digits = data.hex()
        try:
            local = datetime.strptime(digits, "%y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        return round(local.timestamp()) * 1_000_000 - moment.zone * 60_000_000
    raw = read_raw(moment.field, data)
    if not isinstance(raw, int) or raw <= 0:
        return None  # zero: a clock that was never set
    return raw * (1_000_000 if moment.form == "unix" else 1000)


def moment_reader(moment: Moment) -> Callable[[bytes], int | None]:
    """``read_moment`` of one field, made once."""
    factor = {"unix": 1_000_000, "unix_ms": 1000}.get(moment.form)
    order: Literal["little", "big"] = "little" if moment.field.little else "big"
    if factor is None or moment.field.type[0] != "u":
        return lambda data: read_moment(moment, data)
    return lambda data: int.from_bytes(data, order) * factor or None


def write_moment(moment: Moment, at: int) -> bytes:
    """The inverse of ``read_moment``, cut to what the form can say. ValueError when it cannot be said."""
    if moment.form == "ymdhms":
        local = datetime.fromtimestamp(at // 1_000_000, UTC) + timedelta(minutes=moment.zone)
        return bytes.fromhex(local.strftime("%y%m%d%H%M%S"))
    return encode_raw(moment.field, at // (1_000_000 if moment.form == "unix" else 1000))


def read_id(field: Field, data: bytes) -> str:
    """The device's identity as text; a number of digits keeps its leading zeros. PayloadError when there is none."""
    return id_reader(field)(data)


def id_reader(field: Field) -> Callable[[bytes], str]:
    """``read_id`` of one field, made once."""
    digits = field.digits or 0

    def of_digits(data: bytes) -> str:
        text = (data[::-1] if field.little else data).hex()[-digits:]
        if not text.isdecimal():
            raise PayloadError(Reason.MALFORMED, f"{data.hex()} is no identity")
        return text

    def of_any(data: bytes) -> str:
        raw = read_raw(field, data)
        if raw is None or raw == "":
            raise PayloadError(Reason.MALFORMED, f"{data.hex()} is no identity")
        return str(raw).rjust(digits, "0") if isinstance(raw, int) else str(raw)

    return of_digits if field.type == "bcd" and digits else of_any


def write_id(field: Field, id: str) -> bytes:
    """The inverse of ``read_id``. ValueError when the identity does not fit."""
    if field.text:
        return encode_raw(field, id)
    if not id.isdecimal() or (field.digits is not None and len(id) > field.digits):
        raise ValueError(f"{id!r} is no number of {field.digits or 'some'} digits")
    return encode_raw(field, int(id))


class Shell:
    """What surrounds a payload's values: marks, constants, length and check, compiled to be looked at quickly."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._shortest = layout.head_size + layout.tail
        self._tail = layout.tail
        self._constants = ((0, layout.start), *layout.constants) if layout.start else layout.constants
        self._length: tuple[int, int, int, bool] | None = None
        if layout.length is not None:
            field = layout.length.field
            start = field.place or 0
            self._length = start, start + field.width, layout.length.add, field.little

    def open(self, data: bytes) -> bytes:
        """The payload without check and end mark, both checked, its length too. PayloadError when one is wrong."""
        size = len(data)
        if not self._shortest <= size <= LIMIT:
            if size > LIMIT:
                raise PayloadError(Reason.OVERSIZED, f"{size} bytes; {LIMIT} at most")
            raise PayloadError(Reason.TRUNCATED, f"{size} bytes are less than its head")
        for place, constant in self._constants:
            if not data.startswith(constant, place):
                raise PayloadError(Reason.MALFORMED if place else Reason.NOISE, f"no {constant.hex()} at {place}")
        if not data.endswith(self._layout.end):
            raise PayloadError(Reason.NOISE, "another end than described")
        if self._length is not None:
            start, end, add, little = self._length
            said = int.from_bytes(data[start:end], "little" if little else "big")
            if said + add != size:
                raise PayloadError(Reason.TRUNCATED, f"says {said} and is {size} bytes long")
        check = self._layout.check
        if check is None:
            return data[: size - self._tail] if self._tail else data
        body = data[: size - self._tail]
        if data[len(body) : len(body) + check.width] != check.over(body):
            raise PayloadError(Reason.BAD_CHECKSUM, f"its {check.kind} should be {check.over(body).hex()}")
        return body


def wrap(layout: Layout, body: bytes) -> bytes:
    """Body, check, end mark. ValueError when it is longer than a payload may be."""
    whole = body + (b"" if layout.check is None else layout.check.over(body)) + layout.end
    if len(whole) > LIMIT:
        raise ValueError(f"a payload of {len(whole)} bytes; {LIMIT} at most")
    return whole


def read_message(layout: Layout, heads: Mapping[str, bytes]) -> int | None:
    """The type of the message; None where the layout has only one."""
    if layout.message is None:
        return None
    raw = read_raw(layout.message, heads[layout.message.name])
    return raw if isinstance(raw, int) else None


def about(
    layout: Layout,
    heads: dict[str, bytes],
    values: dict[str, Value],
    reasons: dict[str, Reason] | None = None,
    unknown: dict[str, str] | None = None,
) -> Parsed:
    """What is parsed, with identity, counter and time out of the head's bytes."""
    count = None
    if layout.count is not None and layout.count.name in heads:
        raw = read_raw(layout.count, heads[layout.count.name])
        count = raw if isinstance(raw, int) else None
    has_moment = layout.moment is not None and layout.moment.field.name in heads
    return Parsed(
        message=read_message(layout, heads) if layout.message is None or layout.message.name in heads else None,
        id="" if layout.id is None else read_id(layout.id, heads.get(layout.id.name, b"")),
        count=count,
        at=read_moment(layout.moment, heads[layout.moment.field.name]) if layout.moment and has_moment else None,
        values=values,
        reasons=reasons or {},
        heads=heads,
        unknown=unknown or {},
    )


def head_of(layout: Layout, what: What, size: int) -> bytearray:
    """Start mark, constants and fields about the message, for a payload of ``size`` bytes in all."""
    head = bytearray(layout.head_size)
    for place, constant in ((0, layout.start), *layout.constants):
        head[place : place + len(constant)] = constant
    for field in layout.heads:
        if field.place is not None:
            head[field.place : field.place + field.width] = head_bytes(layout, field, what, size)
    return head


def head_bytes(layout: Layout, field: Field, what: What, size: int = 0) -> bytes:
    """The bytes of one field about the message. ValueError when it cannot say what it should."""
    if layout.length is not None and field is layout.length.field:
        return encode_raw(field, size - layout.length.add)
    if field is layout.items:
        return encode_raw(field, size - layout.head_size - layout.tail)
    if field is layout.message:
        return encode_raw(field, what.message or 0)
    if field is layout.id:
        return write_id(field, what.id)
    if layout.moment is not None and field is layout.moment.field:
        return write_moment(layout.moment, what.at)
    wide = 1 << 8 * field.width if field.type[0] == "u" else 1 << 31
    return encode_raw(field, what.count % wide)
