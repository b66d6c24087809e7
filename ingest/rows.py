"""What one commit carries to the store: columns and rows, made by the pipeline, written by any store.

A store promises: all of a ``Commit`` or nothing, on disk when it returns; ``StoreDown`` when it could not.
"""

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from device_profiles.commands import CommandResult
from device_profiles.quality import Reason
from device_profiles.readings import Gap
from device_profiles.receipts import Outcome

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]


class StoreDown(Exception):
    """The store could not take a commit; nothing of it is there. Carries the store's own words."""


class ReadingRows(NamedTuple):
    """Readings as columns of one length. ``at``: UTC µs at the device; ``value`` is NaN where there is no number."""

    series: Int32
    at: Int64
    value: Float64
    code: Codes
    batch: Int64


class TextRow(NamedTuple):
    """A text, or an integer beyond 2**53, of the reading in row ``row`` of the same commit."""

    row: int
    value: str


class BatchRow(NamedTuple):
    """One line of the acceptance ledger. ``gateway`` and ``origin`` are numbers of names; times in UTC µs."""

    no: int
    gateway: int
    origin: int
    epoch: int
    seq: int
    lane: int
    readings: int
    received_at: int


class OutcomeRow(NamedTuple):
    """Batches that were not stored, summed."""

    no: int
    gateway: str
    outcome: Outcome
    reason: Reason
    batches: int
    readings: int


class GapRow(NamedTuple):
    """A gap and the batch that told of it."""

    batch: int
    gap: Gap


class CommandRow(NamedTuple):
    """A command as it was given. ``value`` in ``unit``, as the API shows the point; ``own_value`` in the point's
    ``own_unit``; times in UTC µs."""

    id: str
    gateway: str
    device: str
    point: str
    quantity: str
    unit: str
    own_unit: str
    value: float
    own_value: float
    issued: int
    expires: int
    by: str


class ResultRow(NamedTuple):
    """What became of a command, the gateway that says so, and the batch that told it."""

    batch: int
    gateway: str
    result: CommandResult


class KeptRow(NamedTuple):
    """A message put aside with all its bytes."""

    no: int
    topic: str
    reason: Reason
    received_at: int
    data: bytes


class Commit(msgspec.Struct):
    """One transaction. ``forget_kept``: messages put aside with a lower number make room."""

    stored_at: int
    readings: ReadingRows | None = None
    texts: list[TextRow] = []
    batches: list[BatchRow] = []
    outcomes: list[OutcomeRow] = []
    gaps: list[GapRow] = []
    results: list[ResultRow] = []
    kept: list[KeptRow] = []
    names: list[tuple[int, str]] = []
    origins: list[tuple[str, int, int]] = []
    forget_kept: int = 0

    @property
    def empty(self) -> bool:
        """Nothing to write."""
        return not (self.batches or self.outcomes or self.kept)


class LatestRows(NamedTuple):
    """Latest values as columns. ``rank``: min(at, stored_at), what decides which is the latest."""

    series: Int32
    rank: Int64
    at: Int64
    value: Float64
    code: Codes
    texts: dict[int, str]


class Checkpoint(msgspec.Struct):
    """What memory knows, summed up, so that a start reads only the tail. Covers what is before the numbers."""

    next_batch: int
    next_outcome: int
    latest: LatestRows
    accepted: list[tuple[str, int, bytes]]
    tallies: list[tuple[str, Outcome, Reason, int, int]]
    states: list[tuple[str, bytes]]
