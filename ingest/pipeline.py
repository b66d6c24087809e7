"""A micro-batch of messages becomes one commit: judged, stacked, converted, counted. Reads memory, changes
nothing.

A bug is contained here: where the whole micro-batch fails, each message is tried alone, and the one that
fails is kept with reason BUG, its traceback logged once; the others are stored.
"""

import logging
from collections.abc import Sequence
from typing import cast

import msgspec

from device_profiles.envelope import Batch, decode_batch
from device_profiles.quality import Reason
from device_profiles.receipts import Outcome
from ingest.acceptance import Tentative
from ingest.accounts import Key, Tally
from ingest.columns import Stack, both, other_rows
from ingest.judging import Arrival, Verdict, judge
from ingest.memory import Memory
from ingest.rows import BatchRow, Commit, GapRow, KeptRow, LatestRows, OutcomeRow, ResultRow

log = logging.getLogger(__name__)

_MAX_KEPT_A_COMMIT = 64
"""A flood of rubbish is counted whole; this much of each commit's is kept."""


class Plan(msgspec.Struct):
    """What a micro-batch will change: on disk (``commit``), in memory (the rest), and what the gateways are told."""

    commit: Commit
    verdicts: list[Verdict]
    tentative: Tentative
    latest: LatestRows | None = None

    sums: dict[Key, Tally] = {}

    def tallies(self) -> dict[Key, Tally]:
        """Batches and readings by gateway, outcome and reason; a batch that cannot be read counts no readings."""
        if not self.sums:
            for v in self.verdicts:
                tally = self.sums.setdefault((v.arrival.gateway, v.outcome, v.reason), Tally())
                tally.batches += 1
                tally.readings += v.batch.count if v.batch else 0
        return self.sums


class Pipeline:
    """Plans micro-batches against one memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._logged: set[tuple[str, int]] = set()

    def plan(self, arrivals: Sequence[Arrival], now: int) -> Plan:
        """The plan for these messages, in order. ``now``: their stored_at. Never raises for what they contain."""
        try:
            return self._plan(arrivals, now, frozenset())
        except Exception:  # noqa: BLE001 - the boundary "one batch" of DESIGN.md, Errors: we are wrong, the rest goes on
            return self._plan(arrivals, now, frozenset(self._culprits(arrivals, now)))

    def _culprits(self, arrivals: Sequence[Arrival], now: int) -> list[int]:
        culprits = []
        for position, arrival in enumerate(arrivals):
            try:
                self._plan([arrival], now, frozenset())
            except Exception as trouble:  # noqa: BLE001 - as above
                culprits.append(position)
                self._log_once(trouble, arrival)
        return culprits

    def _log_once(self, trouble: Exception, arrival: Arrival) -> None:
        trace = trouble.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else ("", 0)
        if place not in self._logged:
            self._logged.add(place)
            log.error("a batch of %s met a bug; its bytes are kept", arrival.gateway, exc_info=trouble)

    def _plan(self, arrivals: Sequence[Arrival], now: int, culprits: frozenset[int]) -> Plan:
        tentative = Tentative(self._memory.acceptance)
        registry = self._memory.registry
        verdicts = [
            judge(arrival, registry, tentative) if position not in culprits else _bug(arrival)
            for position, arrival in enumerate(arrivals)
        ]
        plan = Plan(Commit(now), verdicts, tentative)
        accepted = self._stack(plan)
        self._account(plan, accepted)
        return plan

    def _stack(self, plan: Plan) -> list[Verdict]:
        """Fill in the readings; batches with faults in their columns become rejected on the way."""
        accepted = [v for v in plan.verdicts if v.outcome is Outcome.STORED]
        aliases = self._memory.registry.aliases()
        stack = Stack(accepted, aliases) if accepted else None
        if stack and (faults := stack.faults()):
            for position, reason in faults.items():
                _reject(accepted[position], reason, plan.tentative)
            accepted = [v for v in accepted if v.outcome is Outcome.STORED]
            stack = Stack(accepted, aliases) if accepted else None
        if stack is None:
            return accepted
        first = self._memory.next_batch
        rows = stack.rows(first)
        if any(v.columns is not None and v.columns.others for v in accepted):
            others, plan.commit.texts = other_rows(accepted, aliases, first, len(rows.at))
            rows = both(rows, others)
        if len(rows.at):
            plan.commit.readings = rows
            plan.latest = self._memory.latest.newer(rows, plan.commit.texts, plan.commit.stored_at)
        return accepted

    def _account(self, plan: Plan, accepted: list[Verdict]) -> None:
        """Fill in the ledger's rows: stored batches one by one, everything else summed."""
        memory, commit = self._memory, plan.commit
        names = memory.names.plan()
        for no, verdict in enumerate(accepted, memory.next_batch):
            b, arrival = cast(Batch, verdict.batch), verdict.arrival
            gateway, origin = names.number(arrival.gateway), names.number(b.origin)
            commit.batches.append(
                BatchRow(no, gateway, origin, b.epoch, b.seq, b.lane, b.count, arrival.received_at)
            )
            if verdict.columns is not None and verdict.columns.gaps:
                commit.gaps.extend(GapRow(no, gap) for gap in verdict.columns.gaps)
            if verdict.columns is not None and verdict.columns.results:
                told = {(row.gateway, row.result.id) for row in commit.results}
                fresh = {result.id: result for result in verdict.columns.results}
                commit.results.extend(
                    ResultRow(no, arrival.gateway, result)
                    for id_, result in fresh.items()
                    if (arrival.gateway, id_) not in told
                )
        commit.names = names.new
        refused = [(key, tally) for key, tally in plan.tallies().items() if key[1] is not Outcome.STORED]
        commit.outcomes = [
            OutcomeRow(no, *key, tally.batches, tally.readings)
            for no, (key, tally) in enumerate(refused, memory.next_outcome)
        ]
        commit.origins = memory.newest_manifests(accepted)
        self._keep(plan)

    def _keep(self, plan: Plan) -> None:
        aside = [v for v in plan.verdicts if v.keep][:_MAX_KEPT_A_COMMIT]
        first = self._memory.kept.next_no
        plan.commit.kept = [
            KeptRow(no, v.arrival.topic, v.reason, v.arrival.received_at, v.arrival.payload)
            for no, v in enumerate(aside, first)
        ]
        plan.commit.forget_kept = self._memory.kept.room_for([len(row.data) for row in plan.commit.kept])


def _bug(arrival: Arrival) -> Verdict:
    try:  # the gateway should learn the fate of its batch by name, if it can be read
        batch = decode_batch(arrival.payload)
    except Exception:  # noqa: BLE001 - decoding itself may be what is broken
        batch = None
    return Verdict(arrival, Outcome.REJECTED, Reason.BUG, batch, keep=True)


def _reject(verdict: Verdict, reason: Reason, tentative: Tentative) -> None:
    verdict.outcome, verdict.reason, verdict.keep = Outcome.REJECTED, reason, True
    if verdict.batch is not None:
        tentative.names.discard(verdict.batch.name)
