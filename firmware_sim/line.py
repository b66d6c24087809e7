"""One RS-485 line: bytes take the time that they take, and the units on it answer or fail.

One thread a line, because an event loop rounds to a millisecond. Refuses to garble overlapping frames: a late answer
waits until the line is free, as if every unit listened before it spoke.
"""

from __future__ import annotations

import ctypes
import heapq
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from device_profiles.clock import Clock
from firmware_sim.faults import Fault
from firmware_sim.modbus_units import ModbusUnits, exception_frame
from firmware_sim.pacing import schedule, silence_s, wire_s
from firmware_sim.questions import RTU_HEAD, Question, is_answer_to, parse, payload
from firmware_sim.terminal import Terminal
from firmware_sim.units import LinkCounts, Unit
from firmware_sim.witness import Witness

PR_SET_TIMERSLACK = 29
TIMER_SLACK_NS = 2_000
"""Linux lets a sleeper oversleep by 50 µs to save power: half a character at 115200 baud."""
CHECKSUM = 2
CROWDED_TOLERANCE_S = 0.0005
"""A thread may be told of a byte this much late; finer than that nobody can say that a silence was too short."""
STALLED_S = 0.01
"""Far more than a busy machine's scheduler takes; a master that waits 50 ms for the next byte still accepts it."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A reply on its way: `data` is the payload of a clean read, `refusal` the unit's own exception."""

    unit: Unit
    question: Question
    frame: bytes
    fault: Fault
    refusal: bool
    data: bytes


class Line:
    """The wire at `path`, served from `start` to `stop`; `turnaround_s` lies between question and answer."""

    def __init__(
        self,
        path: Path,
        baud: int,
        turnaround_s: float,
        units: Sequence[Unit],
        server: ModbusUnits,
        witness: Witness,
        clock: Clock,
    ) -> None:
        self.path = path
        self.baud = baud
        self.counts = LinkCounts()
        self._turnaround_s = turnaround_s
        self._units = {unit.address: unit for unit in units}
        self._server = server
        self._witness = witness
        self._clock = clock
        self._due: list[tuple[float, int, Sending]] = []
        self._free_at = 0.0
        self._ready_at: dict[int, float] = {}
        self._held = b""
        self._held_until = 0.0
        self._last: Sending | None = None

    def start(self) -> None:
        """Open the terminal and serve from now on. OSError when there is none to be had."""
        self._terminal = Terminal(self.path, self.baud)
        self._wake, self._waker = os.pipe()
        self._thread = Thread(target=self._serve, name=f"line {self.path.name}")
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and take back what nobody read."""
        os.write(self._waker, b"x")
        self._thread.join()
        if self._last is not None and self._terminal.unread():
            sent = self._last
            self._witness.withdraw(sent.unit, sent.question, sent.data, sent.fault is Fault.LATE)
        self._terminal.close()
        os.close(self._wake)
        os.close(self._waker)

    @property
    def alive(self) -> bool:
        """False when serving has ended by a mistake of ours."""
        return self._thread.is_alive()

    def _serve(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0)
        master = self._terminal.master
        while True:
            readable, _, _ = select.select([master, self._wake], [], [], self._patience())
            if self._wake in readable:
                return
            now = self._clock.monotonic()
            if master in readable:
                self._hear(now)
            elif self._held and now >= self._held_until:
                self._held = b""
                self.counts.noise += 1
            if self._due and self._due[0][0] <= self._clock.monotonic():
                at, _, sending = heapq.heappop(self._due)
                self._send(max(at, self._free_at), sending)

    def _patience(self) -> float | None:
        """Seconds until something is due on this line; None when only the master can change anything."""
        moments = [self._due[0][0]] if self._due else []
        if self._held:
            moments.append(self._held_until)
        return max(0.0, min(moments) - self._clock.monotonic()) if moments else None

    def _hear(self, now: float) -> None:
        """Bytes from the master have begun to travel: on the wire they are over only after their time."""
        data = self._terminal.read()
        silence = silence_s(self.baud)
        self.counts.bytes_in += len(data)
        if not self._held and now < self._free_at + silence - CROWDED_TOLERANCE_S:
            self.counts.crowded += 1
        self._free_at = max(now, self._free_at) + wire_s(len(data), self.baud)
        if not self._terminal.at_speed():
            self.counts.wrong_speed += 1
            return
        self._held += data
        self._held_until = self._free_at + silence
        self._understand()

    def _understand(self) -> None:
        """Let pymodbus find the question in the bytes held; what it refuses is noise."""
        try:
            used, request = self._server.decode(self._held)
        except ValueError:
            used, request = len(self._held), None
        frame, self._held = self._held[:used], self._held[used:]
        question = parse(frame, RTU_HEAD)
        if request is None or question is None:
            self.counts.noise += used > 0
            return
        self.counts.questions += 1
        unit = self._units.get(question.unit)
        reply = self._server.answer(request)
        if unit is None or reply is None:
            self.counts.strangers += 1
            return
        self._witness.asked(unit)
        self._plan(unit, question, reply)

    def _plan(self, unit: Unit, question: Question, reply: bytes) -> None:
        """Draw this question's fate and put what comes of it in the line's diary."""
        fault = unit.misfortune.next()
        if fault in (Fault.DEAD, Fault.SILENT):
            self._witness.failed(unit, fault)
            return
        clean = is_answer_to(question, reply, RTU_HEAD)
        data = payload(reply, RTU_HEAD, CHECKSUM) if clean and question.reads else b""
        if fault is Fault.EXCEPTION:
            reply = exception_frame(self._server.framer, question, unit.misfortune.plan.code)
        elif fault in (Fault.BAD_CHECKSUM, Fault.TRUNCATED):
            reply = unit.misfortune.damage(fault, reply)
        wait = self._turnaround_s + (unit.misfortune.plan.delay_ms / 1000 if fault is Fault.LATE else 0.0)
        # A unit is one loop: it answers in the order in which it was asked, so a slow answer holds up the next.
        at = max(self._free_at + wait, self._ready_at.get(unit.address, 0.0))
        self._ready_at[unit.address] = at
        sending = Sending(unit, question, reply, fault, not clean, data)
        heapq.heappush(self._due, (at, self.counts.questions, sending))

    def _send(self, start: float, sending: Sending) -> None:
        """Write the frame piece by piece, each when its last byte is over; it counts when all of it is out."""
        stall = 0.0
        for after, piece in schedule(sending.frame, self.baud):
            wait = start + after - self._clock.monotonic()
            stall = max(stall, -wait)
            if wait > 0:
                time.sleep(wait)
            if not self._terminal.write(piece):
                return
            self.counts.bytes_out += len(piece)
        self.counts.stalled += stall > STALLED_S
        self.counts.worst_stall_s = max(self.counts.worst_stall_s, round(stall, 6))
        self._free_at = start + wire_s(len(sending.frame), self.baud)
        self._count(sending)

    def _count(self, sending: Sending) -> None:
        late = sending.fault is Fault.LATE
        clean = (late or sending.fault is Fault.NONE) and not sending.refusal
        self._last = sending if clean else None
        if clean:
            self._witness.answered(sending.unit, sending.question, sending.data, late)
        elif sending.fault in (Fault.NONE, Fault.LATE):
            self._witness.refused(sending.unit)
        else:
            self._witness.failed(sending.unit, sending.fault)
