"""Commands in the running agent, in virtual time: before the next poll, within bounds, written once, judged by what is
read back. Real plan, bus and hand-over; the wire and the gateway are faked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from device_profiles.codecs.modbus_pdu import (
    DEVICE_BUSY,
    WriteOne,
)
from device_profiles.commands import CommandOutcome
from device_profiles.quality import Reason
from tests.rooms.agent.lamps import LATE, LEVEL, VALVE, Commander, Lamp, commanded, run_story
from tests.rooms.agent.wire import CLEAN, DEAD, Fate, MemoryLink


@pytest.mark.parametrize(
    ("point", "value", "functions"),
    [("lamp", 1, [5]), ("level", 55.5, [6]), ("setpoint", 298.25, [16]), ("valve", 1, [6])],
)
def test_each_kind_of_point_is_written_and_read_back(
    point: str, value: float, functions: list[int], tmp_path: Path
) -> None:
    unit = Lamp(1)
    result = commanded(tmp_path, unit, point, value)
    assert (result.outcome, result.value, result.code, result.text) == (CommandOutcome.DONE, value, 0, "")
    assert [write.function for write in unit.writes] == functions


def test_the_other_bits_of_a_register_stay_as_they_are(tmp_path: Path) -> None:
    unit = Lamp(1)
    unit.words[VALVE] = 0x8001
    commanded(tmp_path, unit, "valve", 1)
    assert unit.words[VALVE] == 0x8005


@pytest.mark.parametrize(("url", "rows"), [("tcp://192.0.2.1:502", ""), ("rtu+tcp://192.0.2.1:9000", "")])
def test_on_other_links_too(url: str, rows: str, tmp_path: Path) -> None:
    unit = Lamp(1)
    assert commanded(tmp_path, unit, "level", 40, url, rows).value == 40
    assert unit.words[LEVEL] == 4000


def test_a_command_goes_before_every_poll_of_a_busy_line(tmp_path: Path) -> None:
    units = [Lamp(n) for n in range(1, 13)]
    for unit in units[1:]:
        unit.log = units[0].log  # one log of the line

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 5)
        for n in range(20):
            await asyncio.sleep(0.0137 * n)
            before = len(units[0].log)
            gateway.command("level", 20 + n, f"{n:032x}", device="lamp-1")
            assert (await gateway.result()).outcome is CommandOutcome.DONE
            log = units[0].log[before:]
            assert "write" in log[:2], f"at most the exchange in flight goes before it: {log}"

    agent = run_story(tmp_path, list(units), story)
    skipped = sum({id(job.unit): job.unit.skipped for job in agent.pollers[0].jobs}.values())
    assert skipped > 0, "the line was indeed over-committed"


@pytest.mark.parametrize(
    ("point", "value", "words"),
    [
        ("level", 9.99, "outside 10 to 100"),
        ("level", 100.01, "outside"),
        ("fault", 1, "cannot be written"),
        ("lamp", 0.5, "0 or 1"),
        ("nothing", 1, "no point"),
    ],
)
def test_what_the_profile_does_not_allow_is_never_sent(point: str, value: float, words: str, tmp_path: Path) -> None:
    unit = Lamp(1)
    result = commanded(tmp_path, unit, point, value)
    assert (result.outcome, result.value) == (CommandOutcome.REFUSED, None)
    assert words in result.text and not unit.writes


def test_a_device_that_is_not_ours(tmp_path: Path) -> None:
    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        gateway.command("level", 50, device="somebody")
        assert (await gateway.result()).outcome is CommandOutcome.REFUSED

    run_story(tmp_path, [Lamp(1)], story)


def test_a_unit_that_says_yes_and_does_not_obey(tmp_path: Path) -> None:
    unit = Lamp(1, numb=True)
    result = commanded(tmp_path, unit, "level", 50)
    assert (result.outcome, result.value) == (CommandOutcome.FAILED, 100.0)
    assert result.text == "it reads 100 % after the write"
    assert len(unit.writes) == 1


def test_a_driver_that_fades_is_looked_at_again(tmp_path: Path) -> None:
    unit = Lamp(1, slow=3)
    assert commanded(tmp_path, unit, "level", 50).outcome is CommandOutcome.DONE
    assert len(unit.writes) == 1


@pytest.mark.parametrize(("code", "reason"), [(2, Reason.EXCEPTION), (4, Reason.EXCEPTION), (DEVICE_BUSY, Reason.BUSY)])
def test_a_unit_that_says_no(code: int, reason: Reason, tmp_path: Path) -> None:
    unit = Lamp(1, refusal=code)
    result = commanded(tmp_path, unit, "level", 50)
    assert (result.outcome, result.reason) == (CommandOutcome.FAILED, reason)
    assert f"exception {code}" in result.text and len(unit.writes) == 1


def test_a_unit_that_knows_only_the_functions_for_several(tmp_path: Path) -> None:
    unit = Lamp(1, unknown=(6,))
    assert commanded(tmp_path, unit, "level", 50).outcome is CommandOutcome.DONE
    assert [write.function for write in unit.writes] == [16]


def test_a_write_whose_answer_is_lost_is_read_back_and_not_repeated(tmp_path: Path) -> None:
    unit = Lamp(1, at_write=DEAD)
    result = commanded(tmp_path, unit, "level", 50)
    assert (result.outcome, result.value) == (CommandOutcome.DONE, 50)
    assert "not answered (timeout)" in result.text and len(unit.writes) == 1


def test_a_write_that_was_lost_is_not_repeated_either(tmp_path: Path) -> None:
    unit = Lamp(1, at_write=DEAD, numb=True)
    result = commanded(tmp_path, unit, "level", 50)
    assert (result.outcome, result.value, len(unit.writes)) == (CommandOutcome.FAILED, 100, 1)


@pytest.mark.parametrize("fate", [Fate(flip=20), Fate(cut=5), Fate(delay=0.5)])
def test_a_damaged_or_late_answer_to_a_write_is_judged_by_reading(fate: Fate, tmp_path: Path) -> None:
    unit = Lamp(1, at_write=fate)
    result = commanded(tmp_path, unit, "level", 50)
    assert (result.outcome, result.value, len(unit.writes)) == (CommandOutcome.DONE, 50, 1)


def test_a_silent_unit(tmp_path: Path) -> None:
    unit = Lamp(1, at_write=DEAD, at_read=DEAD, numb=True)
    result = commanded(tmp_path, unit, "level", 50)
    assert (result.outcome, result.reason, len(unit.writes)) == (CommandOutcome.FAILED, Reason.TIMEOUT, 1)


def test_a_write_that_was_answered_and_cannot_be_read_back_is_unknown(tmp_path: Path) -> None:
    unit = Lamp(1, at_read=DEAD)
    result = commanded(tmp_path, unit, "level", 50)
    assert (result.outcome, result.reason, len(unit.writes)) == (CommandOutcome.UNKNOWN, Reason.TIMEOUT, 1)


def test_a_second_command_is_not_taken_for_an_unanswered_first_one(tmp_path: Path) -> None:
    unit = Lamp(1, at_write=Fate(delay=0.6))

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 2)
        gateway.command("level", 50, "1" * 32)
        gateway.command("level", 60, "2" * 32)
        results = [await gateway.result(), await gateway.result()]
        assert [(result.outcome, result.value) for result in results] == [
            (CommandOutcome.DONE, 50),
            (CommandOutcome.DONE, 60),
        ]

    run_story(tmp_path, [unit], story)
    assert [write.value for write in unit.writes if isinstance(write, WriteOne)] == [5000, 6000]


def test_an_expired_command_is_not_executed(tmp_path: Path) -> None:
    unit = Lamp(1)

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        gateway.command("level", 50, left=LATE / 2)  # the line is still being listened to
        result = await gateway.result()
        assert (result.outcome, result.reason) == (CommandOutcome.EXPIRED, Reason.EXPIRED)

    run_story(tmp_path, [unit], story)
    assert not unit.writes


def test_a_line_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 2)
        links[0].down = "pulled out"
        links[0].lose("pulled out")
        await asyncio.sleep(20)
        gateway.command("level", 50)
        began = asyncio.get_running_loop().time()
        result = await gateway.result()
        assert (result.outcome, result.reason) == (CommandOutcome.FAILED, Reason.LINK_DOWN)
        assert asyncio.get_running_loop().time() - began < 1, "the pause before the next attempt is cut short"
        links[0].down = ""
        gateway.command("level", 60, "b" * 32)
        assert (await gateway.result()).outcome is CommandOutcome.DONE

    run_story(tmp_path, [Lamp(1)], story)


def test_a_line_that_is_lost_over_the_write_is_read_when_it_is_back(tmp_path: Path) -> None:
    unit = Lamp(1, at_write=DEAD)

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 2)
        gateway.command("level", 50)
        while not unit.writes:  # noqa: ASYNC110 - virtual time: each look costs a millisecond of nothing
            await asyncio.sleep(0.001)
        links[0].lose("pulled out")
        result = await gateway.result()
        assert (result.outcome, result.value) == (CommandOutcome.DONE, 50)

    run_story(tmp_path, [unit], story)
    assert len(unit.writes) == 1


def test_a_command_that_comes_again_is_answered_again_and_executed_once(tmp_path: Path) -> None:
    unit = Lamp(1)

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 2)
        for _ in range(3):
            gateway.command("level", 50)
        first = await gateway.result()
        gateway.drop_connections()
        await gateway.until(lambda: len(gateway.hellos) == 2)
        assert await gateway.result() == first, "said again on a new connection"
        gateway.command("level", 50)
        assert await gateway.result() == first

    run_story(tmp_path, [unit], story)
    assert len(unit.writes) == 1


def test_at_a_stop_every_command_has_its_end(tmp_path: Path) -> None:
    ends: list[Commander] = []

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        gateway.command("level", 50)  # the line is still being listened to
        await asyncio.sleep(LATE / 4)
        ends.append(gateway)

    run_story(tmp_path, [Lamp(1)], story)
    (result,) = ends[0].results
    assert (result.outcome, result.reason) == (CommandOutcome.FAILED, Reason.SHUTDOWN)
    assert ends[0].bye is not None


def test_a_silent_unit_that_is_only_probed_is_commanded_all_the_same(tmp_path: Path) -> None:
    unit = Lamp(1, at_write=DEAD, at_read=DEAD, numb=True)

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 120)
        unit.at_write = unit.at_read = CLEAN
        unit.numb = False
        gateway.command("level", 50)
        assert (await gateway.result()).outcome is CommandOutcome.DONE

    agent = run_story(tmp_path, [unit], story)
    assert agent.pollers[0].jobs[0].unit.breaker.opened == 1


def test_the_next_poll_reports_what_was_written(tmp_path: Path) -> None:
    read: list[float] = []

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 2)
        gateway.command("level", 50)
        await gateway.result()
        await asyncio.sleep(1)
        newest = gateway.batches[max(gateway.batches)]
        read.extend(newest.values)

    run_story(tmp_path, [Lamp(1)], story)
    assert 50.0 in read


def test_commands_to_one_register_follow_each_other(tmp_path: Path) -> None:
    """The next is not written before the last was judged; those to another register go in between."""
    unit = Lamp(1, slow=2)

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 2)
        for n, (point, value) in enumerate([("level", 40), ("level", 50), ("level", 60), ("valve", 1), ("lamp", 1)]):
            gateway.command(point, value, f"{n:032x}")
        results = {result.id[-1]: result for result in [await gateway.result() for _ in range(5)]}
        assert {result.outcome for result in results.values()} == {CommandOutcome.DONE}
        assert [results[str(n)].value for n in range(5)] == [40, 50, 60, 1, 1]

    run_story(tmp_path, [unit], story)
    levels = [write.value for write in unit.writes if isinstance(write, WriteOne) and write.address == LEVEL]
    assert [value for value in levels if value > 1] == [4000, 5000, 6000]
