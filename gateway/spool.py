"""The durable spool as the rest of the gateway sees it: awaitable, and it says yes only when the disk has it.

Refuses a file that another gateway holds, or that is no spool (SpoolError). A disk that fails is no error here: what
could not be written comes back refused, with a reason, and the next try stands on its own.
"""

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from device_profiles.clock import Clock, make_epoch
from device_profiles.quality import Reason
from device_profiles.receipts import Outcome
from gateway.books import Arrival
from gateway.clock import boot_id
from gateway.config import SpoolConfig
from gateway.schema import lock_spool, make_folder, open_database
from gateway.store import Store, Waiting, Wish
from gateway.views import Depth, View
from gateway.writer import WriteFailed, Writer

log = logging.getLogger(__name__)

T = TypeVar("T")

QUARANTINING = 64
"""Strangers' messages on their way to the disk: those who knock must not fill the memory."""


class Spool:
    """One open spool. ``view`` is its state after the last transaction; ``on_news`` follows each."""

    def __init__(self, config: SpoolConfig, gateway: str, clock: Clock) -> None:
        """Open it; must run inside an event loop."""
        make_folder(config.path.parent)
        self._lock = lock_spool(config.path)
        try:
            open_database(config.path).close()
        except sqlite3.DatabaseError as trouble:  # a full disk does not keep a gateway from starting
            log.error("spool: %s: %s", config.path, trouble)
        except BaseException:
            self._lock.close()
            raise
        self.quota = config.quota
        self.on_news: Callable[[list[Waiting], bool], None] = lambda lent, again: None
        """Called in the event loop after each transaction: (the batches that ``want`` asked for, ask again)."""
        self._quarantining = 0
        self.epoch = make_epoch(clock.now(), secrets.randbits(20))
        store = Store(
            config.path, gateway, self.epoch, config.quota, clock,
            thin=config.thin, boot=boot_id(), hold=config.hold_seconds,
        )  # fmt: skip
        self._writer = Writer(store, self._news)
        self.view: View = self._writer.view

    def _news(self, view: View, lent: list[Waiting], again: bool) -> None:
        self.view = view
        self.on_news(lent, again)

    async def load(self) -> None:
        """Read the books, so that ``view`` is true before the first hand-over; a failing disk leaves it empty."""
        try:
            await self._writer.submit(lambda store: None, writes=True)
        except WriteFailed as trouble:
            log.error("spool: %s", trouble)

    async def watch(self) -> None:
        """Wait until the spool is closed; raises the bug that ended it otherwise."""
        await asyncio.shield(self._writer.ended)

    async def close(self) -> None:
        """Write what is queued, close the file, let go of the lock."""
        await self._writer.close()
        self._lock.close()

    async def hello(self, origin: str, epoch: int, at: int) -> None:
        """Note an originator's start (``at``: µs). WriteFailed when the disk does not have it."""
        await self._writer.submit(lambda store: store.hello(origin, epoch, at), writes=True)

    async def bye(self, origin: str, epoch: int, ledger: bytes) -> None:
        """Note an originator's clean end. WriteFailed when the disk does not have it."""
        await self._writer.submit(lambda store: store.bye(origin, epoch, ledger), writes=True)

    async def keep_manifest(self, origin: str, manifest: int, payload: bytes) -> None:
        """Keep a manifest. WriteFailed when the disk does not have it."""
        await self._writer.submit(lambda store: store.keep_manifest(origin, manifest, payload), writes=True)

    async def seen(self, caller: str) -> list[bytes]:
        """The numbers of a caller's last messages, oldest first. WriteFailed while the disk cannot be read."""
        return await self._writer.submit(lambda store: store.seen(caller), writes=False)

    def quarantine(self, listener: str, caller: str, peer: str, reason: Reason, data: bytes) -> None:
        """Keep a stranger's message for a person to look at; a flood, or a disk that fails, loses it and says so."""
        if self._quarantining >= QUARANTINING:
            log.warning("spool: strangers knock faster than the disk writes: a message was not kept")
            return
        self._quarantining += 1
        written = self._writer.submit(lambda store: store.quarantine(listener, caller, peer, reason, data), writes=True)
        written.add_done_callback(self._kept)

    def _kept(self, written: "asyncio.Future[None]") -> None:
        self._quarantining -= 1
        if not written.cancelled() and written.exception() is not None:
            log.warning("spool: a stranger's message was not kept: %s", written.exception())

    def change(self, call: Callable[[Store], T]) -> "asyncio.Future[T]":
        """A change that a module of its own knows (``command_rows``). WriteFailed when the disk does not have it."""
        return self._writer.submit(call, writes=True)

    def ask(self, call: Callable[[Store], T]) -> "asyncio.Future[T]":
        """A question of such a module; WriteFailed while the disk cannot be read."""
        return self._writer.submit(call, writes=False)

    def append(self, arrival: Arrival) -> "asyncio.Future[tuple[Reason, bool]]":
        """Resolves after the commit: (NONE, new) when the batch is on disk, else (why not, False). Or WriteFailed."""
        return self._writer.submit(lambda store: store.append(arrival), writes=True)

    async def expire(self, before: int) -> int:
        """Give up batches from before ``before`` (µs): how many. WriteFailed when the disk does not have it."""
        return await self._writer.submit(lambda store: store.expire(before), writes=True)

    def settle(self, fates: dict[int, tuple[Outcome, Reason]]) -> None:
        """Final receipts: the spool deletes and counts these batches, however long the disk makes it wait."""
        self._writer.settle(fates)

    def want(self, wish: Wish, now: bool) -> None:
        """Ask for batches to send (``Store.lend``): they come with ``on_news``, at once or after a commit."""
        self._writer.want(wish, now)

    async def manifests(self) -> list[bytes]:
        """The manifests to publish; see ``Store.manifests``. WriteFailed while the disk cannot be read."""
        return await self._writer.submit(lambda store: store.manifests(), writes=False)

    async def depth(self) -> Depth:
        """What waits, by lane. WriteFailed while the disk cannot be read."""
        return await self._writer.submit(lambda store: store.depth(), writes=False)
