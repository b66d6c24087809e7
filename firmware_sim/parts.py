"""The parts of the demo and the order in which they live: broker, ingest, page, simulator, poles; and back.

Refuses ports that are taken, by number, before anything is started.
"""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from threading import Event
from typing import Any

from firmware_sim.broker import find_broker, write_broker_config
from firmware_sim.children import LOOK_EVERY_S, Child, DemoError, await_ready, end_all, kuimen
from firmware_sim.ports import HERE, free_ports, settle_ports
from firmware_sim.sites import Centre, write_sites
from firmware_sim.street import Street

POLE_PATIENCE_S = 25.0
"""A pole drains its spool for at most 10 s (uplink.drain_seconds) and then closes; the rest is for a busy machine."""
PATIENCE_S = 15.0
ASK_TIMEOUT_S = 5.0


def reachable(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(ASK_TIMEOUT_S)
        return probe.connect_ex((HERE, port)) == 0


def _must_be_free(port: int, what: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HERE, port))
        except OSError as trouble:
            raise DemoError(f"port {port}, for {what}, cannot be had: {trouble.strerror}; try --port") from None


class Parts:
    """All processes of one demo in `directory`, which must be fresh."""

    def __init__(self, street: Street, name: str, directory: Path, page_port: int) -> None:
        self.directory = directory
        self.page_port = page_port
        self._name = name
        self._mqtt_port, self._api_port = free_ports(2)
        self.street = settle_ports(street, directory)
        self._logs = directory / "logs"
        self._poles: list[Child] = []
        self._simulator: list[Child] = []
        self._centre: list[Child] = []

    def start(self, stop: Event) -> None:
        """Start everything and wait until each part can be reached; returns early when `stop` is set meanwhile."""
        _must_be_free(self.page_port, "the live page")
        self._logs.mkdir(exist_ok=True)
        centre = Centre(
            mqtt=f"mqtt://{HERE}:{self._mqtt_port}",
            api=f"{HERE}:{self._api_port}",
            dashboards=f"{HERE}:{self.page_port}",
        )
        *sites, centre_file = write_sites(self.street, self.directory, centre)
        for step in (self._start_broker, self._start_centre, self._start_simulator, self._start_poles):
            if not stop.is_set():
                step(sites, centre_file)

    def _start_broker(self, sites: list[Path], centre: Path) -> None:
        config = write_broker_config(self.directory, self._mqtt_port)
        broker = Child("broker", [find_broker(), "-c", str(config)], self._logs)
        self._centre.append(broker)
        await_ready(broker, lambda: reachable(self._mqtt_port), f"listening on port {self._mqtt_port}")

    def _start_centre(self, sites: list[Path], centre: Path) -> None:
        ingest = Child("ingest", kuimen("ingest", "run", str(centre)), self._logs)
        self._centre.insert(0, ingest)
        await_ready(ingest, lambda: reachable(self._api_port), f"listening on port {self._api_port}")
        page = Child("dashboards", kuimen("dashboards", "run", str(centre)), self._logs)
        self._centre.insert(1, page)
        await_ready(page, lambda: reachable(self.page_port), f"listening on port {self.page_port}")

    def _start_simulator(self, sites: list[Path], centre: Path) -> None:
        command = kuimen("sim", "run", self._name, "--dir", str(self.directory))
        simulator = Child("simulator", command, self._logs)
        self._simulator.append(simulator)
        await_ready(simulator, (self.directory / "witness.json").exists, "serving its lines")

    def _start_poles(self, sites: list[Path], centre: Path) -> None:
        for site in sites:
            self._poles.append(Child(site.parent.name, kuimen("pole", "run", str(site)), self._logs))
        for site, pole in zip(sites, self._poles, strict=True):
            await_ready(pole, (site.parent / "agent.sock").exists, "up")

    def check(self) -> None:
        """DemoError when a part has died."""
        for child in (*self._poles, *self._simulator, *self._centre):
            child.check()

    def ledger(self) -> dict[str, Any]:
        """What ingest says of every reading. DemoError when it does not answer."""
        url = f"http://{HERE}:{self._api_port}/api/v1/ledger"
        try:
            with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S) as answer:
                body: dict[str, Any] = json.load(answer)
                return body
        except (urllib.error.URLError, TimeoutError, ValueError) as trouble:
            raise DemoError(f"{url} does not answer: {trouble}") from None

    def settled_ledger(self) -> dict[str, Any]:
        """The ledger once every pole has said goodbye and nothing waits; the last one seen when that never comes."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            body = self.ledger()
            gone = len(body["gateways"]) == len(self.street.poles) and not any(g["online"] for g in body["gateways"])
            if (gone and not body["differences"]) or time.monotonic() > deadline:
                return body
            time.sleep(LOOK_EVERY_S)

    def witness(self) -> dict[str, Any]:
        """The simulator's final count."""
        document: dict[str, Any] = json.loads((self.directory / "witness.json").read_text(encoding="utf-8"))
        return document

    def rows(self) -> int:
        """Readings in the store by its own count; ingest must have ended."""
        import duckdb

        with duckdb.connect(str(self.directory / "centre.duckdb"), read_only=True) as store:
            counted = store.execute("SELECT count(*) FROM readings").fetchone()
        return int(counted[0]) if counted else 0

    def hush_callers(self) -> list[str]:
        """Let the street's callers hear their last acks and hang up. Returns what went wrong."""
        for simulator in self._simulator:
            simulator.signal(signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE_S
        while self._simulator and self.witness()["calling"]:
            if time.monotonic() > deadline:
                return [f"the callers did not hang up within {PATIENCE_S:g} s"]
            time.sleep(LOOK_EVERY_S)
        return []

    def end_poles(self) -> list[str]:
        """SIGTERM to every pole; they drain. Returns what went wrong."""
        return end_all(self._poles, POLE_PATIENCE_S)

    def end_simulator(self) -> list[str]:
        """The simulator writes its final count."""
        return end_all(self._simulator, PATIENCE_S)

    def end_centre(self) -> list[str]:
        """Ingest, page, broker, in this order."""
        return [trouble for child in self._centre for trouble in end_all([child], PATIENCE_S)]

    def end_at_once(self) -> None:
        """Whatever still runs, after a failure."""
        end_all([*self._poles, *self._simulator, *self._centre], ASK_TIMEOUT_S)
