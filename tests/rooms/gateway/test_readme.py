"""Every command in the room's README.md, run as it stands beside a running gateway."""

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.programs import PATIENCE, Program, wait_until
from tests.parts import nats_server

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "gateway/README.md").read_text(encoding="utf-8")
COMMANDS = [line.partition("#")[0].strip() for line in re.findall(r"^kuimen gateway .+$", PAGE, re.MULTILINE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the site.toml of a gateway that runs; it must end well."""
    place = tmp_path_factory.mktemp("site")
    with nats_server(place / "broker") as broker:
        site = place / "site.toml"
        site.write_text(
            '[site]\nname = "kz-001"\n[gateway]\nsocket = "kz.sock"\n[gateway.spool]\npath = "kz.db"\n'
            f'[uplink]\nurl = "{broker.url}"\n'
        )
        gateway = Program("gateway", [sys.executable, "-m", "kuimen", "gateway", "run", str(site)], place / "log")
        gateway.start()
        try:
            wait_until((place / "kz.sock").exists, f"the gateway listens: {gateway.tail()}")
            yield place
            assert gateway.stop() == 0, gateway.tail()
        finally:
            gateway.end()


@pytest.mark.parametrize("command", [command for command in COMMANDS if " run " not in command])
def test_a_command_of_the_readme_runs(command: str, folder: Path) -> None:
    """`run` is what the fixture does."""
    words = [sys.executable, "-m", "kuimen", *shlex.split(command)[1:]]
    child = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with child:
        try:
            out, err = child.communicate(timeout=3 if " tap " in command else PATIENCE)
        except subprocess.TimeoutExpired:  # it follows, and nothing passes: Ctrl-C
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=PATIENCE)
            assert " tap " in command and child.returncode in (0, 130), err
            return
    assert child.returncode == 0, err
    assert out


def test_every_verb_is_in_the_readme() -> None:
    from gateway.cli import cli

    assert {command.split()[2] for command in COMMANDS} == set(cli.commands)
