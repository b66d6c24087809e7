"""Payloads of fields by position: all of a message's numbers in one go, then value by value. See ``payload_layout``."""

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from device_profiles.codecs.payload_fields import Field, Told, compiled, encode_value, read_raw
from device_profiles.codecs.payload_layout import (
    Layout,
    Parsed,
    PayloadError,
    Shell,
    What,
    head_of,
    id_reader,
    moment_reader,
    wrap,
)
from device_profiles.quality import Reason
from device_profiles.readings import Value

_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i8": "b", "i16": "h", "i32": "i", "i64": "q"} | {
    "f32": "f",
    "f64": "d",
}


class Place(msgspec.Struct, frozen=True):
    """A number that is read in bulk. ``index``: in the unpacked tuple; value = (raw × factor + summand) / divisor."""

    name: str
    index: int
    factor: int
    summand: int
    divisor: int
    mask: int
    shift: int
    sentinels: frozenset[float]


class _Plan(msgspec.Struct, frozen=True):
    """How one type of message is read. ``plain``: numbers that are always values; ``looked``: those to look at."""

    size: int
    exact: bool
    machines: tuple[struct.Struct, ...]
    plain: tuple[tuple[str, int, int, int, int], ...]
    looked: tuple[Place, ...]
    visits: tuple[tuple[str, int, int, Callable[[bytes], Told]], ...]
    placed: tuple[tuple[Field, int], ...]


def place_fields(layout: Layout, message: int | None) -> list[tuple[Field, int]]:
    """(field, first byte) of each field that this type of message carries, in order."""
    at = layout.head_size
    placed = []
    for field in layout.fields:
        if field.messages and message not in field.messages:
            continue
        start = at if field.place is None else field.place
        placed.append((field, start))
        at = start + field.width
    return placed


def _plan(layout: Layout, message: int | None) -> _Plan:
    placed = place_fields(layout, message)
    size = layout.size or max([layout.head_size, *(place + field.width for field, place in placed)]) + layout.tail
    machines: list[struct.Struct] = []
    places: list[Place] = []
    for little in (False, True):
        _add_bulk(placed, little, machines, places)
    known = {place.name for place in places}
    plain = [place for place in places if not place.mask and not place.sentinels]
    floats = {field.name for field, _ in placed if field.type[0] == "f"}
    plain = [place for place in plain if place.name not in floats]
    names = {place.name for place in plain}
    return _Plan(
        size=size - layout.tail,
        exact=layout.size is not None,
        machines=tuple(machines),
        plain=tuple((one.name, one.index, one.factor, one.summand, one.divisor) for one in plain),
        looked=tuple(place for place in places if place.name not in names),
        visits=tuple((f.name, at, at + f.width, compiled(f)) for f, at in placed if f.name not in known),
        placed=tuple(placed),
    )


def _add_bulk(
    placed: list[tuple[Field, int]], little: bool, machines: list[struct.Struct], places: list[Place]
) -> None:
    """One struct for the numbers of a byte order. Masked fields of one number share its place in the tuple."""
    code, at, index = "<" if little else ">", 0, _width(machines) - 1
    last: tuple[str, int] = "", -1
    for field, place in sorted(placed, key=lambda one: one[1]):
        one_byte = field.type in ("u8", "i8")
        wanted = (not little if one_byte else field.little == little) and field.type in _CODES
        if not wanted or (place < at and (field.type, place) != last):
            continue  # of the other order, of no machine type, or across another number
        if (field.type, place) != last:
            code += f"{place - at}x{_CODES[field.type]}"
            at, index, last = place + field.width, index + 1, (field.type, place)
        places.append(_place(field, index))
    if at:
        machines.append(struct.Struct(code))


def _width(machines: list[struct.Struct]) -> int:
    return sum(len(machine.unpack(bytes(machine.size))) for machine in machines)


def _place(field: Field, index: int) -> Place:
    scale, offset, mask = field.scale, field.offset, field.mask or 0
    return Place(
        name=field.name,
        index=index,
        factor=scale.numerator * offset.denominator,
        summand=offset.numerator * scale.denominator,
        divisor=scale.denominator * offset.denominator,
        mask=mask,
        shift=(mask & -mask).bit_length() - 1 if mask else 0,
        sentinels=frozenset(field.sentinels),
    )


