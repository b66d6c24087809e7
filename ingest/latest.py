"""The latest value of every series, as arrays; an older reading never replaces one.

What decides is ``rank`` = min(at, stored_at), and of equals the one stored last: a reading stamped in the future
by a wrong clock is shown with its own time but does not freeze its series until that time comes. The lane does not
matter: a backlog reading is older than the live one that overtook it, and where nothing overtook it, it is the
latest that is known.
"""

import numpy as np

from ingest.rows import Codes, Float64, Int32, Int64, LatestRows, ReadingRows, TextRow

NEVER = np.iinfo(np.int64).min


class Latest:
    """Columns indexed by series number; ``rank`` is NEVER where nothing was ever seen."""

    def __init__(self) -> None:
        self.rank: Int64 = np.zeros(0, np.int64)
        self.at: Int64 = np.zeros(0, np.int64)
        self.value: Float64 = np.zeros(0, np.float64)
        self.code: Codes = np.zeros(0, np.uint8)
        self.texts: dict[int, str] = {}
        self._mark: Int64 = np.zeros(0, np.int64)
        self._dirty: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.zeros(0, np.bool_)

    def grow(self, series: int) -> None:
        """Make room for ``series`` series in all."""
        more = series - len(self.rank)
        if more > 0:
            self.rank = np.concatenate([self.rank, np.full(more, NEVER, np.int64)])
            self.at = np.concatenate([self.at, np.zeros(more, np.int64)])
            self.value = np.concatenate([self.value, np.full(more, np.nan)])
            self.code = np.concatenate([self.code, np.zeros(more, np.uint8)])
            self._mark = np.concatenate([self._mark, np.zeros(more, np.int64)])
            self._dirty = np.concatenate([self._dirty, np.zeros(more, np.bool_)])

    def newer(self, rows: ReadingRows, texts: list[TextRow], stored_at: int) -> LatestRows:
        """Of these readings, those that would become the latest, one a series. Changes nothing that is shown."""
        rank = np.minimum(rows.at, stored_at)
        candidates = np.nonzero(rank >= self.rank[rows.series])[0]
        ranks = rank[candidates]
        if len(ranks) > 1 and np.any(ranks[1:] < ranks[:-1]):
            candidates = candidates[np.argsort(ranks, kind="stable")]
        series = rows.series[candidates]
        # Where a series repeats, NumPy keeps the last assignment: the newest, and of equals the one that came last.
        positions = np.arange(len(candidates))
        self._mark[series] = positions
        chosen = candidates[self._mark[series] == positions]
        series = rows.series[chosen]
        latest_texts: dict[int, str] = {}
        if texts:
            text_of = dict(texts)
            pairs = zip(series.tolist(), chosen.tolist(), strict=True)
            latest_texts = {number: text_of[row] for number, row in pairs if row in text_of}
        return LatestRows(series, rank[chosen], rows.at[chosen], rows.value[chosen], rows.code[chosen], latest_texts)

    def apply(self, rows: LatestRows) -> None:
        """Show these from now on."""
        for number in self.texts.keys() & set(rows.series.tolist()) if self.texts else ():
            del self.texts[number]
        self.texts.update(rows.texts)
        self.rank[rows.series] = rows.rank
        self.at[rows.series] = rows.at
        self.value[rows.series] = rows.value
        self.code[rows.series] = rows.code
        self._dirty[rows.series] = True

    def changed(self) -> LatestRows:
        """What changed since ``settle``."""
        return self._rows(np.nonzero(self._dirty)[0].astype(np.int32))

    def seen(self) -> LatestRows:
        """Every series that was ever seen."""
        return self._rows(np.nonzero(self.rank != NEVER)[0].astype(np.int32))

    def settle(self) -> None:
        """What ``changed`` gave is on disk now."""
        self._dirty[:] = False

    def _rows(self, series: Int32) -> LatestRows:
        texts = {n: self.texts[n] for n in series.tolist() if n in self.texts} if self.texts else {}
        return LatestRows(series, self.rank[series], self.at[series], self.value[series], self.code[series], texts)
