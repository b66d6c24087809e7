"""Electricity, water, heat and gas meters on an RS-485 line: DL/T 645 and CJ/T 188, a profile read backwards.

Frames are taken apart and put together by hand here, without the codec under test; only an item's digits come from the
profile's own encoder. Refuses what a cheap meter refuses: writes, items that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from random import Random
from typing import Protocol

from device_profiles.clock import Clock
from device_profiles.maps.cjt188 import Cjt188Map
from device_profiles.maps.dlt645 import Dlt645Map
from device_profiles.maps.meter_items import Item, ItemPoint, items_of
from device_profiles.profiles import DeviceProfile, LineSettings
from device_profiles.readings import Value
from firmware_sim.physics import Signal
from firmware_sim.questions import ITEM, Asked, MeterEar, MeterRequest, Question, sealed

LOCAL = timezone(timedelta(hours=8))
"""A meter's clock knows no zone; Chinese ones show China's time."""
LONGEST_PART = 100
"""Item bytes in one answer of DL/T 645; the rest must be asked for (the standard allows up to 200 in a frame)."""
NO_SUCH_DATA, NO_AUTHORITY = 0x02, 0x04
"""Bits of DL/T 645's error byte."""
STATUS_FAULTY = 0x03
"""A status word that CJ/T 188 sends along with a refusal."""

READS, FOLLOWS, READ_ADDRESS = (0x11, 0x01), (0x12, 0x02), 0x13
UNANSWERED = (0x08, 0x16)
"""Time and freeze of DL/T 645: everybody hears, nobody answers."""
STRANGE = {2007: (0x01, 0x02), 1997: (0x11, 0x12, 0x13)}
"""Questions of the other edition."""


class MeterImage:
    """The items of one meter over time: `seed` and the clock decide every value."""

    def __init__(self, profile: DeviceProfile, address: str, seed: str, clock: Clock) -> None:
        points = [point for point in profile.points if isinstance(point, ItemPoint)]
        self.map = profile.map
        self.address = address
        self._clock = clock
        self._signals = {
            point.name: Signal(point, profile.simulate.get(point.name), f"{seed}/{point.name}", clock.now())
            for point in points
        }
        self._items: dict[int, Item] = items_of(points, exact=True)

    def item(self, identifier: int) -> bytes | None:
        """The bytes of an item now; None where the meter has none."""
        item = self._items.get(identifier)
        return None if item is None else item.encode({point.name: self._value(point) for point in item.points})

    def _value(self, point: ItemPoint) -> Value:
        """Texts are the meter's number and its clock; numbers are what the physics says, as far as digits can."""
        now = self._clock.now()
        moment = datetime.fromtimestamp(now / 1e6, UTC).astimezone(LOCAL).replace(tzinfo=None, microsecond=0)
        match point.type:
            case "digits":
                return self.address[-2 * point.size :].rjust(2 * point.size, "0")
            case "date":
                return moment.date().isoformat()
            case "time":
                return moment.time().isoformat()
            case "clock":
                return moment.isoformat(" ")
            case "bits":
                value = self._signals[point.name].at(now)
                return round(value) if isinstance(value, float) else value
        return self._signals[point.name].at(now)


def _matches(asked: str, address: str) -> bool:
    """True when a meter at `address` is meant: AA stands for any two digits."""
    return len(asked) == len(address) and all(
        asked[at : at + 2] in ("AA", address[at : at + 2]) for at in range(0, len(address), 2)
    )


def _collided(frames: list[bytes]) -> bytes:
    """What several meters sending at once make of each other: a wire that any of them pulls low is low."""
    mixed = bytearray(max(map(len, frames)))
    for at in range(len(mixed)):
        low = 0xFF
        for frame in frames:
            low &= frame[at] if at < len(frame) else 0xFF
        mixed[at] = low
    return bytes(mixed)


class Way(Protocol):
    """What tells the two protocols apart."""

    def reply(self, meter: MeterImage, request: MeterRequest) -> Asked | None:
        """One meter's answer; None where it stays silent."""
        ...


class MeterUnits:
    """The meters of one protocol and one speed on a line; see `line_servers.LineServer`."""

    def __init__(self, meters: Sequence[MeterImage], line: LineSettings, seed: str) -> None:
        """All of `meters` speak one protocol."""
        double = isinstance(meters[0].map, Dlt645Map)
        self.line = line
        self._meters = meters
        self._way: Way = Dlt645Way(f"{seed}/preambles") if double else Cjt188Way()
        self._ear = MeterEar(double)

    def hear(self, data: bytes) -> list[Asked]:
        """The questions in these bytes, with what the meters say to them."""
        return [self._asked(request) for request in self._ear.hear(data)]

    def _asked(self, request: MeterRequest) -> Asked:
        called = [meter for meter in self._meters if _matches(request.address, meter.address)]
        answers = [asked for meter in called if (asked := self._way.reply(meter, request)) is not None]
        if len(answers) == 1:
            return answers[0]
        question = Question(request.address, request.control, 0, 0, "")
        mixed = _collided([asked.reply for asked in answers]) if answers else b""
        return Asked(question, mixed, lambda code: b"", crowd=bool(answers))

    def silence(self) -> None:
        """Nothing more will come of what is held."""
        self._ear.silence()


