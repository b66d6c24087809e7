"""Fire transmitters at the real door, with a real socket and a real spool: confirmed when it is on disk, not before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from device_profiles.codecs.gb26875 import Command, Frame, Reader, address_bytes, encode, read_time, write_time
from device_profiles.codecs.gb26875_objects import (
    Clock,
    Object,
    Order,
    PartState,
    PartValue,
    SystemState,
    TransmitterState,
)
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit, write_text
from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.problems import Problems
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane
from device_profiles.tables import Table
from gateway.inspection import read_quarantine
from gateway.listeners.callers import Caller
from gateway.listeners.gb26875 import SILENCE_US, Options, read_options
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, HandClock, Stand, door, stand

LIBRARY = load_library()
FLOOR = Caller(id="1001", device="floor-01", profile=LIBRARY["generic-fire-floor"])
ANY = Caller(id="000000000379", device="uitd-01", profile=LIBRARY["generic-uitd"])
GONE = Caller(id="4004", device="uitd-99", profile=ANY.profile, disabled=True)
CALLERS = [FLOOR, ANY, GONE]
CENTRE = address_bytes("88888")
THEN = NOON - 5_000_000
TAG = write_time(THEN)


class Line:
    """The transmitter's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._cut = Reader()
        self._frames: list[Frame] = []

    def send(self, *frames: Frame | bytes) -> None:
        """Frames (or bytes as they are) to the gateway, in one piece."""
        self.writer.write(b"".join(one if isinstance(one, bytes) else encode(one) for one in frames))

    async def heard(self) -> Frame:
        """The next frame from the gateway."""
        async with asyncio.timeout(PATIENCE):
            while not self._frames:
                data = await self._reader.read(4096)
                assert data, "the gateway hung up"
                self._frames += self._cut.feed(data)
        assert not self._cut.rejects
        return self._frames.pop(0)

    async def silent(self) -> bool:
        """True when nothing was owed for what was sent before: the answer to a heartbeat comes next."""
        self.send(says(0xBEA7))
        return (await self.heard()).serial == 0xBEA7


