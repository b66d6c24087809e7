"""What a unit is asked, whatever it speaks: each read of its plan with the points that it is there for.

Pure: it refuses to know links and clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from device_profiles.codecs.modbus_pdu import Read
from device_profiles.profiles import Point
from device_profiles.protocols import asked_module_of
from device_profiles.readings import Value
from device_profiles.reads import PlannedRead
from device_profiles.spans import compile_span
from edge_agent.config import DeviceConfig
from edge_agent.plan import Span, shorter_reads


class Decoder(Protocol):
    """Reads an answer's data: values and quality codes in the order of `points`."""

    @property
    def points(self) -> Sequence[Point]: ...
    def decode(self, data: bytes) -> tuple[list[Value], bytes]: ...


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """One read of a unit's plan. `own`: places in the decoder's points that this read is there for; the others are read
    in passing and reported by a faster read. `first`: where its registers begin, None for other protocols."""

    period: float
    read: Read | PlannedRead
    decoder: Decoder
    own: tuple[int, ...]
    first: int | None = None

    @property
    def points(self) -> Sequence[Point]:
        """Every point that the answer carries."""
        return self.decoder.points


class _PlannedDecoder:
    """A planned read's points and decoding, with lists as the hot path wants them."""

    def __init__(self, read: PlannedRead) -> None:
        self.points: Sequence[Point] = read.points
        self._decode = read.decode

    def decode(self, data: bytes) -> tuple[list[Value], bytes]:
        """See `Decoder`."""
        values, codes = self._decode(data)
        return list(values), bytes(codes)


def polls_of(device: DeviceConfig) -> list[Poll]:
    """The plan of one unit, fastest first."""
    if device.profile.protocol == "modbus":
        return _register_polls(device)
    module = asked_module_of(device.profile.protocol)
    reads = module.plan_reads(device.profile.map, str(device.unit), device.read_points, device.period_of)
    return [
        Poll(period=read.period, read=read, decoder=_PlannedDecoder(read), own=tuple(range(len(read.points))))
        for read in reads
    ]


def _register_polls(device: DeviceConfig) -> list[Poll]:
    polls: list[Poll] = []
    spans = device.spans()
    for place, span in enumerate(spans):
        decoder = compile_span(device.read_registers, span.table, span.start, span.count)
        faster = spans[:place]
        own = [i for i, point in enumerate(decoder.points) if not any(other.covers(point) for other in faster)]
        polls.append(Poll(period=span.period, read=span.read, decoder=decoder, own=tuple(own), first=span.start))
    return polls


def resync_reads(device: DeviceConfig) -> list[tuple[Span, int]]:
    """Short reads of other shapes that quarantine may ask instead (see `plan.shorter_reads`); a meter needs none: its
    answer says what it carries."""
    if device.profile.protocol != "modbus":
        return []
    return shorter_reads(device.spans(), device.read_registers)
