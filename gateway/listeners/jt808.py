"""Vehicle terminals (JT/T 808-2013 and -2019) call here: their positions are acknowledged when they are on disk.

Identity is the terminal number, so one connection may carry several terminals and a NAT changes nothing. The
authentication code follows from a secret and the number: no table of codes to lose. Refuses positions before the
authentication, and what it cannot keep (pictures, drivers' cards), in the protocol's own words.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from weakref import WeakKeyDictionary

import msgspec

from device_profiles.codecs.jt808 import Frame, Reader, encode
from device_profiles.codecs.jt808_messages import (
    ANSWERS,
    AUTHENTICATE,
    BATCH,
    FAILED,
    HEARTBEAT,
    LOG_OUT,
    NO_TERMINAL,
    OK,
    PLATFORM_ACK,
    POSITION,
    REGISTER,
    REGISTERED,
    SEND_AGAIN,
    UNSUPPORTED,
    WRONG,
    Ack,
    Registered,
    answer,
    encode_ack,
    encode_registered,
    encode_send_again,
    parse_authentication,
    parse_registration,
)
from device_profiles.codecs.jt808_parts import Assembler, Missing
from device_profiles.codecs.jt808_position import Jt808Error
from device_profiles.framing import Rejects
from device_profiles.maps.jt808 import alarms_after, decode_report
from device_profiles.maps.jt808_points import JtMap
from device_profiles.quality import Reason
from device_profiles.tables import Table
from gateway.listeners.callers import Caller
from gateway.listeners.desk import Desk, Fate

log = logging.getLogger(__name__)

TRANSPORTS = ("tcp", "udp")

CODE_DIGITS = 16
"""Of a derived authentication code: 64 bits, and short enough for any terminal."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``secret``: what codes are derived from, for callers that have no secret of their own. ``authenticate``: False
    takes positions from anyone who says a known number. ``tolerate_length``: frames with a right check and a wrong
    length are taken, too. ``datagrams``: over UDP, where nothing says that a terminal has gone."""

    secret: str | None = None
    authenticate: bool = True
    tolerate_length: bool = False
    datagrams: bool = False


def read_options(table: Table) -> Options:
    """The protocol's keys of a ``[[listeners]]`` row. A code for every caller must be derivable."""
    options = Options(
        secret=table.secret("secret"),
        authenticate=table.flag("authenticate", True),
        tolerate_length=table.flag("tolerate_length"),
        datagrams=str(table.data.get("listen", "")).startswith("udp:"),
    )
    if options.authenticate and not table.has("secret"):
        callers = table.document.data.get("callers", [])
        mine = [row for row in callers if isinstance(row, dict) and row.get("listener") == table.data.get("name")]
        bare = [str(row.get("name")) for row in mine if "secret" not in row]
        if bare or "callers" in table.data:
            message = "is missing, and " + (f"{bare[0]} has none of its own" if bare else "callers of a file have none")
            table.trouble("secret", message, 'secret = { env = "NAME" } or { file = "path" }, or authenticate = false')
    return options


def code_of(options: Options, caller: Caller) -> str | None:
    """The authentication code of a caller: its own secret, or one derived from the listener's; None without either."""
    if caller.secret:
        return caller.secret
    if options.secret is None and options.authenticate:
        return None
    return hmac.new((options.secret or "").encode(), caller.id.encode(), "sha256").hexdigest()[:CODE_DIGITS]


def spellings(number: str) -> list[str]:
    """How a terminal number (12 digits, or 20 since 2019) may stand in a site file: as on the wire, with the zeros of
    the other edition, or without any."""
    return list(dict.fromkeys((number, number.zfill(20), number.lstrip("0").zfill(12), number.lstrip("0"))))


class _Terminal(msgspec.Struct):
    """A caller over all its connections: the ``alarms`` that stand, and whether it has ``proved`` itself over UDP."""

    alarms: int = 0
    proved: bool = False


