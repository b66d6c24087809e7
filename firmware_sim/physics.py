"""What a simulated point reads at a moment: decided by the seed and the time alone, so that any two runs agree.

Kinds, with the parameters of a profile's `[simulate]` table: `constant` (value) · `wave` (mean, swing, period_s,
noise) · `walk` (start, step a second, low, high) · `counter` (start, rate_per_s) · `steps` (values, hold_s). Values
stay inside the point's range. Refuses (ValueError from `check`) what the point cannot say on the wire.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from random import Random

from device_profiles.profiles import Physics, Point
from device_profiles.protocols import module_of
from device_profiles.readings import Value

MICROSECONDS = 1_000_000
DAY_S = 86_400.0
JITTER = 0.03
"""Two units of one model on one street are this much of a period apart: neighbours, not twins."""

Curve = Callable[[float], float]
"""Seconds since 1970 to the point's unit."""


def chance(seed: int, step: int) -> float:
    """A number in [0, 1) for each (seed, step): SplitMix64's finaliser, because seeding a Random a value is slow."""
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ mixed >> 31) / 2**64


class Walk:
    """A random walk of one step a second between two walls, the same at each second however often it is asked."""

    def __init__(self, seed: str, start: float, step: float, walls: tuple[float, float], origin: float) -> None:
        self._random = Random(seed)
        self._value, self._step, self._walls, self._origin = start, step, walls, origin
        self._taken = 0

    def __call__(self, t: float) -> float:
        """The value at `t`; a clock that was set back finds the walk where it was."""
        low, high = self._walls
        while self._taken < t - self._origin - 1:
            moved = self._value + self._random.uniform(-self._step, self._step)
            self._value = min(max(moved, low), high)
            self._taken += 1
        return self._value


class Signal:
    """One point's value over time, in the point's unit; `origin` (UTC µs) is when walks and counters start."""

    def __init__(self, point: Point, physics: Physics | None, seed: str, origin: int) -> None:
        self._point = point
        self._parameters = physics.parameters if physics else {}
        self._seed = zlib.crc32(seed.encode())
        makers: dict[str, Callable[[], Curve]] = {
            "wave": self._wave,
            "walk": lambda: self._walk(seed, origin / MICROSECONDS),
            "counter": lambda: self._counter(origin / MICROSECONDS),
            "steps": self._steps,
        }
        self._curve = makers.get(physics.kind if physics else "constant", self._constant)()

    def at(self, now: int) -> Value:
        """The value at `now` (UTC µs)."""
        if self._point.text:
            return "SIM"
        value = self._curve(now / MICROSECONDS)
        if self._point.range:
            value = min(max(value, self._point.range[0]), self._point.range[1])
        return value

    def check(self, protocol: str) -> None:
        """ValueError when an end of the curve cannot be said on the wire of its profile's `protocol`."""
        if not self._point.text:
            for value in self._ends():
                module_of(protocol).check_value(self._point, value)

    def _ends(self) -> list[float]:
        get = self._get
        mean, reach = get("mean", 0.0), get("swing", 0.0) + get("noise", 0.0)
        ends = [get(name, 0.0) for name in ("value", "start", "low", "high") if name in self._parameters]
        ends += [mean - reach, mean + reach] if "mean" in self._parameters else []
        ends += self._values() if "values" in self._parameters else []
        low, high = self._point.range or (-math.inf, math.inf)
        return [min(max(end, low), high) for end in ends]

    def _get(self, name: str, default: float) -> float:
        found = self._parameters.get(name, default)
        return default if isinstance(found, list) else float(found)

    def _values(self) -> list[float]:
        found = self._parameters.get("values")
        return [float(value) for value in found] if isinstance(found, list) and found else [0.0]

    def _constant(self) -> Curve:
        middle = sum(self._point.range) / 2 if self._point.range else 0.0
        value = self._get("value", middle)
        return lambda t: value

    def _wave(self) -> Curve:
        mean, swing, noise = self._get("mean", 0.0), self._get("swing", 1.0), self._get("noise", 0.0)
        period, phase, seed = self._get("period_s", DAY_S), JITTER * chance(self._seed, -1), self._seed

        def curve(t: float) -> float:
            return mean + swing * math.sin(2 * math.pi * (t / period + phase)) + noise * (2 * chance(seed, int(t)) - 1)

        return curve

    def _walk(self, seed: str, origin: float) -> Curve:
        low, high = self._get("low", -math.inf), self._get("high", math.inf)
        return Walk(seed, self._get("start", 0.0), self._get("step", 0.1), (low, high), origin)

    def _counter(self, origin: float) -> Curve:
        start, rate = self._get("start", 0.0), self._get("rate_per_s", 0.001)
        low, high = self._point.range or (0.0, math.inf)
        return lambda t: low + (start - low + rate * max(0.0, t - origin)) % (high - low)

    def _steps(self) -> Curve:
        values, hold = self._values(), self._get("hold_s", 60.0)
        return lambda t: values[int(t // hold) % len(values)]
