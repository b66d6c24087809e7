"""The running agent: polls until told to stop, then hands over what is left.

On stop the polls end after the exchange in flight, late replies are waited for (at most their late window) so
that they are counted, the last batches go to the gateway, and only when all of them are on its disk is
goodbye said.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

from device_profiles.clock import EPOCH_RANDOM_BITS, Clock, make_epoch
from device_profiles.manifests import encode_manifests
from edge_agent.assembly import Agent, assemble
from edge_agent.config import AgentConfig, load_config
from edge_agent.handover import Handover
from edge_agent.links import Link, LinkTarget, make_link

__all__ = ["load_config", "run"]

_log = logging.getLogger("kuimen.agent")

#: Seconds to hand over the rest at the end: a healthy gateway needs milliseconds, a full disk would need for
#: ever.
FINISH_SECONDS = 5.0


async def run(
    config: AgentConfig,
    clock: Clock,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    open_link: Callable[[LinkTarget], Link] = make_link,
) -> Agent:
    """Run the agent until `stop`; `ready` is set once its tasks run. Returns the agent as it ended, for
    its ledger."""
    agent = assemble(config, clock, make_epoch(clock.now(), secrets.randbits(EPOCH_RANDOM_BITS)), open_link)
    manifest = encode_manifests(config.origin, [agent.manifest])
    handover = Handover(agent.outbox, config.gateway, manifest, clock, config.linger)
    async with asyncio.TaskGroup() as group:
        handing = group.create_task(handover.run())
        polling = [group.create_task(poller.run()) for poller in agent.pollers]
        if ready is not None:
            ready.set()
        await stop.wait()
        for poller in agent.pollers:
            poller.stop()
        if polling:
            await asyncio.wait(polling)
        if not await handover.finish(FINISH_SECONDS):
            _log.error("%d readings could not be handed over; the gateway will tell the gap", left_behind(agent))
        handing.cancel()
    return agent


def left_behind(agent: Agent) -> int:
    """Readings that are in this process's memory only."""
    return agent.ledger.pending + sum(sealed.count for sealed in agent.outbox.window)
