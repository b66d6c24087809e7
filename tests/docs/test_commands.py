"""Every command in every README is run: the front page's here, against a live demo; each room's by its own test."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.programs import PATIENCE, Program, wait_until
from tests.parts import free_port

ROOT = Path(__file__).resolve().parents[2]
READERS = {
    "README.md": "tests/docs/test_commands.py",
    "README.zh-CN.md": "tests/docs/test_commands.py",
    "tests/README.md": "tests/docs/test_commands.py",
    "device_profiles/README.md": "tests/rooms/profiles/test_readme.py",
    "edge_agent/README.md": "tests/rooms/agent/test_readme.py",
    "gateway/README.md": "tests/rooms/gateway/test_readme.py",
    "ingest/README.md": "tests/rooms/ingest/test_cli.py",
    "dashboards/README.md": "tests/rooms/dashboards/test_readme.py",
    "firmware_sim/README.md": "tests/docs/test_commands.py",
}
"""Which test runs the commands of which page."""

FOLLOWS = ("tap", "run", "bench")
"""Verbs that go on until they are told to stop."""


def commands_of(page: str) -> list[str]:
    """The commands of a page's shell blocks, comments left out."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


FRONT = sorted({command for page in ("README.md", "README.zh-CN.md") for command in commands_of(page)})


def test_no_page_is_forgotten() -> None:
    line = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    pages = {page for page in listed.stdout.split() if commands_of(page)}
    assert pages <= set(READERS)


@pytest.mark.parametrize(("page", "reader"), READERS.items())
def test_each_page_has_a_test_that_reads_it(page: str, reader: str) -> None:
    assert "README" in (ROOT / reader).read_text(encoding="utf-8"), f"{reader} does not look at {page}"


def test_both_front_pages_show_the_same_commands() -> None:
    assert commands_of("README.md") == commands_of("README.zh-CN.md")


MAKE_LINES = sorted(line for line in {*FRONT, *commands_of("tests/README.md")} if "make " in line)


@pytest.mark.parametrize("command", MAKE_LINES)
def test_a_make_line_is_one_that_make_knows(command: str) -> None:
    """`make test` is running now, `make demo` and `make bench` are run below; of the rest, that make accepts it."""
    words = shlex.split(command)
    settings = [word for word in words[: words.index("make")] if "=" in word]
    arguments = words[words.index("make") + 1 :]
    environment = os.environ | dict(setting.split("=", 1) for setting in settings)
    done = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_make_bench_prints_its_table() -> None:
    """The one bench that measures no time, so that the line is run and nothing timed is asserted."""
    line = ["make", "bench", "BENCH=--quick wire", f"VENV={Path(sys.executable).parent.parent}"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=5 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| wire: bytes per reading" in done.stdout


@pytest.mark.parametrize("street", ["demo", "full"])
def test_make_demo_ends_well_by_itself(street: str, tmp_path: Path) -> None:
    where = [f"PORT={free_port()}", f"DEMO={tmp_path / 'demo'}", f"VENV={Path(sys.executable).parent.parent}"]
    line = ["make", "demo", f"STREET={street}", "SECONDS=15", *where]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=5 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was lost, invented or changed." in done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A demo that runs while the front page's commands look at it; ended by Ctrl-C, and it must end well."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    arguments = ["demo", "--dir", str(folder), "--port", str(free_port())]
    program = Program("demo", [sys.executable, "-m", "kuimen", *arguments], folder.parent / "demo.log")
    program.start()
    try:
        wait_until(lambda: "Look here" in program.tail(), f"the demo is up: {program.tail()}")
        yield folder
        os.kill(program.pid, signal.SIGINT)
        wait_until(lambda: not program.alive, "the demo drains")
        assert program.stop() == 0, program.tail()
    finally:
        program.end()


def first_line_of(words: list[str], folder: Path) -> None:
    """Run a command that goes on for ever until it has said something, then end it with Ctrl-C."""
    child = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None and child.stderr is not None
        try:
            assert child.stdout.readline(), child.stderr.read()
        finally:
            child.send_signal(signal.SIGINT)
        child.stdout.read()
        assert child.wait(PATIENCE) in (0, 130)


def run_as_written(command: str, folder: Path) -> None:
    """Run a `kuimen` command line of a page; it must say something and end well."""
    words = [sys.executable, "-m", "kuimen", *shlex.split(command)[1:]]
    if words[4] in FOLLOWS:
        first_line_of(words, folder)
        return
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [command for command in FRONT if command.startswith("kuimen ")])
def test_a_command_of_the_front_page_runs(command: str, demo: Path) -> None:
    run_as_written(command.replace("run/demo", str(demo)), ROOT)


@pytest.mark.parametrize("command", commands_of("firmware_sim/README.md"))
def test_a_command_of_the_street_runs(command: str, tmp_path: Path) -> None:
    port = f" --port {free_port()}" if command.startswith("kuimen demo") else ""
    run_as_written(command + port, tmp_path)