_ROLLS: "WeakKeyDictionary[Desk, dict[str, _Terminal]]" = WeakKeyDictionary()
"""The terminals of each desk by caller id: as many as there are callers, for as long as the desk is there."""


class _Owed(msgspec.Struct):
    """An answer that goes out in its turn, and, for positions, only when ``taking`` has brought them to the disk."""

    asked: Frame
    result: int = OK
    registered: Registered | None = None
    taking: asyncio.Task[Fate] | None = None
    terminal: _Terminal | None = None
    alarms: int = 0


class Session:
    """One connection, or one address of datagrams. What arrives together is taken together, answered in its order."""

    def __init__(self, desk: Desk, peer: str, send: Callable[[bytes], None]) -> None:
        self._desk = desk
        assert isinstance(desk.options, Options)  # read_options made them
        self._options = desk.options
        self._peer = peer
        self._send = send
        self._reader = Reader(lenient=self._options.tolerate_length)
        self._assembler = Assembler()
        self._rejects = Rejects()
        self._roll = _ROLLS.setdefault(desk, {})
        self._proved: set[str] = set()
        self._serial = 0

    async def feed(self, data: bytes) -> None:
        """Bytes from the terminal, or one datagram."""
        frames = self._reader.feed(data)
        if self._options.datagrams:
            self._reader.flush()  # a frame ends with its datagram
        owed: list[_Owed] = []
        async with asyncio.TaskGroup() as group:
            for frame in frames:
                caller = self._identify(frame, owed)
                whole = None if caller is None else self._complete(frame)
                if caller is not None and whole is not None:
                    self._hear(caller, whole, owed, group)
        self._account()
        for one in owed:
            self._settle(one)

    def closed(self) -> None:
        """The connection has ended: account for what never became whole. Nothing of it was acknowledged."""
        self._reader.flush()
        self._assembler.drop()
        self._account()

    def _account(self) -> None:
        for rejects in (self._reader.rejects, self._assembler.rejects, self._rejects):
            if rejects.newest:
                self._desk.reject(self._peer, rejects)

    # --- who is it ---

    def _identify(self, frame: Frame, owed: list[_Owed]) -> Caller | None:
        """The caller, when it may say this; None, with the refusal owed, when it may not."""
        found = (self._desk.find(spelling) for spelling in spellings(frame.number))
        caller = next((caller for caller in found if caller is not None), None)
        if caller is not None and (frame.message in (REGISTER, AUTHENTICATE) or self._has_proved(caller)):
            return caller
        self._turn_away(frame, owed)
        return None

    def _has_proved(self, caller: Caller) -> bool:
        if not self._options.authenticate:
            return True
        return self._terminal(caller).proved if self._options.datagrams else caller.id in self._proved

    def _prove(self, caller: Caller, proved: bool) -> None:
        """Over UDP it counts for the number, because the address says nothing; over TCP for this connection."""
        if self._options.datagrams:
            self._terminal(caller).proved = proved
        elif proved:
            self._proved.add(caller.id)
        else:
            self._proved.discard(caller.id)

    def _terminal(self, caller: Caller) -> _Terminal:
        return self._roll.setdefault(caller.id, _Terminal())

    def _turn_away(self, frame: Frame, owed: list[_Owed]) -> None:
        """A stranger, a disabled one, or one that has not proved itself: 8100 with 4, or 8001 with 1."""
        self._desk.turn_away(frame.number, self._peer, encode(frame))
        if frame.message == REGISTER:
            owed.append(_Owed(frame, registered=Registered(frame.serial, NO_TERMINAL)))
        elif frame.message not in ANSWERS:
            owed.append(_Owed(frame, FAILED))

    # --- what does it say ---

    def _complete(self, frame: Frame) -> Frame | None:
        """The whole message; None while sub-packets are under way, and those that got lost are asked for."""
        whole = self._assembler.add(frame)
        if isinstance(whole, Missing):
            body = encode_send_again(whole.serial, whole.parts, frame.edition)
            self._say(frame, SEND_AGAIN, body)
            return None
        return whole

    def _hear(self, caller: Caller, frame: Frame, owed: list[_Owed], group: asyncio.TaskGroup) -> None:
        """One whole message of a known caller."""
        self._desk.heard(caller, self._peer)
        if frame.message in ANSWERS:
            return
        if frame.encryption:
            self._refuse(frame, UNSUPPORTED, Reason.UNMAPPED, owed)
            return
        try:
            if frame.message == REGISTER:
                self._register(caller, frame, owed)
            elif frame.message == AUTHENTICATE:
                self._authenticate(caller, frame, owed)
            elif frame.message in (POSITION, BATCH):
                owed.append(self._take(caller, frame, group))
            elif frame.message in (HEARTBEAT, LOG_OUT):
                owed.append(_Owed(frame))
                if frame.message == LOG_OUT:
                    self._prove(caller, False)
            else:
                self._refuse(frame, UNSUPPORTED, Reason.UNMAPPED, owed)
        except Jt808Error as trouble:
            log.info("%s: %s: %04X: %s", self._desk.name, caller.device, frame.message, trouble)
            self._refuse(frame, WRONG, Reason.MALFORMED, owed)

    def _refuse(self, frame: Frame, result: int, reason: Reason, owed: list[_Owed]) -> None:
        """What we cannot use is said to the terminal, which may keep it, and counted."""
        self._rejects.add(reason, frame.message.to_bytes(2, "big") + frame.body)
        owed.append(_Owed(frame, result))

    def _register(self, caller: Caller, frame: Frame, owed: list[_Owed]) -> None:
        registration, code = parse_registration(frame), code_of(self._options, caller)
        if code is None:
            log.warning("%s: %s cannot register: neither it nor the listener has a secret", self._desk.name, caller.id)
            self._turn_away(frame, owed)
            return
        log.info("%s: %s registers, plate %r", self._desk.name, caller.device, registration.plate)
        owed.append(_Owed(frame, registered=Registered(frame.serial, OK, code)))

    def _authenticate(self, caller: Caller, frame: Frame, owed: list[_Owed]) -> None:
        code, said = code_of(self._options, caller), parse_authentication(frame).code
        good = code is not None and hmac.compare_digest(code.encode(), said.encode())
        self._prove(caller, good)
        if good or not self._options.authenticate:
            owed.append(_Owed(frame))
        else:
            self._turn_away(frame, owed)

    def _take(self, caller: Caller, frame: Frame, group: asyncio.TaskGroup) -> _Owed:
        """Positions on their way to the disk."""
        map_ = caller.profile.map
        assert isinstance(map_, JtMap)  # the site file was checked
        terminal = self._terminal(caller)
        before = terminal.alarms
        report = decode_report(map_, frame, before)
        terminal.alarms = alarms_after(frame, before)
        taking = group.create_task(self._desk.take(caller, report))
        return _Owed(frame, taking=taking, terminal=terminal, alarms=before)

    # --- what is it told ---

    def _settle(self, owed: _Owed) -> None:
        """The answer; none for positions that are not on disk: they will come again, and their alarms rise again."""
        if owed.taking is not None and owed.taking.result() is Fate.REFUSED:
            if owed.terminal is not None:
                owed.terminal.alarms &= owed.alarms
            return
        if owed.registered is not None:
            self._say(owed.asked, REGISTERED, encode_registered(owed.registered))
            return
        packets = owed.asked.total if owed.asked.total and not owed.asked.part else 1
        for number in range(packets):  # each packet of a message has a serial of its own to be acknowledged
            ack = Ack((owed.asked.serial + number) & 0xFFFF, owed.asked.message, owed.result)
            self._say(owed.asked, PLATFORM_ACK, encode_ack(ack))

    def _say(self, asked: Frame, message: int, body: bytes) -> None:
        """One frame to the terminal, in its edition, under a serial of ours."""
        self._send(encode(answer(asked, message, body, self._serial)))
        self._serial = (self._serial + 1) & 0xFFFF
