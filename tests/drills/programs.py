"""Kuimen's programs as children of a test: started as a user starts them, killed as a power cut does."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests import parts

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds that anything may take on a machine that is shared; what takes longer hangs."""


wait_until = partial(parts.wait_until, seconds=PATIENCE)
"""`parts.wait_until` with a drill's patience: whole programs start, not just a broker."""


class Program:
    """One child process that can be killed and started again with the same arguments."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.kills = 0
        self._arguments = list(arguments)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output goes to its log."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._arguments, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9, and see it gone. AssertionError when it had died by itself."""
        assert self._process is not None
        assert self.alive, f"{self.name} died by itself: {self.tail()}"
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        self.kills += 1

    def stop(self) -> int:
        """SIGTERM and its exit code."""
        assert self._process is not None
        if self.alive:
            os.kill(self._process.pid, signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def end(self) -> None:
        """Whatever it takes to leave nothing behind."""
        if self._process is not None and self.alive:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE)

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


def kuimen(*arguments: str | Path) -> list[str]:
    """The command line of a `kuimen` command."""
    return [sys.executable, "-m", "kuimen", *map(str, arguments)]


def ask(*arguments: str | Path) -> str:
    """Run a `kuimen` command to its end and give its output; AssertionError when it fails."""
    done = subprocess.run(kuimen(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"kuimen {' '.join(map(str, arguments))}: {done.returncode}\n{done.stderr}"
    return done.stdout
