"""A hydrological station's end of SL 651-2014: it reports, is confirmed or asked for packets, and answers questions.

Options: ``mode`` ("M1", "M2", "M3"; the profile's otherwise), ``encoding`` ("hex", "ascii"), ``hourly`` (reports are 34
with the twelve values of the last hour), ``room`` (M3: bytes in a packet), ``centre``, ``beat_s`` (seconds between
link-keeping frames in a quiet conversation). A change of alarm bits makes a report an additional one (33).
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence

import msgspec

from device_profiles.codecs.sl651 import ENQ, EOT, ESC, ETX, NAK, Frame, Reader, Sl651Error, encode, station_bytes
from device_profiles.codecs.sl651_body import (
    EVENT,
    HOURLY,
    LINK,
    QUERY,
    QUERY_CLOCK,
    QUERY_ELEMENTS,
    SET_CLOCK,
    TIMED,
    Message,
    Section,
)
from device_profiles.codecs.sl651_messages import encode_message, parse_message
from device_profiles.codecs.sl651_packets import split_frame
from device_profiles.codecs.sl651_values import SLOT_US, SLOTS
from device_profiles.maps.sl651 import SlMap, alarms_of, decode_report, encode_report
from device_profiles.maps.sl651_points import MODES
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from firmware_sim.callers.talker import Heard, wanted

KNOWN = 20_000
"""Reports that may still have to be said again; serial numbers come round after 65535."""

OPTIONS: Mapping[str, type] = {
    "mode": str,
    "encoding": str,
    "hourly": bool,
    "room": int,
    "centre": int,
    "beat_s": int,
}


def make_talker(profile: DeviceProfile, id: str, secret: str | None, options: Mapping[str, object]) -> Station:
    """The station with that address; ValueError for an address, a secret or options that it cannot use."""
    wanted(options, OPTIONS)
    if not isinstance(profile.map, SlMap):
        raise ValueError(f"{profile.model} speaks {profile.protocol}, not SL 651")
    encoding = _word(options, "encoding", "ascii" if profile.map.ascii else "hex", ("hex", "ascii"))
    beat_s = _number(options, "beat_s", 0, 0, 86_400)
    return Station(
        profile.map,
        station_bytes(id),
        mode=_word(options, "mode", profile.map.mode, MODES),
        ascii=encoding == "ascii",
        hourly=bool(options.get("hourly", False)),
        room=_number(options, "room", 200, 1, 4000),
        centre=_number(options, "centre", 1, 1, 255),
        password=_password(secret),
        beat_s=float(beat_s) or None,
    )


def _word(options: Mapping[str, object], name: str, default: str, known: Sequence[str]) -> str:
    word = str(options.get(name, default))
    if word not in known:
        raise ValueError(f"unknown {name} {word!r}; one of: {', '.join(known)}")
    return word


def _number(options: Mapping[str, object], name: str, default: int, low: int, high: int) -> int:
    number = int(str(options.get(name, default)))
    if not low <= number <= high:
        raise ValueError(f"option {name!r} must be {low} to {high}, not {number}")
    return number


def _password(secret: str | None) -> int:
    """Two bytes (6.2.3.3), written as four hex digits."""
    if secret is not None and not re.fullmatch("[0-9A-Fa-f]{4}", secret):
        raise ValueError("the secret of an SL 651 station is a password of four hex digits")
    return int(secret or "0", 16)


class Station:
    """One telemetry station (`talker.Talker`)."""

    timeout_s = 10.0
    retries = 2  # 6.3.2.3

    def __init__(
        self,
        map: SlMap,
        station: bytes,
        *,
        mode: str,
        ascii: bool,
        hourly: bool,
        room: int,
        centre: int,
        password: int,
        beat_s: float | None,
    ) -> None:
        self._map, self._station = map, station
        self._mode, self._ascii, self._hourly = mode, ascii, hourly
        self._room, self._centre, self._password = room, centre, password
        self.beat_s = beat_s
        self._said: OrderedDict[bytes, list[Frame]] = OrderedDict()
        self._counts: dict[bytes, int] = {}
        self._past: deque[tuple[int, dict[str, Value]]] = deque()
        self._serial = 0
        self._alarms = 0
        self._reader = Reader()
        self.clock: int | None = None
        self.unmapped = 0

    def greet(self) -> list[bytes]:
        """Nothing: a station simply begins."""
        self._reader = Reader()
        return []

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """(key, frames): the serial number is the key; a station of mode M1 wants no answer."""
        self._remember(values, at)
        message = self._message(values, at)
        frames = self._frames(message)
        key = b"" if self._mode == "M1" else b"%04X" % message.serial
        self._counts[key] = len(decode_report(self._map, message).readings)
        if key:
            self._said[key] = frames
            self._said.move_to_end(key)
            if len(self._said) > KNOWN:
                del self._counts[self._said.popitem(last=False)[0]]
        return key, _joined(frames)

    def again(self, key: bytes) -> bytes:
        """The same frames with the same serial number (6.6.2.4)."""
        return _joined(self._said[key])

    def readings(self, key: bytes) -> int:
        """How many readings the report holds: a number of its own for each value of an hour."""
        return self._counts[key]

    def beat(self) -> bytes:
        """Link keeping: the serial number of the last report, not counted on (6.6.4.2)."""
        at = self._past[-1][0] if self._past else 0
        return encode(encode_message(self._plain(LINK, self._serial, at)))

    def hear(self, data: bytes) -> Heard:
        """EOT and ESC confirm, NAK asks for a packet, ENQ asks for something else."""
        acked: list[bytes] = []
        reply: list[bytes] = []
        for frame in self._reader.feed(data):
            if not frame.down or frame.station != self._station:
                continue
            try:
                message = parse_message(frame)
            except Sl651Error:
                continue
            key = b"%04X" % message.serial
            if frame.end in (EOT, ESC) and key in self._said and frame.function == self._said[key][0].function:
                acked.append(key)
            elif frame.end == NAK and frame.packet is not None:
                reply += self._packet(key, frame.packet[1])
            elif frame.end == ENQ:
                reply += self._obey(message)
        return Heard(acked=tuple(acked), reply=tuple(reply))

    def _remember(self, values: dict[str, Value], at: int) -> None:
        self._past.append((at, values))
        while self._past[0][0] < at - SLOTS * SLOT_US:
            self._past.popleft()

    def _message(self, values: Mapping[str, Value], at: int) -> Message:
        self._serial = self._serial % 0xFFFF + 1
        message = self._encoded(values, at, HOURLY if self._hourly else TIMED, self._serial)
        alarms = alarms_of(message)
        if alarms is not None and alarms != self._alarms:
            self._alarms = alarms
            message = msgspec.structs.replace(message, function=EVENT)
        return message

    def _encoded(self, values: Mapping[str, Value], at: int, function: int, serial: int) -> Message:
        return encode_report(
            self._map,
            values,
            at,
            station=self._station,
            centre=self._centre,
            password=self._password,
            function=function,
            serial=serial,
            ascii=self._ascii,
            hours=self._hours(at) if function == HOURLY else {},
        )

    def _hours(self, at: int) -> dict[str, list[Value]]:
        """Of each array the last hour as this station remembers it; what was before is missing."""
        names = [point.name for point in self._map.points if point.kind in ("rain", "level")]
        slots = [at - back * SLOT_US for back in range(SLOTS - 1, -1, -1)]
        return {name: [self._value(name, slot) for slot in slots] for name in names}

    def _value(self, name: str, at: int) -> Value:
        before = [values.get(name) for moment, values in self._past if at - SLOT_US < moment <= at]
        return before[-1] if before else None

    def _frames(self, message: Message) -> list[Frame]:
        whole = encode_message(message)
        return split_frame(whole, self._room) if self._mode == "M3" else [whole]

    def _packet(self, key: bytes, number: int) -> list[bytes]:
        """The packet that was missing, by itself and so the last (6.3.1.2 c)."""
        frames = self._said.get(key, [])
        if not number <= len(frames):
            return []
        return [encode(msgspec.structs.replace(frames[number - 1], end=ETX))]

    def _obey(self, asked: Message) -> list[bytes]:
        """Answers to 37 and 3A (what it measured last), 4A and 51 (the clock); silence to anything else (6.3.1.2 d)."""
        at, values = self._past[-1] if self._past else (0, {})
        if asked.function in (QUERY, QUERY_ELEMENTS) and values:
            elements = {item.element for item in asked.items}
            chosen = {
                point.name: values[point.name]
                for point in self._map.points
                if point.name in values and (not elements or point.code in elements)
            }
            return [encode(encode_message(self._encoded(chosen, at, asked.function, self._serial)))]
        if asked.function in (SET_CLOCK, QUERY_CLOCK):
            if asked.function == SET_CLOCK:
                self.clock = asked.sent
            answer = self._plain(asked.function, self._serial, at if self.clock is None else self.clock)
            return [encode(encode_message(msgspec.structs.replace(answer, sections=(Section(station=self._station),))))]
        return []

    def _plain(self, function: int, serial: int, at: int) -> Message:
        return Message(
            station=self._station,
            function=function,
            serial=serial,
            sent=at or None,
            centre=self._centre,
            password=self._password,
            ascii=self._ascii,
        )


def _joined(frames: list[Frame]) -> bytes:
    return b"".join(encode(frame) for frame in frames)
