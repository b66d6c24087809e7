"""The spool's file: its tables, how it is opened, and who may have it. Refuses a file of a later version.

Small rows and payloads are kept apart, so that counting what waits never reads a payload.
"""

import fcntl
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import IO

from device_profiles.problems import ConfigError, Problem

VERSION = 2

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    through INTEGER NOT NULL,   -- every seq up to here has been spooled; -1: none yet, and the first one unknown
    fate INTEGER NOT NULL,      -- streams.Fate
    last INTEGER NOT NULL,      -- base time of the newest batch, µs; the hello's time before the first
    ledger BLOB NOT NULL,       -- the originator's own half of the ledger, JSON
    UNIQUE (origin, epoch)
);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    at INTEGER NOT NULL,        -- base time, µs
    manifest INTEGER NOT NULL,
    count INTEGER NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX batches_leaving ON batches (lane, at);
CREATE TABLE payloads (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
CREATE TABLE manifests (
    origin TEXT NOT NULL,
    id INTEGER NOT NULL,
    turn INTEGER NOT NULL,      -- the larger, the newer
    payload BLOB NOT NULL,
    PRIMARY KEY (origin, id)
) WITHOUT ROWID;
"""

_SECOND = """
CREATE TABLE seen (             -- what calling devices have said, by their protocol's own numbering
    turn INTEGER PRIMARY KEY,
    caller TEXT NOT NULL,       -- listener/identity
    key BLOB NOT NULL,
    UNIQUE (caller, key)
);
CREATE TABLE quarantine (       -- messages of strangers, for a person to look at; bounded
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,        -- µs
    listener TEXT NOT NULL,
    caller TEXT NOT NULL,       -- the identity that was claimed
    peer TEXT NOT NULL,
    reason INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE commands (         -- what the centre wants done: an id that is here is never executed again
    turn INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    device TEXT NOT NULL,
    body BLOB NOT NULL,         -- commands.encode_command
    expires INTEGER NOT NULL,   -- µs
    taken INTEGER NOT NULL,     -- µs
    state INTEGER NOT NULL,     -- command_rows.Standing
    holder TEXT NOT NULL,       -- the originator that was handed it; empty: a calling device's session
    epoch INTEGER NOT NULL,     -- that one's start
    result BLOB NOT NULL,       -- commands.encode_result; empty before
    batch INTEGER NOT NULL      -- the batch that carries the result
);
CREATE INDEX commands_open ON commands (turn) WHERE state <> 2;
ALTER TABLE batches ADD COLUMN boot BLOB NOT NULL DEFAULT x'';      -- the kernel's boot id when it was spooled
ALTER TABLE batches ADD COLUMN mono INTEGER NOT NULL DEFAULT 0;     -- monotonic clock then, µs since that boot
ALTER TABLE batches ADD COLUMN wall INTEGER NOT NULL DEFAULT 0;     -- wall clock then, µs
ALTER TABLE batches ADD COLUMN dating INTEGER NOT NULL DEFAULT 0;   -- trust.Dating
ALTER TABLE batches ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;  -- 1: one value a minute is left
DROP INDEX batches_leaving;
CREATE INDEX batches_leaving ON batches (dating, lane, at);
"""

_STEPS = (_FIRST, _SECOND)
"""What each version adds to the one before it: a file of any earlier version is brought up to this one."""


class SpoolError(ConfigError):
    """The spool's file cannot be used, in words for the operator."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__([Problem(str(path), 0, "", message)])


def make_folder(folder: Path) -> None:
    """Make the spool's directory, so that a power cut cannot take it away again with all that is in it.

    SQLite syncs the directory of its files and nobody but us the ones above it: POSIX keeps a new name only after fsync
    of the directory that it is in. All are synced at each start, for an earlier one may have been killed in between.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for parent in folder.parents:
        with suppress(OSError):  # ours to write but not to read, or no fsync there; a failing disk shows at the commit
            _sync_folder(parent)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def open_database(path: Path) -> sqlite3.Connection:
    """The one writing connection. SpoolError when it is no spool; sqlite3.OperationalError when the disk fails."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0, cached_statements=64)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit returns after the WAL is on the platter. NORMAL loses acknowledged rows at a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA cache_size = -1024")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > VERSION:
            raise SpoolError(path, f"was written by a later version ({found}, this one knows {VERSION})")
        if found < VERSION:
            steps = "".join(_STEPS[found:])
            connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.DatabaseError as trouble:
        connection.close()
        if trouble.sqlite_errorname in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            raise SpoolError(path, f"is no spool, or is damaged: {trouble}") from None
        raise
    except SpoolError:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, beside a running gateway or without one; SpoolError when there is no spool."""
    if not path.exists():
        raise SpoolError(path, "no such spool")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        connection.execute("BEGIN")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as trouble:
        raise SpoolError(path, f"cannot be read: {trouble}") from None
    if found != VERSION:
        connection.close()
        raise SpoolError(path, f"is no spool of version {VERSION}")
    return connection


def lock_spool(path: Path) -> IO[bytes]:
    """Hold the spool for this process until the file is closed; SpoolError when another gateway has it."""
    lock = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise SpoolError(path, "is in use by another gateway") from None
    return lock
