"""A wrong site file: every mistake at once, with its line and the nearest right name, and no connection made."""

from pathlib import Path

import pytest

from device_profiles.problems import ConfigError
from gateway.config import load_config
from gateway.uplink_config import CoapOptions

RIGHT = """
[site]
name = "kz-001"
title = { zh = "夔门一号", en = "Kuimen 1" }

[gateway]
socket = "run/kz-001.sock"

[gateway.spool]
path = "kz-001.db"
quota_mb = 8
keep_days = 30
when_full = "thin"
hold_undated_seconds = 60

[uplink]
url = "mqtt://192.0.2.1"
root = "town/kuimen"
qos = 1
username = "pole"
password = { env = "KUIMEN_TEST_PASSWORD" }

[[links]]
name = "another room's business"
"""

WRONG = """
[site]
name = "kz 001"
titel = "x"

[gateway]
socket = "tcp://0.0.0.0:7000"

[gateway.spool]
path = 5
quota_mb = 0
qouta = 1
when_full = "drop-newest"
hold_undated_seconds = -1

[uplink]
url = "http://example"
root = "a/+/b"
qos = 2
window = 3
password = "in clear"

[uplnk]
"""


def written(folder: Path, text: str) -> Path:
    site = folder / "site.toml"
    site.write_text(text, encoding="utf-8")
    return site


def test_a_right_file_is_read_with_paths_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUIMEN_TEST_PASSWORD", "secret")
    config = load_config(written(tmp_path, RIGHT))
    assert config.listen == tmp_path / "run/kz-001.sock"
    assert config.spool.path == tmp_path / "kz-001.db" and config.spool.quota == 8 << 20
    assert config.spool.keep_seconds == 30 * 86_400
    assert config.spool.thin and config.spool.hold_seconds == 60
    uplink = config.uplink
    assert (uplink.host, uplink.port, uplink.root, uplink.qos) == ("192.0.2.1", 1883, "town/kuimen", 1)
    assert uplink.password == "secret" and "secret" not in repr(config)


def test_defaults_are_enough(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, '[site]\nname = "kz-001"\n'))
    assert config.spool.path == tmp_path / "kz-001.db" and config.spool.keep_seconds is None
    assert not config.spool.thin and config.spool.hold_seconds == 600
    assert (config.uplink.port, config.uplink.qos, config.uplink.window) == (1883, 0, 64)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    site = written(tmp_path, WRONG)
    with pytest.raises(ConfigError) as caught:
        load_config(site)
    told = {problem.where: problem for problem in caught.value.problems}
    lines = WRONG.splitlines()
    assert set(told) == {
        "site.name", "site.titel", "gateway.socket", "gateway.spool.path", "gateway.spool.quota_mb",
        "gateway.spool.qouta", "gateway.spool.when_full", "gateway.spool.hold_undated_seconds", "uplink.url",
        "uplink.root", "uplink.qos", "uplink.window", "uplink.password", "uplnk",
    }  # fmt: skip
    for where, problem in told.items():
        assert where.rpartition(".")[2] in lines[problem.line - 1]
    assert "did you mean 'title'?" in told["site.titel"].hint
    assert "did you mean 'quota_mb'?" in told["gateway.spool.qouta"].hint
    assert "did you mean 'uplink'?" in told["uplnk"].hint


@pytest.mark.parametrize("url", ["mqtt://", "mqtt://h:99999", "mqtt://h/path", "coap://user@h", "coaps://h", "h:1883"])
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"uplink\.url"):
        load_config(written(tmp_path, f'[site]\nname = "kz-001"\n[uplink]\nurl = "{url}"\n'))


def test_a_socket_path_too_long_for_the_kernel_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="107 bytes"):
        load_config(written(tmp_path, f'[site]\nname = "kz-001"\n[gateway]\nsocket = "{"x" * 110}"\n'))


def test_no_file_is_a_problem_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.toml")


COAP = """
[site]
name = "kz-001"
[uplink]
url = "coap://192.0.2.7"
ack_seconds = 10
nstart = 1
block_bytes = 512
state_seconds = 300
[uplink.fallback]
url = "mqtt://192.0.2.8"
qos = 1
after_seconds = 90
"""


def test_coap_first_and_mqtt_behind_it(tmp_path: Path) -> None:
    uplink = load_config(written(tmp_path, COAP)).uplink
    assert uplink.url == "coap://192.0.2.7:5683" and uplink.state_seconds == 300
    assert uplink.coap == CoapOptions(ack_seconds=10, nstart=1, block_bytes=512)
    assert uplink.fallback is not None and uplink.after_seconds == 90
    assert (uplink.fallback.url, uplink.fallback.qos) == ("mqtt://192.0.2.8:1883", 1)
    assert uplink.fallback.window == uplink.window and uplink.fallback.coap is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('url = "coaps://192.0.2.7"', r"uplink\.url.*no DTLS.*mqtts://"),
        ('url = "coap://192.0.2.7"\nblock_bytes = 500', r"uplink\.block_bytes.*512"),
        ('url = "coap://192.0.2.7"\nqos = 1', r"uplink\.qos.*unknown key"),
        ('url = "coap://192.0.2.7"\nnstart = 0', r"uplink\.nstart"),
        ('url = "mqtt://h"\nack_seconds = 5', r"uplink\.ack_seconds.*unknown key"),
        ('url = "mqtt://h"\n[uplink.fallback]\nurl = "mqtt://h:1883"', r"uplink\.fallback.*stands in for"),
        ('url = "mqtt://h"\n[uplink.fallback]\nurl = "mqtt://g"\nwindow = 8', r"uplink\.fallback\.window.*unknown"),
    ],
)
def test_mistakes_of_an_uplink(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(written(tmp_path, f'[site]\nname = "kz-001"\n[uplink]\n{line}\n'))
