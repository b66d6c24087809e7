"""Everything that is stored, in one DuckDB file: one writing connection, one reading cursor, one commit a
micro-batch.

The owner's thread calls everything but ``query``, which has a thread of its own. A failed commit leaves
nothing behind, and a commit whose answer got lost is recognised by its numbers, so that trying again never
stores twice.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np

from ingest.registry import Registration
from ingest.rows import Checkpoint, CommandRow, Commit, LatestRows, ReadingRows, StoreDown
from ingest.store_schema import COMMANDS, TABLES, VERSION, VIEWS

log = logging.getLogger(__name__)

Columns = dict[str, Any]
"""Column name → NumPy array: DuckDB scans a parameter of this shape by its name."""

WAL_LIMIT = "64MB"
"""Four times DuckDB's default: its own checkpoints stall a commit for tens of milliseconds."""


class StoreMismatch(Exception):
    """The file is none of ours, or of another version. Carries a sentence for the operator."""


class DuckdbStore:
    """The file and its connections."""

    def __init__(
        self, path: Path, memory_mb: int = 1024, threads: int | None = None, read_only: bool = False
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._settings: dict[str, Any] = {"memory_limit": f"{memory_mb}MB", "checkpoint_threshold": WAL_LIMIT}
        if threads:
            self._settings["threads"] = threads
        self._writer: duckdb.DuckDBPyConnection | None = None
        self._reader: duckdb.DuckDBPyConnection | None = None
        self._doubtful = False

    def open(self) -> None:
        """Open or make the file. StoreDown when that fails, StoreMismatch when it is another version's."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = duckdb.connect(str(self.path), read_only=self._read_only, config=self._settings)
            self._check_version(self._writer)
            self._reader = self._writer.cursor()
        except (duckdb.Error, OSError) as trouble:
            self.close()
            raise StoreDown(str(trouble)) from trouble

    def _check_version(self, writer: duckdb.DuckDBPyConnection) -> None:
        # Nothing is written to a file that is ours already: it must open on a full disk, so that it can be read.
        tables = writer.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        if not tables and not self._read_only:
            writer.begin()
            writer.execute(TABLES)
            writer.execute(COMMANDS)
            writer.execute(VIEWS)
            writer.execute("INSERT INTO meta VALUES ('version', ?), ('next_batch', 0), ('next_outcome', 0)", [VERSION])
            writer.commit()
            return
        ours = ("meta",) in tables
        found = writer.execute("SELECT value FROM meta WHERE name = 'version'").fetchone() if ours else None
        if found is not None and found[0] == 1:  # only commands are missing: a reader of version 1 does without
            if not self._read_only:
                writer.begin()
                writer.execute(COMMANDS)
                writer.execute("UPDATE meta SET value = ? WHERE name = 'version'", [VERSION])
                writer.commit()
            return
        if found is None or found[0] != VERSION:
            self.close()
            version = f"of version {found[0]}" if found else "none of ours"
            raise StoreMismatch(f"{self.path} is {version}; this program reads and writes version {VERSION}")

    def close(self) -> None:
        """Close both connections; DuckDB folds its log into the file."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                try:
                    connection.close()
                except duckdb.Error as trouble:
                    log.error("closing %s: %s", self.path, trouble)
        self._reader = self._writer = None

    def commit(self, commit: Commit) -> None:
        """All of it in one transaction. StoreDown: nothing of it is there, and the store can be tried again."""
        self._transact(lambda writer: _write(writer, commit), lambda: self._holds(commit))

    def register(self, plan: Registration) -> None:
        """Store manifests and their new series. StoreDown as above."""
        known = [manifest.id for manifest in plan.manifests]
        self._transact(
            lambda writer: _write_manifests(writer, plan),
            lambda: bool(self._count("SELECT count(*) FROM manifests WHERE id = ?", [known[0]])),
        )

    def add_command(self, row: CommandRow) -> None:
        """Store a command before it is said to anybody. StoreDown: it is not there."""
        if self._doubtful:  # a commit that may be there is being tried again: nothing may come in between
            raise StoreDown("the last commit is not settled yet")
        self._transact(
            lambda writer: _insert_command(writer, row),
            lambda: bool(self._count("SELECT count(*) FROM commands WHERE id = ?", [row.id])),
        )

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write down sums, so that a start reads less. StoreDown as above; losing one loses nothing."""
        self._transact(lambda writer: _write_checkpoint(writer, checkpoint), lambda: False)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, Any]:
        """Rows as NumPy columns, from the reading cursor. StoreDown when it fails."""
        if self._reader is None:
            raise StoreDown("the store is closed")
        try:
            return self._reader.execute(sql, list(parameters)).fetchnumpy()
        except duckdb.Error as trouble:
            raise StoreDown(str(trouble)) from trouble

    def _transact(self, write: Callable[[duckdb.DuckDBPyConnection], None], done: Callable[[], bool]) -> None:
        if self._writer is None:
            self.open()
        assert self._writer is not None
        if self._doubtful and done():  # the last try failed after all of it was on disk
            self._doubtful = False
            return
        self._doubtful = True
        try:
            self._writer.begin()
            write(self._writer)
            self._writer.commit()
        except duckdb.Error as trouble:
            self._recover()
            if not done():
                raise StoreDown(str(trouble)) from trouble
            log.warning("the store said %s, but the commit is there", trouble)
        self._doubtful = False

    def _recover(self) -> None:
        # A full disk may leave the whole database invalidated in memory, so it is opened anew; the file is sound.
        try:
            if self._writer is not None:
                self._writer.rollback()
                self._writer.execute("SELECT 1").fetchone()
        except duckdb.Error:
            self.close()
            self.open()

    def _holds(self, commit: Commit) -> bool:
        if commit.batches:
            return bool(self._count("SELECT count(*) FROM batches WHERE no = ?", [commit.batches[0].no]))
        if commit.outcomes:
            return bool(self._count("SELECT count(*) FROM outcomes WHERE no = ?", [commit.outcomes[0].no]))
        return False

    def _count(self, sql: str, parameters: Sequence[object]) -> int:
        try:
            assert self._writer is not None
            found = self._writer.execute(sql, list(parameters)).fetchone()
        except duckdb.Error as trouble:
            raise StoreDown(str(trouble)) from trouble
        return int(found[0]) if found else 0


def _write(writer: duckdb.DuckDBPyConnection, commit: Commit) -> None:
    if commit.readings is not None:
        _insert_readings(writer, commit.readings._asdict())
        if commit.texts:
            _insert(writer, "texts", _text_columns(commit.readings, commit))
    if commit.batches:
        columns = _columns(commit.batches, "no gateway origin epoch seq lane readings received_at")
        _insert_batches(writer, columns, commit.stored_at)
    if commit.outcomes:
        columns = _columns(commit.outcomes, "no gateway outcome reason batches readings")
        _insert(writer, "outcomes", columns | {"stored_at": np.full(len(commit.outcomes), commit.stored_at)})
    if commit.gaps:
        _insert(writer, "gaps", _gap_columns(commit))
    if commit.results:
        _insert_results(writer, _result_columns(commit), commit.stored_at)
    if commit.names:
        _insert(writer, "names", _columns(commit.names, "id name"))
    for origin, epoch, manifest in commit.origins:
        writer.execute("DELETE FROM origins WHERE origin = ?", [origin])
        writer.execute("INSERT INTO origins VALUES (?, ?, ?)", [origin, epoch, manifest])
    if commit.kept:
        _insert(writer, "malformed", _columns(commit.kept, "no topic reason received_at data"))
        writer.execute("DELETE FROM malformed WHERE no < ?", [commit.forget_kept])


def _insert_readings(writer: duckdb.DuckDBPyConnection, rows: Columns) -> None:
    # DuckDB finds ``rows`` among the caller's variables. BAD carries NaN so far; on disk it is NULL.
    writer.execute(
        'INSERT INTO readings SELECT series, "at", CASE WHEN isnan(value) THEN NULL ELSE value END, code, batch'
        " FROM rows"
    )


def _insert_batches(writer: duckdb.DuckDBPyConnection, rows: Columns, stored_at: int) -> None:
    writer.execute(
        "INSERT INTO batches SELECT no, gateway, origin, epoch, seq, lane, readings, received_at, ? FROM rows",
        [stored_at],
    )


def _insert_command(writer: duckdb.DuckDBPyConnection, row: CommandRow) -> None:
    marks = ", ".join("?" * len(row))
    writer.execute(f"INSERT INTO commands VALUES ({marks})", list(row))


def _insert_results(writer: duckdb.DuckDBPyConnection, rows: Columns, stored_at: int) -> None:
    # A command has one result, the first: told again, for whatever reason, it changes nothing.
    writer.execute(
        "INSERT INTO results SELECT id, gateway, batch, at_us, outcome, value, code, text, ? FROM rows"
        " WHERE NOT EXISTS (SELECT 1 FROM results r WHERE r.id = rows.id AND r.gateway = rows.gateway)",
        [stored_at],
    )


def _insert(writer: duckdb.DuckDBPyConnection, table: str, rows: Columns) -> None:
    names = ", ".join(rows)
    writer.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM rows")


def _columns(rows: Sequence[tuple[Any, ...]], names: str) -> Columns:
    return {name: _array(values) for name, values in zip(names.split(), zip(*rows, strict=True), strict=True)}


def _array(values: Sequence[Any]) -> Any:
    if all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    objects = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):  # item by item: NumPy would make a matrix of equally long lists
        objects[position] = value
    return objects


def _text_columns(rows: ReadingRows, commit: Commit) -> Columns:
    positions = np.array([text.row for text in commit.texts], np.int64)
    return {
        "series": rows.series[positions],
        "at_us": rows.at[positions],
        "value": _array([text.value for text in commit.texts]),
        "batch": rows.batch[positions],
    }


def _gap_columns(commit: Commit) -> Columns:
    names = "batch origin epoch first_seq last_seq readings begin_us end_us reason devices"
    rows = [
        (batch, g.origin, g.epoch, g.first_seq, g.last_seq, g.readings, g.begin, g.end, int(g.reason), list(g.devices))
        for batch, g in commit.gaps
    ]
    return _columns(rows, names)


def _result_columns(commit: Commit) -> Columns:
    rows = [
        (r.id, gateway, batch, r.at, int(r.outcome), r.value, r.code, r.text) for batch, gateway, r in commit.results
    ]
    return _columns(rows, "id gateway batch at_us outcome value code text")


def _write_manifests(writer: duckdb.DuckDBPyConnection, plan: Registration) -> None:
    if plan.series:
        rows = [(series.id, *series.key) for series in plan.series]
        _insert(writer, "series", _columns(rows, "id origin device point quantity kind unit"))
    bodies = [(manifest.id, plan.gateway, msgspec.json.encode(manifest)) for manifest in plan.manifests]
    _insert(writer, "manifests", _columns(bodies, "id gateway body"))


def _write_checkpoint(writer: duckdb.DuckDBPyConnection, sums: Checkpoint) -> None:
    _replace(writer, "summed_latest", "series", _latest_columns(sums.latest))
    for origin, epoch, seqs in sums.accepted:
        writer.execute("DELETE FROM summed_accepted WHERE origin = ? AND epoch = ?", [origin, epoch])
        writer.execute("INSERT INTO summed_accepted VALUES (?, ?, ?)", [origin, epoch, seqs])
    for table, rows, names in (
        ("summed_outcomes", sums.tallies, "gateway outcome reason batches readings"),
        ("states", sums.states, "gateway body"),
    ):
        writer.execute(f"DELETE FROM {table}")
        if rows:
            _insert(writer, table, _columns(rows, names))
    writer.execute("UPDATE meta SET value = ? WHERE name = 'next_batch'", [sums.next_batch])
    writer.execute("UPDATE meta SET value = ? WHERE name = 'next_outcome'", [sums.next_outcome])


def _replace(writer: duckdb.DuckDBPyConnection, table: str, key: str, rows: Columns) -> None:
    if len(rows[key]):
        writer.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM rows)")
        _insert(writer, table, rows)


def _latest_columns(rows: LatestRows) -> Columns:
    texts: Iterable[str | None] = (rows.texts.get(number) for number in rows.series.tolist())
    return {
        "series": rows.series,
        "rank": rows.rank,
        "at_us": rows.at,
        "value": np.ma.masked_invalid(rows.value),
        "text": _array(list(texts)),
        "code": rows.code,
    }
