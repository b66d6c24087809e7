"""Bad profiles, one folder each: everything wrong with them is told at once, with line and nearest name.

KUIMEN_WRITE_CASES=1 writes what is told now into expected.err; read the difference before you keep it.
"""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from device_profiles.cli import cli
from device_profiles.lint import lint_file
from device_profiles.problems import Problems

CASES = Path(__file__).parents[2] / "cases" / "profiles"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_bad_profile_is_told_all_at_once(case: str) -> None:
    path = CASES / case / "profile.toml"
    problems = Problems()
    lint_file(path, problems)
    told = "".join(f"{problem}\n" for problem in sorted(problems.found)).replace(str(path), "profile.toml")
    expected = CASES / case / "expected.err"
    if os.environ.get("KUIMEN_WRITE_CASES"):
        expected.write_text(told, encoding="utf-8")
    assert told == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_the_command_line_says_the_same_and_ends_with_one(case: str) -> None:
    path = CASES / case / "profile.toml"
    result = CliRunner().invoke(cli, ["lint", str(path)])
    assert result.exit_code == 1
    assert result.stderr.replace(str(path), "profile.toml") == (CASES / case / "expected.err").read_text(
        encoding="utf-8"
    )
    assert result.stdout.startswith("1 profiles, ")
    assert "Traceback" not in result.output
