"""LwM2M TLV, both directions (LwM2M TS 1.0.2, 6.4.3; content format 11542): a flat walk, typed by the object table.

Decoding turns bytes into {path: value}; a resource that nobody has described comes back as its bytes. What is no TLV
raises ``TlvError`` and nothing else. Depth is bounded by the format: instance, resource, resource instance.
"""

import struct
from collections.abc import Mapping

from device_profiles.codecs.lwm2m_objects import OBJECTS

Path = tuple[int, ...]
"""(object, instance, resource, resource instance), as long as it goes."""

Scalar = float | int | bool | str | bytes | None
Kinds = Mapping[Path, str]
"""Types of a vendor's own resources: (object, resource) → kind; they prevail over the registered ones."""

INSTANCE, RESOURCE_INSTANCE, MULTIPLE, RESOURCE = range(4)
"""Bits 7 and 6 of the type byte (6.4.3, table 20)."""

MAX_LENGTH = (1 << 24) - 1

_INTEGERS = {1: "b", 2: "h", 4: "i", 8: "q"}
_SIGNED = {size: struct.Struct(">" + code) for size, code in _INTEGERS.items()}
_UNSIGNED = {size: struct.Struct(">" + code.upper()) for size, code in _INTEGERS.items()}
_FLOATS = {4: struct.Struct(">f"), 8: struct.Struct(">d")}


class TlvError(ValueError):
    """The bytes are no TLV, or a value has no length its type allows."""


def decode_tlv(data: bytes, base: Path, kinds: Kinds | None = None) -> dict[Path, Scalar]:
    """{path: value} of a payload whose request (or observation) named ``base``.

    A zero-length number is no value (None): nobody means zero by it. TlvError when the bytes are no TLV for that base.
    """
    if not base:
        raise TlvError("TLV cannot carry several objects")
    found: dict[Path, Scalar] = {}
    typed = _Types(base[0], kinds)
    _walk(data, 0, len(data), base, typed, found)
    if len(base) > 2 and any(path[: len(base)] != base for path in found):
        raise TlvError("another resource than the one that was asked for")
    return found


class _Types:
    """Kinds of one object's resources, looked up once a resource."""

    __slots__ = ("_kinds", "_number", "_resources")

    def __init__(self, number: int, kinds: Kinds | None) -> None:
        self._number = number
        self._kinds = kinds
        self._resources = OBJECTS.get(number, {})

    def kind(self, resource: int) -> str:
        if self._kinds:
            own = self._kinds.get((self._number, resource))
            if own is not None:
                return own
        known = self._resources.get(resource)
        return "" if known is None else known.kind


_HOLDS = {None: (0, 1, 2, 3), INSTANCE: (MULTIPLE, RESOURCE), MULTIPLE: (RESOURCE_INSTANCE,)}
"""What may stand in what (6.4.3): so nesting ends."""


def _walk(
    data: bytes, at: int, end: int, base: Path, typed: _Types, found: dict[Path, Scalar], inside: int | None = None
) -> None:
    """Every entry of data[at:end], which lies below ``base``."""
    allowed = _HOLDS[inside]
    while at < end:
        head = data[at]
        body = at + 2 + (head >> 5 & 1)  # bit 5: the identifier has 16 bits
        width = head >> 3 & 3  # bits 4 and 3: bytes of the length field
        start = body + width
        if start > end:
            raise TlvError(f"an entry cut off at {at}")
        number = data[at + 1] if not head & 0x20 else data[at + 1] << 8 | data[at + 2]
        size = int.from_bytes(data[body:start], "big") if width else head & 7
        at = start + size
        if at > end:
            raise TlvError(f"an entry of {size} bytes where {end - start} are left")
        kind = head >> 6
        if kind not in allowed:
            raise TlvError(f"an entry of kind {kind} inside one of kind {inside}")
        if kind == RESOURCE:
            path = _below(base, 3, number)
            found[path] = _value(data[start:at], typed.kind(number))
        elif kind == RESOURCE_INSTANCE:
            path = _below(base, 4, number)
            found[path] = _value(data[start:at], typed.kind(path[2]))
        else:
            _walk(data, start, at, _below(base, 2 if kind == INSTANCE else 3, number), typed, found, kind)


def _below(base: Path, level: int, number: int) -> Path:
    """The path of an entry on that level under ``base``; what ``base`` names already must agree."""
    if len(base) == level - 1:
        return (*base, number)
    if len(base) >= level and base[level - 1] == number:
        return base[:level]
    if level == 3 and len(base) == 1:
        return (*base, 0, number)  # 6.4.3: a single-instance object may leave its instance out
    raise TlvError(f"an entry {number} of level {level} under /{'/'.join(map(str, base))}")


