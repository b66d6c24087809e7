"""What is told about readings that the spool gave up: gaps out of batches, joined where they touch, in a batch.

Pure arithmetic over rows; the store decides what is given up and when.
"""

from array import array
from collections.abc import Iterable

import msgspec

from device_profiles.envelope import Batch, Columns, EnvelopeError, decode_batch, encode_batch, pack_body, unpack_body
from device_profiles.manifests import Manifest, make_manifest
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane
from gateway.thinning import MINUTE

MAX_GAPS = 2_000
"""Gaps in one batch: about 100 bytes each before deflating, so far below an envelope's limit."""


class Victim(msgspec.Struct, frozen=True):
    """A waiting batch that is to be given up. ``at``: its base time, µs; ``count``: its readings."""

    id: int
    origin: str
    epoch: int
    seq: int
    at: int
    count: int
    size: int


def gap_manifest(gateway: str) -> Manifest:
    """The manifest of a gateway's own batches: they hold gaps only, so it names no device."""
    return make_manifest(gateway, [], [])


def end_of(payload: bytes) -> int | None:
    """The time of the newest reading in a batch, µs; None when the bytes do not say."""
    try:
        batch = decode_batch(payload)
        columns = unpack_body(batch)
    except EnvelopeError:
        return None
    offsets = [*(step * columns.tick for step in columns.offsets), *(other[1] for other in columns.others)]
    return batch.base + max(offsets, default=0)


def gaps_of(victims: Iterable[Victim], reason: Reason) -> list[Gap]:
    """One gap for each unbroken run of batches of one stream. ``end`` is the last batch's base time."""
    singles = [
        Gap(
            origin=victim.origin,
            epoch=victim.epoch,
            reason=reason,
            begin=victim.at,
            end=victim.at,
            readings=victim.count,
            first_seq=victim.seq,
            last_seq=victim.seq,
        )
        for victim in victims
    ]
    return joined(singles)


def joined(gaps: Iterable[Gap]) -> list[Gap]:
    """The same gaps, with those that continue one another made one: by their seqs, or by time what was thinned."""
    result: list[Gap] = []
    for gap in sorted(gaps, key=_place):
        if result and _continues(result[-1], gap):
            result[-1] = _union(result[-1], gap)
        else:
            result.append(gap)
    return result


def _place(gap: Gap) -> tuple[str, int, int, int, int]:
    return gap.origin, gap.epoch, gap.reason, gap.first_seq or 0, gap.begin


def _continues(one: Gap, two: Gap) -> bool:
    same = (one.origin, one.epoch, one.reason, one.devices) == (two.origin, two.epoch, two.reason, two.devices)
    if not same or (one.first_seq is None) != (two.first_seq is None):
        return False
    if one.last_seq is None:
        return one.reason is Reason.THINNED and two.begin <= one.end + MINUTE
    return two.first_seq == one.last_seq + 1


def _union(one: Gap, two: Gap) -> Gap:
    known = one.readings is not None and two.readings is not None
    return msgspec.structs.replace(
        one,
        begin=min(one.begin, two.begin),
        end=max(one.end, two.end),
        readings=(one.readings or 0) + (two.readings or 0) if known else None,
        last_seq=two.last_seq,
    )


def encode_gaps(gateway: str, epoch: int, seq: int, now: int, gaps: list[Gap]) -> bytes:
    """A batch of the gateway's own that holds no reading and these gaps; event lane, so that it leaves first."""
    columns = Columns(array("H"), array("I"), array("d"), array("B"), gaps=gaps)
    body, packed = pack_body(columns)
    return encode_batch(
        Batch(
            origin=gateway,
            epoch=epoch,
            seq=seq,
            lane=Lane.EVENT,
            manifest=gap_manifest(gateway).id,
            base=now,
            count=0,
            body=body,
            packed=packed,
        )
    )


def decode_gaps(payload: bytes) -> list[Gap]:
    """The gaps in a batch that ``encode_gaps`` made."""
    return unpack_body(decode_batch(payload)).gaps
