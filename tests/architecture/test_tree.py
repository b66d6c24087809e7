"""The house rules that a machine can judge, over every tracked file."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("device_profiles", "edge_agent", "gateway", "ingest", "dashboards", "firmware_sim", "tests")
# Spelt in two halves so that this file does not trip over itself.
REGISTRY_HOSTS = ["pypi" + ".org", "python" + "hosted.org", "npmjs" + ".org", "npmjs" + ".com", "deb." + "debian.org"]


def tracked() -> list[Path]:
    """Files git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def sources() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_its_tour(room: str) -> None:
    tour = (ROOT / room / "README.md").read_text(encoding="utf-8")
    assert "Decided" in tour and "MUST" in tour, f"{room}/README.md lacks its MUST lines or its Decided section"


def test_no_drawer_for_odds_and_ends() -> None:
    banned = re.compile(r"(^|/)(common|utils?|core|base|helpers?|misc)(\.py)?(/|$)")
    assert not [path for path in sources() if banned.search(str(path.relative_to(ROOT)))]


def test_no_names_that_say_nothing() -> None:
    vague = re.compile(r"class \w+(Manager|Handler|Helper|Info|Util|Utils|Base)\b")
    found = [f"{path}: {hit[0]}" for path in sources() for hit in [vague.search(path.read_text())] if hit]
    assert not found


def test_no_registry_is_named_and_the_project_stands_alone() -> None:
    words = [*REGISTRY_HOSTS, "../" + "shared", "/tmp" + "/k/"]
    found = []
    for path in tracked():
        text = path.read_bytes()
        found += [f"{path.relative_to(ROOT)} names {word}" for word in words if word.encode() in text]
    assert not found


def test_every_ignore_says_why() -> None:
    silent = re.compile(r"#\s*(?:type: ignore(?:\[[^\]]*\])?|noqa(?::\s*[A-Z0-9, ]+)?)\s*$")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if silent.search(line)
    ]
    assert not found, "an ignore without its reason"


def test_every_module_starts_with_its_sentence() -> None:
    def bare(path: Path) -> bool:
        module = ast.parse(path.read_text(encoding="utf-8"))
        return bool(module.body) and not ast.get_docstring(module)

    assert not [str(path.relative_to(ROOT)) for path in sources() if bare(path)]


def test_no_module_outgrows_one_reading() -> None:
    long = [
        f"{path.relative_to(ROOT)} ({lines})"
        for path in sources()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert not long
