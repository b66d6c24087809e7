"""Site files, wrong and right: one folder a case, with what the operator must read in `expected.txt`.

A new mistake found in the field becomes a new folder; `REWRITE=1 pytest` writes what is said now, for a
person to judge.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from device_profiles.problems import ConfigError
from edge_agent.assembly import build_manifest
from edge_agent.config import load_config
from edge_agent.links import LinkUrlError, parse_link_url
from edge_agent.loads import link_loads
from tests.rooms.agent.sites import LIBRARY

CASES = Path(__file__).parents[2] / "cases" / "agent"


def said_about(path: Path) -> str:
    """What `kuimen agent check` says, without the folder's name."""
    try:
        config = load_config(path)
    except ConfigError as wrong:
        return str(wrong).replace(str(path.parent) + "/", "") + "\n"
    lines = [
        f"{device.name}: every {span.period:g} s function {span.read.function} "
        f"from {span.start}, {span.count} registers"
        for device in config.devices
        for span in device.spans()
    ]
    lines += [
        f"{load['link']}: {load['units']} units, {load['readings_s']:g} readings/s" for load in link_loads(config)
    ]
    series = build_manifest(config).series
    lines += [f"series {entry.device} {entry.point} [{entry.unit}] within {entry.period_s:g} s" for entry in series]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_case(case: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    shutil.copy(case / "site.toml", site)
    shutil.copytree(LIBRARY, tmp_path / "library")
    said = said_about(site)
    if os.environ.get("REWRITE"):
        (case / "expected.txt").write_text(said)
    assert said == (case / "expected.txt").read_text()


def test_a_missing_site_is_one_line() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config("/nowhere/site.toml")


@pytest.mark.parametrize(
    ("url", "framing", "silence_ms", "byte_us"),
    [
        ("serial:///dev/ttyS1", "rtu", 4.01, 1146),
        ("serial:///dev/ttyS1?baud=19200", "rtu", 2.005, 573),
        ("serial:///dev/ttyS1?baud=115200&parity=E", "rtu", 1.75, 95),
        ("tcp://[::1]:502", "tcp", 0, 0),
        ("rtu+tcp://dtu.example:8899", "rtu", 0, 0),
    ],
)
def test_a_link_url_says_its_timing(url: str, framing: str, silence_ms: float, byte_us: float) -> None:
    target = parse_link_url(url)
    assert target.framing == framing
    assert target.silence_seconds * 1000 == pytest.approx(silence_ms, abs=0.01)
    assert target.byte_seconds * 1e6 == pytest.approx(byte_us, abs=1)


@pytest.mark.parametrize(
    "url", ["", "serial://ttyS1", "tcp://:502", "tcp://host:port", "tcp://h:502/x", "serial:///d?baud="]
)
def test_a_wrong_link_url_is_told_in_a_sentence(url: str) -> None:
    with pytest.raises(LinkUrlError):
        parse_link_url(url)
