"""Bytes take the time that they take: the schedule is arithmetic, so it is tested without waiting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.pacing import byte_s, schedule, silence_s, wire_s

BAUDS = [1200, 9600, 19200, 115200]


@given(st.binary(min_size=1, max_size=260), st.sampled_from(BAUDS))
def test_no_byte_is_early_and_the_last_is_exactly_on_time(data: bytes, baud: int) -> None:
    plan = schedule(data, baud)
    assert b"".join(piece for _, piece in plan) == data
    out = 0
    for after, piece in plan:
        out += len(piece)
        assert after == wire_s(out, baud)
        assert len(piece) == 1 or len(piece) * byte_s(baud) <= 0.001
    assert plan[-1][0] == pytest.approx(len(data) * 11 / baud)


def test_silence_is_three_and_a_half_characters_and_fixed_above_19200_baud() -> None:
    assert silence_s(9600) == pytest.approx(0.00401, abs=1e-5)
    assert silence_s(19200) == pytest.approx(0.002005, abs=1e-5)
    assert silence_s(115200) == 0.00175
