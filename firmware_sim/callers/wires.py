"""The pipes that callers use: a TCP connection or a datagram socket, raw, so that what lies unread when the other side
closes can still be read (a transport of asyncio forgets it at the first failed write).

Refuses to speak to anything but the address it was given.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

Address = tuple[str, int]
READ_AT_ONCE = 65_536
"""The longest datagram (RFC 768: a 16-bit length)."""


class Wire(Protocol):
    """One open pipe; `datagrams` keep their borders and have no end."""

    datagrams: bool

    async def send(self, data: bytes) -> None:
        """Hand `data` over whole. OSError when the other side is gone."""
        ...

    async def read(self) -> bytes | None:
        """The next bytes or datagram; None when the other side has ended the connection. OSError when it is gone."""
        ...

    def finish(self) -> None:
        """Say that nothing more will come, and go on reading (TCP); nothing for datagrams."""
        ...

    def close(self) -> None:
        """Give it up."""
        ...


class TcpWire:
    """A connection, see `open_tcp`."""

    datagrams = False

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._turn = asyncio.Lock()  # a large frame and a reply must not be mixed

    async def send(self, data: bytes) -> None:
        """Hand `data` over whole."""
        async with self._turn:
            await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def read(self) -> bytes | None:
        """The next bytes; None at the end."""
        return await asyncio.get_running_loop().sock_recv(self._end, READ_AT_ONCE) or None

    def finish(self) -> None:
        """Half-close: the platform reads to the end and may still answer."""
        try:
            self._end.shutdown(socket.SHUT_WR)
        except OSError:  # it was quicker
            return

    def close(self) -> None:
        """Close the connection."""
        self._end.close()


class UdpWire:
    """A datagram socket that hears only its own platform, see `open_udp`."""

    datagrams = True

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    async def send(self, data: bytes) -> None:
        """Send one datagram. ConnectionRefusedError when nobody listens there (told at once on this machine)."""
        await asyncio.get_running_loop().sock_sendall(self._end, data)
        trouble = self._end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if trouble:
            raise OSError(trouble, "nobody listens")

    async def read(self) -> bytes | None:
        """The next datagram."""
        return await asyncio.get_running_loop().sock_recv(self._end, READ_AT_ONCE)

    def finish(self) -> None:
        """Datagrams have no end to announce."""

    def close(self) -> None:
        """Close the socket."""
        self._end.close()


async def open_wire(transport: str, address: Address) -> Wire:
    """A new connection ("tcp") or a socket on a new source port (any other word). OSError when refused."""
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    end = socket.socket(socket.AF_INET, kind)
    end.setblocking(False)
    try:
        if transport == "tcp":
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(end, address)
            return TcpWire(end)
        end.connect(address)
        return UdpWire(end)
    except BaseException:
        end.close()
        raise
