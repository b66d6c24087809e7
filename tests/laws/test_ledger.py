"""The ledger's arithmetic: it balances where all is accounted for, and what a program said of itself is no answer."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.ledger import Ledger

COUNT = st.integers(0, 10**9)


@st.composite
def balanced(draw: st.DrawFn) -> Ledger:
    """An agent's ledger in which nothing is missing; own readings are among the good ones."""
    answered, own, uncertain, unchanged, pending = (draw(COUNT) for _ in range(5))
    bad = draw(st.dictionaries(st.sampled_from(["timeout", "sensor_open", "link_down"]), st.integers(1, 10**6)))
    polled = answered + own + uncertain + sum(bad.values()) + unchanged + pending
    return Ledger(
        polled=polled,
        good=answered + own + unchanged + pending,
        uncertain=uncertain,
        bad=bad,
        own=own,
        unchanged=unchanged,
        pending=pending,
        handed=polled - unchanged - pending,
        spooled=polled - unchanged - pending,
        waiting=polled - unchanged - pending,
    )


@given(balanced(), balanced())
def test_ledgers_add_and_stay_balanced(one: Ledger, other: Ledger) -> None:
    both = one.plus(other)
    assert one.differences() == both.differences() == []
    assert both.own == one.own + other.own
    assert both.answered == one.answered + other.answered


@given(balanced(), COUNT)
def test_own_readings_are_polled_and_handed_and_answered_by_nobody(ledger: Ledger, more: int) -> None:
    spoken = msgspec.structs.replace(
        ledger,
        polled=ledger.polled + more,
        good=ledger.good + more,
        own=ledger.own + more,
        handed=ledger.handed + more,
        spooled=ledger.spooled + more,
        waiting=ledger.waiting + more,
    )
    assert spoken.differences() == []
    assert spoken.answered == ledger.answered
    assert f"of itself: {spoken.own:,}" in spoken.lines()[-1]


def test_a_snapshot_from_before_own_readings_is_read() -> None:
    old = msgspec.json.decode(b'{"polled":3,"good":3,"handed":3,"spooled":3,"stored":3}', type=Ledger)
    assert (old.own, old.answered, old.differences()) == (0, 3, [])


def test_more_of_its_own_than_was_good_is_a_difference() -> None:
    wrong = Ledger(polled=2, good=2, own=3, handed=2, spooled=2, stored=2)
    assert wrong.differences() == ["own = 3 but good = 2: it cannot be more"]


@pytest.mark.parametrize("field", ["polled", "good", "handed", "spooled"])
def test_one_reading_too_many_is_a_difference(field: str) -> None:
    ledger = Ledger(polled=5, good=5, own=1, handed=5, spooled=5, stored=5)
    assert ledger.differences() == []
    assert msgspec.structs.replace(ledger, **{field: 6}).differences()
