"""What the spool shows of itself: pictures taken after a commit, safe to hand to any task or thread."""

import msgspec

from device_profiles.ledger import Ledger
from gateway.streams import read_ledger


class LaneDepth(msgspec.Struct, frozen=True):
    """What waits in one lane. ``size``: payload bytes; ``oldest``: base time of the oldest batch, µs."""

    batches: int = 0
    readings: int = 0
    size: int = 0
    oldest: int | None = None


class Depth(msgspec.Struct, frozen=True):
    """What waits in a spool, by lane."""

    quota: int | None
    lanes: dict[str, LaneDepth]

    @property
    def total(self) -> LaneDepth:
        """All lanes together."""
        lanes = self.lanes.values()
        oldest = [lane.oldest for lane in lanes if lane.oldest is not None]
        return LaneDepth(
            sum(lane.batches for lane in lanes),
            sum(lane.readings for lane in lanes),
            sum(lane.size for lane in lanes),
            min(oldest, default=None),
        )


class View(msgspec.Struct, frozen=True):
    """The spool after its last commit. ``mine``: the gateway's half of the ledger; ``theirs``: originators' snapshots.

    ``turn`` grows with each new manifest; ``trouble`` is the last write's error, "" when it went well. ``undated``:
    batches that wait for the box to learn the time.
    """

    mine: Ledger
    past: Ledger
    theirs: tuple[bytes, ...]
    batches: int
    size: int
    turn: int
    trouble: str = ""
    failures: int = 0
    undated: int = 0

    def ledger(self) -> Ledger:
        """The whole ledger of this gateway and of those who hand over to it."""
        return summed(self.mine, self.past, self.theirs)


EMPTY_VIEW = View(Ledger(), Ledger(), (), 0, 0, 0)
"""Before the first commit."""


def summed(mine: Ledger, past: Ledger, theirs: tuple[bytes, ...]) -> Ledger:
    """One ledger out of the gateway's half and the originators' halves."""
    total = mine.plus(past)
    for snapshot in theirs:
        total = total.plus(read_ledger(snapshot))
    return total
