"""All listeners of a gateway together: opened and closed as one, asked about as one."""

import asyncio
from collections.abc import Sequence

import msgspec

from device_profiles.clock import Clock
from device_profiles.problems import ConfigError, Problem
from gateway.commands import Commands
from gateway.listeners.config import ListenerConfig
from gateway.listeners.desk import Desk
from gateway.listeners.doors import open_door
from gateway.spool import Spool
from gateway.taps import Taps


class Reception:
    """The doors for devices that call, and the desks behind them."""

    def __init__(
        self,
        configs: Sequence[ListenerConfig],
        gateway: str,
        spool: Spool,
        clock: Clock,
        taps: Taps,
        commands: Commands,
    ) -> None:

        def make(config: ListenerConfig) -> _Door:
            return _Door(config, Desk(config, gateway, spool, clock, taps, commands))

        self._make = make
        self._doors = {config.name: self._make(config) for config in configs}
        self._group: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()

    @property
    def desks(self) -> list[Desk]:
        """The desks behind the open doors."""
        return [door.desk for door in self._doors.values()]

    async def run(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Serve until ``stop``: the doors close first, then what was taken is written. ConfigError at the start."""
        async with asyncio.TaskGroup() as group:
            self._group, self._stop = group, stop
            for door in self._doors.values():
                self._open(door)
            for door in list(self._doors.values()):
                await door.opened.wait()
            ready.set()
            await stop.wait()

    def _open(self, door: "_Door") -> None:
        assert self._group is not None
        door.task = self._group.create_task(door.serve(self._stop))

    async def renew(self, configs: Sequence[ListenerConfig]) -> None:
        """Another set of listeners: a door that did not change stays open, with all its connections."""
        wanted = {config.name: config for config in configs}
        for name, door in list(self._doors.items()):
            config = wanted.get(name)
            if config is not None and _same_door(config, door.config):
                if config != door.config:
                    door.config = config
                    door.desk.renew(config)
                continue
            await door.close()
            del self._doors[name]
        for name, config in wanted.items():
            if name not in self._doors:
                self._doors[name] = self._make(config)
                self._open(self._doors[name])

    def health(self) -> dict[str, object]:
        """Each listener's counts."""
        return {desk.name: desk.health() for desk in self.desks}

    def sessions(self) -> list[dict[str, object]]:
        """Every caller of every listener with its presence."""
        return [row for desk in self.desks for row in desk.sessions()]


class _Door:
    """One listener at work: its door, its desk, and the task that serves both."""

    def __init__(self, config: ListenerConfig, desk: Desk) -> None:
        self.config = config
        self.desk = desk
        self.opened = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._shut = asyncio.Event()

    async def serve(self, stop: asyncio.Event) -> None:
        """Until ``stop`` or ``close``: first the door, then what was taken is written. ConfigError: no such address."""
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(self.desk.run())
            stopping = group.create_task(self._shut_at(stop))
            try:
                await open_door(self.config, self.desk, self.opened, self._shut)
            except OSError as trouble:
                place = f"{self.config.transport}://{self.config.host}:{self.config.port}"
                message = f"listener {self.config.name!r} cannot listen here: {trouble.strerror or trouble}"
                raise ConfigError([Problem(place, 0, "", message)]) from None
            stopping.cancel()
            writing.cancel()

    async def _shut_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._shut.set()

    async def close(self) -> None:
        """Close the door, write what was taken, and end."""
        self._shut.set()
        if self.task is not None:
            await asyncio.wait([self.task])


def _same_door(one: ListenerConfig, other: ListenerConfig) -> bool:
    """True when two configurations differ in their callers at most."""
    return msgspec.structs.replace(one, callers=()) == msgspec.structs.replace(other, callers=())
