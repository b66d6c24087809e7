"""Hydrological stations (SL 651-2014, HEX and ASCII) call here: what they report is confirmed when it is on disk.

M1 is not answered, M2 is confirmed frame by frame, M3 when its last packet is there, or each missing packet is asked
for; link keeping (2F) is never answered. Refuses stations that are unknown, disabled or without the right password.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from device_profiles.codecs.sl651 import Frame, Reader, Sl651Error, encode, station_bytes, station_name
from device_profiles.codecs.sl651_body import LINK, Message
from device_profiles.codecs.sl651_messages import confirm, deny, encode_message, parse_message, split_stations
from device_profiles.codecs.sl651_packets import Assembler
from device_profiles.maps.sl651 import SlMap, alarms_of, decode_report
from device_profiles.quality import Reason
from device_profiles.tables import Table
from gateway.listeners.callers import Caller
from gateway.listeners.desk import Desk, Fate

log = logging.getLogger(__name__)

TRANSPORTS = ("tcp", "udp")

STALE_US = 30_000_000
"""A frame that is not whole after this long never will be: a station says it again."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``stay``: confirmations end with ESC, the station keeps its modem on for ten minutes (table 10), not with EOT.

    ``alarms``: the alarm bits that each station said last. Stations connect anew for each report, so this lives as
    long as the listener, not as long as a connection; after a restart an alarm that stands is told once more.
    """

    stay: bool = False
    alarms: dict[str, int] = msgspec.field(default_factory=dict)


def read_options(table: Table) -> Options:
    """``stay_online`` of a ``[[listeners]]`` row."""
    return Options(stay=table.flag("stay_online"))


class _Heard(msgspec.Struct):
    """What one frame calls for: packets that are denied, or a message, whose values it holds (a relay's: of several
    stations) and the tasks that take them. ``answered``: the station waits for a confirmation."""

    denials: list[Message] = []
    message: Message | None = None
    callers: list[tuple[Caller, Message]] = []
    answered: bool = False
    taking: list[asyncio.Task[Fate]] = []


def check_caller(caller: Caller) -> None:
    """A station's address is eight digits of the hydrological code, or a county's six digits and a number (6.2.3.2)."""
    station_bytes(caller.id)


class Session:
    """One connection, or one peer's datagrams. What arrives together is taken together, and answered in its order."""

    def __init__(self, desk: Desk, peer: str, send: Callable[[bytes], None]) -> None:
        self._desk = desk
        assert isinstance(desk.options, Options)  # read_options made them
        self._options = desk.options
        self._peer = peer
        self._send = send
        self._reader = Reader()
        self._assembler = Assembler()
        self._heard_at = 0

    async def feed(self, data: bytes) -> None:
        """Bytes from the station."""
        now = self._desk.now()
        stale = self._reader.held and now - self._heard_at > STALE_US
        self._heard_at = now
        frames = [*(self._reader.flush() if stale else ()), *self._reader.feed(data)]
        heard = [one for one in map(self._understand, frames) if one is not None]
        self._account()
        async with asyncio.TaskGroup() as group:
            for one in heard:
                one.taking = [group.create_task(self._take(*each)) for each in one.callers]
        for one in heard:
            self._answer(one)

    def closed(self) -> None:
        """The connection has ended: account for what never became whole. A whole frame behind it was not confirmed, so
        the station says it again."""
        for frame in self._reader.flush():
            self._reader.rejects.add(Reason.LINK_DOWN, encode(frame))
        self._assembler.flush()
        self._account()

    def _account(self) -> None:
        for rejects in (self._reader.rejects, self._assembler.rejects):
            if rejects:
                self._desk.reject(self._peer, rejects)

    def _understand(self, frame: Frame) -> _Heard | None:
        """Who says what; None, accounted for, when that cannot be told or when it is not all there yet."""
        if frame.down:  # our own question come back (an echo), or another centre's
            self._reader.rejects.add(Reason.ECHO, encode(frame))
            return None
        sender = self._find(frame)
        if sender is None:
            self._desk.turn_away(station_name(frame.station), self._peer, encode(frame))
            return None
        self._desk.heard(sender, self._peer)
        if frame.packet is not None:
            gathered = self._assembler.add(frame, self._desk.now())
            if gathered.whole is None:
                now = self._desk.now()
                return _Heard([deny(frame, gathered.first, number, now) for number in gathered.missing])
            frame = gathered.whole
        try:
            message = parse_message(frame)
        except Sl651Error as trouble:
            log.info("%s: %s: %s", self._desk.name, self._peer, trouble)
            self._reader.rejects.add(Reason.MALFORMED, frame.body)
            return None
        return None if message.function == LINK else self._told(sender, message)

    def _find(self, frame: Frame) -> Caller | None:
        """The caller of that address and password (6.2.3.3), its address written in either way."""
        caller = self._known(frame.station)
        if caller is None or caller.secret is None:
            return caller
        return caller if caller.secret.strip().upper() == f"{frame.password:04X}" else None

    def _known(self, station: bytes) -> Caller | None:
        return self._desk.find(station.hex().upper()) or self._desk.find(station_name(station))

    def _told(self, sender: Caller, message: Message) -> _Heard:
        """Whose the values are: the sender's, or those of the stations that it names (6.6.2.7)."""
        assert isinstance(sender.profile.map, SlMap)  # the site file was checked
        callers: list[tuple[Caller, Message]] = []
        for part in split_stations(message):
            caller = sender if part.station == message.station else self._known(part.station)
            if caller is None:
                self._desk.turn_away(station_name(part.station), self._peer, encode(encode_message(message)))
            else:
                callers.append((caller, part))
        once = sender.profile.map.mode == "M1" and message.packet is None
        return _Heard([], message, callers, answered=not once and bool(callers))

    async def _take(self, caller: Caller, message: Message) -> Fate:
        assert isinstance(caller.profile.map, SlMap)  # the site file was checked
        report = decode_report(caller.profile.map, message, self._options.alarms.get(caller.id))
        fate = await self._desk.take(caller, report)
        alarms = alarms_of(message)
        if alarms is not None and fate is not Fate.REFUSED:
            self._options.alarms[caller.id] = alarms
        return fate

    def _answer(self, one: _Heard) -> None:
        """A NAK for each missing packet; the confirmation, once every value is on disk (6.3.1.2 b, c)."""
        for denial in one.denials:
            self._say(denial)
        if one.message is not None and one.answered and all(task.result() is not Fate.REFUSED for task in one.taking):
            self._say(confirm(one.message, self._desk.now(), self._options.stay))

    def _say(self, message: Message) -> None:
        self._send(encode(encode_message(message)))


