"""The position report of JT/T 808 (0200) and its batches (0704), both directions (2013, 8.18 and 8.49).

A latitude is never negative: the hemisphere is a status bit (8.18 table 25). Times are BCD in GMT+8 (8.18 table 23).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from struct import Struct

import msgspec

from device_profiles.codecs.jt808_words import FIXED

CHINA = timezone(timedelta(hours=8))
BASE = 28
"""Bytes before the extra items: four numbers of 4 bytes, three of 2, and the time."""

_BASE = Struct(">IIIIHHH6s")
_EPOCH = datetime(2000, 1, 1, tzinfo=CHINA)
_MICROSECOND = timedelta(microseconds=1)

NORMAL, BLIND_ZONE = 0, 1
"""Types of a batch (8.49 table 79): sent together, or filled in after a place without radio."""

Extra = tuple[int, bytes]
"""(id, value) of an extra item."""


class Jt808Error(ValueError):
    """A body that is not what its message id says. The text says why."""


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One position report as it is on the wire: ``latitude`` and ``longitude`` in 10⁻⁶ degrees, unsigned; ``altitude``
    in m; ``speed`` in 0.1 km/h; ``direction`` in degrees, 0 is north, clockwise; ``time``: six bytes BCD. ``tail``:
    bytes behind the last whole extra item, where a length ran over the end."""

    alarms: int = 0
    status: int = 0
    latitude: int = 0
    longitude: int = 0
    altitude: int = 0
    speed: int = 0
    direction: int = 0
    time: bytes = bytes(6)
    extras: tuple[Extra, ...] = ()
    tail: bytes = b""

    @property
    def at(self) -> int | None:
        """The device's time as UTC µs; None where it has none (all zero before the first fix) or says nonsense."""
        return parse_time(self.time)

    @property
    def fixed(self) -> bool:
        """True when there is a position: the bit says so, and it is not 0, 0 in the Gulf of Guinea."""
        return bool(self.status >> FIXED & 1) and (self.latitude, self.longitude) != (0, 0)


class Batch(msgspec.Struct, frozen=True):
    """0704. ``kind``: NORMAL or BLIND_ZONE; ``broken``: items that were no position reports, as they came."""

    kind: int
    items: tuple[Position, ...]
    broken: tuple[bytes, ...] = ()


def parse_time(data: bytes) -> int | None:
    """BCD YYMMDDhhmmss in GMT+8 as UTC µs; None for all zero and for what is no time."""
    digits = data.hex()
    if len(digits) != 12 or not digits.isdecimal() or digits == "000000000000":
        return None
    year, month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(0, 12, 2))
    try:
        moment = datetime(2000 + year, month, day, hour, minute, second, tzinfo=CHINA)
    except ValueError:
        return None
    return (moment - _EPOCH) // _MICROSECOND + 946_656_000_000_000


def format_time(at: int | None) -> bytes:
    """The inverse, to the second; None is all zero. ValueError outside the years 2000 to 2099."""
    if at is None:
        return bytes(6)
    moment = datetime.fromtimestamp(at // 1_000_000, UTC).astimezone(CHINA)
    if not 2000 <= moment.year <= 2099:
        raise ValueError(f"{moment.year} does not fit two digits of a year")
    return bytes.fromhex(moment.strftime("%y%m%d%H%M%S"))


def parse_position(body: bytes) -> Position:
    """A 0200 body, or an item of 0704. Jt808Error when the base is not whole; extras that are not become ``tail``."""
    if len(body) < BASE:
        raise Jt808Error(f"a position takes {BASE} bytes, here are {len(body)}")
    alarms, status, latitude, longitude, altitude, speed, direction, time = _BASE.unpack_from(body)
    extras: list[Extra] = []
    at, end = BASE, len(body)
    while at + 2 <= end and at + 2 + body[at + 1] <= end:
        behind = at + 2 + body[at + 1]
        extras.append((body[at], body[at + 2 : behind]))  # unknown ids are kept (8.18 table 26: skip by length)
        at = behind
    return Position(
        alarms=alarms,
        status=status,
        latitude=latitude,
        longitude=longitude,
        altitude=altitude,
        speed=speed,
        direction=direction,
        time=time,
        extras=tuple(extras),
        tail=body[at:],
    )


def encode_position(position: Position) -> bytes:
    """The body of a 0200. ValueError for a number or an extra item that does not fit."""
    p = position
    if not 0 <= p.alarms < 1 << 32 or not 0 <= p.status < 1 << 32:
        raise ValueError("alarms and status have 32 bits each")
    if not 0 <= p.latitude < 1 << 32 or not 0 <= p.longitude < 1 << 32:
        raise ValueError(f"{p.latitude}, {p.longitude}: the hemisphere is in the status, the degrees have no sign")
    for name, value in (("altitude", p.altitude), ("speed", p.speed), ("direction", p.direction)):
        if not 0 <= value < 1 << 16:
            raise ValueError(f"{name} {value} does not fit 16 bits")
    if len(p.time) != 6:
        raise ValueError("a time has six bytes")
    base = _BASE.pack(p.alarms, p.status, p.latitude, p.longitude, p.altitude, p.speed, p.direction, p.time)
    return base + b"".join(map(_encode_extra, p.extras)) + p.tail


def _encode_extra(extra: Extra) -> bytes:
    number, value = extra
    if not 0 <= number <= 0xFF or len(value) > 0xFF:
        raise ValueError(f"extra item {number:02X} with {len(value)} bytes: ids and lengths have one byte")
    return bytes((number, len(value))) + value


def parse_batch(body: bytes) -> Batch:
    """A 0704 body. Items are read to the end of the body, whatever the count says; Jt808Error without a head."""
    if len(body) < 3:
        raise Jt808Error(f"a batch has a head of 3 bytes, here are {len(body)}")
    items: list[Position] = []
    broken: list[bytes] = []
    at = 3
    while at < len(body):
        behind = at + 2 + int.from_bytes(body[at : at + 2], "big")
        try:
            if behind > len(body):
                raise Jt808Error("the item runs over the end")
            items.append(parse_position(body[at + 2 : behind]))
        except Jt808Error:
            broken.append(body[at : min(behind, len(body))])
        at = behind
    return Batch(body[2], tuple(items), tuple(broken))


def encode_batch(kind: int, items: Sequence[Position]) -> bytes:
    """The body of a 0704; ValueError for what does not fit."""
    bodies = [encode_position(item) for item in items]
    if not 0 <= kind <= 0xFF or len(bodies) > 0xFFFF or any(len(body) > 0xFFFF for body in bodies):
        raise ValueError("a batch has a kind of one byte, and counts and lengths of two")
    head = len(bodies).to_bytes(2, "big") + bytes([kind])
    return head + b"".join(len(body).to_bytes(2, "big") + body for body in bodies)
