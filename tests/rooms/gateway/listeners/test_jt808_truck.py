"""The simulated truck against the real door: two that were written apart must understand each other."""

import asyncio
import math
from pathlib import Path

import pytest

from device_profiles.codecs.jt808 import Frame, Reader, encode
from device_profiles.codecs.jt808_messages import (
    AUTHENTICATE,
    BATCH,
    FAILED,
    HEARTBEAT,
    NO_TERMINAL,
    PLATFORM_ACK,
    POSITION,
    REGISTER,
    REGISTERED,
    SET_PARAMETERS,
    TERMINAL_ACK,
    Ack,
    Registered,
    encode_ack,
    encode_parameters,
    encode_registered,
    parse_ack,
)
from device_profiles.loader import load_library
from device_profiles.readings import Lane, Value
from firmware_sim.callers.drives import Drive
from firmware_sim.callers.jt808 import Truck, make_talker
from gateway.listeners.callers import Caller
from gateway.listeners.jt808 import Options
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, door, stand

LIBRARY = load_library()
PLAIN, COLD = LIBRARY["jt808-vehicle-2013"], LIBRARY["jt808-truck-2019"]
NUMBER = "013800138000"
SECOND = 1_000_000
CASES = [
    ("jt808-vehicle-2013", "tcp", None, {}),
    ("jt808-truck-2019", "tcp", None, {"limit_kmh": 40}),
    ("jt808-truck-2019", "tcp", "a code of its own", {"drive": False}),
    ("jt808-vehicle-2013", "udp", None, {"plate": "渝F12345"}),
]


def means(model: str) -> dict[str, Value]:
    """A value of each point that its wire can say, as the physics would give them."""
    found: dict[str, Value] = {}
    for point in LIBRARY[model].points:
        parameters = LIBRARY[model].simulate[point.name].parameters
        values = parameters.get("values")
        first = values[0] if isinstance(values, list) else None
        given = [parameters[name] for name in ("value", "mean", "start") if name in parameters]
        found[point.name] = first if first is not None else given[0]  # type: ignore[assignment]  # numbers, all of them
    return found


class Wire(asyncio.DatagramProtocol):
    """The truck's pipe, TCP or UDP; ``came``: what the gateway sent."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, transport: str, port: int) -> None:
        """Connect, or take a socket."""
        if transport == "tcp":
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        else:
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=("127.0.0.1", port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From the gateway."""
        self.came.put_nowait(data)

    def write(self, data: bytes) -> None:
        """To the gateway."""
        if self._writer is not None:
            self._writer.write(data)
        elif self._transport is not None:
            self._transport.sendto(data)

    async def read(self) -> bytes:
        """The next bytes from the gateway."""
        async with asyncio.timeout(PATIENCE):
            return await (self.came.get() if self._writer is None else self._reader.read(4096))

    async def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()
        if self._transport is not None:
            self._transport.close()


async def greeted(wire: Wire, truck: Truck) -> None:
    """The greeting, to its end."""
    for data in truck.greet():
        wire.write(data)
    ready = False
    while not ready:
        heard = truck.hear(await wire.read())
        ready = heard.ready
        for data in heard.reply:
            wire.write(data)


async def acked(wire: Wire, truck: Truck, key: bytes) -> bool:
    """The truck has heard its report acknowledged, once."""
    found: tuple[bytes, ...] = ()
    while not found:
        found = truck.hear(await wire.read()).acked
    return found == (key,)


@pytest.mark.parametrize(("model", "transport", "secret", "options"), CASES)
async def test_a_simulated_truck_is_understood(
    tmp_path: Path, model: str, transport: str, secret: str | None, options: dict[str, object]
) -> None:
    """Each report thrice: live, repeated, and filled in as if no answer had come; stored once, as the truck says."""
    caller = Caller(id=NUMBER, device="truck-1", profile=LIBRARY[model], secret=secret)
    truck = make_talker(caller.profile, NUMBER, secret, options)
    settings = Options(secret="between us", datagrams=transport == "udp")
    async with stand(tmp_path, [caller], "jt808", transport=transport, options=settings) as desk, door(desk) as port:
        wire = Wire()
        await wire.open(transport, port)
        await greeted(wire, truck)
        for minute in range(3):
            values = means(model)
            key, data = truck.report(values, NOON + minute * 60 * SECOND)
            for copy in (data, truck.again(key), truck.backfill(key)):
                wire.write(copy)
                assert await acked(wire, truck, key)
            assert desk.values("truck-1") == values
            assert truck.readings(key) == len(values) == len(desk.stored()) / (minute + 1)
            assert truck.unmapped == 0
        assert desk.desk.counts.repeated == 6
        wire.write(truck.beat())
        (frame,) = Reader().feed(await wire.read())
        assert parse_ack(frame.body).message == HEARTBEAT
        await wire.close()
        desk.ledger()


