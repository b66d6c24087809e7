"""Devices that call: over real sockets, with every fault, what the platform took is what the witness counted."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from device_profiles.readings import Value
from firmware_sim.callers.call import Manners
from firmware_sim.callers.caller import Caller
from firmware_sim.callers.device import CallingDevice
from firmware_sim.callers.mishaps import CallerFault, CallerFaultPlan, Mishaps
from firmware_sim.callers.runner import Callers
from firmware_sim.callers.seats import Seat
from firmware_sim.callers.talker import Heard, Talker
from firmware_sim.clock import SystemClock
from firmware_sim.ports import free_ports
from firmware_sim.witness import Witness
from tests.rooms.sim.tiny import HERE, Platform, TinyTalker, listening
from tests.rooms.sim.waiting import wait_until

BOTH = pytest.mark.parametrize("transport", ["tcp", "udp"])
READINGS = 2


class Steady:
    """A curve that says the second it is asked at."""

    def at(self, now: int) -> Value:
        return float(now // 1_000_000)


def _caller(
    port: int,
    transport: str = "tcp",
    plan: CallerFaultPlan | None = None,
    talker: Talker | None = None,
    journal: Path | None = None,
    **manners: Any,
) -> tuple[Caller, Seat, Witness]:
    seat = Seat(pole="p1", listener="l1", id="tiny", device="d1", profile="tiny", dead=bool(plan and plan.dead))
    witness = Witness("street", [], SystemClock(), journal, [seat])
    curves: Mapping[str, Steady] = {"one": Steady(), "two": Steady()}
    mishaps = Mishaps(plan or CallerFaultPlan(), "seed")
    device = CallingDevice(seat, talker or TinyTalker(), curves, mishaps, witness, SystemClock())
    how = {"period": 0.05, "timeout_s": 0.3, "retries": 3, **manners}
    return Caller(device, Manners(transport=transport, address=(HERE, port), **how)), seat, witness


@asynccontextmanager
async def _calling(caller: Caller) -> AsyncIterator[None]:
    """The caller at work, told that it is enough at the end."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.run(enough))
        try:
            yield
        finally:
            enough.set()


def _agree(platform: Platform, seat: Seat) -> None:
    """The identity that a street is judged by."""
    counts = seat.counts
    assert counts.acked == len(platform.taken)
    assert counts.answered_readings == READINGS * len(platform.taken)
    assert counts.late_readings == READINGS * platform.repeats.total()
    assert counts.strange == 0
    # A damaged frame may take the good one behind it along: nobody can tell a turned line end from a longer line.
    assert platform.swallowed <= counts.unheard <= platform.swallowed + platform.rejected
    assert counts.reports <= counts.acked + counts.waiting  # the device may not know of an ack that was lost


def _plan(shares: dict[str, Any]) -> CallerFaultPlan:
    return CallerFaultPlan(**shares)


async def _run(
    transport: str,
    plan: CallerFaultPlan | None = None,
    reports: int = 4,
    swallow: int = 0,
    repeats: int = 0,
    **more: Any,
) -> tuple[Platform, Seat]:
    """Until so many reports are taken, the first among them, and so many repeats; then both must tell the same."""
    platform = Platform(swallow=swallow)
    async with listening(platform, transport) as port:
        caller, seat, _ = _caller(port, transport, plan, **more)
        async with _calling(caller):
            await platform.until(
                lambda: len(platform.taken) >= reports
                and "1" in platform.taken
                and platform.repeats.total() >= repeats
            )
    _agree(platform, seat)
    return platform, seat


@BOTH
@pytest.mark.parametrize("greets", [False, True])
def test_reports_are_acked_and_counted(transport: str, greets: bool) -> None:
    platform, seat = asyncio.run(_run(transport, talker=TinyTalker(greets), period=0.2))
    assert platform.welcomes == greets
    assert not platform.repeats
    assert not seat.counts.faults.total()
    assert {kind for kinds in platform.kinds.values() for kind in kinds} == {"R"}


