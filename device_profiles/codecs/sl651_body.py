"""What SL 651-2014 messages are made of: serial, send time, stations, observation times, elements (6.6).

One shape for both encodings: ``sl651_hex`` and ``sl651_text`` read and write it, ``sl651_messages`` chooses. Elements
keep their bytes as sent; ``sl651_values`` says what they mean. Times are China Standard Time there and UTC here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from device_profiles.codecs.sl651 import ETX

CHINA_US = 8 * 3600 * 1_000_000
"""China Standard Time before UTC; the standard knows no other zone and no summer time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

LINK, TEST, UNIFORM, TIMED, EVENT, HOURLY, MANUAL, IMAGE = range(0x2F, 0x37)
QUERY, QUERY_PERIOD, QUERY_MANUAL, QUERY_ELEMENTS, QUERY_PUMPS = 0x37, 0x38, 0x39, 0x3A, 0x44
QUERY_VERSION, QUERY_STATE, SET_CLOCK, SET_CARD, QUERY_CLOCK = 0x45, 0x46, 0x4A, 0x4B, 0x51

CLASSED = frozenset((TEST, UNIFORM, TIMED, EVENT, HOURLY, IMAGE, QUERY, QUERY_PERIOD, QUERY_ELEMENTS, QUERY_PUMPS))
"""Functions in whose bodies a station's address is followed by its class (6.6.4)."""

WITH_ELEMENTS = CLASSED | {MANUAL, QUERY_MANUAL, QUERY_STATE, SET_CARD}
"""Functions whose bodies are made of elements; the others have tables of their own (annex D, tables 57 to 86)."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One element as it was sent.

    ``define``: its definition byte, -1 in ASCII; ``data``: BCD or HEX bytes, in ASCII its characters; ``at``: the
    observation time (UTC µs) that stands before it; ``step``: the three BCD bytes day, hour, minute of 0418 where
    ``data`` is a series of values. ``name``: an ASCII name that table C.1 does not have, with ``element`` 0.
    """

    element: int
    data: bytes
    define: int = -1
    at: int | None = None
    step: bytes = b""
    name: str = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one station says. ``station``: its address where the body names it; ``kind``: its class's code, or 0."""

    items: tuple[Item, ...] = ()
    station: bytes = b""
    kind: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed message. ``sent``: the send time (UTC µs), None where it is no time; ``seen``: when a picture was
    taken; ``span``: first and last hour (YYMMDDHH) of query 38; ``rest``: what could not be read as elements."""

    station: bytes
    function: int
    serial: int
    sent: int | None
    sections: tuple[Section, ...] = ()
    text: bytes | None = None
    picture: bytes | None = None
    seen: int | None = None
    span: tuple[str, str] | None = None
    rest: bytes = b""
    centre: int = 1
    password: int = 0
    down: bool = False
    end: int = ETX
    packet: tuple[int, int] | None = None
    ascii: bool = False

    @property
    def items(self) -> Iterator[Item]:
        """Every element of every station."""
        for section in self.sections:
            yield from section.items


@lru_cache(maxsize=256)
def parse_time(digits: str) -> int | None:
    """YYMMDDHHmm or YYMMDDHHmmSS in China Standard Time as UTC µs (6.6.2.5); None when that is no time."""
    if not (digits.isdecimal() and digits.isascii()) or len(digits) not in (10, 12):
        return None
    numbers = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    try:
        moment = datetime(2000 + numbers[0], *numbers[1:], tzinfo=UTC)  # type: ignore[misc, arg-type]  # numbers[1:] is month to second
    except ValueError:
        return None
    return (moment - _EPOCH) // _US - CHINA_US


def format_time(at: int | None, digits: int = 12) -> str:
    """UTC µs as YYMMDDHHmmSS (or its first ten digits) in China Standard Time; zeros for None.

    ValueError outside the years 2000 to 2099.
    """
    if at is None:
        return "0" * digits
    moment = _EPOCH + (at + CHINA_US) * _US
    if not 2000 <= moment.year <= 2099:
        raise ValueError(f"the year {moment.year} does not fit two digits")
    return moment.strftime("%y%m%d%H%M%S")[:digits]


def check_serial(serial: int) -> int:
    """A serial number (6.6.2.4): 1 to 65535 from a station, 0 when the centre begins. ValueError for another."""
    if not 0 <= serial <= 0xFFFF:
        raise ValueError(f"{serial} is no serial number")
    return serial
