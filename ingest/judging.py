"""One arriving message is judged: stored, duplicate, rejected or later; with its columns when it is to be
stored.

Reads headers and unpacks bodies; touches no value. What it refuses: bytes that are no batch (told by digest),
a gateway on another's shard, a manifest that is not known yet, values of impossible form. Changes nothing.
"""

from typing import NamedTuple

import msgspec

from device_profiles.envelope import Batch, Columns, EnvelopeError, decode_batch, unpack_body
from device_profiles.quality import Reason
from device_profiles.receipts import Outcome
from ingest.acceptance import Tentative
from ingest.accounts import NO_GATEWAY
from ingest.inbox import Answer
from ingest.registry import Known, Registry
from ingest.words import WORST_CODE

MAX_INTEGER = 1 << 64
MAX_TEXT = 4096
"""What one text value may hold: a status line, not a document."""


class Arrival(NamedTuple):
    """A message as it came. ``fault``: what its topic already says is wrong with it; no gateway: it is no batch.

    ``answer``: see ``inbox.Message``.
    """

    gateway: str
    topic: str
    payload: bytes
    received_at: int
    fault: Reason = Reason.NONE
    answer: Answer | None = None


class Verdict(msgspec.Struct):
    """What becomes of an arrival. ``batch`` is None when its name could not be read; ``keep``: put the bytes aside."""

    arrival: Arrival
    outcome: Outcome
    reason: Reason = Reason.NONE
    batch: Batch | None = None
    columns: Columns | None = None
    known: Known | None = None
    keep: bool = False


def judge(arrival: Arrival, registry: Registry, tentative: Tentative) -> Verdict:
    """The verdict on one arrival; a batch to be stored is entered in ``tentative``."""
    if arrival.gateway == NO_GATEWAY:
        return Verdict(arrival, Outcome.REJECTED, arrival.fault, keep=True)
    try:
        batch = decode_batch(arrival.payload)
    except EnvelopeError as trouble:
        return Verdict(arrival, Outcome.REJECTED, trouble.reason, keep=True)
    if arrival.fault:
        return Verdict(arrival, Outcome.REJECTED, arrival.fault, batch, keep=True)
    if batch.name in tentative:
        return Verdict(arrival, Outcome.DUPLICATE, batch=batch)
    known = registry.known(batch.origin, batch.manifest)
    if known is None and batch.count:
        return Verdict(arrival, Outcome.LATER, Reason.UNKNOWN_MANIFEST, batch)
    try:
        columns = unpack_body(batch)
    except EnvelopeError as trouble:
        return Verdict(arrival, Outcome.REJECTED, trouble.reason, batch, keep=True)
    if columns.others and (reason := _others_fault(columns, known)):
        return Verdict(arrival, Outcome.REJECTED, reason, batch, keep=True)
    tentative.add(batch.name)
    return Verdict(arrival, Outcome.STORED, Reason.NONE, batch, columns, known)


def _others_fault(columns: Columns, known: Known | None) -> Reason:
    series = len(known.series) if known else 0
    for alias, _, value, code in columns.others:
        if alias >= series:
            return Reason.UNKNOWN_ALIAS
        large = len(value) > MAX_TEXT if isinstance(value, str) else abs(value or 0) >= MAX_INTEGER
        if code > WORST_CODE or large:
            return Reason.MALFORMED
    return Reason.NONE
