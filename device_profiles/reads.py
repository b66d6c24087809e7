"""One read of one unit as every asked protocol plans it: what to ask, how its answer is told apart, what it means."""

from collections.abc import Callable, Sequence

import msgspec

from device_profiles.exchange import Exchange
from device_profiles.profiles import Point
from device_profiles.readings import Value

Shape = tuple[int, ...]
"""What tells two answers of one unit apart: function and length for Modbus, control and identifier for a meter."""

Decoded = tuple[Sequence[Value], bytes]
"""Values in the order of the points (NaN or None where there is none), and their codes (``quality.code_of``)."""


class PlannedRead(msgspec.Struct, frozen=True, kw_only=True):
    """A read asked every ``period`` seconds. ``exchange``: a fresh question; ``decode`` reads an ``Answer.data``.

    ``byte_gap``: seconds that the unit may pause inside a frame. ``reply_bytes``: how long the answer on the wire
    will be about, 0 where nobody knows: for the plan's load.
    """

    period: float
    points: tuple[Point, ...]
    shape: Shape
    exchange: Callable[[], Exchange]
    decode: Callable[[bytes], Decoded]
    reply_bytes: int = 0
    byte_gap: float = 0.05
