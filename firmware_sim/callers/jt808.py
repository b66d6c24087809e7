"""A truck's end of JT/T 808: it registers once, authenticates on each connection, drives its round through Fengjie, and
fills in what it could not say (0704, blind zone).

Options: ``drive`` (false: places and speeds are the profile's `[simulate]`, not the round's), ``limit_kmh`` (above it
the overspeed alarm stands), ``beat_s`` (seconds between heartbeats in a quiet conversation), ``plate``.
The values of a report become what its frame says: rounded, and with the drive's places.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from device_profiles.codecs.jt808 import Frame, Reader, encode
from device_profiles.codecs.jt808_messages import (
    AUTHENTICATE,
    BATCH,
    HEARTBEAT,
    OK,
    PLATFORM_ACK,
    POSITION,
    REGISTER,
    REGISTERED,
    SEND_AGAIN,
    TERMINAL_ACK,
    Ack,
    Authentication,
    Registration,
    encode_ack,
    encode_authentication,
    encode_registration,
    parse_ack,
    parse_registered,
)
from device_profiles.codecs.jt808_position import BLIND_ZONE, Jt808Error, Position, encode_batch, encode_position
from device_profiles.codecs.jt808_words import STATES
from device_profiles.maps.jt808 import decode_report, encode_report
from device_profiles.maps.jt808_points import JtMap
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from firmware_sim.callers.drives import Drive
from firmware_sim.callers.talker import Heard, wanted

KNOWN = 20_000
"""Reports that may still have to be said again; fewer than there are serials."""

OVERSPEED = 1
MOVING = next(bit for bit, title in STATES.items() if title["en"] == "moving")
MILEAGE, RECORDER_SPEED = 0x01, 0x03

OPTIONS: Mapping[str, type] = {"drive": bool, "limit_kmh": int, "beat_s": int, "plate": str}


def make_talker(profile: DeviceProfile, id: str, secret: str | None, options: Mapping[str, object]) -> Truck:
    """The terminal with that number; ``secret``: a code that it was given before, so that it need not register.

    ValueError for what is no use."""
    wanted(options, OPTIONS)
    if not isinstance(profile.map, JtMap):
        raise ValueError(f"{profile.model} speaks {profile.protocol}, not JT/T 808")
    encode(Frame(message=HEARTBEAT, number=id, serial=0, edition=profile.map.edition))  # can it be said at all?
    return Truck(
        profile.map,
        id.zfill(20 if profile.map.edition == 2019 else 12),
        secret,
        drive=options.get("drive") is not False,
        limit_kmh=float(str(options.get("limit_kmh", 60))),
        beat_s=float(str(options.get("beat_s", 60))),
        plate=str(options.get("plate", "渝F00000")),
    )


class Truck:
    """One vehicle terminal (`talker.Talker`). ``unmapped``: of its last report."""

    timeout_s = 10.0
    retries = 3

    def __init__(
        self, map: JtMap, number: str, code: str | None, *, drive: bool, limit_kmh: float, beat_s: float, plate: str
    ) -> None:
        self._map, self._number, self._code, self._plate = map, number, code, plate
        self._drive = Drive(number) if drive else None
        self._limit_kmh = limit_kmh
        self.beat_s = beat_s
        self.unmapped = 0
        self._reader = Reader()
        self._serial = 0
        self._count = 0
        self._said: OrderedDict[bytes, tuple[Position, Frame]] = OrderedDict()
        self._filled: dict[bytes, Frame] = {}
        self._keys: OrderedDict[int, bytes] = OrderedDict()

    def greet(self) -> list[bytes]:
        """The authentication, or the registration while there is no code."""
        self._reader = Reader()
        return [encode(self._introduction())]

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """(key, a 0200). ``values`` become what it says. ValueError for a value that cannot be said."""
        if self._drive is not None:
            self._place(values, at)
        position = encode_report(self._map, values, at)
        frame = self._frame(POSITION, encode_position(position))
        report = decode_report(self._map, frame)
        values.update({one.point: one.value for one in report.readings})
        self.unmapped = len(report.unmapped)
        self._count += 1
        key = self._count.to_bytes(4, "big")
        self._said[key] = position, frame
        self._keys[frame.serial] = key
        while len(self._said) > KNOWN:
            old, _ = self._said.popitem(last=False)
            self._filled.pop(old, None)
        return key, encode(frame)

    def again(self, key: bytes) -> bytes:
        """The same frame under the same serial (2013, 6.3: a repetition changes nothing)."""
        return encode(self._said[key][1])

    def backfill(self, key: bytes) -> bytes:
        """The position alone in a 0704 of the blind-zone type; each further copy is the same."""
        frame = self._filled.get(key)
        if frame is None:
            frame = self._frame(BATCH, encode_batch(BLIND_ZONE, [self._said[key][0]]))
            self._filled[key] = frame
            self._keys[frame.serial] = key
        return encode(frame)

    def readings(self, key: bytes) -> int:
        """How many readings the report holds."""
        return len(decode_report(self._map, self._said[key][1]).readings)

    def beat(self) -> bytes:
        """A heartbeat."""
        return encode(self._frame(HEARTBEAT))

    def hear(self, data: bytes) -> Heard:
        """8001 with result 0 for a report; the steps of the greeting; commands are obeyed in words only."""
        acked: list[bytes] = []
        reply: list[bytes] = []
        ready = False
        for frame in self._reader.feed(data):
            if frame.number != self._number:
                continue
            try:
                if frame.message == PLATFORM_ACK:
                    ready |= self._acknowledged(parse_ack(frame.body), acked, reply)
                elif frame.message == REGISTERED:
                    self._code = parse_registered(frame.body).code or None
                    reply += [encode(self._introduction())] if self._code else []
                elif frame.message != SEND_AGAIN:  # nothing here is longer than a packet
                    done = Ack(frame.serial, frame.message)
                    reply.append(encode(self._frame(TERMINAL_ACK, encode_ack(done))))
            except Jt808Error:
                continue
        return Heard(acked=tuple(acked), reply=tuple(reply), ready=ready)

    def _acknowledged(self, ack: Ack, acked: list[bytes], reply: list[bytes]) -> bool:
        """One 8001; True when it ends the greeting."""
        if ack.message == AUTHENTICATE:
            if ack.result != OK:  # the code is worth nothing any more
                self._code = None
                reply.append(encode(self._introduction()))
            return ack.result == OK
        key = self._keys.get(ack.serial)
        if ack.message in (POSITION, BATCH) and ack.result == OK and key is not None:
            acked.append(key)
        elif ack.result != OK:  # the platform has forgotten who this is
            reply.append(encode(self._introduction()))
        return False

    def _introduction(self) -> Frame:
        if self._code is None:
            told = Registration(edition=self._map.edition, province=50, city=236, plate=self._plate, colour=2)
            return self._frame(REGISTER, encode_registration(told))
        return self._frame(AUTHENTICATE, encode_authentication(Authentication(self._code), self._map.edition))

    def _frame(self, message: int, body: bytes = b"") -> Frame:
        serial, self._serial = self._serial, (self._serial + 1) & 0xFFFF
        self._keys.pop(serial, None)  # 65,536 messages ago
        return Frame(message=message, number=self._number, serial=serial, body=body, edition=self._map.edition)

    def _place(self, values: dict[str, Value], at: int) -> None:
        """Where the round has brought it, into the points that say so."""
        assert self._drive is not None
        moment = self._drive.at(at)
        fields = {
            "latitude": moment.latitude,
            "longitude": moment.longitude,
            "altitude": moment.altitude,
            "speed": moment.speed,
            "direction": moment.heading,
        }
        extras = {MILEAGE: moment.mileage, RECORDER_SPEED: moment.speed}
        for point in self._map.points:
            if point.name not in values:
                continue
            if point.field in fields:
                values[point.name] = fields[point.field]
            elif point.field == "extra" and point.id in extras:
                values[point.name] = extras[point.id]
            elif (point.field, point.bit) == ("alarm", OVERSPEED):
                values[point.name] = int(moment.speed > self._limit_kmh)
            elif (point.field, point.bit) == ("status", MOVING):
                values[point.name] = int(moment.speed > 1)
