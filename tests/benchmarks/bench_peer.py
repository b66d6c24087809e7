"""The same units polled by a peer in the same run: thingsboard-gateway, from an environment of its own.

Runs only with PEERS=1, into a local Mosquitto, without rate limits, statistics or disk, in two ways: as its
documentation shows it, with one tag a register, and at its best, with one wide read a unit. Refuses to believe its own
counters: a reading counts when the broker has delivered it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import bench_agent
from tests.benchmarks.bench_agent import REGISTERS, UNITS, Load
from tests.benchmarks.processes import ROOT, Child, Row, child, cores, free_port, listening, row, say

VENV = ROOT / ".venv-peers"
PINS = Path(__file__).with_name("peers.txt")
WARM_UP_S = 10.0
ASKED = (10_000, 20_000, 40_000)
PAYLOAD = 65_000
CPU_RATIO, CEILING_RATIO = 0.1, 5.0
NO_LIMIT = "0:0,"
"""How tb-mqtt-client writes a rate limit that is none."""
LIMITS = (
    *("messagesRateLimits", "rateLimits", "dpRateLimits"),
    *("deviceMessagesRateLimits", "deviceRateLimits", "deviceDpRateLimits"),
)


def environment() -> Path:
    """The peer's Python; makes the environment on demand, with every version pinned."""
    python = VENV / "bin" / "python"
    ready = VENV / ".ready"
    if not ready.exists():
        say("peer: installing thingsboard-gateway into .venv-peers (a minute, once)")
        free = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", PINS]
        subprocess.run(pip, check=True, stdout=sys.stderr, env=free)
        ready.touch()
    return python


class Platform:
    """ThingsBoard's side of the wire: answers the one question a gateway waits for, and counts what is delivered."""

    def __init__(self, port: int) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.readings = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("v1/gateway/telemetry", 0), ("v1/devices/me/rpc/request/+", 0)])
        self._client.loop_start()

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, _client: Any, _data: Any, message: Any) -> None:
        import msgspec

        if message.topic == "v1/gateway/telemetry":
            for entries in msgspec.json.decode(message.payload).values():
                self.readings += sum(len(entry["values"]) for entry in entries)
            return
        # getSessionLimits: until it is answered the gateway sends nothing.
        none = {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""}
        limits = {"maxPayloadSize": PAYLOAD, "maxInflightMessages": 0, "rateLimits": none, "gatewayRateLimits": {}}
        self._client.publish(message.topic.replace("request", "response"), json.dumps(limits))


def write_config(folder: Path, broker: int, ports: list[int], period: float, wide: bool) -> Path:
    """The gateway's configuration folder; `wide`: all registers in one read, else one tag a register."""
    config = folder / "config"
    config.mkdir()
    (folder / "logs").mkdir()
    broker_side: dict[str, Any] = {"host": "127.0.0.1", "port": broker, "qos": 1, "remoteConfiguration": False}
    broker_side |= {"security": {"type": "accessToken", "accessToken": "bench"}, "statistics": {"enable": False}}
    broker_side |= {"maxPayloadSizeBytes": PAYLOAD, "minPackSendDelayMS": 50, "minPackSizeToSend": 500}
    broker_side |= {"syncDevicesSharedAttributesOnConnect": False, "handleDeviceRenaming": False}
    broker_side |= {"reportStrategy": {"type": "ON_RECEIVED"}, **dict.fromkeys(LIMITS, NO_LIMIT)}
    connector = {"name": "units", "type": "modbus", "configuration": "modbus.json"}
    storage = {"type": "memory", "read_records_count": 1000, "max_records_count": 1_000_000}
    general = {"thingsboard": broker_side, "storage": storage, "connectors": [connector]}
    slaves = [_slave(at, port, period, wide) for at, port in enumerate(ports)]
    (config / "tb_gateway.json").write_text(json.dumps(general))
    (config / "modbus.json").write_text(json.dumps({"master": {"slaves": slaves}, "logLevel": "WARNING"}))
    return config


def _slave(at: int, port: int, period: float, wide: bool) -> dict[str, Any]:
    tag: dict[str, Any] = {"type": "16uint", "functionCode": 3, "objectsCount": 1}
    tags = [{**tag, "tag": f"r{register}", "address": register} for register in range(REGISTERS)]
    if wide:
        tags = [{**tag, "tag": "r${address}", "address": f"0-{REGISTERS - 1}", "maxRegistersPerRequest": REGISTERS}]
    place = {"host": "127.0.0.1", "port": port, "type": "tcp", "method": "socket", "unitId": 1}
    manners = {"timeout": 5, "retries": 1, "byteOrder": "BIG", "wordOrder": "BIG", "pollPeriod": round(period * 1000)}
    nothing: dict[str, Any] = {"attributes": [], "attributeUpdates": [], "rpc": []}
    return {**place, **manners, **nothing, "deviceName": f"unit-{at}", "timeseries": tags}


