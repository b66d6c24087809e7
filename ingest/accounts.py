"""What became of everything that arrived, counted in batches and in readings, by gateway and by reason.

    arrived = stored + duplicate + rejected(by reason) + later(by reason)

Everything rejected is put aside with its bytes, and so are strangers' messages, which never counted as a
batch that arrived (their gateway is ""). Holds only what is committed, like everything in this room's memory.
"""

from typing import Any

import msgspec

from device_profiles.ledger import count
from device_profiles.quality import Reason
from device_profiles.receipts import Outcome

Key = tuple[str, Outcome, Reason]
"""(gateway, outcome, reason)."""

NO_GATEWAY = ""
"""Whose messages are no batches: strangers' topics, manifests and states that cannot be read."""


class Tally(msgspec.Struct):
    """Batches and the readings in them."""

    batches: int = 0
    readings: int = 0


class Accounts:
    """The centre's counters since its store was made."""

    def __init__(self) -> None:
        self.tallies: dict[Key, Tally] = {}

    def note(self, key: Key, batches: int, readings: int) -> None:
        """Add to one counter."""
        tally = self.tallies.setdefault(key, Tally())
        tally.batches += batches
        tally.readings += readings

    def stored(self, gateway: str) -> int:
        """Readings of a gateway that are in the store, each once."""
        tally = self.tallies.get((gateway, Outcome.STORED, Reason.NONE))
        return tally.readings if tally else 0

    def summary(self, unit: str = "readings") -> dict[str, Any]:
        """The intake's counters summed over gateways; ``unit`` is "readings" or "batches"."""
        totals = dict.fromkeys(Outcome, 0)
        reasons: dict[Outcome, dict[str, int]] = {outcome: {} for outcome in Outcome}
        for (gateway, outcome, reason), tally in self.tallies.items():
            if gateway != NO_GATEWAY:
                n = getattr(tally, unit)
                totals[outcome] += n
                count(reasons[outcome], reason.word, n)
        return {
            "arrived": sum(totals.values()),
            "stored": totals[Outcome.STORED],
            "duplicate": totals[Outcome.DUPLICATE],
            "rejected": reasons[Outcome.REJECTED],
            "later": reasons[Outcome.LATER],
        }

    def malformed(self) -> dict[str, int]:
        """Messages put aside, batches or not, by reason."""
        messages: dict[str, int] = {}
        for (_, outcome, reason), tally in self.tallies.items():
            if outcome is Outcome.REJECTED:
                count(messages, reason.word, tally.batches)
        return messages
