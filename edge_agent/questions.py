"""One read or write of one unit, ready to be asked, whatever it speaks; and how a line tells frames apart.

Refuses to know when.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from device_profiles.codecs import modbus_ascii, modbus_rtu
from device_profiles.codecs.modbus_pdu import Request, reply_size
from device_profiles.codecs.modbus_rtu import RtuExchange
from device_profiles.codecs.modbus_tcp import TcpExchange
from device_profiles.exchange import Answer, Stray
from device_profiles.profiles import LineSettings
from device_profiles.protocols import asked_module_of
from device_profiles.quality import Reason
from device_profiles.reads import PlannedRead
from edge_agent.quarantine import Shape, Unit

#: Seconds after a time-out during which an answer may still come, unless the profile says otherwise.
LATE_SECONDS = 2.0

_RTU_AROUND = 3
_TCP_AROUND = 7
"""Bytes of a frame around its PDU: address and check; MBAP header."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`read`: of a Modbus register map, or as another protocol planned it (or a write, which `errands` never asks
    twice); `readings`: points that the answer carries;
    `timeout`, `late`: seconds to the first byte, and until none can come; `line`: the unit's own speed and
    parity where they are not the link's; `instead`: reads of other shapes that quarantine may ask instead,
    to find out that the past is past."""

    unit: Unit
    read: Request | PlannedRead
    readings: int
    timeout: float = 0.3
    late: float = LATE_SECONDS
    line: LineSettings | None = None
    instead: tuple[Question, ...] = ()

    @property
    def shape(self) -> Shape:
        """What tells this answer apart: for Modbus (function, bytes of the reply's PDU)."""
        if isinstance(self.read, PlannedRead):
            return self.read.shape
        return self.read.function, reply_size(self.read)


class Pending(Protocol):
    """What the bus needs of an exchange; see `exchange.Exchange`."""

    @property
    def strays(self) -> list[Stray]: ...
    @property
    def started(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...
    def request(self) -> bytes: ...
    def next_request(self) -> bytes: ...
    def feed(self, data: bytes) -> None: ...
    def take(self, silent: bool = False) -> Answer | None: ...
    def conclude(self) -> Reason: ...


class LateFrame(msgspec.Struct, frozen=True):
    """A whole checked reply that nobody waited for."""

    unit: Unit
    shape: Shape
    transaction: int


Sorter = Callable[[bytes], list[Stray]]
"""Judges bytes that nobody waited for; every byte is in exactly one stray."""


def _sort_rtu(data: bytes) -> list[Stray]:
    """As the codec does, with the shapes that a question has: without what surrounds the PDU."""
    return [
        stray
        if stray.shape is None
        else Stray(stray.reason, stray.data, stray.unit, (stray.shape[0], stray.shape[1] - _RTU_AROUND))
        for stray in modbus_rtu.sort_strays(data)
    ]


def _sorter(protocol: str) -> Sorter:
    if protocol == "modbus":
        return _sort_rtu
    return modbus_ascii.sort_strays if protocol == "modbus_ascii" else asked_module_of(protocol).sort_strays


class LineFraming:
    """A line: frames have a check and no number, and may be of several protocols."""

    transaction = -1

    def __init__(self, protocols: Sequence[str] = ("modbus",)) -> None:
        """`protocols`: those of the units on the line; bytes of others are noise."""
        self._sorters = [_sorter(key) for key in protocols]

    def ask(self, question: Question) -> Pending:
        """A new exchange for the question."""
        if isinstance(question.read, PlannedRead):
            return question.read.exchange()
        assert isinstance(question.unit, int)
        return RtuExchange(question.unit, question.read)

    def sort(self, data: bytes) -> tuple[list[LateFrame], bytes]:
        """Whole replies in bytes that were no answer, and the end that may be the beginning of one more."""
        strays = [Stray(Reason.NOISE, data)]
        for sorter in self._sorters:  # each looks at what the ones before it made nothing of
            strays = [
                found
                for stray in strays
                for found in (sorter(stray.data) if stray.reason is Reason.NOISE else [stray])
            ]
        frames = [LateFrame(s.unit, s.shape, -1) for s in strays if s.unit is not None and s.shape is not None]
        tail = strays[-1].data if strays and strays[-1].reason is Reason.NOISE else b""
        return frames, tail


class TcpFraming:
    """Modbus TCP: a number for each question, and no check."""

    def __init__(self) -> None:
        self.transaction = 0

    def ask(self, question: Question) -> Pending:
        """A new exchange for the question under the next number."""
        assert isinstance(question.unit, int)
        assert not isinstance(question.read, PlannedRead)
        self.transaction = (self.transaction + 1) & 0xFFFF
        return TcpExchange(question.unit, question.read, self.transaction)

    def sort(self, data: bytes) -> tuple[list[LateFrame], bytes]:
        """See `LineFraming.sort`; TCP keeps its order, so frames follow each other without search."""
        frames: list[LateFrame] = []
        while len(data) > _TCP_AROUND:
            end = 6 + int.from_bytes(data[4:6], "big")
            if len(data) < end or end <= _TCP_AROUND:
                break
            shape = data[_TCP_AROUND], end - _TCP_AROUND
            frames.append(LateFrame(data[6], shape, int.from_bytes(data[:2], "big")))
            data = data[end:]
        return frames, data


Framing = LineFraming | TcpFraming


def make_framing(name: str, protocols: Sequence[str] = ("modbus",)) -> Framing:
    """The framing of a link: "tcp" (Modbus TCP) or "rtu" (a line, with units of these protocols)."""
    return TcpFraming() if name == "tcp" else LineFraming(protocols)