def _number(address: str) -> bytes:
    return bytes.fromhex(address)[::-1]


class Dlt645Way:
    """DL/T 645: B1 and follow-up frames for long items, D1 for what is not there."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)
        self._going: dict[tuple[str, int], tuple[bytes, int]] = {}  # a long answer is one moment's, and how far it is

    def reply(self, meter: MeterImage, request: MeterRequest) -> Asked | None:
        """One meter's answer; None where it stays silent: a broadcast, or a question of the other edition."""
        assert isinstance(meter.map, Dlt645Map)
        wide = meter.map.codes.wide
        if request.control in UNANSWERED or request.control in STRANGE[meter.map.edition]:
            return None
        identifier = int.from_bytes(request.data[:wide], "little")
        refuse = partial(self._refuse, meter.address, request.control)
        if request.control == READ_ADDRESS:
            question = Question(meter.address, request.control, 0, 0, "")
            return Asked(question, self._frame(meter.address, 0x93, _number(meter.address)), refuse)
        if request.control in READS or request.control in FOLLOWS:
            return self._read(meter, request, identifier, refuse)
        question = Question(meter.address, request.control, identifier, 1, "")
        return Asked(question, refuse(NO_AUTHORITY), refuse, refused=True)

    def _read(self, meter: MeterImage, request: MeterRequest, identifier: int, refuse: Callable[[int], bytes]) -> Asked:
        """The item, or as much of it as fits; its points count with the frame that ends it."""
        key, wide = (meter.address, identifier), 4 if request.control & 0x10 else 2
        data, begun = self._going.pop(key, (None, 0)) if request.control in FOLLOWS else (meter.item(identifier), 0)
        if data is None:
            question = Question(meter.address, request.control, identifier, 1, ITEM)
            return Asked(question, refuse(NO_SUCH_DATA), refuse, refused=True)
        end = begun + LONGEST_PART
        more = end < len(data)
        if more:
            self._going[key] = data, end
        ending = request.data[wide : wide + 1] if request.control == 0x12 else b""
        said = request.data[:wide] + data[begun:end] + ending
        frame = self._frame(meter.address, request.control | (0xA0 if more else 0x80), said)
        question = Question(meter.address, request.control, identifier, 1, "" if more else ITEM)
        return Asked(question, frame, refuse, b"" if more else data)

    def _refuse(self, address: str, control: int, code: int) -> bytes:
        """D1, C1 and their kin."""
        return self._frame(address, control | 0xC0, bytes([code]))

    def _frame(self, address: str, control: int, data: bytes) -> bytes:
        """Behind none to four FE, as makers differ."""
        head = b"\x68" + _number(address) + b"\x68" + bytes([control, len(data)])
        return b"\xfe" * self._random.randrange(5) + sealed(head + bytes((byte + 0x33) % 256 for byte in data))


class Cjt188Way:
    """CJ/T 188: identifier and serial number repeated as they came, C1 for what is not there."""

    def reply(self, meter: MeterImage, request: MeterRequest) -> Asked | None:
        """One meter's answer; None where another kind of meter is meant."""
        assert isinstance(meter.map, Cjt188Map)
        kind, low_first = meter.map.kind, meter.map.di_order == "low_first"
        if request.kind not in (kind, 0xAA) or len(request.data) < 3:
            return None
        identifier = int.from_bytes(request.data[:2], "little" if low_first else "big")
        named, reading = request.data[:3], request.control == 0x01
        refuse = partial(self._refuse, kind, meter.address, request)
        question = Question(meter.address, request.control, identifier, 1, ITEM if reading else "")
        if request.control == 0x03 and identifier == 0x810A:
            return Asked(question, self._frame(kind, meter.address, 0x83, named), refuse)
        data = meter.item(identifier) if reading else None
        if data is None:
            return Asked(question, refuse(STATUS_FAULTY), refuse, refused=True)
        return Asked(question, self._frame(kind, meter.address, 0x81, named + data), refuse, data)

    def _refuse(self, kind: int, address: str, request: MeterRequest, code: int) -> bytes:
        """C1 with serial number and status word."""
        return self._frame(kind, address, request.control | 0xC0, bytes([request.data[2], code, 0]))

    def _frame(self, kind: int, address: str, control: int, data: bytes) -> bytes:
        return b"\xfe\xfe" + sealed(b"\x68" + bytes([kind]) + _number(address) + bytes([control, len(data)]) + data)
