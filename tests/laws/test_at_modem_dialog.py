"""AT dialogs: replies and unsolicited lines are told apart, however the bytes fall; nothing is lost, nothing grows.

Published lines: as quoted in public drivers for Quectel's modules, some named beside the line.
"""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.at_modem import (
    MAX_LINE,
    MAX_LINES,
    RESTARTED,
    AtError,
    Command,
    CommandReader,
    Dialog,
    LineReader,
    Reply,
    Urc,
    encode_line,
    split_fields,
    split_line,
)
from device_profiles.framing import Rejects

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000

DIALOGS: list[tuple[str, bytes, list[Reply | Urc]]] = [
    ("AT", b"\r\nOK\r\n", [Reply("AT")]),
    ("AT+CSQ", b"\r\n+CSQ:31,99\r\n\r\nOK\r\n", [Reply("AT+CSQ", ("+CSQ:31,99",))]),
    ("AT+CSQ", b"AT+CSQ\r\r\n+CSQ: 31,99\r\n\r\nOK\r\n", [Reply("AT+CSQ", ("+CSQ: 31,99",))]),  # echo
    ("AT+CEREG?", b"\r\n+CEREG:0,1\r\n\r\nOK\r\n", [Reply("AT+CEREG?", ("+CEREG:0,1",))]),
    # A URC of the very name that is asked for (hiajianchan/humiture, bc95.h: "+CEREG:0,1" asked, "+CEREG:1" unasked).
    (
        "AT+CEREG?",
        b"\r\n+CEREG:1\r\n\r\n+CEREG:0,1\r\n\r\nOK\r\n",
        [Urc("+CEREG", "1"), Reply("AT+CEREG?", ("+CEREG:0,1",))],
    ),
    ("AT+CGATT=1", b"\r\n+CEREG:2\r\n\r\nOK\r\n", [Urc("+CEREG", "2"), Reply("AT+CGATT=1")]),
    # Data arrive between the line and the result of a send.
    (
        "AT+NSOST=0,192.0.2.7,5683,2,ABCD",
        b"\r\n0,2\r\n\r\n+NSONMI:0,4\r\n\r\nOK\r\n",
        [Urc("+NSONMI", "0,4"), Reply("AT+NSOST=0,192.0.2.7,5683,2,ABCD", ("0,2",))],
    ),
    # RT-Thread at_device, class/bc28: sent with a sequence number, told of in a line of its own.
    ("AT+NSOST=1,192.0.2.7,7,1,61,101", b"\r\n1,1\r\n\r\nOK\r\n\r\n+NSOSTR:1,101,1\r\n", [
        Reply("AT+NSOST=1,192.0.2.7,7,1,61,101", ("1,1",)),
        Urc("+NSOSTR", "1,101,1"),
    ]),
    # jurikacs/BG770A, demo_echo.py: OK, then the result of the opening.
    (
        'AT+QIOPEN=1,0,"UDP","52.215.34.155",7,0,0',
        b"\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n",
        [Reply('AT+QIOPEN=1,0,"UDP","52.215.34.155",7,0,0'), Urc("+QIOPEN", "0,0")],
    ),
    (
        "AT+QISENDEX=0,5,3132333435",
        b"\r\nOK\r\n\r\nSEND OK\r\n\r\n+QIURC: \"recv\",0\r\n",
        [Reply("AT+QISENDEX=0,5,3132333435"), Urc("SEND OK"), Urc("+QIURC", '"recv",0')],
    ),
    (
        "AT+QIRD=0,512",
        b"\r\n+QIRD: 5\r\n3132333435\r\n\r\n+NPSMR: 1\r\n\r\nOK\r\n",
        [Urc("+NPSMR", "1"), Reply("AT+QIRD=0,512", ("+QIRD: 5", "3132333435"))],
    ),
    ("AT+NSOCL=9", b"\r\n+CME ERROR: 50\r\n", [Reply("AT+NSOCL=9", (), "+CME ERROR: 50")]),
    ("AT+NSOCL=9", b"\r\nERROR\r\n", [Reply("AT+NSOCL=9", (), "ERROR")]),
    # A name that no table knows is never part of another command's reply.
    ("AT+CSQ", b"\r\n+QXYZ: 7\r\n\r\n+CSQ:99,99\r\n\r\nOK\r\n", [
        Urc("+QXYZ", "7"),
        Reply("AT+CSQ", ("+CSQ:99,99",)),
    ]),
    ("AT+NRB", b"\r\nREBOOTING\r\n\xff\xf8\r\nREBOOT_CAUSE_APPLICATION_AT\r\nNeul \r\n\r\nOK\r\n", [
        Urc("REBOOTING"),
        Urc("BOOT", "REBOOT_CAUSE_APPLICATION_AT"),
        Urc("NEUL"),
        Reply("AT+NRB"),
    ]),
    ("AT+CSQ", b"\r\nREBOOT_CAUSE_SECURITY_RESET_PIN\r\nNeul\r\nOK\r\n", [
        Urc("BOOT", "REBOOT_CAUSE_SECURITY_RESET_PIN"),
        Reply("AT+CSQ", (), RESTARTED),
        Urc("NEUL"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("command", "said", "wanted"), DIALOGS)
def test_published_dialogs_whole_and_byte_by_byte(command: str, said: bytes, wanted: list[Reply | Urc]) -> None:
    for size in (len(said), 1, 2, 3, 7):
        dialog = Dialog()
        assert dialog.ask(command) == command.encode() + b"\r"
        found = [event for at in range(0, len(said), size) for event in dialog.feed(said[at : at + size])]
        assert found == wanted
        assert not dialog.pending and dialog.held == 0


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n"])
def test_any_line_end_will_do(end: bytes) -> None:
    dialog = Dialog()
    dialog.ask("AT+CSQ")
    assert dialog.feed(end.join([b"", b"+CSQ:20,99", b"OK", b""])) == [Reply("AT+CSQ", ("+CSQ:20,99",))]


def test_glued_dialogs_and_urcs_come_in_order() -> None:
    dialog = Dialog()
    dialog.ask("AT+CSQ")
    found = dialog.feed(b"\r\n+NSONMI:0,4\r\n\r\n+CSQ:1,99\r\n\r\nOK\r\n\r\n+NSOCLI: 0\r\n\r\n+NNMI:2,ABCD\r\n")
    reply = Reply("AT+CSQ", ("+CSQ:1,99",))
    assert found == [Urc("+NSONMI", "0,4"), reply, Urc("+NSOCLI", "0"), Urc("+NNMI", "2,ABCD")]


def test_garbage_before_and_behind_a_line_is_taken_off_and_counted() -> None:
    dialog = Dialog()
    dialog.ask("AT")
    assert dialog.feed(b"\xff\xfe\x00\r\n\x00\x80OK\xff\r\n") == [Reply("AT")]
    assert dialog.rejects.counts == {"noise": 2}
    dialog.ask("AT+CSQ")
    assert dialog.feed(b"+CS\x80Q:31,99\r\n+CSQ:30,99\r\nOK\r\n") == [Reply("AT+CSQ", ("+CSQ:30,99",))]
    assert dialog.rejects.counts == {"noise": 2, "malformed": 1}


def test_what_nobody_asked_for_is_counted() -> None:
    dialog = Dialog()
    assert dialog.feed(b"OK\r\n+CEREG:0,1\r\nhello\r\n+CEREG:1\r\n") == [Urc("+CEREG", "1")]
    assert dialog.rejects.counts == {"late": 2, "noise": 1}
    dialog.feed(b"+NSON")
    dialog.flush()
    assert dialog.rejects.counts == {"late": 2, "noise": 1, "truncated": 1} and dialog.held == 0


def test_the_way_back_after_a_late_reply() -> None:
    """The reply to an abandoned command is not taken for that of the next one, when that one says what it wants."""
    dialog = Dialog()
    dialog.ask("AT+NSOST=0,192.0.2.7,5683,2,ABCD")
    dialog.abandon()
    dialog.ask("AT+CFUN?", wants="+CFUN")
    assert dialog.feed(b"\r\n0,2\r\n\r\nOK\r\n") == []
    assert dialog.feed(b"\r\n+CFUN:1\r\n\r\nOK\r\n") == [Reply("AT+CFUN?", ("+CFUN:1",))]
    assert dialog.rejects.counts == {"late": 2}


def test_one_command_at_a_time_and_only_commands() -> None:
    dialog = Dialog()
    dialog.ask("AT")
    with pytest.raises(AtError, match="still waits"):
        dialog.ask("AT+CSQ")
    for wrong in ("", "CSQ", "AT\r", "AT+é"):
        with pytest.raises(AtError, match="no command"):
            Dialog().ask(wrong)


def test_bounds() -> None:
    dialog = Dialog()
    dialog.ask("AT+CSQ")
    assert dialog.feed(b"x" * 100_000) == [] and dialog.held <= MAX_LINE
    assert dialog.feed(b"y" * 100 + b"\r\n+CSQ:1,99\r\nOK\r\n") == [Reply("AT+CSQ", ("+CSQ:1,99",))]
    assert dialog.rejects.counts["oversized"] >= 1
    dialog.ask("AT+CSQ")
    dialog.feed(b"line\r\n" * 10_000)
    assert dialog.held == 4 * MAX_LINES


def test_the_longest_datagram_fits_a_line() -> None:
    dialog = Dialog()
    dialog.ask("AT+NSORF=0,1358")
    line = "0,255.255.255.255,65535,1358," + "AB" * 1358 + ",1358"
    assert dialog.feed(encode_line(line) + encode_line("OK")) == [Reply("AT+NSORF=0,1358", (line,))]


def test_the_modems_half_reads_commands() -> None:
    reader = CommandReader()
    said = b'AT\rATE0\r\nAT+CEREG?\rat+cpsms=1,,,"00110010","00001010"\rrubbish\rAT+NSOST=0,192.0.2.7,7,1,61\r'
    found = [command for byte in said for command in reader.feed(bytes([byte]))]
    assert [(one.name, one.fields, one.asks) for one in found] == [
        ("", (), False),
        ("E0", (), False),
        ("+CEREG", (), True),
        ("+CPSMS", ("1", "", "", "00110010", "00001010"), False),
        ("+NSOST", ("0", "192.0.2.7", "7", "1", "61"), False),
    ]
    assert reader.rejects.counts == {"noise": 1} and isinstance(found[0], Command)


@given(st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters=" .-"), max_size=8)))
def test_fields_round_trip(fields: list[str]) -> None:
    wanted = [field.strip() for field in fields] or [""]
    assert split_fields(",".join(fields)) == wanted
    assert split_fields(",".join(f'"{field}"' for field in wanted)) == wanted
    assert split_fields('"a,b",c') == ["a,b", "c"]


