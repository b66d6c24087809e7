"""Stations that speak HJ 212 (2005, 2017, 2025) call here: their data is acknowledged when it is on disk.

Who calls is the MN of each message, so one connection may carry many stations. Never answers an acknowledgement, and
data only where the station asked for it (bit A of Flag). Refuses a wrong PW where the site names one, and encrypted
data without the right key.
"""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from device_profiles.codecs.hj212 import Frame, Reader, encode, frame
from device_profiles.codecs.hj212_commands import (
    ACKS,
    CLOCK_REQUEST,
    EXE_RTN,
    HEARTBEAT,
    QN_RTN,
    READY,
    REQUEST_REPLY,
    RESULT,
    ack_of,
    clock_setting,
    code_of_answer,
    is_data,
)
from device_profiles.codecs.hj212_sealed import key_of, open_frame
from device_profiles.codecs.hj212_segment import Hj212Error, Segment, encode_segment, format_time, parse_segment
from device_profiles.maps.hj212 import decode_report
from device_profiles.maps.hj212_points import HjMap
from device_profiles.quality import Reason
from device_profiles.tables import Table
from gateway.listeners.callers import Caller
from gateway.listeners.desk import FLOOR_US, Desk, Fate

log = logging.getLogger(__name__)

TRANSPORTS = ("tcp",)

STALE_US = 15_000_000
"""A frame that is not whole after this long never will be: a station says it again after 10 s (6.1.3)."""

ASKED = 8
"""Requests of ours that may be unanswered at once; the oldest is forgotten."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``password``: the PW that every station must know, None where it is not looked at. ``set_clock``: a station that
    asks for the time (1013) gets it. ``ack_unasked``: data without a Flag (2005) is acknowledged too."""

    password: str | None = None
    set_clock: bool = True
    ack_unasked: bool = False


def read_options(table: Table) -> Options:
    """``password`` (a secret by reference), ``set_clock``, ``ack_unasked`` of a ``[[listeners]]`` row."""
    return Options(
        password=table.secret("password"),
        set_clock=table.flag("set_clock", True),
        ack_unasked=table.flag("ack_unasked"),
    )


class _Heard(msgspec.Struct):
    """One understood message and, for data, the task that takes it."""

    caller: Caller
    message: Segment
    swapped: bool
    taking: asyncio.Task[Fate] | None = None


def check_caller(caller: Caller) -> None:
    """A secret is the SM4 key of a station that encrypts (2025): sixteen characters, or 32 hexadecimal digits."""
    if caller.secret is not None:
        key_of(caller.secret)


