"""One field of a described payload, both directions: bytes ↔ raw ↔ value, with nothing but tables and fractions.

A *raw* is what the bytes say (a number or a text); ``value = raw × scale + offset``, divided once. Decoding never
raises: what is no value is None with a Reason. Encoding refuses what does not fit (ValueError).
"""

import math
import re
import struct
from collections.abc import Callable
from fractions import Fraction

import msgspec

from device_profiles.quality import Reason
from device_profiles.readings import Value

SIZES = {
    "u8": 1, "u16": 2, "u24": 3, "u32": 4, "u64": 8, "i8": 1, "i16": 2, "i24": 3, "i32": 4, "i64": 8,
    "sm8": 1, "sm16": 2, "sm32": 4, "f32": 4, "f64": 8, "bcd": 0, "ascii": 0, "hex": 0, "decimal": 0, "hexnumber": 0,
}  # fmt: skip
"""Bytes of each type; 0: as many as the field says. ``smN``: sign and magnitude; ``hex``: bytes as digits, a text;
``decimal`` and ``hexnumber`` are printed numbers, for payloads that are text."""

_DECIMAL = re.compile(r"[+-]?\d{1,18}(\.\d{1,12})?\Z")
TEXTS = ("ascii", "hex")
PRINTED = ("decimal", "hexnumber")

Raw = int | float | str | Fraction
"""A printed decimal is kept exact."""

Told = tuple[Value, Reason]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value stands and how it is spelled.

    ``place``: first byte, from the front; None: behind the field before it. ``messages``: types of message that carry
    it, none for all. ``tag``/``key``: its name in a payload of tagged or of printed items. ``digits``: of a BCD number
    or of a printed one behind its point. ``little``: low byte first.
    """

    name: str
    type: str
    size: int = 0
    place: int | None = None
    little: bool = False
    mask: int | None = None
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    sentinels: tuple[float, ...] = ()
    messages: tuple[int, ...] = ()
    tag: int | None = None
    key: str = ""
    digits: int | None = None

    @property
    def width(self) -> int:
        """Bytes that it takes."""
        return SIZES[self.type] or self.size

    @property
    def text(self) -> bool:
        """True when its raw is a text."""
        return self.type in TEXTS

    @property
    def plain(self) -> bool:
        """True when its number is always a value: nothing to look at but the scale."""
        return self.type[0] in "ui" and self.mask is None and not self.sentinels


def read_raw(field: Field, data: bytes) -> Raw | None:
    """The raw that these bytes say, of exactly the field's width; None when they say none."""
    kind = field.type
    if kind[0] == "u":
        number = int.from_bytes(data, "little" if field.little else "big")
        return number if field.mask is None else (number & field.mask) >> _shift(field.mask)
    if kind[0] == "i":
        return int.from_bytes(data, "little" if field.little else "big", signed=True)
    if kind[0] == "f":
        found: float = struct.unpack(("<" if field.little else ">") + ("f" if len(data) == 4 else "d"), data)[0]
        return found
    if kind == "bcd":
        return _read_bcd(field, data[::-1] if field.little else data)
    if kind[0] == "s":
        number = int.from_bytes(data, "little" if field.little else "big")
        sign = 1 << 8 * len(data) - 1
        return -(number & ~sign) if number & sign else number
    return _read_text(field, data)


def _read_bcd(field: Field, data: bytes) -> int | None:
    digits = data.hex()
    if field.digits is not None:
        digits = digits[-field.digits :]
    return int(digits) if digits.isdecimal() else None


def _read_text(field: Field, data: bytes) -> Raw | None:
    if field.type == "hex":
        return data.hex().upper()
    try:
        text = data.decode("ascii").strip("\x00 ")
        if field.type == "ascii":
            return text
        if field.type == "hexnumber":
            return int(text, 16) if text.isalnum() else None
        return Fraction(text) if _DECIMAL.match(text) else None
    except (UnicodeDecodeError, ValueError):
        return None


