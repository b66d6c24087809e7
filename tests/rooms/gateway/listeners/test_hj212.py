"""HJ 212 stations at the real door, with a real socket and a real spool: on disk before the answer, and no answer that
is not owed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from device_profiles.codecs.hj212 import Frame, Reader, encode, frame
from device_profiles.codecs.hj212_commands import history_request, request_reply, result
from device_profiles.codecs.hj212_sealed import seal_frame
from device_profiles.codecs.hj212_segment import Segment, encode_segment, parse_segment
from device_profiles.documents import TomlDocument
from device_profiles.loader import load_library
from device_profiles.problems import Problems
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane
from device_profiles.tables import Table
from gateway.inspection import read_quarantine
from gateway.listeners.callers import Caller
from gateway.listeners.hj212 import STALE_US, Options, Session, read_options
from tests.laws import hj212_frames as published
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, HandClock, Stand, door, stand

LIBRARY = load_library()
MN, DUST_MN, OLD_MN = "500236000021000000000001", "010000A8900016F000169DC0", "LD130133000015"
WATER = Caller(id=MN, device="wq-01", profile=LIBRARY["hj212-surface-water"])
OUTLET = Caller(id="500236000032000000000001", device="ww-01", profile=LIBRARY["hj212-wastewater"], secret="0" * 16)
DUST = Caller(id=DUST_MN, device="dust-01", profile=LIBRARY["hj212-dust-noise"])
OLD = Caller(id=OLD_MN, device="ww-05", profile=LIBRARY["hj212-wastewater-2005"])
GONE = Caller(id="GONE", device="wq-99", profile=WATER.profile, disabled=True)
CALLERS = [WATER, OUTLET, DUST, OLD, GONE]
DATE = "20261121200000"


class Line:
    """The station's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._cut = Reader()
        self._frames: list[Frame] = []

    def send(self, *messages: Segment | bytes) -> None:
        """Messages (or bytes as they are) to the gateway, in one piece."""
        self.writer.write(b"".join(m if isinstance(m, bytes) else encode(frame(encode_segment(m))) for m in messages))

    async def frame(self) -> Frame:
        """The next frame from the gateway."""
        async with asyncio.timeout(PATIENCE):
            while not self._frames:
                data = await self._reader.read(4096)
                assert data, "the gateway hung up"
                self._frames += self._cut.feed(data)
        assert not self._cut.rejects
        return self._frames.pop(0)

    async def heard(self) -> Segment:
        """The next message from the gateway."""
        return parse_segment((await self.frame()).segment)

    async def silent(self) -> bool:
        """True when nothing was owed for what was sent before: the answer to a heartbeat comes next."""
        beat = Segment(cn="9015", qn="beat", st="21", pw="123456", mn=MN, flag=9)
        self.send(beat)
        answer = await self.heard()
        return (answer.cn, answer.qn) == ("9013", "beat")


