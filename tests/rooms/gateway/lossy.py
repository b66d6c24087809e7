"""A path for datagrams that drops, repeats and reorders them, by a seed; and one that a test can cut or filter."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Address = tuple[str, int]

HELD_SECONDS = 0.03
"""How long a datagram that is to be overtaken waits at most."""


class Path(asyncio.DatagramProtocol):
    """Stands between clients and one server. ``kinds`` of trouble are fractions of all datagrams, each way."""

    def __init__(self, port: int, seed: int, drop: float, twice: float, late: float) -> None:
        self._server = ("127.0.0.1", port)
        self._random = random.Random(seed)
        self._drop, self._twice, self._late = drop, twice, late
        self._ways: dict[Address, asyncio.DatagramTransport] = {}
        self._opening: dict[Address, list[bytes]] = {}
        self._group: asyncio.TaskGroup
        self._front: asyncio.DatagramTransport
        self.port = 0
        self.cut = False
        self.passes: Callable[[bool, bytes], bool] = lambda back, data: True
        """A test's own filter: (towards the client, datagram)."""
        self.done: Counter[str] = Counter()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Path]:
        """The path while the context lasts; ``port`` is where clients call."""
        loop = asyncio.get_running_loop()
        self._front, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._front.get_extra_info("sockname")[1]
        try:
            async with asyncio.TaskGroup() as self._group:
                yield self
        finally:
            for transport in [self._front, *self._ways.values()]:
                transport.abort()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """From a client."""
        if addr in self._ways:
            self._pass(data, False, self._ways[addr].sendto)
        elif addr in self._opening:
            self._opening[addr].append(data)
        else:
            self._opening[addr] = [data]
            self._group.create_task(self._dial(addr))

    async def _dial(self, addr: Address) -> None:
        loop = asyncio.get_running_loop()
        back = _Back(lambda data: self._pass(data, True, lambda out: self._front.sendto(out, addr)))
        self._ways[addr], _ = await loop.create_datagram_endpoint(lambda: back, remote_addr=self._server)
        for data in self._opening.pop(addr):
            self._pass(data, False, self._ways[addr].sendto)

    def _pass(self, data: bytes, back: bool, send: Callable[[bytes], None]) -> None:
        self.done["passed"] += 1
        if self.cut or not self.passes(back, data) or self._random.random() < self._drop:
            self.done["dropped"] += 1
            return
        if self._random.random() < self._twice:
            self.done["repeated"] += 1
            send(data)
        if self._random.random() < self._late:
            self.done["reordered"] += 1
            asyncio.get_running_loop().call_later(self._random.uniform(0, HELD_SECONDS), send, data)
        else:
            send(data)

    def rebind(self) -> None:
        """A NAT that forgets: the same client comes from another port from now on."""
        for transport in self._ways.values():
            transport.abort()
        self._ways.clear()


class _Back(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._take(data)


def lossy(port: int, seed: int = 1, drop: float = 0.0, twice: float = 0.0, late: float = 0.0) -> Path:
    """A path to a server's port; a clean one without fractions."""
    return Path(port, seed, drop, twice, late)