@BOTH
def test_a_moment_may_make_several_messages_each_acked_on_its_own(transport: str) -> None:
    class Parted(TinyTalker):
        def reports(self, values: dict[str, Value], at: int) -> list[tuple[bytes, bytes]]:
            return [self.report(values, at), self.report(values, at)]

    platform, seat = asyncio.run(_run(transport, _plan({"drop": 0.3}), talker=Parted(), repeats=1))
    assert seat.counts.reports % 2 == 0
    assert platform.repeats.total() == seat.counts.repeats


@BOTH
def test_an_unacked_report_is_sent_again_as_it_was(transport: str) -> None:
    platform, seat = asyncio.run(_run(transport, swallow=2))
    assert platform.kinds["1"] == ["R", "R", "R"]
    assert seat.counts.connected == 1


@BOTH
def test_what_stays_unacked_is_back_filled_later(transport: str) -> None:
    platform, seat = asyncio.run(_run(transport, swallow=3, retries=1, timeout_s=0.1))
    assert platform.kinds["1"][-1] == "B"
    assert seat.counts.backfilled >= 1
    assert seat.counts.connected > 1


FAULTS = {
    "tcp": ["duplicate", "bad_checksum", "truncated", "drop", "noise", "clock", "silent"],
    "udp": ["duplicate", "bad_checksum", "truncated", "drop", "noise", "clock", "silent", "rebind"],
}


@pytest.mark.parametrize(("transport", "fault"), [(wire, fault) for wire, names in FAULTS.items() for fault in names])
def test_under_every_fault_nothing_is_lost_and_each_is_counted(transport: str, fault: str) -> None:
    repeats = 2 if fault in ("duplicate", "drop") else 0
    platform, seat = asyncio.run(_run(transport, _plan({fault: 0.5}), reports=6, repeats=repeats))
    suffered = seat.counts.faults
    assert suffered[CallerFault(fault)] == suffered.total() > 0
    if fault in ("bad_checksum", "truncated"):
        assert platform.rejected > 0
    if fault == "rebind":
        assert len(platform.peers) > 1


@BOTH
def test_all_faults_together_add_up(transport: str) -> None:
    share = 1 / 9
    plan = _plan({**dict.fromkeys(FAULTS[transport], share), "clock_s": -3600})
    platform, seat = asyncio.run(_run(transport, plan, reports=40, swallow=3, period=0.02, timeout_s=0.1))
    assert seat.counts.faults.total() > 10
    numbers = sorted(map(int, platform.taken))
    assert len(numbers) >= 40


def test_a_wrong_clock_is_wrong_by_what_was_said() -> None:
    plan = CallerFaultPlan(clock=1.0, clock_s=-3600)
    platform, _ = asyncio.run(_run("tcp", plan, reports=1))
    at, values = platform.taken["1"].split(",", 1)
    told = float(values.split(";")[0].removeprefix("one="))
    assert int(at) == (told - 3600) * 1_000_000


def test_the_dead_do_not_call() -> None:
    async def scenario() -> None:
        platform = Platform()
        async with listening(platform, "tcp") as port:
            dead, seat, _ = _caller(port, plan=CallerFaultPlan(dead=True))
            alive, _, _ = _caller(port)
            async with _calling(dead), _calling(alive):
                await platform.until(lambda: len(platform.taken) >= 2)
        assert seat.counts.reports == seat.counts.connected == 0

    asyncio.run(scenario())


@BOTH
def test_while_nobody_listens_everything_is_kept_and_comes_in_the_end(transport: str) -> None:
    async def scenario() -> None:
        port, platform = free_ports(1)[0], Platform()
        caller, seat, _ = _caller(port, transport)
        async with _calling(caller):
            while seat.counts.lost < 2:
                caller.device.news.clear()
                await caller.device.news.wait()
            async with listening(platform, transport, port):
                early = seat.counts.reports
                await platform.until(lambda: len(platform.taken) > early and caller.device.memory.idle)
        assert {str(number) for number in range(1, early)} <= set(platform.taken)
        assert "B" in platform.kinds["1"]

    asyncio.run(scenario())


