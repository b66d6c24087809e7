"""What LwM2M messages carry (LwM2M 1.0.2 and 1.1): registrations, and resources in every content format.

Both directions, sans-IO; CoAP itself is ``coap``, TLV ``lwm2m_tlv``, SenML ``senml``. What is wrong raises
``Lwm2mError``.
"""

import math
from collections.abc import Mapping
from fractions import Fraction

import msgspec

from device_profiles.codecs.coap import Message
from device_profiles.codecs.link_format import Link, LinkFormatError, parse_links
from device_profiles.codecs.lwm2m_objects import resource_of
from device_profiles.codecs.lwm2m_tlv import Kinds, Path, Scalar, TlvError, decode_tlv, encode_tlv
from device_profiles.codecs.senml import (
    Resolved,
    SenmlError,
    encode_cbor,
    encode_json,
    parse_cbor,
    records_of,
    resolve,
)
from device_profiles.codecs.senml_plain import read_json

TEXT, LINK, OPAQUE, SENML_JSON, SENML_CBOR, TLV, JSON = 0, 40, 42, 110, 112, 11542, 11543
FORMATS = {"text": TEXT, "tlv": TLV, "json": JSON, "senml-json": SENML_JSON, "senml-cbor": SENML_CBOR}
"""Content formats (LwM2M 1.0.2, 6.4; 1.1, 7.4) by the word that a profile uses."""

OLD_FORMATS = {1541: TLV, 1542: TLV, 1543: JSON, None: TEXT}
"""Numbers used before registration, and what a message without one means: plain text (RFC 7252, 5.5.1)."""

AWAKE_S = 93.0
"""A client in queue mode listens this long after its last message (1.0.2, 8.3.2: MAX_TRANSMIT_WAIT of RFC 7252)."""

LIFETIME_S = 86_400
"""1.0.2, 5.3.1: where a registration says none."""

MOST_VALUES = 1024


class Lwm2mError(ValueError):
    """The message is none of LwM2M, or its payload is not what its content format says."""


class Told(msgspec.Struct, frozen=True):
    """One resource as told. ``time``: Unix seconds, None where the payload says none."""

    path: Path
    value: Scalar
    time: float | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """A payload about ``base``, with what its message says besides.

    ``key``: by which a retransmission is known; ``now``: Unix seconds at arrival, for relative times; ``repeats``: the
    device sends it again until it is acknowledged.
    """

    base: Path = ()
    format: int | None = None
    payload: bytes = b""
    key: bytes = b""
    now: float = 0.0
    repeats: bool = True


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a client says when it registers (1.0.2, 5.3.1). ``queue``: it sleeps between its messages."""

    endpoint: str
    lifetime: int = LIFETIME_S
    version: str = "1.0"
    binding: str = "U"
    queue: bool = False
    links: tuple[Link, ...] = ()

    @property
    def paths(self) -> frozenset[Path]:
        """Objects and instances that it has, without an alternate root (6.4.1)."""
        found = set()
        for link in self.links:
            try:
                found.add(parse_path(link.path))
            except Lwm2mError:  # an alternate root, or something that is no object at all
                continue
        return frozenset(found)


def parse_path(text: str) -> Path:
    """``/3303/0/5700`` as numbers. Lwm2mError when it is no such path."""
    parts = [part for part in text.split("/") if part]
    if len(parts) > 4 or not all(part.isascii() and part.isdecimal() and int(part) <= 0xFFFF for part in parts):
        raise Lwm2mError(f"{text!r} is no path of object, instance, resource")
    return tuple(map(int, parts))


def path_text(path: Path) -> str:
    """The inverse of ``parse_path``."""
    return "/" + "/".join(map(str, path))


def kind_of(path: Path, kinds: Kinds | None = None) -> str:
    """The type of a resource: the profile's own word, else the registered one, else empty."""
    if kinds and len(path) >= 3 and (path[0], path[2]) in kinds:
        return kinds[path[0], path[2]]
    known = resource_of(path)
    return "" if known is None else known.kind


def parse_registration(message: Message) -> Registration:
    """The registration in a ``POST /rd``. Lwm2mError when it names no endpoint or its numbers are none."""
    query = message.query
    binding = query.get("b", "U")
    lifetime = query.get("lt", str(LIFETIME_S))
    if not query.get("ep") or not lifetime.isdecimal() or len(lifetime) > 10:
        raise Lwm2mError("a registration needs ep, and lt in seconds")
    try:
        links = parse_links(message.payload)
    except LinkFormatError as trouble:
        raise Lwm2mError(str(trouble)) from None
    return Registration(
        endpoint=query["ep"],
        lifetime=int(lifetime),
        version=query.get("lwm2m", "1.0"),
        binding=binding,
        queue="Q" in binding or "Q" in query,  # 1.0.2 writes it into the binding, 1.1 (6.2.1.2) as a parameter
        links=links,
    )


