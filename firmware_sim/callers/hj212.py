"""A station's end of HJ 212: it uploads, takes 9014 for an answer, and obeys 1012, 1062 and history requests.

Options: ``edition`` ("2005", "2017", "2025"; the profile's otherwise), ``encrypt`` (2025: bodies sealed with the
secret), ``room`` (bytes of a body before it is sent in sub-packets), ``backfill`` (2025: what was put by is marked
RF=1), ``pw``, ``numbered`` (false: neither QN nor Flag, as many of 2005 are; then no answer is due), ``beat_s`` (2025:
seconds between heartbeats in a quiet conversation).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

import msgspec

from device_profiles.codecs.hj212 import Reader, encode, frame
from device_profiles.codecs.hj212_commands import (
    DATA_ACK,
    DAY,
    GET_CLOCK,
    HEARTBEAT,
    HOUR,
    MINUTE,
    NOTICE_ACK,
    REALTIME,
    SET_CLOCK,
    SET_INTERVAL,
    request_reply,
    result,
    split_segment,
)
from device_profiles.codecs.hj212_sealed import key_of, seal_frame
from device_profiles.codecs.hj212_segment import (
    CHINA,
    Hj212Error,
    Segment,
    encode_segment,
    flag_of,
    format_time,
    parse_segment,
)
from device_profiles.maps.hj212 import encode_report
from device_profiles.maps.hj212_points import EDITIONS, HjMap
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from firmware_sim.callers.talker import Heard, wanted

SECOND = 1_000_000
PERIODS = {MINUTE: 600 * SECOND, HOUR: 3600 * SECOND, DAY: 86_400 * SECOND}
"""Means are uploaded once a period has ended; they are dated with its start (6.6.5)."""

KNOWN = 20_000
"""Reports that may still have to be said again."""

OPTIONS: Mapping[str, type] = {
    "edition": str,
    "encrypt": bool,
    "room": int,
    "backfill": bool,
    "numbered": bool,
    "pw": str,
    "beat_s": int,
}


def make_talker(profile: DeviceProfile, id: str, secret: str | None, options: Mapping[str, object]) -> Station:
    """The station with that MN; ValueError for options or a secret that it cannot use."""
    wanted(options, OPTIONS)
    if not isinstance(profile.map, HjMap):
        raise ValueError(f"{profile.model} speaks {profile.protocol}, not HJ 212")
    edition = str(options.get("edition", profile.map.edition))
    if edition not in EDITIONS:
        raise ValueError(f"unknown edition {edition!r}; one of: {', '.join(EDITIONS)}")
    if options.get("encrypt") and edition != "2025":
        raise ValueError(f"the {edition} edition knows no encryption")
    key = key_of(secret or "") if options.get("encrypt") else None
    if not options.get("numbered", True) and edition != "2005":
        raise ValueError(f"the {edition} edition numbers its messages")
    beat_s = options.get("beat_s")
    return Station(
        profile.map,
        id,
        edition=edition,
        pw=str(options.get("pw", "123456")),
        key=key,
        room=int(str(options.get("room", 950))),
        marks=bool(options.get("backfill", edition == "2025")),
        numbered=bool(options.get("numbered", True)),
        beat_s=float(str(beat_s)) if beat_s is not None else None,
    )


class _Said(msgspec.Struct):
    """A report as it was made: its messages, the readings in them, and how often each was acknowledged."""

    parts: list[Segment]
    readings: int
    acks: dict[str, int]
    acked: int = 0


class Station:
    """One data logger (`talker.Talker`). A report may be several messages: each is acknowledged on its own, and the
    report when all of them are."""

    timeout_s = 10.0  # 6.1.3
    retries = 3

    def __init__(
        self,
        map: HjMap,
        mn: str,
        *,
        edition: str,
        pw: str,
        key: bytes | None,
        room: int,
        marks: bool,
        numbered: bool,
        beat_s: float | None,
    ) -> None:
        self._map, self._mn, self._pw, self._edition = map, mn, pw, edition
        self._key, self._room, self._marks, self._numbers = key, room, marks, numbered
        self.beat_s = beat_s
        self._said: OrderedDict[bytes, _Said] = OrderedDict()
        self._owner: dict[str, bytes] = {}
        self._ended: dict[str, int] = {}
        self._numbered = self._unnumbered = 0
        self._reader = Reader()
        self.interval_s: int | None = None
        self.clock: str | None = None

    def greet(self) -> list[bytes]:
        """Nothing: a station simply begins."""
        self._reader = Reader()
        return []

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """(key, frames): what it measures now, and the means of each period that has just ended."""
        return self._say([part for message in self._messages(values, at) for part in self._split(message)], values)

    def reports(self, values: dict[str, Value], at: int) -> list[tuple[bytes, bytes]]:
        """The same, each message under a key of its own: each is acknowledged on its own, too."""
        return [self._say([part], values) for message in self._messages(values, at) for part in self._split(message)]

    def _say(self, parts: list[Segment], values: Mapping[str, Value]) -> tuple[bytes, bytes]:
        key = parts[0].qn.encode()
        said = _Said(parts, len(self._points(values, parts)), {part.qn: 0 for part in parts})
        if not key:
            self._unnumbered = said.readings
            return key, self._frames(parts)
        self._said[key] = said
        self._owner |= {part.qn: key for part in parts}
        while len(self._said) > KNOWN:
            _, old = self._said.popitem(last=False)
            for part in old.parts:
                del self._owner[part.qn]
        return key, self._frames(parts)

    def again(self, key: bytes) -> bytes:
        """The same messages with the same numbers."""
        return self._frames(self._said[key].parts)

    def backfill(self, key: bytes) -> bytes:
        """The same messages, marked RF=1 where the edition can (2025, 6.3.3)."""
        parts = self._said[key].parts
        return self._frames([msgspec.structs.replace(part, backfill=self._marks) for part in parts])

    def readings(self, key: bytes) -> int:
        """How many readings the report holds."""
        return self._said[key].readings if key else self._unnumbered

    def beat(self) -> bytes:
        """9015 (2025)."""
        flag = flag_of(EDITIONS[self._edition], ack=True)
        return self._frame(
            Segment(cn=HEARTBEAT, qn=self._number(), st=self._map.st, pw=self._pw, mn=self._mn, flag=flag)
        )

    def hear(self, data: bytes) -> Heard:
        """9014 for what was said; requests are answered by 9011, carried out, and concluded by 9012."""
        acked: list[bytes] = []
        reply: list[bytes] = []
        for whole in self._reader.feed(data):
            try:
                message = parse_segment(whole.segment)
            except Hj212Error:
                continue
            if message.mn != self._mn:
                continue
            if message.cn == DATA_ACK:
                acked += self._acknowledged(message.qn)
            elif message.cn != NOTICE_ACK and message.wants_ack:
                reply += [self._frame(answer) for answer in self._obey(message)]
        return Heard(acked=tuple(acked), reply=tuple(reply))

    def _messages(self, values: Mapping[str, Value], at: int) -> Iterator[Segment]:
        """One message for each command that has something to say now."""
        commands = dict.fromkeys(point.cn for point in self._map.points if point.name in values)
        silent = True
        for cn in commands:
            time, period = at, PERIODS.get(cn)
            if period is not None:
                zone = int(CHINA.total_seconds()) * SECOND
                ended = (at + zone) // period * period - zone
                if self._ended.get(cn) == ended:
                    continue
                self._ended[cn] = ended
                time = ended - period
            silent = False
            yield self._message(values, time, cn)
        if silent:
            yield self._message({}, at, REALTIME)  # means only, and no period has ended: a report all the same

    def _message(self, values: Mapping[str, Value], at: int, cn: str) -> Segment:
        return encode_report(
            self._map,
            values,
            at,
            cn=cn,
            qn=self._number(at) if self._numbers else "",
            pw=self._pw,
            mn=self._mn,
            edition=self._edition,
        )

    def _split(self, message: Segment) -> list[Segment]:
        return split_segment(message, self._number, self._room) if self._numbers else [message]

    def _points(self, values: Mapping[str, Value], parts: list[Segment]) -> set[tuple[str, str]]:
        """(command, attribute) of the values that are in these messages."""
        names = {(point.cn, point.attribute) for point in self._map.points if point.name in values}
        return names & {(part.cn, name) for part in parts for item in part.body for name, _ in item}

    def _number(self, at: int = 0) -> str:
        """A QN never given before: the time, or a millisecond after the last one."""
        self._numbered = max(at, self._numbered + 1000)
        return format_time(self._numbered, milliseconds=True)

    def _acknowledged(self, qn: str) -> list[bytes]:
        """The report's key once each of its messages has one more acknowledgement."""
        key = self._owner.get(qn)
        if key is None:
            return []
        said = self._said[key]
        said.acks[qn] += 1
        if min(said.acks.values()) == said.acked:
            return []
        said.acked += 1
        return [key]

    def _obey(self, asked: Segment) -> Iterator[Segment]:
        yield request_reply(asked)
        if asked.cn == SET_CLOCK:
            self.clock = asked.value("SystemTime")
        elif asked.cn == SET_INTERVAL:
            self.interval_s = int(asked.value("RtdInterval") or 0)
        elif asked.cn == GET_CLOCK:
            body = ((("SystemTime", format_time(self._numbered)),),)
            flag = flag_of(asked.version)
            yield msgspec.structs.replace(asked, st=self._map.st, flag=flag, body=body)
        yield result(asked, 100 if asked.cn in PERIODS else 1)  # it keeps no history: no data

    def _frames(self, parts: list[Segment]) -> bytes:
        return b"".join(self._frame(part) for part in parts)

    def _frame(self, message: Segment) -> bytes:
        plain = frame(encode_segment(message))
        return encode(seal_frame(plain, self._key) if self._key is not None and message.cn[0] == "2" else plain)
