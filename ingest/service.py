"""One ingest worker, from its file to its end: store, intake, worker and API in one loop.

SIGTERM (``stop``): the intake stops taking, what is queued is committed and receipted, streams end, the store
closes last.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from device_profiles.clock import Clock
from device_profiles.problems import ConfigError, Problem
from device_profiles.topics import Topics
from ingest.api import Window, make_app
from ingest.changes import Changes
from ingest.coap_intake import CoapIntake, bind
from ingest.commands import Commands
from ingest.config import ApiConfig, CentreConfig, IntakeConfig, load_config
from ingest.gateways import Gateways
from ingest.inbox import Inbox
from ingest.intake import Intake
from ingest.loading import load_memory, open_commands
from ingest.memory import Memory
from ingest.queries import Queries
from ingest.rows import StoreDown
from ingest.sorting import Sorter
from ingest.store_duckdb import DuckdbStore, StoreMismatch
from ingest.worker import Worker

__all__ = ["load_config", "run"]

log = logging.getLogger(__name__)

LEDGER_S = 1.0
MAX_CONNECTIONS = 1000
"""Streams included: a dashboards process and some dozens of tools; file descriptors end at 1024 by default."""

DRAIN_S = 10.0
"""Receipts, open answers and streams get this long at the end; what is not receipted comes again."""


class _Server(uvicorn.Server):
    """uvicorn inside our loop: signals belong to the program, and ``ready`` is told when it listens."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event | None) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the program's signal handlers alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and say so."""
        await super().startup(sockets)
        if self._ready is not None:
            self._ready.set()


async def run(config: CentreConfig, clock: Clock, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
    """Work until ``stop``. ``ready`` is set when the store is open and the API listens; the broker may still be away.

    ConfigError when the store cannot be opened or the port is taken.
    """
    store = DuckdbStore(config.store.path, config.store.memory_mb, config.store.threads)
    with (
        contextlib.closing(_listen(config.api)) as listening,
        _listen_coap(config.intake) as calling,
        ThreadPoolExecutor(1, "ingest-store") as owner,
        ThreadPoolExecutor(1, "ingest-reader") as reader,
    ):
        in_owner = asyncio.get_running_loop().run_in_executor
        try:
            memory, gateways = await in_owner(owner, _open, store)
            log.info("answers on %s, stores into %s, %d batches so far", config.api.url, store.path, memory.next_batch)
            service = _Service(config, clock, stop, store, memory, gateways, owner, Queries(store, reader))
            await service.run(listening, calling, ready)
            log.info("stopped, %d batches are stored", memory.next_batch)
        finally:
            await in_owner(owner, store.close)


class _Service:
    """The parts of a worker and the order in which they end."""

    def __init__(
        self,
        config: CentreConfig,
        clock: Clock,
        stop: asyncio.Event,
        store: DuckdbStore,
        memory: Memory,
        gateways: Gateways,
        owner: ThreadPoolExecutor,
        queries: Queries,
    ) -> None:
        self._stop = stop
        self._drained = asyncio.Event()
        self._inbox = Inbox(clock)
        self._changes = Changes()
        self._intake = Intake(config.intake, self._inbox)
        topics = Topics(config.intake.root)
        self._calls = config.intake.coap is not None
        self._coap = CoapIntake(topics, config.intake.shards, self._inbox, clock)
        sorter = Sorter(topics, config.intake.shards)
        self._worker = Worker(
            store, memory, gateways, sorter, self._changes, self._intake.receipt, clock, owner, stop
        )
        self._commands = Commands(memory, self._worker.add_command, self._intake.command, clock)
        self._commands.load(open_commands(store, clock.now()))
        self._worker.on_results = self._commands.settled
        self._window = Window(memory, gateways, self._changes, queries, clock, self._health, self._commands)

    async def run(
        self, listening: socket.socket, calling: socket.socket | None, ready: asyncio.Event | None
    ) -> None:
        """Until ``stop``, and then until everything has ended in order."""
        server = _Server(_uvicorn_config(self._window), ready)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work())
            group.create_task(self._intake.run(self._drained))
            if calling is not None:
                group.create_task(self._coap.run(calling, self._drained))
            group.create_task(self._tell_ledger())
            group.create_task(self._commands.run(self._drained))
            group.create_task(server.serve(sockets=[listening]))
            await self._stop.wait()
            self._inbox.close()
            await self._drained.wait()
            self._changes.ledger(self._window.ledger())
            self._changes.close()
            server.should_exit = True

    async def _work(self) -> None:
        await self._worker.run(self._inbox)
        self._drained.set()

    async def _tell_ledger(self) -> None:
        while not self._drained.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEDGER_S):
                    await self._drained.wait()
            if len(self._changes):
                self._changes.ledger(self._window.ledger())

    def _health(self) -> dict[str, Any]:
        return {
            "broker": "connected" if self._intake.connected.is_set() else "away",
            "store": self._worker.store_down or "up",
            "queued": len(self._inbox) + self._worker.in_hand,
            "turned_away": self._inbox.refused,
            "receipts_unsent": self._intake.unsent,
            "coap": self._coap.health() if self._calls else None,
        }


def _open(store: DuckdbStore) -> tuple[Memory, Gateways]:
    try:
        store.open()
        return load_memory(store)
    except (StoreDown, StoreMismatch) as trouble:
        raise ConfigError([Problem(str(store.path), 0, "store.path", f"cannot be opened: {trouble}")]) from None


def _listen(config: ApiConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((config.host, config.port))
    except OSError as trouble:
        listening.close()
        problem = Problem(config.url, 0, "api.listen", f"cannot listen: {trouble.strerror}")
        raise ConfigError([problem]) from None
    return listening


@contextlib.contextmanager
def _listen_coap(config: IntakeConfig) -> Iterator[socket.socket | None]:
    """The bound socket on which gateways call; None when they may not."""
    if config.coap is None:
        yield None
        return
    host, port = config.coap
    try:
        calling = bind(host, port)
    except OSError as trouble:
        problem = Problem(f"coap://{host}:{port}", 0, "intake.coap.listen", f"cannot listen: {trouble.strerror}")
        raise ConfigError([problem]) from None
    log.info("gateways may call on coap://%s:%d", host, port)
    with contextlib.closing(calling):
        yield calling


def _uvicorn_config(window: Window) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(window),
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=int(DRAIN_S),
    )
