"""One value in Modbus registers, both directions: types, byte orders, scales, masks, sentinels.

A *raw* is what the registers say (an integer, a float, a text); ``value = raw × scale + offset``. Decimal scales
are kept as fractions and divided once, so that 237 × 0.1 is 23.7 and not 23.700000000000003. Decoding never raises:
what is no value comes back as None with a code. Encoding refuses what does not fit (ValueError): only what can be
run backwards can be simulated.
"""

import math
import struct
from fractions import Fraction

from device_profiles.profiles import RegisterPoint
from device_profiles.quality import GOOD_CODE, Quality, Reason, code_of
from device_profiles.readings import Value

SENSOR_OPEN = code_of(Quality.BAD, Reason.SENSOR_OPEN)
NOT_A_NUMBER = code_of(Quality.BAD, Reason.NOT_A_NUMBER)
BAD_ENCODING = code_of(Quality.BAD, Reason.BAD_ENCODING)

EXACT = 1 << 53
"""Integers beyond this do not fit a float64 exactly and travel as integers."""

FORMATS = {
    "u16": "H",
    "i16": "h",
    "u32": "I",
    "i32": "i",
    "u64": "Q",
    "i64": "q",
    "f32": "f",
    "f64": "d",
    "bcd16": "H",
    "bcd32": "I",
    "bits": "H",
    "sm16": "H",
    "i16_over_10000": "H",
}
"""struct codes of the big-endian (ABCD) form; named encodings interpret the unsigned number."""

Raw = int | float | str


def byte_positions(order: str, size: int) -> list[int]:
    """Where each byte of the big-endian form stands on the wire, for ``size`` bytes in one of the four orders.

    CDAB reverses the words, BADC swaps the bytes of each word, DCBA does both; a 16-bit value knows only the latter.
    """
    words = [[at, at + 1] for at in range(0, size, 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [at for word in words for at in word]


def decode_value(point: RegisterPoint, data: bytes) -> tuple[Value, int]:
    """(value, code) of a point out of its register bytes as they came over the wire."""
    big = bytes(data[at] for at in byte_positions(point.order, len(data)))
    if point.type == "string":
        return _text(big)
    (number,) = struct.unpack(">" + FORMATS[point.type], big)
    return value_of(point, number)


def value_of(point: RegisterPoint, number: int | float) -> tuple[Value, int]:
    """(value, code) of a point out of the big-endian number that its registers hold."""
    raw = _interpreted(point, number)
    if raw is None:
        return None, BAD_ENCODING
    if raw != raw or raw in (math.inf, -math.inf):
        return None, NOT_A_NUMBER
    if number in point.sentinels or raw in point.sentinels:
        return None, SENSOR_OPEN
    return scaled(point, raw), GOOD_CODE


def scaled(point: RegisterPoint, raw: int | float) -> float | int:
    """raw × scale + offset, rounded once. Whole numbers beyond 2**53 stay integers, so that no digit is lost."""
    scale, offset = point.scale, point.offset
    if isinstance(raw, float):
        if scale == 1 and offset == 0:
            return raw
        return raw * scale.numerator / scale.denominator + float(offset)
    exact = raw * scale + offset
    if exact.denominator == 1 and abs(exact.numerator) > EXACT:
        return exact.numerator
    return exact.numerator / exact.denominator


def _interpreted(point: RegisterPoint, number: int | float) -> int | float | None:
    """The raw that the unsigned number stands for in the point's encoding; None when it stands for nothing."""
    kind = point.type
    if isinstance(number, float):
        return number
    if kind in ("bcd16", "bcd32"):
        digits = f"{number:x}"
        return int(digits) if digits.isdecimal() else None
    if kind == "sm16":  # sign and magnitude: bit 15 is the sign
        return -(number & 0x7FFF) if number & 0x8000 else number
    if kind == "i16_over_10000":  # 10000 and more: negative, offset by 10000
        return -(number - 10000) if number >= 10000 else number
    if point.mask is not None:
        return (number & point.mask) >> _shift(point.mask)
    return number


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _text(data: bytes) -> tuple[str | None, int]:
    """Two characters a register, high byte first, padded with NUL or blanks (both ends: some makers shift by one
    byte)."""
    try:
        return data.strip(b"\x00 ").decode("ascii"), GOOD_CODE
    except UnicodeDecodeError:
        return None, BAD_ENCODING


def encode_value(point: RegisterPoint, value: Value) -> bytes:
    """The register bytes, as on the wire, that read as ``value``; None asks for the point's first sentinel.

    A masked point fills its own bits and leaves zeros elsewhere (spans.encode_registers merges those that share
    a register).
    ValueError when the value does not fit.
    """
    if point.type == "string":
        big = _text_bytes(point, value)
    else:
        number = number_of(point, value)
        try:
            big = struct.pack(">" + FORMATS[point.type], number)
        except (struct.error, OverflowError):
            raise ValueError(f"{point.name}: {value!r} does not fit {point.type}") from None
    wire = bytearray(len(big))
    for position, at in enumerate(byte_positions(point.order, len(big))):
        wire[at] = big[position]
    return bytes(wire)


def number_of(point: RegisterPoint, value: Value) -> int | float:
    """The big-endian number that stands for a value; the inverse of ``value_of``. ValueError when there is none."""
    if value is None:
        if point.type in ("f32", "f64") and not point.sentinels:
            return math.nan
        if not point.sentinels:
            raise ValueError(f"{point.name} has no sentinel that says 'no value'")
        value_less = point.sentinels[0]
        return value_less if point.type in ("f32", "f64") else int(value_less)
    if isinstance(value, str):
        raise ValueError(f"{point.name}: a text where a number is due")
    if point.type in ("f32", "f64"):
        if not math.isfinite(value) or (point.scale == 1 and point.offset == 0):
            return float(value)  # as it is: a fraction would lose the sign of minus zero
        return float((Fraction(value) - point.offset) / point.scale)
    if not math.isfinite(value):
        raise ValueError(f"{point.name}: {value} does not fit {point.type}")
    raw = round((Fraction(value) - point.offset) / point.scale)
    return _stored(point, raw)


def _stored(point: RegisterPoint, raw: int) -> int:
    """The unsigned number of a raw in the point's encoding; the inverse of ``_interpreted``."""
    fits = True
    number = raw
    match point.type:
        case "bcd16" | "bcd32":
            fits = 0 <= raw < (10_000 if point.type == "bcd16" else 100_000_000)
            number = int(str(raw), 16) if fits else 0
        case "sm16":
            fits = abs(raw) <= 0x7FFF
            number = -raw | 0x8000 if raw < 0 else raw
        case "i16_over_10000":
            fits = -(0xFFFF - 10000) <= raw < 10000
            number = 10000 - raw if raw < 0 else raw
        case _ if point.mask is not None:
            number = raw << _shift(point.mask)
            fits = raw >= 0 and number & ~point.mask == 0
    if not fits:
        raise ValueError(f"{point.name}: raw {raw} does not fit {point.type}")
    return number


def _text_bytes(point: RegisterPoint, value: Value) -> bytes:
    data = ("" if value is None else str(value)).encode("ascii")
    if len(data) > 2 * point.length:
        raise ValueError(f"{point.name}: {len(data)} characters in {point.length} registers")
    return data.ljust(2 * point.length, b"\x00")
