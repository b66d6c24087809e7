"""What the bytes of an element mean, and backwards: BCD numbers, twelve values of an hour, bits, series.

Every value comes with the time that belongs to it. Refuses to make a number of what is none: all FF (in ASCII "M") is
MISSING, all AA is SENSOR_OPEN, other letters are BAD_ENCODING. Numbers are whole digits divided once.
"""

import re

from device_profiles.codecs.sl651_body import Item
from device_profiles.codecs.sl651_elements import ELEMENTS
from device_profiles.quality import Reason
from device_profiles.readings import Value

SLOTS = 12
SLOT_US = 300_000_000
"""Twelve values of an hour, five minutes apart (table C.1, F4 to FC)."""

_LATE_US = 600_000_000
"""A value may seem observed this long after it was sent: the clock was set in between."""

_HOUR_US = 3_600_000_000
_STEP_US = (86_400_000_000, _HOUR_US, 60_000_000)

_TEXT_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)\Z")

Said = tuple[Value, Reason, int | None]
"""(value or None, why there is none, UTC µs or None)."""

ENCODINGS = ("bcd", "hex", "compass", "text")
"""How an element's value is written: BCD as the standard says; makers also write extensions as plain HEX or characters.
"compass": the sixteen winds 1 (north) to 16 (table E.1), in degrees here."""


def read_item(item: Item, sent: int | None, encoding: str = "bcd") -> list[Said]:
    """The values of an element, oldest first: one, or as many as it has slots or steps. ``sent``: the send time."""
    known = ELEMENTS.get(item.element)
    kind = "number" if known is None else known.kind
    if kind in ("rain", "level"):
        return _hours(item, sent, 1 if kind == "rain" else 2)
    if item.step:
        return _series(item, encoding)
    if kind == "clock":
        return [(*read_clock(item.data, item.define), item.at)]
    return [(*read_value(item.data, item.define, encoding), item.at)]


def read_value(data: bytes, define: int, encoding: str = "bcd") -> tuple[Value, Reason]:
    """One value. ``define``: the definition byte, -1 for ASCII."""
    absent = _absent(data, define, encoding)
    if absent:
        return None, absent
    if encoding == "text":
        return data.decode("utf-8", "replace").strip("\0 "), Reason.NONE
    if encoding == "hex":
        return read_hex(data, define)
    if define < 0:
        return _wind(*_text_number(data), encoding)
    negative = data[0] == 0xFF  # 6.6.3.3 a
    digits = data[negative:].hex()
    if not digits.isdecimal():
        return None, Reason.BAD_ENCODING
    value = int(digits) / 10 ** (define & 7)
    return _wind(-value if negative else value, Reason.NONE, encoding)


def _absent(data: bytes, define: int, encoding: str = "bcd") -> Reason:
    """Why data are no value: none at all, all FF (6.6.4.4 d), all AA (no sensor; makers' habit), "M"; else NONE."""
    if not data:
        return Reason.MISSING
    if define < 0:
        return Reason.MISSING if data == b"M" else Reason.NONE
    if data.count(0xFF) == len(data):
        return Reason.MISSING
    return Reason.SENSOR_OPEN if data.count(0xAA) == len(data) and encoding != "hex" else Reason.NONE


def _text_number(data: bytes) -> tuple[float | None, Reason]:
    if not _TEXT_NUMBER.match(data):
        return None, Reason.BAD_ENCODING
    return float(data), Reason.NONE


def _wind(value: float | None, reason: Reason, encoding: str) -> tuple[Value, Reason]:
    """Table E.1: 1 is north, 16 north-north-west."""
    if encoding != "compass" or value is None:
        return value, reason
    if value not in range(1, 17):
        return None, Reason.BAD_ENCODING
    return (value - 1) * 22.5, Reason.NONE


