"""Columns of many batches become one set of rows: aliases resolved, units converted, non-values cleared.

Vectors end to end: the cost of a batch is a few microseconds, the cost of a reading a few nanoseconds. Finds
the batches that point outside their manifest or carry impossible codes and times, and names them instead of
raising.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from device_profiles.envelope import Batch, Column
from device_profiles.quality import Reason
from ingest.judging import Verdict
from ingest.registry import Aliases, Known
from ingest.rows import Codes, Float64, Int32, Int64, ReadingRows, TextRow
from ingest.words import BAD_CODES, NOT_A_NUMBER_CODE, WORST_CODE

Vector = npt.NDArray[Any]

MAX_OFFSET = 1 << 62
"""µs: base and offset each stay below it, so that their sum cannot overflow."""

EXACT = 1 << 53
"""Integers up to here are exact as DOUBLE."""


def merged(columns: Sequence[Column]) -> Vector:
    """The columns of all batches behind one another; copies once, however many there are."""
    formats = {column.format if isinstance(column, memoryview) else column.typecode for column in columns}
    if len(formats) == 1:
        return np.frombuffer(b"".join(columns), dtype=_DTYPES[formats.pop()])
    return np.concatenate([np.frombuffer(column, dtype=_dtype(column)) for column in columns])


_DTYPES = {"B": np.uint8, "H": np.uint16, "I": np.uint32, "q": np.int64, "f": np.float32, "d": np.float64}


def _dtype(column: Column) -> Any:
    return _DTYPES[column.format if isinstance(column, memoryview) else column.typecode]


class Stack:
    """The numeric columns of the batches that are to be stored, stacked; ``counts[i]`` rows belong to verdict i."""

    def __init__(self, verdicts: Sequence[Verdict], aliases: Aliases) -> None:
        self._verdicts = verdicts
        self._aliases = aliases
        # Every verdict here was judged STORED, so it has its batch and its columns.
        columns = [cast(Any, verdict.columns) for verdict in verdicts]
        self.counts: Int64 = np.array([len(c.codes) for c in columns], np.int64)
        self.codes: Codes = merged([c.codes for c in columns])
        self._alias = merged([c.aliases for c in columns])
        self._offsets = merged([c.offsets for c in columns])
        self._ticks: Int64 = np.array([c.tick for c in columns], np.int64)
        self._values = merged([c.values for c in columns])
        self._known = [verdict.known or _NO_MANIFEST for verdict in verdicts]

    def faults(self) -> dict[int, Reason]:
        """Position of each batch that cannot be stored, with the reason."""
        limits = np.repeat(np.array([len(known.series) for known in self._known], np.int64), self.counts)
        faults = dict.fromkeys(self._owners(self._alias >= limits), Reason.UNKNOWN_ALIAS)
        impossible = self.codes > WORST_CODE
        if self._offsets.dtype == np.int64:
            impossible |= (self._offsets >= MAX_OFFSET) | (self._offsets <= -MAX_OFFSET)
        faults.update(dict.fromkeys(self._owners(impossible), Reason.MALFORMED))
        return faults

    def _owners(self, wrong: npt.NDArray[np.bool_]) -> set[int]:
        if not wrong.any():
            return set()
        rows = np.nonzero(wrong)[0]
        return set(np.searchsorted(np.cumsum(self.counts), rows, side="right").tolist())

    def rows(self, first_batch: int) -> ReadingRows:
        """Series, time, value in the stored unit, code and batch number of every reading. BAD and NaN hold NaN."""
        batches: list[Batch] = [cast(Batch, verdict.batch) for verdict in self._verdicts]
        at: Int64 = np.repeat(np.array([batch.base for batch in batches], np.int64), self.counts)
        offsets: Int64 = self._offsets.astype(np.int64, copy=False)
        at += offsets if (self._ticks == 1).all() else offsets * np.repeat(self._ticks, self.counts)
        index = np.repeat(np.array([known.start for known in self._known], np.int64), self.counts)
        index += self._alias
        series: Int32 = self._aliases.series[index]
        numbers = np.repeat(np.arange(first_batch, first_batch + len(batches), dtype=np.int64), self.counts)
        values, codes = cleaned(self._values.astype(np.float64), self.codes)
        if any(known.converts for known in self._known):
            values = values * self._aliases.scale[index] + self._aliases.offset[index]
        return ReadingRows(series, at, values, codes, numbers)


_NO_MANIFEST = Known(cast(Any, None), "", [], 0, False)


def cleaned(values: Float64, codes: Codes) -> tuple[Float64, Codes]:
    """No number where the code says BAD; BAD where there is no number, though the code says otherwise."""
    bad = codes >= BAD_CODES
    no_number = ~np.isfinite(values)
    silent = no_number & ~bad
    if silent.any():
        codes = codes.copy()
        codes[silent] = NOT_A_NUMBER_CODE
    if bad.any() or silent.any():
        values[bad | no_number] = np.nan
    return values, codes


def other_rows(verdicts: Sequence[Verdict], aliases: Aliases, first_batch: int, first_row: int) -> tuple[
    ReadingRows, list[TextRow]
]:
    """Texts, booleans and large integers, one by one: the slow path. ``texts`` name the row that each belongs to."""
    rows: list[tuple[int, int, float, int, int]] = []
    texts: list[TextRow] = []
    for position, verdict in enumerate(verdicts):
        batch, columns = cast(Batch, verdict.batch), verdict.columns
        for alias, offset, value, code in columns.others if columns else ():
            index = (verdict.known or _NO_MANIFEST).start + alias
            scale, shift = float(aliases.scale[index]), float(aliases.offset[index])
            number = float("nan")
            if code >= BAD_CODES or value is None:
                code = code if code >= BAD_CODES else NOT_A_NUMBER_CODE
            elif isinstance(value, str) or (abs(value) > EXACT and (scale, shift) == (1.0, 0.0)):
                texts.append(TextRow(first_row + len(rows), str(value)))
            else:
                number = value * scale + shift
            rows.append((int(aliases.series[index]), batch.base + offset, number, code, first_batch + position))
    series, at, values, codes, numbers = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return (
        ReadingRows(
            np.array(series, np.int32),
            np.array(at, np.int64),
            np.array(values, np.float64),
            np.array(codes, np.uint8),
            np.array(numbers, np.int64),
        ),
        texts,
    )


def both(one: ReadingRows, other: ReadingRows) -> ReadingRows:
    """The rows of both, in this order."""
    return ReadingRows(
        np.concatenate([one.series, other.series]),
        np.concatenate([one.at, other.at]),
        np.concatenate([one.value, other.value]),
        np.concatenate([one.code, other.code]),
        np.concatenate([one.batch, other.batch]),
    )
