"""Units of described serial protocols on a line: a profile's frame read backwards.

A unit answers when the bytes of its own question end what was heard. Refuses probes that talk without being asked: a
line speaks only when it is spoken to.
"""

from __future__ import annotations

from collections.abc import Sequence

from device_profiles.clock import Clock
from device_profiles.maps.serial import SerialMap
from device_profiles.profiles import DeviceProfile, LineSettings
from firmware_sim.physics import Signal
from firmware_sim.questions import FRAME, Asked, Question

LONGEST = 1024
"""Bytes that are heard between two silences; a question is far shorter."""


class SerialImage:
    """The frame of one unit over time: `seed` and the clock decide every value."""

    def __init__(self, profile: DeviceProfile, address: str, seed: str, clock: Clock) -> None:
        assert isinstance(profile.map, SerialMap)
        self.address = address
        self.request = profile.map.request_to(address)
        self._map = profile.map
        self._clock = clock
        self._signals = {
            point.name: Signal(point, profile.simulate.get(point.name), f"{seed}/{point.name}", clock.now())
            for point in profile.points
        }

    def frame(self) -> bytes:
        """What the unit says now."""
        now = self._clock.now()
        values = {name: signal.at(now) for name, signal in self._signals.items()}
        return self._map.layout.build(values, self.address)


class SerialUnits:
    """The units of one speed; see `line_servers.LineServer`."""

    def __init__(self, units: Sequence[SerialImage], line: LineSettings) -> None:
        self.line = line
        self._units = units
        self._heard = b""

    def hear(self, data: bytes) -> list[Asked]:
        """The questions that are now whole; several units that share one answer over each other, as on a wire."""
        self._heard = (self._heard + data)[-LONGEST:]
        asked = [unit for unit in self._units if unit.request and self._heard.endswith(unit.request)]
        if not asked:
            return []
        self._heard = b""
        frames = [unit.frame() for unit in asked]
        question = Question(asked[0].address, 0, 0, 1, FRAME)
        if len(asked) == 1:
            return [Asked(question, frames[0], lambda code: b"", frames[0])]
        mixed = bytes(_low([frame[at] for frame in frames if at < len(frame)]) for at in range(max(map(len, frames))))
        return [Asked(question, mixed, lambda code: b"", crowd=True)]

    def silence(self) -> None:
        """Nothing more will come of what is held."""
        self._heard = b""


def _low(levels: Sequence[int]) -> int:
    """A wire that any of several pulls low is low."""
    level = 0xFF
    for said in levels:
        level &= said
    return level
