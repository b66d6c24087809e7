"""The window's bookkeeping: lanes keep their shares, nothing is sent without pause, nothing is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from device_profiles.readings import Lane
from gateway.window import LONGEST_RESEND, Flight, Window


def flight(number: int, lane: Lane = Lane.LIVE, size: int = 100) -> Flight:
    return Flight(id=number, name=("kz-001/agent", 1, number), lane=lane, at=0, readings=1, payload=bytes(size))


def fill(window: Window, lane: Lane, first: int = 1) -> int:
    """Add as many of one lane as there is room for: how many."""
    number = 0
    while (wish := window.wish(0)) and wish.limits[lane] > 0:
        window.add(flight(first + number, lane))
        number += 1
    return number


@given(st.integers(4, 100), st.permutations([Lane.LIVE, Lane.BACKLOG]))
def test_live_and_backlog_leave_room_for_each_other_and_for_events(slots: int, order: list[Lane]) -> None:
    window = Window(slots, 1 << 20, 5.0)
    taken = {}
    for step, lane in enumerate([*order, Lane.EVENT]):
        taken[lane] = fill(window, lane, first=1000 * step + 1)
    assert sum(taken.values()) == len(window) <= slots
    assert all(taken[lane] > 0 for lane in Lane)


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20))
def test_resending_waits_longer_each_time_but_never_for_ever(waits: list[float]) -> None:
    window = Window(8, 1 << 20, 5.0)
    window.add(flight(1))
    now = 0.0
    for wait in waits:
        now += wait
        for each in window.due(now):
            window.sent(each, now)
            assert now + 5.0 <= each.due <= now + 5.0 + LONGEST_RESEND
    assert len(window) == 1


def test_a_receipt_after_a_silence_brings_the_others_forward() -> None:
    window = Window(8, 1 << 20, 5.0)
    for number in (1, 2):
        window.add(flight(number))
    for now in (0.0, 100.0, 200.0, 400.0):
        for each in window.due(now):
            window.sent(each, now)
    gone = window.final(("kz-001/agent", 1, 1), 401.0)
    assert gone is not None and gone.attempts == 4
    due = window.next_due()
    assert due is not None and due <= 406.0
    assert window.final(("kz-001/agent", 1, 1), 401.0) is None


def test_a_new_connection_sends_everything_again_soon() -> None:
    window = Window(8, 1 << 20, 5.0)
    for number in range(1, 6):
        window.add(flight(number))
    for each in window.due(0.0):
        window.sent(each, 0.0)
    window.again(1.0)
    assert len(window.due(2.0)) == 5


def test_bytes_bound_the_window_too() -> None:
    window = Window(8, 1_000, 5.0)
    assert window.wish(0) is not None
    window.add(flight(1, size=5_000))
    assert window.wish(0) is None
