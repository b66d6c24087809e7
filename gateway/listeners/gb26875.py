"""Fire transmitters (GB/T 26875.3-2011): what they send is confirmed when it is on disk, their heartbeats at once.

A message that cannot be what it says is denied (6.2, 6.3); a frame with a wrong sum is not answered at all, because its
serial and addresses cannot be believed either: the transmitter says it again (6.5). Identity is the source address.
"""

import asyncio

import msgspec

from device_profiles.codecs.gb26875 import (
    Command,
    Frame,
    Gb26875Error,
    Reader,
    address_bytes,
    address_names,
    address_text,
    answer,
    encode,
    read_time,
    write_time,
)
from device_profiles.codecs.gb26875_objects import Clock
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit
from device_profiles.maps.gb26875 import decode_report
from device_profiles.maps.gb26875_points import FireMap
from device_profiles.quality import Reason
from device_profiles.reports import Report
from device_profiles.tables import Table
from gateway.listeners.callers import Caller
from gateway.listeners.desk import FLOOR_US, Desk, Fate
from gateway.listeners.protocols import Send

TRANSPORTS = ("tcp",)

SILENCE_US = 5_000_000
"""Bytes of one frame do not lie further apart than this; a repetition comes later (6.5: at most 10 s)."""

SET_CLOCK_EVERY_US = 3_600_000_000
"""A transmitter whose clock is wrong is told the time this often at most."""

SET_CLOCK = 90
READ_CLOCK = 88
"""Types of units (8.1.1, table 3)."""

TELLING = (Command.SEND, Command.RESPONSE)
"""What carries readings; an answer to a request is not confirmed (6.4)."""

OWN_COMMANDS = range(128, 256)
"""Commands of the makers' own (6.6, table 2): nobody here knows what they say, so they are kept and confirmed."""


class Options(msgspec.Struct, frozen=True):
    """``set_clock_s``: a transmitter whose time tags are further off than this is told the time; 0: never."""

    set_clock_s: float = 0.0


def read_options(table: Table) -> Options:
    """The keys of a ``[[listeners]]`` row of this protocol."""
    return Options(set_clock_s=table.number("set_clock_s", 0.0, low=0.0, high=86_400.0))


class _Heard(msgspec.Struct):
    """A frame of a known caller; ``wrong``: it cannot be what it says; ``taking``: the task that takes its report."""

    frame: Frame
    wrong: bool = False
    taking: asyncio.Task[Fate] | None = None


def check_caller(caller: Caller) -> None:
    """A transmitter's address is twelve hexadecimal digits, or the decimal number that panels show (8.2.2)."""
    address_bytes(caller.id)


