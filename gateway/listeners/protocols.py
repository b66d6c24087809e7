"""Which module listens in which protocol; loaded only when a site has such a listener.

A new protocol of calling devices is a module here, one row in ``MODULES``, and a map under ``device_profiles.maps``.
"""

import asyncio
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from device_profiles.tables import Table
from gateway.listeners.callers import Caller

if TYPE_CHECKING:
    from gateway.listeners.desk import Desk

MODULES = {
    "hj212": "gateway.listeners.hj212",
    "gb26875": "gateway.listeners.gb26875",
    "sl651": "gateway.listeners.sl651",
    "jt808": "gateway.listeners.jt808",
    "payload": "gateway.listeners.payload",
    "lwm2m": "gateway.listeners.lwm2m",
}

Send = Callable[[bytes], None]
SendTo = Callable[[bytes, tuple[str, int]], None]


class Session(Protocol):
    """One connection of a device, or one peer's datagrams."""

    async def feed(self, data: bytes) -> None:
        """Bytes from the device. What it is owed is sent in order, and an acknowledgement only after the disk."""
        ...

    def closed(self) -> None:
        """The connection has ended: account for what is left."""
        ...


class SessionMaker(Protocol):
    """A protocol's session class."""

    def __call__(self, desk: "Desk", peer: str, send: Send) -> Session:
        """A session with the device at ``peer``."""
        ...


class ListenerModule(Protocol):
    """What a protocol's module offers: its transports (of "tcp", "udp", "coap") and its options."""

    TRANSPORTS: tuple[str, ...]

    def read_options(self, table: Table) -> object:
        """The protocol's own keys of a ``[[listeners]]`` row; mistakes are noted."""
        ...


class SessionModule(ListenerModule, Protocol):
    """A protocol of byte streams or datagrams."""

    Session: SessionMaker


class ServingModule(ListenerModule, Protocol):
    """A protocol that brings a server of its own (CoAP)."""

    async def serve(
        self, desk: "Desk", host: str, port: int, ready: asyncio.Event, stop: asyncio.Event
    ) -> None:
        """Serve until ``stop``. OSError when the address cannot be had."""
        ...


def check_caller(protocol: str, caller: Caller) -> None:
    """ValueError, saying what is right, when a caller's identity or secret cannot be one in its protocol.

    Each protocol's module may bring a ``check_caller(caller)``; one that takes any text brings none.
    """
    check = getattr(module_of(protocol), "check_caller", None)
    if check is not None:
        check(caller)


def module_of(protocol: str) -> ListenerModule:
    """The protocol's module; KeyError for one that is none."""
    return cast(ListenerModule, importlib.import_module(MODULES[protocol]))
