"""Vehicle terminals at the real door, with a real socket and a real spool: on disk before the answer, nobody unproved,
and a blind zone that stays in the past."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from device_profiles.codecs.jt808 import encode
from device_profiles.codecs.jt808_messages import (
    BATCH,
    FAILED,
    HEARTBEAT,
    LOG_OUT,
    MEDIA,
    NO_TERMINAL,
    OK,
    POSITION,
    REGISTER,
    SEND_AGAIN,
    TERMINAL_ACK,
    UNSUPPORTED,
    WRONG,
    Ack,
    Registered,
    encode_ack,
    parse_send_again,
)
from device_profiles.codecs.jt808_parts import split
from device_profiles.codecs.jt808_position import (
    BLIND_ZONE,
    NORMAL,
    Position,
    encode_batch,
    encode_position,
    format_time,
)
from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.problems import Problems
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane
from device_profiles.tables import Table
from gateway.inspection import read_quarantine
from gateway.listeners.callers import Caller
from gateway.listeners.jt808 import Options, code_of, read_options, spellings
from tests.rooms.gateway.listeners.desks import NOON, Stand, door, stand
from tests.rooms.gateway.listeners.terminals import NUMBER, Connected, Datagrams

LIBRARY = load_library()
COLD_NUMBER = "00000000013800138001"
CAR = Caller(id=NUMBER, device="truck-01", profile=LIBRARY["jt808-vehicle-2013"])
COLD = Caller(id="13800138001", device="truck-02", profile=LIBRARY["jt808-truck-2019"], secret="a code of its own")
GONE = Caller(id="013800138099", device="truck-99", profile=CAR.profile, disabled=True)
CALLERS = [CAR, COLD, GONE]
STRICT = Options(secret="between us")
OPEN = Options(authenticate=False)
SECOND = 1_000_000


def spot(at: int | None = NOON, **changes: Any) -> bytes:
    """A position in Fengjie; ``changes``: fields of Position."""
    place = Position(status=3, latitude=31_020_000, longitude=109_460_000, speed=305, time=format_time(at))
    return encode_position(msgspec.structs.replace(place, **changes))


def batch(kind: int, *times: int) -> bytes:
    """A 0704 of positions at these times."""
    places = (Position(status=3, latitude=31_000_000 + n, longitude=109_000_000, time=format_time(at)) for n, at in
              enumerate(times))  # fmt: skip
    return encode_batch(kind, list(places))


@asynccontextmanager
async def at_the_door(
    folder: Path, options: Options = STRICT, **changes: Any
) -> AsyncIterator[tuple[Stand, Connected]]:
    async with (
        stand(folder, CALLERS, "jt808", options=options, **changes) as desk,
        door(desk) as port,
        connected(port) as terminal,
    ):
        yield desk, terminal


@asynccontextmanager
async def connected(port: int, number: str = NUMBER) -> AsyncIterator[Connected]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connected(reader, writer, number)
    finally:
        writer.close()
        await writer.wait_closed()


# --- who is it ------------------------------------------------------------------------------------------------------


async def test_a_terminal_registers_authenticates_and_reports(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, terminal):
        await terminal.log_on()
        assert await terminal.ask(HEARTBEAT) == OK
        assert await terminal.ask(POSITION, spot()) == OK
        assert desk.values("truck-01")["latitude"] == 31.02
        assert desk.values("truck-01")["speed"] == 30.5
        assert {one.at for one in desk.stored()} == {NOON}
        desk.ledger()


async def test_the_code_is_the_same_after_a_restart_and_known_without_registering(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (_, terminal):
        code = (await terminal.register()).code
    async with at_the_door(tmp_path) as (_, terminal):
        assert await terminal.authenticate(code) == OK
        assert (await terminal.register()).code == code == code_of(STRICT, CAR)


async def test_the_2019_edition_with_a_code_of_its_own(tmp_path: Path) -> None:
    """Twenty digits on the wire, eleven in the site file, the answers in its own edition."""
    async with at_the_door(tmp_path) as (desk, _), connected(desk.config.port, COLD_NUMBER) as terminal:
        registered = await terminal.register()
        assert registered.code == COLD.secret
        assert await terminal.authenticate(registered.code) == OK
        assert await terminal.ask(POSITION, spot(extras=((6, b"\x80\x12"), (2, b"\x07\x0c")))) == OK
        assert desk.values("truck-02")["compartment_temperature"] == -18
        assert desk.values("truck-02")["fuel"] == 180.4


async def test_a_wrong_code_opens_nothing(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, terminal):
        assert await terminal.authenticate("a guess") == FAILED
        assert await terminal.ask(POSITION, spot()) == FAILED
        assert await terminal.ask(HEARTBEAT) == FAILED
        assert desk.stored() == []
        assert desk.desk.counts.turned_away == 3
        await terminal.log_on()  # and nothing is held against it
        assert await terminal.ask(POSITION, spot()) == OK


async def test_another_connection_proves_itself_anew(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, terminal):
        await terminal.log_on()
        async with connected(desk.config.port) as impostor:
            assert await impostor.ask(POSITION, spot()) == FAILED
        assert await terminal.ask(POSITION, spot()) == OK
        assert await terminal.ask(LOG_OUT) == OK
        assert await terminal.ask(POSITION, spot(NOON + SECOND)) == FAILED


async def test_one_connection_may_carry_several_terminals(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, terminal):
        await terminal.log_on()
        terminal.number = COLD_NUMBER
        assert await terminal.ask(POSITION, spot()) == FAILED  # the first one's proof is not the second one's
        assert await terminal.authenticate("a code of its own") == OK
        assert await terminal.ask(POSITION, spot()) == OK
        assert {one.device for one in desk.stored()} == {"truck-02"}


@pytest.mark.parametrize("number", ["013800139999", GONE.id])
async def test_strangers_and_disabled_ones_are_turned_away(tmp_path: Path, number: str) -> None:
    async with at_the_door(tmp_path, unknown="quarantine") as (desk, terminal):
        terminal.number = number
        assert (await terminal.register()) == Registered(1, NO_TERMINAL)
        assert await terminal.ask(POSITION, spot()) == FAILED
        assert desk.stored() == []
        await desk.spool.close()
        kept = read_quarantine(desk.path, 5)
        assert [(one.id, one.reason) for one in kept] == [(number, "unknown_device")] * 2


async def test_without_authentication_a_known_number_is_enough(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        assert await terminal.ask(POSITION, spot()) == OK
        assert (await terminal.register()).result == OK
        assert await terminal.authenticate("whatever") == OK
        assert len(desk.values("truck-01")) > 5


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("013800138000", ["013800138000", "00000000013800138000", "13800138000"]),
        ("00000000013800138000", ["00000000013800138000", "013800138000", "13800138000"]),
        ("98765432109876543210", ["98765432109876543210"]),
    ],
)
def test_a_number_is_known_in_each_spelling(number: str, wanted: list[str]) -> None:
    assert spellings(number) == wanted


# --- what it says ---------------------------------------------------------------------------------------------------


async def test_a_rising_alarm_is_an_event_once(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        for step, alarms in enumerate((0, 2, 2, 0)):
            assert await terminal.ask(POSITION, spot(NOON + step * SECOND, alarms=alarms)) == OK
        told = [(one.value, one.lane) for one in desk.stored() if one.point == "overspeed"]
        assert told == [(0, Lane.LIVE), (1, Lane.EVENT), (1, Lane.LIVE), (0, Lane.LIVE)]


async def test_an_alarm_stands_over_a_new_connection(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        assert await terminal.ask(POSITION, spot(alarms=2)) == OK
        async with connected(desk.config.port) as again:
            assert await again.ask(POSITION, spot(NOON + SECOND, alarms=2)) == OK
        assert [one.lane for one in desk.stored() if one.point == "overspeed"] == [Lane.EVENT, Lane.LIVE]


async def test_a_blind_zone_keeps_its_times_and_is_backlog(tmp_path: Path) -> None:
    times = [NOON - 600 * SECOND, NOON - 570 * SECOND]
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        assert await terminal.ask(POSITION, spot()) == OK
        assert await terminal.ask(BATCH, batch(BLIND_ZONE, *times)) == OK
        assert await terminal.ask(BATCH, batch(NORMAL, NOON + SECOND)) == OK
        told = [(one.at, one.lane) for one in desk.stored() if one.point == "latitude"]
        assert told == [
            (NOON, Lane.LIVE),
            (times[0], Lane.BACKLOG),
            (times[1], Lane.BACKLOG),
            (NOON + SECOND, Lane.LIVE),
        ]


async def test_a_report_whose_answer_got_lost_is_stored_once(tmp_path: Path) -> None:
    """Said again under its serial, and filled in alone in a 0704: acknowledged each time."""
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        assert await terminal.ask(POSITION, spot(NOON - 60 * SECOND)) == OK
        terminal.serial -= 1
        assert await terminal.ask(POSITION, spot(NOON - 60 * SECOND)) == OK
        body = spot(NOON - 60 * SECOND)
        assert await terminal.ask(BATCH, b"\0\1\1" + len(body).to_bytes(2, "big") + body) == OK
        assert len([one for one in desk.stored() if one.point == "latitude"]) == 1
        assert desk.desk.counts.repeated == 2
        desk.ledger()


async def test_no_fix_is_no_position(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        assert await terminal.ask(POSITION, spot(None, status=1, latitude=0, longitude=0)) == OK
        (latitude,) = [one for one in desk.stored() if one.point == "latitude"]
        assert (latitude.value, latitude.quality, latitude.reason) == (None, Quality.BAD, Reason.NO_FIX)
        assert latitude.at == NOON  # it has no time yet: the arrival's


async def test_many_frames_in_one_read_are_answered_in_order(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        frames = [terminal.frame(POSITION, spot(NOON + step * SECOND)) for step in range(40)]
        terminal.write(b"".join(map(encode, frames)))
        assert [(await terminal.acked()).serial for _ in frames] == [frame.serial for frame in frames]
        assert len([one for one in desk.stored() if one.point == "speed"]) == 40


async def test_what_cannot_be_used_is_said_and_counted(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        assert await terminal.ask(POSITION, bytes(27)) == WRONG
        assert await terminal.ask(MEDIA, bytes(50)) == UNSUPPORTED
        assert await terminal.ask(POSITION, spot(), encryption=1) == UNSUPPORTED
        assert await terminal.ask(REGISTER, b"short") == WRONG
        terminal.send(TERMINAL_ACK, encode_ack(Ack(1, 0x8103)))  # an answer is never answered
        damaged = bytearray(encode(terminal.frame(POSITION, spot())))
        damaged[20] ^= 1
        terminal.write(bytes(damaged))
        assert await terminal.ask(HEARTBEAT) == OK
        assert desk.desk.counts.rejected == {"malformed": 2, "unmapped": 2, "bad_checksum": 1}
        assert desk.stored() == []


async def test_a_wrong_length_is_refused_or_by_choice_tolerated(tmp_path: Path) -> None:
    """SmallChi/JT808, JT808_0x0200Test Test5, comment: 51 bytes declared, 38 there, the check is right."""
    text = "7E0200003311223344556622B8000000010000000200BA7F0E07E4F11C0028003C000018071510101001040000006402020037427E"
    caller = msgspec.structs.replace(CAR, id="112233445566", device="truck-05")
    for options, stored in ((OPEN, 0), (Options(authenticate=False, tolerate_length=True), 1)):
        folder = tmp_path / str(stored)
        folder.mkdir()
        async with stand(folder, [caller], "jt808", options=options) as desk, door(desk) as port:
            async with connected(port, "112233445566") as terminal:
                terminal.write(bytes.fromhex(text))
                if stored:
                    assert (await terminal.acked()).serial == 8888
                assert await terminal.ask(HEARTBEAT) == OK
            assert len([one for one in desk.stored() if one.point == "mileage"]) == stored


# --- sub-packets ----------------------------------------------------------------------------------------------------


async def test_a_batch_in_sub_packets_is_acknowledged_when_it_is_whole_and_stored(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        whole = terminal.frame(BATCH, batch(BLIND_ZONE, *(NOON - n * SECOND for n in range(100, 0, -1))))
        parts = split(whole)
        assert len(parts) == 3
        for part in (parts[0], parts[2]):
            terminal.write(encode(part))
        asked = await terminal.heard()
        assert (asked.message, parse_send_again(asked.body)) == (SEND_AGAIN, (parts[0].serial, (2,)))
        assert desk.stored() == []
        terminal.write(encode(parts[1]))
        assert [(await terminal.acked()).serial for _ in parts] == [part.serial for part in parts]
        assert len([one for one in desk.stored() if one.point == "latitude"]) == 100


async def test_what_is_never_finished_is_accounted_for_at_the_end(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, OPEN) as (desk, terminal):
        terminal.write(encode(split(terminal.frame(BATCH, bytes(2000)))[0]))
        terminal.write(encode(terminal.frame(POSITION, spot()))[:20])
        await terminal.hang_up()
        assert desk.desk.counts.rejected == {"truncated": 2}


# --- the disk -------------------------------------------------------------------------------------------------------


async def test_nothing_is_acknowledged_that_is_not_on_disk(tmp_path: Path) -> None:
    """A spool without room refuses: no answer, and the alarm rises again with the next try."""
    async with at_the_door(tmp_path, OPEN, quota=1) as (desk, terminal):
        terminal.send(POSITION, spot(alarms=2))
        assert await terminal.ask(HEARTBEAT) == OK  # the next answer is not the position's
        assert desk.desk.counts.refused == 1
        assert desk.stored() == []


# --- datagrams ------------------------------------------------------------------------------------------------------

UDP = Options(secret="between us", datagrams=True)


@asynccontextmanager
async def over_udp(folder: Path, options: Options = UDP) -> AsyncIterator[tuple[Stand, Datagrams]]:
    async with stand(folder, CALLERS, "jt808", transport="udp", options=options) as desk, door(desk) as port:
        terminal = Datagrams()
        await terminal.rebind(port)
        try:
            yield desk, terminal
        finally:
            terminal.transport.close()


async def test_a_nat_changes_nothing(tmp_path: Path) -> None:
    async with over_udp(tmp_path) as (desk, terminal):
        await terminal.log_on()
        assert await terminal.ask(POSITION, spot(alarms=2)) == OK
        await terminal.rebind(desk.config.port)
        assert await terminal.ask(POSITION, spot(NOON + SECOND, alarms=2)) == OK
        told = [(one.at, one.lane) for one in desk.stored() if one.point == "overspeed"]
        assert told == [(NOON, Lane.EVENT), (NOON + SECOND, Lane.LIVE)]
        (row,) = [row for row in desk.desk.sessions() if row["device"] == "truck-01"]
        assert row["moves"] == 1


async def test_over_udp_too_nothing_is_taken_from_the_unproved(tmp_path: Path) -> None:
    async with over_udp(tmp_path) as (desk, terminal):
        assert await terminal.ask(POSITION, spot()) == FAILED
        await terminal.log_on()
        assert await terminal.ask(LOG_OUT) == OK
        assert await terminal.ask(POSITION, spot()) == FAILED
        assert desk.stored() == []


async def test_a_broken_datagram_does_not_reach_into_the_next(tmp_path: Path) -> None:
    async with over_udp(tmp_path, Options(authenticate=False, datagrams=True)) as (desk, terminal):
        terminal.write(encode(terminal.frame(POSITION, spot()))[:-9])
        assert await terminal.ask(POSITION, spot(NOON + SECOND)) == OK
        assert desk.desk.counts.rejected == {"truncated": 1}


# --- the site file --------------------------------------------------------------------------------------------------


def options_of(tmp_path: Path, text: str) -> tuple[Options, list[str]]:
    """The options of the first listener in a site file, and what is wrong with them."""
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    (tmp_path / "key").write_text("between us\n", encoding="utf-8")
    problems = Problems()
    document = TomlDocument.load(path, problems)
    assert document is not None
    return read_options(Table(document, ("listeners", 0), problems)), [problem.message for problem in problems.found]


ROW = '[[listeners]]\nname = "cars"\nprotocol = "jt808"\n'


def test_options_are_read(tmp_path: Path) -> None:
    text = ROW + 'listen = "udp://0.0.0.0:8808"\nsecret = { file = "key" }\ntolerate_length = true\n'
    assert options_of(tmp_path, text) == (Options(secret="between us", tolerate_length=True, datagrams=True), [])
    text = ROW + 'listen = "tcp://0.0.0.0:8808"\nauthenticate = false\n'
    assert options_of(tmp_path, text) == (OPEN, [])


def test_a_caller_without_a_code_is_noticed_before_it_calls(tmp_path: Path) -> None:
    text = ROW + 'listen = "tcp://0.0.0.0:8808"\n[[callers]]\nlistener = "cars"\nname = "truck-01"\n'
    assert options_of(tmp_path, text)[1] == ["is missing, and truck-01 has none of its own"]
    assert options_of(tmp_path, text + 'secret = { file = "key" }\n')[1] == []
    assert options_of(tmp_path, ROW + 'callers = "all.csv"\n')[1] == ["is missing, and callers of a file have none"]
