"""Hydrological stations at the real door, with real sockets and a real spool: confirmed when on disk, denied packet by
packet, and silent where the standard wants silence."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from device_profiles.codecs.sl651 import ACK, EOT, ESC, ETB, NAK, Frame, Reader, encode
from device_profiles.codecs.sl651_body import EVENT, LINK, QUERY_PERIOD, Item, Message, Section, parse_time
from device_profiles.codecs.sl651_messages import encode_message, parse_message
from device_profiles.codecs.sl651_packets import split_frame
from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.maps.sl651 import SlMap, encode_report
from device_profiles.problems import Problems
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane, Value
from device_profiles.tables import Table
from gateway.inspection import read_quarantine
from gateway.listeners.callers import Caller
from gateway.listeners.sl651 import STALE_US, Options, Session, read_options
from tests.laws import sl651_frames as published
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, HandClock, Stand, door, stand

LIBRARY = load_library()
RIVER = LIBRARY["sl651-rain-river"]
ONCE = msgspec.structs.replace(RIVER, map=msgspec.structs.replace(RIVER.map, mode="M1"))
ID, OTHER_ID, ONCE_ID = "5002360011", "50023600018", "00112233"
BRIDGE = Caller(id=ID, device="bridge", profile=RIVER, secret="1a2B")
ARTICLE = Caller(id="0011223344", device="article", profile=RIVER)
SOIL = Caller(id=OTHER_ID, device="field", profile=LIBRARY["sl651-soil-moisture"])
MUTE = Caller(id=ONCE_ID, device="mute", profile=ONCE)
GONE = Caller(id="99999999", device="gone", profile=RIVER, disabled=True)
CALLERS = [BRIDGE, ARTICLE, SOIL, MUTE, GONE]
STATION = bytes.fromhex(ID)
MINUTE = 60_000_000


class Line:
    """The station's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._cut = Reader()
        self._frames: list[Frame] = []

    def send(self, *parts: bytes) -> None:
        """Bytes to the gateway, in one piece."""
        self.writer.write(b"".join(parts))

    async def heard(self) -> Frame:
        """The next frame from the gateway."""
        async with asyncio.timeout(PATIENCE):
            while not self._frames:
                data = await self._reader.read(4096)
                assert data, "the gateway hung up"
                self._frames += self._cut.feed(data)
        assert not self._cut.rejects
        return self._frames.pop(0)

    async def ended(self) -> None:
        """The gateway has hung up and said nothing more."""
        async with asyncio.timeout(PATIENCE):
            assert await self._reader.read() == b""

    async def serial(self) -> int:
        """The serial number in the next confirmation."""
        return parse_message(await self.heard()).serial


