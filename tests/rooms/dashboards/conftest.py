"""The built page, and the page's server as people start it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dashboards.build_web import CannotBuild, build, is_built
from dashboards.page import STATIC
from tests.parts import free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
Serve = Callable[[str], str]


def without_node(reason: str) -> None:
    """Fails where CI=true, skips loudly elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder of the page, built from the sources as they are."""
    if not is_built():
        try:
            build()
        except CannotBuild as reason:
            without_node(str(reason))
    return STATIC


def centre_file(folder: Path, api: str, port: int) -> Path:
    """A centre.toml that names both addresses."""
    path = folder / "centre.toml"
    path.write_text(f'[dashboards]\nlisten = "127.0.0.1:{port}"\napi = "{api}"\n')
    return path


def command(*arguments: str) -> list[str]:
    """`kuimen dashboards …` out of this checkout."""
    return [sys.executable, str(ROOT / "kuimen.py"), "dashboards", *arguments]


@contextmanager
def page_server(folder: Path, api: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`kuimen dashboards run` as a process: its address without a final slash, and itself. SIGTERM must end it well."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / "dashboards.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command("run", str(centre_file(folder, api, port))), stdout=out, stderr=out)
    try:
        wait_until(lambda: _alive(url, process, log), f"the page's server answers; its log is {log}")
        yield url, process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _alive(url: str, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False
