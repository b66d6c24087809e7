"""One task a link: it owns the bus, asks each unit when its time has come, and passes on what it hears.

Polls lie on a fixed grid of monotonic time, so they do not drift; a cycle that could not be kept is skipped
and counted, never made up for. A unit behind an open breaker is only probed. A link that is down is reopened
with back-off. It refuses to share its bus.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from device_profiles.clock import Clock
from device_profiles.codecs.modbus_pdu import ACKNOWLEDGE, DEVICE_BUSY, GATEWAY_PATH, GATEWAY_SILENT
from device_profiles.ledger import Ledger
from device_profiles.quality import Reason
from edge_agent.agenda import Agenda, Job, PolledUnit
from edge_agent.breaker import Breaker
from edge_agent.bus import RETRIED, Bus, Outcome
from edge_agent.clock import stamp
from edge_agent.errands import Errand, Errands
from edge_agent.outbox import Outbox
from edge_agent.sequences import Cycle

_log = logging.getLogger("kuimen.agent")

#: Seconds between two attempts to open a link: a replugged adapter is back within one, a missing one costs
#: nothing at thirty.
REOPEN_FIRST, REOPEN_LONGEST = 0.5, 30.0
#: A probe that failed lets the unit's other spans go first next time, so that in the end each is asked.
_BEHIND = 0.001

_BUSY = frozenset({ACKNOWLEDGE, DEVICE_BUSY})
_NOBODY_THERE = frozenset({GATEWAY_PATH, GATEWAY_SILENT})


class LinkPoller:
    """Polls the units of one link from `run` until `stop`."""

    def __init__(
        self,
        name: str,
        bus: Bus,
        jobs: Iterable[Job],
        clock: Clock,
        ledger: Ledger,
        outbox: Outbox,
        cycles: Sequence[Cycle] = (),
    ) -> None:
        """`cycles`: those of units with a sequence, which have their `jobs` in hand."""
        self.name = name
        self.bus = bus
        self.jobs = list(jobs)
        self._clock = clock
        self._ledger = ledger
        self._outbox = outbox
        # What was asked before this link was opened (by a process that was killed) may be answered now: on a
        # line without transaction numbers it would pass for the answer to our first question, so we listen
        # until no unit can still be answering.
        longest = max((job.question.late for job in self.jobs), default=0.0)
        self._listening = longest if bus.link.target.framing == "rtu" else 0.0
        self._stopping = False
        self._nap: asyncio.Future[None] | None = None
        self._idle = False
        self._cycles = list(cycles)
        led = {id(job) for cycle in cycles for job in cycle.jobs}
        self._turns: list[Job | Cycle] = [*self._cycles, *(job for job in self.jobs if id(job) not in led)]
        self._agenda = Agenda(self._turns)
        self._errands = Errands()

    def send(self, errand: Errand) -> None:
        """A command: its turn comes before the next poll."""
        self._errands.begin(self._clock.monotonic(), errand)
        if self._idle:
            self._wake()

    def stop(self) -> None:
        """No more polls after the exchange in flight."""
        self._stopping = True
        self._wake()

    async def run(self) -> None:
        """Poll until `stop`; then wait for late replies, so that they are counted, and close the link."""
        try:
            await self._poll_all()
            for cycle in self._cycles:
                await cycle.break_off(self.bus)
            await self.bus.settle()
        finally:
            self._errands.give_up(Reason.SHUTDOWN)
            self.bus.close()

    async def _poll_all(self) -> None:
        start = self._clock.monotonic() + self._listening
        for job in self.jobs:
            job.due = start
        for turn in self._turns:
            self._agenda.put(start, turn)
        while not self._stopping:
            if not self.bus.up and not await self._open():
                return
            if self._stopping:  # before it had listened for long enough to speak
                return
            errand = self._errands.take(self._clock.monotonic())
            if errand is not None:
                await self._go(errand)
                continue
            due_now = self._agenda.take(self._clock.monotonic())
            if due_now is None:
                due = min(self._agenda.next_due(), self._errands.next_due())
                await self._sleep(min(due - self._clock.monotonic(), REOPEN_LONGEST), idle=True)
            elif isinstance(due_now, Cycle):
                self._agenda.put(await self._go_round(due_now), due_now)
            else:
                self._agenda.put(await self._poll(due_now), due_now)

    async def _open(self) -> bool:
        """Open the link, with growing pauses; each failed attempt is told as link_down. False when told to
        stop."""
        pause = REOPEN_FIRST
        for cycle in self._cycles:
            cycle.link_lost()
        while not self._stopping:
            before = self.bus.trouble
            if await self.bus.open():
                _log.info("link %s is up", self.name)
                await self._sleep(self._listening)
                return True
            if self.bus.trouble != before:
                _log.warning("link %s is down: %s", self.name, self.bus.trouble)
            at, now = stamp(self._clock), self._clock.monotonic()
            for job in self.jobs:
                job.report.failed(Reason.LINK_DOWN, at, now, self._ledger, self._outbox)
            for address in self.bus.usage.units:
                self.bus.usage.missed(address, Reason.LINK_DOWN)
            self._errands.give_up(Reason.LINK_DOWN)
            await self._sleep(pause, idle=True)
            pause = min(pause * 2, REOPEN_LONGEST)
        return False

    async def _go(self, errand: Errand) -> None:
        """One step of a command, also to a unit that is only probed: somebody wants to know."""
        unit, bus = errand.unit, self.bus
        if unit.breaker.is_open and bus.may_be_half_open:
            bus.close()  # as for a probe
            self._errands.go_on(self._clock.monotonic(), errand)
            return

        def heard(outcome: Outcome) -> None:
            unit.bus_seconds += outcome.cost
            if not outcome.free_at:
                self._note(unit.breaker, outcome, unit, self._clock.monotonic())

        when = await errand.step(bus, self._ledger, heard)
        if when is None:
            self._errands.ended(self._clock.monotonic(), errand)
        else:
            self._errands.go_on(when, errand)

    async def _poll(self, job: Job) -> float:
        """Ask one span; returns when it is to be asked again."""
        unit, breaker, bus = job.unit, job.unit.breaker, self.bus
        probing = breaker.is_open
        if probing:
            now = self._clock.monotonic()
            if now < breaker.retry_at:
                return self._not_before(job, breaker.retry_at)
            if bus.may_be_half_open:
                bus.close()  # a dead TCP connection says nothing: probe on a new one
                return now
        outcome = await (bus.ask_once(job.question) if probing else bus.exchange(job.question))
        now = self._clock.monotonic()
        unit.bus_seconds += outcome.cost
        if outcome.free_at:
            return self._not_before(job, outcome.free_at)
        unit.polls += 1
        self._note(breaker, outcome, unit, now)
        self._pass_on(job, outcome, now)
        if breaker.is_open:
            return self._not_before(job, breaker.retry_at + _BEHIND)
        return job.next_due(now)

    async def _go_round(self, cycle: Cycle) -> float:
        """One exchange of a unit with a sequence; returns when to go on."""
        unit, breaker, bus = cycle.unit, cycle.unit.breaker, self.bus
        if breaker.is_open and not cycle.under_way:
            now = self._clock.monotonic()
            if now < breaker.retry_at:
                return max(self._not_before(job, breaker.retry_at) for job in cycle.jobs)
            if bus.may_be_half_open:
                bus.close()
                return now

        def heard(outcome: Outcome) -> None:
            unit.bus_seconds += outcome.cost
            unit.polls += 1
            self._note(breaker, outcome, unit, self._clock.monotonic())

        def tell(job: Job, outcome: Outcome) -> None:
            self._pass_on(job, outcome, self._clock.monotonic())

        return await cycle.step(bus, self._clock.monotonic, heard, tell)

    def _not_before(self, job: Job, moment: float) -> float:
        """Asked at `moment`, and on its grid from then on."""
        if job.due < moment:
            job.due += int((moment - job.due) / job.period) * job.period
        return moment

    def _note(self, breaker: Breaker, outcome: Outcome, unit: PolledUnit, now: float) -> None:
        answer, reason = outcome.answer, outcome.reason
        if reason is Reason.LINK_DOWN:
            return  # says nothing about the unit
        was_open = breaker.is_open
        lives = answer.exception not in _NOBODY_THERE if answer is not None else reason in RETRIED
        if lives:
            breaker.answered()
        else:
            breaker.was_silent(now, outcome.cost)
        if breaker.is_open is not was_open:
            _log.warning("%s on %s %s", unit.name, self.name, "answers again" if was_open else "is silent: only probed")

    def _pass_on(self, job: Job, outcome: Outcome, now: float) -> None:
        answer = outcome.answer
        if answer is None:
            job.report.failed(outcome.reason, outcome.at, now, self._ledger, self._outbox)
        elif answer.exception:
            reason = Reason.BUSY if answer.exception in _BUSY else Reason.EXCEPTION
            job.report.failed(reason, outcome.at, now, self._ledger, self._outbox)
        else:
            values, codes = job.decoder.decode(answer.data)
            job.report.answered(values, codes, outcome.at, now, self._ledger, self._outbox)

    async def _sleep(self, seconds: float, idle: bool = False) -> None:
        """Sleep, or less when told to stop, or when a command comes while `idle`."""
        if self._stopping:
            return
        self._idle = idle
        loop = asyncio.get_running_loop()
        self._nap = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._nap
        finally:
            timer.cancel()
            self._nap = None
            self._idle = False

    def _wake(self) -> None:
        if self._nap is not None and not self._nap.done():
            self._nap.set_result(None)
