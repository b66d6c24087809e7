"""The simulated fire transmitter against the real door: two that were written apart must understand each other."""

import asyncio
from pathlib import Path

import pytest

from device_profiles.codecs.gb26875 import Command, Frame, Reader, address_bytes, answer, encode, write_time
from device_profiles.codecs.gb26875_objects import Clock, Order, PartState
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit
from device_profiles.loader import load_library
from device_profiles.maps.gb26875_points import FireMap
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Lane, Value
from firmware_sim.callers.call import Manners
from firmware_sim.callers.caller import Caller as Calling
from firmware_sim.callers.device import CallingDevice
from firmware_sim.callers.gb26875 import Transmitter, make_talker
from firmware_sim.callers.mishaps import CallerFaultPlan, Mishaps
from firmware_sim.callers.seats import Seat
from firmware_sim.clock import SystemClock
from firmware_sim.physics import Signal
from firmware_sim.witness import Witness
from gateway.listeners.callers import Caller
from gateway.listeners.gb26875 import Options
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, HandClock, door, stand

LIBRARY = load_library()
MODELS = [name for name, profile in LIBRARY.items() if profile.protocol == "gb26875"]
FLOOR = LIBRARY["generic-fire-floor"]
MINUTE = 60_000_000


def values_at(profile: DeviceProfile, at: int) -> dict[str, Value]:
    return {
        point.name: Signal(point, profile.simulate.get(point.name), point.name, NOON).at(at) for point in profile.points
    }


def quiet(**on: Value) -> dict[str, Value]:
    assert isinstance(FLOOR.map, FireMap)
    return {point.name: on.get(point.name, 0) for point in FLOOR.map.points if point.bit is not None}


@pytest.mark.parametrize("model", MODELS)
async def test_a_simulated_transmitter_is_understood(tmp_path: Path, model: str) -> None:
    caller = Caller(id="889", device="sim-1", profile=LIBRARY[model])
    talker = make_talker(caller.profile, "889", None, {"refresh": 2})
    readings = messages = 0
    async with stand(tmp_path, [caller], "gb26875", options=Options()) as desk, door(desk) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for minute in range(4):
            for key, data in talker.reports(values_at(caller.profile, NOON - MINUTE * minute), NOON - MINUTE * minute):
                readings += talker.readings(key)
                messages += 1
                for copy in (data, talker.again(key)):
                    writer.write(copy)
                    assert await acked(reader, talker) == (key,)
        assert messages >= 4
        assert len(desk.stored()) == readings
        assert (desk.desk.counts.reports, desk.desk.counts.repeated) == (messages, messages)
        assert desk.desk.counts.unmapped == {}
        writer.write(talker.beat())
        (beaten,) = Reader().feed(await reader.read(4096))
        assert beaten.command == Command.CONFIRM
        assert talker.hear(encode(beaten)).acked == ()
        writer.close()
        await writer.wait_closed()


async def acked(reader: asyncio.StreamReader, talker: Transmitter) -> tuple[bytes, ...]:
    async with asyncio.timeout(PATIENCE):
        while not (found := talker.hear(await reader.read(4096)).acked):
            continue
    return found


