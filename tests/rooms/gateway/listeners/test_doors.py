"""The doors at the end: what was received before the stop is on disk and acknowledged, and nobody waits for ever."""

import asyncio
from pathlib import Path

from device_profiles.codecs.hj212 import Frame, Reader, encode, frame
from device_profiles.codecs.hj212_segment import encode_segment
from device_profiles.loader import load_library
from device_profiles.maps.hj212 import encode_report
from device_profiles.maps.hj212_points import HjMap
from gateway.listeners.callers import Caller
from gateway.listeners.hj212 import Options
from tests.rooms.gateway.listeners.desks import NOON, door, stand

MN = "500236000021000000000001"
PROFILE = load_library()["hj212-surface-water"]
STATION = Caller(id=MN, device="wq-01", profile=PROFILE)
REPORTS = 40


def reports() -> bytes:
    assert isinstance(PROFILE.map, HjMap)
    found = b""
    for place in range(REPORTS):
        message = encode_report(PROFILE.map, {"ph": 7.0}, NOON + place * 1_000_000, qn=f"{place:017}", mn=MN)
        found += encode(frame(encode_segment(message)))
    return found


async def test_what_was_received_before_the_stop_is_acknowledged(tmp_path: Path) -> None:
    async with stand(tmp_path, [STATION], options=Options()) as desk:
        async with door(desk) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(reports())
            cut, answers = Reader(), list[Frame]()
            while not answers:  # the first acknowledgement: the others are received by now, or soon
                answers += cut.feed(await reader.read(4096))
        while data := await reader.read(4096):  # the door is closed, and what it owed comes all the same
            answers += cut.feed(data)
        writer.close()
        assert len(desk.stored()) == len(answers)
        assert desk.ledger().spooled == len(answers)


async def test_an_idle_connection_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with stand(tmp_path, [STATION], options=Options()) as desk:
        async with door(desk) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
