"""``[[listeners]]`` and ``[[callers]]``: a sound file is read, and every mistake is told with its line in one go."""

from pathlib import Path

import pytest

from device_profiles.problems import ConfigError
from gateway.config import load_config

HEAD = '[site]\nname = "kz-001"\n[gateway]\nsocket = "g.sock"\n'
DOOR = '[[listeners]]\nname = "{0}"\nprotocol = "{1}"\nlisten = "{2}"\n'


def told(folder: Path, text: str) -> str:
    """What is said against a site file."""
    path = folder / "site.toml"
    path.write_text(HEAD + text)
    with pytest.raises(ConfigError) as wrong:
        load_config(path)
    return str(wrong.value).replace(str(folder) + "/", "")


def caller(listener: str, id_: str, name: str, profile: str, more: str = "") -> str:
    return f'[[callers]]\nlistener = "{listener}"\nid = "{id_}"\nname = "{name}"\nprofile = "{profile}"\n{more}'


def test_a_sound_file(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(
        HEAD
        + DOOR.format("hj", "hj212", "tcp://0.0.0.0:9212")
        + 'unknown = "quarantine"\ncallers = "stations.csv"\n'
        + DOOR.format("rain", "sl651", "udp://127.0.0.1:9651")
        + caller("hj", "500236000021000000000001", "wq-01", "hj212-surface-water", 'code = "5002360501000001"\n')
        + caller("rain", "0012345678", "rain-01", "sl651-rain-river", "report = 7200\ndisabled = true\n")
    )
    stations = "id,name,profile,code,disabled\n500236000021000000000002,wq-02,hj212-surface-water,,yes\n"
    (tmp_path / "stations.csv").write_text(stations)
    hj, rain = load_config(path).listeners
    assert (hj.origin, hj.transport, hj.host, hj.port, hj.unknown) == (
        "kz-001/hj", "tcp", "0.0.0.0", 9212, "quarantine"
    )  # fmt: skip
    assert [(one.device, one.disabled) for one in hj.callers] == [("wq-02", True), ("wq-01", False)]
    assert (rain.callers[0].report, rain.callers[0].disabled) == (7200, True)


def test_mistakes_are_told_together(tmp_path: Path) -> None:
    said = told(
        tmp_path,
        DOOR.format("hj", "hj212", "udp://0.0.0.0:9212")
        + DOOR.format("hj", "jt809", "tcp://0.0.0.0")
        + caller("jh", "1", "a", "hj212-surface-water")
        + caller("hj", "2", "b", "hj212-surface-watre")
        + caller("hj", "3", "c", "renke-louver")
        + caller("hj", "4", "d", "hj212-surface-water", 'code = "12"\nmn = "4"\n')
        + caller("hj", "4", "e", "hj212-surface-water")
        + caller("hj", "5", "d", "hj212-surface-water"),
    )
    for words in (
        "udp:// is not for this protocol (tcp://)",
        "a second listener is called 'hj'",
        "unknown protocol 'jt809' (did you mean 'jt808'?)",
        "'tcp://0.0.0.0' is no address",
        "there is no listener 'jh'",
        "there is no profile 'hj212-surface-watre' (did you mean 'hj212-surface-water'?)",
        "renke-louver speaks modbus, the listener hj212",
        "'12' is no component code",
        "unknown key",
        "'4' is d already",
        "'d' is taken by callers[4]",
    ):
        assert words in said, f"{words!r} is not in\n{said}"


def test_an_identity_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    said = told(
        tmp_path,
        DOOR.format("fire", "gb26875", "tcp://0.0.0.0:9687")
        + DOOR.format("rain", "sl651", "tcp://0.0.0.0:9651")
        + caller("fire", "not-an-address", "panel", "generic-uitd")
        + caller("rain", "12345", "gauge", "sl651-rain-river"),
    )
    assert "callers[1].id: 'not-an-address' is no address" in said
    assert "callers[2].id" in said


def test_a_callers_file_is_told_by_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,name,profile\n1,a,hj212-surface-water\n1,b,hj212-surface-water\n2,,x\n")
    said = told(tmp_path, DOOR.format("hj", "hj212", "tcp://0.0.0.0:9212") + 'callers = "c.csv"\n')
    assert "c.csv:3: '1' or 'b' is there already" in said
    assert "c.csv:4: a caller needs an id and a name" in said
    (tmp_path / "c.csv").write_text("mn,name\n")
    said = told(tmp_path, DOOR.format("hj", "hj212", "tcp://0.0.0.0:9212") + 'callers = "c.csv"\n')
    assert "c.csv:1: lacks the columns id, profile" in said


def test_callers_without_a_listener(tmp_path: Path) -> None:
    assert "there are callers and no [[listeners]]" in told(tmp_path, caller("hj", "1", "a", "hj212-surface-water"))
