"""What lies in a meter's item, byte by byte: the points of DL/T 645 and CJ/T 188 profiles, decoded and encoded.

An item is what one identifier names: a value, or a block of several. Every byte of it belongs to a point, so that what
a meter says can be said backwards. Fixed point is exact until the one division at the end. Decoding never raises.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from fractions import Fraction
from functools import cache

import msgspec

from device_profiles.codecs.bcd import BAD_ENCODING, MISSING, read_bcd, write_bcd
from device_profiles.profiles import Point
from device_profiles.quality import GOOD_CODE
from device_profiles.quantities import UnitError, exact_conversion
from device_profiles.readings import Value

TYPE_SIZES = {"bcd": 0, "bits": 0, "digits": 0, "date": 4, "time": 3, "clock": 7}
"""Bytes of each type; 0: the point says how many. ``date``: YY MM DD and the day of the week, ``time``: hh mm ss,
``clock``: year to second, all with the lowest byte first."""

TEXT_TYPES = ("digits", "date", "time", "clock")
EXACT = 1 << 53

UNITS: dict[int, tuple[str, int]] = {
    0x01: ("J", 1),
    0x02: ("W.h", 1),
    0x05: ("kW.h", 1),
    0x08: ("MW.h", 1),
    0x0A: ("MW.h", 100),
    0x0B: ("kJ", 1),
    0x0E: ("MJ", 1),
    0x11: ("GJ", 1),
    0x13: ("GJ", 100),
    0x14: ("W", 1),
    0x17: ("kW", 1),
    0x1A: ("MW", 1),
    0x29: ("L", 1),
    0x2C: ("m3", 1),
    0x32: ("L/h", 1),
    0x35: ("m3/h", 1),
}
"""The unit byte beside a value of CJ/T 188 (table of units), as UCUM and a factor. Litres and cubic metres differ by
one byte, and by a thousand in the bill."""


class ItemPoint(Point, frozen=True, kw_only=True):
    """A value in an item. ``item``: the identifier; ``offset``: where in the item its bytes begin; ``size``: how many
    carry the value; ``decimals``: digits behind the point; ``signed``: the highest bit is the sign; ``mask``: bits of
    ``bits``. ``beside``: where a unit byte stands ("after", "before" or "" for none), ``says``: the unit byte that this
    model sends."""

    item: int
    offset: int = 0
    size: int = 0
    type: str = "bcd"
    decimals: int = 0
    signed: bool = False
    mask: int | None = None
    beside: str = ""
    says: int = 0

    @property
    def end(self) -> int:
        """The first byte behind the value and its unit byte."""
        return self.offset + self.size + bool(self.beside)

    def value_bytes(self, data: bytes) -> bytes:
        """The value's bytes in an item's."""
        first = self.offset + (self.beside == "before")
        return data[first : first + self.size]

    def unit_byte(self, data: bytes) -> int:
        """The unit byte beside the value."""
        return data[self.offset if self.beside == "before" else self.end - 1]


@cache
def _factor(code: int, unit: str) -> Fraction | None:
    """What brings a value in the unit of a unit byte to ``unit``; None where they do not convert."""
    if code not in UNITS:
        return None
    name, factor = UNITS[code]
    try:
        return exact_conversion(name, unit)[0] * factor
    except UnitError:
        return None


def _rounded(exact: Fraction) -> float | int:
    """Rounded once; whole numbers beyond 2**53 stay integers, so that no digit is lost."""
    if exact.denominator == 1 and abs(exact.numerator) > EXACT:
        return exact.numerator
    return exact.numerator / exact.denominator


def decode_point(point: ItemPoint, data: bytes) -> tuple[Value, int]:
    """(value, code) of a point that lies wholly in an item's bytes."""
    raw = point.value_bytes(data)
    if point.type == "bits":
        number = int.from_bytes(raw, "little")
        return (number if point.mask is None else (number & point.mask) >> _shift(point.mask)), GOOD_CODE
    if point.type in TEXT_TYPES:
        return _read_text(point, raw)
    found, code = read_bcd(raw, point.signed)
    if found is None:
        return None, code
    if not point.beside:
        return found / 10**point.decimals if abs(found) <= EXACT else _rounded(Fraction(found, 10**point.decimals)), 0
    factor = _factor(point.unit_byte(data), point.unit)
    if factor is None:
        return None, BAD_ENCODING
    return _rounded(Fraction(found, 10**point.decimals) * factor), GOOD_CODE


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _read_text(point: ItemPoint, raw: bytes) -> tuple[str | None, int]:
    """Digits, a date or a time; all FF, and a date of zeros, are MISSING."""
    nothing = raw.count(0xFF) == len(raw) or (point.type in ("date", "clock") and not any(raw))
    if nothing:
        return None, MISSING
    digits = raw[::-1].hex()
    if not digits.isdecimal():
        return None, BAD_ENCODING
    if point.type == "digits":
        return digits, GOOD_CODE
    try:
        return _MAKERS[point.type](digits), GOOD_CODE
    except ValueError:
        return None, BAD_ENCODING


def _date(digits: str) -> str:
    """YYMMDDWW; the day of the week is not believed, it follows from the date."""
    return date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:6])).isoformat()


def _time(digits: str) -> str:
    """hhmmss."""
    return time(int(digits[:2]), int(digits[2:4]), int(digits[4:6])).isoformat()


