"""What is dated later is moved as a whole and says so: nothing lost, nothing invented, no value touched.

Steps from a second to ten years, readings of the box's own clock beside readings that brought their own time.
"""

import math
from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.envelope import (
    Batch,
    Columns,
    EnvelopeError,
    decode_batch,
    encode_batch,
    pack_body,
    unpack_body,
)
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Gap, Lane
from gateway.dating import doubt, redate
from gateway.thinning import times_of

SECOND = 1_000_000
YEARS = 10 * 366 * 86_400 * SECOND
BASE = 100 * SECOND
SPAN = (-2 * SECOND, 4_000 * SECOND)
ELSEWHERE = 1_795_000_000 * SECOND
"""A time that a device brought with it: far outside the span."""

CODES = [code_of(Quality.GOOD), code_of(Quality.UNCERTAIN, Reason.LATE), code_of(Quality.BAD, Reason.TIMEOUT)]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 70_000),
        st.one_of(st.integers(BASE, SPAN[1]), st.integers(ELSEWHERE, ELSEWHERE + SECOND)),
        st.floats(allow_nan=False),
        st.sampled_from(CODES),
    ),
    max_size=20,
)
TEXTS = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(BASE, SPAN[1]), st.sampled_from(["on", 1 << 60]), st.sampled_from(CODES[:2])
    ),
    max_size=4,
)
STEPS = st.one_of(st.integers(SECOND, YEARS), st.integers(-YEARS, -SECOND))
GAPS = [Gap(origin="kz/agent", epoch=1, reason=Reason.QUOTA, begin=BASE, end=2 * BASE, readings=3)]
Row = tuple[int, int, object, int]


def batch_of(numbers: list[tuple[int, int, float, int]], texts: list[tuple[int, int, str | int, int]]) -> bytes:
    wide = any(at > SPAN[1] for _, at, _, _ in numbers)
    columns = Columns(
        array("I", [row[0] for row in numbers]),
        array("q" if wide else "I", [row[1] - BASE for row in numbers]),
        array("d", [math.nan if row[3] >> 6 == Quality.BAD else row[2] for row in numbers]),
        array("B", [row[3] for row in numbers]),
        others=[(alias, at - BASE, value, code) for alias, at, value, code in texts],
        gaps=GAPS,
    )
    body, packed = pack_body(columns)
    count = len(numbers) + len(texts)
    return encode_batch(
        Batch(
            origin="kz/agent",
            epoch=1,
            seq=1,
            lane=Lane.LIVE,
            manifest=7,
            base=BASE,
            count=count,
            body=body,
            packed=packed,
        )
    )


def rows_of(payload: bytes) -> list[Row]:
    batch = decode_batch(payload)
    columns = unpack_body(batch)
    times = times_of(batch, columns)
    values = [None if math.isnan(value) else value for value in columns.values]
    numbers = zip(columns.aliases, times, values, columns.codes, strict=False)
    others = zip(columns.others, times[len(values) :], strict=True)
    return [*numbers, *((alias, at, value, code) for (alias, _, value, code), at in others)]


def marked(code: int, reason: Reason) -> int:
    return code if code >> 6 == Quality.BAD else code_of(Quality.UNCERTAIN, reason)


@given(ROWS, TEXTS, STEPS)
def test_a_step_moves_the_boxs_own_times_and_nothing_else(
    numbers: list[tuple[int, int, float, int]], texts: list[tuple[int, int, str | int, int]], step: int
) -> None:
    before = batch_of(numbers, texts)
    expected = [
        (alias, at + step, value, marked(code, Reason.RE_DATED)) if at <= SPAN[1] else (alias, at, value, code)
        for alias, at, value, code in rows_of(before)
    ]
    after = redate(before, SPAN, step)
    assert rows_of(after) == expected
    batch = decode_batch(after)
    assert batch.name == ("kz/agent", 1, 1) and batch.base == BASE + step and batch.count == len(expected)
    (gap,) = unpack_body(batch).gaps
    assert gap == msgspec.structs.replace(GAPS[0], begin=BASE + step, end=2 * BASE + step)


@given(ROWS, TEXTS)
def test_doubt_marks_and_moves_nothing(
    numbers: list[tuple[int, int, float, int]], texts: list[tuple[int, int, str | int, int]]
) -> None:
    before = batch_of(numbers, texts)
    after = doubt(before, SPAN)
    assert rows_of(after) == [
        (alias, at, value, marked(code, Reason.CLOCK_DOUBTED) if at <= SPAN[1] else code)
        for alias, at, value, code in rows_of(before)
    ]
    assert unpack_body(decode_batch(after)).gaps == GAPS
    assert doubt(after, SPAN) == after, "once is enough: it is done anew each time that a batch is lent"


def test_coarse_steps_stay_coarse() -> None:
    """A batch all of whose times are the box's is moved by its base alone: not a byte longer."""
    columns = Columns(array("H", [0, 1]), array("H", [0, 900]), array("f", [1.0, 2.0]), array("B", bytes(2)), tick=1000)
    body, packed = pack_body(columns)
    batch = Batch(
        origin="kz/agent", epoch=1, seq=1, lane=Lane.LIVE, manifest=7, base=BASE, count=2, body=body, packed=packed
    )
    after = unpack_body(decode_batch(redate(encode_batch(batch), SPAN, YEARS)))
    assert after.tick == 1000 and memoryview(after.offsets).format == "H"


def test_bytes_that_cannot_be_read_stay_as_they_are() -> None:
    broken = encode_batch(msgspec.structs.replace(decode_batch(batch_of([], [])), body=b"\xff"))
    assert doubt(broken, SPAN) == broken
    with pytest.raises(EnvelopeError):
        redate(broken, SPAN, SECOND)
