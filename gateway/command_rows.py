"""Commands in the spool: on disk before anybody is handed one, settled in one transaction with the batch that says so.

An id that is here is never executed again. What became of a command leaves in the event lane, under an origin of its
own (``<gateway>/commands``), as a batch of no readings: so the ledger is untouched, and it survives what batches do.
"""

import sqlite3
from array import array
from collections.abc import Iterable
from enum import IntEnum, unique

import msgspec

from device_profiles.commands import (
    Command,
    CommandResult,
    decode_command,
    decode_result,
    encode_command,
    encode_result,
)
from device_profiles.envelope import Batch, Columns, encode_batch, pack_body
from device_profiles.readings import Lane
from gateway.books import Arrival, Books
from gateway.gaps import gap_manifest
from gateway.store import Store
from gateway.streams import Fate, Stream

KEPT = 1_000
"""Settled commands that are remembered beyond their expiry, for a person to look at."""


@unique
class Standing(IntEnum):
    """How far a command has come."""

    WAITING = 0
    HANDED = 1  # somebody may be executing it: it must not be handed out again
    SETTLED = 2

    @property
    def word(self) -> str:
        """The word used in tables."""
        return self.name.lower()


class CommandRow(msgspec.Struct, frozen=True):
    """One command in the file. ``holder``, ``epoch``: who was handed it, and that one's start; ``taken``: µs."""

    command: Command
    standing: Standing
    holder: str
    epoch: int
    taken: int
    result: CommandResult | None


def results_origin(gateway: str) -> str:
    """The origin under which a gateway tells what became of commands."""
    return f"{gateway}/commands"


def take(store: Store, commands: Iterable[Command], now: int) -> list[Command]:
    """Keep these; the ones that were not known. A settled one whose result is not waiting to leave is told again."""
    connection = store.books.connection
    fresh = []
    for command in commands:
        row = connection.execute("SELECT state, result, batch FROM commands WHERE id = ?", (command.id,)).fetchone()
        if row is None:
            connection.execute(
                "INSERT INTO commands (id, device, body, expires, taken, state, holder, epoch, result, batch)"
                " VALUES (?, ?, ?, ?, ?, 0, '', 0, x'', 0)",
                (command.id, command.device, encode_command(command), command.expires, now),
            )
            fresh.append(command)
        elif row[0] == Standing.SETTLED and not _leaves(connection, row[2]):
            batch = _tell(store, decode_result(bytes(row[1])), now)
            connection.execute("UPDATE commands SET batch = ? WHERE id = ?", (batch, command.id))
    return fresh


def hand(store: Store, command: str, holder: str, epoch: int) -> bool:
    """Note that somebody is being handed it; False when it may not be handed out (any more)."""
    changed = store.books.connection.execute(
        "UPDATE commands SET state = ?, holder = ?, epoch = ? WHERE id = ? AND state = ?",
        (Standing.HANDED, holder, epoch, command, Standing.WAITING),
    )
    return changed.rowcount == 1


def settle(store: Store, result: CommandResult, now: int) -> bool:
    """Keep what became of a command, and put it into the stream; False, and nothing done, when it had an end before."""
    connection = store.books.connection
    row = connection.execute("SELECT state FROM commands WHERE id = ?", (result.id,)).fetchone()
    if row is None or row[0] == Standing.SETTLED:
        return False
    connection.execute(
        "UPDATE commands SET state = ?, result = ?, batch = ? WHERE id = ?",
        (Standing.SETTLED, encode_result(result), _tell(store, result, now), result.id),
    )
    _forget(connection, now)
    return True


def open_commands(connection: sqlite3.Connection) -> list[CommandRow]:
    """Those without an end, oldest first."""
    return _rows(connection, "WHERE state <> 2 ORDER BY turn", ())


def newest(connection: sqlite3.Connection, limit: int) -> list[CommandRow]:
    """The newest, newest first."""
    return _rows(connection, "ORDER BY turn DESC LIMIT ?", (limit,))


def _rows(connection: sqlite3.Connection, which: str, parameters: tuple[int, ...]) -> list[CommandRow]:
    query = "SELECT body, state, holder, epoch, taken, result FROM commands "
    return [
        CommandRow(
            decode_command(bytes(body)), Standing(state), holder, epoch, taken,
            decode_result(bytes(result)) if result else None,
        )
        for body, state, holder, epoch, taken, result in connection.execute(query + which, parameters)
    ]  # fmt: skip


def _forget(connection: sqlite3.Connection, now: int) -> None:
    """Drop the oldest settled ones; never one that has not expired, for it could come once more."""
    connection.execute(
        "DELETE FROM commands WHERE state = 2 AND expires < ? AND turn <= (SELECT MAX(turn) FROM commands) - ?",
        (now, KEPT),
    )


def _leaves(connection: sqlite3.Connection, batch: int) -> bool:
    return connection.execute("SELECT 1 FROM batches WHERE id = ?", (batch,)).fetchone() is not None


def _tell(store: Store, result: CommandResult, now: int) -> int:
    """The id of the batch that carries the result. It does not count against the quota when it comes: it is small."""
    books, origin = store.books, results_origin(store.gateway)
    stream = books.streams.get((origin, store.epoch)) or _open(books, origin, store.epoch, now)
    seq, number = stream.through + 1, books.next_id
    arrival = Arrival(
        origin=origin,
        epoch=store.epoch,
        seq=seq,
        lane=Lane.EVENT,
        at=now,
        manifest=gap_manifest(origin).id,
        count=0,
        payload=_encode(origin, store.epoch, seq, now, result),
        ledger=b"{}",
    )
    books.put(stream, arrival)
    return number


def _open(books: Books, origin: str, epoch: int, now: int) -> Stream:
    """This start's stream; those of earlier starts lost nothing: they numbered what was committed."""
    for earlier in books.streams.values():
        if earlier.origin == origin:
            books.touch(earlier).fate = Fate.BYE
    books.forget_streams(origin)
    stream = books.open_stream(origin, epoch, now)
    stream.through = 0
    return stream


def _encode(origin: str, epoch: int, seq: int, now: int, result: CommandResult) -> bytes:
    columns = Columns(array("H"), array("I"), array("d"), array("B"), results=[result])
    body, packed = pack_body(columns)
    return encode_batch(
        Batch(
            origin=origin,
            epoch=epoch,
            seq=seq,
            lane=Lane.EVENT,
            manifest=gap_manifest(origin).id,
            base=now,
            count=0,
            body=body,
            packed=packed,
        )
    )
