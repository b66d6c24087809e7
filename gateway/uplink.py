"""The way out, connection after connection: a centre that is absent, silent or forgetful is the ordinary case.

Holds what outlives a connection (the window, the counts), tries again with back-off and full jitter, for ever, and
chooses between the first way and its fallback. What is said is in ``conversation`` and ``coap_conversation``.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator

import aiomqtt
import msgspec

from device_profiles.clock import Clock
from device_profiles.tls import TlsTrouble, changed_at, in_words
from gateway.carriage import Dispatch
from gateway.coap_client import CoapClient, NoAnswer
from gateway.coap_conversation import CoapConversation, Refused
from gateway.config import UplinkConfig
from gateway.connection import Connection
from gateway.conversation import Conversation
from gateway.route import Route, UplinkCounts
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
        self._spool = spool
        self._clock = clock
        self._window = Window(config.window, min(WINDOW_BYTES, spool.quota // 4), config.resend_seconds)
        self._dispatch = Dispatch(
            gateway=gateway, spool=spool, clock=clock, taps=taps, window=self._window, state=state, commanded=commanded
        )
        self._draining = asyncio.Event()
        self._renewed = asyncio.Event()
        self._deadline = float("inf")
        self.counts = UplinkCounts()
        self._routes = self._make_routes()
        self._turn = -1
        spool.on_news = self._news

    def _make_routes(self) -> list[Route]:
        """The first way, and its fallback when there is one."""
        now = self._clock.monotonic()
        routes = [Route(self._config, self.counts, now, active=True)]
        if self._config.fallback is not None:
            routes.append(Route(self._config.fallback, UplinkCounts(), now, active=False))
        return routes

    def _news(self, lent: list[Waiting], again: bool) -> None:
        """After each transaction of the spool; the conversation is woken only for what concerns it."""
        for batch in lent:
            flight = Flight(
                id=batch.id, name=batch.name, lane=batch.lane, at=batch.at, readings=batch.count, payload=batch.payload
            )
            self._window.add(flight)
        if lent or again or self._turn != self._spool.view.turn or self._draining.is_set():
            self._turn = self._spool.view.turn
            self._wake()

    def _wake(self) -> None:
        for route in self._routes:
            route.wake.set()

    def health(self) -> dict[str, object]:
        """The first way's counts, which way carries, and the fallback's counts."""
        first, *others = self._routes
        carries = next(route for route in self._routes if route.active)
        found = first.health() | {"under_way": len(self._window)}
        found |= {"in_use": "primary" if first.active else "fallback", "url": carries.config.url}
        for other in others:
            found["fallback"] = other.health()
        return found

    def drain(self) -> None:
        """Send what waits for at most ``drain_seconds``, publish a last state, and let ``run`` return."""
        self._deadline = self._clock.monotonic() + self._config.drain_seconds
        self._draining.set()
        self._wake()

    def renew(self, config: UplinkConfig) -> None:
        """Another way out: connect anew, and send again there what is under way. The same one is not touched."""
        if config != self._config:
            self._config = config
            self._renewed.set()

    async def run(self) -> None:
        """Connect, converse, connect again, until drained."""
        finished = False
        while not finished:
            self._renewed.clear()
            try:
                await self._run_routes()
                finished = True
            except* Renewal:
                log.info("uplink: the site file says something else: connecting anew")
                self._routes = self._make_routes()

    async def _run_routes(self) -> None:
        """Until drained; Renewal when the site file changes."""
        async with asyncio.TaskGroup() as watching:
            beside = [watching.create_task(self._watch_config())]
            beside += [watching.create_task(route.modem.run()) for route in self._routes if route.modem is not None]
            async with asyncio.TaskGroup() as travelling:
                travelling.create_task(self._travel(self._routes[0]))
                if len(self._routes) > 1:
                    beside.append(watching.create_task(self._choose(travelling, *self._routes)))
            for task in beside:
                task.cancel()

    # -- the choice --------------------------------------------------------------------------------------------------

    async def _choose(self, travelling: asyncio.TaskGroup, first: Route, fallback: Route) -> None:
        """The fallback carries when the first way has been in doubt for too long, until a receipt comes there."""
        task: asyncio.Task[None] | None = None
        while not self._draining.is_set():
            first.changed.clear()
            until: float | None = None
            if first.active and first.doubted_since is not None:
                until = first.doubted_since + first.config.after_seconds
                if until <= self._clock.monotonic():
                    log.warning("uplink: %s carries instead of %s", fallback.config.url, first.config.url)
                    self._hand_over(first, fallback)
                    task = travelling.create_task(self._travel(fallback))
                    until = None
            elif not first.active and first.proved and task is not None:
                log.warning("uplink: %s is back and carries again", first.config.url)
                self._hand_over(fallback, first)
                task.cancel()
            await _within(first.changed, None if until is None else until - self._clock.monotonic())

    def _hand_over(self, before: Route, after: Route) -> None:
        """What is under way is sent again on the other way; whatever arrives twice is known there."""
        before.active, after.active = False, True
        before.distrust()
        self._window.again(self._clock.monotonic())
        self._wake()

    # -- one way -----------------------------------------------------------------------------------------------------

    async def _travel(self, route: Route) -> None:
        """Connect, converse, connect again, until drained. While draining, one failed attempt is the last."""
        failures = 0
        while not self._drained():
            last = self._draining.is_set()
            finished = False
            try:
                await self._converse(route)
                finished = True
            except* Renewal:
                failures = 0
                log.info("uplink: the certificate files have changed: connecting anew")
            except* (aiomqtt.MqttError, OSError, TlsTrouble, NoAnswer, Refused) as group:
                failures = 1 if route.counts.connected else failures + 1
                _note_loss(route.config, group, failures)
            finally:
                route.closed(self._clock.monotonic())
            if last or finished:
                return
            if failures:
                wait = random.uniform(0, min(LONGEST_RETRY, 0.25 * 2.0 ** min(failures, 16)))
                await _within(self._draining, wait)

    def _drained(self) -> bool:
        """True when there is nothing left to do here. A healthy connection says goodbye even when nothing waits."""
        if not self._draining.is_set():
            return False
        return self._spool.view.batches == 0 or self._clock.monotonic() >= self._deadline

    async def _converse(self, route: Route) -> None:
        if route.config.coap is not None:
            async with CoapClient(route.config, route.modem) as client:
                self._opened(route)
                await CoapConversation(client, self._dispatch, route).run(self._drained, lambda: self._deadline)
            return
        will = msgspec.json.encode({"gateway": self._dispatch.gateway, "online": False})
        async with Connection(route.config, self._dispatch.gateway, will) as broker:
            self._opened(route)
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch_files(route.config))
                await Conversation(broker, self._dispatch, route).run(self._drained, lambda: self._deadline)
                watching.cancel()

    def _opened(self, route: Route) -> None:
        log.info("uplink: connected to %s:%d", route.config.host, route.config.port)
        route.opened()
        if route.active:
            self._window.again(self._clock.monotonic())

    async def _watch_config(self) -> None:
        """Renewal when the site file says something else."""
        await self._renewed.wait()
        raise Renewal

    async def _watch_files(self, config: UplinkConfig) -> None:
        """Renewal when a certificate file is replaced; what is under way is sent again on the next connection."""
        if config.tls is None:
            return
        before = changed_at(config.tls.files)
        while changed_at(config.tls.files) == before:  # noqa: ASYNC110 - files have no event to wait for
            await asyncio.sleep(config.state_seconds)
        raise Renewal


async def _within(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, but not for longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _note_loss(config: UplinkConfig, group: BaseExceptionGroup[Exception], failures: int) -> None:
    say = log.warning if failures == 1 else log.debug
    words = "; ".join(dict.fromkeys(in_words(error) for error in _leaves(group)))
    say("uplink: %s:%d: %s", config.host, config.port, words)


def _leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
