"""Devices that send a datagram of their own, at the real door: who it is stands in it, and never in its address."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from device_profiles.loader import load_library
from device_profiles.maps.payload import encode_report
from device_profiles.maps.payload_table import PayloadMap
from device_profiles.quality import Reason
from device_profiles.readings import Lane
from gateway.listeners.callers import Caller
from tests.parts import wait_until
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, Stand, door, stand

LIBRARY = load_library()
IMEI = "861234050123456"
COVER = Caller(id=IMEI, device="cover-01", profile=LIBRARY["generic-cover-nb"])
BIN = Caller(id="411056756471", device="bin-01", profile=LIBRARY["dragino-ndds75"])
TEXT = Caller(id="021F0184", device="cover-02", profile=LIBRARY["generic-cover-text"])
SONAR = Caller(id="868508061924513", device="bin-02", profile=LIBRARY["milesight-em400-mud-nb"])
CALLERS = [COVER, BIN, TEXT, SONAR]
FLAT = {"tilt": -1.2, "water": 0, "moved": 0, "battery": 3600, "temperature": 9, "rsrp": -92.5}
CAPTURE = bytes.fromhex("41105675647100640CD1070A1600")


def lying(count: int = 1, id: str = IMEI, at: int = NOON, message: int = 1, **values: float) -> bytes:
    """A cover's message."""
    assert isinstance(COVER.profile.map, PayloadMap)
    return encode_report(COVER.profile.map, {**FLAT, **values}, at, id=id, count=count, message=message)


class Port:
    """A device's socket; each has a source port of its own."""

    def __init__(self, port: int) -> None:
        self._end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._end.setblocking(False)
        self._end.connect(("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def asked(self, data: bytes) -> bytes:
        """What comes back for a datagram."""
        await self.send(data)
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self._end, 2048)

    def close(self) -> None:
        self._end.close()


@asynccontextmanager
async def at_the_door(folder: Path, unknown: str = "refuse") -> AsyncIterator[tuple[Stand, int]]:
    async with stand(folder, CALLERS, "payload", transport="udp", unknown=unknown) as desk, door(desk) as port:
        yield desk, port


@asynccontextmanager
async def device(port: int) -> AsyncIterator[Port]:
    opened = Port(port)
    try:
        yield opened
    finally:
        opened.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition without holding up the loop."""
    await asyncio.to_thread(wait_until, holds, "the condition holds", PATIENCE)


async def test_the_described_acknowledgement_comes_from_the_disk(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device(port) as end:
        ack = await end.asked(lying(count=7))
        assert ack[:13] == bytes.fromhex("AA5581 0861234050123456 0007".replace(" ", ""))
        assert desk.values("cover-01") == FLAT
        assert {one.at for one in desk.stored()} == {NOON}


async def test_a_new_source_port_is_the_same_device(tmp_path: Path) -> None:
    """A NAT's rebind between a message and its retransmission: stored once, acknowledged twice."""
    async with at_the_door(tmp_path) as (desk, port):
        answers = []
        for _ in range(2):
            async with device(port) as end:
                answers.append(await end.asked(lying(count=7)))
        assert answers[0] == answers[1]
        assert (len(desk.stored()), desk.desk.counts.repeated) == (len(FLAT), 1)
        assert desk.desk.sessions()[0]["moves"] == 1


async def test_the_same_counter_with_other_words_is_another_message(tmp_path: Path) -> None:
    """A counter that begins anew after a reboot loses nothing."""
    async with at_the_door(tmp_path) as (desk, port), device(port) as end:
        await end.asked(lying(count=1))
        await end.asked(lying(count=1, tilt=20, message=2, at=NOON + 1_000_000))
        assert [one.value for one in desk.stored() if one.point == "tilt"] == [-1.2, 20]
        assert [one.lane for one in desk.stored() if one.point == "tilt"] == [Lane.LIVE, Lane.EVENT]


async def test_several_models_share_a_door(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device(port) as end:
        await end.send(CAPTURE)
        await end.send(b"$ID:021F0184#\r\n$VOL:3.46#\r\n$ANGLE:180.0#\r\n$BTI:02#\r\n$HTI:14#")
        await end.send(SONAR.profile.examples[0].report)
        await until(lambda: desk.desk.counts.reports == 3)
        assert desk.values("bin-01")["distance"] == 2582
        assert desk.values("cover-02") == {"battery": 3.46, "tilt": 180}
        assert desk.values("bin-02")["temperature"] == 12.5
        assert desk.desk.counts.unmapped == {"BTI": 1, "HTI": 1}
    desk.ledger()  # it balances


async def test_strangers_and_nonsense_are_accounted_for(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device(port) as end:
        await end.send(lying(id="861234050100000"))
        await end.send(lying()[:-1] + b"\x00")
        await end.send(b"")
        await until(lambda: desk.desk.counts.turned_away == 1 and sum(desk.desk.counts.rejected.values()) == 2)
        assert (desk.stored(), desk.desk.counts.bugs) == ([], 0)


async def test_a_value_that_is_none_is_no_zero(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device(port) as end:
        await end.asked(COVER.profile.examples[1].report)
        stored = {one.point: one for one in desk.stored()}
        assert (stored["temperature"].value, stored["temperature"].reason) == (None, Reason.SENSOR_OPEN)
