"""One read of one unit, ready to be asked again and again on either framing. Refuses to know when."""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_profiles.codecs.modbus_pdu import Read, reply_size
from device_profiles.codecs.modbus_rtu import RtuExchange, sort_strays
from device_profiles.codecs.modbus_tcp import TcpExchange
from device_profiles.exchange import Answer, Stray
from device_profiles.quality import Reason
from edge_agent.quarantine import Shape

#: Seconds after a time-out during which an answer may still come, unless the profile says otherwise.
LATE_SECONDS = 2.0

_RTU_AROUND = 3
_TCP_AROUND = 7
"""Bytes of a frame around its PDU: address and check; MBAP header."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`readings`: points that the answer carries; `timeout`, `late`: seconds to the first byte, and until
    none can come; `instead`: reads of other shapes that quarantine may ask instead, to find out that the
    past is past."""

    unit: int
    read: Read
    readings: int
    timeout: float = 0.3
    late: float = LATE_SECONDS
    instead: tuple[Question, ...] = ()

    @property
    def shape(self) -> Shape:
        """(function, bytes of the reply's PDU)."""
        return self.read.function, reply_size(self.read)


class Pending(Protocol):
    """What the bus needs of an exchange: `exchange.Exchange` with what both Modbus framings add to it."""

    strays: list[Stray]

    @property
    def started(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...
    def request(self) -> bytes: ...
    def feed(self, data: bytes) -> None: ...
    def take(self, silent: bool = False) -> Answer | None: ...
    def conclude(self) -> Reason: ...


class LateFrame(msgspec.Struct, frozen=True):
    """A whole checked reply that nobody waited for."""

    unit: int
    shape: Shape
    transaction: int


class RtuFraming:
    """Modbus RTU: frames have a check and no number."""

    transaction = -1

    def ask(self, question: Question) -> Pending:
        """A new exchange for the question."""
        return RtuExchange(question.unit, question.read)

    def sort(self, data: bytes) -> tuple[list[LateFrame], bytes]:
        """Whole replies in bytes that were no answer, and the end that may be the beginning of one more."""
        frames: list[LateFrame] = []
        tail = b""
        for stray in sort_strays(data):
            tail = stray.data if stray.shape is None else b""
            if stray.unit is not None and stray.shape is not None:
                function, size = stray.shape
                frames.append(LateFrame(stray.unit, (function, size - _RTU_AROUND), -1))
        return frames, tail


class TcpFraming:
    """Modbus TCP: a number for each question, and no check."""

    def __init__(self) -> None:
        self.transaction = 0

    def ask(self, question: Question) -> Pending:
        """A new exchange for the question under the next number."""
        self.transaction = (self.transaction + 1) & 0xFFFF
        return TcpExchange(question.unit, question.read, self.transaction)

    def sort(self, data: bytes) -> tuple[list[LateFrame], bytes]:
        """See `RtuFraming.sort`; TCP keeps its order, so frames follow each other without search."""
        frames: list[LateFrame] = []
        while len(data) > _TCP_AROUND:
            end = 6 + int.from_bytes(data[4:6], "big")
            if len(data) < end or end <= _TCP_AROUND:
                break
            shape = data[_TCP_AROUND], end - _TCP_AROUND
            frames.append(LateFrame(data[6], shape, int.from_bytes(data[:2], "big")))
            data = data[end:]
        return frames, data


Framing = RtuFraming | TcpFraming


def make_framing(name: str) -> Framing:
    """The framing of a link: "rtu" or "tcp"."""
    return TcpFraming() if name == "tcp" else RtuFraming()
