"""Exactly once: which batches of each (origin, epoch) are stored, and which a micro-batch is about to store.

Holds nothing that is not committed: a ``Tentative`` collects the names of one micro-batch and is thrown away
when the commit fails, so memory and store cannot disagree.
"""

from collections.abc import Iterable, Iterator

from pyroaring import BitMap

Name = tuple[str, int, int]
"""(origin, epoch, seq)."""

Line = tuple[str, int]
"""(origin, epoch): seqs count from 1 along it."""


class Acceptance:
    """The set of stored seqs of every (origin, epoch), as roaring bitmaps (a few bytes for a run without holes)."""

    def __init__(self) -> None:
        self._stored: dict[Line, BitMap] = {}
        self._dirty: set[Line] = set()

    def __contains__(self, name: Name) -> bool:
        stored = self._stored.get(name[:2])
        return stored is not None and name[2] in stored

    def __len__(self) -> int:
        """Batches stored, ever."""
        return sum(len(stored) for stored in self._stored.values())

    def add(self, line: Line, seqs: Iterable[int]) -> None:
        """Note committed batches."""
        stored = self._stored.get(line)
        if stored is None:
            stored = self._stored[line] = BitMap()
        stored.update(seqs)
        self._dirty.add(line)

    def load(self, line: Line, serialised: bytes) -> None:
        """Take over a set that was written down; what is already here stays."""
        self._stored[line] = BitMap.deserialize(serialised) | self._stored.get(line, BitMap())

    def changed(self) -> Iterator[tuple[Line, bytes]]:
        """The sets that grew since ``settle``, serialised for the store."""
        for line in self._dirty:
            stored = self._stored[line]
            stored.run_optimize()
            yield line, stored.serialize()

    def settle(self) -> None:
        """What ``changed`` gave is on disk now."""
        self._dirty.clear()


class Tentative:
    """The names that one micro-batch would store: duplicates inside it are seen too."""

    def __init__(self, acceptance: Acceptance) -> None:
        self._acceptance = acceptance
        self.names: set[Name] = set()

    def __contains__(self, name: Name) -> bool:
        return name in self.names or name in self._acceptance

    def add(self, name: Name) -> None:
        """Take a name until the commit decides."""
        self.names.add(name)

    def commit(self) -> None:
        """The store has them: from now on they are duplicates."""
        lines: dict[Line, list[int]] = {}
        for origin, epoch, seq in self.names:
            lines.setdefault((origin, epoch), []).append(seq)
        for line, seqs in lines.items():
            self._acceptance.add(line, seqs)