def value_of(field: Field, raw: Raw | None) -> Told:
    """(value, reason) of a raw: NONE with a value, else None and why."""
    if raw is None:
        return None, Reason.BAD_ENCODING
    if isinstance(raw, str):
        return raw, Reason.NONE
    if raw in field.sentinels:
        return None, Reason.SENSOR_OPEN
    if isinstance(raw, float):
        if not math.isfinite(raw):
            return None, Reason.NOT_A_NUMBER
        if field.scale == 1 and field.offset == 0:
            return raw, Reason.NONE
        return raw * field.scale.numerator / field.scale.denominator + float(field.offset), Reason.NONE
    exact = raw * field.scale + field.offset
    return (exact.numerator if exact.denominator == 1 else exact.numerator / exact.denominator), Reason.NONE


def compiled(field: Field) -> Callable[[bytes], Told]:
    """Bytes → (value, reason), for a field that needs a look."""
    return lambda data: value_of(field, read_raw(field, data))


def encode_value(field: Field, value: Value) -> bytes:
    """The bytes that say this value; None asks for the first sentinel. ValueError when it cannot be said.

    A masked field fills its own bits and leaves zeros elsewhere.
    """
    return encode_raw(field, raw_of(field, value))


def raw_of(field: Field, value: Value) -> Raw:
    """The inverse of ``value_of``."""
    if value is None:
        if field.sentinels:
            return field.sentinels[0] if field.type[0] == "f" else int(field.sentinels[0])
        if field.type in ("f32", "f64"):
            return math.nan
        raise ValueError(f"{field.name} has no sentinel that says 'no value'")
    if field.text:
        return str(value)
    if isinstance(value, str):
        raise ValueError(f"{field.name}: a text where a number is due")
    if not math.isfinite(value):
        raise ValueError(f"{field.name}: {value} is no number")
    if field.type[0] == "f":
        plain = field.scale == 1 and field.offset == 0
        return float(value) if plain else float((Fraction(value) - field.offset) / field.scale)
    exact = (Fraction(value) - field.offset) / field.scale
    return round(exact) if field.type != "decimal" else exact


def encode_raw(field: Field, raw: Raw) -> bytes:
    """The bytes of a raw; the inverse of ``read_raw``. ValueError when it does not fit."""
    kind, order, width = field.type, "little" if field.little else "big", field.width
    try:
        if isinstance(raw, str) or kind in PRINTED:
            return _encode_text(field, raw)
        if kind[0] == "f":
            return struct.pack(("<" if field.little else ">") + ("f" if width == 4 else "d"), raw)
        number = int(raw)
        if kind == "bcd":
            data = bytes.fromhex(str(number).rjust(2 * width, "0")) if number >= 0 else b""
            if len(data) != width:
                raise OverflowError
            return data[::-1] if field.little else data
        if kind[0] == "s":
            sign = 1 << 8 * width - 1
            if abs(number) >= sign:
                raise OverflowError
            return (-number | sign if number < 0 else number).to_bytes(width, order)  # type: ignore[arg-type]  # one of two words
        if field.mask is not None:
            number <<= _shift(field.mask)
            if number & ~field.mask or number < 0:
                raise OverflowError
        return number.to_bytes(width, order, signed=kind[0] == "i")  # type: ignore[arg-type]  # one of two words
    except (OverflowError, struct.error, ValueError):
        raise ValueError(f"{field.name}: {raw!r} does not fit {kind} of {width} bytes") from None


def _encode_text(field: Field, raw: Raw) -> bytes:
    if field.type == "decimal":
        return f"{float(raw):.{field.digits or 0}f}".encode()
    if field.type == "hexnumber":
        return f"{int(raw):0{field.size or 1}X}".encode()
    data = bytes.fromhex(str(raw)) if field.type == "hex" else str(raw).encode("ascii")
    if field.size and (len(data) > field.size or (field.type == "hex" and len(data) != field.size)):
        raise OverflowError
    return data.ljust(field.size, b"\x00")


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1
