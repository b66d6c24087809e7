"""Payloads of fields by position: numbers are read in bulk, the others one by one. See ``payload_layout``."""

import struct
from collections.abc import Callable, Mapping

import msgspec

from device_profiles.codecs.payload_fields import Field, compiled, encode_value
from device_profiles.codecs.payload_layout import (
    Layout,
    Parsed,
    PayloadError,
    What,
    about,
    head_of,
    read_message,
    unwrap,
    wrap,
)
from device_profiles.quality import Reason
from device_profiles.readings import Value


class _Plan(msgspec.Struct, frozen=True):
    """How one type of message is read: numbers in bulk, the others one by one."""

    size: int
    exact: bool
    structs: tuple[struct.Struct, ...]
    scaled: tuple[tuple[str, int, int, int], ...]
    visits: tuple[tuple[str, int, int, Callable[[bytes], tuple[Value, Reason]]], ...]
    places: tuple[tuple[Field, int], ...]


_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i8": "b", "i16": "h", "i32": "i", "i64": "q"}


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
    bulk = [_bulk(placed, little) for little in (False, True)]
    scaled = [field for _, fields in bulk for field in fields]
    visits = [(field, place) for field, place in placed if field not in scaled]
    return _Plan(
        size=size - layout.tail,
        exact=layout.size is not None,
        structs=tuple(machine for machine, fields in bulk if fields),
        scaled=tuple(map(_scaling, scaled)),
        visits=tuple((field.name, place, place + field.width, compiled(field)) for field, place in visits),
        places=tuple(placed),
    )


def _bulk(placed: list[tuple[Field, int]], little: bool) -> tuple[struct.Struct, list[Field]]:
    """One struct for all plain numbers of one byte order; a number that shares bytes with another is left out."""
    code, at, taken = "<" if little else ">", 0, []
    for field, place in sorted(placed, key=lambda one: one[1]):
        if field.plain and field.type in _CODES and field.little == little and place >= at:
            code += f"{place - at}x{_CODES[field.type]}"
            at = place + field.width
            taken.append(field)
    return struct.Struct(code), taken


def _scaling(field: Field) -> tuple[str, int, int, int]:
    """(name, factor, summand, divisor): value = (raw × factor + summand) / divisor, exact until the division."""
    scale, offset = field.scale, field.offset
    return (
        field.name,
        scale.numerator * offset.denominator,
        offset.numerator * scale.denominator,
        scale.denominator * offset.denominator,
    )


class BinaryCodec:
    """Fields by position; see ``Codec``."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        known = layout.known or (None,)
        self._plans: dict[int | None, _Plan] = {message: _plan(layout, message) for message in known}

    def parse(self, data: bytes) -> Parsed:
        """What the payload says; bytes behind the described ones are kept as unknown."""
        layout = self.layout
        body = unwrap(layout, data)
        heads = {field.name: body[field.place or 0 : (field.place or 0) + field.width] for field in layout.heads}
        message = read_message(layout, heads)
        plan = self._plans.get(message)
        if plan is None:
            return about(layout, heads, {}, unknown={f"message {message}": data.hex().upper()})
        if len(body) < plan.size or (plan.exact and len(body) != plan.size):
            raise PayloadError(Reason.TRUNCATED, f"{len(data)} bytes; {plan.size + layout.tail} are described")
        numbers: tuple[int, ...] = ()
        for machine in plan.structs:
            numbers += machine.unpack_from(body)
        values: dict[str, Value] = {}
        for (name, factor, summand, divisor), number in zip(plan.scaled, numbers, strict=True):
            values[name] = (number * factor + summand) / divisor
        reasons: dict[str, Reason] = {}
        for name, start, end, read in plan.visits:
            values[name], reason = read(body[start:end])
            if reason is not Reason.NONE:
                reasons[name] = reason
        rest = {"rest": body[plan.size :].hex().upper()} if len(body) > plan.size else {}
        return about(layout, heads, values, reasons, rest)

    def build(self, values: Mapping[str, Value], what: What) -> bytes:
        """The payload; bytes that nobody owns are zero, values that are not given need a sentinel."""
        layout = self.layout
        plan = self._plans.get(what.message)
        if plan is None:
            raise ValueError(f"no message {what.message}; there are {', '.join(map(str, self._plans))}")
        head = head_of(layout, what, plan.size + layout.tail)
        body = head + bytes(plan.size - len(head))
        for field, place in plan.places:
            number = int.from_bytes(encode_value(field, values.get(field.name)), "big")
            old = int.from_bytes(body[place : place + field.width], "big")  # masked fields share their bytes
            body[place : place + field.width] = (old | number).to_bytes(field.width, "big")
        return wrap(layout, bytes(body))
