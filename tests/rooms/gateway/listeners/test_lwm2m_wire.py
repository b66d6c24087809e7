"""What a network does to LwM2M and no library would: a new source port, a lost acknowledgement, a restarted gateway.

The client is our simulator's, on a bare socket.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from device_profiles.codecs import coap
from device_profiles.codecs.coap import Message
from device_profiles.profiles import DeviceProfile
from device_profiles.quality import Reason
from firmware_sim.callers.lwm2m import make_talker
from gateway.listeners import lwm2m
from tests.rooms.gateway.listeners.desks import PATIENCE, HandClock, stand
from tests.rooms.gateway.listeners.lwm2m_door import BIN, CALLERS, LIBRARY, OPTIONS, at_the_door


class Line:
    """The simulator's client; its socket can be replaced by one on another port."""

    def __init__(self, port: int, id: str = BIN, profile: DeviceProfile = LIBRARY["generic-bin-lwm2m"]) -> None:
        self._port = port
        self.talker = make_talker(profile, id, None, {})
        self._end = self._open()

    def _open(self) -> socket.socket:
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.setblocking(False)
        end.connect(("127.0.0.1", self._port))
        return end

    def rebind(self) -> None:
        """A NAT gives it another port."""
        self._end.close()
        self._end = self._open()

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def heard(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self._end, 2048)

    async def greet(self) -> None:
        """Register and be observed."""
        for frame in self.talker.greet():
            await self.send(frame)
        while True:
            heard = self.talker.hear(await self.heard())
            for frame in heard.reply:
                await self.send(frame)
            if heard.ready:
                return

    async def said(self, frame: bytes) -> Message:
        """Send it and wait for what comes back."""
        await self.send(frame)
        return coap.decode(await self.heard())

    def notification(self, fill: float = 50.0, at: int = 0) -> tuple[bytes, bytes]:
        """(its message id, a notification)."""
        values = {"fill": fill, "level": 60, "full": 0, "out_of_position": 0, "temperature_alarm": 0}
        return self.talker.reports(dict(values), at)[0]

    def close(self) -> None:
        self._end.close()


@asynccontextmanager
async def line(port: int) -> AsyncIterator[Line]:
    opened = Line(port)
    try:
        yield opened
    finally:
        opened.close()


async def test_an_observation_goes_on_from_another_port(tmp_path: Path) -> None:
    """A NAT's rebind: the token says whose notification it is, and the next question goes to the new address."""
    async with at_the_door(tmp_path) as door, line(door.port) as end:
        await end.greet()
        key, frame = end.notification(50.0)
        assert (await end.said(frame)).type == coap.ACK
        end.rebind()
        key, frame = end.notification(61.0)
        answer = await end.said(frame)
        assert (answer.type, answer.code, answer.mid) == (coap.ACK, coap.EMPTY, int.from_bytes(key, "big"))
        assert door.values()["fill"] == 61.0
        assert door.desk.desk.sessions()[0]["moves"] == 1
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(door.server.asker.read(BIN, "fill"))
            for reply in end.talker.hear(await end.heard()).reply:
                await end.send(reply)
        assert reading.result() is not None


async def test_a_notification_that_comes_again_is_stored_once(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as door, line(door.port) as end:
        await end.greet()
        key, _ = end.notification()
        for _ in range(3):
            answer = await end.said(end.talker.again(key))
            assert (answer.type, answer.mid) == (coap.ACK, int.from_bytes(key, "big"))
        assert (door.desk.desk.counts.reports, door.desk.desk.counts.repeated) == (1, 2)


async def test_a_restarted_gateway_still_knows_whose_notification_it_is(tmp_path: Path) -> None:
    """Its registrations are gone, its tokens are not: nothing is lost until the client registers again."""
    clock = HandClock()
    async with at_the_door(tmp_path, clock) as door, line(door.port) as end:
        await end.greet()
        _, frame = end.notification(50.0)
        await end.said(frame)
        _, frame = end.notification(61.0)
    async with at_the_door(tmp_path, clock) as door, line(door.port) as other:
        assert (await other.said(frame)).type == coap.ACK
        assert door.values()["fill"] == 61.0
        update = Message(coap.CON, coap.POST, 9, b"\x09", coap.path_options("/rd/1234"))
        assert (await other.said(coap.encode(update))).code == coap.NOT_FOUND


async def test_a_notification_that_nobody_asked_for_is_reset(tmp_path: Path) -> None:
    """RFC 7641, 3.6: that ends the observation at the device."""
    async with at_the_door(tmp_path) as door, line(door.port) as end:
        stray = Message(coap.CON, coap.CONTENT, 5, b"12345678", ((coap.OBSERVE, b"\x01"),), b"1")
        assert (await end.said(coap.encode(stray))).type == coap.RST
        stray = msgspec.structs.replace(stray, type=coap.NON)
        assert (await end.said(coap.encode(stray))).type == coap.RST


async def test_what_is_not_on_disk_is_not_acknowledged(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as door, line(door.port) as end:
        await end.greet()
        _, frame = end.notification()
        await door.desk.spool.close()
        await end.send(frame)
        ping = await end.said(coap.encode(Message(coap.CON, coap.EMPTY, 1)))
        assert ping.type == coap.RST
        assert door.desk.desk.counts.reports == 0


async def test_a_registration_that_comes_again_gets_the_same_location(tmp_path: Path) -> None:
    """RFC 7252, 4.5: what must not be done twice is answered twice."""
    async with at_the_door(tmp_path) as door, line(door.port) as end:
        (frame,) = end.talker.greet()
        first = await end.said(frame)
        await end.send(frame)
        while (second := coap.decode(await end.heard())).request:
            continue  # the question whether it may be observed
        assert (second.code, second.texts(coap.LOCATION_PATH)) == (coap.CREATED, first.texts(coap.LOCATION_PATH))


async def test_a_notification_that_does_not_read(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as door, line(door.port) as end:
        await end.greet()
        _, frame = end.notification()
        broken = msgspec.structs.replace(coap.decode(frame), payload=b"\xc3\x02abc", mid=77)
        assert (await end.said(coap.encode(broken))).type == coap.ACK
        assert door.desk.desk.counts.rejected == {Reason.MALFORMED.word: 1}
        assert door.desk.stored() == []


async def test_a_client_that_does_not_answer_holds_up_nobody(tmp_path: Path) -> None:
    """It is asked three times, then let be; the next update asks again."""
    async with at_the_door(tmp_path) as door, line(door.port) as silent:
        (frame,) = silent.talker.greet()
        created = await silent.said(frame)
        asked = [await silent.heard() for _ in range(3)]
        assert len(set(asked)) == 1
        client = door.server.clients.find(BIN, door.clock.now())
        assert client is not None
        await door.until(lambda: not door.server.asker.busy, "it is given up")
        location = created.texts(coap.LOCATION_PATH)[1]
        update = Message(coap.CON, coap.POST, 900, b"\x09", coap.path_options(f"/rd/{location}"))
        assert (await silent.said(coap.encode(update))).code == coap.CHANGED
        assert coap.decode(await silent.heard()).code == coap.PUT  # pmin and pmax: it is asked again


async def test_the_door_as_the_gateway_opens_it(tmp_path: Path) -> None:
    async with stand(tmp_path, CALLERS, "lwm2m", transport="coap", options=OPTIONS) as desk:
        ready, stop = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(lwm2m.serve(desk.desk, "127.0.0.1", desk.config.port, ready, stop))
            await ready.wait()
            async with line(desk.config.port) as end:
                await end.greet()
            stop.set()
