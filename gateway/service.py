"""A running gateway: door, spool and uplink in one task group, started and stopped in the right order.

At the stop the door closes first, then the uplink drains, and the spool closes last. A bug in any part ends the whole.
"""

import asyncio
import logging
from collections.abc import Iterator

import msgspec

from device_profiles.clock import Clock
from device_profiles.problems import ConfigError, Problem
from gateway.commands import Commands
from gateway.config import GatewayConfig
from gateway.config import load_config as load_config
from gateway.listener import Listener
from gateway.listeners.reception import Reception
from gateway.spool import Spool
from gateway.taps import Taps
from gateway.uplink import Uplink
from gateway.writer import WriteFailed

log = logging.getLogger(__name__)

EXPIRY_SECONDS = 60.0
"""How often the spool looks for batches that are too old."""


Renewals = asyncio.Queue[GatewayConfig]
"""New configurations for a running gateway."""


async def run(
    config: GatewayConfig,
    clock: Clock,
    stop: asyncio.Event,
    ready: asyncio.Event | None = None,
    renewals: Renewals | None = None,
) -> None:
    """Run until ``stop``; ``ready`` is set when agents can hand over. ConfigError: it cannot start.

    ``renewals``: configurations to change to; ``check_renewal`` says beforehand what needs a restart.
    """
    spool = Spool(config.spool, config.name, clock)
    try:
        await spool.load()
        await _serve(config, clock, spool, stop, ready or asyncio.Event(), renewals or asyncio.Queue())
    finally:
        await spool.close()


def check_renewal(before: GatewayConfig, config: GatewayConfig) -> None:
    """ConfigError when a running gateway cannot change to ``config``: its name, its socket and its spool stay."""
    fixed = {"site.name": "name", "gateway.socket": "listen", "gateway.spool": "spool"}
    changed = [place for place, name in fixed.items() if getattr(before, name) != getattr(config, name)]
    if changed:
        raise ConfigError(Problem("site", 0, place, "cannot be changed under way", "restart") for place in changed)


async def _renew(renewals: Renewals, reception: Reception, uplink: Uplink) -> None:
    """Take over each new configuration as it comes; what it does not change is not touched."""
    while True:
        config = await renewals.get()
        await reception.renew(config.listeners)
        uplink.renew(config.uplink)
        log.info("the new site file is in force")


async def _serve(
    config: GatewayConfig, clock: Clock, spool: Spool, stop: asyncio.Event, ready: asyncio.Event, renewals: Renewals
) -> None:
    taps = Taps()
    commands = Commands(spool, clock, taps)
    reception = Reception(config.listeners, config.name, spool, clock, taps, commands)
    listener = Listener(config.listen, spool, taps, commands, reception.sessions)

    def state(online: bool) -> bytes:
        health = {
            "spool": _spool_health(spool),
            "uplink": uplink.health(),
            "sessions": msgspec.structs.asdict(listener.counts),
            "listeners": reception.health(),
        }
        ledger = spool.view.ledger()
        return msgspec.json.encode(
            {"gateway": config.name, "online": online, "at": clock.now(), "ledger": ledger, "health": health}
        )

    uplink = Uplink(config.uplink, config.name, spool, clock, taps, state, commands.arrived)
    try:
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(spool.watch()), group.create_task(commands.run())]
            if config.spool.keep_seconds is not None:
                others.append(group.create_task(_expire(spool, clock, config.spool.keep_seconds)))
            others.append(group.create_task(_renew(renewals, reception, uplink)))
            group.create_task(uplink.run())
            await _open_doors(listener, reception, ready, stop)
            uplink.drain()
            for task in others:
                task.cancel()
    except* ConfigError as mistake:  # an operator's mistake is not buried in a group
        raise ConfigError(problem for error in _leaves(mistake) for problem in error.problems) from None


async def _open_doors(listener: Listener, reception: Reception, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Serve agents and calling devices until ``stop``."""
    agents, callers = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(listener.run(agents, stop))
        group.create_task(reception.run(callers, stop))
        await agents.wait()
        await callers.wait()
        ready.set()


def _spool_health(spool: Spool) -> dict[str, object]:
    view = spool.view
    return {
        "batches": view.batches,
        "bytes": view.size,
        "quota": spool.quota,
        "trouble": view.trouble,
        "failures": view.failures,
        "undated": view.undated,
    }


async def _expire(spool: Spool, clock: Clock, keep_seconds: float) -> None:
    """Give up what is too old, as long as there is any."""
    while True:
        try:
            while await spool.expire(clock.now() - int(keep_seconds * 1e6)):
                pass
        except WriteFailed as trouble:
            log.warning("spool: cannot expire: %s", trouble)
        await asyncio.sleep(EXPIRY_SECONDS)


def _leaves(group: BaseExceptionGroup[ConfigError]) -> Iterator[ConfigError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