class BinaryCodec:
    """Fields by position; see ``Codec``."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._shell = Shell(layout)
        known: tuple[int | None, ...] = layout.known or (None,)
        self._plans = {message: _plan(layout, message) for message in known}
        self._message = None if layout.message is None else _slice(layout.message)
        self._little = layout.message is not None and layout.message.little
        self._id = None if layout.id is None else (*_slice(layout.id), id_reader(layout.id))
        self._count = None if layout.count is None else (*_slice(layout.count), _counter(layout.count))
        moment = layout.moment
        self._moment = None if moment is None else (*_slice(moment.field), moment_reader(moment))
        self._acked = [(field.name, *_slice(field)) for field in layout.heads if "$" + field.name in layout.ack]

    def parse(self, data: bytes) -> Parsed:
        """What the payload says; bytes behind the described ones are kept as unknown."""
        body = self._shell.open(data)
        message = None
        if self._message is not None:
            start, end = self._message
            message = int.from_bytes(body[start:end], "little" if self._little else "big")
        plan = self._plans.get(message)
        values: dict[str, Value] = {}
        reasons: dict[str, Reason] = {}
        unknown: dict[str, str] = {}
        if plan is None:
            unknown[f"message {message}"] = data.hex().upper()
        elif len(body) < plan.size or (plan.exact and len(body) != plan.size):
            raise PayloadError(Reason.TRUNCATED, f"{len(data)} bytes; {plan.size + self.layout.tail} are described")
        else:
            _read(plan, body, values, reasons)
            if len(body) > plan.size:
                unknown["rest"] = body[plan.size :].hex().upper()
        return Parsed(
            message=message,
            id="" if self._id is None else self._id[2](body[self._id[0] : self._id[1]]),
            count=None if self._count is None else self._count[2](body[self._count[0] : self._count[1]]),
            at=None if self._moment is None else self._moment[2](body[self._moment[0] : self._moment[1]]),
            values=values,
            reasons=reasons,
            heads={name: body[start:end] for name, start, end in self._acked},
            unknown=unknown,
        )

    def build(self, values: Mapping[str, Value], what: What) -> bytes:
        """The payload; bytes that nobody owns are zero, values that are not given need a sentinel."""
        layout = self.layout
        plan = self._plans.get(what.message)
        if plan is None:
            raise ValueError(f"no message {what.message}; there are {', '.join(map(str, self._plans))}")
        head = head_of(layout, what, plan.size + layout.tail)
        body = head + bytes(plan.size - len(head))
        for field, place in plan.placed:
            number = int.from_bytes(encode_value(field, values.get(field.name)), "big")
            old = int.from_bytes(body[place : place + field.width], "big")  # masked fields share their bytes
            body[place : place + field.width] = (old | number).to_bytes(field.width, "big")
        return wrap(layout, bytes(body))


def _slice(field: Field) -> tuple[int, int]:
    start = field.place or 0
    return start, start + field.width


def _counter(field: Field) -> Callable[[bytes], int | None]:
    order: Literal["little", "big"] = "little" if field.little else "big"
    if field.type[0] == "u" and field.mask is None:
        return lambda data: int.from_bytes(data, order)

    def read(data: bytes) -> int | None:
        raw = read_raw(field, data)
        return raw if isinstance(raw, int) else None

    return read


def _read(plan: _Plan, body: bytes, values: dict[str, Value], reasons: dict[str, Reason]) -> None:
    """The values of one message's body."""
    numbers: tuple[Any, ...] = ()
    for machine in plan.machines:
        numbers += machine.unpack_from(body)
    for name, index, factor, summand, divisor in plan.plain:
        number = numbers[index] * factor + summand
        values[name] = number if divisor == 1 else number / divisor
    for place in plan.looked:
        raw = numbers[place.index]
        if place.mask:
            raw = (raw & place.mask) >> place.shift
        if raw in place.sentinels:
            values[place.name], reasons[place.name] = None, Reason.SENSOR_OPEN
        elif raw.__class__ is float and not math.isfinite(raw):
            values[place.name], reasons[place.name] = None, Reason.NOT_A_NUMBER
        else:
            number = raw * place.factor + place.summand
            values[place.name] = number if place.divisor == 1 else number / place.divisor
    for name, start, end, read in plan.visits:
        values[name], reason = read(body[start:end])
        if reason is not Reason.NONE:
            reasons[name] = reason
