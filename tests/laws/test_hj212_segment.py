"""HJ 212 segments, times, answers and sub-packets: what published messages say, and that it can be said again."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.hj212 import Reader, encode, frame
from device_profiles.codecs.hj212_commands import (
    Merger,
    ack_of,
    clock_setting,
    code_of_answer,
    history_request,
    is_data,
    request,
    request_reply,
    result,
    split_segment,
)
from device_profiles.codecs.hj212_segment import (
    Hj212Error,
    Segment,
    encode_segment,
    flag_of,
    format_time,
    parse_body,
    parse_segment,
    parse_time,
)
from tests.laws import hj212_frames as published

each_published = pytest.mark.parametrize("data", published.PUBLISHED.values(), ids=published.PUBLISHED.keys())

# --- segments -------------------------------------------------------------------------------------------------------


@each_published
def test_a_published_segment_is_written_again_as_it_stood(data: bytes) -> None:
    segment = Reader().feed(data)[0].segment
    again = encode_segment(parse_segment(segment))
    standard = {published.PORTABLE.encode(), published.DUST.encode(), published.SHORT_LENGTH.encode()}
    if data in standard:  # MN before PW, a ; too many
        assert parse_segment(again) == parse_segment(segment)
    else:
        assert again == segment


def test_the_fields_of_a_segment() -> None:
    message = parse_segment(published.DUST.encode()[6:-6])
    assert (message.qn, message.st, message.cn) == ("20200814151600001", "22", "2011")
    assert (message.mn, message.pw, message.flag) == ("010000A8900016F000169DC0", "123456", 7)
    assert (message.version, message.wants_ack, message.pnum, message.backfill) == (1, True, None, False)
    assert message.value("a34004-Rtd") == "207"
    assert message.value("a34004-Flag") == "N"
    assert message.value("nothing") is None
    assert len(message.body) == 10


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("CN=2011;MN=A;QN=;CP=&&DataTime=1;&&", Segment(cn="2011", mn="A", body=((("DataTime", "1"),),))),
        ("PNO=01;PNUM=0002;CN=1;CP=&&&&", Segment(cn="1", pnum=2, pno=1)),
        ("CN=1;RF=1;CP=&&&&", Segment(cn="1", backfill=True)),
        ("CN=1;RF=0;CP=&&&&", Segment(cn="1")),
        ("CN=1;Flag=;CP=&&&&", Segment(cn="1")),
        ("CN=1;Flag=x;CP=&&&&", Segment(cn="1")),
        ("CN=1;CP=&&&&;Flag=5", Segment(cn="1", flag=5)),
        ("CN=1;IMEI=86;CP=&&&&", Segment(cn="1", others={"IMEI": "86"})),
        (" CN = 9015 ;MN= A ;&&", Segment(cn="9015", mn="A")),
    ],
)
def test_what_is_tolerated(text: str, wanted: Segment) -> None:
    assert parse_segment(text.encode()) == wanted


def test_bare_flags_join_the_item_before_them() -> None:
    body = parse_body("DataTime=1;a34004-Rtd=10;Flag=D;LA-Rtd=50,Flag=N")
    assert body[1] == (("a34004-Rtd", "10"), ("Flag", "D"))
    assert body[2] == (("LA-Rtd", "50"), ("Flag", "N"))


def test_log_texts_keep_their_separators() -> None:
    body = parse_body("DataTime=1;i11001-Info=//no answer; 3 tries, given up//,i11001-Flag=N;i2-Info=//a//")
    assert body[1] == (("i11001-Info", "//no answer; 3 tries, given up//"), ("i11001-Flag", "N"))
    assert body[2] == (("i2-Info", "//a//"),)
    logged = Segment(cn="3020", body=((("i1-Info", "//重启;原因,停电//"),),))
    assert parse_segment(encode_segment(logged)) == logged
    assert parse_segment(encode_segment(logged).decode().encode("gb18030")) == logged


def test_a_segment_without_a_command_is_refused() -> None:
    for text in (b"", b"&&", b"hello", b"QN=1;MN=2;CP=&&a=1&&", b"CN=;CP=&&&&"):
        with pytest.raises(Hj212Error, match="no CN"):
            parse_segment(text)


@pytest.mark.parametrize("text", ["a;b", "a,b", "&&", "//a", "x\r\ny"])
def test_what_would_not_come_back_is_not_said(text: str) -> None:
    with pytest.raises(ValueError, match="separator"):
        encode_segment(Segment(cn="2011", body=((("a-Rtd", text),),)))
    with pytest.raises(ValueError, match="no name"):
        encode_segment(Segment(cn="2011", body=((("a;b", "1"),),)))


WORD = st.text(st.sampled_from("abcdeW0123456789._-"), min_size=1, max_size=8)
TEXT = st.text(st.sampled_from("abc0123456789.-+夔 "), max_size=8).map(str.strip)
ITEM = st.lists(st.tuples(WORD, TEXT), min_size=1, max_size=3).map(tuple)
MESSAGE = st.builds(
    Segment,
    cn=st.sampled_from(["2011", "2051", "3020", "9014"]),
    qn=WORD,
    st=st.just("32"),
    pw=WORD,
    mn=WORD,
    flag=st.none() | st.integers(0, 255),
    pnum=st.none() | st.integers(0, 9999),
    pno=st.none() | st.integers(0, 9999),
    backfill=st.booleans(),
    body=st.lists(ITEM, max_size=5).map(tuple),
)


@given(MESSAGE)
def test_every_message_survives_the_wire(message: Segment) -> None:
    reader = Reader()
    found = reader.feed(encode(frame(encode_segment(message))))
    assert [parse_segment(one.segment) for one in found] == [message]


# --- times ----------------------------------------------------------------------------------------------------------

CHINA = timezone(timedelta(hours=8))


def micros(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=CHINA).timestamp() * 1e6)  # type: ignore[arg-type,misc]  # year, month, day …


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("20160824003817", micros(2016, 8, 24, 0, 38, 17)),
        ("20160824003817123", micros(2016, 8, 24, 0, 38, 17) + 123_000),
        ("2024112320423050", micros(2024, 11, 23, 20, 42, 30) + 500_000),
        ("201608240038", micros(2016, 8, 24, 0, 38)),
        ("20160824", micros(2016, 8, 24)),
    ],
)
def test_device_time_is_china_standard_time(text: str, wanted: int) -> None:
    assert parse_time(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "00000000000000", "20161324003817", "20160230000000", "2016082400381", "２０１６0824"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text) is None


@given(st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 31)))
def test_times_are_written_as_they_are_read(moment: datetime) -> None:
    at = round(moment.replace(tzinfo=UTC, microsecond=0).timestamp() * 1e6)
    assert parse_time(format_time(at)) == at
    assert parse_time(format_time(at + 7000, milliseconds=True)) == at + 7000


# --- answers, requests, sub-packets ---------------------------------------------------------------------------------


def test_the_published_acknowledgement() -> None:
    upload = Segment(cn="2011", qn="20201015123632010", st="80", pw="123456", mn="410183160889201000212505", flag=5)
    built = encode(frame(encode_segment(ack_of(upload))))
    assert built[:-6] == published.ACK.encode()[:-4]
    assert built[-6:-2].lower() == published.ACK.encode()[-4:]


@pytest.mark.parametrize(("flag", "wanted"), [(None, 0), (1, 0), (5, 4), (7, 4), (9, 8), (11, 8)])
def test_an_acknowledgement_speaks_the_edition_of_the_message(flag: int | None, wanted: int) -> None:
    assert ack_of(Segment(cn="2011", flag=flag)).flag == wanted
    assert not ack_of(Segment(cn="2011", flag=flag)).wants_ack


def test_a_sub_packet_of_2025_is_acknowledged_by_number() -> None:
    """Annex C shows Flag=10 with PNUM and PNO in the answers to sub-packets (Daidai52640/cems-data-pipeline)."""
    ack = ack_of(Segment(cn="2051", flag=11, pnum=2, pno=1))
    assert (ack.flag, ack.pnum, ack.pno) == (10, 2, 1)
    assert ack_of(Segment(cn="2051", flag=7, pnum=2, pno=1)).pno is None


def test_notices_are_acknowledged_by_9013_and_data_by_9014() -> None:
    assert ack_of(Segment(cn="9015", flag=9)).cn == "9013"
    assert ack_of(Segment(cn="1013", flag=5)).cn == "9013"
    for cn in ("2011", "2051", "2081", "3020"):
        assert is_data(Segment(cn=cn))
        assert ack_of(Segment(cn=cn)).cn == "9014"
    for cn in ("9014", "9011", "1013", "9015", "20110"):
        assert not is_data(Segment(cn=cn))


def test_requests_and_their_answers() -> None:
    head = Segment(cn="1013", st="32", pw="100000", mn="010000A8900016F000169DC0", flag=5)
    device = msgspec.structs.replace(head, body=((("PolId", "w01018"),),))
    set_clock = clock_setting(device, "20261121120000000", micros(2026, 11, 21, 12))
    assert encode_segment(set_clock) == (
        b"QN=20261121120000000;ST=32;CN=1012;PW=100000;MN=010000A8900016F000169DC0;Flag=5;"
        b"CP=&&PolId=w01018;SystemTime=20261121120000&&"
    )
    asked = history_request("2061", device, "2", micros(2026, 11, 20), micros(2026, 11, 21))
    assert asked.body == ((("BeginTime", "20261120000000"),), (("EndTime", "20261121000000"),))
    with pytest.raises(ValueError, match="cannot be asked for"):
        history_request("2011", device, "2", 0, 1)
    published_request = parse_segment(published.CLOCK.encode()[6:-6])
    body = ((("RtdInterval", "30"),),)
    assert request("1062", device, "20160801085857223", body) == published_request
    assert code_of_answer(request_reply(asked)) == 1
    assert code_of_answer(result(asked, 100)) == 100
    assert (request_reply(asked, 3).cn, result(asked).cn) == ("9011", "9012")
    assert (result(asked).qn, result(asked).st, result(asked).flag) == ("2", "91", 4)
    assert code_of_answer(Segment(cn="9012")) is None


def long_message(items: int) -> Segment:
    body = tuple(((f"w{n:05d}-Avg", f"{n}.125"), (f"w{n:05d}-Flag", "N")) for n in range(items))
    return Segment(
        cn="2051",
        qn="20261121000000000",
        mn="A",
        flag=flag_of(1, ack=True),
        body=((("DataTime", "20261121"),), *body),
    )


@given(st.integers(0, 120), st.randoms())
def test_sub_packets_come_together_in_any_order(items: int, dice: object) -> None:
    whole, numbers = long_message(items), count(1)
    parts = split_segment(whole, lambda: f"2026112100000{next(numbers):04d}")
    for part in parts:
        assert len(encode_segment(part)) <= 1024
        assert part.value("DataTime") == "20261121"  # usable alone
        assert (part.flag, part.pnum) == (7, len(parts)) if len(parts) > 1 else (5, None)
    assert len({part.qn for part in parts}) == len(parts)
    shuffled = list(parts)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random of hypothesis
    merger = Merger()
    for part in shuffled[:-1]:
        assert merger.add(part) is None
        assert merger.add(part) is None  # said again
    merged = merger.add(shuffled[-1])
    assert merged is not None
    assert merged.body == whole.body
    assert merged.qn == whole.qn


def test_unfinished_messages_are_bounded() -> None:
    merger = Merger(room=4)
    for number in range(100):
        part = Segment(cn="2051", mn=str(number), pnum=2, pno=1, body=((("DataTime", "1"),),))
        assert merger.add(part) is None
    last = msgspec.structs.replace(part, pno=2)
    assert merger.add(last) is not None
    assert merger.add(Segment(cn="2051", mn="0", pnum=2, pno=2, body=((("DataTime", "1"),),))) is None


def test_what_fits_no_packet_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        split_segment(long_message(3), str, room=10)
