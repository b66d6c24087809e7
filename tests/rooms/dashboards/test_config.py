"""[dashboards] of a centre.toml: every mistake at once, with its line and a right example."""

import json
import socket
import subprocess
from pathlib import Path

import pytest

from dashboards.config import DashboardsConfig, load_config
from device_profiles.problems import ConfigError
from tests.parts import free_port
from tests.rooms.dashboards.conftest import ROOT, centre_file, command
from tests.rooms.dashboards.upstream import running_upstream


def load(folder: Path, text: str) -> DashboardsConfig:
    path = folder / "centre.toml"
    path.write_text(text)
    return load_config(path)


def test_an_empty_file_means_the_usual_addresses(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert (config.url, config.api) == ("http://127.0.0.1:8080/", "http://127.0.0.1:8081")


def test_addresses_are_taken_as_written(tmp_path: Path) -> None:
    config = load(tmp_path, '[dashboards]\nlisten = "[::1]:9000"\napi = "http://10.0.0.7:8081/"\n')
    assert (config.host, config.port, config.url) == ("::1", 9000, "http://[::1]:9000/")
    assert config.api == "http://10.0.0.7:8081"


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        load(tmp_path, '[dashboards]\nlisten = "0.0.0.0:8080"\napi = "127.0.0.1:8081"\nlissten = 1\n[dashbords]\n')
    said = [str(problem).removeprefix(str(tmp_path)) for problem in wrong.value.problems]
    assert len(said) == 4
    assert any(":2:" in line and "loopback" in line for line in said)
    assert any(":3:" in line and "http://127.0.0.1:8081" in line for line in said)
    assert any(":4:" in line and "listen" in line for line in said)
    assert any(":5:" in line and "dashboards" in line for line in said)


NOWHERE = ["8080", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "example.com:80", "127.0.0.1:80/x"]


@pytest.mark.parametrize("listen", NOWHERE)
def test_no_address_to_listen_on(tmp_path: Path, listen: str) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, f'[dashboards]\nlisten = "{listen}"\n')


@pytest.mark.parametrize("api", ["", "ftp://x", "http://", "http://h:0", "http://h/api/v1", "http://u:p@h", "http://h:x"])
def test_no_address_of_ingest(tmp_path: Path, api: str) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, f'[dashboards]\napi = "{api}"\n')


def ask(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=30, check=False)


def test_check_prints_the_settings(tmp_path: Path, built: Path) -> None:
    path = str(centre_file(tmp_path, "http://127.0.0.1:8081", 8080))
    done = ask("check", path)
    assert done.returncode == 0 and "http://127.0.0.1:8080/" in done.stdout, done.stderr
    told = json.loads(ask("check", "--json", path).stdout)
    assert told["api"] == "http://127.0.0.1:8081" and told["files"] >= 3


def test_check_connect_asks_ingest(tmp_path: Path, built: Path) -> None:
    with running_upstream() as upstream:
        path = str(centre_file(tmp_path, upstream.url, 8080))
        assert ask("check", path, "--connect").returncode == 0
    done = ask("check", path, "--connect")
    assert done.returncode == 1 and "does not answer" in done.stderr and "Traceback" not in done.stderr


def test_a_wrong_file_ends_run_and_check_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "centre.toml").write_text('[dashboards]\nlisten = 8080\nport = 3\n')
    for verb in ("run", "check"):
        done = ask(verb, str(tmp_path / "centre.toml"))
        assert done.returncode == 1 and done.stdout == ""
        assert "centre.toml:2" in done.stderr and "centre.toml:3" in done.stderr and "Traceback" not in done.stderr


def test_a_taken_port_is_told_and_ends_in_one(tmp_path: Path, built: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        done = ask("run", str(centre_file(tmp_path, "http://127.0.0.1:8081", port)))
    assert done.returncode == 1 and "cannot listen" in done.stderr and "Traceback" not in done.stderr


def test_the_room_touches_no_database() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "dashboards").glob("*.py"))
    assert not [word for word in ("sqlite3", "duckdb", "sqlalchemy", "influxdb") if word in sources]
