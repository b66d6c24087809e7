"""Every example of the library as a person would bring it, on the command line: its values are those it says."""

import json

import pytest
from click.testing import CliRunner

from device_profiles.cli import cli
from device_profiles.decoding_profiles import decode_frame
from device_profiles.loader import load_library
from device_profiles.profiles import DeviceProfile, Example

LIBRARY = load_library()
BROUGHT = [
    pytest.param(profile, example, id=f"{profile.model}: {example.title}")
    for profile in LIBRARY.values()
    for example in profile.examples
    if profile.protocol != "modbus" and not (profile.protocol == "lwm2m" and example.request)
    # Modbus has tests of its own; a notification of LwM2M alone does not say its path.
]


def brought(example: Example) -> str:
    data = example.report or example.request + example.reply
    return data.decode() if data.startswith(b"##") else data.hex()


FIRST = {profile.protocol: (profile, profile.examples[0]) for profile in LIBRARY.values() if profile.examples}
FIRST = {key: pair for key, pair in FIRST.items() if key not in ("modbus", "lwm2m")}


@pytest.mark.parametrize(("profile", "example"), [pytest.param(*pair, id=key) for key, pair in FIRST.items()])
def test_an_example_brought_by_hand_reads_as_it_says(profile: DeviceProfile, example: Example) -> None:
    result = CliRunner().invoke(cli, ["decode", profile.model, brought(example), "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    told = {row["name"]: row["reason"] if row["value"] is None or row["reason"] else row["value"] for row in rows}
    assert {name: told.get(name) for name in example.values} == example.values


@pytest.mark.parametrize(("profile", "example"), BROUGHT)
def test_every_example_reads_as_it_says(profile: DeviceProfile, example: Example) -> None:
    rows = decode_frame(profile, example.report or example.request + example.reply).rows
    told = {row.name: row.reason if row.value is None or row.reason else row.value for row in rows}
    assert {name: told.get(name) for name in example.values} == example.values


@pytest.mark.parametrize(
    ("model", "frame", "said"),
    [
        ("hj212-surface-water", "##0012QN=1;ST=21", "no whole, checked frames"),
        ("generic-dlt645-single", "68 01", "no whole, checked answer in dlt645"),
        ("generic-uitd", "40 40 00", "no whole, checked frames (truncated)"),
    ],
)
def test_what_is_no_frame_is_told_in_a_sentence(model: str, frame: str, said: str) -> None:
    result = CliRunner().invoke(cli, ["decode", model, frame])
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
