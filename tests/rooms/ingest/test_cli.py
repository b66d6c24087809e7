"""The command line as people type it, and the centre file with every mistake at once."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_profiles.manifests import DeviceEntry, SeriesEntry, make_manifest
from device_profiles.problems import ConfigError
from ingest.config import CentreConfig, load_config
from tests.parts import Broker, nats_server
from tests.rooms.ingest.running import COMMAND, ROOT, Process, aget, write_centre
from tests.rooms.ingest.sender import START, Centre, Sender, batch, manifest


def typed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """``kuimen ingest ARGUMENTS``."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_every_mistake_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    path = tmp_path / "centre.toml"
    path.write_text(
        "[intake]\nurl = 'http://x'\nshards = '0-99'\nroot = 'a/#'\nqos = 2\npasword = 1\n"
        "password = { env = 'NO_SUCH_SECRET' }\n[store]\nkind = 'duckbd'\nmemory_mb = 1\n"
        "[api]\nlisten = '0.0.0.0:80'\n[dashbords]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    places = {(problem.line, problem.where) for problem in caught.value.problems}
    assert places == {
        (2, "intake.url"),
        (3, "intake.shards"),
        (4, "intake.root"),
        (5, "intake.qos"),
        (6, "intake.pasword"),
        (7, "intake.password"),
        (9, "store.kind"),
        (10, "store.memory_mb"),
        (12, "api.listen"),
        (13, "dashbords"),
    }
    done = typed("run", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("centre.toml:") == len(places)
    assert "did you mean 'duckdb'" in done.stderr or "one of: duckdb" in done.stderr


def test_defaults_and_shards(tmp_path: Path) -> None:
    path = tmp_path / "centre.toml"
    path.write_text("[intake]\nshards = '0-2, 63'\n")
    config = load_config(path)
    assert config.intake.shards == (0, 1, 2, 63)
    assert (config.store.path, config.api.url) == (tmp_path / "centre.duckdb", "http://127.0.0.1:8081")
    assert "secret" not in repr(config.intake)


def test_check(tmp_path: Path) -> None:
    path = tmp_path / "centre.toml"
    path.write_text('[intake]\nurl = "mqtt://127.0.0.1:1"\n')
    assert "mqtt://127.0.0.1:1" in typed("check", path).stdout
    assert json.loads(typed("check", path, "--json").stdout)["shards"] == list(range(64))
    lost = typed("check", path, "--connect")
    assert (lost.returncode, lost.stdout) == (1, "")
    assert "does not take us" in lost.stderr
    assert typed("check").returncode == 2


def test_ledger_and_gaps_without_a_worker(tmp_path: Path) -> None:
    path = write_centre(tmp_path, 1)
    missing = typed("ledger", path)
    assert (missing.returncode, "nothing listens" in missing.stderr) == (1, True)
    centre = Centre(tmp_path / "centre.duckdb")
    centre.register(manifest())
    centre.take(batch(1), b"x")
    centre.store.close()
    done = typed("ledger", path)
    assert (done.returncode, "every identity holds" in done.stdout) == (0, True)
    intake = json.loads(typed("ledger", path, "--json").stdout)["intake"]
    assert (intake["stored"], intake["malformed"], intake["running"]) == (1, {"malformed": 1}, None)
    assert json.loads(typed("gaps", path, "--json").stdout) == {"gaps": []}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[Process, Broker]]:
    """A worker as a process, with its broker."""
    with nats_server(tmp_path / "broker") as broker:
        process = Process(write_centre(tmp_path, broker.port))
        try:
            process.start()
            yield process, broker
        finally:
            process.kill()


def test_verbs_beside_a_running_worker(process: tuple[Process, Broker]) -> None:
    worker, _ = process
    assert typed("check", "--connect", worker.centre).returncode == 0
    assert json.loads(typed("ledger", worker.centre, "--json").stdout)["intake"]["running"]["broker"] == "connected"
    assert typed("gaps", worker.centre).returncode == 0
    second = typed("run", worker.centre)
    assert second.returncode == 1
    assert "cannot listen" in second.stderr
    assert "Traceback" not in second.stderr


async def _feed(port: int, tap: subprocess.Popen[str]) -> None:
    """New readings until the tap has seen what it waits for."""
    async with Sender(port) as sender:
        await sender.announce(manifest())
        seq = 0
        while tap.poll() is None:
            seq += 1
            await sender.send(batch(seq, base=START + seq))
            await sender.receipts(1)


def _tapped(worker: Process, broker: Broker, *arguments: str) -> list[str]:
    """The lines of a tap beside a gateway that sends."""
    with subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as tap:
        asyncio.run(asyncio.wait_for(_feed(broker.port, tap), 30))
        assert tap.stdout is not None
        assert tap.wait() == 0
        return tap.stdout.read().splitlines()


def test_tap(process: tuple[Process, Broker]) -> None:
    worker, broker = process
    lines = _tapped(worker, broker, "tap", str(worker.centre), "--json", "--count", "2")
    rows = [json.loads(line) for line in lines]
    assert [(row["point"], row["value"], row["unit"], row["quality"]) for row in rows] == [
        ("temperature", 21.5, "Cel", "good")
    ] * 2
    (line,) = _tapped(worker, broker, "tap", str(worker.centre), "--count", "1")
    assert line.endswith("kz-001/agent:kz1-air  temperature  21.5 Cel")


README = (ROOT / "ingest/README.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_defaults(tmp_path: Path) -> None:
    path, empty = tmp_path / "centre.toml", tmp_path / "empty.toml"
    path.write_text(README.split("```toml\n")[1].split("```")[0])
    empty.write_text("")
    assert load_config(path) == load_config(empty)


async def _announce_lamp(config: CentreConfig, port: int) -> None:
    """The device that the page commands."""
    entry = DeviceEntry("kz1-lamp", None, {}, "urban", "intesis-dali-lamp", 1)
    series = SeriesEntry(0, "level", {}, "lamp_level", "%", "number", 60.0)
    async with Sender(port, "kz-009") as sender, asyncio.timeout(20):
        await sender.announce(make_manifest("kz-009/agent", [entry], [series]))
        found: list[str] = []
        while "kz1-lamp" not in found:
            await asyncio.sleep(0.02)
            found = [one["device"] for one in (await aget(config, "/api/v1/devices"))["devices"]]


def test_every_command_of_the_readme(process: tuple[Process, Broker]) -> None:
    worker, broker = process
    lines = README.split("```sh\n")[1].split("```")[0].splitlines()
    verbs = []
    for line in lines:
        program, room, *arguments = line.replace("centre.toml", str(worker.centre)).split()
        assert (program, room) == ("kuimen", "ingest")
        verbs.append(arguments[0])
        if arguments[0] == "run":  # that is the worker which answers the others
            continue
        if arguments[0] == "command":
            asyncio.run(_announce_lamp(worker.config, broker.port))
        if arguments[0] == "tap":
            assert len(_tapped(worker, broker, *arguments)) == 20
        else:
            done = typed(*arguments)
            assert done.returncode == 0, done.stderr
    assert sorted(verbs) == ["check", "command", "commands", "gaps", "ledger", "run", "tap"]