@asynccontextmanager
async def at_the_door(
    folder: Path, options: Options | None = None, unknown: str = "refuse", clock: HandClock | None = None
) -> AsyncIterator[tuple[Stand, Line]]:
    async with (
        stand(folder, CALLERS, options=options or Options(), unknown=unknown, clock=clock) as desk,
        door(desk) as port,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield desk, Line(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()


def upload(qn: str = "20261121200000123", ph: str = "7.25", **changed: object) -> Segment:
    head: dict[str, object] = {"cn": "2011", "qn": qn, "st": "21", "pw": "123456", "mn": MN, "flag": 5}
    body = ((("DataTime", DATE),), (("w01001-Rtd", ph), ("w01001-Flag", "N")))
    return Segment(**{**head, "body": body, **changed})  # type: ignore[arg-type]  # fields by name


# --- data -----------------------------------------------------------------------------------------------------------


async def test_data_is_acknowledged_when_it_is_on_disk(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(upload())
        ack = await line.heard()
        assert (ack.cn, ack.qn, ack.st, ack.mn, ack.flag) == ("9014", "20261121200000123", "91", MN, 4)
        assert desk.values("wq-01") == {"ph": 7.25}
        assert [one.at for one in desk.stored()] == [NOON]
        assert desk.desk.counts.reports == 1


async def test_nothing_is_acknowledged_that_the_disk_refuses(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(upload())
        assert (await line.heard()).cn == "9014"
        await desk.spool.close()
        line.send(upload("2", "7.5"))
        assert await line.silent()
        assert desk.desk.counts.refused == 1


async def test_a_retransmission_is_acknowledged_again_and_stored_once(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        for _ in range(3):
            line.send(upload())
            assert (await line.heard()).qn == "20261121200000123"
        assert len(desk.stored()) == 1
        line.send(upload("2", "7.5"))  # the ledger is written with what is stored
        await line.heard()
        assert desk.ledger().discarded == {"repeated": 2}


async def test_what_comes_together_is_answered_in_order(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        numbers = [f"{n:017d}" for n in range(40)]
        line.send(*(upload(qn, f"7.{n:02d}") for n, qn in enumerate(numbers)))
        assert [(await line.heard()).qn for _ in numbers] == numbers
        assert len(desk.stored()) == 40
        assert desk.spool.view.batches < 10


@pytest.mark.parametrize(("flag", "wanted"), [(1, 0), (5, 4), (9, 8)])
async def test_the_answer_speaks_the_stations_edition(tmp_path: Path, flag: int, wanted: int) -> None:
    async with at_the_door(tmp_path) as (_, line):
        line.send(upload(flag=flag))
        assert (await line.heard()).flag == wanted


@pytest.mark.parametrize("flag", [None, 0, 4, 8])
async def test_who_asks_for_no_answer_gets_none(tmp_path: Path, flag: int | None) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(upload(flag=flag))
        assert await line.silent()
        assert desk.values("wq-01") == {"ph": 7.25}


async def test_a_logger_of_2005_is_answered_where_the_site_says_so(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, Options(ack_unasked=True)) as (desk, line):
        line.send(published.EDITION_2005.encode())
        ack = await line.heard()
        assert (ack.cn, ack.mn, ack.flag) == ("9014", OLD_MN, 0)
        assert desk.values("ww-05") == {"flow_rate": 36.91, "cod": 231.0, "ammonia_nitrogen": 1.803}


async def test_an_acknowledgement_is_never_acknowledged(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (_, line):
        for cn in ("9011", "9012", "9013", "9014", "9021"):
            line.send(Segment(cn=cn, qn="1", st="91", pw="123456", mn=MN, flag=5))
        assert await line.silent()


async def test_each_sub_packet_is_acknowledged_and_usable_alone(tmp_path: Path) -> None:
    first = upload("1", flag=7, pnum=2, pno=1)
    second = upload("2", flag=7, pnum=2, pno=2, body=((("DataTime", DATE),), (("w01010-Rtd", "15.5"),)))
    async with at_the_door(tmp_path) as (desk, line):
        line.send(second)
        assert (await line.heard()).qn == "2"
        assert desk.values("wq-01") == {"water_temperature": 15.5}
        line.send(first)
        assert (await line.heard()).qn == "1"
        assert desk.values("wq-01") == {"ph": 7.25, "water_temperature": 15.5}


async def test_back_fill_of_2025_waits_behind_live_data(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(upload("1", flag=9, backfill=True), upload("2", "7.3", flag=9))
        assert [(await line.heard()).flag for _ in range(2)] == [8, 8]
        assert sorted((one.value, one.lane) for one in desk.stored()) == [(7.25, Lane.BACKLOG), (7.3, Lane.LIVE)]


async def test_flags_and_strange_items_are_told(tmp_path: Path) -> None:
    body = ((("DataTime", DATE),), (("w01001-Rtd", "7"), ("w01001-Flag", "B")), (("ele01-Rtd", "1"),))
    async with at_the_door(tmp_path) as (desk, line):
        line.send(upload(body=body))
        await line.heard()
        (one,) = desk.stored()
        assert (one.value, one.quality, one.reason) == (None, Quality.BAD, Reason.INSTRUMENT_SILENT)
        assert desk.desk.counts.unmapped == {"ele01-Rtd": 1}


async def test_a_message_that_says_nothing_we_know_is_counted_and_answered(tmp_path: Path) -> None:
    logged = upload("log", cn="3020", body=((("DataTime", DATE),), (("i11001-Info", "//door open//"),)))
    async with at_the_door(tmp_path) as (desk, line):
        line.send(logged, upload("empty", body=((("DataTime", DATE),),)), upload())
        assert [(await line.heard()).qn for _ in range(3)] == ["log", "empty", "20261121200000123"]
        assert desk.values("wq-01") == {"ph": 7.25}
        assert desk.desk.counts.unmapped == {"i11001-Info": 1}
        assert desk.ledger().spooled == 1


# --- who calls ------------------------------------------------------------------------------------------------------


async def test_one_connection_carries_many_stations(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(upload(), published.DUST.encode())
        assert [(await line.heard()).mn for _ in range(2)] == [MN, DUST_MN]
        assert desk.values("dust-01")["noise"] == 50.1


@pytest.mark.parametrize("mn", ["STRANGER", "GONE", ""])
async def test_strangers_are_turned_away_and_the_others_are_not(tmp_path: Path, mn: str) -> None:
    async with at_the_door(tmp_path, unknown="quarantine") as (desk, line):
        line.send(upload(mn=mn), upload())
        assert (await line.heard()).mn == MN
        assert desk.desk.counts.turned_away == 1
        assert len(desk.stored()) == 1
        await desk.spool.close()
        (kept,) = read_quarantine(desk.path, 5)
        assert (kept.id, bytes.fromhex(kept.data)) == (mn, encode(frame(encode_segment(upload(mn=mn)))))


async def test_a_wrong_password_is_turned_away_where_one_is_named(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, Options(password="123456")) as (desk, line):
        line.send(upload(pw="654321"), upload())
        assert (await line.heard()).pw == "123456"
        assert desk.desk.counts.turned_away == 1


async def test_a_new_connection_is_the_same_station(tmp_path: Path) -> None:
    async with stand(tmp_path, CALLERS, options=Options()) as desk, door(desk) as port:
        for n in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            line = Line(reader, writer)
            line.send(upload())
            assert (await line.heard()).cn == "9014", n
            writer.close()
            await writer.wait_closed()
        assert len(desk.stored()) == 1
        assert desk.desk.sessions()[0]["moves"] == 2


# --- the line -------------------------------------------------------------------------------------------------------


async def test_any_pieces_and_noise_between(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        data = b"\x00noise" + encode(frame(encode_segment(upload())))
        for byte in data:
            line.send(bytes([byte]))
            await line.writer.drain()
        assert (await line.heard()).cn == "9014"
        line.send(published.REWRITTEN.encode())
        assert await line.silent()
        assert desk.desk.counts.rejected == {"noise": 1, "bad_checksum": 1}


async def test_a_broken_frame_does_not_hold_up_its_retransmission(tmp_path: Path) -> None:
    """A station says it again after 10 s: by then the first half is given up."""
    clock = HandClock()
    async with at_the_door(tmp_path, clock=clock) as (desk, line):
        whole = encode(frame(encode_segment(upload())))
        assert await line.silent()
        line.send(whole, whole[:60])
        assert (await line.heard()).cn == "9014"
        clock.at += STALE_US + 1
        line.send(whole)
        assert (await line.heard()).cn == "9014"
        assert desk.desk.counts.rejected == {"truncated": 1}


async def test_what_a_lost_connection_leaves_is_accounted_for(tmp_path: Path) -> None:
    async with stand(tmp_path, CALLERS, options=Options()) as desk:
        async with door(desk) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = encode(frame(encode_segment(upload())))
            writer.write(whole.replace(b"##0", b"##9", 1)[:40])
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert sum(desk.desk.counts.rejected.values()) >= 1
        assert desk.stored() == []


async def test_who_checks_with_the_crc_of_modbus_is_answered_with_it(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(encode(frame(encode_segment(upload()), swapped=True)))
        assert (await line.frame()).swapped
        assert desk.values("wq-01") == {"ph": 7.25}


# --- encryption -----------------------------------------------------------------------------------------------------

HOUR = Segment(
    cn="2061",
    qn="20261121200000123",
    st="32",
    pw="123456",
    mn=OUTLET.id,
    flag=9,
    body=((("DataTime", "20261121190000"),), (("w01018-Avg", "33.275"), ("w01018-Flag", "N"))),
)


async def test_encrypted_data_is_opened_with_the_stations_key(tmp_path: Path) -> None:
    sealed = seal_frame(frame(encode_segment(HOUR)), b"0" * 16)
    assert b"w01018" not in sealed.segment
    async with at_the_door(tmp_path) as (desk, line):
        line.send(encode(sealed))
        assert (await line.heard()).flag == 8
        assert desk.values("ww-01") == {"cod_hour": 33.275}


async def test_a_wrong_key_is_refused_and_counted(tmp_path: Path) -> None:
    wrong = seal_frame(frame(encode_segment(HOUR)), b"1" * 16)
    keyless = seal_frame(frame(encode_segment(upload())), b"0" * 16)
    async with at_the_door(tmp_path) as (desk, line):
        line.send(encode(wrong), encode(keyless), encode(keyless))
        assert await line.silent()
        assert desk.stored() == []
        assert desk.desk.counts.rejected == {"bad_checksum": 3}


# --- heartbeat, clock, requests -------------------------------------------------------------------------------------


async def test_a_heartbeat_is_a_sign_of_life(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, line):
        line.send(Segment(cn="9015", qn="1", st="21", pw="123456", mn=MN, flag=9))
        beat = await line.heard()
        assert (beat.cn, beat.qn, beat.flag, beat.body) == ("9013", "1", 8, ())
        assert desk.desk.health()["heard"] == 1
        assert desk.stored() == []


async def test_a_station_that_asks_for_the_time_gets_it(tmp_path: Path) -> None:
    asking = Segment(cn="1013", qn="7", st="21", pw="123456", mn=MN, flag=5, body=((("PolId", "w01018"),),))
    async with at_the_door(tmp_path) as (_, line):
        line.send(asking)
        assert (await line.heard()).cn == "9013"
        setting = await line.heard()
        assert (setting.cn, setting.st, setting.flag) == ("1012", "21", 5)
        assert setting.body == ((("PolId", "w01018"),), (("SystemTime", DATE),))
        line.send(request_reply(setting), result(setting))
        line.send(asking)
        assert (await line.heard()).cn == "9013"
        again = await line.heard()
        assert again.qn != setting.qn  # each request has a number of its own
        line.send(request_reply(again, 3))  # refused: told in the log, and forgotten
        assert await line.silent()


async def test_an_answer_to_a_question_of_ours_is_backlog(tmp_path: Path) -> None:
    """The same command is a question one way and data the other; the QN tells which data answers."""
    sent: list[bytes] = []
    async with stand(tmp_path, CALLERS, options=Options()) as desk:
        session = Session(desk.desk, "192.0.2.7:5000", sent.append)
        asked = history_request("2061", HOUR, "20261121210000000", NOON - 7_200_000_000, NOON)
        session.ask(asked)
        answer = msgspec.structs.replace(HOUR, qn=asked.qn)
        said = [request_reply(asked), answer, result(asked), msgspec.structs.replace(HOUR, qn="other")]
        await session.feed(b"".join(encode(frame(encode_segment(one))) for one in said))
        assert [one.lane for one in desk.stored()] == [Lane.LIVE, Lane.BACKLOG]
        found = [parse_segment(one.segment) for data in sent for one in Reader().feed(data)]
        assert [one.cn for one in found] == ["2061", "9014", "9014"]
        await session.feed(encode(frame(encode_segment(msgspec.structs.replace(answer, body=())))))
        session.closed()


@pytest.mark.parametrize(("options", "at"), [(Options(set_clock=False), NOON), (Options(), 1_000_000)])
async def test_a_clock_is_not_set_by_who_does_not_know_the_time(tmp_path: Path, options: Options, at: int) -> None:
    async with at_the_door(tmp_path, options, clock=HandClock(at)) as (_, line):
        line.send(Segment(cn="1013", qn="7", st="21", pw="123456", mn=MN, flag=5))
        assert (await line.heard()).cn == "9013"
        assert await line.silent()


def test_the_options_of_a_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATION_PW", "123456")
    text = '[door]\npassword = { env = "STATION_PW" }\nset_clock = false\nack_unasked = true\n'
    problems = Problems()
    document = TomlDocument.parse(text, "site.toml", problems)
    assert document is not None
    table = Table(document, ("door",), problems)
    assert read_options(table) == Options(password="123456", set_clock=False, ack_unasked=True)
    table.end()
    assert problems.found == []
