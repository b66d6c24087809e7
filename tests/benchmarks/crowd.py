"""A crowd of terminals and stations that all stay connected: each says its next report when the last is acknowledged.

Frames are made from one template a protocol, so that this side costs less than the side that is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from device_profiles.codecs import hj212, jt808
from device_profiles.codecs.hj212_commands import REALTIME
from device_profiles.codecs.hj212_segment import encode_segment
from device_profiles.codecs.jt808_messages import POSITION
from device_profiles.codecs.jt808_position import encode_position
from device_profiles.loader import load_library
from device_profiles.maps.hj212 import encode_report as encode_upload
from device_profiles.maps.hj212_points import HjMap, HjPoint
from device_profiles.maps.jt808 import encode_report as encode_place
from device_profiles.maps.jt808_points import JtMap
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from tests.benchmarks.processes import PATIENCE_S

CAR, STATION = "jt808-vehicle-2013", "hj212-surface-water"
AT_ONCE = 200
"""Connections that are opened together: fewer than a listener's backlog."""

MakeFrame = Callable[[int], bytes]
"""The caller's n-th frame, as it goes on the wire."""


def numbers(protocol: str, count: int) -> list[str]:
    """The identities of a protocol's callers."""
    return [f"{13_800_000_000 + n:012d}" if protocol == "jt808" else f"8888{n:020d}" for n in range(count)]


def values_of(profile: DeviceProfile) -> dict[str, Value]:
    """A value of each point, well within its range."""
    bounds = {point.name: point.range or (0.0, 1.0) for point in profile.points}
    return {name: (low + (high - low) * 0.3) // 1 for name, (low, high) in bounds.items()}


class Going:
    """What all members share: whether to go on, and how many reports are under way."""

    def __init__(self) -> None:
        self.on = False
        self.under_way = 0
        self.none = asyncio.Event()

    def said(self) -> None:
        """One report more is under way."""
        self.under_way += 1
        self.none.clear()

    def heard(self) -> None:
        """One less."""
        self.under_way -= 1
        if not self.under_way:
            self.none.set()


def cars(profile: DeviceProfile, count: int) -> list[MakeFrame]:
    """One maker of 0200 frames a car; the mileage changes with every report."""
    assert isinstance(profile.map, JtMap)
    values = values_of(profile) | {"latitude": 31.02, "longitude": 109.46, "alarm_word": 0, "status_word": 3}
    body = encode_position(encode_place(profile.map, values, int(time.time()) * 1_000_000))
    place = body.index(b"\x01\x04", 28) + 2

    def maker(number: str) -> MakeFrame:
        def frame(n: int) -> bytes:
            said = body[:place] + (1000 + n).to_bytes(4, "big") + body[place + 4 :]
            return jt808.encode(jt808.Frame(message=POSITION, number=number, serial=n & 0xFFFF, body=said))

        return frame

    return [maker(number) for number in numbers("jt808", count)]


def stations(profile: DeviceProfile, count: int) -> list[MakeFrame]:
    """One maker of 2011 uploads a station; each has a request number of its own."""
    assert isinstance(profile.map, HjMap)
    marks = "2" * 17, "8" * 24
    at = int(time.time()) * 1_000_000
    template = encode_segment(encode_upload(profile.map, values_of(profile), at, qn=marks[0], mn=marks[1]))
    began = datetime.now(UTC)

    def maker(number: str) -> MakeFrame:
        own = template.replace(marks[1].encode(), number.encode())

        def frame(n: int) -> bytes:
            qn = (began + timedelta(milliseconds=n)).strftime("%Y%m%d%H%M%S%f")[:17]
            return hj212.encode(hj212.frame(own.replace(marks[0].encode(), qn.encode())))

        return frame

    return [maker(number) for number in numbers("hj212", count)]


class Member(asyncio.Protocol):
    """One connection with at most one report outstanding. ``readings`` in each; ``took``: seconds to each answer."""

    def __init__(self, frame: MakeFrame, end: bytes, readings: int, going: Going) -> None:
        self._frame, self._end, self._going = frame, end, going
        self.readings = readings
        self._said = 0
        self._at = 0.0
        self.acked = 0
        self.took: list[float] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def say(self) -> None:
        """The next report."""
        assert self.transport is not None
        self._said += 1
        self._going.said()
        self._at = time.perf_counter()
        self.transport.write(self._frame(self._said))

    def data_received(self, data: bytes) -> None:
        """An acknowledgement is one frame, and only one is under way."""
        if data.endswith(self._end):
            self.acked += 1
            self.took.append(time.perf_counter() - self._at)
            if self._going.on:
                self.say()
            self._going.heard()


class Crowd:
    """All of them. ``ports``: where cars (JT/T 808) and stations (HJ 212) call, half of ``count`` each."""

    def __init__(self, ports: tuple[int, int], count: int) -> None:
        library = load_library()
        car, station = library[CAR], library[STATION]
        instant = sum(isinstance(point, HjPoint) and point.cn == REALTIME for point in station.points)
        self._parts = (
            (ports[0], cars(car, count // 2), b"\x7e", len(car.points)),
            (ports[1], stations(station, count // 2), b"\r\n", instant),
        )
        self._going = Going()
        self.members: list[Member] = []

    async def connect(self) -> None:
        """Everybody connects."""
        loop = asyncio.get_running_loop()
        for port, makers, end, readings in self._parts:
            for start in range(0, len(makers), AT_ONCE):
                found = [Member(frame, end, readings, self._going) for frame in makers[start : start + AT_ONCE]]
                self.members += found
                await asyncio.gather(*(loop.create_connection(lambda m=m: m, "127.0.0.1", port) for m in found))  # type: ignore[misc]  # a default argument binds

    async def speak(self, seconds: float) -> None:
        """Everybody speaks for so long, then hears what is under way; with 0 everybody says one thing."""
        for member in self.members:
            member.took.clear()
        self._going.on = seconds > 0
        for member in self.members:
            member.say()
        await asyncio.sleep(seconds)
        self._going.on = False
        async with asyncio.timeout(PATIENCE_S):
            await self._going.none.wait()

    @property
    def acked(self) -> tuple[int, int]:
        """(reports, readings in them) that were acknowledged."""
        return sum(m.acked for m in self.members), sum(m.acked * m.readings for m in self.members)

    def close(self) -> None:
        """Everybody hangs up."""
        for member in self.members:
            if member.transport is not None:
                member.transport.close()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
