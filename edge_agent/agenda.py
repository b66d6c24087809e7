"""Whose turn it is on a line: of all reads that are due, the one whose next turn comes soonest.

So a fast point is not kept waiting by slow units, and a slow one is not starved: the longer it waits, the nearer its
next turn is (earliest deadline first, Liu and Layland 1973). It refuses to ask anybody.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from edge_agent.breaker import Breaker
from edge_agent.polls import Decoder
from edge_agent.questions import Question
from edge_agent.reporting import SpanReport


class PolledUnit:
    """One unit on the link, with its breaker and what the log should know."""

    def __init__(self, name: str, address: int | str) -> None:
        self.name = name
        self.address = address
        self.breaker = Breaker()
        self.polls = 0
        self.skipped = 0
        self.bus_seconds = 0.0


class Job:
    """One span of one unit, asked every `period` seconds."""

    def __init__(
        self,
        unit: PolledUnit,
        question: Question,
        period: float,
        decoder: Decoder,
        report: SpanReport,
    ) -> None:
        self.unit = unit
        self.question = question
        self.period = period
        self.decoder = decoder
        self.report = report
        self.due = 0.0

    def next_due(self, now: float) -> float:
        """Move to the next time on the grid after `now`; cycles that are already over are skipped and
        counted."""
        self.due += self.period
        if self.due <= now:
            missed = int((now - self.due) / self.period) + 1
            self.unit.skipped += missed
            self.due += missed * self.period
        return self.due


class Waits(Protocol):
    """What has turns: `period`, seconds that one may wait."""

    @property
    def period(self) -> float: ...


Turn = TypeVar("Turn", bound=Waits)


class Agenda(Generic[Turn]):
    """The jobs of one line (and the cycles of units with a sequence): those not due yet by their time, those due by
    their deadline."""

    def __init__(self, jobs: Iterable[Turn]) -> None:
        self._place = {id(job): place for place, job in enumerate(jobs)}
        self._later: list[tuple[float, int, Turn]] = []
        self._ready: list[tuple[float, int, Turn]] = []

    def put(self, when: float, job: Turn) -> None:
        """`job` is to be asked at `when` (monotonic seconds); each job is on the agenda once."""
        heapq.heappush(self._later, (when, self._place[id(job)], job))

    def take(self, now: float) -> Turn | None:
        """The job whose turn it is, off the agenda; None when nothing is due."""
        while self._later and self._later[0][0] <= now:
            when, place, job = heapq.heappop(self._later)
            heapq.heappush(self._ready, (when + job.period, place, job))
        return heapq.heappop(self._ready)[2] if self._ready else None

    def next_due(self) -> float:
        """When the next job is due; infinity on an empty agenda."""
        return -math.inf if self._ready else self._later[0][0] if self._later else math.inf
