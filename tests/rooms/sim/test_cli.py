"""`kuimen sim` as a tester types it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result
from pymodbus.client import ModbusTcpClient

from firmware_sim.callers.mishaps import CALLER_CATALOGUE
from firmware_sim.cli import cli
from firmware_sim.faults import CATALOGUE
from tests.rooms.sim.bench import write_street

ROOT = Path(__file__).resolve().parents[3]


def _sim(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The verb as a process of its own; killed if the test did not end it."""
    command: Sequence[str] = [sys.executable, "-m", "kuimen", "sim", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_check_prints_the_street() -> None:
    shown = _sim("check", "demo")
    assert shown.exit_code == 0
    assert "kz2-hydrant" in shown.output
    units = json.loads(_sim("check", "demo", "--json").output)["units"]
    assert len(units) == 19
    assert {unit["kind"] for unit in units} == {"rtu", "tcp"}


def test_check_tells_every_problem_and_says_no(tmp_path: Path) -> None:
    path = write_street(tmp_path, "tcp", "{ bad_checksum = { probability = 2 } }", "color = 1")
    told = _sim("check", str(path))
    assert told.exit_code == 1
    assert told.stdout == ""
    assert "must be ≥ 0 and ≤ 1" in told.stderr
    assert "color: unknown key" in told.stderr


def test_faults_prints_the_catalogue() -> None:
    assert _sim("faults").output.count("\n") == len(CATALOGUE) + len(CALLER_CATALOGUE)
    told = json.loads(_sim("faults", "--json").output)
    assert set(told["units"]) == {str(fault) for fault in CATALOGUE}
    assert set(told["callers"]) == {str(fault) for fault in CALLER_CATALOGUE}


def test_sites_writes_what_it_says(tmp_path: Path) -> None:
    written = json.loads(_sim("sites", "demo", "--dir", str(tmp_path), "--json").output)
    assert len(written["sites"]) == 3
    for path in [*written["sites"], written["centre"]]:
        assert Path(path).is_file()


def test_run_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    path = write_street(tmp_path, "tcp")
    with _process("run", str(path), "--dir", str(tmp_path / "run"), "--journal") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"] == "bench"
        port = json.loads((tmp_path / "run" / "ports.json").read_text(encoding="utf-8"))["p1/l1"]
        with ModbusTcpClient("127.0.0.1", port=port) as client:
            assert not client.read_holding_registers(10, count=5, device_id=1).isError()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    witness = json.loads((tmp_path / "run" / "witness.json").read_text(encoding="utf-8"))
    assert witness["street"] == "bench"
    assert witness["totals"]["answered"] == 1
    assert len((tmp_path / "run" / "journal.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_run_names_a_port_that_is_taken(tmp_path: Path) -> None:
    path = write_street(tmp_path, "tcp")
    (tmp_path / "run").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "run" / "ports.json").write_text(json.dumps({"p1/l1": port}), encoding="utf-8")
        with _process("run", str(path), "--dir", str(tmp_path / "run")) as process:
            _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"port {port}" in told
    assert "Traceback" not in told


def test_bench_serves_plain_units(tmp_path: Path) -> None:
    with _process("bench", "--units", "3", "--registers", "100") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert len(told["ports"]) == 3
        for port in told["ports"]:
            with ModbusTcpClient("127.0.0.1", port=port) as client:
                assert len(client.read_holding_registers(0, count=100, device_id=1).registers) == 100
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
