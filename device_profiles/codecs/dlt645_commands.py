"""What a master may tell DL/T 645 meters: write an item, switch the relay, set the clock, freeze, change the speed.

Both directions: ``…_frame`` makes the question, ``parse_…`` reads it back (for a meter that is not there). Refuses to
send anything; values are decimal digits low byte first, as everywhere in the standard.
"""

from datetime import datetime

import msgspec

from device_profiles.codecs.bcd import read_bcd, write_bcd
from device_profiles.codecs.dlt645 import (
    E2007,
    EVERYBODY,
    Dlt645Error,
    Edition,
    Frame,
    identifier_bytes,
    parse_identifier,
)

BROADCAST_TIME = 0x08  # 2007, 7.6; the same code in 1997
FREEZE = 0x16  # 2007, 7.7
CHANGE_SPEED = 0x17  # 2007, 7.8
RELAY = 0x1C  # 2007 with its supplement of 2009 (control commands)

RELAY_ACTIONS = {
    "open": 0x1A,  # supply off
    "closing_allowed": 0x1B,
    "close": 0x1C,  # supply on, at once
    "alarm": 0x2A,
    "alarm_off": 0x2B,
    "keep": 0x3A,  # supply is kept whatever happens
    "keep_off": 0x3B,
}
"""N1 of a relay command."""

SPEEDS = {600: 0x02, 1200: 0x04, 2400: 0x08, 4800: 0x10, 9600: 0x20, 19200: 0x40}
"""Bits of the speed byte (2007, 7.8)."""


class Written(msgspec.Struct, frozen=True):
    """A write: ``password`` and ``operator`` as four bytes on the wire (level and three of password; who)."""

    identifier: int
    password: bytes
    operator: bytes
    data: bytes


class RelayOrder(msgspec.Struct, frozen=True):
    """A relay command; void after ``until`` (the meter's own local time)."""

    action: str
    password: bytes
    operator: bytes
    until: datetime


def _digits(*pairs: int) -> bytes:
    return b"".join(write_bcd(pair, 1) for pair in pairs)


def _moment(data: bytes) -> datetime:
    """ss mm hh DD MM YY, in this century. Dlt645Error when that is no time."""
    parts = [read_bcd(data[at : at + 1])[0] for at in range(6)]
    second, minute, hour, day, month, year = (-1 if part is None else part for part in parts)
    try:
        return datetime(2000 + year, month, day, hour, minute, second)
    except ValueError as trouble:
        raise Dlt645Error(f"is no time: {data.hex(' ').upper()}") from trouble


def _moment_bytes(moment: datetime) -> bytes:
    if not 2000 <= moment.year < 2100:
        raise ValueError(f"a meter's clock has two digits for the year, not {moment.year}")
    return _digits(moment.second, moment.minute, moment.hour, moment.day, moment.month, moment.year % 100)


def _four(data: bytes, what: str) -> bytes:
    if len(data) != 4:
        raise ValueError(f"{what} has four bytes, not {len(data)}")
    return data


def write_frame(address: str, written: Written, edition: Edition = E2007) -> Frame:
    """Write an item (2007, 7.3: identifier, password, operator, data; 1997 has no operator)."""
    data = identifier_bytes(written.identifier, edition) + _four(written.password, "the password")
    if edition is E2007:
        data += _four(written.operator, "the operator")
    return Frame(address, edition.write, data + written.data)


def parse_write(frame: Frame, edition: Edition = E2007) -> Written:
    """The write in a master's frame. Dlt645Error when it is none."""
    identifier, rest = parse_identifier(frame, edition)
    head = 8 if edition is E2007 else 4
    if frame.control != edition.write or len(rest) < head:
        raise Dlt645Error("is no write")
    return Written(identifier, rest[:4], rest[4:head], rest[head:])


def relay_frame(address: str, order: RelayOrder) -> Frame:
    """Switch the supply: password, operator, N1 = what, N2 = 0, N3…N8 = until when it holds. KeyError for an action
    that is not in RELAY_ACTIONS."""
    what = bytes([RELAY_ACTIONS[order.action], 0])
    head = _four(order.password, "the password") + _four(order.operator, "the operator")
    return Frame(address, RELAY, head + what + _moment_bytes(order.until))


def parse_relay(frame: Frame) -> RelayOrder:
    """The order in a master's frame. Dlt645Error when it is none, or one that nobody knows."""
    known = {code: action for action, code in RELAY_ACTIONS.items()}
    if frame.control != RELAY or len(frame.data) != 16 or frame.data[8] not in known:
        raise Dlt645Error("is no relay command that we know")
    return RelayOrder(known[frame.data[8]], frame.data[:4], frame.data[4:8], _moment(frame.data[10:]))


def time_frame(moment: datetime, address: str = EVERYBODY) -> Frame:
    """Set the clocks of all meters (or of one); nobody answers. A meter obeys once a day and within five minutes (2007,
    7.6)."""
    return Frame(address, BROADCAST_TIME, _moment_bytes(moment))


def parse_time(frame: Frame) -> datetime:
    """The time in a master's frame. Dlt645Error when it is none."""
    if frame.control != BROADCAST_TIME or len(frame.data) != 6:
        raise Dlt645Error("is no time")
    return _moment(frame.data)


def freeze_frame(address: str, pattern: str = "99999999") -> Frame:
    """Freeze readings: ``pattern`` is MMDDhhmm, 99 standing for every (2007, 7.7); eight 9 freeze at once."""
    return Frame(address, FREEZE, _digit_bytes(pattern, 4))


def parse_freeze(frame: Frame) -> str:
    """The pattern in a master's frame. Dlt645Error when it is none."""
    if frame.control != FREEZE or len(frame.data) != 4:
        raise Dlt645Error("is no freeze command")
    return frame.data[::-1].hex()


def _digit_bytes(digits: str, size: int) -> bytes:
    """Decimal digits as bytes, low first. ValueError when there are not ``2 × size``."""
    if len(digits) != 2 * size or not digits.isdecimal():
        raise ValueError(f"{digits!r} is not {2 * size} decimal digits")
    return bytes.fromhex(digits)[::-1]


def speed_frame(address: str, baud: int) -> Frame:
    """Change the meter's speed (2007, 7.8). KeyError for a speed that the standard does not have."""
    return Frame(address, CHANGE_SPEED, bytes([SPEEDS[baud]]))


def parse_speed(frame: Frame) -> int:
    """Baud in a master's frame. Dlt645Error when it is none."""
    known = {code: baud for baud, code in SPEEDS.items()}
    if frame.control != CHANGE_SPEED or len(frame.data) != 1 or frame.data[0] not in known:
        raise Dlt645Error("is no change of speed")
    return known[frame.data[0]]
