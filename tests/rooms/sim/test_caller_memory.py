"""What a calling device remembers, counts and suffers, without a socket."""

import pytest

from firmware_sim.callers.making import module_of
from firmware_sim.callers.memory import KNOWN, Memory
from firmware_sim.callers.mishaps import CallerFault, CallerFaultPlan, Mishaps
from firmware_sim.callers.seats import CallerCounts, Sent
from firmware_sim.callers.talker import wanted

READINGS = 2


def _sent(number: int) -> Sent:
    return Sent(key=str(number).encode(), data=b"x", at=number, values={}, readings=READINGS)


def test_a_memory_sends_the_newest_first_then_what_it_kept_in_order() -> None:
    counts = CallerCounts()
    memory = Memory(counts)
    for number in range(1, 5):
        memory.add([_sent(number)])
    order = []
    while sent := memory.next():
        order.append(sent.at)
    assert order == [4, 1, 2, 3]
    assert memory.idle
    memory.add([_sent(5), _sent(6)])
    memory.add([_sent(7), _sent(8)])
    assert [sent.at for sent in iter(memory.next, None)] == [7, 8, 5, 6]


def test_a_full_memory_counts_what_it_forgets() -> None:
    counts = CallerCounts()
    memory = Memory(counts, keep=2)
    for number in range(1, 6):
        memory.add([_sent(number)])
    assert (counts.reports, counts.waiting, counts.forgotten, counts.forgotten_readings) == (5, 3, 2, 2 * READINGS)
    assert memory.find(b"1") is None
    assert memory.find(b"3") is not None


def test_a_memory_is_bounded_and_knows_the_newest_of_what_is_done() -> None:
    memory = Memory(CallerCounts())
    for number in range(3 * KNOWN):
        memory.add([_sent(number)])
        sent = memory.next()
        assert sent is not None
        memory.done(sent)
    assert memory.find(str(3 * KNOWN - 1).encode()) is not None
    assert memory.find(b"0") is None


def test_an_ack_too_many_is_strange_and_counts_nothing() -> None:
    counts, sent = CallerCounts(), _sent(1)
    sent.copies = counts.unheard = 1
    assert counts.acknowledged(sent)
    assert not counts.acknowledged(sent)
    assert (counts.answered_readings, counts.late_readings, counts.strange, counts.unheard) == (READINGS, 0, 1, 0)


def test_one_seed_one_fate_however_long_the_pauses() -> None:
    plan = CallerFaultPlan(silent=0.2, drop=0.3)
    one, other = Mishaps(plan, "a"), Mishaps(plan, "a")
    fates = []
    for _ in range(200):
        other.jitter()
        other.garbage()
        fates.append((one.next(), other.next()))
    assert all(here is there for here, there in fates)
    assert {here for here, _ in fates} == {CallerFault.NONE, CallerFault.SILENT, CallerFault.DROP}
    assert Mishaps(CallerFaultPlan(dead=True, silent=1), "a").next() is CallerFault.DEAD


def test_options_are_checked_in_words() -> None:
    wanted({"edition": "2017", "encrypt": True}, {"edition": str, "encrypt": bool})
    with pytest.raises(ValueError, match="unknown option 'editon'; known: edition"):
        wanted({"editon": "2017"}, {"edition": str})
    with pytest.raises(ValueError, match="'port' must be a int, not True"):
        wanted({"port": True}, {"port": int})


def test_who_speaks_a_protocol_is_found_by_its_key() -> None:
    assert module_of("hj212").__name__ == "firmware_sim.callers.hj212"
    with pytest.raises(ValueError, match="devices do not call in 'modbus'"):
        module_of("modbus")
