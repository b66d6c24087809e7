"""The spool's statements: each function is one question to, or one change of, the open transaction.

Nothing here decides; ``store`` does. Small rows and payloads are kept apart, so counting never reads a payload.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from device_profiles.ledger import Ledger
from device_profiles.readings import Lane
from gateway.gaps import Victim
from gateway.streams import Fate, Stream
from gateway.trust import Dating, Stamp
from gateway.views import Depth, LaneDepth


def load_streams(connection: sqlite3.Connection) -> dict[tuple[str, int], Stream]:
    """Every remembered stream by its name."""
    rows = connection.execute("SELECT id, origin, epoch, through, fate, last, ledger FROM streams ORDER BY id")
    streams = (
        Stream(id=i, origin=o, epoch=e, through=t, fate=Fate(f), last=at, ledger=ledger)
        for i, o, e, t, f, at, ledger in rows
    )
    return {stream.name: stream for stream in streams}


def save_stream(connection: sqlite3.Connection, stream: Stream) -> None:
    """Insert or update one stream."""
    connection.execute(
        "INSERT INTO streams (id, origin, epoch, through, fate, last, ledger) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET"
        " through = excluded.through, fate = excluded.fate, last = excluded.last, ledger = excluded.ledger",
        (stream.id, stream.origin, stream.epoch, stream.through, int(stream.fate), stream.last, stream.ledger),
    )


def load_ledger(connection: sqlite3.Connection, key: str) -> Ledger:
    """A ledger kept under ``meta``; an empty one when there is none."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return msgspec.json.decode(row[0], type=Ledger) if row else Ledger()