@asynccontextmanager
async def at_the_door(
    folder: Path, options: Options | None = None, unknown: str = "refuse", clock: HandClock | None = None
) -> AsyncIterator[tuple[Stand, Line]]:
    async with (
        stand(folder, CALLERS, "sl651", options=options or Options(), unknown=unknown, clock=clock) as desk,
        door(desk) as port,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield desk, Line(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()


def report(level: Value = 168.4, serial: int = 1, at: int = NOON, **more: object) -> Message:
    """A report of the bridge."""
    assert isinstance(RIVER.map, SlMap)
    values = {"river_level": level, "supply_voltage": 12.4}
    return encode_report(RIVER.map, values, at, station=STATION, password=0x1A2B, serial=serial, **more)  # type: ignore[arg-type]  # any of its keywords


def said(level: Value = 168.4, serial: int = 1, at: int = NOON, **more: object) -> bytes:
    return encode(encode_message(report(level, serial, at, **more)))


# --- M2 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ascii", [False, True])
async def test_a_report_is_confirmed_when_it_is_on_disk(tmp_path: Path, ascii: bool) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(said(serial=0x1234, ascii=ascii))
        frame = await line.heard()
        assert desk.values("bridge") == {"river_level": 168.4, "supply_voltage": 12.4}
        assert (frame.down, frame.end, frame.ascii, frame.function) == (True, EOT, ascii, 0x32)
        assert (frame.station, frame.centre, frame.password) == (STATION, 1, 0x1A2B)
        answer = parse_message(frame)
        assert (answer.serial, answer.sent) == (0x1234, NOON)
        assert desk.ledger().good == 2


async def test_a_published_report_is_confirmed_as_published(tmp_path: Path) -> None:
    sent = parse_time("170718110016")
    assert sent is not None
    async with at_the_door(tmp_path, Options(stay=True), clock=HandClock(sent)) as (desk, line):
        line.send(published.data("timed report"))
        assert encode(await line.heard()) == published.data("confirmation of a timed report")
        assert desk.values("article")["river_level"] == 10.49


async def test_answers_come_in_order_and_share_commits(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(*(said(100 + n, n + 1, NOON + n * MINUTE) for n in range(40)))
        assert [await line.serial() for _ in range(40)] == list(range(1, 41))
        assert len(desk.stored()) == 80


async def test_a_retransmission_is_confirmed_again_and_stored_once(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(said(serial=9), said(serial=9, sent=NOON + MINUTE), said(serial=10))
        assert [await line.serial() for _ in range(3)] == [9, 9, 10]
        assert len(desk.stored()) == 4
        assert desk.desk.counts.repeated == 1


async def test_a_retransmission_is_known_on_a_new_connection(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (_, line):
        line.send(said(serial=9))
        assert await line.serial() == 9
    async with at_the_door(tmp_path) as (desk, line):
        line.send(said(serial=9))
        assert await line.serial() == 9
        assert len(desk.stored()) == 2


async def test_what_is_not_on_disk_is_not_confirmed(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        await desk.spool.close()
        line.send(said(serial=1), packets(serial=2)[0], packets(serial=2)[-1])
        assert (await line.heard()).end == NAK  # that needs no disk; the confirmation would have come before it
        assert (desk.desk.counts.refused, desk.desk.counts.reports) == (1, 0)


async def test_an_additional_report_goes_before_what_waits(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(*(said(serial=n) for n in range(1, 6)), said(171.2, 6, function=EVENT))
        for serial in range(1, 7):
            assert await line.serial() == serial
        assert desk.stored()[0].lane is Lane.EVENT
        assert desk.stored()[0].value == 171.2


async def test_a_change_of_the_alarm_is_an_event_also_on_a_new_connection(tmp_path: Path) -> None:
    options = Options()
    assert isinstance(RIVER.map, SlMap)
    lanes = []
    for serial, alarm in enumerate([0.0, 1.0, 1.0, 0.0], 1):
        bits: dict[str, Value] = {"level_alarm": alarm, "door_closed": 1.0}
        message = encode_report(
            RIVER.map, bits, NOON + serial * MINUTE, station=STATION, password=0x1A2B, serial=serial
        )
        folder = tmp_path / str(serial)
        folder.mkdir()
        async with at_the_door(folder, options) as (desk, line):
            line.send(encode(encode_message(message)))
            assert await line.serial() == serial
            lanes.append(desk.stored()[0].lane)
    assert lanes == [Lane.LIVE, Lane.EVENT, Lane.LIVE, Lane.EVENT]


async def test_more_to_come_keeps_the_station_on_line(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (_, line):
        line.send(encode(encode_message(msgspec.structs.replace(report(), end=ETB))))
        assert (await line.heard()).end == ESC
        line.send(encode(encode_message(msgspec.structs.replace(report(serial=2), function=QUERY_PERIOD, end=ETB))))
        assert (await line.heard()).end == ACK


# --- silence ----------------------------------------------------------------------------------------------------------


async def test_link_keeping_is_a_sign_of_life_and_not_answered(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        beat = Message(station=STATION, function=LINK, serial=1, sent=NOON, password=0x1A2B)
        line.send(encode(encode_message(beat)), said(serial=2))
        assert await line.serial() == 2  # nothing came before it
        assert desk.desk.sessions()[0]["at"] == NOON
        assert len(desk.stored()) == 2


def mute(*items: Item) -> bytes:
    """A report of the station that says it once."""
    station = bytes.fromhex("00" + ONCE_ID)
    section = Section(items=items, station=station, kind=ord("H"))
    return encode(encode_message(Message(station=station, function=0x31, serial=1, sent=NOON, sections=(section,))))


async def test_mode_m1_is_not_answered(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(mute(Item(element=0x39, define=0x23, data=b"\0\x16\x84\0", at=NOON)), said(serial=2))
        assert await line.serial() == 2  # nothing came before it
        assert desk.values("mute") == {"river_level": 168.4}


async def test_what_is_said_once_and_does_not_fit_is_a_gap(tmp_path: Path) -> None:
    """900 levels a minute apart (31) into a spool that is too small: nobody will say them again."""
    answers: list[bytes] = []
    digits = b"".join(bytes.fromhex(f"{n * 7919 % 10**7:08d}") for n in range(900))
    long = Item(element=0x39, define=0x23, data=digits, at=NOON - 900 * MINUTE, step=b"\0\0\1")
    async with stand(tmp_path, CALLERS, "sl651", options=Options(), quota=2_000) as desk:
        session = Session(desk.desk, "192.0.2.7:5000", answers.append)
        await session.feed(mute(long))
        await session.feed(said(serial=2))
        (gap,) = desk.gaps()
        assert (gap.reason, gap.readings, gap.devices) == (Reason.QUOTA, 900, ("mute",))
        assert (gap.begin, gap.end) == (NOON - 900 * MINUTE, NOON - MINUTE)
    assert len(answers) == 1


async def test_the_centre_does_not_answer_itself(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(published.data("question: now"), said(serial=2))
        assert await line.serial() == 2
        assert desk.desk.counts.rejected == {Reason.ECHO.word: 1}


# --- strangers --------------------------------------------------------------------------------------------------------


async def test_strangers_disabled_ones_and_wrong_passwords_are_turned_away(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, unknown="quarantine") as (desk, line):
        wrong = msgspec.structs.replace(report(serial=3), password=0x1111)
        gone = msgspec.structs.replace(report(serial=4), station=bytes.fromhex("0099999999"))
        line.send(published.data("rain only, centre 0"))
        line.send(encode(encode_message(gone)), encode(encode_message(wrong)), said(serial=5))
        assert await line.serial() == 5
        assert desk.desk.counts.turned_away == 3
        assert len(desk.stored()) == 2
        kept = {one.id for one in read_quarantine(desk.path, 5)}
        assert kept == {"81120005", "99999999", "50023600017"}


async def test_a_relay_speaks_for_several_stations(tmp_path: Path) -> None:
    soil = Item(element=0x10, define=0x11, data=b"\x01\x58", at=NOON)
    other, stranger = bytes.fromhex("5002360012"), bytes.fromhex("5002360099")
    message = report(serial=3)
    sections = (
        message.sections[0],
        Section(items=(soil,), station=other, kind=ord("M")),
        Section(items=(soil,), station=stranger, kind=ord("M")),
    )
    async with at_the_door(tmp_path) as (desk, line):
        line.send(encode(encode_message(msgspec.structs.replace(message, sections=sections))))
        assert await line.serial() == 3
        assert desk.values("bridge")["river_level"] == 168.4
        assert desk.values("field") == {"soil_moisture_10cm": 15.8}
        assert desk.desk.counts.turned_away == 1


async def test_what_no_point_names_and_tests_are_told(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        item = Item(element=0xFF11, define=0x12, data=b"\x01\x58", at=NOON)
        message = report(function=0x30)
        strange = msgspec.structs.replace(message.sections[0], items=(*message.sections[0].items, item))
        line.send(encode(encode_message(msgspec.structs.replace(message, sections=(strange,)))))
        await line.heard()
        assert desk.desk.counts.unmapped == {"FF11": 1}
        assert {(one.quality, one.reason) for one in desk.stored()} == {(Quality.UNCERTAIN, Reason.MAINTENANCE)}


# --- M3 ---------------------------------------------------------------------------------------------------------------


def packets(serial: int = 5, room: int = 9) -> list[bytes]:
    return [encode(part) for part in split_frame(encode_message(report(serial=serial)), room)]


async def test_packets_are_confirmed_once_after_the_last(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        parts = packets()
        assert len(parts) == 4
        line.send(*parts, said(serial=6))
        frame = await line.heard()
        assert (frame.end, frame.packet, parse_message(frame).serial) == (EOT, (4, 4), 5)
        assert await line.serial() == 6
        assert desk.values("bridge")["river_level"] == 168.4


async def test_missing_packets_are_denied_one_by_one(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        parts = packets()
        line.send(parts[0], parts[3])
        denied = [await line.heard(), await line.heard()]
        assert [(one.end, one.packet) for one in denied] == [(NAK, (4, 2)), (NAK, (4, 3))]
        assert {parse_message(one).serial for one in denied} == {5}
        assert not desk.stored()
        line.send(parts[1])
        line.send(parts[2])
        frame = await line.heard()
        assert (frame.end, frame.packet) == (EOT, (4, 4))
        assert len(desk.stored()) == 2


async def test_a_whole_message_said_again_is_confirmed_again(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(*packets(), *packets())
        assert [await line.serial(), await line.serial()] == [5, 5]
        assert len(desk.stored()) == 2


async def test_packets_that_never_came_are_accounted_for(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(packets()[0], said(serial=9)[:-3])
        line.writer.write_eof()
        await line.ended()
    assert desk.desk.counts.rejected == {Reason.TRUNCATED.word: 2}


# --- the line ---------------------------------------------------------------------------------------------------------


async def test_a_frame_that_stays_truncated_is_given_up(tmp_path: Path) -> None:
    answers: list[bytes] = []
    async with stand(tmp_path, CALLERS, "sl651", options=Options()) as desk:
        session = Session(desk.desk, "192.0.2.7:5000", answers.append)
        await session.feed(said(serial=1)[:11] + b"\x0f\xff\x02")  # 4095 bytes, it says
        desk.clock.at += STALE_US + 1
        await session.feed(said(serial=2))
        session.closed()
        assert desk.desk.counts.rejected == {Reason.TRUNCATED.word: 1}
    (frame,) = Reader().feed(b"".join(answers))
    assert parse_message(frame).serial == 2


async def test_garbage_does_not_end_a_session(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        bad = bytearray(said(serial=1))
        bad[20] ^= 1
        short = encode(Frame(station=STATION, function=0x32, body=b"abc", password=0x1A2B))
        line.send(b"GET / HTTP/1.1\r\n\r\n", bytes(bad), short, said(serial=2))
        assert await line.serial() == 2
        assert desk.desk.counts.rejected == {"noise": 1, "bad_checksum": 1, "malformed": 1}


async def test_datagrams(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with stand(tmp_path, CALLERS, "sl651", transport="udp", options=Options()) as desk, door(desk) as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.setblocking(False)
            end.connect(("127.0.0.1", port))
            async with asyncio.timeout(PATIENCE):
                for part in packets():
                    await loop.sock_sendall(end, part)
                (frame,) = Reader().feed(await loop.sock_recv(end, 4096))
        assert (frame.end, frame.packet) == (EOT, (4, 4))
        assert len(desk.stored()) == 2


def test_options(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("stay_online = true\n", encoding="utf-8")
    problems = Problems()
    document = TomlDocument.load(path, problems)
    assert document is not None
    table = Table(document, (), problems)
    assert read_options(table).stay
    table.end()
    assert not problems.found
