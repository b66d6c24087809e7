"""Units that must be started before they can be read: start, warm up, read, stop, as one cycle on the line's agenda.

Each exchange is a turn of its own, and while the unit warms up the bus is everybody's. A step is sent once: never again
after silence or a damaged answer, for it may have been obeyed. Refuses to know links and sites.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Sequence

import msgspec

from edge_agent.agenda import Job
from edge_agent.bus import Bus, Outcome
from edge_agent.questions import Question

_log = logging.getLogger("kuimen.agent")

#: Of the fastest period: reads due within it go with the cycle in hand.
_TOGETHER = 0.5


class Routine(msgspec.Struct, frozen=True):
    """A unit's sequence as questions: `start`, then `wait` seconds, reads, `stop`."""

    start: tuple[Question, ...]
    wait: float
    stop: tuple[Question, ...] = ()


class _Phase(enum.Enum):
    IDLE = enum.auto()
    START = enum.auto()
    READ = enum.auto()
    STOP = enum.auto()


class Cycle:
    """The jobs of one unit with a sequence; those that are due are read in one go."""

    def __init__(self, jobs: Sequence[Job], routine: Routine) -> None:
        self.unit = jobs[0].unit
        self.jobs = list(jobs)
        self._routine = routine
        self._fastest = min(job.period for job in jobs)
        self._phase = _Phase.IDLE
        self._steps: list[Question] = []
        self._reads: list[Job] = []
        self._taken: list[Job] = []
        self._may_run = False

    @property
    def under_way(self) -> bool:
        """True from the first step to the last."""
        return self._phase is not _Phase.IDLE

    @property
    def period(self) -> float:
        """How long its turn may wait (see `agenda.Agenda`): not at all once the unit was started."""
        return 0.0 if self.under_way else self._fastest

    async def step(
        self, bus: Bus, now: Callable[[], float], heard: Callable[[Outcome], None], tell: Callable[[Job, Outcome], None]
    ) -> float:
        """One exchange; when to go on (monotonic seconds). `heard` learns of each outcome, `tell` of each job's."""
        if self._phase is _Phase.IDLE:
            self._begin(now())
        if self._phase is _Phase.START:
            return await self._start(bus, now, heard, tell)
        if self._phase is _Phase.READ:
            return await self._read(bus, now, heard, tell)
        return await self._stop(bus, now, heard)

    def link_lost(self) -> None:
        """Nobody knows how the unit is now: nothing more is read of it in this cycle, and it is stopped."""
        if self._phase in (_Phase.START, _Phase.READ):
            self._reads = []
            self._wind_up()

    async def break_off(self, bus: Bus) -> None:
        """The agent stops: a unit that may be running is stopped first."""
        self.link_lost()
        while self._phase is _Phase.STOP and self._steps and bus.up:
            step = self._steps.pop(0)
            if (await bus.ask_once(step)).free_at:  # not sent: an earlier step's answer may still come
                await bus.settle()
                await bus.ask_once(step)

    def _begin(self, now: float) -> None:
        self._taken = [job for job in self.jobs if job.due <= now + self._fastest * _TOGETHER]
        self._reads = list(self._taken)
        self._steps = list(self._routine.start)
        self._may_run = False
        self._phase = _Phase.START

    async def _start(
        self, bus: Bus, now: Callable[[], float], heard: Callable[[Outcome], None], tell: Callable[[Job, Outcome], None]
    ) -> float:
        probing = self.unit.breaker.is_open
        outcome = await bus.ask_once(self._steps[0])
        if outcome.free_at:
            return outcome.free_at  # an earlier step's answer may still come and would pass for this one's
        heard(outcome)
        answer = outcome.answer
        self._may_run = self._may_run or answer is None or not answer.exception
        if answer is not None and not answer.exception:
            del self._steps[0]
            if self._steps:
                return now()
            self._phase = _Phase.READ
            return now() + self._routine.wait
        for job in self._reads:
            tell(job, outcome)
        self._reads = []
        if probing and answer is None:
            self._may_run = False  # a unit that is dead is not told to stop: that would double what it costs the line
        self._wind_up()
        return now() if self._steps else self._end(now())

    async def _read(
        self, bus: Bus, now: Callable[[], float], heard: Callable[[Outcome], None], tell: Callable[[Job, Outcome], None]
    ) -> float:
        if self._reads and not self.unit.breaker.is_open:
            job = self._reads[0]
            outcome = await bus.exchange(job.question)
            if outcome.free_at:
                return outcome.free_at
            heard(outcome)
            tell(job, outcome)
            del self._reads[0]
            if self._reads:
                return now()
        self._wind_up()
        return now() if self._steps else self._end(now())

    async def _stop(self, bus: Bus, now: Callable[[], float], heard: Callable[[Outcome], None]) -> float:
        if self._steps:
            outcome = await bus.ask_once(self._steps[0])
            if outcome.free_at:
                return outcome.free_at
            heard(outcome)
            del self._steps[0]
            if outcome.answer is None or outcome.answer.exception:
                why = outcome.reason.word if outcome.answer is None else f"exception {outcome.answer.exception}"
                _log.warning("%s may not have stopped: %s", self.unit.name, why)
            if self._steps:
                return now()
        return self._end(now())

    def _wind_up(self) -> None:
        self._steps = list(self._routine.stop) if self._may_run else []
        self._phase = _Phase.STOP

    def _end(self, now: float) -> float:
        """The cycle is over; when the next one is due."""
        self._phase = _Phase.IDLE
        for job in self._taken:
            job.next_due(now)
        return min(job.due for job in self.jobs)
