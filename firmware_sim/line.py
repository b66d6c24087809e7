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
from firmware_sim.line_servers import LineServer
from firmware_sim.pacing import schedule, silence_s, wire_s
from firmware_sim.questions import Asked, Question
from firmware_sim.terminal import Terminal
from firmware_sim.units import LinkCounts, Unit
from firmware_sim.witness import Witness

PR_SET_TIMERSLACK = 29
TIMER_SLACK_NS = 2_000
"""Linux lets a sleeper oversleep by 50 µs to save power: half a character at 115200 baud."""
PREAMBLE = b"\xfe"
"""What meters send in front of a frame; no Modbus unit has the number 254."""
CROWDED_TOLERANCE_S = 0.0005
"""A thread may be told of a byte this much late; finer than that nobody can say that a silence was too short."""
STALLED_S = 0.01
"""Far more than a busy machine's scheduler takes; a master that waits 50 ms for the next byte still accepts it."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A reply on its way at `baud`: `data` is the payload of a clean read, `refusal` the unit's own exception; without
    a `unit` it is what several made of each other's answers."""

    unit: Unit | None
    question: Question
    frame: bytes
    baud: int
    fault: Fault = Fault.NONE
    refusal: bool = False
    data: bytes = b""


class Line:
    """The wire at `path`, served from `start` to `stop`; `turnaround_s` lies between question and answer.

    `baud` is what the port is set to before a master opens it; each server has its units' own.
    """

    def __init__(
        self,
        path: Path,
        baud: int,
        turnaround_s: float,
        units: Sequence[Unit],
        servers: Sequence[LineServer],
        witness: Witness,
        clock: Clock,
    ) -> None:
        self.path = path
        self.baud = baud
        self.counts = LinkCounts()
        self._turnaround_s = turnaround_s
        self._units = {unit.address: unit for unit in units}
        self._servers = servers
        self._witness = witness
        self._clock = clock
        self._due: list[tuple[float, int, Sending]] = []
        self._free_at = 0.0
        self._ready_at: dict[int | str, float] = {}
        self._held_until = 0.0  # when the line will have been silent behind what was heard; 0.0: it has
        self._half = False  # what was heard is no whole question yet
        self._speed = baud
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
            assert sent.unit is not None
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
            elif self._held_until and now >= self._held_until:
                self._forget()
            if self._due and self._due[0][0] <= self._clock.monotonic():
                at, _, sending = heapq.heappop(self._due)
                self._send(max(at, self._free_at), sending)

    def _patience(self) -> float | None:
        """Seconds until something is due on this line; None when only the master can change anything."""
        moments = [self._due[0][0]] if self._due else []
        if self._held_until:
            moments.append(self._held_until)
        return max(0.0, min(moments) - self._clock.monotonic()) if moments else None

    def _hear(self, now: float) -> None:
        """Bytes from the master have begun to travel: on the wire they are over only after their time."""
        data = self._terminal.read()
        speed = self._terminal.speed() or self.baud
        if speed != self._speed:
            self._forget()
            self._speed = speed
        silence = silence_s(speed)
        self.counts.bytes_in += len(data)
        if not self._half and now < self._free_at + silence - CROWDED_TOLERANCE_S:
            self.counts.crowded += 1
        self._free_at = max(now, self._free_at) + wire_s(len(data), speed)
        listening = [server for server in self._servers if server.line.baud == speed]
        if not listening:
            self.counts.wrong_speed += 1
            return
        self._held_until, self._half = self._free_at + silence, True
        for server in listening:
            for asked in server.hear(data):
                self._understood(asked, speed)

    def _forget(self) -> None:
        """The line was silent: what nobody has understood by now is noise."""
        self.counts.noise += self._half
        self._held_until, self._half = 0.0, False
        for server in self._servers:
            server.silence()

    def _understood(self, asked: Asked, baud: int) -> None:
        """A question: somebody's, everybody's or nobody's."""
        self._half = False
        self.counts.questions += 1
        if asked.crowd:
            self.counts.collisions += 1
            self._put(self._free_at + self._turnaround_s, Sending(None, asked.question, asked.reply, baud))
            return
        unit = self._units.get(asked.question.unit)
        if unit is None or not asked.reply:
            self.counts.strangers += 1
            return
        self._witness.asked(unit)
        self._plan(unit, asked, baud)

    def _plan(self, unit: Unit, asked: Asked, baud: int) -> None:
        """Draw this question's fate and put what comes of it in the line's diary."""
        fault, plan, reply = unit.misfortune.next(), unit.misfortune.plan, asked.reply
        if fault in (Fault.DEAD, Fault.SILENT):
            self._witness.failed(unit, fault)
            return
        if fault is Fault.EXCEPTION:
            reply = asked.refuse(plan.code)
        elif fault in (Fault.BAD_CHECKSUM, Fault.TRUNCATED):
            bare = reply.lstrip(PREAMBLE)  # outside the check, so no harm would come of harming it
            reply = reply[: len(reply) - len(bare)] + unit.misfortune.damage(fault, bare)
        wait = self._turnaround_s + (plan.delay_ms / 1000 if fault is Fault.LATE else 0.0)
        # A unit is one loop: it answers in the order in which it was asked, so a slow answer holds up the next.
        at = max(self._free_at + wait, self._ready_at.get(unit.address, 0.0))
        self._ready_at[unit.address] = at
        self._put(at, Sending(unit, asked.question, reply, baud, fault, asked.refused, asked.data))

    def _put(self, at: float, sending: Sending) -> None:
        heapq.heappush(self._due, (at, self.counts.questions, sending))

    def _send(self, start: float, sending: Sending) -> None:
        """Write the frame piece by piece, each when its last byte is over; it counts when all of it is out."""
        stall = 0.0
        if self._terminal.speed() not in (sending.baud, 0):  # the master has gone to another speed: it hears noise
            self.counts.wrong_speed += 1
            return
        for after, piece in schedule(sending.frame, sending.baud):
            wait = start + after - self._clock.monotonic()
            stall = max(stall, -wait)
            if wait > 0:
                time.sleep(wait)
            if not self._terminal.write(piece):
                return
            self.counts.bytes_out += len(piece)
        self.counts.stalled += stall > STALLED_S
        self.counts.worst_stall_s = max(self.counts.worst_stall_s, round(stall, 6))
        self._free_at = start + wire_s(len(sending.frame), sending.baud)
        if sending.unit is not None:
            self._count(sending, sending.unit)

    def _count(self, sending: Sending, unit: Unit) -> None:
        late = sending.fault is Fault.LATE
        clean = (late or sending.fault is Fault.NONE) and not sending.refusal
        self._last = sending if clean else None
        if clean:
            self._witness.answered(unit, sending.question, sending.data, late)
        elif sending.fault in (Fault.NONE, Fault.LATE):
            self._witness.refused(unit)
        else:
            self._witness.failed(unit, sending.fault)