@asynccontextmanager
async def at_the_door(
    folder: Path, options: Options | None = None, unknown: str = "refuse", clock: HandClock | None = None
) -> AsyncIterator[tuple[Stand, Line]]:
    async with (
        stand(folder, CALLERS, "gb26875", options=options or Options(), unknown=unknown, clock=clock) as desk,
        door(desk) as port,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield desk, Line(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()


def says(
    serial: int,
    unit: int | None = None,
    *objects: Object,
    command: int = Command.SEND,
    source: str = "1001",
    sent: int = NOON,
    raw: bytes = b"",
) -> Frame:
    return Frame(
        serial=serial,
        command=command,
        source=address_bytes(source),
        destination=CENTRE,
        sent=write_time(sent),
        unit=raw if unit is None else encode_unit(Unit(unit, objects)),
    )


def smoke(state: int, serial: int = 1, at: int = THEN, part: int = 2) -> Frame:
    text = write_text("一层走廊烟感")
    return says(serial, 2, PartState(1, 1, 42, part, state, text, write_time(at) if at else bytes(6)))


# --- data -----------------------------------------------------------------------------------------------------------


async def test_an_alarm_is_confirmed_when_it_is_on_disk(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(smoke(0x0003, serial=7))
        ack = await line.heard()
        assert (ack.command, ack.serial, ack.unit) == (Command.CONFIRM, 7, b"")
        assert (ack.source, ack.destination) == (CENTRE, address_bytes("1001"))
        assert read_time(ack.sent) == NOON
        stored = desk.stored()
        assert {one.point: one.value for one in stored} == {
            "smoke_2_normal": 1,
            "smoke_2_fire": 1,
            "smoke_2_fault": 0,
        }
        assert {(one.at, one.lane) for one in stored} == {(THEN, Lane.EVENT)}


async def test_values_are_live_and_a_sensor_without_one_is_bad(tmp_path: Path) -> None:
    values = [PartValue(11, 1, 0, 1, 5, 3520, TAG), PartValue(11, 1, 92, 1, 2, 0x7FFF, TAG)]
    async with at_the_door(tmp_path) as (desk, line):
        line.send(says(1, 3, *values))
        assert (await line.heard()).command == Command.CONFIRM
        found = {one.point: (one.value, one.quality, one.reason, one.lane) for one in desk.stored()}
        assert found == {
            "hydrant_pressure": (352.0, Quality.GOOD, Reason.NONE, Lane.LIVE),
            "tank_level": (None, Quality.BAD, Reason.SENSOR_OPEN, Lane.LIVE),
        }


async def test_nothing_is_confirmed_that_the_disk_refuses(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(smoke(0x0001))
        assert (await line.heard()).command == Command.CONFIRM
        await desk.spool.close()
        line.send(smoke(0x0003, serial=2))
        assert await line.silent()
        assert desk.desk.counts.refused == 1


async def test_what_comes_together_is_answered_in_order(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(*(smoke(n % 2 * 2, serial=n, at=THEN + n * 1_000_000) for n in range(40)))
        assert [(await line.heard()).serial for _ in range(40)] == list(range(40))
        assert len(desk.stored()) == 120
        assert desk.spool.view.batches < 10


async def test_a_retransmission_is_confirmed_again_and_stored_once(tmp_path: Path) -> None:
    """6.5: three times at most, under the serial of the first; the frame's own time tag may be new."""
    async with at_the_door(tmp_path) as (desk, line):
        for n in range(4):
            line.send(msgspec.structs.replace(smoke(0x0003), sent=write_time(NOON + n * 10_000_000)))
            assert (await line.heard()).serial == 1
        assert len(desk.stored()) == 3
        line.send(smoke(0x0001, serial=2))  # the ledger is written with what is stored
        await line.heard()
        assert desk.ledger().discarded == {"repeated": 9}


async def test_a_serial_that_is_used_again_is_no_repetition(tmp_path: Path) -> None:
    """A serial has 16 bits and starts at 0 with each connection of some makers; others always send 0."""
    async with at_the_door(tmp_path) as (desk, line):
        for state, at in ((2, THEN), (0, THEN + 60_000_000), (2, THEN + 120_000_000)):
            line.send(smoke(state, serial=0, at=at))
            assert (await line.heard()).command == Command.CONFIRM
        assert [one.value for one in desk.stored() if one.point == "smoke_2_fire"] == [1, 0, 1]


async def test_an_alarm_without_a_time_is_never_lost_as_a_repetition(tmp_path: Path) -> None:
    """Then the frame's own time tag tells the second alarm from the first, and the arrival dates it."""
    async with at_the_door(tmp_path) as (desk, line):
        for n, state in enumerate((2, 0, 2)):
            line.send(msgspec.structs.replace(smoke(state, serial=0, at=0), sent=write_time(NOON + n * 1_000_000)))
            await line.heard()
        fires = [one for one in desk.stored() if one.point == "smoke_2_fire"]
        assert [(one.value, one.at) for one in fires] == [(1, NOON), (0, NOON), (1, NOON)]


async def test_a_heartbeat_is_answered_and_stores_nothing(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(says(3), says(4, raw=b"\x16"))
        assert [(await line.heard()).command for _ in range(2)] == [Command.CONFIRM, Command.CONFIRM]
        assert desk.stored() == []
        assert desk.desk.health()["heard"] == 1


async def test_what_no_point_names_is_counted_and_confirmed(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(
            says(1, 3, PartValue(1, 1, 40, 9, 3, 215, TAG)),
            says(2, raw=b"\x82\x01\x02"),
            says(3, raw=b"\x01\x02", command=130),
        )
        assert [(await line.heard()).command for _ in range(3)] == [Command.CONFIRM] * 3
        assert desk.desk.counts.unmapped == {"3 1.1/40.9 value 3": 1, "130": 1, "command 130": 1}
        line.send(smoke(0x0001, serial=9))
        await line.heard()
        assert desk.ledger().discarded == {"unmapped": 3}


async def test_a_makers_own_message_can_have_a_point(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(says(1, raw=b"\x82\x01\x02", source="889"))
        await line.heard()
        assert desk.values("uitd-01") == {"private_messages": "82 0102"}


# --- who calls ------------------------------------------------------------------------------------------------------


async def test_one_connection_carries_several_transmitters(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(smoke(0x0003), says(1, 21, TransmitterState(1, TAG), source="889"))
        assert {(await line.heard()).destination for _ in range(2)} == {address_bytes("1001"), address_bytes("889")}
        assert desk.values("floor-01")["smoke_2_fire"] == 1
        assert desk.values("uitd-01")["transmitter_normal"] == 1


@pytest.mark.parametrize("source", ["5005", "4004", "0"])
async def test_strangers_are_turned_away_and_the_others_are_not(tmp_path: Path, source: str) -> None:
    async with at_the_door(tmp_path, unknown="quarantine") as (desk, line):
        stranger = says(1, 21, TransmitterState(2, TAG), source=source)
        line.send(stranger, smoke(0x0003, serial=2))
        assert (await line.heard()).serial == 2
        assert desk.desk.counts.turned_away == 1
        assert {one.device for one in desk.stored()} == {"floor-01"}
        await desk.spool.close()
        (kept,) = read_quarantine(desk.path, 5)
        assert (kept.id, bytes.fromhex(kept.data)) == (f"{int(source):012X}", encode(stranger))


async def test_a_new_connection_is_the_same_transmitter(tmp_path: Path) -> None:
    async with stand(tmp_path, CALLERS, "gb26875", options=Options()) as desk, door(desk) as port:
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            line = Line(reader, writer)
            line.send(smoke(0x0003))
            assert (await line.heard()).command == Command.CONFIRM
            writer.close()
            await writer.wait_closed()
        assert len(desk.stored()) == 3
        assert desk.desk.sessions()[0]["moves"] == 2


# --- the line -------------------------------------------------------------------------------------------------------


async def test_any_pieces_and_noise_between(tmp_path: Path) -> None:
    bad = bytearray(encode(smoke(0x0003, serial=8)))
    bad[-3] ^= 1
    async with at_the_door(tmp_path) as (desk, line):
        for byte in b"\x00noise" + encode(smoke(0x0003)):
            line.send(bytes([byte]))
            await line.writer.drain()
        assert (await line.heard()).serial == 1
        line.send(bytes(bad))
        assert await line.silent()  # no answer to a frame whose serial cannot be believed
        assert desk.desk.counts.rejected["bad_checksum"] == 1
        assert desk.desk.counts.rejected["noise"] >= 1


async def test_a_broken_frame_does_not_hold_up_an_alarm(tmp_path: Path) -> None:
    """A length field that lies swallows what follows, until the line was silent for longer than any frame pauses."""
    clock = HandClock()
    lying = bytearray(encode(smoke(0x0003)))
    lying[24:26] = (1000).to_bytes(2, "little")
    async with at_the_door(tmp_path, clock=clock) as (desk, line):
        line.send(says(5), bytes(lying))
        assert (await line.heard()).serial == 5
        clock.at += SILENCE_US + 1
        line.send(smoke(0x0003))
        assert (await line.heard()).command == Command.CONFIRM
        assert desk.desk.counts.rejected == {"truncated": 1}


async def test_what_a_lost_connection_leaves_is_accounted_for(tmp_path: Path) -> None:
    async with stand(tmp_path, CALLERS, "gb26875", options=Options()) as desk:
        async with door(desk) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(encode(smoke(0x0003))[:40] + encode(says(2))[:-1])
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert desk.desk.counts.rejected == {"truncated": 2}
        assert desk.stored() == []


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [b"\x02\x01\x01", b"\x01", b"\x01\x05\x01\x01"])
async def test_what_cannot_be_what_it_says_is_denied(tmp_path: Path, unit: bytes) -> None:
    """6.3: what fails the check is thrown away and answered in the negative."""
    async with at_the_door(tmp_path) as (desk, line):
        line.send(says(6, raw=unit))
        denial = await line.heard()
        assert (denial.command, denial.serial, denial.unit) == (Command.DENY, 6, b"")
        assert desk.stored() == []
        assert desk.desk.counts.rejected == {"malformed": 1}


@pytest.mark.parametrize("command", [0, 7, 127])
async def test_a_reserved_command_is_denied(tmp_path: Path, command: int) -> None:
    async with at_the_door(tmp_path) as (_, line):
        line.send(says(6, raw=b"\x01", command=command))
        assert (await line.heard()).command == Command.DENY


async def test_a_confirmation_is_never_confirmed(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (_, line):
        line.send(says(1, command=Command.CONFIRM), says(2, command=Command.DENY))
        assert await line.silent()


async def test_an_answer_to_a_request_is_taken_and_not_confirmed(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(says(1, 1, SystemState(1, 1, 3, TAG), command=Command.RESPONSE))
        line.send(says(2, raw=b"\x01", command=Command.RESPONSE))
        assert await line.silent()
        assert desk.values("floor-01") == {"panel_normal": 1, "panel_fire": 1, "panel_fault": 0}


@pytest.mark.parametrize(("unit", "order"), [(88, Order()), (90, Clock(bytes(6)))])
async def test_who_asks_for_the_time_gets_it(tmp_path: Path, unit: int, order: Object) -> None:
    async with at_the_door(tmp_path) as (_, line):
        line.send(says(9, unit, order, command=Command.REQUEST))
        told = await line.heard()
        assert (told.command, told.serial) == (Command.RESPONSE, 9)
        assert parse_unit(told.unit) == Unit(90, (Clock(write_time(NOON)),))


async def test_nothing_else_can_be_asked_or_ordered(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (_, line):
        line.send(says(9, 89, Order(), command=Command.CONTROL), says(10, command=Command.REQUEST))
        assert [(await line.heard()).command for _ in range(2)] == [Command.DENY, Command.DENY]


async def test_a_wrong_clock_is_set_once_an_hour_where_the_site_says_so(tmp_path: Path) -> None:
    clock = HandClock()
    async with at_the_door(tmp_path, Options(set_clock_s=60), clock=clock) as (_, line):
        for hour in range(2):
            line.send(says(1, sent=NOON - 3_600_000_000), says(2, sent=NOON - 3_600_000_000))
            assert (await line.heard()).command == Command.CONFIRM
            order = await line.heard()
            assert (order.command, order.serial) == (Command.CONTROL, hour + 1)
            assert parse_unit(order.unit) == Unit(90, (Clock(write_time(clock.at)),))
            assert (await line.heard()).serial == 2
            line.send(says(order.serial, command=Command.CONFIRM, sent=clock.at), says(5, sent=clock.at))
            assert (await line.heard()).serial == 5
            clock.at += 3_600_000_000
        line.send(says(3, sent=clock.at + 30_000_000))
        assert (await line.heard()).serial == 3


async def test_a_clock_is_not_set_by_who_does_not_know_the_time(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, Options(set_clock_s=60), clock=HandClock(1_000_000)) as (_, line):
        line.send(says(1))
        ack = await line.heard()
        assert (ack.command, ack.sent) == (Command.CONFIRM, bytes(6))
        assert await line.silent()


@pytest.mark.parametrize(
    ("text", "wanted", "mistakes"),
    [("", Options(), 0), ("set_clock_s = 30", Options(set_clock_s=30), 0), ("set_clock_s = -1", Options(), 1)],
)
def test_the_options_of_a_listener(text: str, wanted: Options, mistakes: int) -> None:
    problems = Problems()
    document = TomlDocument.parse(f"[door]\n{text}\n", "site.toml", problems)
    assert document is not None
    table = Table(document, ("door",), problems)
    assert read_options(table) == wanted
    table.end()
    assert len(problems.found) == mistakes
