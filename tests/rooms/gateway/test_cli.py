"""The verbs as people use them, on a real gateway process: running, killed and stopped."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config import load_config
from tests.parts import Broker, mosquitto, wait_until
from tests.rooms.gateway.doubles import Agent
from tests.rooms.gateway.test_kill import SITE_FILE, answers, start

ROOT = Path(__file__).resolve().parents[3]


def kuimen(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "kuimen.py", "gateway", *(str(argument) for argument in arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


def data_of(*arguments: object) -> dict[str, object]:
    done = kuimen(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with mosquitto(tmp_path / "broker") as running_broker:
        yield running_broker


@pytest.fixture
def site(tmp_path: Path, broker: Broker) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(SITE_FILE.format(url=broker.url))
    return path


@pytest.fixture
def process(site: Path) -> "Iterator[subprocess.Popen[bytes]]":
    running = start(site)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


async def hand_over(site: Path) -> None:
    agent = await Agent(load_config(site)).connect()
    await agent.hand(3)
    await agent.part()


def test_ledger_and_spool_read_the_file_whether_it_runs_or_not(site: Path, process: "subprocess.Popen[bytes]") -> None:
    asyncio.run(hand_over(site))
    for _ in range(2):
        told = data_of("ledger", site)
        assert told["ledger"]["spooled"] == 30 and told["differences"] == []  # type: ignore[index]  # JSON
        assert data_of("spool", site)["total"]["readings"] == 30  # type: ignore[index]  # JSON
        process.kill()
        process.wait()
    assert "the ledger balances" in kuimen("ledger", site).stdout
    assert "live" in kuimen("spool", site).stdout


def test_tap_follows_live(site: Path, process: "subprocess.Popen[bytes]") -> None:
    command = [sys.executable, "kuimen.py", "gateway", "tap", str(site), "--json", "--count", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as tap:

        def handed() -> bool:
            asyncio.run(hand_over(site))
            return tap.poll() is not None

        wait_until(handed, "the tap has shown two events")
        assert tap.stdout is not None
        events = [json.loads(line) for line in tap.stdout]
    assert len(events) == 2 and all("what" in event for event in events)
    assert tap.returncode == 0


def test_sigterm_drains_and_leaves_with_zero(site: Path, process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    assert not answers(site)
    assert kuimen("tap", site).returncode == 1


def test_check_and_check_connect(site: Path, broker: Broker) -> None:
    assert data_of("check", site)["gateway"] == "kz-001"
    assert data_of("check", site, "--connect")["broker"] == "answers"
    broker.kill()
    done = kuimen("check", site, "--connect")
    assert done.returncode == 1 and "does not take us" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["run", "check", "spool", "tap", "ledger"])
def test_a_wrong_site_file_is_told_without_a_traceback(tmp_path: Path, verb: str) -> None:
    wrong = tmp_path / "site.toml"
    wrong.write_text('[site]\nnam = "kz-001"\n[gateway]\nsokket = "x"\n')
    done = kuimen(verb, wrong)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("did you mean") == 2 and "Traceback" not in done.stderr


def test_a_second_gateway_is_turned_away_in_words(site: Path, process: "subprocess.Popen[bytes]") -> None:
    done = kuimen("run", site)
    assert done.returncode == 1 and "in use by another gateway" in done.stderr and "Traceback" not in done.stderr
