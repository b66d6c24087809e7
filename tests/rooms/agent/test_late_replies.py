"""The guarantee: a late reply is never taken as the next answer, whatever the delays, and every one of
them is counted."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.codecs.modbus_pdu import Read
from device_profiles.ledger import Ledger
from device_profiles.quality import Reason
from edge_agent.bus import Bus
from edge_agent.links import parse_link_url
from edge_agent.questions import Question
from tests.rooms.agent.wire import CLEAN, FakeUnit, Fate, MemoryLink
from tests.virtual_time import VirtualClock, run_virtual

SERIAL = parse_link_url("serial:///dev/none?baud=9600")
TCP = parse_link_url("tcp://192.0.2.1:502")
LATE = 2.0


def stamped(read: Read, n: int) -> list[int]:
    """Registers that tell which question they answer: its number first, its address behind."""
    return [n, *[read.address] * (read.count - 1)]


def question(unit: int, address: int, count: int, shorter: bool = True) -> Question:
    """A read; every register counts as one reading."""
    less = tuple(
        Question(unit=unit, read=Read(3, address, n), readings=n, timeout=0.3, late=LATE)
        for n in (1, 2)
        if n < count and shorter
    )
    return Question(unit=unit, read=Read(3, address, count), readings=count, timeout=0.3, late=LATE, instead=less)


delays = st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.28, 0.31, 0.45, 0.7, 1.3, 1.9])
fates = st.builds(Fate, delay=delays)
rough_fates = st.one_of(
    fates,
    st.builds(Fate, silent=st.just(True)),
    st.builds(Fate, delay=delays, flip=st.integers(0, 400)),
    st.builds(Fate, delay=delays, cut=st.integers(0, 40)),
    st.builds(Fate, delay=delays, exception=st.sampled_from([2, 4, 6])),
)
unchecked_fates = rough_fates.filter(lambda fate: fate.flip < 0)
"""Modbus TCP has no check of its own: TCP's must do, so no bit ever turns."""

asks = st.lists(
    st.tuples(
        st.sampled_from([(1, 0, 5), (1, 20, 5), (1, 40, 3), (2, 0, 5), (2, 20, 5)]),
        st.sampled_from([0.0, 0.0, 0.05, 0.4, 2.5]),
    ),
    min_size=2,
    max_size=14,
)


def check_never_stale(
    url_target: object, plan: list[tuple[tuple[int, int, int], float]], fate_list: list[Fate]
) -> None:
    """Ask `plan`; every accepted answer must be that of one of the attempts of its own exchange."""
    target = SERIAL if url_target == "serial" else TCP
    ledger = Ledger()
    units = [FakeUnit(n, stamped) for n in (1, 2)]
    fates_of = {1: list(fate_list), 2: list(reversed(fate_list))}

    def fate_of(unit: FakeUnit) -> None:
        mine = fates_of[unit.address]
        unit.fate = lambda n: mine[n - 1] if n <= len(mine) else CLEAN

    for unit in units:
        fate_of(unit)
    accepted = 0

    async def main() -> None:
        nonlocal accepted
        bus = Bus(MemoryLink(target, units), VirtualClock(), ledger, retries=1)
        await bus.open()
        for (address, start, count), pause in plan:
            unit = units[address - 1]
            before = unit.asked
            if not bus.up:
                await bus.open()
            outcome = await bus.exchange(question(address, start, count))
            if outcome.answer is not None and not outcome.answer.exception:
                words = outcome.answer.data
                number = int.from_bytes(words[:2], "big")
                assert before < number <= unit.asked, f"an answer to question {number}, asked {before}…{unit.asked}"
                assert int.from_bytes(words[2:4], "big") == start
                accepted += count
            await asyncio.sleep(pause)
        await bus.settle()
        bus.close()

    run_virtual(main(), limit=10_000)


@settings(max_examples=300, deadline=None)
@given(plan=asks, fate_list=st.lists(fates, max_size=14))
def test_a_stale_answer_is_never_accepted_on_a_serial_line(
    plan: list[tuple[tuple[int, int, int], float]], fate_list: list[Fate]
) -> None:
    check_never_stale("serial", plan, fate_list)


@settings(max_examples=300, deadline=None)
@given(plan=asks, fate_list=st.lists(rough_fates, max_size=14))
def test_nor_when_the_line_is_rough(plan: list[tuple[tuple[int, int, int], float]], fate_list: list[Fate]) -> None:
    check_never_stale("serial", plan, fate_list)


