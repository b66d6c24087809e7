"""What a spool file says, read beside a running gateway or without one.

Changes nothing; SpoolError when the file is no spool.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from device_profiles.ledger import Ledger
from device_profiles.quality import Reason
from gateway import rows
from gateway.command_rows import CommandRow, newest
from gateway.schema import open_for_reading
from gateway.views import Depth, summed


def read_ledger(path: Path) -> Ledger:
    """The whole ledger in the file; ``waiting`` is counted from the batches that are there."""
    connection = open_for_reading(path)
    try:
        mine = rows.load_ledger(connection, "ledger")
        _, waiting, _ = rows.waiting(connection)
        theirs = tuple(stream.ledger for stream in rows.load_streams(connection).values())
        past = rows.load_ledger(connection, "past")
    finally:
        connection.close()
    return summed(msgspec.structs.replace(mine, waiting=waiting), past, theirs)


class Stranger(msgspec.Struct, frozen=True):
    """A message of an unknown device. ``time``: ISO 8601, UTC; ``data``: hexadecimal."""

    time: str
    listener: str
    id: str
    peer: str
    reason: str
    data: str


def read_commands(path: Path, limit: int) -> list[CommandRow]:
    """The newest commands, newest first."""
    connection = open_for_reading(path)
    try:
        return newest(connection, limit)
    finally:
        connection.close()


def read_quarantine(path: Path, limit: int) -> list[Stranger]:
    """The newest strangers' messages, newest first."""
    connection = open_for_reading(path)
    try:
        found = rows.quarantined(connection, limit)
    finally:
        connection.close()
    return [
        Stranger(
            datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="milliseconds"),
            listener,
            id_,
            peer,
            Reason(reason).word,
            data.hex(" ").upper(),
        )
        for at, listener, id_, peer, reason, data in found
    ]


def read_depth(path: Path, quota: int | None = None) -> Depth:
    """What waits, by lane."""
    connection = open_for_reading(path)
    try:
        return rows.depth(connection, quota)
    finally:
        connection.close()
