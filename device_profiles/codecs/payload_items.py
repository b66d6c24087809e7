"""Payloads that are lists: tag, length, value; or printed items like ``$KEY:value#``. See ``payload_layout``."""

import re
from collections.abc import Mapping

from device_profiles.codecs.payload_fields import Field, compiled, encode_value, read_raw, value_of
from device_profiles.codecs.payload_layout import (
    Layout,
    Parsed,
    PayloadError,
    Shell,
    What,
    about,
    head_bytes,
    head_of,
    read_message,
    wrap,
)
from device_profiles.quality import Reason
from device_profiles.readings import Value

MOST_ITEMS = 256


class TaggedCodec:
    """Tag, length, value, behind a head of fixed fields; fields of the head may be items, too."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._shell = Shell(layout)
        self._fields = {field.tag: (field, compiled(field)) for field in layout.fields if field.tag is not None}
        self._heads = {field.tag: field for field in layout.heads if field.tag is not None}
        self._fixed = [field for field in layout.heads if field.place is not None]
        self._placed = [(field, compiled(field)) for field in layout.fields if field.place is not None]
        self._first = layout.head_size

    def parse(self, data: bytes) -> Parsed:
        """What the payload says; items with an unknown tag, or said again, are kept as text."""
        body = self._shell.open(data)
        heads = {field.name: body[field.place or 0 : (field.place or 0) + field.width] for field in self._fixed}
        values: dict[str, Value] = {}
        reasons: dict[str, Reason] = {}
        unknown: dict[str, str] = {}
        for field, read in self._placed:
            place = field.place or 0
            values[field.name], reason = read(body[place : place + field.width])
            reasons |= {} if reason is Reason.NONE else {field.name: reason}
        for tag, item in self._items(body):
            known = self._fields.get(tag)
            if known is not None and len(item) == known[0].width and known[0].name not in values:
                name = known[0].name
                values[name], reason = known[1](item)
                reasons |= {} if reason is Reason.NONE else {name: reason}
            elif tag in self._heads and self._heads[tag].name not in heads:
                heads[self._heads[tag].name] = item
            else:
                unknown[f"{tag:#x}"] = item.hex().upper()
        return about(self.layout, heads, values, reasons, unknown)

    def _items(self, body: bytes) -> list[tuple[int, bytes]]:
        """(tag, value) of each item. PayloadError where they do not end with the body."""
        found: list[tuple[int, bytes]] = []
        at, wide, length = self._first, self.layout.tag, self.layout.length_of_item
        while at < len(body) and len(found) < MOST_ITEMS:
            tag = int.from_bytes(body[at : at + wide], "big")
            start = at + wide + length
            size = int.from_bytes(body[at + wide : start], "big") if length else self._size(tag, len(body) - start)
            at = start + size
            if start > len(body) or at > len(body):
                raise PayloadError(Reason.TRUNCATED, f"item {tag:#x} reaches beyond the end")
            found.append((tag, body[start:at]))
        return found

    def _size(self, tag: int, left: int) -> int:
        """Without a length an unknown tag takes all that is left: nobody knows where it ends."""
        known = self._fields.get(tag)
        head = self._heads.get(tag)
        return known[0].width if known is not None else left if head is None else head.width

    def build(self, values: Mapping[str, Value], what: What) -> bytes:
        """The payload: an item for each value that is given, in the order of the fields."""
        layout = self.layout
        items = [self._item(field, head_bytes(layout, field, what)) for field in self._heads.values()]
        items += [
            self._item(field, encode_value(field, values[field.name]))
            for field, _ in self._fields.values()
            if field.name in values and (not field.messages or what.message in field.messages)
        ]
        listed = b"".join(items)
        head = head_of(layout, what, self._first + len(listed) + layout.tail)
        for field, _ in self._placed:
            place = field.place or 0
            head[place : place + field.width] = encode_value(field, values.get(field.name))
        return wrap(layout, bytes(head) + listed)

    def _item(self, field: Field, value: bytes) -> bytes:
        length = self.layout.length_of_item
        head = (field.tag or 0).to_bytes(self.layout.tag, "big")
        return head + (len(value).to_bytes(length, "big") if length else b"") + value


class PrintedCodec:
    """Items of text, each with its key: ``$KEY:value#``."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._shell = Shell(layout)
        self._fields = {field.key: field for field in layout.fields}
        self._heads = {field.key: field for field in layout.heads}
        opening, middle, closing = map(re.escape, (layout.opening, layout.separator, layout.closing))
        self._item = re.compile(f"{opening}([^{middle}{closing}]{{1,64}}){middle}([^{closing}]{{0,512}}){closing}")

    def parse(self, data: bytes) -> Parsed:
        """What the payload says. PayloadError when there is no item, or something that is none between them."""
        try:
            text = self._shell.open(data).decode("ascii")
        except UnicodeDecodeError:
            raise PayloadError(Reason.MALFORMED, "no ASCII") from None
        heads: dict[str, bytes] = {}
        values: dict[str, Value] = {}
        reasons: dict[str, Reason] = {}
        unknown: dict[str, str] = {}
        at = len(self.layout.start)
        for match in self._item.finditer(text, at):
            if text[at : match.start()].strip(self.layout.between + " \r\n\t"):
                raise PayloadError(Reason.MALFORMED, f"{text[at : match.start()]!r} is no item")
            at = match.end()
            self._take(match[1], match[2], heads, values, reasons, unknown)
        if text[at:].strip(self.layout.between + " \r\n\t\x00") or not (heads or values or unknown):
            raise PayloadError(Reason.MALFORMED, f"{text[at:]!r} is no item")
        if self.layout.message is not None and self.layout.message.name not in heads:
            raise PayloadError(Reason.MALFORMED, f"no {self.layout.message.key}")
        message = read_message(self.layout, heads)
        if self.layout.known and message not in self.layout.known:
            unknown[f"message {message}"] = text
        return about(self.layout, heads, values, reasons, unknown)

    def _take(
        self,
        key: str,
        text: str,
        heads: dict[str, bytes],
        values: dict[str, Value],
        reasons: dict[str, Reason],
        unknown: dict[str, str],
    ) -> None:
        """One item to where it belongs."""
        field = self._fields.get(key)
        if field is not None and field.name not in values:
            values[field.name], reason = value_of(field, read_raw(field, text.encode()))
            reasons |= {} if reason is Reason.NONE else {field.name: reason}
        elif key in self._heads and self._heads[key].name not in heads:
            heads[self._heads[key].name] = text.encode()
        else:
            unknown[key] = text

    def build(self, values: Mapping[str, Value], what: What) -> bytes:
        """The payload: what is about the message first, then an item for each value that is given."""
        layout = self.layout
        items = [(field.key, head_bytes(layout, field, what)) for field in layout.heads]
        items += [
            (field.key, encode_value(field, values[field.name]))
            for field in layout.fields
            if field.name in values and (not field.messages or what.message in field.messages)
        ]
        printed = (
            f"{layout.opening}{key}{layout.separator}{value.decode('ascii')}{layout.closing}" for key, value in items
        )
        return wrap(layout, layout.start + layout.between.join(printed).encode())
