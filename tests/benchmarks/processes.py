"""Child processes of a benchmark: started on one core, weighed through /proc, ended by their own pid.

Refuses to guess: a child that ends before it is asked to is an error with the last lines of its log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60.0
"""How long a real process may take to come up or go down: a loaded two-core machine, an import of DuckDB."""


class Row(TypedDict):
    """One line of the table: `ok` is None where there is no target to meet."""

    name: str
    value: float
    unit: str
    target: str
    ok: bool | None


def row(name: str, value: float, unit: str, target: str = "", ok: bool | None = None) -> Row:
    """A line of the table."""
    return Row(name=name, value=value, unit=unit, target=target, ok=ok)


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def cores() -> tuple[int, int]:
    """(the core of what is measured, the core of everything else); twice the same on a single-core machine."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]


def free_port() -> int:
    """A port on loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(probe: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """The one bounded poll on real processes; TimeoutError names what did not come."""
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def listening(port: int) -> bool:
    """True when somebody accepts connections on that loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Child:
    """A running child process with its log on disk."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def alive(self) -> bool:
        """True while it runs; RuntimeError with the end of its log when it has ended by itself."""
        if self.process.poll() is None:
            return True
        tail = self.log.read_text(errors="replace").splitlines()[-15:]
        raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n" + "\n".join(tail))

    def wait_for(self, probe: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
        """Wait for something of this child while it lives."""
        wait_until(lambda: self.alive() and probe(), f"{self.name}: {what}", seconds)

    def cpu_seconds(self) -> float:
        """User and system time of the process and its descendants, those that ended included."""
        return sum(_cpu(pid) for pid in _tree(self.pid))

    def rss_mb(self) -> float:
        """Resident memory (VmRSS) of the process and its descendants, 10**6 bytes."""
        return sum(_rss(pid) for pid in _tree(self.pid)) * 1024 / 1e6

    def ask_to_end(self) -> None:
        """SIGTERM, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, seconds: float = 20.0) -> int:
        """SIGTERM, then SIGKILL after `seconds`; its exit code."""
        self.ask_to_end()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end within {seconds:g} s: killed")
            self.process.kill()
            return self.process.wait()


@contextlib.contextmanager
def child(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    core: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[Child]:
    """A child for the length of a with block; `core` pins it (and every thread it starts)."""
    log = folder / f"{name}.log"
    words = [str(word) for word in command]
    if core is not None:
        words = ["taskset", "-c", str(core), *words]
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=cwd, env={**os.environ, **(env or {})})
    running = Child(name, process, log)
    try:
        yield running
    finally:
        running.end()


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for word in task.read_text().split():
                pids += _tree(int(word))
    return pids


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0
