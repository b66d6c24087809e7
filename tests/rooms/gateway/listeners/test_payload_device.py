"""The simulator's devices before the real doors: what they say is taken, and they know what was."""

import asyncio
import socket
from pathlib import Path

import pytest

from device_profiles.loader import load_library
from device_profiles.maps.payload_table import PayloadMap
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from firmware_sim.callers.payload import Sensor, make_talker
from firmware_sim.physics import Signal
from gateway.listeners.callers import Caller
from tests.parts import wait_until
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, door, stand

MODELS = [profile for profile in load_library().values() if profile.protocol == "payload"]
IDS = {"dragino-ndds75": "411056756471", "generic-cover-text": "021F0184"}


def id_of(profile: DeviceProfile) -> str:
    return IDS.get(profile.model, "861234050123456")


def values_of(profile: DeviceProfile) -> dict[str, Value]:
    """What the simulated physics say at noon."""
    return {
        point.name: Signal(point, profile.simulate.get(point.name), point.name, NOON).at(NOON)
        for point in profile.points
    }


async def conversation(talker: Sensor, profile: DeviceProfile, port: int) -> list[bytes]:
    """Two reports, the second one twice; which keys were acknowledged."""
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setblocking(False)
    end.connect(("127.0.0.1", port))
    loop, acked = asyncio.get_running_loop(), []
    try:
        for _ in range(2):
            key, frame = talker.report(values_of(profile), NOON)
            await loop.sock_sendall(end, frame)
            for copy in range(2 if key else 0):
                async with asyncio.timeout(PATIENCE):
                    heard = talker.hear(await loop.sock_recv(end, 2048))
                assert heard.acked == (key,)
                acked.append(key)
                if not copy:
                    await loop.sock_sendall(end, talker.again(key))
    finally:
        end.close()
    return acked


@pytest.mark.parametrize("profile", MODELS, ids=[profile.model for profile in MODELS])
async def test_a_simulated_device(tmp_path: Path, profile: DeviceProfile) -> None:
    assert isinstance(profile.map, PayloadMap)
    talker = make_talker(profile, id_of(profile), None, {})
    caller = Caller(id=id_of(profile), device="dev", profile=profile)
    async with (
        stand(tmp_path, [caller], "payload", transport=profile.map.transport) as desk,
        door(desk) as port,
    ):
        acked = await conversation(talker, profile, port)
        await asyncio.to_thread(wait_until, lambda: desk.desk.counts.reports == 2, "both are on disk", PATIENCE)
        assert (len(acked), desk.desk.counts.repeated) == ((4, 2) if acked else (0, 0))
        assert len(desk.stored()) == 2 * talker.readings(b"")
        assert desk.desk.counts.unmapped == {}
    desk.ledger()  # it balances


def test_what_a_device_cannot_be() -> None:
    cover = load_library()["generic-cover-nb"]
    for id_, options in (
        ("letters", {}),
        ("8" * 16, {}),
        ("861234050123456", {"message": 9}),
        ("1", {"colour": "red"}),
    ):
        with pytest.raises(ValueError, match=r"."):
            make_talker(cover, id_, None, options)
