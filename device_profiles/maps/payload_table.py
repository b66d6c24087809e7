"""The ``[payload]`` table of a profile: where each value of a model's own message stands; every mistake noted.

A message is a datagram (``transport = "udp"``) or the body of a CoAP request (``"coap"``). Refuses fields that
overlap, and an identity that is nowhere: an address is none (a NAT changes it).
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations
from typing import ClassVar

import msgspec

from device_profiles.codecs.payload_binary import place_fields
from device_profiles.codecs.payload_checks import CHECKS
from device_profiles.codecs.payload_fields import PRINTED, SIZES, TEXTS, Field, encode_value
from device_profiles.codecs.payload_layout import CLOCKS, FORMS, Check, Layout, Length, Moment
from device_profiles.maps.points import check_names, check_rows, read_fraction, read_point_head
from device_profiles.problems import nearest
from device_profiles.profiles import Point, ProtocolMap
from device_profiles.readings import Lane, Value
from device_profiles.tables import Table

TRANSPORTS = ("udp", "coap")
LANES = {lane.word: lane for lane in Lane}


class PayloadPoint(Point, frozen=True, kw_only=True):
    """A point in a described payload; see ``payload_fields.Field``. ``event``: a value that is not zero is an alarm."""

    type: str
    byte: int | None = None
    size: int = 0
    order: str = "big"
    mask: int | None = None
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    sentinels: tuple[float, ...] = ()
    messages: tuple[int, ...] = ()
    tag: int | None = None
    key: str = ""
    digits: int | None = None
    event: bool = False

    @property
    def text(self) -> bool:
        """True when the value is a text, not a number."""
        return self.type in TEXTS

    @property
    def field(self) -> Field:
        """The point as the codec takes it."""
        return Field(
            name=self.name, type=self.type, size=self.size, place=self.byte, little=self.order == "little",
            mask=self.mask, scale=self.scale, offset=self.offset, sentinels=self.sentinels, messages=self.messages,
            tag=self.tag, key=self.key, digits=self.digits,
        )  # fmt: skip


class PayloadMap(ProtocolMap, frozen=True, kw_only=True):
    """A model's own message. ``path``: where it is posted (CoAP), ``*`` for a segment that varies.

    ``id_segment``/``id_query``: where the device's identity lies in the URI, when the payload does not say it.
    ``lanes``: by type of message, live where it is not named. ``type_of_report``: what the simulator sends.
    """

    protocol: ClassVar[str] = "payload"

    transport: str = "udp"
    path: str = ""
    id_segment: int | None = None
    id_query: str = ""
    layout: Layout = Layout()
    lanes: Mapping[int, Lane] = msgspec.field(default_factory=dict)
    points: tuple[PayloadPoint, ...] = ()

    @property
    def type_of_report(self) -> int | None:
        """The first type of message that is described; None where there is only one."""
        return self.layout.known[0] if self.layout.known else None


def check_value(point: Point, value: Value) -> None:
    """ValueError when the point cannot say the value on the wire."""
    assert isinstance(point, PayloadPoint)
    encode_value(point.field, value)


def read_map(table: Table) -> PayloadMap:
    """The table; mistakes are noted in its problems, nothing is raised."""
    form = table.choice("format", FORMS, "binary")
    order = table.choice("order", ("big", "little"), "big")
    lanes = _lanes(table)
    rows = check_rows(table)
    points = tuple(_point(row, form, order, tuple(lanes)) for row in rows)
    transport = table.choice("transport", TRANSPORTS)
    segment, query, id_ = _identity(table, form, order, transport)
    layout = _layout(table, form, order, id_, tuple(lanes), points)
    map_ = PayloadMap(
        transport=transport or "udp",
        path=_path(table, transport),
        id_segment=segment,
        id_query=query,
        layout=layout,
        lanes={value: lane for value, lane in lanes.items() if lane is not Lane.LIVE},
        points=points,
    )
    table.end()
    check_names(points, rows)
    _check_together(map_, rows, table)
    return map_


def _lanes(table: Table) -> dict[int, Lane]:
    """Types of message and their lanes, in the order in which they are written."""
    found: dict[int, Lane] = {}
    for row in table.tables("messages"):
        value = row.integer("value", low=0, high=0xFFFFFFFF)
        if value in found:
            row.trouble("value", f"a second message is {value}")
        found[value] = LANES[row.choice("lane", tuple(LANES), "live")]
        row.title()
        row.end()
    return found


def _path(table: Table, transport: str) -> str:
    text = table.optional_text("path")
    if transport == "coap" and not text:
        table.trouble(
            "path", "is missing: where a device posts its message", '"/report", "*" for a segment that varies'
        )
    if transport != "coap" and text:
        table.trouble("path", "is for CoAP only")
    return "/" + "/".join(part for part in (text or "").split("/") if part)


def _field(row: Table, name: str, form: str, order: str, types: tuple[str, ...] = ()) -> Field | None:
    """A field about the message out of its inline table, which ends with it; None when it does not say where it is."""
    found = Field(
        name=name,
        type=row.choice("type", types or tuple(SIZES)) or "u8",
        size=row.integer("size", 0, low=0, high=64),
        place=row.integer("byte", low=0, high=2047) if row.has("byte") else None,
        tag=row.integer("tag", low=0, high=0xFFFF) if row.has("tag") else None,
        key=row.optional_text("key") or "",
        little=row.choice("order", ("big", "little"), order) == "little",
        digits=row.integer("digits", low=1, high=40) if row.has("digits") else None,
    )
    row.end()
    placed, tagged, keyed = found.place is not None, found.tag is not None, bool(found.key)
    if not {"binary": placed, "tlv": placed or tagged, "text": keyed}[form]:
        row.trouble("", "must say where it stands: " + {"binary": "byte", "tlv": "byte or tag", "text": "key"}[form])
        return None
    _check_size(row, found, form)
    return found


def _optional(table: Table, name: str, form: str, order: str) -> Field | None:
    return _field(table.table(name), name, form, order) if table.has(name) else None


def _check_size(row: Table, field: Field, form: str) -> None:
    if form == "text" and field.type not in (*PRINTED, "ascii"):
        row.trouble("type", f"a {field.type} is no text", "one of: " + ", ".join((*PRINTED, "ascii")))
    elif form != "text" and field.type in PRINTED:
        row.trouble("type", f'a {field.type} is for format = "text" only')
    elif form != "text" and not SIZES[field.type] and not field.size:
        row.trouble("size", f"is missing: the bytes of the {field.type}")
    elif SIZES[field.type] and field.size:
        row.trouble("size", f"a {field.type} has its own size")


def _identity(table: Table, form: str, order: str, transport: str) -> tuple[int | None, str, Field | None]:
    """(segment of the URI, name in its query, field of the payload): one of the three."""
    if not table.has("id"):
        hint = '{ byte = 3, type = "bcd", size = 8 }'
        table.trouble("id", "is missing: an address says nothing about who it is", hint)
        return None, "", None
    row = table.table("id")
    segment = row.integer("segment", low=0, high=31) if row.has("segment") else None
    query = row.optional_text("query") or ""
    if segment is None and not query:
        return None, "", _field(row, "id", form, order)
    row.end()
    if transport != "coap":
        table.trouble("id", "only a CoAP request has a path and a query")
    return segment, query, None


def _layout(
    table: Table, form: str, order: str, id_: Field | None, known: tuple[int, ...], points: tuple[PayloadPoint, ...]
) -> Layout:
    message = _optional(table, "message", form, order)
    if bool(known) != (message is not None):
        table.trouble("messages", "message (where the type stands) and messages (which there are) belong together")
        known, message = (), None
    tag = table.integer("tag_bytes", 1, low=1, high=2) if form == "tlv" else 1
    of_item = table.integer("length_bytes", 1, low=0, high=2) if form == "tlv" else 1
    marks = [table.text(key, default) if form == "text" else default for key, default in _MARKS]
    return Layout(
        form=form,
        start=_hex(table, "start"),
        end=_hex(table, "end"),
        size=table.integer("size", low=1, high=2048) if table.has("size") else None,
        length=_length(table, form, order),
        message=message,
        id=id_,
        count=_optional(table, "count", form, order),
        moment=_moment(table, form, order),
        check=_check(table),
        fields=tuple(point.field for point in points),
        known=known,
        tag=tag,
        length_of_item=of_item,
        opening=marks[0] or "$",
        separator=marks[1] or ":",
        closing=marks[2] or "#",
        between=marks[3],
        items=_optional(table, "items", form, order) if form == "tlv" else None,
        constants=_constants(table),
        ack=_ack(table),
    )


_MARKS = (("opening", "$"), ("separator", ":"), ("closing", "#"), ("between", ""))


def _hex(table: Table, key: str) -> bytes:
    text = table.optional_text(key) or ""
    try:
        return bytes.fromhex(text)
    except ValueError:
        table.trouble(key, f"is no hexadecimal: {text!r}", '"AA 55"')
        return b""


def _constants(table: Table) -> tuple[tuple[int, bytes], ...]:
    """Bytes that are the same in every message."""
    found = []
    for row in table.tables("constants"):
        found.append((row.integer("byte", low=0, high=2047), _hex(row, "hex")))
        row.end()
    return tuple(found)


def _length(table: Table, form: str, order: str) -> Length | None:
    if not table.has("length"):
        return None
    row = table.table("length")
    add = row.integer("add", 0, low=-64, high=2048)
    field = _field(row, "length", form, order, ("u8", "u16"))
    return None if field is None else Length(field, add)


def _moment(table: Table, form: str, order: str) -> Moment | None:
    if not table.has("time"):
        return None
    row = table.table("time")
    clock = row.choice("form", CLOCKS, "unix")
    zone = row.integer("zone", 480, low=-840, high=840)
    field = _field(row, "time", form, order)
    return None if field is None else Moment(field, clock, zone)


def _check(table: Table) -> Check | None:
    if not table.has("check"):
        return None
    row = table.table("check")
    found = Check(
        kind=row.choice("kind", tuple(CHECKS)) or "sum8",
        first=row.integer("first", 0, low=0, high=64),
        little=row.choice("order", ("big", "little"), "big") == "little",
    )
    row.end()
    return found


def _ack(table: Table) -> tuple[bytes | str, ...]:
    """Hexadecimal parts and names; a name copies the bytes of that field out of what is acknowledged."""
    parts: list[bytes | str] = []
    known = ("$message", "$id", "$count", "$time", "$check")
    for text in table.texts("ack"):
        if text.startswith("$") and text not in known:
            table.trouble("ack", f"unknown {text!r}", nearest(text, known))
        elif text.startswith("$"):
            parts.append(text)
        elif re.fullmatch(r"(\s*[0-9A-Fa-f]{2})+\s*", text):
            parts.append(bytes.fromhex(text))
        else:
            table.trouble("ack", f"{text!r} is neither hexadecimal nor one of {', '.join(known)}")
    return tuple(parts)


def _point(row: Table, form: str, order: str, known: tuple[int, ...]) -> PayloadPoint:
    type_ = row.choice("type", tuple(SIZES)) or "u8"
    kind = {"binary": "field", "tlv": "item", "text": "item"}[form]
    messages = tuple(int(value) for value in row.numbers("messages"))
    point = PayloadPoint(
        **read_point_head(row, kind=type_, text=type_ in TEXTS),
        type=type_,
        byte=row.integer("byte", low=0, high=2047) if row.has("byte") else None,
        size=row.integer("size", 0, low=0, high=512),
        order=row.choice("order", ("big", "little"), order),
        mask=row.integer("mask", low=1, high=0xFFFFFFFF) if row.has("mask") else None,
        scale=read_fraction(row, "scale", 1),
        offset=read_fraction(row, "offset", 0),
        sentinels=tuple(row.numbers("sentinels")),
        messages=messages,
        tag=row.integer("tag", low=0, high=0xFFFF) if row.has("tag") else None,
        key=row.optional_text("key") or "",
        digits=row.integer("digits", low=0, high=18) if row.has("digits") else None,
        event=row.flag("event"),
    )
    row.end()
    for value in set(messages) - set(known):
        row.trouble("messages", f"there is no message {value}", "one of: " + ", ".join(map(str, known)))
    _check_size(row, point.field, form)
    _check_place(row, point, form, kind)
    _check_range(row, point)
    return point


def _check_place(row: Table, point: PayloadPoint, form: str, kind: str) -> None:
    wanted = {"binary": ("byte",), "tlv": ("tag", "byte"), "text": ("key",)}[form]
    written = [name for name in ("byte", "tag", "key") if row.has(name)]
    for name in written:
        if name not in wanted:
            row.trouble(name, f"a {kind} of a {form} payload has none", f"use {wanted[0]}")
    if form != "binary" and len(written) != 1:
        row.trouble(wanted[0], "is missing, or there are two: a point stands in one place")
    if point.mask is not None and point.type not in ("u8", "u16", "u24", "u32"):
        row.trouble("mask", f"a {point.type} takes no mask", "one of: u8, u16, u24, u32")


def _check_range(row: Table, point: PayloadPoint) -> None:
    """The field must be able to say the range."""
    if point.range is None or point.text:
        return
    try:
        for bound in point.range:
            encode_value(point.field, bound)
    except ValueError as trouble:
        row.trouble("range", f"cannot be said: {trouble}")


def _check_together(map_: PayloadMap, rows: list[Table], table: Table) -> None:
    """What only shows when all fields are known: overlaps, tags and keys written twice."""
    layout = map_.layout
    for attribute in ("tag", "key"):
        seen = [getattr(field, attribute) for field in layout.heads if getattr(field, attribute) not in (None, "")]
        for point, row in zip(map_.points, rows, strict=True):
            own = getattr(point, attribute)
            if own in (None, ""):
                continue
            if own in seen:
                row.trouble(attribute, f"{own!r} stands twice")
            seen.append(own)
    if layout.form != "binary":
        return
    by_name = {point.name: row for point, row in zip(map_.points, rows, strict=True)}
    heads = [(field, field.place) for field in layout.heads if field.place is not None]
    for message in layout.known or (None,):
        placed = place_fields(layout, message)
        for (first, start), (second, at) in combinations([*heads, *placed], 2):
            if start < at + second.width and at < start + first.width and not _share(first, start, second, at):
                where = by_name.get(second.name) or table
                where.trouble("byte" if second.name in by_name else second.name, f"overlaps {first.name!r} at {at}")
        end = max([layout.head_size, *(start + field.width for field, start in placed)]) + layout.tail
        if layout.size is not None and end > layout.size:
            table.trouble("size", f"the fields of message {message} end at {end}, behind {layout.size}")


def _share(first: Field, start: int, second: Field, at: int) -> bool:
    """Masked fields of one number may share its bytes."""
    same = (first.type, start, first.little) == (second.type, at, second.little)
    return same and first.mask is not None and second.mask is not None and not first.mask & second.mask