@settings(max_examples=150, deadline=None)
@given(plan=asks, fate_list=st.lists(unchecked_fates, max_size=14))
def test_nor_on_modbus_tcp(plan: list[tuple[tuple[int, int, int], float]], fate_list: list[Fate]) -> None:
    check_never_stale("tcp", plan, fate_list)


@settings(max_examples=200, deadline=None)
@given(plan=asks, fate_list=st.lists(fates, max_size=14), kind=st.sampled_from(["serial", "tcp"]))
def test_every_answer_is_counted_once(
    plan: list[tuple[tuple[int, int, int], float]], fate_list: list[Fate], kind: str
) -> None:
    """What the units answered = what was accepted + resync + late, in readings (every register is one)."""
    ledger = Ledger()
    fates_of = list(fate_list)
    answered: list[int] = []

    def registers(read: Read, n: int) -> list[int]:
        answered.append(read.count)
        return stamped(read, n)

    unit = FakeUnit(1, registers, lambda n: fates_of[n - 1] if n <= len(fates_of) else CLEAN)
    accepted = 0

    async def main() -> None:
        nonlocal accepted
        bus = Bus(MemoryLink(SERIAL if kind == "serial" else TCP, [unit]), VirtualClock(), ledger)
        await bus.open()
        for (_, start, count), pause in plan:
            outcome = await bus.exchange(question(1, start, count))
            if outcome.answer is not None:
                accepted += count
            await asyncio.sleep(pause)
        await bus.settle()
        assert bus.strays.unexpected == 0
        bus.close()

    run_virtual(main(), limit=10_000)
    assert accepted + sum(ledger.discarded.values()) == sum(answered)


def test_a_late_reply_is_resynchronised_and_counted() -> None:
    """The story in one line: silence, the late frame arrives while another shape is asked, the next answer
    is fresh."""
    ledger = Ledger()
    unit = FakeUnit(1, stamped, lambda n: Fate(delay=0.35) if n == 1 else CLEAN)

    async def main() -> None:
        bus = Bus(MemoryLink(SERIAL, [unit]), VirtualClock(), ledger)
        await bus.open()
        first = await bus.exchange(question(1, 0, 5))
        assert (first.answer, first.reason) == (None, Reason.TIMEOUT)
        second = await bus.exchange(question(1, 20, 5))
        assert second.answer is not None
        assert second.answer.data[:2] == (3).to_bytes(2, "big"), "question 2 was the resync probe"
        bus.close()

    run_virtual(main())
    assert ledger.discarded == {"late": 5, "resync": 1}


def test_without_another_shape_the_late_window_is_waited_out() -> None:
    unit = FakeUnit(1, stamped, lambda n: Fate(silent=True) if n == 1 else CLEAN)

    async def main() -> None:
        clock = VirtualClock()
        bus = Bus(MemoryLink(SERIAL, [unit]), clock, Ledger())
        await bus.open()
        only = question(1, 0, 1)
        await bus.exchange(only)
        blocked = await bus.exchange(only)
        assert blocked.answer is None and unit.asked == 1
        assert 0 < blocked.free_at - clock.monotonic() <= LATE
        await asyncio.sleep(blocked.free_at - clock.monotonic())
        assert (await bus.exchange(only)).answer is not None
        bus.close()

    run_virtual(main())


def test_an_adapter_that_hears_itself_is_tolerated() -> None:
    async def main() -> None:
        bus = Bus(MemoryLink(SERIAL, [FakeUnit(1)], echo=True), VirtualClock(), Ledger())
        await bus.open()
        for start in (0, 0x0A00, 0x0300):
            outcome = await bus.exchange(question(1, start, 5))
            assert outcome.answer is not None and outcome.answer.data[:2] == start.to_bytes(2, "big")
        assert bus.strays.bytes == 0
        bus.close()

    run_virtual(main())


def test_an_answer_that_stalls_in_the_middle_is_still_counted_once() -> None:
    """The adapter holds the second half back for longer than the byte gap: the retry meets it, and nothing
    is lost twice."""
    ledger = Ledger()
    unit = FakeUnit(1, stamped)
    link = MemoryLink(SERIAL, [unit])
    link.stall = (1, 0.052)

    async def main() -> None:
        bus = Bus(link, VirtualClock(), ledger)
        await bus.open()
        outcome = await bus.exchange(question(1, 0, 5))
        assert outcome.answer is not None and outcome.answer.data[:2] == b"\0\1"
        await bus.settle()
        assert bus.strays.unexpected == 0
        bus.close()

    run_virtual(main())
    assert (unit.answered, ledger.discarded) == (2, {"late": 5})
