"""One bus: whoever owns it asks one question at a time, and every byte that arrives is accounted for.

`exchange` keeps the silent interval, waits for the answer with a time-out to its first byte and one between
bytes, asks again after a damaged answer (never after silence: a second question would only make the muddle
worse), and obeys the quarantine of late replies. The world's troubles come back as an `Outcome` with a
reason. It refuses two questions at once, and to reopen itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from device_profiles.clock import Clock
from device_profiles.exchange import Answer
from device_profiles.ledger import Ledger, count
from device_profiles.profiles import LineSettings
from device_profiles.quality import Reason
from device_profiles.reads import PlannedRead
from edge_agent.clock import stamp
from edge_agent.links import Link, line_of
from edge_agent.quarantine import Asked, Quarantine
from edge_agent.questions import Pending, Question, make_framing
from edge_agent.strays import Strays
from edge_agent.usage import LinkUsage

#: Seconds of silence inside a frame after which the rest is not waited for: several USB adapter latencies (16
#: ms each).
BYTE_GAP = 0.05
#: Seconds after which the beginning of a frame is noise: a stalled adapter may deliver the rest after we gave it up.
UNFINISHED_SECONDS = 0.5
#: Reasons after which the same question is asked again: the unit did answer, the line damaged it.
RETRIED = frozenset({Reason.BAD_CHECKSUM, Reason.TRUNCATED})

Tape = Callable[[str, bytes], None]


class Outcome(NamedTuple):
    """What became of a question. `answer` is None when there is none, then `reason` says why; `at`: UTC
    µs, when the last byte came or hope ended; `cost`: seconds of the bus; `free_at`: not 0.0 when
    quarantine forbade to ask before that time."""

    answer: Answer | None
    reason: Reason
    at: int
    cost: float
    free_at: float = 0.0


class Bus:
    """The one owner of a link. `ledger` learns of answers that are not used; `tape` hears every byte, both
    ways."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        ledger: Ledger,
        retries: int = 1,
        tape: Tape | None = None,
        protocols: Sequence[str] = ("modbus",),
        usage: LinkUsage | None = None,
    ) -> None:
        """`protocols`: those of the units on this link; `usage`: where it is written down what became of each
        question."""
        self.usage = usage or LinkUsage()
        self.link = link
        self.up = False
        self.trouble = "not opened yet"
        self.silent_since_heard = 0
        self._clock = clock
        self._ledger = ledger
        self._retries = retries
        self._tape = tape
        self._framing = make_framing(link.target.framing, protocols)
        self._own_line = line_of(link.target)
        self._quarantine = Quarantine()
        self.strays = Strays(self._framing, self._quarantine, ledger, self.usage)
        self._is_stream = link.target.framing == "tcp"
        self._gap = BYTE_GAP if link.target.kind == "serial" else 2 * BYTE_GAP
        self._busy_until = 0.0
        self._question: Question | None = None
        self._pending: Pending | None = None
        self._result: asyncio.Future[tuple[Answer | None, Reason]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._first_deadline = 0.0
        self._deadline = 0.0
        self._at = 0
        self._sent = 0.0
        self._round_trip = 0.0

    @property
    def may_be_half_open(self) -> bool:
        """True on a TCP connection that was asked and has said nothing since: the other end may be long
        gone."""
        return self._is_stream and self.silent_since_heard > 0

    async def open(self) -> bool:
        """Open the link; False, with the reason in `trouble`, when that fails."""
        self.strays.forget()
        self.silent_since_heard = 0
        if self._is_stream:
            self._quarantine.forget()
        self.trouble = await self.link.open(self)
        self.up = not self.trouble
        return self.up

    def close(self) -> None:
        """Close the link at once."""
        self.link.close()
        self.up = False
        self.trouble = "closed"

    async def exchange(self, question: Question) -> Outcome:
        """Ask, and again after a damaged answer. Quarantine may ask something shorter first, or forbid to
        ask now."""
        began = self._clock.monotonic()
        if self._quarantine.free_at(question.unit, question.shape, began) > began:
            blocked = await self._resync(question, began)
            if blocked is not None:
                return blocked
        for _ in range(1 + self._retries):
            answer, reason = await self._attempt(question)
            if reason not in RETRIED or self._is_stream:
                break
        return Outcome(answer, reason, self._at, self._clock.monotonic() - began)

    async def ask_once(self, question: Question) -> Outcome:
        """One attempt, whatever comes of it: for probes of a unit that is probably dead."""
        began = self._clock.monotonic()
        free_at = self._quarantine.free_at(question.unit, question.shape, began)
        if free_at > began:
            return Outcome(None, Reason.LATE, stamp(self._clock), 0.0, free_at)
        answer, reason = await self._attempt(question)
        return Outcome(answer, reason, self._at, self._clock.monotonic() - began)

    async def settle(self) -> None:
        """Wait for the late answers that may still come, so that they are counted; at most their late
        window."""
        while self.up:
            self.strays.judge(final=False)
            left = self._quarantine.last_chance() - self._clock.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(left, BYTE_GAP) + 1e-4)
        self.strays.judge(final=True)

    async def _resync(self, question: Question, began: float) -> Outcome | None:
        """Make the unit answer in another shape. None when the past is past, else why the question cannot
        be asked."""
        for shorter in question.instead:
            if self._quarantine.free_at(shorter.unit, shorter.shape, began) > began:
                continue
            answer, reason = await self._attempt(shorter)
            if answer is None:
                return Outcome(None, reason, self._at, self._clock.monotonic() - began)
            if not answer.exception:
                count(self._ledger.discarded, Reason.RESYNC.word, shorter.readings)
            return None
        free_at = self._quarantine.free_at(question.unit, question.shape, began)
        return Outcome(None, Reason.LATE, stamp(self._clock), 0.0, free_at)

    async def _attempt(self, question: Question) -> tuple[Answer | None, Reason]:
        """One question on the wire, written down in `usage`; every way to ask leads through here."""
        self.usage.begin(self._clock.monotonic())
        try:
            answer, reason = await self._ask(question)
        finally:
            self.usage.end(self._clock.monotonic())
        if answer is None:
            self.usage.missed(question.unit, reason)
        elif answer.exception:
            self.usage.missed(question.unit, Reason.EXCEPTION)
        else:
            self.usage.heard(question.unit, self._round_trip)
        return answer, reason

    async def _ask(self, question: Question) -> tuple[Answer | None, Reason]:
        await self._silence()
        await self._tune(question.line or self._own_line)
        # An unfinished frame goes on inside this exchange, unless it has been left alone for too long.
        idle = self._clock.monotonic() - self._busy_until
        self.strays.judge(final=not self._is_stream and idle > UNFINISHED_SECONDS)
        if not self.up:
            self._at = stamp(self._clock)
            return None, Reason.LINK_DOWN
        result = self._send(question)
        answer = None
        try:
            answer, reason = await result
        finally:
            self._set_aside(answered=answer is not None)
        self._remember(question, answer, reason)
        if self._is_stream and reason in (Reason.TRUNCATED, Reason.MALFORMED):
            self._resign(reason)
        return answer, reason

    def _send(self, question: Question) -> asyncio.Future[tuple[Answer | None, Reason]]:
        pending = self._framing.ask(question)
        if unfinished := self.strays.take():
            pending.feed(unfinished)
        result: asyncio.Future[tuple[Answer | None, Reason]] = asyncio.get_running_loop().create_future()
        self._question, self._pending, self._result = question, pending, result
        request = pending.request()
        self._hear(">>", request)
        self._sent = self._clock.monotonic()
        self.link.send(request)
        self._busy_until = self._sent + len(request) * self.link.target.byte_seconds
        self._first_deadline = self._busy_until + question.timeout
        self._arm(self._first_deadline)
        return result

    def _resign(self, reason: Reason) -> None:
        """A TCP stream that lost its frame boundaries never finds them again: only a new connection helps."""
        self.link.close()
        self.link_lost(f"the stream is no Modbus TCP any more ({reason.word})")

    def _remember(self, question: Question, answer: Answer | None, reason: Reason) -> None:
        until = self._clock.monotonic() + question.late
        asked = Asked(question.unit, question.shape, question.readings, until, self._framing.transaction)
        if answer is not None:
            self._quarantine.answered(asked)
        elif reason is not Reason.LINK_DOWN:
            self._quarantine.unanswered(asked)
            self.silent_since_heard += 1

    async def _tune(self, line: LineSettings) -> None:
        """Bring the port to the unit's speed and parity. What still owes an answer at the old speed is waited for
        first: at the new one its bytes would be noise, and its reading neither used nor counted."""
        if not self.up or line_of(self.link.target) == line:
            return
        while self.up:
            self.strays.judge(final=False)
            left = self._quarantine.last_chance() - self._clock.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(left, BYTE_GAP) + 1e-4)
        self.strays.judge(final=True)
        self.link.tune(line)
        await self._silence()

    async def _silence(self) -> None:
        """The silent interval between two frames, since the last byte either way."""
        pause = self.link.target.silence_seconds
        while True:
            wait = self._busy_until + pause - self._clock.monotonic()
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def bytes_came(self, data: bytes) -> None:
        """See `links.Receiver`."""
        self._busy_until = self._clock.monotonic()
        self.silent_since_heard = 0
        self._hear("<<", data)
        pending = self._pending
        if pending is None:
            self.strays.add(data)
            return
        pending.feed(data)
        self._judge(pending.take())
        if further := pending.next_request():
            self._go_on(further)
            return
        gap = self._patience()
        if self._pending is pending and pending.started and self._busy_until + gap < self._deadline:
            self._arm(self._busy_until + gap)

    def _go_on(self, request: bytes) -> None:
        """The answer comes in parts, and the next must be asked for: the same unit, a new time-out."""
        question = self._question
        assert question is not None
        self._hear(">>", request)
        self.link.send(request)
        self._busy_until = self._clock.monotonic() + len(request) * self.link.target.byte_seconds
        self._first_deadline = self._busy_until + question.timeout
        self._arm(self._first_deadline)

    def link_lost(self, why: str) -> None:
        """See `links.Receiver`."""
        self.up = False
        self.trouble = why
        self._finish(None, Reason.LINK_DOWN)

    def _judge(self, answer: Answer | None) -> None:
        """Accept an answer, unless it is an exception that may belong to an older question: that one is
        set aside."""
        question, pending = self._question, self._pending
        if answer is None or question is None or pending is None:
            return
        now = self._clock.monotonic()
        if answer.exception and self._quarantine.doubts_exception(question.unit, question.shape[0], now):
            self.strays.add_unused(pending)
            self._pending = self._framing.ask(question)
            self._pending.feed(pending.rest)
            self._judge(self._pending.take())
        else:
            self._finish(answer, Reason.NONE)

    def _finish(self, answer: Answer | None, reason: Reason) -> None:
        if self._result is not None and not self._result.done():
            self._at = stamp(self._clock)
            self._round_trip = self._clock.monotonic() - self._sent
            self._result.set_result((answer, reason))

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = deadline
        delay = max(0.0, deadline - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._time_is_up)

    def _time_is_up(self) -> None:
        """A deadline passed: go on waiting when bytes came meanwhile, else conclude."""
        pending = self._pending
        if pending is None:
            return
        now = self._clock.monotonic()
        damaged = pending.started and pending.conclude() in RETRIED
        still = self._busy_until + self._patience() if damaged else self._first_deadline
        if still > now:
            self._arm(still)
            return
        self._judge(pending.take(silent=True))
        if self._pending is not None:
            self._finish(None, self._pending.conclude())

    def _patience(self) -> float:
        """Seconds of silence inside a frame after which the rest is not waited for: a meter may pause longer."""
        read = self._question.read if self._question is not None else None
        return max(self._gap, read.byte_gap) if isinstance(read, PlannedRead) else self._gap

    def _set_aside(self, answered: bool) -> None:
        """The exchange is over: what it did not use joins the bytes that nobody waits for."""
        pending, self._pending = self._pending, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if pending is None:
            return
        self.strays.add_unused(pending)
        if answered:
            self.strays.judge(final=True)  # what came before an answer has ended
        self.strays.add(pending.rest)

    def _hear(self, mark: str, data: bytes) -> None:
        if self._tape is not None:
            self._tape(mark, data)