def read_hex(data: bytes, define: int) -> tuple[Value, Reason]:
    """An unsigned whole number in HEX (6.6.3.3 c), its decimals by the definition byte; in ASCII as hex characters."""
    if define >= 0:
        return int.from_bytes(data, "big") / 10 ** (define & 7), Reason.NONE
    try:
        return float(int(data, 16)), Reason.NONE
    except ValueError:
        return None, Reason.BAD_ENCODING


def read_word(item: Item) -> int | None:
    """The bits of element 45, or of an extension that is made of bits; None when there are none."""
    if not item.data or (item.define >= 0 and item.data.count(0xFF) == len(item.data)):
        return None
    if item.define >= 0:
        return int.from_bytes(item.data, "big")
    try:
        word = int(item.data, 16)
    except ValueError:
        return None
    return None if word == 0xFFFF_FFFF else word


def read_clock(data: bytes, define: int) -> tuple[Value, Reason]:
    """HH.mm as hours (E.1.2.3); some stations send the characters "11.01" in HEX too."""
    absent = _absent(data, define)
    if absent:
        return None, absent
    if define < 0 or b"." in data:
        text = data
    else:
        digits = data.hex().encode()
        minutes = len(digits) - (define & 7)
        text = digits[:minutes] + b"." + digits[minutes:]
    if not re.match(rb"\d{1,6}(?:\.(?:\d\d?)?)?\Z", text):
        return None, Reason.BAD_ENCODING
    hours, _, rest = text.decode().partition(".")
    minute = int((rest + "00")[:2])
    return (int(hours) + minute / 60, Reason.NONE) if minute < 60 else (None, Reason.BAD_ENCODING)


def _hours(item: Item, sent: int | None, size: int) -> list[Said]:
    """F4 to FC: twelve values for each hour; 0418 with a step of zero may bring several hours (table C.1, note g)."""
    data = item.data
    if item.define < 0:
        try:
            data = bytes.fromhex(data.decode("ascii", "replace").replace(" ", ""))
        except ValueError:
            return [(None, Reason.BAD_ENCODING, item.at)]
    count = len(data) // size
    if not count:
        return [(None, Reason.MISSING, item.at)]
    open_ = data.count(0xAA) == len(data)
    scale, none = (10, 0xFF) if size == 1 else (100, 0xFFFF)
    first = _first(item, count, sent)
    found: list[Said] = []
    for place in range(count):
        number = int.from_bytes(data[place * size : place * size + size], "big")
        at = None if first is None else first + place * SLOT_US
        if open_ or number == none:
            found.append((None, Reason.SENSOR_OPEN if open_ else Reason.MISSING, at))
        else:
            found.append((number / scale, Reason.NONE, at))
    return found


def _first(item: Item, count: int, sent: int | None) -> int | None:
    """When the first of an hour's values was observed: at the observation time (table 36, note).

    Many stations write the end of the hour there. A value cannot be observed after it was sent: then the time is the
    last value's.
    """
    if item.at is None or sent is None or item.step:
        return item.at
    span = (count - 1) * SLOT_US
    return item.at - span if item.at + span > sent + _LATE_US else item.at


def _series(item: Item, encoding: str) -> list[Said]:
    """0418 and DRxnn: values a step apart, the first at the observation time (6.6.2.8 d)."""
    if item.define >= 0:
        size = item.define >> 3
        values = [item.data[at : at + size] for at in range(0, len(item.data), size)] if size else []
    else:
        values = item.data.split(b" ")
    step = step_us(item.step)
    return [
        (*read_value(value, item.define, encoding), None if item.at is None else item.at + place * step)
        for place, value in enumerate(values)
    ]


def step_us(step: bytes) -> int:
    """The step of three BCD bytes day, hour, minute in µs (table C.3); 0 for one that is none."""
    digits = step.hex()
    if not digits.isdecimal():
        return 0
    return sum(int(digits[at : at + 2]) * unit for at, unit in zip((0, 2, 4), _STEP_US, strict=True))


