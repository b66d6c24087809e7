"""What is news: deadband, report period, quality; and the order in which things leave the outbox."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from device_profiles.envelope import decode_batch, unpack_body
from device_profiles.handover import BatchMessage, Reader
from device_profiles.ledger import Ledger
from device_profiles.profiles import RegisterPoint
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Value
from edge_agent.outbox import Outbox, Sealed
from edge_agent.reporting import SpanReport

MS = 1000
"""The step of the agent's time stamps on the wire, µs."""
OPEN = code_of(Quality.BAD, Reason.SENSOR_OPEN)


def numeric(name: str, kind: str = "u16") -> RegisterPoint:
    return RegisterPoint(name=name, title={}, quantity="", unit="1", table="holding", address=0, type=kind)


def make(deadbands: list[float], report: float = 60.0, kinds: str = "") -> tuple[SpanReport, Ledger, Outbox]:
    ledger = Ledger()
    owners = [f"d{alias}" for alias in range(10_000)]
    outbox = Outbox("site/agent", 1, 7, ledger, owners, batch_readings=10_000, most_pending=50_000)
    points = [numeric(f"p{i}", "string" if kinds[i : i + 1] == "s" else "u16") for i in range(len(deadbands))]
    size = len(points)
    return SpanReport(range(size), points, range(size), deadbands, [report] * size, 1.0), ledger, outbox


def drain(outbox: Outbox) -> list[tuple[int, int, Value, int]]:
    """What was reported: (alias, milliseconds, value, code)."""
    outbox.close_chunk()
    rows: list[tuple[int, int, Value, int]] = []
    while outbox.can_seal():
        rows += opened(outbox.seal())
    return sorted(rows, key=lambda row: row[1])  # a batch goes unit by unit; what happened goes by time


def opened(sealed: Sealed) -> list[tuple[int, int, Value, int]]:
    (message,) = Reader().feed(sealed.frame)
    assert isinstance(message, BatchMessage)
    batch = decode_batch(message.payload)
    columns = unpack_body(batch)
    numbers = zip(columns.aliases, columns.offsets, columns.values, columns.codes, strict=True)
    rows: list[tuple[int, int, Value, int]] = [(a, at * columns.tick, v, c) for a, at, v, c in numbers]
    return [(a, (batch.base + at) // MS, v, c) for a, at, v, c in [*rows, *columns.others]]


def test_only_what_left_its_deadband_is_news() -> None:
    report, ledger, outbox = make([0.5, 0.0])
    for n, values in enumerate([[10.0, 1.0], [10.4, 1.0], [10.4, 2.0], [10.6, 2.0], [10.2, 2.0]]):
        report.answered(list(values), b"\0\0", n * MS, float(n), ledger, outbox)
    assert [(alias, value) for alias, _, value, _ in drain(outbox)] == [(0, 10.0), (1, 1.0), (1, 2.0), (0, 10.6)]
    assert (ledger.polled, ledger.unchanged) == (10, 6)


def test_an_unchanged_value_is_reported_when_its_period_is_over() -> None:
    report, ledger, outbox = make([0.0], report=10.0)
    for n in range(25):
        report.answered([5.0], b"\0", n * MS, float(n), ledger, outbox)
    assert [at for _, at, _, _ in drain(outbox)] == [0, 10, 20]


def test_a_change_of_quality_is_always_news_and_a_bad_value_is_none() -> None:
    report, ledger, outbox = make([1e9, 1e9])
    report.answered([1.0, 2.0], b"\0\0", 0, 0.0, ledger, outbox)
    report.answered([math.nan, 2.0], bytes([OPEN, 0]), 1 * MS, 1.0, ledger, outbox)
    report.answered([math.nan, 2.0], bytes([OPEN, 0]), 2 * MS, 2.0, ledger, outbox)
    report.failed(Reason.TIMEOUT, 3 * MS, 3.0, ledger, outbox)
    report.failed(Reason.TIMEOUT, 4 * MS, 4.0, ledger, outbox)
    report.answered([1.0, 2.0], b"\0\0", 5 * MS, 5.0, ledger, outbox)
    rows = drain(outbox)
    assert [(alias, at) for alias, at, _, _ in rows] == [(0, 0), (1, 0), (0, 1), (0, 3), (1, 3), (0, 5), (1, 5)]
    assert all(math.isnan(value) for _, _, value, code in rows if code >> 6 == 2 and isinstance(value, float))
    assert (ledger.good, ledger.bad) == (6, {"sensor_open": 2, "timeout": 4})


def test_texts_and_wide_numbers_travel_apart() -> None:
    report, ledger, outbox = make([0.0, 0.0, 0.0], kinds="s  ")
    wide = (1 << 60) + 1
    report.answered(["SN-1", 2.0, wide], b"\0\0\0", 0, 0.0, ledger, outbox)
    report.answered(["SN-1", 2.0, wide], b"\0\0\0", 1 * MS, 1.0, ledger, outbox)
    report.failed(Reason.TIMEOUT, 2 * MS, 2.0, ledger, outbox)
    rows = sorted(drain(outbox), key=lambda row: (row[1], row[0]))
    assert rows[:3] == [(0, 0, "SN-1", 0), (1, 0, 2.0, 0), (2, 0, wide, 0)]
    assert [(alias, at) for alias, at, _, _ in rows[3:]] == [(0, 2), (1, 2), (2, 2)]


replies = st.lists(
    st.lists(st.one_of(st.just(None), st.sampled_from([0.0, 1.0, 1.5, 2.0, 40.0])), min_size=3, max_size=3),
    max_size=30,
)


@given(replies=replies, bands=st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=3))
def test_whoever_follows_the_reports_is_never_further_off_than_the_deadband(
    replies: list[list[float | None]], bands: list[float]
) -> None:
    report, ledger, outbox = make(bands)
    followed: dict[int, tuple[float | None, int]] = {}
    for n, reply in enumerate(replies):
        codes = bytes(OPEN if value is None else 0 for value in reply)
        values: list[Value] = [math.nan if value is None else value for value in reply]
        report.answered(values, codes, n * MS, float(n), ledger, outbox)
        for alias, _, value, code in drain(outbox):
            followed[alias] = (value if isinstance(value, float) else None, code)
        outbox.window.clear()
        for place, (value, code) in enumerate(zip(values, codes, strict=True)):
            known, known_code = followed[place]
            assert known_code == code
            if code == 0:
                assert isinstance(value, float) and known is not None and abs(value - known) <= bands[place]
    assert ledger.polled == ledger.unchanged + ledger.handed


def test_overflow_gives_up_the_oldest_and_says_so() -> None:
    ledger = Ledger()
    owners = [f"d{alias % 2}" for alias in range(100)]
    outbox = Outbox("site/agent", 1, 7, ledger, owners, batch_readings=10, most_pending=25)
    outbox.refusal = Reason.DISK_FULL
    for n in range(60):
        ledger.polled, ledger.good = n + 1, n + 1
        outbox.add(n, (n,), (float(n),), b"\0")
    assert ledger.pending <= 25 and ledger.refused == {"disk_full": 40}
    outbox.close_chunk()
    sealed = outbox.seal()
    (message,) = Reader().feed(sealed.frame)
    assert isinstance(message, BatchMessage)
    (gap,) = unpack_body(decode_batch(message.payload)).gaps
    assert (gap.begin, gap.end, gap.readings, gap.devices) == (0, 39, 40, ("d0", "d1"))
    assert sealed.seq == 1, "what was given up never had a name"