class Session:
    """One connection. What arrives together is taken together, and answered in its order."""

    def __init__(self, desk: Desk, peer: str, send: Callable[[bytes], None]) -> None:
        self._desk = desk
        assert isinstance(desk.options, Options)  # read_options made them
        self._options = desk.options
        self._peer = peer
        self._send = send
        self._reader = Reader()
        self._heard_at = 0
        self._asked: dict[str, Segment] = {}
        self._numbered = 0
        self._keyless: set[str] = set()

    async def feed(self, data: bytes) -> None:
        """Bytes from the station."""
        now = self._desk.now()
        stale = self._reader.held and now - self._heard_at > STALE_US
        self._heard_at = now
        frames = [*(self._reader.flush() if stale else ()), *self._reader.feed(data)]
        heard = [one for one in map(self._understand, frames) if one is not None]
        if self._reader.rejects:
            self._desk.reject(self._peer, self._reader.rejects)
        async with asyncio.TaskGroup() as group:
            for one in heard:
                if is_data(one.message):
                    one.taking = group.create_task(self._take(one))
        for one in heard:
            self._answer(one)

    def ask(self, request: Segment, swapped: bool = False) -> None:
        """Send a request of ours; its answers are known by its QN, and data that answers it is filed as backlog."""
        self._asked[request.qn] = request
        while len(self._asked) > ASKED:
            del self._asked[next(iter(self._asked))]
        self._say(request, swapped)

    def closed(self) -> None:
        """The connection has ended: account for what never became whole. A whole frame behind it was not acknowledged,
        so the station says it again."""
        for whole in self._reader.flush():
            self._reader.rejects.add(Reason.LINK_DOWN, whole.segment)
        self._desk.reject(self._peer, self._reader.rejects)

    def _understand(self, whole: Frame) -> _Heard | None:
        """Who says what; None, accounted for, when that cannot be told."""
        try:
            message = parse_segment(whole.segment)  # the head of an encrypted one is in clear
            caller = self._desk.find(message.mn)
            if caller is None or self._options.password not in (None, message.pw):
                self._desk.turn_away(message.mn, self._peer, encode(whole))
                return None
            if whole.sealed:
                whole = open_frame(whole, self._key(caller))
                message = parse_segment(whole.segment)
        except Hj212Error as trouble:
            log.info("%s: %s: %s", self._desk.name, self._peer, trouble)
            self._reader.rejects.add(Reason.BAD_CHECKSUM if whole.sealed else Reason.MALFORMED, whole.segment)
            return None
        self._desk.heard(caller, self._peer)
        return _Heard(caller, message, whole.swapped)

    def _key(self, caller: Caller) -> bytes:
        """The station's SM4 key; Hj212Error, told once, without one."""
        try:
            return key_of(caller.secret or "")
        except ValueError as trouble:
            if caller.id not in self._keyless:
                self._keyless.add(caller.id)
                log.warning("%s: %s sends encrypted data: %s", self._desk.name, caller.device, trouble)
            raise Hj212Error("encrypted, and there is no key for it") from None

    async def _take(self, one: _Heard) -> Fate:
        asked = self._asked.get(one.message.qn)
        history = asked is not None and asked.cn == one.message.cn
        assert isinstance(one.caller.profile.map, HjMap)  # the site file was checked
        return await self._desk.take(one.caller, decode_report(one.caller.profile.map, one.message, history))

    def _answer(self, one: _Heard) -> None:
        """What is owed: 9014 for data that is on disk, 9013 for a notice, nothing for an answer to us (6.6.2)."""
        message = one.message
        if message.cn in ACKS:
            self._conclude(one)
        elif one.taking is not None:
            wanted = message.wants_ack or (message.flag is None and self._options.ack_unasked)
            if wanted and one.taking.result() is not Fate.REFUSED:
                self._say(ack_of(message), one.swapped)
        elif message.cn in (CLOCK_REQUEST, HEARTBEAT):
            if message.wants_ack:
                self._say(ack_of(message), one.swapped)
            if message.cn == CLOCK_REQUEST and self._options.set_clock and self._desk.now() >= FLOOR_US:
                self.ask(clock_setting(message, self._number(), self._desk.now()), one.swapped)

    def _conclude(self, one: _Heard) -> None:
        """9011: whether the station will do what we asked; 9012: what came of it."""
        asked = self._asked.get(one.message.qn)
        if asked is None:
            return
        code = code_of_answer(one.message)
        refused = one.message.cn == REQUEST_REPLY and code != READY
        if refused or one.message.cn == RESULT:
            del self._asked[one.message.qn]
            meaning = (QN_RTN if refused else EXE_RTN).get(code or 0, "unknown")
            if refused or code != 1:
                log.warning("%s: %s: %s: %s", self._desk.name, one.caller.device, asked.cn, meaning)

    def _number(self) -> str:
        """A QN of ours: the time, and never the same twice."""
        self._numbered = max(self._desk.now(), self._numbered + 1000)
        return format_time(self._numbered, milliseconds=True)

    def _say(self, message: Segment, swapped: bool) -> None:
        """One frame to the station, checked as its own are."""
        self._send(encode(frame(encode_segment(message), swapped)))
