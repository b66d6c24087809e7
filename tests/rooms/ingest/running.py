"""An ingest worker for tests: inside this process, or as a process of its own that can be killed."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ingest.clock import SystemClock
from ingest.config import CentreConfig
from ingest.service import load_config, run
from tests.parts import free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-c", "from ingest.cli import cli; cli()"]


def write_centre(folder: Path, broker_port: int, shards: str = "0-63", coap_port: int | None = None) -> Path:
    """A centre.toml on free ports."""
    coap = f'[intake.coap]\nlisten = "127.0.0.1:{coap_port}"\n' if coap_port else ""
    path = folder / "centre.toml"
    path.write_text(
        f'[intake]\nurl = "mqtt://127.0.0.1:{broker_port}"\nshards = "{shards}"\n{coap}'
        f'[store]\npath = "centre.duckdb"\n[api]\nlisten = "127.0.0.1:{free_port()}"\n'
    )
    return path


def get(config: CentreConfig, path: str) -> Any:
    """The JSON of a GET; AssertionError unless 200."""
    status, body = answer(config, path)
    assert status == 200, body
    return body


def answer(config: CentreConfig, path: str) -> tuple[int, Any]:
    """(status, JSON) of a GET."""
    connection = http.client.HTTPConnection(config.api.host, config.api.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


async def aget(config: CentreConfig, path: str) -> Any:
    """``get`` beside a worker in this very loop."""
    return await asyncio.to_thread(get, config, path)


async def connected(config: CentreConfig) -> None:
    """Wait until the worker has subscribed: what is published before then reaches nobody."""
    async with asyncio.timeout(20):
        while (await aget(config, "/api/v1/ledger"))["intake"]["running"]["broker"] != "connected":  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(0.02)  # polls a worker through its API, bounded above


@asynccontextmanager
async def worker(config: CentreConfig, broker: bool = True) -> AsyncIterator[asyncio.Event]:
    """A worker in this loop; leaving the block stops it in order. ``broker``: there is one to wait for."""
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(config, SystemClock(), stop, ready))
        waiting = group.create_task(ready.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            if broker:
                await connected(config)
            yield stop
        finally:
            stop.set()


class Process:
    """``ingest run`` as a process."""

    def __init__(self, centre: Path) -> None:
        self.centre = centre
        self.config = load_config(centre)
        self.log = centre.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, connected: bool = True) -> None:
        """Start it and wait until its API answers and, unless there is no broker, it has subscribed."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "run", str(self.centre)], cwd=ROOT, stdout=log, stderr=log
            )
        wait_until(lambda: self._answers(connected), f"ingest answers; its log is {self.log}")

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def _answers(self, connected: bool) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-3000:]
        try:
            running = get(self.config, "/api/v1/ledger")["intake"]["running"]
        except OSError:
            return False
        return not connected or running["broker"] == "connected"

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.poll() is None:
            os.kill(process.pid, number)
        try:
            return process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
