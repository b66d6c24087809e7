"""Real parts for tests: brokers started from their own binaries on free loopback ports, ended by their own pid.

A missing binary skips the test loudly on a developer's machine and fails it where CI=true. Refuses to fake a broker.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_SECONDS = 20.0
"""For a broker to answer: a second on a quiet machine, more beside other tests on two cores."""

# MQTT 3.1.1, 3.1: CONNECT, clean session, client id "ready"; 3.2: CONNACK accepted.
_CONNECT = bytes([0x10, 17, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 10, 0, 5]) + b"ready"
_CONNACK = bytes([0x20, 2, 0, 0])


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def binary(name: str, *places: str) -> str:
    """The path of a program; skips the test where it is missing, fails it where CI=true."""
    found = shutil.which(name) or next((place for place in places if Path(place).exists()), None)
    if found is None:
        message = f"{name} is not installed (tests/setup_debian.sh says how)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def wait_until(holds: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Poll a real process until something holds; AssertionError, naming it, when it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def answers_mqtt(port: int) -> bool:
    """True when an MQTT 3.1.1 broker accepts a connection there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as stream:
            stream.sendall(_CONNECT)
            return stream.recv(4) == _CONNACK
    except OSError:
        return False


class Broker:
    """A broker process that can be killed, frozen and started again on the same port."""

    def __init__(self, name: str, command: list[str], port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As site and centre files want it."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None, "not running"
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers, f"{self.name} answers on port {self.port}; its log is {self._log}")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended: {self._log.read_text()[-2000:]}"
        return answers_mqtt(self.port)

    def kill(self) -> None:
        """kill -9: what it only had in memory is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, or by force when it does not."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it from running without closing its connections."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one run on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def nats_server(folder: Path, port: int | None = None) -> Iterator[Broker]:
    """A real nats-server with JetStream and its MQTT listener; its store lives in ``folder``."""
    program = binary("nats-server", str(Path(sys.executable).with_name("nats-server")))
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: "tests"\nlisten: "127.0.0.1:-1"\njetstream {{ store_dir: "{folder / "nats"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}" }}\n'
    )
    yield from _running(Broker("nats-server", [program, "-c", str(config)], port, folder / "nats.log"))


@contextmanager
def mosquitto(folder: Path, port: int | None = None, extra: str = "") -> Iterator[Broker]:
    """A real Mosquitto without persistence: at kill -9 it forgets everything, acknowledged or not.

    ``extra``: further lines of its configuration (TLS on another port: a second listener).
    """
    program = binary("mosquitto", "/usr/sbin/mosquitto")
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "mosquitto.conf"
    user = "user root\n" if os.getuid() == 0 else ""
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n{user}{extra}")
    yield from _running(Broker("mosquitto", [program, "-c", str(config)], port, folder / "mosquitto.log"))


def _running(broker: Broker) -> Iterator[Broker]:
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


BROKERS = {"nats": nats_server, "mosquitto": mosquitto}
"""Both real brokers by a short name, for parametrised tests."""
