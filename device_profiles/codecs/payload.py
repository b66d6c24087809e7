"""Payloads that a profile describes, both directions: fields by position, tag-length-value lists, ``$KEY:value#`` text.

A whole payload is one datagram (or the body of one CoAP request), so nothing is cut out of a stream here: ``parse``
takes it or raises ``PayloadError`` with its Reason. No expressions: what scales cannot say is a named type.
"""

from collections.abc import Mapping
from typing import Protocol

from device_profiles.codecs.payload_binary import BinaryCodec
from device_profiles.codecs.payload_items import PrintedCodec, TaggedCodec
from device_profiles.codecs.payload_layout import Layout, Parsed, What
from device_profiles.readings import Value


class Codec(Protocol):
    """A compiled layout."""

    def parse(self, data: bytes) -> Parsed:
        """What the payload says. PayloadError when it is not as described."""
        ...

    def build(self, values: Mapping[str, Value], what: What) -> bytes:
        """The payload that says these values; the inverse of ``parse``. ValueError for what cannot be said."""
        ...


def compile_layout(layout: Layout) -> Codec:
    """The layout's codec; made once for each model."""
    if layout.form == "binary":
        return BinaryCodec(layout)
    return TaggedCodec(layout) if layout.form == "tlv" else PrintedCodec(layout)


def build_ack(layout: Layout, parsed: Parsed) -> bytes:
    """The acknowledgement that the layout describes; empty where it has none."""
    built = b""
    for part in layout.ack:
        if isinstance(part, bytes):
            built += part
        elif part == "$check":
            built += b"" if layout.check is None else layout.check.over(built)
        else:
            built += parsed.heads.get(part[1:], b"")
    return built
