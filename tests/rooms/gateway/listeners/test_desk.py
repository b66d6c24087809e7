"""The desk's promises: on disk before the answer, said once, known again after a restart, dated by a clock one can
believe, and every reading accounted for."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from device_profiles.framing import Rejects
from device_profiles.loader import load_library
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane
from device_profiles.reports import Report, Reported
from gateway.inspection import read_quarantine
from gateway.listeners.callers import Caller
from gateway.listeners.desk import REMEMBERED, Fate
from tests.rooms.gateway.listeners.desks import NOON, HandClock, Stored, stand

PROFILE = load_library()["xy-md02"]
CALLER = Caller(id="A1", device="air-1", profile=PROFILE)
OTHER = Caller(id="B2", device="air-2", profile=PROFILE)
SECOND = 1_000_000


def report(value: float = 21.5, *, key: bytes = b"", at: int | None = NOON, lane: Lane = Lane.LIVE) -> Report:
    return Report(readings=(Reported("air_temperature", value, at),), key=key, lane=lane)


async def test_what_is_taken_is_on_disk_when_take_returns(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER, OTHER]) as desk:
        assert await desk.desk.take(OTHER, report(-3.5)) is Fate.TAKEN
        row = Stored("air-2", "air_temperature", -3.5, NOON, Quality.GOOD, Reason.NONE, Lane.LIVE)
        assert desk.stored() == [row]
        assert desk.ledger().spooled == 1


async def test_reports_that_come_together_share_a_batch_and_each_is_answered(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(desk.desk.take(CALLER, report(n, key=b"%d" % n))) for n in range(50)]
        assert {task.result() for task in tasks} == {Fate.TAKEN}
        assert [one.value for one in desk.stored()] == [float(n) for n in range(50)]
        assert desk.ledger().spooled == 50
        assert desk.spool.view.batches < 10


async def test_a_retransmission_is_acknowledged_again_and_stored_once(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        fates = await asyncio.gather(*(desk.desk.take(CALLER, report(key=b"7")) for _ in range(3)))
        assert sorted(fate.value for fate in fates) == ["repeated", "repeated", "taken"]
        assert len(desk.stored()) == 1
        assert await desk.desk.take(CALLER, report(key=b"8")) is Fate.TAKEN
        assert desk.ledger().discarded == {"repeated": 2}


async def test_a_retransmission_is_known_after_a_restart(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        for n in range(REMEMBERED + 5):
            await desk.desk.take(CALLER, report(n, key=b"%d" % n))
    async with stand(tmp_path, [CALLER]) as desk:
        assert await desk.desk.take(CALLER, report(key=b"%d" % (REMEMBERED + 4))) is Fate.REPEATED
        assert await desk.desk.take(CALLER, report(key=b"0")) is Fate.TAKEN  # forgotten long ago
        assert len(desk.stored()) == REMEMBERED + 6


async def test_two_callers_may_use_the_same_number(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER, OTHER]) as desk:
        assert await desk.desk.take(CALLER, report(key=b"1")) is Fate.TAKEN
        assert await desk.desk.take(OTHER, report(key=b"1")) is Fate.TAKEN


async def test_an_event_leaves_before_what_waits(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        async with asyncio.TaskGroup() as group:
            for n in range(5):
                group.create_task(desk.desk.take(CALLER, report(n)))
            group.create_task(desk.desk.take(CALLER, report(99, lane=Lane.EVENT)))
        assert next(one.lane for one in desk.stored()) is Lane.EVENT


@pytest.mark.parametrize(
    ("at", "dated", "reason"),
    [
        (None, NOON, Reason.NONE),
        (NOON - 40 * 86_400 * SECOND, NOON - 40 * 86_400 * SECOND, Reason.NONE),  # a back-fill of a month
        (NOON + 3_600 * SECOND, NOON + 3_600 * SECOND, Reason.NONE),
        (NOON + 90_000 * SECOND, NOON, Reason.CLOCK_DOUBTED),
        (5_000 * SECOND, NOON, Reason.CLOCK_DOUBTED),  # 1970
        (NOON + 123_456, NOON + 123_000, Reason.NONE),  # to the millisecond
    ],
)
async def test_a_device_clock_is_believed_within_reason(
    tmp_path: Path, at: int | None, dated: int, reason: Reason
) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        await desk.desk.take(CALLER, report(at=at))
        (row,) = desk.stored()
        assert (row.at, row.reason) == (dated, reason)
        assert row.quality is (Quality.UNCERTAIN if reason else Quality.GOOD)
        desk.ledger()


async def test_a_gateway_that_has_no_time_believes_the_device(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER], clock=HandClock(1000 * SECOND)) as desk:
        await desk.desk.take(CALLER, report(at=NOON))
        assert desk.stored()[0].at == NOON


async def test_bad_readings_carry_nothing_and_texts_travel(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        bad = Reported("air_temperature", None, NOON, Quality.BAD, Reason.MISSING)
        await desk.desk.take(CALLER, Report(readings=(bad, Reported("air_humidity", "渝A", NOON))))
        rows = desk.stored()
        assert [(row.value, row.reason) for row in rows] == [(None, Reason.MISSING), ("渝A", Reason.NONE)]
        assert desk.ledger().bad == {"missing": 1}


async def test_items_without_a_point_are_counted_by_name(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        strange = msgspec.structs.replace(report(), unmapped={"ele01": "7", "O3-Rtd": "1"})
        await desk.desk.take(CALLER, strange)
        await desk.desk.take(CALLER, report())
        assert desk.desk.counts.unmapped == {"ele01": 1, "O3-Rtd": 1}
        assert desk.ledger().discarded == {"unmapped": 2}


async def test_a_refusal_is_no_acknowledgement_and_what_will_not_come_again_is_a_gap(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER], quota=2_000) as desk:
        big = tuple(Reported("air_humidity", f"{n:0200}", NOON + n * SECOND) for n in range(900))
        assert await desk.desk.take(CALLER, Report(readings=big, key=b"1")) is Fate.REFUSED
        assert await desk.desk.take(CALLER, Report(readings=big, repeats=False)) is Fate.REFUSED
        assert await desk.desk.take(CALLER, report(key=b"1")) is Fate.TAKEN  # the number was not used up
        (gap,) = desk.gaps()
        assert (gap.reason, gap.readings, gap.devices) == (Reason.QUOTA, 900, ("air-1",))
        assert (gap.begin, gap.end) == (NOON, NOON + 899 * SECOND)
        assert desk.ledger().refused == {"quota": 900}


async def test_strangers_are_turned_away_and_kept_for_a_person(tmp_path: Path) -> None:
    gone = msgspec.structs.replace(OTHER, disabled=True)
    async with stand(tmp_path, [CALLER, gone], unknown="quarantine") as desk:
        assert desk.desk.find("A1") == CALLER
        assert desk.desk.find("B2") is None
        assert desk.desk.find("C3") is None
        desk.desk.turn_away("C3", "192.0.2.7:5000", b"\x01\x02")
        await desk.desk.take(CALLER, report())
        (kept,) = read_quarantine(desk.path, 5)
        assert (kept.id, kept.peer, kept.reason, kept.data) == ("C3", "192.0.2.7:5000", "unknown_device", "01 02")
        assert desk.desk.counts.turned_away == 1


async def test_an_address_says_nothing_about_who_it_is(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        desk.desk.heard(CALLER, "10.0.0.1:4000")
        desk.desk.heard(CALLER, "10.0.0.1:4001")
        (row,) = desk.desk.sessions()
        assert (row["peer"], row["moves"], row["at"]) == ("10.0.0.1:4001", 1, NOON)


async def test_what_a_reader_could_not_use_is_counted(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER]) as desk:
        rejects = Rejects()
        rejects.add(Reason.BAD_CHECKSUM, b"abc")
        desk.desk.reject("10.0.0.1:1", rejects)
        desk.desk.reject("10.0.0.1:1", rejects)
        assert desk.desk.counts.rejected == {"bad_checksum": 1}


async def test_many_callers_are_split_into_originators_that_fit_a_manifest(tmp_path: Path) -> None:
    callers = [Caller(id=f"{n}", device=f"air-{n}", profile=PROFILE) for n in range(8_000)]
    async with stand(tmp_path, callers) as desk:
        assert [originator.name for originator in desk.desk.originators] == ["kz-001/door", "kz-001/door.2"]
        assert await desk.desk.take(callers[-1], report(4.0)) is Fate.TAKEN
        assert desk.stored()[0].device == "air-7999"


async def test_a_caller_that_the_site_file_lost_under_way_is_not_taken(tmp_path: Path) -> None:
    async with stand(tmp_path, [CALLER, OTHER]) as desk:
        assert await desk.desk.take(CALLER, report(key=b"1")) is Fate.TAKEN
        desk.desk.renew(msgspec.structs.replace(desk.config, callers=(OTHER,)))
        for _ in range(10):  # turns of the loop: the desk needs one
            await asyncio.sleep(0)
        assert desk.desk.find("A1") is None
        desk.desk.heard(CALLER, "10.0.0.1:1")
        assert await desk.desk.take(CALLER, report(key=b"2")) is Fate.REFUSED
        assert await desk.desk.take(OTHER, report(key=b"1")) is Fate.TAKEN
        assert [one.device for one in desk.stored()] == ["air-1", "air-2"]
        desk.ledger()
