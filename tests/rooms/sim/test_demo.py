"""`kuimen demo`: its judgement is worth something only if the parts are real, so one test runs it for real."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware_sim.children import Child, DemoError, await_ready, end_all
from firmware_sim.demo import demo
from firmware_sim.ports import free_ports
from tests.rooms.sim.bench import PROFILE
from tests.rooms.sim.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = """
import sys, time
from pathlib import Path
from firmware_sim.children import Child
child = Child("child", [sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]))
print(child._process.pid, flush=True)
time.sleep(60)
"""


def _python(name: str, code: str, logs: Path) -> Child:
    return Child(name, [sys.executable, "-c", code], logs)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


FAULTS = {
    "rtu": [
        "{}",
        "{ late = { probability = 0.3, delay_ms = 310 }, truncated = { probability = 0.1 } }",
        "{ late = { probability = 0.2, delay_ms = 900 } }",
        "{ bad_checksum = { probability = 0.2 }, exception = { probability = 0.2, code = 6 } }",
        "{ silent = { probability = 0.2 } }",
        "{ dead = true }",
    ],
    "tcp": ["{}", "{ late = { probability = 0.3, delay_ms = 310 }, truncated = { probability = 0.1 } }"],
}


def _every_fault(folder: Path) -> Path:
    """A street of one pole where everything in the catalogue happens, twice a second to each unit."""
    (folder / "profiles").mkdir()
    quick = PROFILE.replace("period = 1\n", "period = 0.5\n")
    (folder / "profiles" / "test-bench.toml").write_text(quick, encoding="utf-8")
    text = '[street]\nname = "faulty"\nprofiles = ["profiles"]\n[[poles]]\nname = "p1"\n'
    for kind, speed in (("rtu", "baud = 38400\n"), ("tcp", "")):
        text += f'[[poles.links]]\nname = "{kind}"\nkind = "{kind}"\n{speed}'
        for unit, faults in enumerate(FAULTS[kind], 1):
            text += f'[[poles.links.units]]\nunit = {unit}\ndevice = "{kind}{unit}"\nprofile = "test-bench"\n'
            text += f"faults = {faults}\n"
    path = folder / "street.toml"
    path.write_text(text, encoding="utf-8")
    return path


CALLER_FAULTS = [
    "{ duplicate = { probability = 0.4 } }",
    "{ bad_checksum = { probability = 0.4 } }",
    "{ truncated = { probability = 0.3 } }",
    "{ drop = { probability = 0.4 } }",
    "{ noise = { probability = 0.4 }, silent = { probability = 0.2 } }",
    "{ clock = { probability = 0.3, seconds = -300000000 } }",
    "{ dead = true }",
]


def _every_caller_fault(folder: Path) -> Path:
    """A street of one listener where everything happens that may happen to a caller, a report a second."""
    text = '[street]\nname = "callers"\n[[poles]]\nname = "p1"\n'
    text += '[[poles.listeners]]\nname = "hj"\nprotocol = "hj212"\n'
    for number, faults in enumerate(CALLER_FAULTS, 1):
        text += f'[[poles.listeners.callers]]\nid = "MN{number}"\ndevice = "c{number}"\nperiod = 1\n'
        text += f'profile = "hj212-wastewater"\ntimeout_ms = 500\nfaults = {faults}\n'
    path = folder / "street.toml"
    path.write_text(text, encoding="utf-8")
    return path


MADE = {"every fault": _every_fault, "every fault of callers": _every_caller_fault}


@pytest.mark.parametrize(("street", "seconds"), [("demo", 6), ("full", 12), *((street, 6) for street in MADE)])
def test_it_adds_up_to_the_reading(tmp_path: Path, street: str, seconds: int) -> None:
    port = free_ports(1)[0]
    plan = str(MADE[street](tmp_path)) if street in MADE else street
    command = [sys.executable, "-m", "kuimen", "demo", "--seconds", str(seconds), "--port", str(port), "--street", plan]
    done = subprocess.run(
        [*command, "--dir", str(tmp_path / "run")], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"http://127.0.0.1:{port}/" in done.stdout
    assert "FAILS" not in done.stdout
    assert done.stdout.count("holds") >= 6
    assert "Nothing was lost, invented or changed." in done.stdout


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = CliRunner().invoke(demo, ["--port", str(port), "--dir", str(tmp_path / "run")])
    assert told.exit_code == 1
    assert f"port {port}" in told.stderr
    assert not (tmp_path / "run" / "logs").exists()


def test_an_earlier_run_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "centre.duckdb").touch()
    told = CliRunner().invoke(demo, ["--dir", str(tmp_path)])
    assert told.exit_code == 1
    assert "is not empty" in told.stderr


def test_a_child_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = _python("one", "print('last words'); raise SystemExit(3)", tmp_path)
    with pytest.raises(DemoError, match=r"one ended unasked \(exit 3\)(?s:.*)last words"):
        await_ready(child, lambda: False, "ready")


def test_a_child_that_is_never_ready_is_told(tmp_path: Path) -> None:
    child = _python("one", "import time; time.sleep(60)", tmp_path)
    try:
        with pytest.raises(DemoError, match=r"one is not ready after 0\.2 s"):
            await_ready(child, lambda: False, "ready", patience_s=0.2)
    finally:
        assert end_all([child], 10) == []


def test_a_child_that_does_not_end_is_killed_and_told(tmp_path: Path) -> None:
    child = _python("one", STUBBORN, tmp_path)
    wait_until(lambda: "up" in child.tail(), "the child is up")
    assert end_all([child], 0.2) == ["one did not end within 0.2 s and was killed"]


def test_children_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    wait_until(lambda: _gone(child), "the child is gone")