def _clock(digits: str) -> str:
    """YYYYMMDDhhmmss."""
    parts = [int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2))]
    return datetime(*parts).isoformat(" ")  # type: ignore[arg-type]  # six integers, and mypy sees any number of them


_MAKERS: dict[str, Callable[[str], str]] = {"date": _date, "time": _time, "clock": _clock}


def encode_point(point: ItemPoint, value: Value, says: int | None = None) -> bytes:
    """The bytes of a value, unit byte included; None asks for "no value", all FF. The inverse of ``decode_point``;
    ``says``: another unit byte than the model's. ValueError when the value does not fit."""
    unit_byte = point.says if says is None else says
    if point.type == "bits":
        raw = _bits(point, value).to_bytes(point.size, "little")
    elif value is None:
        raw = b"\xff" * point.size
    elif point.type in TEXT_TYPES:
        raw = _write_text(point, value)
    else:
        raw = write_bcd(_number(point, value, unit_byte), point.size, point.signed)
    if not point.beside:
        return raw
    return bytes([unit_byte]) + raw if point.beside == "before" else raw + bytes([unit_byte])


def _number(point: ItemPoint, value: Value, unit_byte: int) -> int:
    if isinstance(value, str) or value is None:
        raise ValueError(f"{point.name}: a text where a number is due")
    factor = _factor(unit_byte, point.unit) if point.beside else Fraction(1)
    if factor is None:
        raise ValueError(f"{point.name}: the unit byte {unit_byte:02X} is none of {point.unit}")
    try:
        exact: Fraction = Fraction(value) / factor * 10**point.decimals
    except (OverflowError, ValueError):
        raise ValueError(f"{point.name}: {value} is no number that can be said") from None
    return round(exact)


def _bits(point: ItemPoint, value: Value) -> int:
    if not isinstance(value, (int, float)) or value != int(value) or value < 0:
        raise ValueError(f"{point.name}: {value!r} are no bits")
    mask = (1 << 8 * point.size) - 1 if point.mask is None else point.mask
    number = int(value) << (0 if point.mask is None else _shift(point.mask))
    if number & ~mask:
        raise ValueError(f"{point.name}: {value} does not fit its bits")
    return number


def _write_text(point: ItemPoint, value: Value) -> bytes:
    """The inverse of ``_read_text``."""
    text = str(value)
    try:
        if point.type == "date":
            day = date.fromisoformat(text)
            text = day.strftime("%y%m%d") + f"{day.isoweekday() % 7:02d}"  # 0 is Sunday (DL/T 645-2007, annex A)
        elif point.type == "time":
            text = time.fromisoformat(text).strftime("%H%M%S")
        elif point.type == "clock":
            text = datetime.fromisoformat(text).strftime("%Y%m%d%H%M%S")
    except ValueError:
        raise ValueError(f"{point.name}: {text!r} is no {point.type}") from None
    if not text.isdecimal() or len(text) != 2 * point.size:
        raise ValueError(f"{point.name}: {text!r} is not {2 * point.size} digits")
    return bytes.fromhex(text)[::-1]


class Item(msgspec.Struct, frozen=True):
    """The points of one identifier, in order of their bytes. ``exact``: an answer of another length is not understood
    at all; otherwise it may end early (a meter with fewer tariffs) or go on in steps of the last point."""

    identifier: int
    points: tuple[ItemPoint, ...]
    exact: bool

    @property
    def size(self) -> int:
        """Bytes that the points cover."""
        return max(point.end for point in self.points)

    def fits(self, size: int) -> bool:
        """True when an answer of that many bytes is what the profile describes."""
        if size == self.size:
            return True
        if self.exact or len({point.offset for point in self.points}) == 1:
            return False
        step = self.points[-1].end - self.points[-1].offset
        return size in {point.end for point in self.points} or (size > self.size and (size - self.size) % step == 0)

    def decode(self, wanted: Sequence[ItemPoint], data: bytes) -> tuple[list[Value], bytes]:
        """Values of the wanted points, and their codes. Of an answer whose length does not fit nothing is believed."""
        if not self.fits(len(data)):
            return [None] * len(wanted), bytes([BAD_ENCODING]) * len(wanted)
        found = [decode_point(point, data) if point.end <= len(data) else (None, MISSING) for point in wanted]
        return [value for value, _ in found], bytes(code for _, code in found)

    def encode(self, values: Mapping[str, Value], says: Mapping[str, int] = {}) -> bytes:
        """The item's bytes; ``says``: unit bytes by point where they are not the model's. KeyError for a point without
        a value, ValueError for one that does not fit."""
        data = bytearray(self.size)
        for point in self.points:
            for at, byte in enumerate(encode_point(point, values[point.name], says.get(point.name)), point.offset):
                data[at] |= byte  # points that share bytes do so through masks that do not meet
        return bytes(data)


def items_of(points: Sequence[ItemPoint], exact: bool) -> dict[int, Item]:
    """The items that these points lie in, by identifier, in the order of the profile."""
    found: dict[int, list[ItemPoint]] = {}
    for point in points:
        found.setdefault(point.item, []).append(point)
    return {
        identifier: Item(identifier, tuple(sorted(inside, key=lambda point: point.offset)), exact)
        for identifier, inside in found.items()
    }
