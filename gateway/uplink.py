"""The way out, connection after connection: a broker that is absent, silent or forgetful is the ordinary case.

Holds what outlives a connection (the window, the counts) and tries again with back-off and full jitter, for ever. What
is said on a connection is in ``conversation``.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator

import aiomqtt
import msgspec

from device_profiles.clock import Clock
from device_profiles.tls import TlsTrouble, changed_at, in_words
from gateway.config import UplinkConfig
from gateway.connection import Connection
from gateway.conversation import Conversation, UplinkCounts
from gateway.spool import Spool
from gateway.store import Waiting
from gateway.taps import Taps
from gateway.window import Flight, Window

log = logging.getLogger(__name__)

WINDOW_BYTES = 4 << 20
"""Payload bytes under way: what a pole can spare in memory."""

LONGEST_RETRY = 30.0
"""Seconds between two connection attempts, at most."""


class Renewal(Exception):
    """The certificate files or the site file are others than those that this connection was made with."""


class Uplink:
    """One gateway's way out. ``state``: the bytes to publish as state, given whether the gateway is online."""

    def __init__(
        self,
        config: UplinkConfig,
        gateway: str,
        spool: Spool,
        clock: Clock,
        taps: Taps,
        state: Callable[[bool], bytes],
        commanded: Callable[[bytes], None],
    ) -> None:
        """``commanded`` is told what comes for this gateway's devices."""
        self._config = config
        self._gateway = gateway
        self._spool = spool
        self._clock = clock
        self._taps = taps
        self._state = state
        self._commanded = commanded
        self._window = Window(config.window, min(WINDOW_BYTES, spool.quota // 4), config.resend_seconds)
        self._wake = asyncio.Event()
        self._draining = asyncio.Event()
        self._renewed = asyncio.Event()
        self._deadline = float("inf")
        self.counts = UplinkCounts()
        self._turn = -1
        spool.on_news = self._news

    def _news(self, lent: list[Waiting], again: bool) -> None:
        """After each transaction of the spool; the conversation is woken only for what concerns it."""
        for batch in lent:
            flight = Flight(
                id=batch.id, name=batch.name, lane=batch.lane, at=batch.at, readings=batch.count, payload=batch.payload
            )
            self._window.add(flight)
        if lent or again or self._turn != self._spool.view.turn or self._draining.is_set():
            self._turn = self._spool.view.turn
            self._wake.set()

    def under_way(self) -> int:
        """Batches sent and not receipted."""
        return len(self._window)

    def drain(self) -> None:
        """Send what waits for at most ``drain_seconds``, publish a last state, and let ``run`` return."""
        self._deadline = self._clock.monotonic() + self._config.drain_seconds
        self._draining.set()
        self._wake.set()

    def renew(self, config: UplinkConfig) -> None:
        """Another way out: connect anew, and send again there what is under way. The same one is not touched."""
        if config != self._config:
            self._config = config
            self._renewed.set()

    async def run(self) -> None:
        """Connect, converse, connect again, until drained. While draining, one failed attempt is the last."""
        failures = 0
        while not self._drained():
            last = self._draining.is_set()
            finished = False
            try:
                await self._converse()
                finished = True
            except* Renewal:
                failures = 0
                log.info("uplink: its files or its address have changed: connecting anew")
            except* (aiomqtt.MqttError, OSError, TlsTrouble) as group:
                failures = 1 if self.counts.connected else failures + 1
                self._note_loss(group, failures)
            finally:
                self.counts.connected = False
            if last or finished:
                return
            if failures:
                await self._pause(failures)

    def _drained(self) -> bool:
        """True when there is nothing left to do here. A healthy connection says goodbye even when nothing waits."""
        if not self._draining.is_set():
            return False
        return self._spool.view.batches == 0 or self._clock.monotonic() >= self._deadline

    async def _converse(self) -> None:
        will = msgspec.json.encode({"gateway": self._gateway, "online": False})
        async with Connection(self._config, self._gateway, will) as client:
            log.info("uplink: connected to %s:%d", self._config.host, self._config.port)
            self.counts.connected = True
            self.counts.connects += 1
            self._window.again(self._clock.monotonic())
            conversation = Conversation(
                client=client,
                config=self._config,
                gateway=self._gateway,
                spool=self._spool,
                clock=self._clock,
                taps=self._taps,
                state=self._state,
                window=self._window,
                counts=self.counts,
                wake=self._wake,
                commanded=self._commanded,
            )
            async with asyncio.TaskGroup() as group:
                watching = [group.create_task(self._watch_files()), group.create_task(self._watch_config())]
                await conversation.run(self._drained, lambda: self._deadline)
                for task in watching:
                    task.cancel()

    async def _watch_config(self) -> None:
        """Renewal when the site file says something else."""
        self._renewed.clear()
        await self._renewed.wait()
        raise Renewal

    async def _watch_files(self) -> None:
        """Renewal when a certificate file is replaced; what is under way is sent again on the next connection."""
        if self._config.tls is None:
            return
        before = changed_at(self._config.tls.files)
        while changed_at(self._config.tls.files) == before:  # noqa: ASYNC110 - files have no event to wait for
            await asyncio.sleep(self._config.state_seconds)
        raise Renewal

    def _note_loss(self, group: BaseExceptionGroup[Exception], failures: int) -> None:
        say = log.warning if failures == 1 else log.debug
        words = "; ".join(dict.fromkeys(in_words(error) for error in _leaves(group)))
        say("uplink: %s:%d: %s", self._config.host, self._config.port, words)

    async def _pause(self, failures: int) -> None:
        wait = random.uniform(0, min(LONGEST_RETRY, 0.25 * 2.0 ** min(failures, 16)))
        try:
            async with asyncio.timeout(wait):
                await self._draining.wait()
        except TimeoutError:
            return


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
