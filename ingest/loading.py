"""Memory is rebuilt from the store at start: sums first, then the tail of batches behind them.

After kill -9 this is the only truth: what was committed is known, what was not never happened.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from device_profiles.manifests import Manifest
from device_profiles.quality import Reason
from device_profiles.receipts import Outcome
from ingest.commands import GRACE_S
from ingest.gateways import Gateways
from ingest.memory import Memory
from ingest.queries import OPEN_COMMANDS
from ingest.registry import Series
from ingest.rows import Checkpoint, CommandRow, LatestRows
from ingest.store_duckdb import DuckdbStore


def load_memory(store: DuckdbStore) -> tuple[Memory, Gateways]:
    """Everything a worker must know, as of the last commit. StoreDown when it cannot be read."""
    memory, gateways = Memory(), Gateways()
    names = {row[0]: row[1] for row in _rows(store, "SELECT id, name FROM names")}
    memory.names.numbers.update((name, number) for number, name in names.items())
    _load_registry(store, memory)
    _load_acceptance(store, memory, names)
    _load_accounts(store, memory, names)
    _load_kept(store, memory)
    _load_latest(store, memory)
    for _, body in _rows(store, "SELECT gateway, body FROM states"):
        gateways.load(bytes(body))
    return memory, gateways


def open_commands(store: DuckdbStore, now: int) -> list[CommandRow]:
    """Commands without a result that are still to be said. StoreDown when they cannot be read."""
    return [CommandRow(*row) for row in _rows(store, OPEN_COMMANDS, [now - int(GRACE_S * 1e6)])]


def sum_up(memory: Memory, gateways: Gateways) -> Checkpoint:
    """What a checkpoint writes down; ``settle`` when it is on disk."""
    return Checkpoint(
        next_batch=memory.next_batch,
        next_outcome=memory.next_outcome,
        latest=memory.latest.changed(),
        accepted=[(*line, seqs) for line, seqs in memory.acceptance.changed()],
        tallies=[
            (gateway, outcome, reason, tally.batches, tally.readings)
            for (gateway, outcome, reason), tally in memory.accounts.tallies.items()
        ],
        states=[(name, msgspec.json.encode(state)) for name, state in gateways.states.items()],
    )


def settle(memory: Memory) -> None:
    """A checkpoint is on disk: what changes from now on goes into the next."""
    memory.latest.settle()
    memory.acceptance.settle()


def _rows(store: DuckdbStore, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    columns = store.query(sql, parameters).values()
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _covered(name: str) -> str:
    return f"(SELECT value FROM meta WHERE name = '{name}')"


def _load_registry(store: DuckdbStore, memory: Memory) -> None:
    for number, *key in _rows(
        store, "SELECT id, origin, device, point, quantity, kind, unit FROM series ORDER BY id"
    ):
        memory.registry.load_series(Series(number, msgspec.convert(tuple(key), tuple[str, str, str, str, str, str])))
    for gateway, body in _rows(store, "SELECT gateway, body FROM manifests ORDER BY rowid"):
        memory.registry.load_manifest(gateway, msgspec.json.decode(bytes(body), type=Manifest))
    for origin, epoch, manifest in _rows(store, "SELECT origin, epoch, manifest FROM origins"):
        memory.registry.current[origin] = (epoch, manifest)


def _load_acceptance(store: DuckdbStore, memory: Memory, names: dict[int, str]) -> None:
    for origin, epoch, seqs in _rows(store, "SELECT origin, epoch, seqs FROM summed_accepted"):
        memory.acceptance.load((origin, epoch), bytes(seqs))
    tail = _rows(
        store,
        f"SELECT origin, epoch, list(seq) FROM batches WHERE no >= {_covered('next_batch')} GROUP BY origin, epoch",
    )
    for number, epoch, found in tail:
        memory.acceptance.add((names[number], epoch), [int(seq) for seq in found])
    highest = _rows(store, "SELECT max(no) FROM batches")[0][0]
    memory.next_batch = 0 if highest is None else highest + 1


def _load_accounts(store: DuckdbStore, memory: Memory, names: dict[int, str]) -> None:
    columns = "gateway, outcome, reason, batches, readings"
    tail = f"FROM outcomes WHERE no >= {_covered('next_outcome')}"
    for source in ("FROM summed_outcomes", tail):
        for gateway, outcome, reason, batches, readings in _rows(store, f"SELECT {columns} {source}"):
            memory.accounts.note((gateway, Outcome(outcome), Reason(reason)), batches, readings)
    stored = (
        "SELECT gateway, count(*) AS n, sum(readings)::BIGINT AS readings FROM batches"
        f" WHERE no >= {_covered('next_batch')} GROUP BY gateway"
    )
    for number, batches, readings in _rows(store, stored):
        memory.accounts.note((names[number], Outcome.STORED, Reason.NONE), batches, readings)
    highest = _rows(store, f"SELECT greatest(max(no) + 1, {_covered('next_outcome')}) FROM outcomes")[0][0]
    memory.next_outcome = highest or 0


def _load_kept(store: DuckdbStore, memory: Memory) -> None:
    memory.kept.sizes.extend(_rows(store, "SELECT no, octet_length(data) AS size FROM malformed ORDER BY no"))
    memory.kept.next_no = memory.kept.sizes[-1][0] + 1 if memory.kept.sizes else 0


def _load_latest(store: DuckdbStore, memory: Memory) -> None:
    memory.latest.grow(len(memory.registry.series))
    found = store.query(
        "SELECT series, newest.rank AS rank, newest.at_us AS at_us, newest.value AS value, newest.code AS code,"
        " newest.text AS text FROM latest ORDER BY series"
    )
    series = np.ma.getdata(found["series"])
    texts = {n: text for n, text in zip(series.tolist(), found["text"].tolist(), strict=True) if text is not None}
    value = np.ma.filled(found["value"].astype(np.float64), np.nan)
    at, rank, code = (np.ma.getdata(found[name]) for name in ("at_us", "rank", "code"))
    memory.latest.apply(LatestRows(series, rank, at, value, code, texts))
