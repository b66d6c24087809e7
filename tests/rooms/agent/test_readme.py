"""Every command in the room's README runs as it stands there, on a real pseudo-terminal and beside a real
gateway program."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import edge_agent
from edge_agent.cli import cli
from tests.rooms.agent.terminal import terminal
from tests.rooms.agent.test_cli import louver
from tests.rooms.agent.wire import FakeUnit

README = Path(edge_agent.__file__).with_name("README.md").read_text(encoding="utf-8")
SITE = README.split("```toml\n")[1].split("```")[0]
COMMANDS = README.split("```sh\n")[1].split("```")[0].splitlines()
ROOT = Path(edge_agent.__file__).parents[1]
PATIENCE = 60.0


def program(folder: Path, command: str) -> subprocess.Popen[str]:
    """A command of the README as a process."""
    words = command.split()
    assert words[0] == "kuimen"
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[0] = 'kuimen'; import kuimen; kuimen.main()"
    return subprocess.Popen(
        [sys.executable, "-c", path, *words[1:]], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """The one bounded poll on a real process."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def ran(folder: Path, command: str) -> str:
    """Run a command to its end; its stdout."""
    process = program(folder, command)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, f"{command}: {err}"
    return out


def test_every_verb_is_in_the_readme() -> None:
    shown = {re.match(r"kuimen agent (\w+)", command)[1] for command in COMMANDS}  # type: ignore[index]  # each matches
    assert shown == set(cli.commands)


def test_every_command_runs(tmp_path: Path) -> None:
    with terminal(FakeUnit(1, louver)) as wire:
        (tmp_path / "run").mkdir()
        (tmp_path / "site.toml").write_text(SITE.replace("/dev/ttyS1", wire.path), encoding="utf-8")
        alone = [command for command in COMMANDS if not re.search(r" (run|tap|ledger) ", command)]
        for command in alone:
            assert ran(tmp_path, command)
        gateway = program(tmp_path, "kuimen gateway run site.toml")
        agent = None
        try:
            wait_until((tmp_path / "run/kz-001.sock").exists, "the gateway")
            agent = program(tmp_path, "kuimen agent run site.toml")
            assert ran(tmp_path, "kuimen agent tap site.toml --count 1")
            assert "the ledger balances" in ran(tmp_path, "kuimen agent ledger site.toml")
            agent.send_signal(signal.SIGTERM)
            _, said = agent.communicate(timeout=PATIENCE)
            assert agent.returncode == 0 and "Traceback" not in said
        finally:
            for process in (agent, gateway):
                if process is not None:
                    if process.poll() is None:
                        process.send_signal(signal.SIGTERM)
                    process.communicate(timeout=PATIENCE)
