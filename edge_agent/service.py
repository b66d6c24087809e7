"""The running agent: polls until told to stop, then hands over what is left; a new site file changes it under way.

On stop the polls end after the exchange in flight, late replies are waited for (at most their late window) so
that they are counted, the last batches go to the gateway, and only when all of them are on its disk is
goodbye said. A new configuration touches the links that it changes, and no other.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

from device_profiles.clock import EPOCH_RANDOM_BITS, Clock, make_epoch
from device_profiles.manifests import encode_manifests
from edge_agent.assembly import Agent, aliases_of, assemble, build_manifest, build_poller, owners_of
from edge_agent.commands import Commands
from edge_agent.config import AgentConfig, load_config
from edge_agent.handover import Handover
from edge_agent.links import Link, LinkTarget, make_link
from edge_agent.poller import LinkPoller

__all__ = ["load_config", "run"]

_log = logging.getLogger("kuimen.agent")

#: Seconds to hand over the rest at the end: a healthy gateway needs milliseconds, a full disk would need for
#: ever.
FINISH_SECONDS = 5.0

Renewals = asyncio.Queue[AgentConfig]
"""New configurations for a running agent."""


async def run(
    config: AgentConfig,
    clock: Clock,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    open_link: Callable[[LinkTarget], Link] = make_link,
    renewals: Renewals | None = None,
) -> Agent:
    """Run the agent until `stop`; `ready` is set once its tasks run. Returns the agent as it ended, for
    its ledger."""
    agent = assemble(config, clock, make_epoch(clock.now(), secrets.randbits(EPOCH_RANDOM_BITS)), open_link)
    manifest = encode_manifests(config.origin, [agent.manifest])
    handover = Handover(agent.outbox, config.gateway, manifest, clock, config.linger, Commands(agent, clock))
    async with asyncio.TaskGroup() as group:
        handing = group.create_task(handover.run())
        telling = group.create_task(agent.own.run())
        running = _Running(agent, handover, clock, open_link, group)
        renewing = group.create_task(running.renew_from(renewals)) if renewals is not None else None
        if ready is not None:
            ready.set()
        await stop.wait()
        if renewing is not None:
            renewing.cancel()
        await running.stop(agent.pollers)
        telling.cancel()
        if not await handover.finish(FINISH_SECONDS):
            _log.error("%d readings could not be handed over; the gateway will tell the gap", left_behind(agent))
        handing.cancel()
    return agent


class _Running:
    """The pollers at work, each in its task."""

    def __init__(
        self,
        agent: Agent,
        handover: Handover,
        clock: Clock,
        open_link: Callable[[LinkTarget], Link],
        group: asyncio.TaskGroup,
    ) -> None:
        self._agent = agent
        self._handover = handover
        self._clock = clock
        self._open_link = open_link
        self._group = group
        self._tasks: dict[str, asyncio.Task[None]] = {}
        for poller in agent.pollers:
            self._start(poller)

    def _start(self, poller: LinkPoller) -> None:
        self._tasks[poller.name] = self._group.create_task(poller.run())

    async def stop(self, pollers: list[LinkPoller]) -> None:
        """End these after the exchange in flight, and wait for late replies."""
        for poller in pollers:
            poller.stop()
        if tasks := [self._tasks.pop(poller.name) for poller in pollers]:
            await asyncio.wait(tasks)

    async def renew_from(self, renewals: Renewals) -> None:
        """Take over each new configuration as it comes."""
        while True:
            await self._renew(await renewals.get())

    async def _renew(self, config: AgentConfig) -> None:
        agent, before = self._agent, self._agent.config
        kept = {link.name for link in config.links if _wired(config, link.name) == _wired(before, link.name)}
        gone = [poller for poller in agent.pollers if poller.name not in kept]
        await self.stop(gone)
        manifest = build_manifest(config, agent.manifest)
        if manifest.id != agent.manifest.id:
            agent.outbox.renew(manifest.id, owners_of(manifest))
            self._handover.announce(encode_manifests(config.origin, [manifest]))
        agent.config, agent.manifest = config, manifest
        aliases = aliases_of(config, manifest)
        agent.own.renew(config, aliases)
        staying = {poller.name: poller for poller in agent.pollers if poller.name in kept}
        agent.pollers = []
        for link in config.links:
            poller = staying.get(link.name)
            if poller is None:
                poller = build_poller(config, link, aliases, self._clock, agent.outbox, self._open_link, agent.own)
                self._start(poller)
            agent.pollers.append(poller)
        fresh = len(agent.pollers) - len(staying)
        _log.info("the new site file is in force: %d links untouched, %d new or changed", len(staying), fresh)


def _wired(config: AgentConfig, name: str) -> tuple[object, ...]:
    """Everything that a link's poller is made from."""
    links = [link for link in config.links if link.name == name]
    return (*links, *(device for device in config.devices if device.link == name))


def left_behind(agent: Agent) -> int:
    """Readings that are in this process's memory only."""
    return agent.ledger.pending + sum(sealed.count for sealed in agent.outbox.window)