def decode_content(content: Content, kinds: Kinds | None = None) -> list[Told]:
    """The resources that a payload tells. Lwm2mError when it is not what its content format says."""
    format = OLD_FORMATS.get(content.format, content.format)
    try:
        if format == TLV:
            told = [Told(path, value) for path, value in decode_tlv(content.payload, content.base, kinds).items()]
        elif format in (SENML_JSON, SENML_CBOR):
            told = _from_senml(content, format, kinds)
        elif format == JSON:
            told = _from_json(content, kinds)
        elif format == TEXT:
            told = [Told(content.base, _from_text(content.payload, kind_of(content.base, kinds)))]
        elif format == OPAQUE:
            told = [Told(content.base, content.payload)]
        else:
            raise Lwm2mError(f"content format {content.format}")
    except (TlvError, SenmlError) as trouble:
        raise Lwm2mError(str(trouble)) from None
    if len(told) > MOST_VALUES or any(len(one.path) < 3 for one in told):
        raise Lwm2mError("more values than a device has, or one without a resource")
    return told


def _from_senml(content: Content, format: int, kinds: Kinds | None) -> list[Told]:
    if format == SENML_JSON:
        resolved = read_json(content.payload, content.now, lwm2m=True)
    else:
        resolved = resolve(parse_cbor(content.payload), content.now, lwm2m=True)
    found = []
    for one in resolved:
        path = parse_path(one.name)
        found.append(Told(path, _of_kind(one.value, kind_of(path, kinds)), one.time))
    return found


class _Element(msgspec.Struct, frozen=True):
    n: str = ""
    v: float | int | None = None
    sv: str | None = None
    bv: bool | None = None
    ov: str | None = None
    t: float = 0.0


class _Json(msgspec.Struct, frozen=True):
    e: list[_Element]
    bn: str = ""
    bt: float | None = None


_JSON = msgspec.json.Decoder(_Json)


def _from_json(content: Content, kinds: Kinds | None) -> list[Told]:
    """LwM2M JSON of 1.0 (6.4.4): one base name, one base time, an array of elements."""
    try:
        pack = _JSON.decode(content.payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as trouble:
        raise Lwm2mError(f"no LwM2M JSON: {trouble}") from None
    base = pack.bn or path_text(content.base)
    found = []
    for one in pack.e:
        values = [value for value in (one.v, one.sv, one.bv, one.ov) if value is not None]
        if len(values) > 1:
            raise Lwm2mError("more than one value in one element")
        path = parse_path(f"{base}/{one.n}")
        time = None if pack.bt is None and not one.t else (pack.bt or 0) + one.t
        if time is not None and time < 1 << 28:
            time += content.now  # relative, as in the draft of SenML that it was made from
        found.append(Told(path, _of_kind(values[0] if values else None, kind_of(path, kinds)), time))
    return found


def _from_text(payload: bytes, kind: str) -> Scalar:
    """One resource as plain text (6.4.2). Lwm2mError when it is none of its type."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        raise Lwm2mError("a text that is no UTF-8") from None
    if kind in ("string", "objlnk", ""):
        return text
    if not text:
        return None
    try:
        if kind == "boolean":
            return {"0": False, "1": True}[text.strip()]
        return float(text) if kind == "float" else int(text)
    except (KeyError, ValueError):
        raise Lwm2mError(f"{text[:40]!r} is no {kind}") from None


def _of_kind(value: Scalar, kind: str) -> Scalar:
    """A value of JSON or CBOR as its resource's type has it. Lwm2mError where it is another."""
    if value is None or not kind:
        return value
    number = isinstance(value, (int, float)) and math.isfinite(value)
    if kind in ("integer", "unsigned", "time") and number and value == int(value):
        return int(value)
    if kind == "boolean" and number and value in (0, 1):
        return bool(value)
    fits = {"float": number, "string": isinstance(value, str), "objlnk": isinstance(value, str)}
    if not fits.get(kind, isinstance(value, bytes)):
        raise Lwm2mError(f"{value!r} is no {kind}")
    return value


def encode_content(
    values: Mapping[Path, Scalar], base: Path, format: int, kinds: Kinds | None = None, time: float | None = None
) -> bytes:
    """The payload that tells these resources; the inverse of ``decode_content``. ValueError for what cannot be said."""
    if format == TLV:
        return encode_tlv(values, base, kinds)
    if format in (SENML_JSON, SENML_CBOR):
        resolved = [Resolved(path_text(path), value, "", time) for path, value in values.items()]
        root = path_text(base) + "/" if 0 < len(base) < 3 else ""
        records = records_of(resolved, root, time)
        return encode_json(records) if format == SENML_JSON else encode_cbor(records)
    if format == JSON:
        return _to_json(values, base, time)
    if len(values) != 1 or base not in values:
        raise ValueError("plain text and opaque carry one resource")
    value = values[base]
    if format == OPAQUE:
        return value if isinstance(value, bytes) else str(value).encode()
    return b"" if value is None else str(int(value) if isinstance(value, bool) else value).encode()


def _to_json(values: Mapping[Path, Scalar], base: Path, time: float | None) -> bytes:
    elements = []
    for path, value in values.items():
        label = "bv" if isinstance(value, bool) else "sv" if isinstance(value, str) else "v"
        elements.append({"n": "/".join(map(str, path[len(base) :])), label: value})
    head = {"bn": path_text(base) + "/"} | ({} if time is None else {"bt": time})
    return msgspec.json.encode({**head, "e": elements})


def scaled(value: float | int, scale: Fraction, offset: Fraction) -> float | int:
    """value × scale + offset; as it is where that changes nothing."""
    if scale == 1 and offset == 0:
        return value
    if isinstance(value, float):
        return value * scale.numerator / scale.denominator + float(offset)
    exact = value * scale + offset
    return exact.numerator if exact.denominator == 1 else exact.numerator / exact.denominator