async def test_an_outage_is_filled_in_as_backlog_and_overspeed_is_an_event(tmp_path: Path) -> None:
    caller = Caller(id=NUMBER, device="truck-1", profile=PLAIN)
    truck = make_talker(PLAIN, NUMBER, None, {})
    async with stand(tmp_path, [caller], "jt808", options=Options(authenticate=False)) as desk, door(desk) as port:
        wire = Wire()
        await wire.open("tcp", port)
        await greeted(wire, truck)
        kept = [truck.report(means("jt808-vehicle-2013"), NOON - n * 30 * SECOND)[0] for n in range(20, 0, -1)]
        for step in range(0, 310, 10):
            key, data = truck.report(means("jt808-vehicle-2013"), NOON + step * SECOND)
            wire.write(data)
            assert await acked(wire, truck, key)
        for key in kept:
            wire.write(truck.backfill(key))
            assert await acked(wire, truck, key)
        rows = [one for one in desk.stored() if one.point == "overspeed"]
        assert [one.at < NOON for one in rows if one.lane is Lane.BACKLOG] == [True] * 20
        assert [one.value for one in rows if one.lane is Lane.EVENT] == [1]
        assert sum(one.value == 1 for one in rows if one.at >= NOON) > 1
        await wire.close()


def test_the_round_is_driven_at_the_speed_that_is_said() -> None:
    """No jump anywhere: from second to second the place moves no further than the speed says."""
    drive = Drive(NUMBER)
    before = drive.at(NOON)
    for second in range(1, 1500):
        now = drive.at(NOON + second * SECOND)
        north = math.radians(now.latitude - before.latitude) * 6_371_000
        east = math.radians(now.longitude - before.longitude) * 6_371_000 * math.cos(math.radians(31.02))
        assert math.hypot(north, east) <= max(now.speed, before.speed) / 3.6 + 0.2
        assert 31.0 < now.latitude < 31.04
        assert 109.44 < now.longitude < 109.5
        assert 1 < now.speed < 63
        assert now.mileage >= before.mileage
        before = now
    assert Drive("1").at(NOON) != Drive("2").at(NOON)


def replies(truck: Truck, message: int, body: bytes) -> list[Frame]:
    """What the truck answers to a message of the platform."""
    asked = Frame(message=message, number=NUMBER, serial=3, body=body)
    return [frame for data in truck.hear(encode(asked)).reply for frame in Reader().feed(data)]


def test_a_truck_knows_what_to_do_when_it_is_refused() -> None:
    truck = make_talker(PLAIN, NUMBER, "old code", {})
    (hello,) = Reader().feed(truck.greet()[0])
    assert (hello.message, hello.body) == (AUTHENTICATE, b"old code")
    (again,) = replies(truck, PLATFORM_ACK, encode_ack(Ack(hello.serial, AUTHENTICATE, FAILED)))
    assert again.message == REGISTER
    assert replies(truck, REGISTERED, encode_registered(Registered(again.serial, NO_TERMINAL))) == []
    (proof,) = replies(truck, REGISTERED, encode_registered(Registered(again.serial, code="new code")))
    assert (proof.message, proof.body) == (AUTHENTICATE, b"new code")
    (forgotten,) = replies(truck, PLATFORM_ACK, encode_ack(Ack(77, POSITION, FAILED)))
    assert forgotten.message == AUTHENTICATE  # a gateway without its memory


def test_a_truck_answers_commands_and_ignores_what_is_not_its_own() -> None:
    truck = make_talker(PLAIN, NUMBER, None, {})
    (done,) = replies(truck, SET_PARAMETERS, encode_parameters({0x55: 60}))
    assert (done.message, parse_ack(done.body)) == (TERMINAL_ACK, Ack(3, SET_PARAMETERS))
    stranger = Frame(message=SET_PARAMETERS, number="2", serial=1, body=b"\0")
    assert truck.hear(b"noise" + encode(stranger)).reply == ()
    assert truck.hear(encode(Frame(message=PLATFORM_ACK, number=NUMBER, serial=1, body=b"\0"))).acked == ()


def test_a_filled_in_report_keeps_its_serial() -> None:
    truck = make_talker(COLD, NUMBER, None, {})
    key, _ = truck.report(means("jt808-truck-2019"), NOON)
    (frame,) = Reader().feed(truck.backfill(key))
    assert (frame.message, truck.backfill(key)) == (BATCH, encode(frame))


@pytest.mark.parametrize(
    ("id", "options", "wanted"),
    [
        (NUMBER, {"flavour": 1}, "unknown option"),
        (NUMBER, {"drive": 1}, "must be a bool"),
        ("1234567890123", {}, "no terminal number"),
        ("渝F12345", {}, "no terminal number"),
    ],
)
def test_a_truck_that_cannot_be_is_refused(id: str, options: dict[str, object], wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        make_talker(PLAIN, id, None, options)
    with pytest.raises(ValueError, match="not JT/T 808"):
        make_talker(LIBRARY["xy-md02"], NUMBER, None, {})
