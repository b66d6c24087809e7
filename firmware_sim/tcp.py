"""Modbus TCP links: a real pymodbus server each, behind a byte proxy (`conversation`).

All links of a street share one event loop in one thread. Refuses to listen anywhere but on the loopback interface.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from threading import Event, Thread

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import SimDevice

from firmware_sim.conversation import Behind, Conversation
from firmware_sim.units import LinkCounts, Unit
from firmware_sim.witness import Witness

HERE = "127.0.0.1"
WAITING_CONNECTIONS = 16
"""Masters that may be about to connect at the same moment; a link has one."""


class TcpLink:
    """One listening port with the units behind it."""

    def __init__(self, port: int, units: Sequence[Unit], devices: list[SimDevice], witness: Witness) -> None:
        self.port = port
        self._devices = devices
        self._behind = Behind({unit.address: unit for unit in units if isinstance(unit.address, int)}, witness)

    @property
    def counts(self) -> LinkCounts:
        """What happened here beside the units' own counts."""
        return self._behind.counts

    def open(self) -> None:
        """Take the port (0: any free one, then in `port`). OSError when somebody else has it."""
        try:
            self._listener = socket.create_server((HERE, self.port), backlog=WAITING_CONNECTIONS)
        except OSError as trouble:
            raise OSError(trouble.errno, f"port {self.port}: {os.strerror(trouble.errno or 0)}") from None
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._listener.close()

    async def serve(self) -> None:
        """Accept masters until cancelled."""
        loop = asyncio.get_running_loop()
        server = ModbusTcpServer(self._devices, address=(HERE, 0))
        await server.serve_forever(background=True)
        listener = server.transport
        assert isinstance(listener, asyncio.Server)
        back = listener.sockets[0].getsockname()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    front, _ = await loop.sock_accept(self._listener)
                    group.create_task(self._converse(front, back))
        finally:
            await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it without annotations

    async def _converse(self, front: socket.socket, back_address: tuple[str, int]) -> None:
        with front, socket.socket() as back:
            for end in (front, back):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(back, back_address)
            async with asyncio.TaskGroup() as late_answers:
                conversation = Conversation(self._behind, front, back, late_answers)
                await conversation.run()
                conversation.over()


class TcpLinks:
    """All Modbus TCP links of a street, served by one thread from `start` to `stop`."""

    def __init__(self, links: Sequence[TcpLink]) -> None:
        self.links = links

    def start(self) -> None:
        """Take every port, then serve. OSError, with nothing left open, when a port is taken."""
        opened: list[TcpLink] = []
        try:
            for link in self.links:
                link.open()
                opened.append(link)
        except OSError:
            for link in opened:
                link.close()
            raise
        self._ready = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), name="tcp links")
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End every conversation and give the ports back."""
        self._loop.call_soon_threadsafe(self._enough.set)
        self._thread.join()
        for link in self.links:
            link.close()

    @property
    def alive(self) -> bool:
        """False when serving has ended by a mistake of ours."""
        return self._thread.is_alive()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(link.serve()) for link in self.links]
            self._ready.set()
            await self._enough.wait()
            for task in tasks:
                task.cancel()
