"""What a modem's lines mean: figures with their units, and the traps (99, -32768, tenths, two timer tables, zones)."""

import datetime
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import at_modem_answers as answers
from device_profiles.codecs.at_modem import AtError
from device_profiles.codecs.at_modem_answers import ACTIVE_UNITS, PERIODIC_UNITS, Received, Registration, Signal

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000


@pytest.mark.parametrize(
    ("text", "asked", "wanted"),
    [
        ("1", False, Registration(1)),
        ("0,1", True, Registration(1)),
        ("0,2", True, Registration(2)),
        ("3", False, Registration(3)),
        ("5", False, Registration(5)),
        # Quoted in a public driver that sends AT+CEREG=5: T3324 two minutes, T3412 three hours.
        ('5,1,"00A0","0002920C",9,"00",0,0,"00100010","00010010"', True, Registration(1, "0002920C", 120, 10_800)),
        # nRF Connect SDK, lte_lc tests: seven fields behind <stat>, and a timer that is switched off.
        ('5,2,"0A0B","01020304",9,0,0,"11100000","11100000"', True, Registration(2, "01020304")),
        ("5,0,,,9,0,0,,", True, Registration(0)),
        # A public tutorial on eDRX explains this one: "2 seconds * 24", so 48 s; T3412 is ten hours.
        ('5,1,"8CA7","28C464",7,,,"00011000","00101010"', True, Registration(1, "28C464", 48, 36_000)),
    ],
)
def test_registration(text: str, asked: bool, wanted: Registration) -> None:
    found = answers.parse_registration(text, asked)
    assert found == wanted
    assert found.registered == (wanted.stat in (1, 5))


def test_the_words_of_registration() -> None:
    words = [Registration(stat).word for stat in (0, 1, 2, 3, 5, 9)]
    assert words == ["idle", "home", "searching", "denied", "roaming", "unknown"]


def test_the_two_timer_tables_differ() -> None:
    """TS 24.008, tables 10.5.163 and 10.5.163a."""
    octets = ["00000001", "00100001", "01000001", "01100001", "10000001", "10100001", "11000001", "11100001"]
    active = [answers.read_timer(octet, ACTIVE_UNITS) for octet in octets]
    periodic = [answers.read_timer(octet, PERIODIC_UNITS) for octet in octets]
    assert active == [2, 60, 360, 60, 60, 60, 60, None]
    assert periodic == [600, 3600, 36_000, 2, 30, 60, 1_152_000, None]


@given(st.floats(0, 31 * 360), st.floats(0, 31 * 1_152_000))
def test_a_written_timer_is_not_shorter_and_not_much_longer(active: float, periodic: float) -> None:
    for seconds, units in ((active, ACTIVE_UNITS), (periodic, PERIODIC_UNITS)):
        octet = answers.write_timer(seconds, units)
        said = answers.read_timer(octet, units)
        assert said is not None and said >= seconds
        assert said - seconds <= min(step for step in units.values() if seconds <= 31 * step)


def test_timers_that_cannot_be() -> None:
    with pytest.raises(AtError):
        answers.write_timer(31 * 360 + 1, ACTIVE_UNITS)
    with pytest.raises(AtError):
        answers.write_timer(-1, ACTIVE_UNITS)
    with pytest.raises(AtError):
        answers.read_timer("0010001", ACTIVE_UNITS)


def test_unknown_signal_is_no_number() -> None:
    """TS 27.007, 8.5."""
    assert [answers.parse_csq(text) for text in ("99,99", "0,99", "31,99", "18,0")] == [None, -113, -51, -77]
    with pytest.raises(AtError):
        answers.parse_csq("45,99")


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (
            ["Signal power:-856", "Total power:-789", "TX power:100", "Cell ID:2603", "ECL:1", "SNR:42", "RSRQ:-108"],
            Signal(rsrp_dbm=-85.6, rsrq_db=-10.8, snr_db=4.2, coverage=1),
        ),
        (["+NUESTATS: Signal power:-683", "+NUESTATS: ECL:0"], Signal(rsrp_dbm=-68.3, coverage=0)),
        # A public Python driver quotes NUESTATS: "RADIO","Signal power",-682.
        (['NUESTATS: "RADIO","Signal power",-682', 'NUESTATS: "RADIO","SNR",-32'], Signal(rsrp_dbm=-68.2, snr_db=-3.2)),
        (["Signal power:-32768", "SNR:-32768", "RSRQ:-32768", "ECL:255"], Signal()),
        ([], Signal()),
    ],
)
def test_statistics_in_three_spellings(lines: list[str], wanted: Signal) -> None:
    assert answers.parse_nuestats(lines) == wanted


