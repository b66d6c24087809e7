"""The simulated HJ 212 station against the real door: two that were written apart must understand each other."""

import asyncio
from pathlib import Path

import pytest

from device_profiles.codecs.hj212 import Reader, encode, frame
from device_profiles.codecs.hj212_segment import Segment, encode_segment, parse_segment
from device_profiles.loader import load_library
from device_profiles.readings import Value
from firmware_sim.callers.hj212 import Station, make_talker
from gateway.listeners.callers import Caller
from gateway.listeners.hj212 import Options
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, door, stand

LIBRARY = load_library()
WATER, OUTLET = LIBRARY["hj212-surface-water"], LIBRARY["hj212-wastewater"]
MN = "500236000021000000000001"
DATE = "20261121200000"

CASES = [
    ("hj212-surface-water", None, {}),
    ("hj212-surface-water", None, {"room": 120}),
    ("hj212-wastewater", "0" * 16, {"encrypt": True}),
    ("hj212-wastewater", "0" * 32, {"encrypt": True, "room": 200}),
    ("hj212-dust-noise", None, {"edition": "2025", "beat_s": 60}),
    ("hj212-wastewater-2005", None, {}),
]


def means(station: str) -> dict[str, Value]:
    return {point.name: sum(point.range or (0, 2)) / 2 for point in LIBRARY[station].points}


@pytest.mark.parametrize(("model", "secret", "options"), CASES)
async def test_a_simulated_station_is_understood(
    tmp_path: Path, model: str, secret: str | None, options: dict[str, object]
) -> None:
    caller = Caller(id="SIM1", device="sim-1", profile=LIBRARY[model], secret=secret)
    talker = make_talker(caller.profile, "SIM1", secret, options)
    async with stand(tmp_path, [caller], options=Options()) as desk, door(desk) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for data in talker.greet():
            writer.write(data)
        for minute in range(3):
            key, data = talker.report(means(model), NOON + minute * 60_000_000)
            for copy in (data, talker.again(key), talker.backfill(key)):
                writer.write(copy)
                assert await acked(reader, talker, key)
            if minute == 0:
                assert desk.values("sim-1") == {name: pytest.approx(value) for name, value in means(model).items()}
                assert talker.readings(key) == len(desk.stored())
        assert desk.desk.counts.repeated == 2 * desk.desk.counts.reports
        if talker.beat_s is not None:
            writer.write(talker.beat())
            assert parse_segment(Reader().feed(await reader.read(4096))[0].segment).cn == "9013"
        writer.close()
        await writer.wait_closed()


async def acked(reader: asyncio.StreamReader, talker: Station, key: bytes) -> bool:
    """The talker has heard its report acknowledged, once."""
    async with asyncio.timeout(PATIENCE):
        found: tuple[bytes, ...] = ()
        while not found:
            found = talker.hear(await reader.read(4096)).acked
    return found == (key,)


def test_a_station_without_numbers_wants_no_answer() -> None:
    talker = make_talker(LIBRARY["hj212-wastewater-2005"], MN, None, {"numbered": False})
    key, data = talker.report(means("hj212-wastewater-2005"), NOON)
    message = parse_segment(Reader().feed(data)[0].segment)
    assert (key, message.qn, message.flag) == (b"", "", None)
    assert talker.readings(key) == 4


def test_means_are_uploaded_once_their_period_has_ended() -> None:
    talker = make_talker(OUTLET, MN, None, {})
    commands = []
    for minute in range(0, 121, 15):
        _, data = talker.report(means("hj212-wastewater"), NOON + minute * 60_000_000)
        found = [parse_segment(one.segment) for one in Reader().feed(data)]
        commands.append([(one.cn, one.value("DataTime")) for one in found if one.cn != "2011"])
    hours = [("2061", "20261121190000"), ("2061", "20261121200000"), ("2061", "20261121210000")]
    assert [one for report in commands for one in report] == hours


def test_a_station_obeys() -> None:
    talker = make_talker(WATER, MN, None, {})
    asked = Segment(cn="1012", qn="5", st="21", pw="123456", mn=MN, flag=5, body=((("SystemTime", DATE),),))
    heard = talker.hear(encode(frame(encode_segment(asked))))
    answers = [parse_segment(Reader().feed(data)[0].segment) for data in heard.reply]
    assert [(one.cn, one.qn, one.body) for one in answers] == [
        ("9011", "5", ((("QnRtn", "1"),),)),
        ("9012", "5", ((("ExeRtn", "1"),),)),
    ]
    assert talker.clock == DATE
    interval = Segment(cn="1062", qn="6", mn=MN, flag=5, body=((("RtdInterval", "30"),),))
    assert len(talker.hear(encode(frame(encode_segment(interval)))).reply) == 2
    assert talker.interval_s == 30
    stranger = Segment(cn="1012", qn="5", mn="OTHER", flag=5)
    assert talker.hear(b"noise" + encode(frame(encode_segment(stranger)))).reply == ()


@pytest.mark.parametrize(
    ("options", "secret", "wanted"),
    [
        ({"edition": "2018"}, None, "unknown edition"),
        ({"edition": "2017", "encrypt": True}, "0" * 16, "knows no encryption"),
        ({"edition": "2025", "encrypt": True}, None, "SM4 key"),
        ({"numbered": False}, None, "numbers its messages"),
        ({"flavour": 1}, None, "unknown option"),
        ({"room": "wide"}, None, "must be a int"),
    ],
)
def test_a_station_that_cannot_be_is_refused(options: dict[str, object], secret: str | None, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        make_talker(WATER, MN, secret, options)
    with pytest.raises(ValueError, match="not HJ 212"):
        make_talker(LIBRARY["xy-md02"], MN, None, {})
