"""The bodies of JT/T 808 held against published ones, in both directions; sources as in test_jt808_codec."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.jt808 import Frame, Reader, encode
from device_profiles.codecs.jt808_messages import (
    FAILED,
    NO_TERMINAL,
    OVERSPEED_KMH,
    SERVER,
    Ack,
    Authentication,
    Media,
    Registered,
    Registration,
    answer,
    encode_ack,
    encode_authentication,
    encode_media,
    encode_media_ack,
    encode_parameters,
    encode_registered,
    encode_registration,
    encode_send_again,
    parse_ack,
    parse_authentication,
    parse_media,
    parse_media_ack,
    parse_parameters,
    parse_registered,
    parse_registration,
    parse_send_again,
)
from device_profiles.codecs.jt808_position import (
    BLIND_ZONE,
    Batch,
    Jt808Error,
    Position,
    encode_batch,
    encode_position,
    format_time,
    parse_batch,
    parse_position,
    parse_time,
)
from device_profiles.codecs.jt808_words import ALARMS, EXTRAS, ONCE_MASK, STATES

SMALLCHI = Position(
    alarms=1,
    status=2,
    latitude=12_222_222,
    longitude=132_444_444,
    altitude=40,
    speed=60,
    direction=0,
    time=bytes.fromhex("180715101010"),
    extras=((1, bytes.fromhex("00000064")), (2, bytes.fromhex("0037"))),
)
"""SmallChi/JT808, JT808_0x0200Test Test2: 2018-07-15 10:10:10 in GMT+8, 10.0 km, 5.5 L."""


def body(text: str) -> bytes:
    """The body of one published frame."""
    (frame,) = Reader().feed(bytes.fromhex(text))
    return frame.body


def whole(text: str) -> Frame:
    """One published frame."""
    (frame,) = Reader().feed(bytes.fromhex(text))
    return frame


# --- positions ------------------------------------------------------------------------------------------------------


def test_a_published_position() -> None:
    data = bytes.fromhex("000000010000000200BA7F0E07E4F11C0028003C000018071510101001040000006402020037")
    assert parse_position(data) == SMALLCHI
    assert encode_position(SMALLCHI) == data
    assert SMALLCHI.at == 1_531_620_610_000_000  # 02:10:10 UTC
    assert SMALLCHI.fixed


def test_unknown_extras_are_kept() -> None:
    """SmallChi Test4: an item of its own, 06 with 13 bytes."""
    data = bytes.fromhex(
        "000000010000000200BA7F0E07E4F11C0028003C000018071510101001040000006402020037060D0000001201736D616C6C636869"
    )
    position = parse_position(data)
    assert position.extras[2] == (6, bytes.fromhex("0000001201736D616C6C636869"))
    assert encode_position(position) == data


@pytest.mark.parametrize("cut", range(1, 8))
def test_extras_that_run_over_the_end_leave_the_base_report(cut: int) -> None:
    data = encode_position(SMALLCHI)[:-cut]
    position = parse_position(data)
    assert (position.latitude, position.speed) == (12_222_222, 60)
    assert encode_position(position) == data
    assert len(position.extras) == (1 if cut < 5 else 0 if cut > 4 else 1)


def test_a_position_that_is_too_short_is_none() -> None:
    with pytest.raises(Jt808Error, match="28"):
        parse_position(bytes(27))


@pytest.mark.parametrize(
    ("data", "moment"),
    [
        ("180916103537", datetime(2018, 9, 16, 2, 35, 37, tzinfo=UTC)),
        ("000101000000", datetime(1999, 12, 31, 16, 0, 0, tzinfo=UTC)),
        ("991231235959", datetime(2099, 12, 31, 15, 59, 59, tzinfo=UTC)),
        ("240229120000", datetime(2024, 2, 29, 4, 0, 0, tzinfo=UTC)),
    ],
)
def test_times_are_china_time(data: str, moment: datetime) -> None:
    at = round(moment.timestamp()) * 1_000_000
    assert parse_time(bytes.fromhex(data)) == at
    assert format_time(at).hex() == data


@pytest.mark.parametrize("data", ["000000000000", "230229120000", "181316103537", "18091610353A", "FFFFFFFFFFFF"])
def test_no_time_is_none(data: str) -> None:
    assert parse_time(bytes.fromhex(data)) is None


def test_no_time_is_said_with_zeros() -> None:
    assert format_time(None) == bytes(6)
    with pytest.raises(ValueError, match="2100"):
        format_time(4_102_444_800_000_000)


def test_a_published_batch() -> None:
    """SmallChi JT808_0x0704Test: two positions of a normal batch."""
    data = body(
        "7E0704005311223344556622B80002000026000000010000000200BA7F0E07E4F11C0028003C0000180715101010010400000064020200370"
        "026000000020000000100CB735507E6A32300290036007818071510103001040000006002020042D47E"
    )
    batch = parse_batch(data)
    assert batch.kind == 0
    assert batch.items[0] == SMALLCHI
    assert (batch.items[1].latitude, batch.items[1].direction, batch.items[1].at) == (
        13_333_333,
        120,
        1_531_620_630_000_000,
    )
    assert encode_batch(batch.kind, batch.items) == data


def test_a_batch_with_a_broken_item_keeps_the_others() -> None:
    data = encode_batch(BLIND_ZONE, [SMALLCHI, SMALLCHI])
    batch = parse_batch(data[:-2])
    assert batch == Batch(BLIND_ZONE, (SMALLCHI,), (data[3 + 2 + 38 : -2],))
    assert parse_batch(data[:3] + b"\0\x05short" + data[3:]).items == (SMALLCHI, SMALLCHI)
    with pytest.raises(Jt808Error):
        parse_batch(b"\0\1")


@given(
    st.builds(
        Position,
        alarms=st.integers(0, 2**32 - 1),
        status=st.integers(0, 2**32 - 1),
        latitude=st.integers(0, 2**32 - 1),
        longitude=st.integers(0, 2**32 - 1),
        altitude=st.integers(0, 2**16 - 1),
        speed=st.integers(0, 2**16 - 1),
        direction=st.integers(0, 2**16 - 1),
        time=st.binary(min_size=6, max_size=6),
        extras=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=6).map(tuple),
    )
)
def test_positions_come_back(position: Position) -> None:
    assert parse_position(encode_position(position)) == position
    assert parse_batch(encode_batch(1, [position] * 3)).items == (position,) * 3


@pytest.mark.parametrize(
    "position",
    [
        Position(latitude=-1),
        Position(alarms=1 << 32),
        Position(speed=1 << 16),
        Position(time=b""),
        Position(extras=((256, b""),)),
        Position(extras=((1, bytes(256)),)),
    ],
)
def test_what_does_not_fit_a_position_is_refused(position: Position) -> None:
    with pytest.raises(ValueError, match=r"bits|bytes|degrees"):
        encode_position(position)


def test_every_bit_and_item_has_a_name_in_both_languages() -> None:
    assert sorted(ALARMS) == list(range(32))
    for title in (*(alarm.title for alarm in ALARMS.values()), *STATES.values(), *(row[1] for row in EXTRAS.values())):
        assert title["zh"]
        assert title["en"]
    assert [bit for bit in range(32) if ONCE_MASK >> bit & 1] == [0, 3, 20, 21, 22, 27, 28, 31]


# --- the conversation -----------------------------------------------------------------------------------------------


def test_published_acknowledgements() -> None:
    """go-jt808: a terminal's (0001) and the platform's (8001) for a heartbeat, both editions."""
    assert parse_ack(body("7e000100050123456789017fff007b01c803bd7e")) == Ack(123, 456, 3)
    for beat, ack in (
        ("7e000200000123456789017fff0a7e", "7e8001000501234567890100007fff0002008e7e"),
        ("7e000240000100000000017299841738ffff027e", "7e8001400501000000000172998417380000ffff000200867e"),
    ):
        asked = whole(beat)
        assert encode(answer(asked, 0x8001, encode_ack(Ack(asked.serial, asked.message)), 0)) == bytes.fromhex(ack)
    with pytest.raises(Jt808Error):
        parse_ack(bytes(4))


REGISTRATIONS = {
    2011: "7e010000200123456789010000001f007363640000007777772e3830382e3736353433323101b2e24131323334a17e",
    2013: "7e0100002c0123456789010000001f007363640000007777772e3830382e636f6d0000000000000000003736353433323101b2e2413"
    "1323334cc7e",
    2019: "7e0100405301000000000172998417380000001f007363640000000000000000007777772e3830382e636f6d000000000000000000"
    "0000000000000000000037363534333231000000000000000000000000000000000000000000000001b2e241313233343b7e",
}
"""go-jt808, parse_test.go: one registration in three editions."""


@pytest.mark.parametrize("edition", REGISTRATIONS)
def test_published_registrations(edition: int) -> None:
    frame = whole(REGISTRATIONS[edition])
    registration = parse_registration(frame)
    assert registration == Registration(
        edition=edition,
        province=31,
        city=115,
        maker="cd",
        model="www.808." if edition == 2011 else "www.808.com",
        terminal="7654321",
        colour=1,
        plate="测A1234",
    )
    assert encode_registration(registration) == frame.body
    with pytest.raises(Jt808Error):
        parse_registration(Frame(message=0x0100, number="1", serial=0, body=frame.body[:20], edition=frame.edition))


def test_published_answers_to_registrations() -> None:
    data = body("7e8100000e01234567890100000000003132333435363738393031377e")
    assert parse_registered(data) == Registered(0, 0, "12345678901")
    assert encode_registered(Registered(0, 0, "12345678901")) == data
    refused = encode_registered(Registered(7, NO_TERMINAL, "secret"))
    assert refused == bytes.fromhex("000704")  # no code for a stranger
    assert parse_registered(refused) == Registered(7, NO_TERMINAL)


def test_published_authentications() -> None:
    old = whole("7e0102000b01234567890100003137323939383431373338b57e")
    assert parse_authentication(old) == Authentication("17299841738")
    new = whole(
        "7e0102402f010000000001729984173800000b3137323939383431373338313233343536373839303132333435332e372e3135000000000"
        "0000000000000000000227e"
    )
    told = Authentication("17299841738", "123456789012345", "3.7.15")
    assert parse_authentication(new) == told
    assert encode_authentication(told, 2019) == new.body
    assert encode_authentication(Authentication("17299841738")) == old.body
    bare = Frame(message=0x0102, number="1", serial=0, body=b"17299841738", edition=2019)
    assert parse_authentication(bare) == Authentication("17299841738")


def test_published_requests_to_send_again() -> None:
    """go-jt808 (2013: a count of one byte) and SmallChi JT808_0x8003Test; 2019 counts in two bytes
    (yezhihao/jt808-server, T8003)."""
    data = body("7e800300150123456789017fff1099090001000200030004000500060007000800091f7e")
    assert parse_send_again(data) == (0x1099, tuple(range(1, 10)))
    assert encode_send_again(1234, (0x0102, 0x0203)) == bytes.fromhex("04D20201020203")
    assert encode_send_again(1234, (0x0102, 0x0203), 2019) == bytes.fromhex("04D2000201020203")
    assert parse_send_again(bytes.fromhex("04D2000201020203"), 2019) == (1234, (0x0102, 0x0203))
    with pytest.raises(Jt808Error):
        parse_send_again(bytes.fromhex("04D2020102"))


def test_published_media() -> None:
    """SmallChi JT808_0x0801Test, Test2 and Test2011_2; JT808_0x8800Test."""
    data = bytes.fromhex("00000A070000017B000000010000000200BA7F0E07E4F11C0028003C000018111523261001020304")
    media = parse_media(data)
    assert (media.id, media.channel, media.event, media.data) == (2567, 123, 1, bytes([1, 2, 3, 4]))
    assert media.position is not None
    assert media.position.latitude == 12_222_222
    assert encode_media(media) == data
    old = bytes.fromhex("00000A070000017B01020304")
    assert parse_media(old, 2011) == Media(id=2567, kind=0, coding=0, event=1, channel=123, data=bytes([1, 2, 3, 4]))
    assert encode_media(parse_media(old, 2011)) == old
    assert encode_media_ack(129, (0x0102, 0x0304)) == bytes.fromhex("000000810201020304")
    assert parse_media_ack(bytes.fromhex("000000810201020304")) == (129, (0x0102, 0x0304))
    assert parse_media_ack(encode_media_ack(7)) == (7, ())


def test_published_parameters() -> None:
    """SmallChi JT808_0x8104Test Test4: the answer (0104) to a question for all of them."""
    data = body(
        "7E0104004B01801550511313AE00000900000001040000000F00000002040000000A00000013103232332E3130382E3133332E31363300000"
        "000170100000000180400000328000000550400000078000000560400000000027E"
    )
    found = parse_parameters(data[2:])
    assert (len(found), data[2]) == (7, 9)  # it claims nine and sends seven: the body counts
    assert found[SERVER] == b"223.108.133.163\0"
    assert int.from_bytes(found[OVERSPEED_KMH], "big") == 120
    assert parse_parameters(encode_parameters({OVERSPEED_KMH: 60, SERVER: "10.0.0.1"})) == {
        OVERSPEED_KMH: (60).to_bytes(4, "big"),
        SERVER: b"10.0.0.1",
    }
    with pytest.raises(Jt808Error):
        parse_parameters(data[2:-1])


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 255))
def test_acknowledgements_come_back(serial: int, message: int, result: int) -> None:
    assert parse_ack(encode_ack(Ack(serial, message, result))) == Ack(serial, message, result)
    assert parse_ack(encode_ack(Ack(serial, message, FAILED))).result == FAILED


@given(st.sampled_from([2011, 2013, 2019]), st.sampled_from(["渝F12345", "测A1234", ""]), st.integers(0, 0xFFFF))
def test_registrations_come_back(edition: int, plate: str, city: int) -> None:
    told = Registration(edition=edition, city=city, maker="kz", model="m-1", terminal="0012", colour=2, plate=plate)
    frame = Frame(
        message=0x0100,
        number="1",
        serial=0,
        body=encode_registration(told),
        edition=2019 if edition == 2019 else 2013,
    )
    assert parse_registration(frame) == told