def write_value(value: Value, digits: int, decimals: int, ascii: bool, encoding: str = "bcd") -> tuple[int, bytes]:
    """(definition byte or -1, data) of one value; None is said as missing. ValueError when it does not fit.

    A negative number takes a byte FF more (6.6.3.3 a).
    """
    if encoding == "text" and isinstance(value, str):
        data = value.encode()
        return (-1, data) if ascii else (_define(len(data), 0), data)
    if isinstance(value, (str, bool)):
        raise ValueError(f"{value!r} is no number")
    size = digits if encoding == "text" else (digits + 1) // 2
    if value is None:
        return (-1, b"M") if ascii else (_define(size, decimals), b"\xff" * size)
    if encoding == "compass":
        value, decimals = round(value / 22.5) % 16 + 1, 0
    if encoding == "hex":
        return _write_hex(value, size, decimals, ascii)
    text = f"{abs(value):.{decimals}f}"
    plain = text.replace(".", "")
    if len(plain) > 2 * size or not plain.isdecimal():
        raise ValueError(f"{value:g} does not fit {digits} digits, {decimals} of them decimals")
    negative = value < 0 and plain.strip("0") != ""
    if ascii:
        return -1, b"-" * negative + text.encode()
    data = b"\xff" * negative + bytes.fromhex(plain.zfill(2 * size))
    return _define(len(data), decimals), data


def _write_hex(value: float, size: int, decimals: int, ascii: bool) -> tuple[int, bytes]:
    number = round(value * 10**decimals)
    if not 0 <= number < 1 << 8 * size:
        raise ValueError(f"{value:g} does not fit {size} bytes")
    data = number.to_bytes(size, "big")
    return (-1, data.hex().upper().encode()) if ascii else (_define(size, decimals), data)


def write_clock(value: Value, ascii: bool) -> tuple[int, bytes]:
    """Hours as HH.mm. ValueError beyond 99 hours."""
    if value is None:
        return (-1, b"M") if ascii else (_define(2, 2), b"\xff\xff")
    if isinstance(value, (str, bool)) or not 0 <= (minutes := round(value * 60)) < 6000:
        raise ValueError(f"{value!r} are no hours")
    text = f"{minutes // 60:02d}{minutes % 60:02d}"
    return (-1, f"{text[:2]}.{text[2:]}".encode()) if ascii else (_define(2, 2), bytes.fromhex(text))


def write_hour(values: list[Value], kind: str, ascii: bool) -> tuple[int, bytes]:
    """The twelve values of an hour, oldest first. ValueError when one does not fit: 25.4 mm, 655.34 m at most."""
    size, scale = (1, 10) if kind == "rain" else (2, 100)
    if len(values) != SLOTS:
        raise ValueError(f"{len(values)} values; an hour has {SLOTS}")
    data = b""
    for value in values:
        if isinstance(value, str):
            raise ValueError(f"{value!r} is no number")
        number = (1 << 8 * size) - 1 if value is None else round(value * scale)
        if not 0 <= number < (1 << 8 * size) - (value is not None):
            raise ValueError(f"{value} does not fit an hour's {kind}")
        data += number.to_bytes(size, "big")
    return (-1, data.hex().upper().encode()) if ascii else (_define(len(data), 0), data)


def write_word(word: int | None, ascii: bool) -> tuple[int, bytes]:
    """Four bytes of bits; None as missing."""
    data = (0xFFFF_FFFF if word is None else word).to_bytes(4, "big")
    return (-1, data.hex().upper().encode()) if ascii else (_define(4, 0), data)


def _define(size: int, decimals: int) -> int:
    """A definition byte (table 26). ValueError when it cannot say that."""
    if not 0 <= size <= 31 or not 0 <= decimals <= 7:
        raise ValueError(f"no definition byte says {size} bytes and {decimals} decimals")
    return size << 3 | decimals
