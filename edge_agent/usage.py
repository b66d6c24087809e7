"""What the wires were used for: how long each bus was busy, and what became of every question, by unit.

Counts questions put on the wire, retries and probes among them, not readings: a damaged answer that the second attempt
mended is in no reading, and here it is. Refuses to say zero for a time that nobody took.
"""

from __future__ import annotations

from device_profiles.ledger import Counts, count
from device_profiles.quality import Reason


class UnitUsage:
    """One unit since the program started. `answered`: questions that brought values; `failed`: those that did not, by
    reason; `late`: answers that came when nobody waited any more (their questions are in `failed` already)."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed: Counts = {}
        self.late = 0
        self._seconds = 0.0
        self._measured = 0

    def heard(self, round_trip: float) -> None:
        """An answer, `round_trip` seconds after its question began."""
        self.answered += 1
        self._seconds += round_trip
        self._measured += 1

    def missed(self, reason: Reason) -> None:
        """A question that brought nothing."""
        count(self.failed, reason.word, 1)

    def take_round_trip(self) -> float | None:
        """Mean seconds since this was last called; None when nothing was answered meanwhile."""
        mean = self._seconds / self._measured if self._measured else None
        self._seconds, self._measured = 0.0, 0
        return mean


class LinkUsage:
    """One link. `units`: its units by address; what is asked of others (a scan) is not kept. `now` and `since` are
    monotonic seconds."""

    def __init__(self, since: float = 0.0) -> None:
        self.units: dict[int | str, UnitUsage] = {}
        self._since = since
        self._busy = 0.0
        self._began: float | None = None

    def begin(self, now: float) -> None:
        """The bus is taken for one question."""
        self._began = now

    def end(self, now: float) -> None:
        """It is free again."""
        if self._began is not None:
            self._busy += now - self._began
            self._began = None

    def heard(self, unit: int | str, round_trip: float) -> None:
        """See `UnitUsage.heard`."""
        if (found := self.units.get(unit)) is not None:
            found.heard(round_trip)

    def missed(self, unit: int | str, reason: Reason) -> None:
        """See `UnitUsage.missed`."""
        if (found := self.units.get(unit)) is not None:
            found.missed(reason)

    def came_late(self, unit: int | str | None) -> None:
        """A whole answer that nobody waited for any more."""
        if unit is not None and (found := self.units.get(unit)) is not None:
            found.late += 1

    def take_share(self, now: float) -> float | None:
        """The share of the time, 0 to 1, that the bus was in use since this was last called; a question under way
        counts as far as it went. None when no time has passed."""
        if self._began is not None:
            self._busy, self._began = self._busy + now - self._began, now
        passed, busy = now - self._since, self._busy
        self._since, self._busy = now, 0.0
        return min(1.0, busy / passed) if passed > 0 else None
