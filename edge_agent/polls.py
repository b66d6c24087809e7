"""What a unit is asked, whatever it speaks: each read of its plan with the points that it is there for.

Pure: it refuses to know links and clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from device_profiles.codecs.modbus_ascii import AsciiExchange, shape_of
from device_profiles.codecs.modbus_pdu import Read, Request, reply_size
from device_profiles.profiles import Point
from device_profiles.protocols import asked_module_of
from device_profiles.readings import Value
from device_profiles.reads import Decoded, PlannedRead
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
        read = ascii_read(device, span, decoder.points) if device.framing == "ascii" else span.read
        polls.append(Poll(period=span.period, read=read, decoder=decoder, own=tuple(own), first=span.start))
    return polls


def ascii_read(device: DeviceConfig, span: Span, points: Sequence[Point] = ()) -> PlannedRead:
    """The same read in Modbus ASCII: its frames are told apart from RTU's on the same line by their shape."""
    asked = ascii_request(device, span.read)
    return msgspec.structs.replace(asked, period=span.period, points=tuple(points))


def ascii_request(device: DeviceConfig, request: Request) -> PlannedRead:
    """One request to a unit that speaks Modbus ASCII, outside any plan."""
    unit = int(device.unit)
    return PlannedRead(
        period=0.0,
        points=(),
        shape=shape_of(request.function, reply_size(request)),
        exchange=lambda: AsciiExchange(unit, request),
        decode=_undecoded,
        reply_bytes=2 * (reply_size(request) + 2) + 3,
    )


def _undecoded(data: bytes) -> Decoded:
    raise NotImplementedError("a Modbus answer is decoded by its span")


def resync_reads(device: DeviceConfig) -> list[tuple[Read | PlannedRead, int]]:
    """Short reads of other shapes that quarantine may ask instead (see `plan.shorter_reads`); a meter needs none: its
    answer says what it carries."""
    if device.profile.protocol != "modbus":
        return []
    shorter = shorter_reads(device.spans(), device.read_registers)
    if device.framing == "ascii":
        return [(ascii_read(device, span), readings) for span, readings in shorter]
    return [(span.read, readings) for span, readings in shorter]
