"""What the spool remembers of each originator's start, so that a batch is taken once and in its order.

A stream is one ``(origin, epoch)``. Its batches are taken in the order of their seq: a batch whose predecessor was
refused is refused too, so at any moment the originator's snapshot in the spool speaks of exactly the batches there.
"""

from enum import IntEnum, unique

import msgspec

from device_profiles.ledger import Ledger, count
from device_profiles.quality import Reason


@unique
class Fate(IntEnum):
    """How a stream stands: still open, ended with a bye, or cut off."""

    OPEN = 0
    BYE = 1
    KILLED = 2


UNKNOWN = -1
"""``Stream.through`` before the first batch: an originator that outlives a spool does not begin at 1."""


class Stream(msgspec.Struct, kw_only=True):
    """One row of ``streams``. ``last``: µs; ``ledger``: the originator's half, JSON."""

    id: int
    origin: str
    epoch: int
    through: int = UNKNOWN
    fate: Fate = Fate.OPEN
    last: int
    ledger: bytes = b"{}"

    @property
    def name(self) -> tuple[str, int]:
        """(origin, epoch)."""
        return self.origin, self.epoch


def read_ledger(data: bytes) -> Ledger:
    """An originator's snapshot, with the gateway's half emptied. msgspec.DecodeError when it is none."""
    ledger = msgspec.json.decode(data, type=Ledger) if data else Ledger()
    return msgspec.structs.replace(ledger, spooled=0, stored=0, duplicate=0, rejected={}, given_up={}, waiting=0)


def without_pending(data: bytes) -> bytes:
    """The last snapshot of an originator that was killed: what it held in memory is refused, and says why."""
    ledger = read_ledger(data)
    count(ledger.refused, Reason.ORIGINATOR_KILLED.word, ledger.pending)
    ledger.handed += ledger.pending
    ledger.pending = 0
    return msgspec.json.encode(ledger)
