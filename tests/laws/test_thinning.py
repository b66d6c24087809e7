"""Thinning takes readings away and does nothing else: the laws of one value a minute, over random batches."""

from array import array
from itertools import groupby

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.envelope import Batch, Columns, EnvelopeError, decode_batch, encode_batch, pack_body, unpack_body
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Gap, Lane
from gateway.thinning import MINUTE, Thinned, Thinner, times_of

BASE = 1_795_000_020_000_000
GOOD, LATE, OPEN = code_of(Quality.GOOD), code_of(Quality.UNCERTAIN, Reason.LATE), code_of(Quality.BAD, Reason.TIMEOUT)
Row = tuple[int, int, object, int]
"""(alias, at, value, code)."""

NUMBERS = st.tuples(
    st.integers(0, 3), st.integers(0, 240_000), st.floats(allow_nan=False, width=32), st.sampled_from([GOOD, LATE])
)
TEXTS = st.tuples(st.integers(4, 5), st.integers(0, 240_000_000), st.sampled_from(["on", "off"]), st.just(GOOD))
GAP = Gap(origin="kz/agent", epoch=1, reason=Reason.QUEUE_FULL, begin=1, end=2, readings=3)


def batch_of(seq: int, numbers: list[tuple[int, int, float, int]], texts: list[tuple[int, int, str, int]]) -> Batch:
    """Numbers with offsets in ms, texts in µs, and a gap that is none of the thinner's business."""
    columns = Columns(
        array("H", [row[0] for row in numbers]),
        array("I", [row[1] for row in numbers]),
        array("f", [row[2] for row in numbers]),
        array("B", [row[3] for row in numbers]),
        others=list(texts),
        gaps=[GAP],
        tick=1000,
    )
    body, packed = pack_body(columns)
    return Batch(
        origin="kz/agent", epoch=1, seq=seq, lane=Lane.LIVE, manifest=7, base=BASE + seq * 17_000_000,
        count=len(numbers) + len(texts), body=body, packed=packed,
    )  # fmt: skip


BATCHES = st.lists(st.tuples(st.lists(NUMBERS, max_size=40), st.lists(TEXTS, max_size=10)), max_size=4).map(
    lambda drawn: [batch_of(seq, *each) for seq, each in enumerate(drawn, 1)]
)


def rows_of(batch: Batch) -> list[Row]:
    """What a batch says, numbers first."""
    columns = unpack_body(batch)
    times = times_of(batch, columns)
    numbers = zip(columns.aliases, times, columns.values, columns.codes, strict=False)
    others = zip(columns.others, times[len(columns.aliases) :], strict=True)
    return [*numbers, *((alias, at, value, code) for (alias, _, value, code), at in others)]


def thinned(batches: list[Batch]) -> list[Thinned]:
    thinner = Thinner()
    return [thinner.thin(batch) for batch in batches]


@given(BATCHES)
def test_nothing_is_invented_and_the_count_is_exact(batches: list[Batch]) -> None:
    for before, after in zip(batches, thinned(batches), strict=True):
        left, all_of_it = rows_of(after.batch), rows_of(before)
        remaining = iter(all_of_it)
        assert all(row in remaining for row in left), "what is left is a part of what was, in its order"
        assert after.removed == len(all_of_it) - len(left) == before.count - after.batch.count
        gone = list(all_of_it)
        for row in left:
            gone.remove(row)
        if gone:
            assert (after.begin, after.end) == (min(row[1] for row in gone), max(row[1] for row in gone))
        else:
            assert after == Thinned(before, 0)


@given(BATCHES)
def test_name_lane_base_and_gaps_stay(batches: list[Batch]) -> None:
    for before, after in zip(batches, thinned(batches), strict=True):
        same = msgspec.structs.replace(after.batch, count=before.count, body=before.body, packed=before.packed)
        assert same == before
        assert unpack_body(after.batch).gaps == [GAP]
        assert decode_batch(encode_batch(after.batch)) == after.batch


@given(BATCHES)
def test_the_first_of_each_minute_and_every_change_of_quality_stay(batches: list[Batch]) -> None:
    before: dict[int, list[Row]] = {}
    after: dict[int, list[Row]] = {}
    for batch, thin in zip(batches, thinned(batches), strict=True):
        for where, each in ((before, batch), (after, thin.batch)):
            for row in sorted(rows_of(each), key=lambda row: row[1]):
                where.setdefault(row[0], []).append(row)
    for alias, rows in before.items():
        firsts = [next(group) for _, group in groupby(rows, key=lambda row: (row[1] // MINUTE, row[3]))]
        assert all(row in after[alias] for row in firsts)
        if alias < 4:
            assert len(after[alias]) == len(firsts), "and of numbers nothing else"
        else:
            changes = [next(group) for _, group in groupby(rows, key=lambda row: (row[1] // MINUTE, row[3], row[2]))]
            assert len(after[alias]) == len(changes), "and of states every change"


@given(BATCHES)
def test_once_is_enough(batches: list[Batch]) -> None:
    once = [each.batch for each in thinned(batches)]
    assert [each.removed for each in thinned(once)] == [0] * len(once)


def test_a_minute_of_small_batches_leaves_one_value() -> None:
    """One reading a second in batches of a second: fifty-nine of sixty are emptied."""
    one, minute = batch_of(1, [(0, 0, 1.0, GOOD)], []), BASE // MINUTE * MINUTE
    found = thinned([msgspec.structs.replace(one, seq=n, base=minute + n * 1_000_000) for n in range(60)])
    assert [each.batch.count for each in found] == [1] + [0] * 59
    assert sum(each.removed for each in found) == 59


def test_an_alias_of_another_manifest_is_another_series() -> None:
    one, two = batch_of(1, [(0, 0, 1.0, GOOD)], []), batch_of(1, [(0, 0, 2.0, GOOD)], [])
    assert [each.removed for each in thinned([one, msgspec.structs.replace(two, manifest=8)])] == [0, 0]
    assert [each.removed for each in thinned([one, two])] == [0, 1]


def test_bytes_that_cannot_be_read_say_so() -> None:
    with pytest.raises(EnvelopeError):
        Thinner().thin(msgspec.structs.replace(batch_of(1, [], []), body=b"nothing", packed=False))
