"""A command on its way to a unit: written once, then read back and judged by what is there.

A write is never repeated blindly: after silence or a damaged answer the point is read, for the unit may have obeyed.
The one repetition is another function after "illegal function", which is the unit's word that it did nothing. Refuses
to know links, sites and the gateway.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable

from device_profiles.clock import Clock
from device_profiles.codecs.modbus_pdu import (
    ACKNOWLEDGE,
    DEVICE_BUSY,
    GATEWAY_PATH,
    GATEWAY_SILENT,
    ILLEGAL_FUNCTION,
    Request,
)
from device_profiles.commands import MAX_TEXT, Command, CommandOutcome, CommandResult, no_value
from device_profiles.ledger import Ledger, count
from device_profiles.profiles import RegisterPoint
from device_profiles.quality import Quality, Reason
from device_profiles.spans import compile_span
from device_profiles.writes import agrees, needs_reading, read_of, wanted_data, write_of
from edge_agent.agenda import PolledUnit
from edge_agent.bus import Bus, Outcome
from edge_agent.clock import stamp
from edge_agent.questions import Question

#: Seconds after which a point that reads otherwise, or a silent unit, is looked at again: a driver that fades, a valve
#: that turns, a controller that is busy with what it was told. Polls go on meanwhile.
LOOKS = (0.3, 1.0, 3.0)

#: Exceptions of a serial server that speaks for a unit which did not (V1.1b3, 7): as good as silence.
_NOBODY = frozenset({GATEWAY_PATH, GATEWAY_SILENT})

_MEANINGS = {1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", DEVICE_BUSY: "busy"}

Place = tuple[int | str, str, int]
"""(unit, table, address): the register that is written."""

Ask = Callable[[Request, int], Question]
"""(request, readings that its answer carries) to a question of the unit."""


class Errand:
    """One command to one point of a Modbus unit, step by step. `deadline`: monotonic seconds after which it is not
    begun; `settle` is told the result, once."""

    def __init__(
        self,
        command: Command,
        unit: PolledUnit,
        point: RegisterPoint,
        readings: int,
        ask: Ask,
        deadline: float,
        clock: Clock,
        settle: Callable[[CommandResult], None],
    ) -> None:
        """`readings`: points that a read of this one carries (the other bits of its register are points, too)."""
        self.unit = unit
        self.place: Place = (unit.address, point.table, point.address)
        self._command = command
        self._point = point
        self._ask = ask
        self._reading = ask(read_of(point), readings)
        self._readings = readings
        self._deadline = deadline
        self._clock = clock
        self._settle = settle
        self._decoder = compile_span((point,), point.table, point.address, point.registers)
        self._many = False
        self._wanted = b""
        self._written = False
        self._reply = Reason.NONE
        self._looks = iter(LOOKS)

    async def step(self, bus: Bus, ledger: Ledger, heard: Callable[[Outcome], None]) -> float | None:
        """Do what can be done now; when to go on (monotonic seconds), None when the command is settled."""
        if not bus.up:
            return self._clock.monotonic()  # once the link is open again; if it cannot be opened, `give_up`
        if self._written:
            return await self._look(bus, ledger, heard)
        if self._clock.monotonic() >= self._deadline:
            self._end(CommandOutcome.EXPIRED, Reason.EXPIRED, "the line was not free in time")
            return None
        return await self._write(bus, ledger, heard)

    def give_up(self, reason: Reason) -> None:
        """It cannot be gone on with: its link is down, or the agent stops."""
        if self._written:
            self._end(CommandOutcome.UNKNOWN, reason, "written, and not read back")
        else:
            self._end(CommandOutcome.FAILED, reason, "not written")

    async def _write(self, bus: Bus, ledger: Ledger, heard: Callable[[Outcome], None]) -> float | None:
        before = b""
        if needs_reading(self._point):
            outcome = await self._read(bus, ledger, heard)
            if (later := self._later(outcome)) is not None:
                return later
            if outcome.answer is None or outcome.answer.exception:
                self._end(CommandOutcome.FAILED, _reason_of(outcome), "not written: its register cannot be read")
                return None
            before = outcome.answer.data
        self._wanted = wanted_data(self._point, self._command.value, before)
        question = self._ask(write_of(self._point, self._wanted, self._many), 0)
        outcome = await bus.ask_once(question)
        heard(outcome)
        if outcome.free_at:
            return await self._quarantined(bus, ledger, heard, outcome.free_at)
        when = self._judge(outcome)
        return await self._look(bus, ledger, heard) if self._written and bus.up else when

    async def _quarantined(
        self, bus: Bus, ledger: Ledger, heard: Callable[[Outcome], None], free_at: float
    ) -> float:
        """An earlier write is not answered yet: once the unit answers something else, that one is past."""
        outcome = await self._read(bus, ledger, heard)
        return free_at if outcome.answer is None else self._clock.monotonic()

    def _judge(self, outcome: Outcome) -> float | None:
        """What the answer to the write says. Only a look at the point says more."""
        code = outcome.answer.exception if outcome.answer is not None else 0
        if code == ILLEGAL_FUNCTION and not self._many:
            self._many = True  # the unit did nothing; many know only the functions for several values
            return self._clock.monotonic()
        if code and code != ACKNOWLEDGE and code not in _NOBODY:
            reason = Reason.BUSY if code == DEVICE_BUSY else Reason.EXCEPTION
            meaning = f" ({_MEANINGS[code]})" if code in _MEANINGS else ""
            self._end(CommandOutcome.FAILED, reason, f"the unit refuses: exception {code}{meaning}")
            return None
        self._written = True
        self._reply = Reason.TIMEOUT if code in _NOBODY else outcome.reason
        return self._clock.monotonic()

    async def _look(self, bus: Bus, ledger: Ledger, heard: Callable[[Outcome], None]) -> float | None:
        outcome = await self._read(bus, ledger, heard)
        if (later := self._later(outcome)) is not None:
            return later
        if outcome.answer is None and (pause := next(self._looks, None)) is not None:
            return self._clock.monotonic() + pause
        if outcome.answer is None or outcome.answer.exception:
            if self._reply is Reason.TIMEOUT and outcome.reason is Reason.TIMEOUT:
                self._end(CommandOutcome.FAILED, Reason.TIMEOUT, "no answer to the write, nor to a read after it")
            else:
                self._end(CommandOutcome.UNKNOWN, _reason_of(outcome), "written, and cannot be read back")
            return None
        return self._compare(outcome.answer.data)

    def _compare(self, data: bytes) -> float | None:
        values, codes = self._decoder.decode(data)
        bad = codes[0] >> 6 == Quality.BAD
        value = None if bad or not isinstance(values[0], (int, float)) else float(values[0])
        if agrees(self._point, self._wanted, data):
            said = "" if not self._reply else f"the write was not answered ({self._reply.word})"
            self._tell(CommandOutcome.DONE, value, codes[0], said)
            return None
        pause = next(self._looks, None)
        if pause is not None:
            return self._clock.monotonic() + pause
        found = "no value" if value is None else f"{value:g} {self._point.unit}"
        self._tell(CommandOutcome.FAILED, value, codes[0], f"it reads {found} after the write")
        return None

    def _later(self, outcome: Outcome) -> float | None:
        """When to read again: the quarantine forbade it, or the link was lost over it."""
        if outcome.free_at:
            return outcome.free_at
        return self._clock.monotonic() if outcome.reason is Reason.LINK_DOWN else None

    async def _read(self, bus: Bus, ledger: Ledger, heard: Callable[[Outcome], None]) -> Outcome:
        """Look at the point. The values are answered, and are no poll's: counted as not used."""
        outcome = await bus.exchange(self._reading)
        heard(outcome)
        if outcome.answer is not None and not outcome.answer.exception:
            count(ledger.discarded, Reason.RESYNC.word, self._readings)
        return outcome

    def _end(self, outcome: CommandOutcome, reason: Reason, text: str) -> None:
        self._settle(no_value(self._command.id, stamp(self._clock), outcome, reason, text))

    def _tell(self, outcome: CommandOutcome, value: float | None, code: int, text: str) -> None:
        at = stamp(self._clock)
        self._settle(CommandResult(self._command.id, at, outcome, value, code, text[:MAX_TEXT]))


