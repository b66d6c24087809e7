"""What the lines of an NB-IoT modem mean: registration, signal, clock, sockets, timers (BC95, BC28, BC26).

Unknown is None, never a number: CSQ 99, -32768, ECL 255. Every ``parse_*`` raises AtError for what it cannot read.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from fractions import Fraction

import msgspec

from device_profiles.codecs.at_modem import AtError, split_fields, split_line

REGISTERED = (1, 5)
"""Home and roaming (TS 27.007, 10.1.22)."""
STATES = {0: "idle", 1: "home", 2: "searching", 3: "denied", 4: "unknown", 5: "roaming"}

# TS 24.008, tables 10.5.163 (timer 2: T3324) and 10.5.163a (timer 3: T3412 extended): bits 8-6 the unit in seconds,
# bits 5-1 the count. The two tables differ; all ones in the unit switch the timer off.
ACTIVE_UNITS = {0: 2, 1: 60, 2: 360}
PERIODIC_UNITS = {0: 600, 1: 3600, 2: 36_000, 3: 2, 4: 30, 5: 60, 6: 1_152_000}


class Registration(msgspec.Struct, frozen=True):
    """Whether the network has us. Timers in seconds as granted; None: not said, or switched off."""

    stat: int
    cell: str = ""
    active_s: int | None = None
    periodic_s: int | None = None

    @property
    def registered(self) -> bool:
        """True at home and roaming."""
        return self.stat in REGISTERED

    @property
    def word(self) -> str:
        """The state in a word."""
        return STATES.get(self.stat, "unknown")


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """What the radio says. ``rsrp_dbm``, ``rsrq_db``, ``snr_db``; ``coverage``: ECL 0 to 2; None: it did not say."""

    rsrp_dbm: float | None = None
    rsrq_db: float | None = None
    snr_db: float | None = None
    coverage: int | None = None


class Received(msgspec.Struct, frozen=True):
    """One piece read from a socket: sender, bytes, and how many bytes are left."""

    socket: int
    ip: str
    port: int
    data: bytes
    remaining: int


class Clock(msgspec.Struct, frozen=True):
    """A modem's clock: ``shown`` µs since 1970 as if the figures were UTC; ``quarters`` of an hour the zone claims."""

    shown: int
    quarters: int

    def utc(self, zone_is_true: bool) -> int:
        """UTC µs: BC28 shows UTC and prints +32 all the same, other firmware shows local time."""
        return self.shown - (self.quarters * 900_000_000 if zone_is_true else 0)

    def zone_is_true(self, now: int) -> bool | None:
        """Which of the two it is, against a time that is known (µs); None when it fits neither within 10 minutes."""
        away = {flag: abs(self.utc(flag) - now) for flag in (False, True)}
        nearest = min(away, key=away.__getitem__)
        return nearest if away[nearest] <= 600_000_000 else None


def _integer(text: str, what: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text):
        raise AtError(f"{what}: {text!r} is no number")
    return int(text)


def parse_numbers(text: str, count: int) -> list[int]:
    """The first ``count`` fields as numbers: "+NSONMI:0,4", "+NSOSTR:1,101,1", "+NPSMR:1"."""
    fields = split_fields(text)
    if len(fields) < count:
        raise AtError(f"{text!r} has fewer than {count} fields")
    return [_integer(field, text) for field in fields[:count]]


def parse_registration(text: str, asked: bool) -> Registration:
    """``+CEREG`` (TS 27.007, 10.1.22). ``asked``: the answer to AT+CEREG?, which begins with the setting <n>.

    The timers are the last two of eight fields behind <stat> (seven with firmware that leaves out <rac>).
    """
    fields = split_fields(text)[1 if asked else 0 :]
    stat = _integer(fields[0] if fields else "", "+CEREG")
    active, periodic = fields[-2:] if len(fields) >= 8 else ("", "")
    cell = fields[2] if len(fields) > 2 else ""
    return Registration(
        stat,
        cell,
        read_timer(active, ACTIVE_UNITS) if active else None,
        read_timer(periodic, PERIODIC_UNITS) if periodic else None,
    )


def read_timer(octet: str, units: dict[int, int]) -> int | None:
    """Seconds of a timer octet written as eight binary digits; None when it is switched off."""
    if not re.fullmatch(r"[01]{8}", octet):
        raise AtError(f"{octet!r} is no timer of eight binary digits")
    unit, amount = int(octet[:3], 2), int(octet[3:], 2)
    if unit == 7:
        return None
    # Other values of T3324 count as one minute (table 10.5.163).
    return amount * units.get(unit, 60)


