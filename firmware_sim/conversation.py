"""One master's conversation with the units behind a Modbus TCP address: every answer counted, some damaged.

Refuses more than one question at a time to pymodbus on one connection (its request handler keeps only the last).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU

from firmware_sim.faults import Fault
from firmware_sim.modbus_units import exception_frame
from firmware_sim.questions import TCP_HEAD, Question, is_answer_to, parse, payload
from firmware_sim.units import LinkCounts, Unit
from firmware_sim.witness import Witness

LONGEST = 260
"""Modbus messaging on TCP V1.0b, 4.1: header 7, PDU at most 253."""


@dataclass(frozen=True)
class Behind:
    """What all conversations of one link share."""

    units: Mapping[int, Unit]
    witness: Witness
    counts: LinkCounts = field(default_factory=LinkCounts)
    framer: FramerSocket = field(default_factory=lambda: FramerSocket(DecodePDU(True)))


async def _frame(loop: asyncio.AbstractEventLoop, connection: socket.socket, held: bytearray) -> bytes:
    """The next whole Modbus TCP frame; b"" when the other side has closed. ValueError for what is none."""
    while True:
        if len(held) >= TCP_HEAD - 1:
            size = TCP_HEAD - 1 + int.from_bytes(held[4:6], "big")
            if held[2:4] != b"\0\0" or not TCP_HEAD + 1 <= size <= LONGEST:
                raise ValueError("not a Modbus TCP header")
            if len(held) >= size:
                frame = bytes(held[:size])
                del held[:size]
                return frame
        data = await loop.sock_recv(connection, LONGEST)
        if not data:
            return b""
        held += data


class Conversation:
    """One master on one connection: `front` to it, `back` to pymodbus."""

    def __init__(
        self, behind: Behind, front: socket.socket, back: socket.socket, late_answers: asyncio.TaskGroup
    ) -> None:
        self._behind = behind
        self._front = front
        self._back = back
        self._late_answers = late_answers
        self._delayed: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._last: tuple[Unit, Question, bytes, bool] | None = None

    async def run(self) -> None:
        """Serve questions until the master closes. A reset means that it closed over an answer it never read."""
        heard, answers = bytearray(), bytearray()
        gone_over_an_answer = False
        try:
            while question := await _frame(self._loop, self._front, heard):
                await self._serve(question, answers)
            gone_over_an_answer = self._front.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        except ValueError:
            self._behind.counts.noise += 1
        except (ConnectionResetError, BrokenPipeError):
            gone_over_an_answer = True
        if gone_over_an_answer and self._last is not None:
            self._behind.witness.withdraw(*self._last)

    def over(self) -> None:
        """Late answers find nobody any more."""
        for task in self._delayed:
            task.cancel()

    async def _serve(self, frame: bytes, answers: bytearray) -> None:
        question = parse(frame, TCP_HEAD)
        unit = self._behind.units.get(frame[TCP_HEAD - 1])
        self._behind.counts.questions += 1
        self._behind.counts.bytes_in += len(frame)
        if unit is None or question is None:
            self._behind.counts.strangers += 1
            return
        self._behind.witness.asked(unit)
        fault = unit.misfortune.next()
        if fault in (Fault.DEAD, Fault.SILENT):
            self._behind.witness.failed(unit, fault)
            return
        await self._loop.sock_sendall(self._back, frame)
        reply = await _frame(self._loop, self._back, answers)
        if fault is Fault.LATE:
            task = self._late_answers.create_task(self._answer_late(unit, question, reply))
            self._delayed.add(task)
            task.add_done_callback(self._delayed.discard)
        else:
            await self._answer(unit, question, fault, reply)

    async def _answer_late(self, unit: Unit, question: Question, reply: bytes) -> None:
        await asyncio.sleep(unit.misfortune.plan.delay_ms / 1000)
        try:
            await self._answer(unit, question, Fault.LATE, reply)
        except (ConnectionResetError, BrokenPipeError):
            return  # the master has gone: nothing was sent, nothing is counted

    async def _answer(self, unit: Unit, question: Question, fault: Fault, reply: bytes) -> None:
        clean = is_answer_to(question, reply, TCP_HEAD)
        data = payload(reply, TCP_HEAD, 0) if clean and question.reads else b""
        if fault is Fault.EXCEPTION:
            transaction = int.from_bytes(reply[:2], "big")
            reply = exception_frame(self._behind.framer, question, unit.misfortune.plan.code, transaction)
        elif fault is Fault.TRUNCATED:
            reply = unit.misfortune.damage(fault, reply)
        await self._loop.sock_sendall(self._front, reply)
        self._behind.counts.bytes_out += len(reply)
        self._last = None
        if fault is Fault.TRUNCATED:  # a stream cannot lose bytes and go on: the unit's end breaks off
            self._front.shutdown(socket.SHUT_WR)
        if fault not in (Fault.NONE, Fault.LATE):
            self._behind.witness.failed(unit, fault)
        elif clean:
            self._last = (unit, question, data, fault is Fault.LATE)
            self._behind.witness.answered(*self._last)
        else:
            self._behind.witness.refused(unit)