async def test_a_faulty_line_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The real caller with every fault against the real door: what was confirmed is on disk, and nothing else."""
    seat = Seat(pole="p", listener="door", id="1001", device="floor-01", profile=FLOOR.model)
    plan = CallerFaultPlan(duplicate=0.2, bad_checksum=0.1, truncated=0.1, drop=0.1, noise=0.2)
    clock = SystemClock()
    witness = Witness("street", [], clock, None, [seat])
    curves = {p.name: Signal(p, FLOOR.simulate.get(p.name), p.name, clock.now()) for p in FLOOR.points}
    talker = make_talker(FLOOR, "1001", None, {"refresh": 5})
    device = CallingDevice(seat, talker, curves, Mishaps(plan, "fire"), witness, clock)
    callers = [Caller(id="1001", device="floor-01", profile=FLOOR)]
    async with (
        stand(tmp_path, callers, "gb26875", options=Options(), clock=HandClock(clock.now())) as desk,
        door(desk) as port,
    ):
        manners = Manners(period=0.02, transport="tcp", address=("127.0.0.1", port), timeout_s=0.2, retries=3)
        calling, enough = Calling(device, manners), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(calling.run(enough))
            while seat.counts.acked < 60:
                await asyncio.wait([task], timeout=0.02)
                assert not task.done()
            enough.set()
        counts = seat.counts
        assert counts.repeats and counts.lost and counts.strange == 0
        assert desk.desk.counts.reports == counts.acked
        assert len(desk.stored()) == counts.answered_readings
        assert desk.desk.counts.repeated >= counts.repeats


# --- the transmitter by itself ---------------------------------------------------------------------------------------


def units(talker: Transmitter, values: dict[str, Value], at: int = NOON) -> list[Unit]:
    frames = [frame for _, data in talker.reports(values, at) for frame in Reader().feed(data)]
    return [parse_unit(frame.unit) for frame in frames]


def test_everything_is_told_first_and_then_what_changes() -> None:
    talker = make_talker(FLOOR, "1001", None, {"refresh": 0})
    assert [unit.type for unit in units(talker, quiet())] == [2, 1, 21]
    assert units(talker, quiet()) == []
    (told,) = units(talker, quiet(smoke_2_fire=1))
    (part,) = told.objects
    assert isinstance(part, PartState)
    assert (part.part_type, part.part_address, part.state) == (42, 2, 2)
    both = units(talker, quiet(panel_fire=1))
    assert [unit.type for unit in both] == [2, 1]  # the detector clears before the panel speaks
    assert Lane.EVENT < Lane.LIVE


def test_an_operation_is_told_when_it_begins() -> None:
    talker = make_talker(FLOOR, "1001", None, {"refresh": 0})
    units(talker, quiet())
    assert [unit.type for unit in units(talker, quiet(panel_reset=1))] == [4]
    assert units(talker, quiet(panel_reset=1)) == []
    assert units(talker, quiet()) == []
    assert [unit.type for unit in units(talker, quiet(panel_reset=1))] == [4]


def test_states_are_told_again_now_and_then() -> None:
    talker = make_talker(FLOOR, "1001", None, {"refresh": 3})
    assert [len(units(talker, quiet())) for _ in range(7)] == [3, 0, 0, 3, 0, 0, 3]


def order(unit: int, one: Clock | Order, command: int = Command.CONTROL) -> bytes:
    return encode(
        Frame(
            serial=5,
            command=command,
            source=address_bytes("88888"),
            destination=address_bytes("1001"),
            sent=write_time(NOON),
            unit=encode_unit(Unit(unit, (one,))),
        )
    )


def test_a_transmitter_obeys() -> None:
    talker = make_talker(FLOOR, "1001", None, {})
    (reply,) = talker.hear(b"noise" + order(90, Clock(write_time(NOON)))).reply
    (frame,) = Reader().feed(reply)
    assert (frame.command, frame.serial, talker.clock) == (Command.CONFIRM, 5, NOON)
    (reply,) = talker.hear(order(91, Order(10))).reply
    assert Reader().feed(reply)[0].command == Command.CONFIRM
    (reply,) = talker.hear(order(81, Order(), Command.REQUEST)).reply
    assert Reader().feed(reply)[0].command == Command.DENY
    strange = Frame(serial=1, command=1, source=bytes(6), destination=bytes(6), sent=bytes(6), unit=b"\x02")
    assert talker.hear(encode(strange)).reply == ()
    wrong = answer(strange, Command.CONTROL, bytes(6), b"\x5a\x01")
    (reply,) = make_talker(FLOOR, "0", None, {}).hear(encode(wrong)).reply
    assert Reader().feed(reply)[0].command == Command.DENY


@pytest.mark.parametrize(
    ("id", "secret", "options", "wanted"),
    [
        ("floor", None, {}, "no address"),
        ("1001", "0" * 16, {}, "no secrets"),
        ("1001", None, {"flavour": 1}, "unknown option"),
        ("1001", None, {"destination": "centre"}, "no address"),
    ],
)
def test_a_transmitter_that_cannot_be_is_refused(
    id: str, secret: str | None, options: dict[str, object], wanted: str
) -> None:
    with pytest.raises(ValueError, match=wanted):
        make_talker(FLOOR, id, secret, options)
    with pytest.raises(ValueError, match=r"not GB/T 26875\.3"):
        make_talker(LIBRARY["xy-md02"], "1001", None, {})
    with pytest.raises(ValueError, match="no message"):
        make_talker(FLOOR, "1001", None, {}).report({}, NOON)
