"""All listeners of a gateway together: opened and closed as one, asked about as one."""

import asyncio
from collections.abc import Sequence

from device_profiles.clock import Clock
from device_profiles.problems import ConfigError, Problem
from gateway.listeners.config import ListenerConfig
from gateway.listeners.desk import Desk
from gateway.listeners.doors import open_door
from gateway.spool import Spool
from gateway.taps import Taps


class Reception:
    """The doors for devices that call, and the desks behind them."""

    def __init__(
        self, configs: Sequence[ListenerConfig], gateway: str, spool: Spool, clock: Clock, taps: Taps
    ) -> None:
        self._configs = configs
        self.desks = [Desk(config, gateway, spool, clock, taps) for config in configs]

    async def run(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Serve until ``stop``: the doors close first, then what was taken is written. ConfigError at the start."""
        async with asyncio.TaskGroup() as group:
            writing = [group.create_task(desk.run()) for desk in self.desks]
            async with asyncio.TaskGroup() as doors:
                opened = [asyncio.Event() for _ in self._configs]
                for config, desk, open_ in zip(self._configs, self.desks, opened, strict=True):
                    doors.create_task(_serve(config, desk, open_, stop))
                for open_ in opened:
                    await open_.wait()
                ready.set()
            for task in writing:
                task.cancel()

    def health(self) -> dict[str, object]:
        """Each listener's counts."""
        return {desk.name: desk.health() for desk in self.desks}

    def sessions(self) -> list[dict[str, object]]:
        """Every caller of every listener with its presence."""
        return [row for desk in self.desks for row in desk.sessions()]


async def _serve(config: ListenerConfig, desk: Desk, ready: asyncio.Event, stop: asyncio.Event) -> None:
    try:
        await open_door(config, desk, ready, stop)
    except OSError as trouble:
        place = f"{config.transport}://{config.host}:{config.port}"
        message = f"listener {config.name!r} cannot listen here: {trouble.strerror or trouble}"
        raise ConfigError([Problem(place, 0, "", message)]) from None
