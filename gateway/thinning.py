"""One value a minute: what a full spool keeps of its oldest batches before it gives any of them up.

Pure: batches in, smaller batches of the same names out. Never changes a value or a time, never makes one up. Kept are
each series' first reading in each minute (UTC), every reading whose quality or reason differs from the one before it,
and of texts and whole numbers (states, not samples) every change. Declared gaps stay.
"""

from array import array
from collections.abc import Iterable
from typing import Any

import msgspec

from device_profiles.envelope import Batch, Column, Columns, pack_body, unpack_body

MINUTE = 60_000_000
"""µs."""

MOST_SERIES = 200_000
"""Series that are remembered: some 60 MB; beyond that all is forgotten, which keeps a value too many of each."""

Series = tuple[str, int, int, int]
"""(origin, epoch, manifest, alias): an alias means something only under its manifest."""


class Thinned(msgspec.Struct, frozen=True):
    """What is left of a batch, and how many readings were taken out, between which times (µs; 0 when none).

    ``empty``: nothing is left that would be worth sending, no reading and no declared gap.
    """

    batch: Batch
    removed: int
    begin: int = 0
    end: int = 0
    empty: bool = False


class Thinner:
    """Goes through the batches of a spool, oldest first, and remembers what it has kept of each series."""

    def __init__(self) -> None:
        self._last: dict[Series, tuple[object, ...]] = {}

    def thin(self, batch: Batch) -> Thinned:
        """A batch with fewer readings under the same name. EnvelopeError when its bytes cannot be read."""
        columns = unpack_body(batch)
        times = times_of(batch, columns)
        numbers = len(columns.aliases)
        keep = bytearray(len(times))
        for place in sorted(range(len(times)), key=times.__getitem__):
            minute = times[place] // MINUTE
            if place < numbers:
                alias = columns.aliases[place]
                state: tuple[object, ...] = (minute, columns.codes[place])
            else:
                alias, _, value, code = columns.others[place - numbers]
                state = (minute, code, value)
            keep[place] = self._is_news((batch.origin, batch.epoch, batch.manifest, alias), state)
        removed = [at for at, kept in zip(times, keep, strict=True) if not kept]
        if not removed:
            return Thinned(batch, 0)
        body, packed = pack_body(_kept(columns, keep))
        left = msgspec.structs.replace(batch, count=batch.count - len(removed), body=body, packed=packed)
        return Thinned(left, len(removed), min(removed), max(removed), not left.count and not columns.gaps)

    def _is_news(self, series: Series, state: tuple[object, ...]) -> bool:
        """True when the last reading of the series was in another minute, or of another state."""
        if self._last.get(series) == state:
            return False
        if len(self._last) >= MOST_SERIES:
            self._last.clear()
        self._last[series] = state
        return True


def times_of(batch: Batch, columns: Columns) -> list[int]:
    """The time of each reading, µs: numbers first, then the others."""
    base, tick = batch.base, columns.tick
    return [*(base + step * tick for step in columns.offsets), *(base + other[1] for other in columns.others)]


def _kept(columns: Columns, keep: bytearray) -> Columns:
    """The columns without what is not kept; types, step and gaps as they were."""
    numbers = keep[: len(columns.aliases)]
    others = [other for other, kept in zip(columns.others, keep[len(numbers) :], strict=True) if kept]
    aliases, offsets, values, codes = (
        _picked(column, numbers) for column in (columns.aliases, columns.offsets, columns.values, columns.codes)
    )
    return Columns(aliases, offsets, values, codes, others=others, gaps=columns.gaps, tick=columns.tick)


def _picked(column: Column, keep: Iterable[int]) -> "array[Any]":
    return array(memoryview(column).format, [item for item, kept in zip(column, keep, strict=True) if kept])
