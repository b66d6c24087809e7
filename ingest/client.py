"""Asks a running worker over its own API, or reads its file when none is running. For the command line only."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from device_profiles.clock import Clock
from device_profiles.problems import ConfigError, Problem
from ingest.answers import gaps_answer, ledger_answer
from ingest.config import CentreConfig
from ingest.loading import load_memory
from ingest.queries import GAPS
from ingest.rows import StoreDown
from ingest.store_duckdb import DuckdbStore, StoreMismatch

LOOK_AGAIN_S = 0.2
OVERDUE_S = 5.0
"""How long a person waits beyond the expiry: a pole that is there says "expired" within a second."""

PATIENCE_S = 30.0
"""A stream's heartbeat comes every 10 s: silence for three of them means that the worker is gone."""


def ask(config: CentreConfig, path: str) -> Any:
    """The JSON answer of a running worker; None when nothing listens there."""
    try:
        with _get(config, path) as response:
            body = response.read()
    except ConnectionRefusedError:
        return None
    answer = json.loads(body)
    if response.status != 200:
        raise _problem(config, f"{path}: {answer.get('detail', response.reason)}")
    return answer


def give(config: CentreConfig, wanted: dict[str, object]) -> Any:
    """Give a command to a running worker: its answer. ConfigError with the worker's words when it refuses."""
    try:
        with _ask(config, "POST", "/api/v1/commands", json.dumps(wanted)) as response:
            answer = json.loads(response.read())
    except ConnectionRefusedError:
        raise _problem(config, "nothing listens; is `ingest run` running?") from None
    if response.status != 202:
        raise _problem(config, str(answer.get("detail", response.reason)))
    return answer


def await_result(config: CentreConfig, id_: str) -> Any:
    """The command once something has come of it, or once nothing can be expected any more."""
    while True:
        found = ask(config, f"/api/v1/commands/{id_}")
        if found is None:
            raise _problem(config, "the worker has ended")
        if found["status"] not in ("waiting", "overdue"):
            return found
        if found["status"] == "overdue" and time.time() * 1e6 > found["expires"] + OVERDUE_S * 1e6:
            return found
        time.sleep(LOOK_AGAIN_S)


def follow(config: CentreConfig) -> Iterator[tuple[str, Any]]:
    """(event, data) of the changes as they come, until the worker ends. ConfigError when nothing listens."""
    try:
        with _get(config, "/api/v1/changes") as response:
            name = ""
            for line in response:
                field, _, value = line.decode().rstrip("\r\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)
    except ConnectionRefusedError:
        raise _problem(config, "nothing listens; is `ingest run` running?") from None


def read_ledger(config: CentreConfig, clock: Clock) -> dict[str, Any]:
    """The ledger out of the file itself, opened read-only. ConfigError when there is none, or it is in use."""
    store = _open(config)
    try:
        memory, gateways = load_memory(store)
    finally:
        store.close()
    answer: dict[str, Any] = msgspec.to_builtins(ledger_answer(clock.now(), memory, gateways))
    return answer


def read_gaps(config: CentreConfig, limit: int) -> dict[str, Any]:
    """The gaps out of the file itself, as above."""
    store = _open(config)
    try:
        return gaps_answer(store.query(GAPS, (limit,)))
    finally:
        store.close()


def _get(config: CentreConfig, path: str) -> http.client.HTTPResponse:
    return _ask(config, "GET", path)


def _ask(config: CentreConfig, method: str, path: str, body: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(config.api.url).hostname or "", config.api.port, PATIENCE_S)
    headers = {"Connection": "close"} | ({} if body is None else {"Content-Type": "application/json"})
    connection.request(method, path, body, headers)
    return connection.getresponse()


def _open(config: CentreConfig) -> DuckdbStore:
    store = DuckdbStore(config.store.path, config.store.memory_mb, read_only=True)
    if not config.store.path.exists():
        raise _problem(config, f"nothing listens, and there is no {config.store.path}")
    try:
        store.open()
    except (StoreDown, StoreMismatch) as trouble:
        raise _problem(config, f"nothing listens, and {config.store.path} cannot be read: {trouble}") from None
    return store


def _problem(config: CentreConfig, text: str) -> ConfigError:
    return ConfigError([Problem(config.api.url, 0, "", text)])
