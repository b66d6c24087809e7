"""The page's own logic under vitest, its build, and the words it shares with device_profiles."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards import build_web
from device_profiles.quality import Reason
from tests.rooms.dashboards.conftest import ROOT, without_node

WEB = ROOT / "dashboards/web"


def test_the_logic_of_the_page() -> None:
    try:
        node, npm = build_web.find_node()
        build_web.install_packages(node, npm)
    except build_web.CannotBuild as reason:
        without_node(str(reason))
    vitest = [node, "node_modules/vitest/vitest.mjs", "run", "--reporter=json"]
    done = subprocess.run(vitest, cwd=WEB, capture_output=True, text=True, timeout=120, check=False)
    report = json.loads(done.stdout[done.stdout.index("{") :] or "{}")
    failed = [
        f"{test['fullName']}: {' '.join(test['failureMessages'])}"
        for file in report["testResults"]
        for test in file["assertionResults"]
        if test["status"] != "passed"
    ]
    assert not failed and report["success"], "\n".join(failed) or done.stderr
    assert report["numPassedTests"] > 50


def test_every_reason_has_its_words_in_both_languages() -> None:
    table = (WEB / "src/reasons.ts").read_text()
    known = set(re.findall(r'^  (\w+): \["[^"]+", "[^"]+"\],$', table, re.MULTILINE))
    assert known == {reason.word for reason in Reason} - {"none"}


def test_the_lockfile_names_no_host_and_every_version_is_exact() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]
    assert all(entry.get("integrity") for name, entry in lock["packages"].items() if name)
    package = json.loads((WEB / "package.json").read_text())
    versions = {**package["dependencies"], **package["devDependencies"]}.values()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)


def test_a_second_build_does_nothing(built: Path) -> None:
    before = (built / "index.html").stat().st_mtime_ns
    assert build_web.build() is False
    assert (built / "index.html").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("version", "fits"),
    [("v20.19.0", True), ("v20.18.9", False), ("v21.7.0", False), ("v22.11.0", False), ("v22.12.0", True),
     ("v18.20.0", False), ("v26.0.0", True), ("", False), ("nonsense", False)],
)  # fmt: skip
def test_which_node_will_do(version: str, fits: bool) -> None:
    assert build_web.fit(version) is fits


def test_without_node_the_build_says_what_to_do(tmp_path: Path) -> None:
    """A checkout whose page changed, on a machine without Node and without the Python package."""
    room = tmp_path / "dashboards"
    (room / "web").mkdir(parents=True)
    (room / "build_web.py").write_text((ROOT / "dashboards/build_web.py").read_text())
    bare = [sys.executable, "-I", "-S", str(room / "build_web.py")]
    done = subprocess.run(bare, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "20.19" in done.stderr and "--fetch-node" in done.stderr