def test_the_serving_cell_of_a_bc26() -> None:
    """Two lines quoted in public drivers; the second has gaps."""
    full = answers.parse_qeng('0,2507,2,146,"772F253",-90,-8,-83,16,5,"785F",0,140,3')
    assert full == Signal(rsrp_dbm=-90.0, rsrq_db=-8.0, snr_db=16.0, coverage=0)
    gaps = answers.parse_qeng('0,2506,,176,"0BF576D1",,,,,5,"3095",255,-17,3')
    assert gaps == Signal()
    with pytest.raises(AtError):
        answers.parse_qeng("1,2507,146,-90,-8")


def test_the_clock_and_its_zone() -> None:
    """BC28 shows UTC and prints +32 all the same; other firmware shows local time: only a known time tells."""
    clock = answers.parse_clock('"26/11/21,03:04:05+32"')
    noon = int(datetime.datetime(2026, 11, 21, 3, 4, 5, tzinfo=datetime.UTC).timestamp()) * 1_000_000
    assert (clock.shown, clock.quarters) == (noon, 32)
    assert clock.utc(zone_is_true=False) == noon and clock.utc(zone_is_true=True) == noon - 8 * 3_600_000_000
    assert clock.zone_is_true(noon + 60_000_000) is False
    assert clock.zone_is_true(noon - 8 * 3_600_000_000) is True
    assert clock.zone_is_true(noon - 4 * 3_600_000_000) is None
    assert answers.parse_clock("2026/11/21,03:04:05GMT+32") == clock
    for wrong in ("", "80/13/06,00:00:00", "26/11/21,25:00:00+32", "26/11/21,03:04:05+99", "26/11/21"):
        with pytest.raises(AtError):
            answers.parse_clock(wrong)


def test_sockets() -> None:
    assert answers.parse_socket(["0"]) == answers.parse_socket(["+NSOCR:0"]) == 0
    assert answers.parse_sent(["0,4"]) == answers.parse_sent(["+NSOST:0,4"]) == (0, 4)
    wanted = Received(0, "192.168.5.1", 1024, b"\xab\x30", 0)
    assert answers.parse_received(["0,192.168.5.1,1024,2,AB30,0"]) == wanted
    assert answers.parse_received(["+NSORF: 0,192.168.5.1,1024,2,ab30,0"]) == wanted
    assert answers.parse_received([]) is None
    for wrong in ("0,192.0.2.7,1,4,ABCD,0", "0,192.0.2.7,1,2,ABXY,0", "0,192.0.2.7,1,2,ABCD", "0,1,x,2,ABCD,0"):
        with pytest.raises(AtError):
            answers.parse_received([wrong])


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["+QIRD: 2", "3132"], (b"12", None)),
        (["+QIRD: 2,3132"], (b"12", None)),
        (['+QIRD: 2,"3132"'], (b"12", None)),
        (['+QIRD: 2,7,"3132"'], (b"12", 7)),
        (["+QIRD: 0"], None),
        ([], None),
    ],
)
def test_reads_of_a_bc26(lines: list[str], wanted: tuple[bytes, int | None] | None) -> None:
    """Spellings as in a public BC660K driver's tests and in the BC26 TCP/IP manual (viewmode, showlength)."""
    assert answers.parse_read(lines) == wanted


def test_the_imei() -> None:
    for lines in (["+CGSN:868334034330125"], ["868334034330125"], ["+CGSN: 868334034330125"]):
        assert answers.parse_imei(lines) == "868334034330125"
    with pytest.raises(AtError):
        answers.parse_imei(["+CGSN:86833403433012"])


def test_hostile_lines_raise_nothing_of_others() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    seeds = [
        '5,1,"00A0","0002920C",9,"00",0,0,"00100010","00010010"', "0,192.168.5.1,1024,2,AB30,0", "+QIRD: 2,7,3132",
        '0,2507,2,146,"772F253",-90,-8,-83,16,5,"785F",0,140,3', '"26/11/21,03:04:05+32"', "Signal power:-856", "18,99",
    ]  # fmt: skip
    signs = '0123456789,:"+-/ ABCxyz'
    for _ in range(ROUNDS):
        text = list(dice.choice(seeds))
        for _ in range(dice.randrange(4)):
            place = dice.randrange(len(text) + 1)
            text[place : place + dice.randrange(3)] = dice.choices(signs, k=dice.randrange(3))
        _try_all("".join(text), dice)


def _try_all(text: str, dice: random.Random) -> None:
    parsers: list[Callable[[], object]] = [
        lambda: answers.parse_registration(text, asked=True),
        lambda: answers.parse_registration(text, asked=False),
        lambda: answers.parse_csq(text),
        lambda: answers.parse_nuestats([text]),
        lambda: answers.parse_qeng(text),
        lambda: answers.parse_clock(text),
        lambda: answers.parse_received([text]),
        lambda: answers.parse_read([text, "AB"]),
        lambda: answers.parse_sent([text]),
        lambda: answers.parse_socket([text]),
        lambda: answers.parse_imei([text]),
    ]
    for parse in dice.sample(parsers, 4):
        try:
            parse()
        except AtError as wrong:
            assert str(wrong)