def save_ledger(connection: sqlite3.Connection, key: str, ledger: Ledger) -> None:
    """Keep a ledger under ``meta``. ``waiting`` is not kept: it is counted from the batches that are there."""
    value = msgspec.json.encode(msgspec.structs.replace(ledger, waiting=0))
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def waiting(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """(batches, readings, payload bytes) that are there."""
    row = connection.execute("SELECT COUNT(*), TOTAL(count), TOTAL(size) FROM batches").fetchone()
    return row[0], int(row[1]), int(row[2])


def depth(connection: sqlite3.Connection, quota: int | None = None) -> Depth:
    """What waits, by lane."""
    lanes = {lane.word: LaneDepth() for lane in Lane}
    rows = connection.execute("SELECT lane, COUNT(*), TOTAL(count), TOTAL(size), MIN(at) FROM batches GROUP BY lane")
    for lane, batches, readings, size, oldest in rows:
        lanes[Lane(lane).word] = LaneDepth(batches, int(readings), int(size), oldest)
    return Depth(quota, lanes)


def undated(connection: sqlite3.Connection) -> int:
    """Batches that wait for the box to learn the time."""
    query = "SELECT COUNT(*) FROM batches WHERE dating = ?"
    (number,) = connection.execute(query, (int(Dating.WAITING),)).fetchone()
    return int(number)


def undated_since(connection: sqlite3.Connection, boot: bytes, now: int) -> int:
    """Since when (monotonic µs of this boot) batches have waited for the time; ``now`` when none does."""
    query = "SELECT MIN(mono) FROM batches WHERE dating = ? AND boot = ?"
    (since,) = connection.execute(query, (int(Dating.WAITING), boot)).fetchone()
    return now if since is None else int(since)


def lose_dates(connection: sqlite3.Connection, boot: bytes) -> int:
    """Give up dating what another boot than this one left undated: how many batches."""
    query = "UPDATE batches SET dating = ? WHERE dating = ? AND boot <> ?"
    return connection.execute(query, (int(Dating.LOST), int(Dating.WAITING), boot)).rowcount


def waiting_for_date(connection: sqlite3.Connection, boot: bytes, limit: int) -> list[tuple[int, int, int, int]]:
    """(id, monotonic and wall µs when spooled, base time) of undated batches of this boot, alarms first."""
    query = "SELECT id, mono, wall, at FROM batches WHERE dating = ? AND boot = ? ORDER BY lane, at LIMIT ?"
    return list(connection.execute(query, (int(Dating.WAITING), boot, limit)))


def load_mark(connection: sqlite3.Connection) -> int:
    """The newest time, µs, at which this file was surely written; 0 when that is not known."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'newest'").fetchone()
    return int(row[0]) if row else 0


def save_mark(connection: sqlite3.Connection, mark: int) -> None:
    """Keep that time."""
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('newest', ?)", (str(mark).encode(),))


def last_id(connection: sqlite3.Connection) -> int:
    """The largest id of a waiting batch, 0 when nothing waits."""
    (largest,) = connection.execute("SELECT MAX(id) FROM batches").fetchone()
    return largest or 0


def anything_waits(connection: sqlite3.Connection, stream: int) -> bool:
    """True while a batch of this stream is there."""
    return connection.execute("SELECT 1 FROM batches WHERE stream = ? LIMIT 1", (stream,)).fetchone() is not None


def drop_stream(connection: sqlite3.Connection, stream: int) -> None:
    """Forget a stream."""
    connection.execute("DELETE FROM streams WHERE id = ?", (stream,))


def put(connection: sqlite3.Connection, row: tuple[int, ...], stamp: Stamp, payload: bytes) -> None:
    """Add a batch: (id, stream, seq, lane, at, manifest, count, size), the clocks it was spooled by, and its bytes."""
    connection.execute(
        "INSERT INTO batches (id, stream, seq, lane, at, manifest, count, size, boot, mono, wall, dating)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, stamp.boot, stamp.mono, stamp.wall, int(stamp.dating)),
    )
    connection.execute("INSERT INTO payloads VALUES (?, ?)", (row[0], payload))


def take_out(connection: sqlite3.Connection, batch: int) -> tuple[int, int, int] | None:
    """Delete a batch: its (readings, payload bytes, dating); None when it is not there (any more)."""
    row = connection.execute("DELETE FROM batches WHERE id = ? RETURNING count, size, dating", (batch,)).fetchall()
    if not row:
        return None
    connection.execute("DELETE FROM payloads WHERE id = ?", (batch,))
    return row[0]  # type: ignore[no-any-return]  # the column is a BLOB


def rewrite(connection: sqlite3.Connection, batch: int, payload: bytes, **columns: int) -> None:
    """Other bytes under the same name, and the columns that change with them."""
    columns["size"] = len(payload)
    names = ", ".join(f"{name} = ?" for name in columns)
    connection.execute(f"UPDATE batches SET {names} WHERE id = ?", (*columns.values(), batch))
    connection.execute("UPDATE payloads SET payload = ? WHERE id = ?", (payload, batch))


def rewrite_dated(
    connection: sqlite3.Connection, batch: int, payload: bytes, at: int, dating: Dating
) -> tuple[int, int]:
    """``rewrite`` for a batch that has got its time: its (stream, payload bytes before)."""
    row = connection.execute("SELECT stream, size FROM batches WHERE id = ?", (batch,)).fetchone()
    rewrite(connection, batch, payload, at=at, dating=int(dating))
    return row[0], row[1]


def payload_of(connection: sqlite3.Connection, batch: int) -> bytes:
    """A batch's bytes."""
    row = connection.execute("SELECT payload FROM payloads WHERE id = ?", (batch,)).fetchone()
    return bytes(row[0])


class Leaving(NamedTuple):
    """A batch that may be sent. ``at``: base time, µs; ``mono``, ``wall``: the clocks when it was spooled, µs."""

    id: int
    origin: str
    epoch: int
    seq: int
    at: int
    readings: int
    size: int
    dating: int
    mono: int
    wall: int


_LEAVING = (
    "SELECT b.id, s.origin, s.epoch, b.seq, b.at, b.count, b.size, b.dating, b.mono, b.wall"
    " FROM batches b JOIN streams s ON s.id = b.stream"
    " WHERE b.dating = ? AND b.lane = ? AND b.at >= ? AND b.at < ? ORDER BY b.at LIMIT ?"
)
_EVER, _NEVER = -(1 << 62), 1 << 62


def leaving(
    connection: sqlite3.Connection, datings: Iterable[Dating], lane: Lane, since: int, limit: int
) -> list[Leaving]:
    """Batches to send in a lane, oldest first. ``since`` (µs) parts the stored live lane: older ones are backlog."""
    spans = {
        Lane.EVENT: [(Lane.EVENT, _EVER, _NEVER)],
        Lane.LIVE: [(Lane.LIVE, since, _NEVER)],
        Lane.BACKLOG: [(Lane.LIVE, _EVER, since), (Lane.BACKLOG, _EVER, _NEVER)],
    }
    found = [
        Leaving(*row)
        for dating in datings
        for stored, begin, end in spans[lane]
        for row in connection.execute(_LEAVING, (int(dating), int(stored), begin, end, limit))
    ]
    return sorted(found, key=lambda row: row.at)[:limit]


_VICTIMS = (
    "SELECT b.id, s.origin, s.epoch, b.seq, b.at, b.count, b.size FROM batches b JOIN streams s ON s.id = b.stream"
    " WHERE s.origin <> ? AND {} ORDER BY b.id"
)


def oldest(connection: sqlite3.Connection, own: str) -> Iterator[Victim]:
    """Batches in the order in which they are given up: oldest first, events last; never the gateway's own."""
    for lanes in ("b.lane <> 0", "b.lane = 0"):
        for row in connection.execute(_VICTIMS.format(lanes), (own,)):
            yield Victim(*row)


def unthinned(connection: sqlite3.Connection, own: str, after: int, limit: int) -> list[Victim]:
    """Batches beyond the id ``after`` that were never thinned, oldest first; never events, nor the gateway's own."""
    query = _VICTIMS.format("b.lane <> 0 AND b.thinned = 0 AND b.id > ?") + " LIMIT ?"
    return [Victim(*row) for row in connection.execute(query, (own, after, limit))]


def mark_thinned(connection: sqlite3.Connection, batch: int) -> None:
    """Note that this one has been looked at."""
    connection.execute("UPDATE batches SET thinned = 1 WHERE id = ?", (batch,))


def older_than(connection: sqlite3.Connection, own: str, before: int, limit: int) -> list[Victim]:
    """At most ``limit`` batches whose base time is before ``before`` (µs), oldest first; never the gateway's own.

    What waits to be dated is as old as nobody knows yet.
    """
    query = _VICTIMS.format(f"b.at < ? AND b.dating <> {int(Dating.WAITING)}") + " LIMIT ?"
    return [Victim(*row) for row in connection.execute(query, (own, before, limit))]


def own_waiting(connection: sqlite3.Connection, own: str, dating: Dating, limit: int) -> list[Victim]:
    """The newest batches of the gateway's own that wait, and stand so with the time."""
    query = _VICTIMS.replace("<> ?", "= ?").format(f"b.dating = {int(dating)}") + " DESC LIMIT ?"
    return [Victim(*row) for row in connection.execute(query, (own, limit))]


def keep_manifest(connection: sqlite3.Connection, origin: str, manifest: int, turn: int, payload: bytes) -> None:
    """Keep a manifest as its origin's newest."""
    connection.execute("INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?)", (origin, manifest, turn, payload))


def drop_manifests(connection: sqlite3.Connection) -> None:
    """Forget the manifests that no waiting batch refers to, but for the newest of each origin."""
    connection.execute(
        "DELETE FROM manifests WHERE turn < (SELECT MAX(turn) FROM manifests m WHERE m.origin = manifests.origin)"
        " AND id NOT IN (SELECT DISTINCT manifest FROM batches)"
    )


def manifests(connection: sqlite3.Connection) -> list[bytes]:
    """The kept manifests, oldest first."""
    return [bytes(row[0]) for row in connection.execute("SELECT payload FROM manifests ORDER BY turn")]


def mark_seen(connection: sqlite3.Connection, marks: Iterable[tuple[str, bytes, bytes]]) -> None:
    """Keep what callers have said by its number: (caller, number, older number to forget, b"" for none)."""
    for caller, key, forgotten in marks:
        connection.execute("INSERT OR IGNORE INTO seen (caller, key) VALUES (?, ?)", (caller, key))
        if forgotten:
            connection.execute("DELETE FROM seen WHERE caller = ? AND key = ?", (caller, forgotten))


def seen(connection: sqlite3.Connection, caller: str) -> list[bytes]:
    """The numbers of a caller's last messages, oldest first."""
    rows = connection.execute("SELECT key FROM seen WHERE caller = ? ORDER BY turn", (caller,))
    return [bytes(key) for (key,) in rows]


def quarantine(connection: sqlite3.Connection, row: tuple[int, str, str, str, int, bytes], most: int) -> None:
    """Keep a stranger's message, (at, listener, id, peer, reason, bytes); the oldest beyond ``most`` are dropped."""
    connection.execute(
        "INSERT INTO quarantine (at, listener, caller, peer, reason, data) VALUES (?, ?, ?, ?, ?, ?)", row
    )
    connection.execute("DELETE FROM quarantine WHERE id <= (SELECT MAX(id) FROM quarantine) - ?", (most,))


def quarantined(connection: sqlite3.Connection, limit: int) -> list[tuple[int, str, str, str, int, bytes]]:
    """The newest strangers' messages, newest first; see ``quarantine``."""
    query = "SELECT at, listener, caller, peer, reason, data FROM quarantine ORDER BY id DESC LIMIT ?"
    return list(connection.execute(query, (limit,)))


def last_turn(connection: sqlite3.Connection) -> int:
    """The newest manifest's turn, 0 when there is none."""
    (turn,) = connection.execute("SELECT MAX(turn) FROM manifests").fetchone()
    return turn or 0