@given(st.lists(st.sampled_from([said for _, said, _ in DIALOGS]), max_size=6), st.integers(0, 2**32))
def test_pieces_change_nothing(parts: list[bytes], seed: int) -> None:
    dice = random.Random(seed)
    data = b"".join(parts)
    whole, pieces = Dialog(), Dialog()
    for dialog in (whole, pieces):
        dialog.ask("AT+CSQ")
    expected, found, at = whole.feed(data), list[Reply | Urc](), 0
    while at < len(data):
        size = dice.randrange(1, 20)
        found += pieces.feed(data[at : at + size])
        at += size
    assert found == expected and pieces.rejects.counts == whole.rejects.counts


def test_hostile_bytes_raise_nothing_and_hold_little() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    seeds = [said for _, said, _ in DIALOGS]
    commands = [command for command, _, _ in DIALOGS]
    dialog, reader, lines = Dialog(), CommandReader(), LineReader(Rejects())
    for number in range(ROUNDS):
        data = bytearray(dice.choice(seeds)) if number % 4 else bytearray(dice.randbytes(dice.randrange(40)))
        for _ in range(dice.randrange(3)):
            place = dice.randrange(len(data) + 1)
            if dice.random() < 0.5:
                data[place:place] = dice.randbytes(2)
            else:
                del data[place:]
        if not dialog.pending:
            dialog.ask(dice.choice(commands), wants=dice.choice(["", "", "+CFUN"]))
        elif dice.random() < 0.1:
            dialog.abandon()
        for event in dialog.feed(bytes(data)):
            assert isinstance(event, (Reply, Urc))
        reader.feed(bytes(data))
        lines.feed(bytes(data))
        assert dialog.held <= MAX_LINE * (MAX_LINES + 1) and reader.held <= MAX_LINE and lines.held <= MAX_LINE


def test_spellings_of_a_named_line() -> None:
    assert split_line("+CSQ:1,99") == split_line("+CSQ: 1,99") == split_line("+CSQ : 1,99") == ("+CSQ", "1,99")
    assert split_line("0,192.0.2.7") == ("", "0,192.0.2.7")