@contextlib.contextmanager
def mosquitto(folder: Path, core: int) -> Iterator[int]:
    """Debian's Mosquitto on loopback; its port."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise RuntimeError("mosquitto is not installed: apt install mosquitto")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n")
    with child("mosquitto", [program, "-c", config], folder, core) as broker:
        broker.wait_for(lambda: listening(port), "its port")
        yield port


@contextlib.contextmanager
def gateway(folder: Path, broker: int, ports: list[int], period: float, wide: bool) -> Iterator[Child]:
    """The peer on the core that the pole has in its turn."""
    python = environment()
    env = {"TB_GW_CONFIG_DIR": str(write_config(folder, broker, ports, period, wide))}
    command: list[str | Path] = [python, "-m", "thingsboard_gateway.tb_gateway"]
    with child("peer", command, folder, cores()[0], env, cwd=folder) as peer:
        yield peer


def measure(asked: int, seconds: float, wide: bool) -> Load:
    """Poll the units for `asked` readings a second; what the broker delivered of them."""
    from tests.benchmarks.units import units

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kuimen-peer-")))
        served = stack.enter_context(units(UNITS, folder, cores()[1]))
        port = stack.enter_context(mosquitto(folder, cores()[1]))
        platform = stack.enter_context(contextlib.closing(Platform(port)))
        peer = stack.enter_context(gateway(folder, port, served.ports, UNITS * REGISTERS / asked, wide))
        with contextlib.suppress(TimeoutError):  # overwhelmed it delivers nothing, and that is its figure
            peer.wait_for(lambda: platform.readings > 0, "telemetry", WARM_UP_S)
        time.sleep(WARM_UP_S)
        before = platform.readings, served.reads, peer.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        after = platform.readings, served.reads, peer.cpu_seconds(), time.monotonic()
        rss = peer.rss_mb()
    stored, reads, cpu, elapsed = (b - a for a, b in zip(before, after, strict=True))
    polled = reads * (REGISTERS if wide else 1)
    return Load(stored / elapsed, polled / elapsed, cpu / max(stored, 1) * 1000, cpu / elapsed, rss)


@dataclass(frozen=True)
class Peer:
    """Once a second, and the best it delivered."""

    steady: Load
    ceiling: float


@functools.cache
def peer(quick: bool, wide: bool) -> Peer:
    """One way to configure it, measured."""
    name = "one wide read" if wide else "a tag a register"
    seconds = 10.0 if quick else 30.0
    steady = measure(UNITS * REGISTERS, seconds, wide)
    say(f"peer, {name}: {steady.stored:,.0f} delivered/s, {steady.cpu:.4f} CPU s per 1,000, {steady.rss_mb:.0f} MB")
    best = steady.stored
    for asked in ASKED:
        load = measure(asked, 10.0 if quick else 15.0, wide)
        say(f"peer, {name}: asked {asked:,}/s, delivered {load.stored:,.0f}, {load.core:.2f} of a core")
        best = max(best, load.stored)
        if load.stored < asked / 2:
            break
    return Peer(steady, best)


def _beside(name: str, theirs: Peer, ours: Load, most: Load, judged: bool) -> list[Row]:
    cpu, times = ours.cpu / theirs.steady.cpu, most.stored / theirs.ceiling
    return [
        row(f"{name}: CPU per 1,000 readings delivered", theirs.steady.cpu, "s"),
        row(f"{name}: resident memory", theirs.steady.rss_mb, "MB"),
        row(f"{name}: most readings delivered per second", theirs.ceiling, "readings/s"),
        row(f"pole / {name}: CPU", cpu, "x", f"<= {CPU_RATIO:g}", cpu <= CPU_RATIO if judged else None),
        row(f"pole / {name}: ceiling", times, "x", f">= {CEILING_RATIO:g}", times >= CEILING_RATIO if judged else None),
    ]


def run(quick: bool = False) -> list[Row]:
    """The pole's figures divided by the peer's; nothing unless PEERS=1."""
    if os.environ.get("PEERS") != "1":
        say("peer: left out; PEERS=1 measures thingsboard-gateway too")
        return []
    ours, most = bench_agent.steady(quick), bench_agent.ceiling(quick)
    return [
        *_beside("thingsboard-gateway", peer(quick, False), ours, most, True),
        *_beside("thingsboard-gateway, one wide read", peer(quick, True), ours, most, True),
    ]
