"""The one task that moves what arrived into the store: pack by pack, receipts after the commit, then the
streams.

The owner's thread plans and writes; the loop changes the memory afterwards. While the store is down the same
commit is tried again, nothing is taken from the inbox and no receipt goes out.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from device_profiles.clock import Clock
from device_profiles.envelope import EnvelopeError
from device_profiles.quality import Reason
from device_profiles.receipts import Receipt, Unreadable, digest_of, encode_receipts
from ingest.accounts import NO_GATEWAY
from ingest.answers import rows_body
from ingest.changes import Changes
from ingest.gateways import Gateways, StateError
from ingest.inbox import Inbox, Message
from ingest.judging import Arrival, Verdict
from ingest.loading import settle, sum_up
from ingest.memory import Memory
from ingest.pipeline import Pipeline, Plan
from ingest.registry import Registration
from ingest.rows import CommandRow, ResultRow, StoreDown
from ingest.sorting import Sorter, announcement, stray
from ingest.store_duckdb import DuckdbStore

log = logging.getLogger(__name__)

CHECKPOINT_S = 30.0
CHECKPOINT_BATCHES = 100_000
"""How much a start after kill -9 may have to read again."""

LONGEST_WAIT_S = 5.0

Result = TypeVar("Result")
Send = Callable[[str, bytes], Awaitable[None]]


class Stopped(Exception):
    """The worker was told to stop while the store was down; what was not committed was not acknowledged."""


class Worker:
    """Owns memory and store."""

    def __init__(
        self,
        store: DuckdbStore,
        memory: Memory,
        gateways: Gateways,
        sorter: Sorter,
        changes: Changes,
        send: Send,
        clock: Clock,
        owner: ThreadPoolExecutor,
        stop: asyncio.Event,
    ) -> None:
        self.memory = memory
        self.gateways = gateways
        self._store = store
        self._pipeline = Pipeline(memory)
        self._sorter = sorter
        self._changes = changes
        self._send = send
        self._clock = clock
        self._owner = owner
        self._stop = stop
        self._checkpointed = (clock.monotonic(), memory.next_batch)
        self.in_hand = 0
        self.store_down = ""
        self.on_results: Callable[[Sequence[ResultRow]], None] = lambda rows: None
        """Told what became of commands, after the commit that holds it."""

    async def run(self, inbox: Inbox) -> None:
        """Until the inbox is closed and drained. Ends early, without receipts, when the store is down at the stop."""
        try:
            while pack := await inbox.pack():
                await self._pack(pack)
                await self._checkpoint_when_due()
            await self.checkpoint()
        except Stopped:
            log.error("stopped while the store is down (%s): gateways keep what was not stored", self.store_down)

    async def _pack(self, pack: Sequence[Message]) -> None:
        arrivals: list[Arrival] = []
        states: dict[str, Arrival] = {}
        self.in_hand = len(pack)
        for message in pack:
            kind, arrival = self._sorter.sort(message)
            if kind == "state":
                states[arrival.gateway] = arrival
            elif kind == "manifest":
                await self._batches(arrivals)  # a manifest changes what the batches behind it mean
                arrivals = await self._manifests(arrival)
            else:
                arrivals.append(arrival)
        await self._batches(arrivals)
        await self._batches([odd for state in states.values() if (odd := self._state(state)) is not None])
        self.in_hand = 0

    def _state(self, arrival: Arrival) -> Arrival | None:
        try:
            self.gateways.take(arrival.gateway, arrival.payload, self.memory.accounts.stored(arrival.gateway))
        except StateError as trouble:
            log.warning("state of %s: %s", arrival.gateway, trouble)
            return stray(arrival, Reason.MALFORMED)
        return None

    async def _manifests(self, arrival: Arrival) -> list[Arrival]:
        """Register what is new; what cannot be read comes back as a stray."""
        try:
            plan = self.memory.registry.plan(arrival.gateway, announcement(arrival).manifests)
        except EnvelopeError as trouble:
            log.warning("manifests of %s: %s", arrival.gateway, trouble)
            return [stray(arrival, trouble.reason)]
        except ValueError as trouble:
            log.warning("manifests of %s: %s", arrival.gateway, trouble)
            return [stray(arrival, Reason.MALFORMED)]
        if plan:
            await self._register(plan)
        return []

    async def _register(self, plan: Registration) -> None:
        await self._persist(lambda: self._store.register(plan))
        self.memory.register(plan)
        self._changes.devices()

    async def _batches(self, arrivals: Sequence[Arrival]) -> None:
        if not arrivals:
            return
        now = self._clock.now()
        plan = await self._in_thread(lambda: self._pipeline.plan(arrivals, now))
        await self._persist(lambda: self._store.commit(plan.commit))
        self.memory.apply(plan)
        await self._tell(plan, now)

    async def _tell(self, plan: Plan, now: int) -> None:
        if plan.commit.origins:
            self._changes.devices()
        if plan.commit.results:
            self.on_results(plan.commit.results)
        if plan.latest is not None and len(plan.latest.series) and len(self._changes):
            self._changes.readings(len(plan.latest.series), rows_body(now, plan.latest))
        others = []
        for verdict in plan.verdicts:
            answer = verdict.arrival.answer
            if answer is None:
                others.append(verdict)
            else:
                answer(next(iter(receipts_of([verdict]).values())))
        for gateway, payload in receipts_of(others).items():
            await self._send(gateway, payload)

    async def add_command(self, row: CommandRow) -> None:
        """Store a command that was given; StoreDown when that cannot be now."""
        await self._in_thread(lambda: self._store.add_command(row))

    async def _persist(self, write: Callable[[], None]) -> None:
        """Write, and try again for as long as it takes. Stopped when the worker is to end meanwhile."""
        wait = 0.1
        while True:
            try:
                await self._in_thread(write)
            except StoreDown as trouble:
                if not self.store_down:
                    log.error("the store is down, nothing is acknowledged: %s", trouble)
                self.store_down = str(trouble)
            else:
                if self.store_down:
                    log.warning("the store is back")
                self.store_down = ""
                return
            if self._stop.is_set():
                raise Stopped
            with suppress(TimeoutError):
                async with asyncio.timeout(wait * random.uniform(0.5, 1)):
                    await self._stop.wait()
            wait = min(wait * 2, LONGEST_WAIT_S)

    async def _checkpoint_when_due(self) -> None:
        at, batches = self._checkpointed
        due = self._clock.monotonic() - at > CHECKPOINT_S or self.memory.next_batch - batches > CHECKPOINT_BATCHES
        if due:
            await self.checkpoint()

    async def checkpoint(self) -> None:
        """Write the sums down. A failure is logged and costs the next start some reading, nothing else."""
        self._checkpointed = (self._clock.monotonic(), self.memory.next_batch)
        try:
            await self._in_thread(lambda: self._store.checkpoint(sum_up(self.memory, self.gateways)))
        except StoreDown as trouble:
            log.warning("no checkpoint: %s", trouble)
        else:
            settle(self.memory)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._owner, work)


def receipts_of(verdicts: Sequence[Verdict]) -> dict[str, bytes]:
    """One receipt message for each gateway that sent a batch."""
    named: dict[str, list[Receipt]] = {}
    unreadable: dict[str, list[Unreadable]] = {}
    for v in verdicts:
        gateway = v.arrival.gateway
        if gateway == NO_GATEWAY:
            continue
        if v.batch is None:
            unreadable.setdefault(gateway, []).append(Unreadable(digest_of(v.arrival.payload), v.reason))
        else:
            named.setdefault(gateway, []).append(Receipt(*v.batch.name, v.outcome, v.reason))
    return {
        gateway: encode_receipts(named.get(gateway, ()), unreadable.get(gateway, ()))
        for gateway in named.keys() | unreadable.keys()
    }