def write_timer(seconds: float, units: dict[int, int]) -> str:
    """The shortest time of a timer octet that is not shorter than ``seconds``; AtError above the longest."""
    fits = [(step * -(-seconds // step), unit, step) for unit, step in units.items() if seconds <= 31 * step]
    if not fits or seconds < 0:
        raise AtError(f"{seconds:g} s is more than a timer can say")
    total, unit, step = min(fits)
    return f"{unit:03b}{int(total) // step:05b}"


def parse_csq(text: str) -> int | None:
    """dBm of ``+CSQ: r,b``; None for 99 (TS 27.007, 8.5)."""
    level = parse_numbers(text, 1)[0]
    if level != 99 and not 0 <= level <= 31:
        raise AtError(f"+CSQ: {text!r} is out of range")
    return None if level == 99 else -113 + 2 * level


_TENTHS = {"SIGNAL POWER": "rsrp_dbm", "SNR": "snr_db", "RSRQ": "rsrq_db"}
_LIMITS = {"rsrp_dbm": (-1600, -200), "snr_db": (-500, 600), "rsrq_db": (-500, 300)}


def parse_nuestats(lines: Iterable[str]) -> Signal:
    """AT+NUESTATS in any of its three spellings; tenths of dBm and dB; -32768 and what is impossible are None.

    ``Signal power:-856`` · ``+NUESTATS: Signal power:-683`` · ``NUESTATS: "RADIO","Signal power",-856``
    """
    found: dict[str, float | int] = {}
    for line in lines:
        body = re.sub(r'\A\+?NUESTATS ?: ?|"RADIO" ?, ?|"', "", line)
        match = re.fullmatch(r"(?:RADIO,)?([A-Za-z ]+?) ?[:,] ?(-?[0-9]{1,10})", body)
        if match is None:
            continue
        name, value = match[1].upper(), int(match[2])
        if name == "ECL" and 0 <= value <= 2:  # 255: not known
            found["coverage"] = value
        elif name in _TENTHS and _LIMITS[_TENTHS[name]][0] <= value <= _LIMITS[_TENTHS[name]][1]:
            found[_TENTHS[name]] = float(Fraction(value, 10))
    return msgspec.convert(found, Signal)


def parse_qeng(text: str) -> Signal:
    """``+QENG: 0,…`` (BC26 AT+QENG=0, the serving cell): whole dBm and dB; an empty field is None."""
    fields = split_fields(text)
    if len(fields) < 12 or fields[0] != "0":
        raise AtError(f"+QENG: {text!r} tells of no serving cell")
    rsrp, rsrq, snr, coverage = (_integer(fields[at], "+QENG") if fields[at] else None for at in (5, 6, 8, 11))
    return Signal(
        rsrp_dbm=None if rsrp is None or not -160 <= rsrp <= -20 else float(rsrp),
        rsrq_db=None if rsrq is None or not -50 <= rsrq <= 30 else float(rsrq),
        snr_db=None if snr is None or not -50 <= snr <= 60 else float(snr),
        coverage=coverage if coverage is not None and 0 <= coverage <= 2 else None,
    )


_TIME = re.compile(r"(\d\d)?(\d\d)/(\d\d)/(\d\d),(\d\d):(\d\d):(\d\d)(?:GMT)?([+-]\d{1,2})?", re.ASCII)


def parse_clock(text: str) -> Clock:
    """``+CCLK: yy/MM/dd,hh:mm:ss±zz`` (TS 27.007, 8.15; some say a year of four digits, some no zone)."""
    match = _TIME.fullmatch(text.strip().strip('"'))
    if match is None:
        raise AtError(f"+CCLK: {text!r} is no time")
    _, year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:7])
    try:
        moment = datetime.datetime(2000 + year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError as trouble:
        raise AtError(f"+CCLK: {text!r}: {trouble}") from None
    quarters = int(match[8] or 0)
    if abs(quarters) > 56:
        raise AtError(f"+CCLK: {text!r} has no zone of this earth")
    return Clock(int(moment.timestamp()) * 1_000_000, quarters)


def parse_imei(lines: Iterable[str]) -> str:
    """The 15 digits of AT+CGSN=1, with or without a name before them."""
    for line in lines:
        digits = split_line(line)[1].strip('"')
        if re.fullmatch(r"[0-9]{15}", digits):
            return digits
    raise AtError("no IMEI of 15 digits")


def parse_socket(lines: Iterable[str]) -> int:
    """AT+NSOCR: the new socket, ``0`` or ``+NSOCR:0``."""
    for line in lines:
        return parse_numbers(split_line(line)[1], 1)[0]
    raise AtError("no socket")


def parse_sent(lines: Iterable[str]) -> tuple[int, int]:
    """AT+NSOST: (socket, bytes taken), ``0,4`` or ``+NSOST:0,4``."""
    for line in lines:
        socket, length = parse_numbers(split_line(line)[1], 2)
        return socket, length
    raise AtError("not said how much was taken")


def parse_received(lines: Iterable[str]) -> Received | None:
    """AT+NSORF: ``0,192.0.2.7,5683,2,ABCD,0``; None when nothing waits. The length counts bytes, not hex digits."""
    for line in lines:
        fields = split_fields(split_line(line)[1])
        if len(fields) < 6:
            raise AtError(f"{line!r} has fewer than 6 fields")
        socket, port, length, remaining = (_integer(fields[at], "+NSORF") for at in (0, 2, 3, 5))
        return Received(socket, fields[1], port, _hex(fields[4], length), remaining)
    return None


def parse_read(lines: Iterable[str]) -> tuple[bytes, int | None] | None:
    """AT+QIRD in hex (BC26): ``+QIRD: 2`` and a line of hex, ``+QIRD: 2,ABCD`` or ``+QIRD: 2,0,"ABCD"``.

    (bytes, how many are left or None when it does not say); None for ``+QIRD: 0``: nothing waits.
    """
    rest = iter(lines)
    for line in rest:
        fields = split_fields(split_line(line)[1])
        length = _integer(fields[0], "+QIRD")
        if length == 0:
            return None
        left = _integer(fields[1], "+QIRD") if len(fields) > 2 else None
        digits = fields[-1] if len(fields) > 1 else next(rest, "")
        return _hex(digits.strip('"'), length), left
    return None


def _hex(digits: str, length: int) -> bytes:
    if len(digits) != 2 * length:
        raise AtError(f"{len(digits)} hex digits are not {length} bytes")
    if re.fullmatch(r"[0-9A-Fa-f]*", digits) is None:
        raise AtError(f"{digits[:32]!r} is not hex")
    return bytes.fromhex(digits)
