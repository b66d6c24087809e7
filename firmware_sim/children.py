"""Processes of the demo: started in groups of their own, logged to a file, ended by their own id, never outliving us.

Refuses to hide a death: a child that ends unasked is told with the tail of its log.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).parent.parent
TAIL_LINES = 20
LOOK_EVERY_S = 0.05
"""How often a waiting demo looks again: short against a start, long against the cost of looking."""


class DemoError(Exception):
    """The demo cannot go on; the text says why, for people."""


def kuimen(*arguments: str) -> list[str]:
    """The command line of a sub-command of this very installation."""
    return [sys.executable, "-m", "kuimen", *arguments]


def _end_with_parent() -> None:
    """In the child, before its program: a parent that is killed takes it along (Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Child:
    """One process with its log."""

    def __init__(self, name: str, command: Sequence[str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                preexec_fn=_end_with_parent,  # safe: the demo has no threads
            )

    def check(self) -> None:
        """DemoError with the end of its log when the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise DemoError(f"{self.name} ended unasked (exit {code}); the end of {self.log}:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the log, indented."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (empty)"

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def ask_to_end(self) -> None:
        """SIGTERM, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self, patience_s: float) -> int | None:
        """Its exit code; None when it had to be killed after `patience_s` seconds."""
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None


def await_ready(child: Child, ready: Callable[[], bool], what: str, patience_s: float = 30.0) -> None:
    """Look until `ready`; DemoError when the child dies or the patience ends first."""
    deadline = time.monotonic() + patience_s
    while not ready():
        child.check()
        if time.monotonic() > deadline:
            raise DemoError(f"{child.name} is not {what} after {patience_s:g} s; the end of its log:\n{child.tail()}")
        time.sleep(LOOK_EVERY_S)


def end_all(children: Sequence[Child], patience_s: float) -> list[str]:
    """Ask all of them to end, wait for each; returns what went wrong, in words."""
    for child in children:
        child.ask_to_end()
    trouble = []
    for child in children:
        code = child.wait(patience_s)
        if code is None:
            trouble.append(f"{child.name} did not end within {patience_s:g} s and was killed")
        elif code not in (0, -signal.SIGTERM):
            trouble.append(f"{child.name} ended with exit {code}; see {child.log}")
    return trouble
