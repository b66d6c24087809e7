"""The breaker's law: whatever a unit does, silence costs the bus less than two percent once the breaker is
open."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.breaker import LONGEST_WAIT, OPENS_AFTER, PROBE_RATIO, Breaker


@given(costs=st.lists(st.floats(0.001, 5.0), min_size=OPENS_AFTER, max_size=200))
def test_an_open_breaker_costs_less_than_two_percent(costs: list[float]) -> None:
    breaker, now, spent, opened_at = Breaker(), 0.0, 0.0, 0.0
    for number, cost in enumerate(costs, 1):
        now = max(now, breaker.retry_at) + cost
        breaker.was_silent(now, cost)
        assert breaker.is_open == (number >= OPENS_AFTER)
        if number == OPENS_AFTER:
            opened_at = now
        elif breaker.is_open:
            spent += cost
    assert breaker.opened == 1
    ends = max(breaker.retry_at, now)
    assert spent <= 0.02 * (ends - opened_at)


def test_probes_grow_rarer_up_to_a_cap() -> None:
    breaker, now, waits = Breaker(), 0.0, []
    for _ in range(OPENS_AFTER + 6):
        now = max(now, breaker.retry_at) + 0.3
        breaker.was_silent(now, 0.3)
        waits.append(round(breaker.retry_at - now, 6) if breaker.is_open else 0.0)
    first = 0.3 * PROBE_RATIO
    assert waits == [0, 0, first, 2 * first, *[LONGEST_WAIT] * 5]


def test_the_first_answer_closes_it() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker.was_silent(1.0, 0.3)
    breaker.answered()
    assert not breaker.is_open and breaker.retry_at == 0.0
    breaker.was_silent(2.0, 0.3)
    assert not breaker.is_open, "and it takes as many time-outs as before to open again"