class Session:
    """One connection; it may carry several transmitters, each known by its own address. What arrives together is taken
    together, and answered in its order."""

    def __init__(self, desk: Desk, peer: str, send: Send) -> None:
        self._desk = desk
        assert isinstance(desk.options, Options)  # read_options made them
        self._tolerance_us = round(desk.options.set_clock_s * 1e6)
        self._peer = peer
        self._send = send
        self._reader = Reader()
        self._fed_at = 0
        self._serial = 0
        self._clock_set: dict[bytes, int] = {}

    async def feed(self, data: bytes) -> None:
        """Bytes from the transmitter."""
        now = self._desk.now()
        frames: list[Frame] = []
        if self._reader.held and now - self._fed_at > SILENCE_US:
            frames = self._reader.flush()  # what was broken off long ago must not swallow an alarm
        self._fed_at = now
        frames += self._reader.feed(data)
        heard = []
        async with asyncio.TaskGroup() as group:
            for frame in frames:
                caller = self._find(frame)
                if caller is None:
                    self._desk.turn_away(address_text(frame.source), self._peer, encode(frame))
                    continue
                self._desk.heard(caller, self._peer)
                heard.append(self._understand(caller, frame, group))
        self._desk.reject(self._peer, self._reader.rejects)
        for one in heard:
            self._reply(one)

    def closed(self) -> None:
        """The connection has ended: account for what never became whole. A whole frame behind it was not confirmed, so
        it is said again."""
        for whole in self._reader.flush():
            self._reader.rejects.add(Reason.LINK_DOWN, encode(whole))
        self._desk.reject(self._peer, self._reader.rejects)

    def _understand(self, caller: Caller, frame: Frame, group: asyncio.TaskGroup) -> _Heard:
        """What a frame is, with its report under way to the disk."""
        heard = _Heard(frame)
        if frame.command not in TELLING and frame.command not in OWN_COMMANDS:
            return heard
        try:
            report = _report_of(caller, frame)
        except Gb26875Error:
            self._reader.rejects.add(Reason.MALFORMED, encode(frame))
            heard.wrong = True
            return heard
        if report is not None:
            heard.taking = group.create_task(self._desk.take(caller, report))
        return heard

    def _reply(self, heard: _Heard) -> None:
        """What is owed: a confirmation for what is on disk, the time to who asks for it, a denial for what is wrong."""
        frame, command = heard.frame, heard.frame.command
        if command == Command.RESPONSE:
            pass
        elif heard.wrong:
            self._deny(frame)
        elif heard.taking is not None and heard.taking.result() is Fate.REFUSED:
            return  # neither confirmed nor denied: there is nothing wrong with it, and it will be said again
        elif command == Command.SEND or command in OWN_COMMANDS:
            self._answer(frame, Command.CONFIRM)
        elif command in (Command.REQUEST, Command.CONTROL):
            self._tell_time_or_deny(frame)
        elif command not in (Command.CONFIRM, Command.DENY):
            self._deny(frame)  # 6.5: a command that cannot be recognised is an error
        self._check_clock(frame)

    def _find(self, frame: Frame) -> Caller | None:
        for name in address_names(frame.source):
            caller = self._desk.find(name)
            if caller is not None:
                return caller
        return None

    def _tell_time_or_deny(self, frame: Frame) -> None:
        """A transmitter that asks for the time gets it; there is nothing else that it could ask or order here."""
        if frame.unit[:1] in (bytes([SET_CLOCK]), bytes([READ_CLOCK])):
            self._answer(frame, Command.RESPONSE, self._time_unit())
        else:
            self._deny(frame)

    def _deny(self, frame: Frame) -> None:
        self._answer(frame, Command.DENY)

    def _answer(self, frame: Frame, command: Command, unit: bytes = b"") -> None:
        self._send(encode(answer(frame, command, self._now_tag(), unit)))

    def _now_tag(self) -> bytes:
        try:
            return write_time(self._desk.now())
        except ValueError:  # a box that booted in 1970: no time tag says that
            return bytes(6)

    def _time_unit(self) -> bytes:
        return encode_unit(Unit(SET_CLOCK, (Clock(self._now_tag()),)))

    def _check_clock(self, frame: Frame) -> None:
        """Order a transmitter with a wrong clock to set it (8.3.2.15), as far as ours can be believed."""
        now, said = self._desk.now(), read_time(frame.sent)
        if not self._tolerance_us or now < FLOOR_US or (said is not None and abs(said - now) <= self._tolerance_us):
            return
        if now - self._clock_set.get(frame.source, 0) < SET_CLOCK_EVERY_US:
            return
        self._clock_set[frame.source] = now
        self._serial = self._serial % 0xFFFF + 1
        order = answer(frame, Command.CONTROL, self._now_tag(), self._time_unit())
        self._send(encode(msgspec.structs.replace(order, serial=self._serial)))


def _report_of(caller: Caller, frame: Frame) -> Report | None:
    """What a frame says; None for a heartbeat or a handshake. Gb26875Error when it cannot be what it says."""
    if frame.command in OWN_COMMANDS:
        name = f"command {frame.command}"
        return Report(readings=(), unmapped={name: frame.unit.hex().upper()}) if frame.unit else None
    if not frame.unit:
        return None
    unit = parse_unit(frame.unit)
    if unit.opaque and not unit.rest:
        return None  # one byte: a handshake of some makers
    assert isinstance(caller.profile.map, FireMap)
    report = decode_report(caller.profile.map, frame)
    return report if report.readings or report.unmapped else None