def _reason_of(outcome: Outcome) -> Reason:
    return outcome.reason if outcome.answer is None else Reason.EXCEPTION


class Errands:
    """The commands of one link: first come, first served, and before every poll.

    Those to one register follow each other: the next is not begun before the last has been judged by what is there.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Errand]] = []
        self._numbers = itertools.count()
        self._behind: dict[Place, deque[Errand]] = {}
        """By register, while one is under way there: those that come after it."""

    def begin(self, now: float, errand: Errand) -> None:
        """A new one: its turn is now, or when those before it at its register have ended."""
        if errand.place in self._behind:
            self._behind[errand.place].append(errand)
        else:
            self._behind[errand.place] = deque()
            self.go_on(now, errand)

    def go_on(self, when: float, errand: Errand) -> None:
        """One that was begun is to go on at `when` (monotonic seconds)."""
        heapq.heappush(self._waiting, (when, next(self._numbers), errand))

    def ended(self, now: float, errand: Errand) -> None:
        """It is settled: the next at its register begins."""
        behind = self._behind[errand.place]
        if behind:
            self.go_on(now, behind.popleft())
        else:
            del self._behind[errand.place]

    def take(self, now: float) -> Errand | None:
        """The one whose turn it is; None when none is due."""
        return heapq.heappop(self._waiting)[2] if self._waiting and self._waiting[0][0] <= now else None

    def next_due(self) -> float:
        """When the next one is due; infinity where none waits."""
        return self._waiting[0][0] if self._waiting else math.inf

    def give_up(self, reason: Reason) -> None:
        """Settle all of them: see `Errand.give_up`."""
        waiting = [errand for _, _, errand in self._waiting]
        waiting += [errand for behind in self._behind.values() for errand in behind]
        self._waiting, self._behind = [], {}
        for errand in waiting:
            errand.give_up(reason)
