"""What every test is held to: it leaves no task, thread, child process, socket or file behind."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

_SETTLING_FDS = ("anon_inode:", "/dev/urandom", "/dev/null", "pipe:", "/memfd:")
"""What interpreters and native libraries keep for themselves (event loops, random devices, pipes)."""


def _open_files() -> dict[int, str]:
    """File descriptors of this process that a test could have left: sockets, terminals and plain files."""
    found: dict[int, str] = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if not target.startswith(_SETTLING_FDS):
            found[int(entry.name)] = target
    return found


def _children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update((task / "children").read_text().split())
        except OSError:
            continue
    return found


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.is_alive()}


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test that leaves a thread, a child process, a socket or a file open.

    Tasks are covered by asyncio itself: a test ends its loop through ``asyncio.run``, which cancels what is left.
    """
    threads, files, children = _threads(), _open_files(), _children()
    yield
    for thread in _threads() - threads:
        thread.join(timeout=5)
    left = [f"thread {thread.name}" for thread in _threads() - threads]
    left += [f"child process {pid}" for pid in _children() - children]
    left += [f"fd {fd} ({name})" for fd, name in _open_files().items() if files.get(fd) != name]
    if left:
        pytest.fail("left behind: " + ", ".join(left))
