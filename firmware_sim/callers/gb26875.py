"""A fire transmitter's end of GB/T 26875.3: it tells what has changed, at once and each message under a serial of its
own, then its values; it takes command 3 for an answer, and obeys orders of the centre.

Options: ``destination`` (the centre's address), ``beat_s`` (seconds between heartbeats in a quiet conversation),
``refresh`` (so many measurements apart it tells every state again, changed or not; 0: never).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from device_profiles.codecs.gb26875 import (
    Command,
    Frame,
    Gb26875Error,
    Reader,
    address_bytes,
    answer,
    encode,
    read_time,
    write_time,
)
from device_profiles.codecs.gb26875_objects import (
    Clock,
    Object,
    PartState,
    PartValue,
    SystemOperation,
    SystemState,
    TransmitterOperation,
    TransmitterState,
)
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit
from device_profiles.maps.gb26875 import decode_report, make_units
from device_profiles.maps.gb26875_points import FireMap
from device_profiles.maps.gb26875_wording import subject
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from firmware_sim.callers.talker import Heard, wanted

KNOWN = 20_000
"""Messages that may still have to be said again; fewer than there are serials."""

MOST = {1: 102, 2: 22, 3: 63, 4: 102, 24: 127}
"""Objects of one message by the type of its unit (8.3.1); others have one."""

FIRST = (2, 1, 21, 4, 24, 3)
"""Types of units in the order in which they are told: a detector's alarm before anything else."""

OPTIONS: Mapping[str, type] = {"destination": str, "beat_s": int, "refresh": int}


def make_talker(profile: DeviceProfile, id: str, secret: str | None, options: Mapping[str, object]) -> Transmitter:
    """The transmitter with that address (12 hexadecimal digits, or a decimal number); ValueError for what is no use."""
    wanted(options, OPTIONS)
    if not isinstance(profile.map, FireMap):
        raise ValueError(f"{profile.model} speaks {profile.protocol}, not GB/T 26875.3")
    if secret is not None:
        raise ValueError("GB/T 26875.3 knows no secrets")
    return Transmitter(
        profile.map,
        address_bytes(id),
        address_bytes(str(options.get("destination", "88888"))),
        beat_s=float(str(options.get("beat_s", 25))),
        refresh=int(str(options.get("refresh", 60))),
    )


class Transmitter:
    """One user information transmission device (`talker.Talker`)."""

    timeout_s = 10.0  # 6.5
    retries = 3

    def __init__(self, map: FireMap, source: bytes, destination: bytes, *, beat_s: float, refresh: int) -> None:
        self._map, self._source, self._destination = map, source, destination
        self.beat_s = beat_s
        self._refresh = refresh
        self._measured = 0
        self._serial = 0
        self._at = 0
        self._told: dict[str, int] = {}
        self._said: OrderedDict[bytes, Frame] = OrderedDict()
        self._reader = Reader()
        self.clock: int | None = None

    def greet(self) -> list[bytes]:
        """Nothing: a transmitter simply begins."""
        self._reader = Reader()
        return []

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """(key, frame) of the most urgent message; ValueError when nothing can be said. See `reports`."""
        found = self.reports(values, at)
        if not found:
            raise ValueError("these values make no message")
        return found[0]

    def reports(self, values: dict[str, Value], at: int) -> list[tuple[bytes, bytes]]:
        """(key, frame) of each message: states that changed, operations that began, then values."""
        self._at = at
        again = self._refresh > 0 and self._measured % self._refresh == 0
        self._measured += 1
        found = []
        units = make_units(self._map, values, at)
        for unit in sorted(units, key=lambda unit: FIRST.index(unit.type)):
            news = [new for one in unit.objects if (new := self._news(unit.type, one, again)) is not None]
            most = MOST.get(unit.type, 1)
            parts = [tuple(news[start : start + most]) for start in range(0, len(news), most)]
            found += [self._say(Unit(unit.type, part), at) for part in parts]
        return found

    def again(self, key: bytes) -> bytes:
        """The same message under the same serial (6.6: a sender counts new messages only)."""
        return encode(self._said[key])

    def readings(self, key: bytes) -> int:
        """How many readings the message holds."""
        return len(decode_report(self._map, self._said[key]).readings)

    def beat(self) -> bytes:
        """A heartbeat: command 2 without a unit."""
        return encode(self._frame(b"", self._at))

    def hear(self, data: bytes) -> Heard:
        """3 for what was said; an order is obeyed and confirmed, a request denied: it keeps no records."""
        acked: list[bytes] = []
        reply: list[bytes] = []
        for frame in self._reader.feed(data):
            if frame.destination != self._source:
                continue
            key = frame.serial.to_bytes(2, "little")
            if frame.command == Command.CONFIRM and key in self._said:
                acked.append(key)
            elif frame.command == Command.CONTROL:
                reply.append(self._obey(frame))
            elif frame.command == Command.REQUEST:
                reply.append(encode(answer(frame, Command.DENY, self._tag(self._at))))
        return Heard(acked=tuple(acked), reply=tuple(reply))

    def _news(self, unit: int, one: Object, again: bool) -> Object | None:
        """The object if it tells something new; of an operation, what has begun."""
        place = subject(unit, one)
        before = self._told.get(place)
        if isinstance(one, SystemState | PartState | TransmitterState):
            self._told[place] = one.state
            return one if again or one.state != before else None
        if isinstance(one, SystemOperation | TransmitterOperation):
            self._told[place] = one.operation
            begun = one.operation & ~(before or 0)
            return msgspec.structs.replace(one, operation=begun) if begun else None
        return one if isinstance(one, PartValue) else None

    def _say(self, unit: Unit, at: int) -> tuple[bytes, bytes]:
        frame = self._frame(encode_unit(unit), at)
        key = frame.serial.to_bytes(2, "little")
        self._said.pop(key, None)  # 65,536 messages ago
        self._said[key] = frame
        while len(self._said) > KNOWN:
            self._said.popitem(last=False)
        return key, encode(frame)

    def _frame(self, unit: bytes, at: int) -> Frame:
        serial, self._serial = self._serial, (self._serial + 1) % 0x10000
        return Frame(
            serial=serial,
            command=Command.SEND,
            source=self._source,
            destination=self._destination,
            sent=self._tag(at),
            unit=unit,
        )

    def _tag(self, at: int) -> bytes:
        try:
            return write_time(at)
        except ValueError:  # nothing was measured yet
            return bytes(6)

    def _obey(self, frame: Frame) -> bytes:
        """Take an order; 90 sets the clock, 89 and 91 need nothing of a simulated one."""
        try:
            unit = parse_unit(frame.unit)
        except Gb26875Error:
            return encode(answer(frame, Command.DENY, self._tag(self._at)))
        for one in unit.objects:
            if isinstance(one, Clock):
                self.clock = read_time(one.time)
        return encode(answer(frame, Command.CONFIRM, self._tag(self._at)))
