"""What a datagram client needs of a way to the other side: one socket that is connected to one address.

Two ways: this box's own UDP (here), and a modem on a serial port (``modem``). A receiver is an
``asyncio.DatagramProtocol``; what it gets comes from the address it named, and from nobody else.
"""

import asyncio
from typing import Protocol

Place = tuple[str, int]
"""Host and port of the other side."""


class Datagrams(Protocol):
    """An open way; an ``asyncio.DatagramTransport`` is one."""

    def sendto(self, data: bytes) -> None:
        """Send one datagram, or lose it: nobody is told."""
        ...

    def abort(self) -> None:
        """Close at once; the receiver hears nothing more. Harmless when already closed."""
        ...


class Network(Protocol):
    """Who opens ways."""

    async def connect(self, receiver: asyncio.DatagramProtocol, place: Place) -> Datagrams:
        """Open a way to ``place``; OSError, with words for the operator, when there is none."""
        ...


class OwnUdp:
    """The sockets of this box."""

    async def connect(self, receiver: asyncio.DatagramProtocol, place: Place) -> asyncio.DatagramTransport:
        """See ``Network.connect``."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: receiver, remote_addr=place)
        return transport
