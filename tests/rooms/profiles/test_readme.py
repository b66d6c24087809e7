"""Every command in the room's README runs, every verb is in it, and the profile shown there is a sound one."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import device_profiles
from device_profiles.cli import cli
from device_profiles.documents import TomlDocument
from device_profiles.loader import read_profile
from device_profiles.problems import Problems

README = Path(device_profiles.__file__).with_name("README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^kuimen profiles (.+)$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command: str) -> None:
    result = CliRunner().invoke(cli, shlex.split(command))
    assert result.exit_code == 0, result.output
    assert result.stdout


def test_every_verb_is_in_the_readme() -> None:
    assert {command.split()[0] for command in COMMANDS} == set(cli.commands)


def test_the_profile_in_the_readme_uses_known_words_only() -> None:
    """It shows every key at once, so some do not fit together; none may be unknown."""
    text = README.partition("```toml\n")[2].partition("```")[0]
    problems = Problems()
    document = TomlDocument.parse(text, "vendor-model.toml", problems)
    assert document is not None
    read_profile(document, problems)
    assert [problem.where.rpartition(".")[2] for problem in sorted(problems.found)] == ["mask", "length"]
