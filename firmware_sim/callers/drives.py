"""A truck's round through Fengjie: where it is, how fast and where to, decided by the time and its own number alone.

Two trucks of one street are elsewhere on the same round. Refuses to jump: the place is the speed's integral.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

ROUND = (
    (31.0186, 109.4638),
    (31.0214, 109.4702),
    (31.0248, 109.4781),
    (31.0231, 109.4849),
    (31.0179, 109.4823),
    (31.0139, 109.4741),
    (31.0102, 109.4664),
    (31.0088, 109.4571),
    (31.0121, 109.4513),
    (31.0163, 109.4566),
)
"""Corners, latitude and longitude in degrees: the county seat above the Yangtze, drawn by eye."""

BEGIN_S = 1_767_225_600
"""2026-01-01: the mileage counts from here."""

MEAN_KMH = 32.0
SWING_KMH = 30.0
PERIOD_S = 310.0
"""From the slowest (at a bin) to the fastest (on the ring road) and back."""

EARTH_M = 6_371_000.0
LOW_M, HIGH_M = 140.0, 290.0
"""The river bank and the upper town."""


@dataclass(frozen=True)
class Moment:
    """Where a truck is: degrees, m, km/h, degrees clockwise from north, km."""

    latitude: float
    longitude: float
    altitude: float
    speed: float
    heading: float
    mileage: float


class Drive:
    """The round of one truck. ``number`` decides where on it the truck is."""

    def __init__(self, number: str) -> None:
        self._lead = zlib.crc32(number.encode()) % 100_000
        self._legs = [(a, b, _distance(a, b)) for a, b in zip(ROUND, (*ROUND[1:], ROUND[0]), strict=True)]
        self._length = sum(length for _, _, length in self._legs)

    def at(self, now: int) -> Moment:
        """The truck at ``now`` (UTC µs)."""
        t = now / 1e6 - BEGIN_S + self._lead
        turn = 2 * math.pi * t / PERIOD_S
        mean, swing = MEAN_KMH / 3.6, SWING_KMH / 3.6
        driven = mean * t + swing * PERIOD_S / (2 * math.pi) * math.sin(turn)
        (a, b, length), share = self._leg(driven % self._length)
        part = 2 * math.pi * (driven % self._length) / self._length
        return Moment(
            latitude=a[0] + (b[0] - a[0]) * share / length,
            longitude=a[1] + (b[1] - a[1]) * share / length,
            altitude=round((LOW_M + HIGH_M - (HIGH_M - LOW_M) * math.cos(part)) / 2),
            speed=(mean + swing * math.cos(turn)) * 3.6,
            heading=round(_bearing(a, b)) % 360,
            mileage=max(0.0, driven) / 1000,
        )

    def _leg(self, rest: float) -> tuple[tuple[tuple[float, float], tuple[float, float], float], float]:
        """(the leg, metres on it) of metres on the round."""
        for leg in self._legs:
            if rest < leg[2]:
                return leg, rest
            rest -= leg[2]
        return self._legs[0], 0.0  # what rounding left over


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Metres between two places some hundred metres apart."""
    north, east = math.radians(b[0] - a[0]), math.radians(b[1] - a[1]) * math.cos(math.radians(a[0]))
    return EARTH_M * math.hypot(north, east)


def _bearing(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Degrees clockwise from north."""
    east = (b[1] - a[1]) * math.cos(math.radians(a[0]))
    return math.degrees(math.atan2(east, b[0] - a[0])) % 360