def _value(data: bytes, kind: str) -> Scalar:
    """6.4.3.1: how each type is spelled."""
    size = len(data)
    try:
        if kind == "float":
            return _FLOATS[size].unpack(data)[0] if size else None
        if kind in ("integer", "time"):
            return _SIGNED[size].unpack(data)[0] if size else None
        if kind == "string":
            return data.decode("utf-8")
        if kind == "boolean":
            return _boolean(data)
        if kind == "unsigned":
            return _UNSIGNED[size].unpack(data)[0] if size else None
    except KeyError:
        raise TlvError(f"a {kind} of {size} bytes") from None
    except UnicodeDecodeError:
        raise TlvError("a string that is no UTF-8") from None
    if kind == "objlnk":
        if size != 4:
            raise TlvError(f"an object link of {size} bytes")
        return f"{data[0] << 8 | data[1]}:{data[2] << 8 | data[3]}"
    return data


def _boolean(data: bytes) -> bool | None:
    if len(data) > 1 or (data and data[0] > 1):
        raise TlvError(f"a boolean of {data.hex()}")
    return bool(data[0]) if data else None


def encode_tlv(values: Mapping[Path, Scalar], base: Path, kinds: Kinds | None = None) -> bytes:
    """The payload that says these resources below ``base``; the inverse of ``decode_tlv``.

    Integers take the fewest of 1, 2, 4, 8 bytes; a float takes 4 where that loses nothing. ValueError for a value that
    its type cannot say, for a path outside ``base``, or for more than 24 bits of length.
    """
    if not base:
        raise ValueError("TLV cannot carry several objects")
    for path in values:
        if path[: len(base)] != base or not 3 <= len(path) <= 4:
            raise ValueError(f"/{'/'.join(map(str, path))} is no resource below /{'/'.join(map(str, base))}")
    typed = _Types(base[0], kinds)
    # 6.4.3: the payload for a resource holds that resource's own entry, as the payload for its instance would
    return _level(sorted(values.items()), base[:2] if len(base) < 4 else base[:3], typed)


def _level(items: list[tuple[Path, Scalar]], base: Path, typed: _Types) -> bytes:
    """The entries of everything below ``base``: instances, resources, resource instances."""
    level = len(base)
    groups: dict[int, list[tuple[Path, Scalar]]] = {}
    for path, value in items:
        groups.setdefault(path[level], []).append((path, value))
    parts: list[bytes] = []
    for number, group in groups.items():
        path, value = group[0]
        if level == 1:
            parts.append(_entry(INSTANCE, number, _level(group, path[:2], typed)))
        elif level == 2 and len(path) > 3:
            parts.append(_entry(MULTIPLE, number, _level(group, path[:3], typed)))
        else:
            kind = RESOURCE if level == 2 else RESOURCE_INSTANCE
            parts.append(_entry(kind, number, _bytes(value, typed.kind(path[2]), path)))
    return b"".join(parts)


def _entry(kind: int, number: int, value: bytes) -> bytes:
    """Type byte, identifier, length, value (6.4.3, table 20)."""
    if not 0 <= number <= 0xFFFF or len(value) > MAX_LENGTH:
        raise ValueError(f"an identifier {number} or a value of {len(value)} bytes")
    head = kind << 6 | (0x20 if number > 0xFF else 0)
    identifier = number.to_bytes(2 if number > 0xFF else 1, "big")
    size = len(value)
    if size < 8:
        return bytes((head | size,)) + identifier + value
    width = (size.bit_length() + 7) // 8
    return bytes((head | width << 3,)) + identifier + size.to_bytes(width, "big") + value


def _bytes(value: Scalar, kind: str, path: Path) -> bytes:
    """A value as its type is spelled (6.4.3.1)."""
    try:
        if value is None:
            return b""
        if kind == "float":
            short = _FLOATS[4].pack(value)
            return short if _FLOATS[4].unpack(short)[0] == value or value != value else _FLOATS[8].pack(value)
        if kind in ("integer", "time", "unsigned"):
            return _integer(value, signed=kind != "unsigned")
        if kind == "boolean":
            return bytes((bool(value),))
        if kind == "objlnk":
            return b"".join(int(part).to_bytes(2, "big") for part in str(value).split(":"))
        return value if isinstance(value, bytes) else str(value).encode()
    except (struct.error, OverflowError, TypeError, ValueError):
        if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
            return _FLOATS[8].pack(value)  # beyond a float's range, not a double's
        raise ValueError(f"/{'/'.join(map(str, path))}: {value!r} is no {kind}") from None


def _integer(value: Scalar, signed: bool) -> bytes:
    if not isinstance(value, (int, float)) or value != int(value):
        raise ValueError(f"{value!r} is no whole number")
    number = int(value)
    for size in (1, 2, 4, 8):
        low, high = (-(1 << 8 * size - 1), 1 << 8 * size - 1) if signed else (0, 1 << 8 * size)
        if low <= number < high:
            return number.to_bytes(size, "big", signed=signed)
    raise ValueError(f"{number} takes more than 64 bits")
