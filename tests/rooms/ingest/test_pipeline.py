"""From bytes to rows: what is accepted, converted, cleared, refused and counted."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.envelope import MAX_BATCH_BYTES, Batch, Columns, unpack_body
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Gap, Lane
from device_profiles.receipts import Outcome
from tests.rooms.ingest.sender import (
    EPOCH,
    HUMIDITY,
    KELVIN,
    ODD,
    ORIGIN,
    START,
    STATE,
    TEMPERATURE,
    Centre,
    Row,
    arrival,
    batch,
    manifest,
    outcomes,
)

BAD_TIMEOUT = code_of(Quality.BAD, Reason.TIMEOUT)
STORED = (Outcome.STORED, "none")
DUPLICATE = (Outcome.DUPLICATE, "none")
READINGS = "SELECT series, at_us, value, code FROM readings ORDER BY rowid"


def test_readings_are_stored_as_they_were_sent(centre: Centre) -> None:
    plan = centre.take(batch(1, [(TEMPERATURE, 0, 21.5, 0), (HUMIDITY, 1500, 60.0, 64)]))
    assert outcomes(plan) == [STORED]
    assert centre.rows(READINGS) == [(0, START, 21.5, 0), (2, START + 1500, 60.0, 64)]


def test_units_are_converted_where_they_differ(centre: Centre) -> None:
    centre.take(batch(1, [(KELVIN, 0, 293.15, 0), (TEMPERATURE, 0, 20.0, 0), (ODD, 0, 7.0, 0)]))
    values = [row[2] for row in centre.rows(READINGS)]
    assert values == [pytest.approx(20.0), 20.0, 7.0]
    assert [centre.memory.registry.series[n].unit for n in (0, 1, 4)] == ["Cel", "Cel", "m"]


def test_wide_columns_and_narrow_ones_mix(centre: Centre) -> None:
    centre.take(batch(1, [(KELVIN, -5, 293.25, 0)], wide=True), batch(2, [(KELVIN, 5, 293.25, 0)]))
    first, second = centre.rows(READINGS)
    assert (first[1], second[1]) == (START - 5, START + 5)
    assert first[2] == pytest.approx(20.1, abs=1e-4)
    assert second[2] == pytest.approx(20.1)


def test_a_bad_reading_is_null_whatever_it_carried(centre: Centre) -> None:
    centre.take(batch(1, [(TEMPERATURE, 0, math.nan, BAD_TIMEOUT), (HUMIDITY, 0, 55.0, BAD_TIMEOUT)]))
    assert [row[2:] for row in centre.rows(READINGS)] == [(None, BAD_TIMEOUT), (None, BAD_TIMEOUT)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_never_good(centre: Centre, value: float) -> None:
    centre.take(batch(1, [(TEMPERATURE, 0, value, 0)]))
    assert centre.rows(READINGS) == [(0, START, None, code_of(Quality.BAD, Reason.NOT_A_NUMBER))]


def test_texts_booleans_and_large_integers(centre: Centre) -> None:
    large = (1 << 60) + 1
    values: list[str | int | None] = ["打开", True, large, None, 5]
    codes = [0, 0, 0, BAD_TIMEOUT, 0]
    others = [(STATE, at, value, code) for at, (value, code) in enumerate(zip(values, codes, strict=True))]
    centre.take(batch(1, [], others=others))
    joined = centre.rows(
        "SELECT r.at_us - 1795000000000000, r.value, t.value AS text, r.code FROM readings r"
        " LEFT JOIN texts t ON t.at_us = r.at_us ORDER BY 1"
    )
    assert joined == [
        (0, None, "打开", 0),
        (1, 1.0, None, 0),
        (2, None, str(large), 0),
        (3, None, None, BAD_TIMEOUT),
        (4, 5.0, None, 0),
    ]


def test_a_batch_of_gaps_needs_no_manifest(centre: Centre) -> None:
    killed, devices = Reason.ORIGINATOR_KILLED, ("kz1-air",)
    gap = Gap(origin=ORIGIN, epoch=EPOCH, reason=killed, begin=START, end=START + 9, devices=devices)
    assert outcomes(centre.take(batch(1, [], origin="kz-001", gaps=[gap], manifest_id=0))) == [STORED]
    (row,) = centre.rows("SELECT origin, readings, begin_us, end_us, reason FROM gaps")
    assert row == (ORIGIN, None, START, START + 9, Reason.ORIGINATOR_KILLED)


def test_a_second_arrival_changes_nothing(centre: Centre) -> None:
    assert outcomes(centre.take(batch(1), batch(1))) == [STORED, DUPLICATE]
    assert outcomes(centre.take(batch(1))) == [DUPLICATE]
    assert outcomes(centre.take(batch(1, epoch=EPOCH + 1))) == [STORED]
    assert len(centre.rows(READINGS)) == 2


def test_an_unknown_manifest_is_for_later(centre: Centre) -> None:
    other = manifest("kz-001/other")
    later = (Outcome.LATER, "unknown_manifest")
    assert outcomes(centre.take(batch(1, origin="kz-001/other"))) == [later]
    assert outcomes(centre.take(batch(1, manifest_id=other.id))) == [later], "another origin's manifest is none"
    centre.register(other)
    assert outcomes(centre.take(batch(1, origin="kz-001/other"))) == [STORED]


def _bytes(payload: bytes, **fields: object) -> bytes:
    content = cbor2.loads(payload)
    return cbor2.dumps(content | {int(name[1:]): value for name, value in fields.items()})


BROKEN = {
    "nothing": (b"", "malformed"),
    "noise": (b"\xff" * 40, "malformed"),
    "truncated": (batch(9)[:-3], "malformed"),
    "trailing": (batch(9) + b"\0", "malformed"),
    "oversized": (b"\0" * (MAX_BATCH_BYTES + 1), "oversized"),
    "version": (_bytes(batch(9), _0=2), "unknown_version"),
    "origin": (_bytes(batch(9), _1="two words"), "malformed"),
    "seq": (_bytes(batch(9), _3=0), "malformed"),
    "lane": (_bytes(batch(9), _4=3), "malformed"),
    "count": (batch(9, count=7), "malformed"),
    "body": (_bytes(batch(9), _8=b"\xa0"), "malformed"),
    "bomb": (_bytes(batch(9), _8=b"not deflated", _9=1), "malformed"),
    "alias": (batch(9, [(len("12345"), 0, 1.0, 0)]), "unknown_alias"),
    "wide alias": (batch(9, [(70_000, 0, 1.0, 0)], wide=True), "unknown_alias"),
    "other alias": (batch(9, others=[(99, 0, "x", 0)]), "unknown_alias"),
    "quality": (batch(9, [(0, 0, 1.0, 0xC1)]), "malformed"),
    "other quality": (batch(9, others=[(STATE, 0, "x", 0xC1)]), "malformed"),
    "time": (batch(9, [(0, (1 << 62) + 1, 1.0, 0)], wide=True), "malformed"),
    "long text": (batch(9, others=[(STATE, 0, "x" * 5000, 0)]), "malformed"),
    "vast integer": (batch(9, others=[(STATE, 0, 1 << 5000, 0)]), "malformed"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_bad_input_is_put_aside_with_its_bytes_and_the_rest_goes_on(centre: Centre, name: str) -> None:
    payload, reason = BROKEN[name]
    plan = centre.take(batch(1), payload, batch(2))
    assert outcomes(plan) == [STORED, (Outcome.REJECTED, reason), STORED]
    assert centre.rows("SELECT data, reason FROM malformed") == [(payload, Reason[reason.upper()])]
    assert centre.memory.accounts.malformed() == {reason: 1}
    assert len(centre.rows(READINGS)) == 2
    assert outcomes(centre.take(batch(9))) == [STORED], "a rejected name can still be stored"


def test_bytes_put_aside_are_bounded(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.memory.KEPT_MESSAGES", 5)
    for number in range(4):
        centre.take(*(b"%d-%d" % (number, n) for n in range(3)))
    assert [row[0] for row in centre.rows("SELECT data FROM malformed ORDER BY no")] == [
        b"2-1",
        b"2-2",
        b"3-0",
        b"3-1",
        b"3-2",
    ]
    monkeypatch.setattr("ingest.memory.KEPT_BYTES", 100)
    centre.take(b"x" * 90)
    assert [len(row[0]) for row in centre.rows("SELECT data FROM malformed ORDER BY no")] == [3, 3, 3, 90]  # type: ignore[arg-type]  # data is a BLOB
    assert centre.memory.accounts.malformed() == {"malformed": 13}


def test_a_bug_in_one_batch_is_contained(
    centre: Centre, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(subject: Batch) -> Columns:
        if subject.seq == 2:
            raise ZeroDivisionError("a bug of ours")
        return unpack_body(subject)

    monkeypatch.setattr("ingest.judging.unpack_body", broken)
    for _ in range(2):
        plan = centre.take(batch(1), batch(2), batch(3))
        assert outcomes(plan)[1] == (Outcome.REJECTED, "bug")
    assert plan.verdicts[1].batch is not None
    assert plan.verdicts[1].batch.seq == 2
    assert sum("met a bug" in record.message for record in caplog.records) == 1
    assert len(centre.rows(READINGS)) == 2
    monkeypatch.undo()
    assert outcomes(centre.take(batch(2))) == [STORED]


def test_only_a_newer_reading_becomes_the_latest(centre: Centre) -> None:
    def latest() -> tuple[float, int]:
        return float(centre.memory.latest.value[0]), int(centre.memory.latest.at[0])

    centre.take(batch(1, [(TEMPERATURE, 100, 1.0, 0), (TEMPERATURE, 50, 2.0, 0)]))
    assert latest() == (1.0, START + 100)
    centre.take(batch(2, [(TEMPERATURE, 99, 3.0, 0)], lane=Lane.BACKLOG))
    assert latest() == (1.0, START + 100), "backlog is older"
    centre.take(batch(3, [(TEMPERATURE, 200, 4.0, 0)]), batch(4, [(TEMPERATURE, 150, 5.0, 0)]))
    assert latest() == (4.0, START + 200)
    centre.take(batch(5, [(TEMPERATURE, 300, math.nan, BAD_TIMEOUT)]))
    assert math.isnan(latest()[0])
    assert centre.memory.latest.code[0] == BAD_TIMEOUT


def test_a_wrong_clock_does_not_freeze_a_series(centre: Centre) -> None:
    ahead = 365 * 86_400_000_000
    centre.take(batch(1, [(TEMPERATURE, 0, 1.0, 0)], base=START + ahead))
    assert centre.memory.latest.at[0] == START + ahead
    now = centre.now
    centre.take(batch(2, [(TEMPERATURE, 500, 2.0, 0)], base=now))
    assert centre.memory.latest.value[0] == 2.0


@settings(max_examples=25, deadline=None)
@given(
    packs=st.lists(
        st.lists(
            st.tuples(
                st.integers(1, 6),
                st.lists(
                    st.tuples(
                        st.integers(0, 2),
                        st.integers(0, 9),
                        st.floats(-50, 50, width=32) | st.just(math.nan),
                        st.sampled_from([0, 64, BAD_TIMEOUT]),
                    ),
                    max_size=4,
                ),
            ),
            max_size=5,
        ),
        max_size=4,
    )
)
def test_against_one_reading_at_a_time(packs: list[list[tuple[int, list[Row]]]]) -> None:
    """The columnar path against the plain rules, over duplicates, reordering and a reopened store."""
    stored: list[tuple[int, int, float | None, int]] = []
    latest: dict[int, tuple[int, float | None, int]] = {}
    seen: set[int] = set()
    with TemporaryDirectory() as folder:
        centre = Centre(Path(folder) / "c.duckdb")
        centre.register(manifest())
        for pack in packs:
            plan = centre.take(*(batch(seq, rows) for seq, rows in pack)) if pack else None
            for position, (seq, rows) in enumerate(pack):
                assert plan is not None
                assert outcomes(plan)[position] == (DUPLICATE if seq in seen else STORED)
                if seq not in seen:
                    seen.add(seq)
                    for row in rows:
                        _expect(row, stored, latest)
        found = [(s, a, None if v is None else round(float(str(v)), 6), c) for s, a, v, c in centre.rows(READINGS)]
        assert found == stored
        _same_latest(centre, latest)
        centre.store.close()
        again = Centre(Path(folder) / "c.duckdb")
        from ingest.loading import load_memory

        again.memory, _ = load_memory(again.store)
        _same_latest(again, latest)
        assert len(again.memory.acceptance) == len(seen)
        assert again.memory.accounts.summary()["stored"] == len(stored)
        again.store.close()


def _expect(
    row: Row, stored: list[tuple[int, int, float | None, int]], latest: dict[int, tuple[int, float | None, int]]
) -> None:
    alias, offset, number, code = row
    value = None
    if code < 128 and math.isnan(number):
        code = code_of(Quality.BAD, Reason.NOT_A_NUMBER)
    elif code < 128:
        value = round(number - 273.15 if alias == KELVIN else number, 6)
    stored.append((alias, START + offset, value, code))
    if alias not in latest or START + offset >= latest[alias][0]:
        latest[alias] = (START + offset, value, code)


def _same_latest(centre: Centre, latest: dict[int, tuple[int, float | None, int]]) -> None:
    shown = centre.memory.latest.seen()
    columns = zip(shown.series.tolist(), shown.at.tolist(), shown.value.tolist(), shown.code.tolist(), strict=True)
    assert {s: (at, None if math.isnan(v) else round(v, 6), code) for s, at, v, code in columns} == latest


def test_an_arrival_of_nobody_is_no_batch(centre: Centre) -> None:
    stray = arrival(b"hello", gateway="")._replace(fault=Reason.UNKNOWN_TOPIC)
    plan = centre.pipeline.plan([stray], centre.now)
    centre.store.commit(plan.commit)
    centre.memory.apply(plan)
    assert centre.memory.accounts.summary()["arrived"] == 0
    assert centre.memory.accounts.summary("batches")["arrived"] == 0
    assert centre.memory.accounts.malformed() == {"unknown_topic": 1}
