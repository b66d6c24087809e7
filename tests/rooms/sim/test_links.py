"""An independent master (pymodbus' client) reads the right values through each fault; the counts say what it saw."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from pymodbus.exceptions import ConnectionException, ModbusIOException

from firmware_sim.faults import Fault
from firmware_sim.running import RunningStreet
from tests.rooms.sim.bench import POINTS, REGISTERS, counts, master, running
from tests.rooms.sim.waiting import wait_until

KINDS = pytest.mark.parametrize("kind", ["rtu", "tcp"])


def _read(client: Any, unit: int = 1) -> list[int] | int | None:
    """The registers, an exception's code, or None where nothing right came back."""
    try:
        reply = client.read_holding_registers(10, count=5, device_id=unit)
    except (ModbusIOException, ConnectionException):
        return None
    if reply.isError():
        return int(reply.exception_code)
    return list(reply.registers)


def _journal(served: RunningStreet) -> list[dict[str, Any]]:
    text = (served.directory / "journal.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@KINDS
def test_a_healthy_unit_says_what_was_worked_out_by_hand(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, kind) as served, master(served) as client:
        assert _read(client, 1) == REGISTERS
        assert client.read_coils(3, count=1, device_id=1).bits[0]
        assert client.read_input_registers(0, count=1, device_id=2).registers == [0xFFFE]
    one, two = counts(served, 1), counts(served, 2)
    assert (one.asked, one.answered, one.answered_readings) == (2, 2, POINTS + 1)
    assert (two.asked, two.answered, two.answered_readings) == (1, 1, 1)
    first = _journal(served)[0]
    assert (first["device"], first["function"], first["address"], first["count"]) == ("one", 3, 10, 5)
    assert bytes.fromhex(first["data"]) == b"".join(word.to_bytes(2, "big") for word in REGISTERS)


@KINDS
def test_only_points_wholly_inside_the_span_are_counted(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, kind) as served, master(served) as client:
        assert client.read_holding_registers(10, count=2, device_id=1).registers == REGISTERS[:2]
    assert counts(served).answered_readings == 1


@KINDS
def test_a_hole_is_refused_by_the_unit_itself(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, kind) as served, master(served) as client:
        assert client.read_holding_registers(10, count=6, device_id=1).exception_code == 2
    assert (counts(served).asked, counts(served).answered, counts(served).refused) == (1, 0, 1)


@KINDS
def test_what_was_written_stays_written(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, kind) as served, master(served) as client:
        assert not client.write_register(10, 77, device_id=1).isError()
        assert not client.write_coil(3, False, device_id=1).isError()
        assert client.read_holding_registers(10, count=5, device_id=1).registers == [77, *REGISTERS[1:]]
        assert not client.read_coils(3, count=1, device_id=1).bits[0]
    assert counts(served).answered == 4
    assert counts(served).answered_readings == POINTS + 1


@KINDS
@pytest.mark.parametrize("faults", ["{ dead = true }", "{ silent = { probability = 1 } }"])
def test_silence_costs_its_unit_only(tmp_path: Path, kind: str, faults: str) -> None:
    with running(tmp_path, kind, faults) as served, master(served) as client:
        assert [_read(client, 1), _read(client, 2), _read(client, 1)] == [None, REGISTERS, None]
    one = counts(served)
    assert (one.asked, one.answered, one.faults.total()) == (2, 0, 2)
    assert counts(served, 2).answered == 1


@KINDS
def test_an_exception_has_the_code_it_was_given(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, kind, "{ exception = { probability = 1, code = 6 } }") as served, master(served) as client:
        assert _read(client) == 6
    assert counts(served).faults[Fault.EXCEPTION] == 1


@KINDS
def test_a_truncated_answer_is_none(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, kind, "{ truncated = { probability = 1 } }") as served, master(served) as client:
        assert _read(client) is None
    assert counts(served).faults[Fault.TRUNCATED] == 1
    assert counts(served).answered == 0


def test_a_turned_bit_is_no_answer(tmp_path: Path) -> None:
    with running(tmp_path, "rtu", "{ bad_checksum = { probability = 1 } }") as served, master(served) as client:
        assert _read(client) is None
    assert counts(served).faults[Fault.BAD_CHECKSUM] == 1
    assert counts(served).answered == 0


@KINDS
def test_a_late_answer_is_right_and_counted_apart(tmp_path: Path, kind: str) -> None:
    faults = "{ late = { probability = 1, delay_ms = 80 } }"
    with running(tmp_path, kind, faults) as served, master(served, timeout=2) as client:
        assert _read(client) == REGISTERS
    one = counts(served)
    assert (one.answered, one.late, one.late_readings) == (0, 1, POINTS)
    assert _journal(served)[0]["late"] is True


@KINDS
def test_what_the_master_saw_is_what_was_counted(tmp_path: Path, kind: str) -> None:
    spoilt = ", bad_checksum = { probability = 0.2 }" if kind == "rtu" else ""
    faults = "{ silent = { probability = 0.1 }, exception = { probability = 0.2 }" + spoilt + " }"
    with running(tmp_path, kind, faults) as served, master(served, timeout=0.5) as client:
        seen = [_read(client) for _ in range(25)]
    one = counts(served)
    assert seen.count(REGISTERS) == one.answered
    assert one.answered_readings == POINTS * one.answered
    assert seen.count(4) == one.faults[Fault.EXCEPTION]
    assert one.asked == 25
    assert one.answered + one.faults.total() == 25
    document = json.loads(served.witness_path.read_text(encoding="utf-8"))
    assert document["totals"]["answered"] == one.answered == len(_journal(served))
    assert document["links"][0]["questions"] == 25


def test_the_same_questions_meet_the_same_faults_on_every_run(tmp_path: Path) -> None:
    faults = "{ silent = { probability = 0.1 }, exception = { probability = 0.4 } }"
    fates = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        with running(tmp_path / run, "tcp", faults) as served, master(served, timeout=0.5) as client:
            fates.append([_read(client) for _ in range(20)])
    assert fates[0] == fates[1]


@KINDS
def test_a_unit_that_is_not_there_is_silent_and_a_stranger(tmp_path: Path, kind: str) -> None:
    with running(tmp_path, kind) as served, master(served, timeout=0.5) as client:
        assert _read(client, 99) is None
        assert _read(client, 2) == REGISTERS
    link = (served.lines or served.tcp.links)[0]
    assert (link.counts.questions, link.counts.strangers) == (2, 1)


def _ask(served: RunningStreet) -> socket.socket:
    """Ask for unit 1's registers over TCP and leave the answer unread."""
    connection = socket.create_connection(("127.0.0.1", served.tcp.links[0].port))
    connection.sendall(bytes.fromhex("00 01 00 00 00 06 01 03 00 0A 00 05"))
    return connection


def test_a_tcp_answer_that_nobody_reads_is_taken_back(tmp_path: Path) -> None:
    with running(tmp_path, "tcp") as served:
        connection = _ask(served)
        wait_until(lambda: counts(served).answered == 1, "the answer is sent")
        connection.close()
        wait_until(lambda: counts(served).unread == 1, "the answer is taken back")
    assert (counts(served).answered, counts(served).answered_readings) == (0, 0)


def test_a_late_tcp_answer_to_a_master_that_has_gone_is_never_sent(tmp_path: Path) -> None:
    with running(tmp_path, "tcp", "{ late = { probability = 1, delay_ms = 100 } }") as served:
        with _ask(served):
            wait_until(lambda: counts(served).asked == 1, "the question is heard")
        with _ask(served) as second:
            assert len(second.recv(100)) == 19
    assert (counts(served).asked, counts(served).late, counts(served).unread) == (2, 1, 0)
