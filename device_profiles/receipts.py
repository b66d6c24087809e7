"""What became of a batch: said by ingest after the store's commit, and the only thing that lets a gateway delete."""

import hashlib
from collections.abc import Iterable
from enum import IntEnum, unique

import cbor2
import msgspec

from device_profiles.envelope import EnvelopeError, load_cbor
from device_profiles.quality import Reason

VERSION = 1
DIGEST_BYTES = 8


@unique
class Outcome(IntEnum):
    """STORED, DUPLICATE and REJECTED are final; LATER asks for another try (and for the manifest)."""

    STORED = 0
    DUPLICATE = 1
    REJECTED = 2
    LATER = 3

    @property
    def final(self) -> bool:
        """True when the gateway may delete the batch."""
        return self is not Outcome.LATER


class Receipt(msgspec.Struct, frozen=True, array_like=True):
    """The fate of the batch (origin, epoch, seq)."""

    origin: str
    epoch: int
    seq: int
    outcome: Outcome
    reason: Reason = Reason.NONE

    @property
    def name(self) -> tuple[str, int, int]:
        """The batch's name."""
        return self.origin, self.epoch, self.seq


class Unreadable(msgspec.Struct, frozen=True, array_like=True):
    """A message whose name could not be read: kept by ingest, named by its digest, rejected for good."""

    digest: bytes
    reason: Reason


def digest_of(payload: bytes) -> bytes:
    """Eight bytes of SHA-256: names a payload that cannot name itself."""
    return hashlib.sha256(payload).digest()[:DIGEST_BYTES]


def encode_receipts(receipts: Iterable[Receipt], unreadable: Iterable[Unreadable] = ()) -> bytes:
    """One message for a gateway: {0: version, 1: [[origin, epoch, seq, outcome, reason]…], 2: [[digest, reason]…]}."""
    named = [[r.origin, r.epoch, r.seq, int(r.outcome), int(r.reason)] for r in receipts]
    return cbor2.dumps({0: VERSION, 1: named, 2: [[u.digest, int(u.reason)] for u in unreadable]})


def decode_receipts(data: bytes) -> tuple[list[Receipt], list[Unreadable]]:
    """Read such a message; EnvelopeError(MALFORMED) for anything else."""
    fields = load_cbor(data)
    if not isinstance(fields, dict) or fields.get(0) != VERSION:
        raise EnvelopeError(Reason.UNKNOWN_VERSION, "not a receipt message of version 1")
    try:
        return msgspec.convert(fields.get(1, []), list[Receipt]), msgspec.convert(fields.get(2, []), list[Unreadable])
    except msgspec.ValidationError as trouble:
        raise EnvelopeError(Reason.MALFORMED, f"not receipts: {trouble}") from None
