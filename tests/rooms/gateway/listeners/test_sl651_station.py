"""The simulated hydrological station against the real door: two that were written apart must understand each other."""

from pathlib import Path

import pytest

from device_profiles.codecs.sl651 import ETX, Reader, encode
from device_profiles.codecs.sl651_body import Message
from device_profiles.codecs.sl651_messages import encode_message, parse_message, question, set_clock
from device_profiles.readings import Value
from firmware_sim.callers.sl651 import make_talker
from tests.rooms.gateway.listeners.desks import NOON
from tests.rooms.gateway.listeners.test_sl651 import ID, LIBRARY, MINUTE, RIVER, STATION, at_the_door, said

VALUES: dict[str, Value] = {
    "rain_today": 2.5,
    "rain_total": 311.3,
    "rain_5min": 0.4,
    "river_level": 168.402,
    "relative_level": 2.4,
    "supply_voltage": 12.41,
    "mains_lost": 0.0,
    "battery_low": 0.0,
    "level_alarm": 0.0,
    "gauge_fault": 0.0,
    "door_closed": 1.0,
}
ARRAYS = ("rain_5min", "relative_level")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"encoding": "ascii"},
        {"mode": "M3", "room": 20},
        {"mode": "M3", "encoding": "ascii", "hourly": True},
        {"hourly": True, "centre": 16},
    ],
)
async def test_a_simulated_station_is_understood(tmp_path: Path, options: dict[str, object]) -> None:
    talker = make_talker(RIVER, ID, "1a2b", options)
    async with at_the_door(tmp_path) as (desk, line):
        assert talker.greet() == []
        for minute in range(3):
            key, data = talker.report(VALUES, NOON + minute * MINUTE)
            for copy in (data, talker.again(key)):
                line.send(copy)
                assert talker.hear(encode(await line.heard())).acked == (key,)
            if minute == 0:
                assert talker.readings(key) == len(desk.stored())
        assert desk.desk.counts.repeated == desk.desk.counts.reports == 3
        wanted = {name: value for name, value in VALUES.items() if name not in ARRAYS or options.get("hourly")}
        assert desk.values("bridge") == wanted
        line.send(talker.beat(), said(serial=777))
        assert await line.serial() == 777


async def test_a_simulated_station_says_a_denied_packet_again(tmp_path: Path) -> None:
    talker = make_talker(RIVER, ID, "1A2B", {"mode": "M3", "room": 20})
    async with at_the_door(tmp_path) as (desk, line):
        key, data = talker.report(VALUES, NOON)
        frames = [encode(frame) for frame in Reader().feed(data)]
        line.send(*frames[:1], *frames[2:])
        heard = talker.hear(encode(await line.heard()))
        assert heard.acked == ()
        assert [one.end for one in Reader().feed(b"".join(heard.reply))] == [ETX]
        line.send(*heard.reply)
        assert talker.hear(encode(await line.heard())).acked == (key,)
        assert desk.values("bridge")["river_level"] == 168.402


def test_a_simulated_station_tells_of_an_alarm() -> None:
    talker = make_talker(RIVER, ID, None, {})
    functions = []
    for minute, alarm in enumerate([0.0, 1.0, 1.0, 0.0]):
        _, data = talker.report({**VALUES, "level_alarm": alarm}, NOON + minute * MINUTE)
        functions.append(Reader().feed(data)[0].function)
    assert functions == [0x32, 0x33, 0x32, 0x33]


def test_a_simulated_station_remembers_an_hour() -> None:
    talker = make_talker(RIVER, ID, None, {"hourly": True})
    for minute in range(0, 60, 5):
        key, data = talker.report({**VALUES, "rain_5min": minute / 10}, NOON + minute * MINUTE)
    assert talker.readings(key) == 2 * 12 + len(VALUES) - 2
    message = parse_message(Reader().feed(data)[0])
    (rain,) = [item for item in message.items if item.element == 0xF4]
    assert list(rain.data) == list(range(0, 60, 5))


def test_a_simulated_station_answers_questions() -> None:
    talker = make_talker(RIVER, ID, None, {})
    talker.report(VALUES, NOON)

    def asked(message: Message) -> list[Message]:
        reply = talker.hear(encode(encode_message(message))).reply
        return [parse_message(frame) for one in reply for frame in Reader().feed(one)]

    (now,) = asked(question(0x37, STATION, NOON))
    assert len(list(now.items)) == 5
    (some,) = asked(question(0x3A, STATION, NOON, elements=[0x39]))
    assert [item.element for item in some.items] == [0x39]
    (clock,) = asked(set_clock(STATION, NOON + MINUTE))
    assert (clock.function, clock.sent, talker.clock) == (0x4A, NOON + MINUTE, NOON + MINUTE)
    assert asked(question(0x45, STATION, NOON)) == []
    assert asked(question(0x37, bytes(5), NOON)) == []


def test_a_station_of_mode_m1_wants_no_answer() -> None:
    talker = make_talker(RIVER, ID, None, {"mode": "M1"})
    key, data = talker.report(VALUES, NOON)
    assert key == b""
    assert talker.readings(key) == len(VALUES) - len(ARRAYS)
    assert len(Reader().feed(data)) == 1


@pytest.mark.parametrize(
    ("id", "secret", "options", "complaint"),
    [
        ("x", None, {}, "no station"),
        (ID, "12345", {}, "four hex digits"),
        (ID, None, {"mode": "M4"}, "unknown mode"),
        (ID, None, {"encoding": "bcd"}, "unknown encoding"),
        (ID, None, {"room": 0}, "room"),
        (ID, None, {"colour": 1}, "unknown option"),
    ],
)
def test_a_station_that_cannot_be_made(
    id: str, secret: str | None, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        make_talker(RIVER, id, secret, options)


def test_other_protocols_are_not_spoken() -> None:
    with pytest.raises(ValueError, match="not SL 651"):
        make_talker(LIBRARY["xy-md02"], ID, None, {})
