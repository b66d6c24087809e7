"""The wire, faked: a `Link` in memory whose units answer in virtual time, byte by byte, and misbehave on
request.

Everything above it is the real thing. A unit is one processor: it answers in the order in which it was asked,
and what it answers last comes last. Two frames that overlap on the line come out as a muddle of both, as on a
real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from device_profiles.codecs.modbus_pdu import (
    ILLEGAL_ADDRESS,
    ModbusError,
    Read,
    decode_request,
    encode_exception,
    encode_reply,
)
from device_profiles.codecs.modbus_rtu import RtuRequestReader, frame
from device_profiles.codecs.modbus_tcp import TcpRequestReader
from device_profiles.codecs.modbus_tcp import frame as tcp_frame
from device_profiles.profiles import LineSettings
from edge_agent.links import LinkTarget, Receiver, on_line

TURNAROUND = 0.005


@dataclass(frozen=True)
class Fate:
    """What becomes of one question: seconds of delay, no answer, a damaged or broken-off one, or an
    exception."""

    delay: float = 0.0
    silent: bool = False
    flip: int = -1
    cut: int = -1
    exception: int = 0


CLEAN = Fate()
DEAD = Fate(silent=True)


@dataclass
class FakeUnit:
    """A unit that answers `registers(read, n)` to its n-th question; `fate(n)` says how it goes wrong."""

    address: int
    registers: Callable[[Read, int], list[int]] = lambda read, n: [
        (read.address + i) & 0xFFFF for i in range(read.count)
    ]
    fate: Callable[[int], Fate] = lambda n: CLEAN
    asked: int = 0
    answered: int = 0
    free_at: float = 0.0
    reads: list[Read] = field(default_factory=list)

    def reply(self, pdu: bytes, fate: Fate) -> bytes:
        """The PDU of the answer."""
        try:
            request = decode_request(pdu)
        except ModbusError as trouble:
            return encode_exception(pdu[0], trouble.code)
        if not isinstance(request, Read):
            return encode_exception(pdu[0], ILLEGAL_ADDRESS)
        self.reads.append(request)
        if fate.exception:
            return encode_exception(request.function, fate.exception)
        if request.function <= 2:
            return encode_reply(request, bytes((request.count + 7) // 8))
        words = self.registers(request, self.asked)
        return encode_reply(request, b"".join(word.to_bytes(2, "big") for word in words))


class MemoryLink:
    """A line with units on it; `down` refuses to open, `lose` breaks it."""

    def __init__(self, target: LinkTarget, units: Iterable[FakeUnit], echo: bool = False) -> None:
        self.target = target
        self.units = {unit.address: unit for unit in units}
        self.down = ""
        self.opened = 0
        self.echo = echo
        #: (number of a reply, seconds): its second half is delivered that much later, by a stalled adapter.
        self.stall = (0, 0.0)
        self._replies = 0
        self._receiver: Receiver | None = None
        self._requests = RtuRequestReader()
        self._tcp_requests = TcpRequestReader()
        self._line_free = 0.0

    async def open(self, receiver: Receiver) -> str:
        """See links.Link."""
        self.opened += 1
        if self.down:
            return self.down
        self._receiver = receiver
        self._requests, self._tcp_requests = RtuRequestReader(), TcpRequestReader()
        return ""

    def close(self) -> None:
        """See links.Link."""
        self._receiver = None

    def tune(self, line: LineSettings) -> None:
        """See links.Link."""
        self.target = on_line(self.target, line)

    def lose(self, why: str) -> None:
        """Break the line."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.link_lost(why)

    def send(self, data: bytes) -> None:
        """See links.Link: the master speaks."""
        if self._receiver is None:
            return
        now = asyncio.get_running_loop().time()
        ends = now + len(data) * self.target.byte_seconds
        self._line_free = max(self._line_free, ends)
        if self.echo:
            self._later(ends, data, self._receiver)
        if self.target.framing == "tcp":
            for transaction, unit, pdu in self._tcp_requests.feed(data):
                self._ask(unit, pdu, ends, transaction)
        else:
            for unit, pdu in self._requests.feed(data):
                self._ask(unit, pdu, ends, -1)

    def babble(self, data: bytes) -> None:
        """Noise on the line, now."""
        if self._receiver is not None:
            self._receiver.bytes_came(data)

    def _ask(self, address: int, pdu: bytes, at: float, transaction: int) -> None:
        unit = self.units.get(address)
        if unit is None:
            return
        unit.asked += 1
        fate = unit.fate(unit.asked)
        if fate.silent:
            return
        pdu = unit.reply(pdu, fate)
        whole = frame(address, pdu) if transaction < 0 else tcp_frame(transaction, address, pdu)
        data = bytearray(whole)
        if fate.flip >= 0:
            data[fate.flip % len(data)] ^= 1 << (fate.flip % 8)
        if fate.cut >= 0:
            del data[fate.cut % len(data) :]
        if bytes(data) == whole:
            unit.answered += 1
        start = max(unit.free_at, at + TURNAROUND + fate.delay)
        if self.target.kind == "serial":  # a unit listens before it speaks
            start = max(start, self._line_free)
        unit.free_at = start + len(data) * self.target.byte_seconds
        self._line_free = unit.free_at
        self._speak(bytes(data), start)

    def _speak(self, data: bytes, start: float) -> None:
        receiver = self._receiver
        assert receiver is not None
        if not self.target.byte_seconds:
            self._later(start, data, receiver)
            return
        self._replies += 1
        held = self.stall[1] if self.stall[0] == self._replies else 0.0
        for position in range(0, len(data), 4):
            piece = data[position : position + 4]
            late = held if position >= len(data) // 2 else 0.0
            self._later(start + (position + len(piece)) * self.target.byte_seconds + late, piece, receiver)

    def _later(self, when: float, data: bytes, receiver: Receiver) -> None:
        def arrive() -> None:
            if self._receiver is receiver:
                receiver.bytes_came(data)

        asyncio.get_running_loop().call_at(when, arrive)
