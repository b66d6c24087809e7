"""The arithmetic of loss: every reading that was polled is somewhere, under exactly one name.

    polled  = good + uncertain + bad(by reason)
    polled  = unchanged + pending + handed
    handed  = spooled + refused(by reason)
    spooled = stored + duplicate + rejected(by reason) + given_up(by reason) + waiting

All counts are readings. ``unchanged`` readings were held back by their point's deadband; ``pending`` ones wait in the
agent's memory; ``discarded`` ones were answered by a device and deliberately not used (a late reply, a resync probe),
so they were never polled values. ``own`` ones are what the program said of itself: polled and good, and answered by
no device. Refuses nothing: a ledger that does not balance says so in ``differences``.
"""

import msgspec

from device_profiles.quality import VALUE_REASONS

Counts = dict[str, int]


def count(counts: Counts, word: str, n: int = 1) -> None:
    """Add ``n`` under a reason's word; zero leaves no trace."""
    if n:
        counts[word] = counts.get(word, 0) + n


def _merged(one: Counts, other: Counts) -> Counts:
    merged = dict(one)
    for word, n in other.items():
        count(merged, word, n)
    return merged


class Ledger(msgspec.Struct, kw_only=True):
    """Counts of readings from the poll to the store. The agent fills the first half, the gateway the second."""

    polled: int = 0
    good: int = 0
    uncertain: int = 0
    bad: Counts = msgspec.field(default_factory=dict)
    own: int = 0
    unchanged: int = 0
    pending: int = 0
    discarded: Counts = msgspec.field(default_factory=dict)
    handed: int = 0
    refused: Counts = msgspec.field(default_factory=dict)
    spooled: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: Counts = msgspec.field(default_factory=dict)
    given_up: Counts = msgspec.field(default_factory=dict)
    waiting: int = 0

    def plus(self, other: "Ledger") -> "Ledger":
        """Both together: ledgers add, so a street's is the sum of its poles'."""
        summed: dict[str, int | Counts] = {}
        for name in self.__struct_fields__:
            one, two = getattr(self, name), getattr(other, name)
            summed[name] = _merged(one, two) if isinstance(one, dict) else one + two
        return msgspec.convert(summed, Ledger)

    @property
    def answered(self) -> int:
        """Readings that devices answered, used or not: what a simulator's own count must equal."""
        from_values = sum(self.bad.get(reason.word, 0) for reason in VALUE_REASONS)
        return self.good - self.own + self.uncertain + from_values + sum(self.discarded.values())

    def differences(self) -> list[str]:
        """Every line of the identity that does not hold, in words; empty when all is accounted for."""
        lines = [
            ("polled", self.polled, "good + uncertain + bad", self.good + self.uncertain + sum(self.bad.values())),
            ("polled", self.polled, "unchanged + pending + handed", self.unchanged + self.pending + self.handed),
            ("handed", self.handed, "spooled + refused", self.spooled + sum(self.refused.values())),
            (
                "spooled",
                self.spooled,
                "stored + duplicate + rejected + given_up + waiting",
                self.stored
                + self.duplicate
                + sum(self.rejected.values())
                + sum(self.given_up.values())
                + self.waiting,
            ),
        ]
        found = [f"{left} = {n:,} but {right} = {m:,}" for left, n, right, m in lines if n != m]
        if self.own > self.good:
            found.append(f"own = {self.own:,} but good = {self.good:,}: it cannot be more")
        return found

    def lines(self) -> list[str]:
        """The ledger for people, one line an account."""

        def by_reason(counts: Counts) -> str:
            detail = ", ".join(f"{word} {n:,}" for word, n in sorted(counts.items()))
            return f"{sum(counts.values()):,}" + (f" ({detail})" if detail else "")

        return [
            f"polled   {self.polled:,} = good {self.good:,} + uncertain {self.uncertain:,} + bad {by_reason(self.bad)}",
            f"         {self.polled:,} = handed {self.handed:,} + unchanged {self.unchanged:,}"
            f" + pending {self.pending:,}",
            f"handed   {self.handed:,} = spooled {self.spooled:,} + refused {by_reason(self.refused)}",
            f"spooled  {self.spooled:,} = stored {self.stored:,} + duplicate {self.duplicate:,}"
            f" + rejected {by_reason(self.rejected)} + given up {by_reason(self.given_up)} + waiting {self.waiting:,}",
            f"answered but not used: {by_reason(self.discarded)}",
            f"of the good, said by the program of itself: {self.own:,}",
        ]
