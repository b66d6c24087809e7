"""Questions to the store, asked from a thread of their own: history of a point, and gaps."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ingest.answers import gaps_answer, history_body
from ingest.registry import Series
from ingest.store_duckdb import DuckdbStore

_HISTORY = """
SELECT r.at_us AS at_us, r.value AS value, t.value AS text, r.code AS code
FROM (SELECT at_us, value, code, batch FROM readings WHERE series = ? AND at_us BETWEEN ? AND ?) r
LEFT JOIN (SELECT at_us, value, batch FROM texts WHERE series = ?) t ON t.at_us = r.at_us AND t.batch = r.batch
ORDER BY r.at_us, r.batch LIMIT ?
"""

_GAPS_OF = """
SELECT begin_us, end_us, reason, readings FROM gaps
WHERE origin = ? AND end_us >= ? AND begin_us <= ? AND (len(devices) = 0 OR list_contains(devices, ?))
ORDER BY begin_us LIMIT 10000
"""

GAPS = """
SELECT origin, epoch, begin_us, end_us, readings, reason, devices FROM gaps ORDER BY end_us DESC, batch DESC LIMIT ?
"""


_COMMANDS = """
SELECT c.id, c.gateway, c.device, c.point, c.unit, c.own_unit, c.value, c.issued_us, c.expires_us, c.issued_by,
       r.at_us, r.outcome, r.value AS read, r.code, r.text, r.stored_us
FROM commands c LEFT JOIN results r ON r.id = c.id AND r.gateway = c.gateway
"""

OPEN_COMMANDS = """
SELECT * FROM commands c WHERE expires_us > ? AND NOT EXISTS (
    SELECT 1 FROM results r WHERE r.id = c.id AND r.gateway = c.gateway
) ORDER BY issued_us
"""


class Queries:
    """Reads what is committed; StoreDown when the store does not answer."""

    def __init__(self, store: DuckdbStore, reader: ThreadPoolExecutor) -> None:
        self._store = store
        self._reader = reader

    async def history(self, series: Series, begin: int, end: int, limit: int) -> bytes:
        """Readings of one series with begin <= at <= end, oldest first, and the gaps that touch that time."""
        return await asyncio.get_running_loop().run_in_executor(
            self._reader, self._history, series, begin, end, limit
        )

    def _history(self, series: Series, begin: int, end: int, limit: int) -> bytes:
        parameters: Sequence[Any] = (series.id, begin, end, series.id, limit + 1)
        columns = self._store.query(_HISTORY, parameters)
        gaps = self._store.query(_GAPS_OF, (series.origin, begin, end, series.device))
        return history_body(series, columns, gaps, _page_size(columns["at_us"], limit))

    async def command(self, id_: str) -> dict[str, Any]:
        """One command with its result, as columns; no row when there is none."""
        return await self._ask(_COMMANDS + "WHERE c.id = ?", (id_,))

    async def commands(self, limit: int) -> dict[str, Any]:
        """The newest commands with their results, as columns."""
        return await self._ask(_COMMANDS + "ORDER BY c.issued_us DESC LIMIT ?", (limit,))

    async def _ask(self, sql: str, parameters: Sequence[object]) -> dict[str, Any]:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._store.query, sql, parameters)

    async def gaps(self, limit: int) -> dict[str, Any]:
        """The newest gaps."""
        loop = asyncio.get_running_loop()
        return gaps_answer(await loop.run_in_executor(self._reader, self._store.query, GAPS, (limit,)))


def _page_size(at: Any, limit: int) -> int:
    """How many rows make a page: one that goes on never ends between two readings of the same time."""
    if len(at) <= limit:
        return limit
    whole = int(np.searchsorted(at, at[limit], side="left"))
    return whole or limit