def test_a_platform_that_hangs_up_is_called_again() -> None:
    async def scenario() -> None:
        platform, port = Platform(), free_ports(1)[0]
        caller, seat, _ = _caller(port, talker=TinyTalker(greets=True))
        async with _calling(caller):
            for round_ in (1, 2):
                async with listening(platform, "tcp", port):
                    before = len(platform.taken)
                    await platform.until(lambda before=before: len(platform.taken) > before + 2)  # type: ignore[misc]  # binds this round's
                assert platform.welcomes >= round_
        _agree(platform, seat)

    asyncio.run(scenario())


def test_datagrams_without_acks_count_when_they_have_left_and_somebody_listens() -> None:
    async def scenario() -> None:
        platform, port = Platform(), free_ports(1)[0]
        caller, seat, _ = _caller(port, "udp", talker=TinyTalker(keyless=True))
        async with _calling(caller):
            while seat.counts.lost < 1:
                caller.device.news.clear()
                await caller.device.news.wait()
            assert seat.counts.acked == seat.counts.sent == 0
            async with listening(platform, "udp", port):
                await platform.until(lambda: len(platform.taken) >= 3)
                await asyncio.to_thread(wait_until, lambda: seat.counts.acked >= 3, "they are counted")
        assert seat.counts.acked >= len(platform.taken)

    asyncio.run(scenario())


def test_commands_are_answered() -> None:
    class Asking(Platform):
        def hear(self, line: bytes, peer: object) -> bytes:
            answer = super().hear(line, peer)
            return answer + b"Q\n" if answer else b""

    async def scenario() -> None:
        platform = Asking()
        async with listening(platform, "tcp") as port:
            caller, seat, _ = _caller(port)
            async with _calling(caller):
                await platform.until(lambda: platform.answers >= 2)
        assert seat.counts.replies >= 2

    asyncio.run(scenario())


def test_the_journal_has_a_line_for_each_ack(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"

    async def scenario() -> tuple[Platform, dict[str, Any]]:
        platform = Platform()
        async with listening(platform, "tcp") as port:
            caller, _, witness = _caller(port, plan=CallerFaultPlan(duplicate=1.0), journal=path)
            async with _calling(caller):
                await platform.until(lambda: platform.repeats.total() >= 2)
        witness.close()
        return platform, witness.document()

    platform, document = asyncio.run(scenario())
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    first = [line for line in lines if not line["repeat"]]
    assert len(first) == len(platform.taken)
    assert len(lines) - len(first) == platform.repeats.total()
    for line, body in zip(first, platform.taken.values(), strict=True):
        at, values = body.split(",", 1)
        assert line["taken_at"] == int(at)
        assert values == ";".join(f"{name}={value}" for name, value in line["values"].items())
    assert document["calls"]["answered_readings"] == READINGS * len(first)
    assert document["callers"][0]["device"] == "d1"
    assert document["callers"][0]["faults"]["duplicate"] == document["calls"]["faults"]["duplicate"] > 0


def test_a_thread_of_their_own_from_start_to_stop() -> None:
    async def scenario() -> None:
        platform = Platform()
        async with listening(platform, "udp") as port:
            made = [_caller(port, "udp", talker=TinyTalker()) for _ in range(3)]
            callers = Callers([caller for caller, _, _ in made])
            callers.start()
            await platform.until(lambda: platform.repeats.total() + len(platform.taken) >= 9)
            assert callers.alive
            await asyncio.to_thread(callers.stop)
        assert all(seat.counts.acked for _, seat, _ in made)

    asyncio.run(scenario())


def test_nobody_calls_on_a_street_without_callers() -> None:
    callers = Callers([])
    callers.start()
    assert callers.alive
    callers.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_is_seen_from_outside() -> None:
    class Broken(TinyTalker):
        def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
            raise RuntimeError("a bug")

    caller, _, _ = _caller(free_ports(1)[0], talker=Broken())
    callers = Callers([caller])
    callers.start()
    wait_until(lambda: not callers.alive, "the thread has died")
    callers.stop()


def test_an_ack_for_nothing_is_strange() -> None:
    caller, seat, _ = _caller(1)
    assert caller.device.hear(b"A,77\n", deaf=False) == (Heard(acked=(b"77",)), 0)
    assert seat.counts.strange == 1
