"""What this worker knows: registry, acceptance, latest values, counters. All of it is on disk too, always.

One rule keeps it so: the thread that plans and writes only reads it, and the loop changes it only after a
commit, while nothing is being planned. A commit that failed has changed nothing here.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ingest.acceptance import Acceptance
from ingest.accounts import Accounts
from ingest.judging import Verdict
from ingest.latest import Latest
from ingest.registry import Registration, Registry
from ingest.rows import Commit

if TYPE_CHECKING:
    from ingest.pipeline import Plan

KEPT_MESSAGES = 1000
KEPT_BYTES = 32 << 20
"""Malformed messages are evidence, not data: enough to see what a broken gateway sends, no way to fill a disk."""


class Names:
    """Gateways and origins as numbers, so that a batch row holds no text."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def plan(self) -> "NamesPlan":
        """Numbers for one commit, new ones among them."""
        return NamesPlan(self.numbers)


class NamesPlan:
    """Looks names up and numbers the new ones without entering them."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self._numbers = numbers
        self._added: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The number of a name."""
        number = self._numbers.get(name)
        if number is None:
            number = self._added.setdefault(name, len(self._numbers) + len(self._added))
        return number

    @property
    def new(self) -> list[tuple[int, str]]:
        """(number, name) of those that the store does not have."""
        return [(number, name) for name, number in self._added.items()]


class Kept:
    """How many messages are put aside, and how large they are."""

    def __init__(self) -> None:
        self.next_no = 0
        self.sizes: deque[tuple[int, int]] = deque()

    def room_for(self, sizes: Sequence[int]) -> int:
        """The number below which messages must go, so that these fit."""
        total = sum(size for _, size in self.sizes) + sum(sizes)
        excess = len(self.sizes) + len(sizes) - KEPT_MESSAGES
        first = 0
        for no, size in self.sizes if sizes else ():
            if excess <= 0 and total <= KEPT_BYTES:
                break
            first, excess, total = no + 1, excess - 1, total - size
        return first

    def apply(self, commit: Commit) -> None:
        """The store has put these aside and forgotten the oldest."""
        for row in commit.kept:
            self.sizes.append((row.no, len(row.data)))
            self.next_no = row.no + 1
        while self.sizes and self.sizes[0][0] < commit.forget_kept:
            self.sizes.popleft()


class Memory:
    """Everything a worker knows. ``next_batch`` and ``next_outcome`` number the rows of the store's ledger."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.acceptance = Acceptance()
        self.latest = Latest()
        self.accounts = Accounts()
        self.names = Names()
        self.kept = Kept()
        self.next_batch = 0
        self.next_outcome = 0

    def register(self, plan: Registration) -> None:
        """The store has new manifests: use them."""
        self.registry.apply(plan)
        self.latest.grow(len(self.registry.series))

    def newest_manifests(self, accepted: Iterable[Verdict]) -> list[tuple[str, int, int]]:
        """(origin, epoch, manifest) wherever these batches show that an origin now uses another one."""
        newest: dict[str, tuple[int, int]] = {}
        for verdict in accepted:
            if (known := verdict.known) is None or (batch := verdict.batch) is None:
                continue
            current = newest.get(batch.origin) or self.registry.current.get(batch.origin, (0, 0))
            if batch.epoch > current[0]:
                newest[batch.origin] = (batch.epoch, known.manifest.id)
        return [(origin, epoch, manifest) for origin, (epoch, manifest) in newest.items()]

    def apply(self, plan: "Plan") -> None:
        """The store has the commit: from here on it is known."""
        commit = plan.commit
        plan.tentative.commit()
        if plan.latest is not None:
            self.latest.apply(plan.latest)
        for key, tally in plan.tallies().items():
            self.accounts.note(key, tally.batches, tally.readings)
        self.names.numbers.update((name, number) for number, name in commit.names)
        for origin, epoch, manifest in commit.origins:
            self.registry.current[origin] = (epoch, manifest)
        self.kept.apply(commit)
        self.next_batch += len(commit.batches)
        self.next_outcome += len(commit.outcomes)
