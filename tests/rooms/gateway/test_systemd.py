"""The units under systemd: they are sound, they are hardened, and the watchdog hears from the event loop itself."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.watchdog import ALIVE, READY, STOPPING, keep_alive
from tests.parts import binary

UNITS = sorted((Path(__file__).resolve().parents[3] / "gateway" / "systemd").glob("*.service"))
EXPOSURE = 2.0
"""systemd's own measure, from 0 (sealed off) to 10; an ordinary service has 9.6."""


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_a_unit_is_sound(unit: Path, tmp_path: Path) -> None:
    analyze = binary("systemd-analyze")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/kuimen/bin/kuimen", sys.executable))
    done = subprocess.run([analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60)
    assert unit.stem not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_a_unit_is_hardened(unit: Path) -> None:
    analyze = binary("systemd-analyze")
    command = [analyze, "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_systemd_hears_that_we_are_ready_alive_and_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(place))
        monkeypatch.setenv("WATCHDOG_USEC", "30000")
        heard: list[bytes] = []

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(keep_alive())
                while heard.count(ALIVE) < 3:
                    heard.append(await asyncio.to_thread(systemd.recv, 64))
                telling.cancel()

        asyncio.run(main())
        while STOPPING not in heard:
            heard.append(systemd.recv(64))
    assert heard[0] == READY
    assert heard[-1] == STOPPING


def test_without_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_alive()).cancel()

    asyncio.run(main())
