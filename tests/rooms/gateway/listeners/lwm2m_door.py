"""An LwM2M listener at work before a real spool, and a look behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from device_profiles.loader import load_library
from device_profiles.maps.lwm2m import Lwm2mMap
from device_profiles.profiles import DeviceProfile, Writable
from gateway.listeners.callers import Caller
from gateway.listeners.lwm2m import ListenerOptions, Server
from tests.parts import wait_until
from tests.rooms.gateway.listeners.desks import PATIENCE, HandClock, Stand, stand

LIBRARY = load_library()
BIN, AIR = "urn:imei:861234050123456", "urn:imei:861234050199999"
SECOND = 1_000_000


def dimmable(profile: DeviceProfile) -> DeviceProfile:
    """The bin's profile with a point that may be written."""
    map_ = profile.map
    assert isinstance(map_, Lwm2mMap)
    height = msgspec.structs.replace(
        map_.points[1], name="height", path="/3435/0/1", writable=Writable(low=0, high=300)
    )
    return msgspec.structs.replace(profile, map=msgspec.structs.replace(map_, points=(*map_.points, height)))


CALLERS = [
    Caller(id=BIN, device="bin-01", profile=dimmable(LIBRARY["generic-bin-lwm2m"])),
    Caller(id=AIR, device="air-01", profile=LIBRARY["generic-th-lwm2m"]),
    Caller(id="gone", device="bin-99", profile=LIBRARY["generic-bin-lwm2m"], disabled=True),
]
OPTIONS = ListenerOptions(ack_timeout_s=0.3)


class Door:
    """A listener at work, and a look behind it."""

    def __init__(self, desk: Stand, server: Server, port: int) -> None:
        self.desk = desk
        self.server = server
        self.port = port
        self.clock = desk.clock

    async def until(self, holds: Callable[[], bool], what: str = "the condition holds") -> None:
        """Wait for a condition without holding up the loop."""
        await asyncio.to_thread(wait_until, holds, what, PATIENCE)

    def values(self, device: str = "bin-01") -> dict[str, Any]:
        return dict(self.desk.values(device))


@asynccontextmanager
async def at_the_door(folder: Path, clock: HandClock | None = None) -> AsyncIterator[Door]:
    async with stand(folder, CALLERS, "lwm2m", transport="coap", options=OPTIONS, clock=clock) as desk:
        ready, stop = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            server = Server(desk.desk, group)
            serving = group.create_task(server.endpoint.serve("127.0.0.1", desk.config.port, ready, stop))
            await ready.wait()
            yield Door(desk, server, desk.config.port)
            stop.set()
            await serving
            server.asker.stop()
