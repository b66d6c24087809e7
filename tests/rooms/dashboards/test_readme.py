"""Every command in the room's README, run as it stands."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.parts import free_port, wait_until
from tests.rooms.dashboards.conftest import ROOT, centre_file
from tests.rooms.dashboards.upstream import Upstream, running_upstream

README = (ROOT / "dashboards/README.md").read_text(encoding="utf-8")
COMMANDS = re.search(r"```sh\n(.*?)```", README, re.DOTALL)[1].splitlines()  # type: ignore[index]  # it has one


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as double:
        yield double


def arguments(line: str) -> list[str]:
    """The command with this checkout's programs and absolute paths."""
    words = shlex.split(line.replace("dashboards/", f"{ROOT}/dashboards/"))
    programs = {"python": [sys.executable], "kuimen": [sys.executable, str(ROOT / "kuimen.py")]}
    return [*programs.get(words[0], words[:1]), *words[1:]]


@pytest.mark.parametrize("line", [line for line in COMMANDS if " run " not in line])
def test_the_command_does_what_it_says(line: str, tmp_path: Path, built: Path, upstream: Upstream) -> None:
    if line.startswith("npm") and not shutil.which("npm"):
        pytest.skip("npm is not on this machine; the same tests run in test_web.py")
    centre_file(tmp_path, upstream.url, free_port())
    done = subprocess.run(arguments(line), cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", [line for line in COMMANDS if " run " in line])
def test_the_service_runs_and_leaves(line: str, tmp_path: Path, built: Path, upstream: Upstream) -> None:
    port = free_port()
    centre_file(tmp_path, upstream.url, port)

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
        except httpx.TransportError:
            return False

    with subprocess.Popen(arguments(line), cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(answers, "the page is served")
        finally:
            os.kill(process.pid, signal.SIGTERM)
    assert process.returncode == 0
