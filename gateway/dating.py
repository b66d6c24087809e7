"""The times in a batch that the box dated before it knew the time: moved when it does, or marked as doubtful.

Pure. Only times within a span are the box's own; a reading from outside it brought its time from its device and is left
alone. A reading that is moved or doubted is UNCERTAIN with the reason; a BAD one stays what it is. Values never change.
"""

from array import array

import msgspec

from device_profiles.commands import CommandResult
from device_profiles.envelope import Columns, EnvelopeError, decode_batch, encode_batch, pack_body, unpack_body
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Gap
from gateway.thinning import times_of

Span = tuple[int, int]
"""The first and the last time, µs, that the box can have given."""


def redate(payload: bytes, span: Span, by: int) -> bytes:
    """The batch with the box's own times moved by ``by`` µs and marked RE_DATED. EnvelopeError: it cannot be read."""
    return _rewritten(payload, span, by, code_of(Quality.UNCERTAIN, Reason.RE_DATED))


def doubt(payload: bytes, span: Span) -> bytes:
    """The batch with the readings that the box dated marked CLOCK_DOUBTED; what cannot be read stays as it is."""
    try:
        return _rewritten(payload, span, 0, code_of(Quality.UNCERTAIN, Reason.CLOCK_DOUBTED))
    except EnvelopeError:
        return payload


def _rewritten(payload: bytes, span: Span, by: int, code: int) -> bytes:
    batch = decode_batch(payload)
    columns = unpack_body(batch)
    begin, end = span
    ours = [begin <= at <= end for at in times_of(batch, columns)]
    numbers = len(columns.aliases)
    codes = [_marked(old, code) if own else old for old, own in zip(columns.codes, ours, strict=False)]
    others = [
        (alias, offset, value, _marked(old, code) if own else old)
        for (alias, offset, value, old), own in zip(columns.others, ours[numbers:], strict=True)
    ]
    base = batch.base + by if begin <= batch.base <= end else batch.base
    marked = Columns(
        columns.aliases,
        columns.offsets,
        columns.values,
        array("B", codes),
        others=others,
        gaps=[_moved(gap, span, by) for gap in columns.gaps],
        tick=columns.tick,
        results=[_later(result, span, by) for result in columns.results],
    )
    mixed = by and not (all(ours) and base != batch.base)
    if mixed:
        _move_each(marked, batch.base - base, [by if own else 0 for own in ours])
    body, packed = pack_body(marked)
    rewritten = msgspec.structs.replace(batch, base=base, body=body, packed=packed)
    if mixed:
        unpack_body(rewritten)  # offsets that no centre would read were absurd before: they stay as they are
    return encode_batch(rewritten)


def _marked(old: int, code: int) -> int:
    """UNCERTAIN for this reason; what has no value keeps its own."""
    return old if old >> 6 >= Quality.BAD else code


def _moved(gap: Gap, span: Span, by: int) -> Gap:
    """A gap whose ends the box dated."""
    begin, end = (at + by if span[0] <= at <= span[1] else at for at in (gap.begin, gap.end))
    return msgspec.structs.replace(gap, begin=min(begin, end), end=max(begin, end))


def _later(result: CommandResult, span: Span, by: int) -> CommandResult:
    """What became of a command, at a time that the box dated."""
    return msgspec.structs.replace(result, at=result.at + by) if span[0] <= result.at <= span[1] else result


def _move_each(columns: Columns, rebased: int, by: list[int]) -> None:
    """Offsets in µs, one by one: some of the times are the devices' own. ``rebased``: old base less the new one."""
    numbers = len(columns.aliases)
    steps = zip(columns.offsets, by, strict=False)
    try:
        columns.offsets = array("q", [step * columns.tick + rebased + each for step, each in steps])
    except OverflowError:
        raise EnvelopeError(Reason.MALFORMED, "an offset beyond 64 bits") from None
    columns.tick = 1
    columns.others = [
        (alias, offset + rebased + each, value, code)
        for (alias, offset, value, code), each in zip(columns.others, by[numbers:], strict=True)
    ]
