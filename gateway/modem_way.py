"""One client's socket on a modem: what waits to be sent, and who gets what comes."""

import asyncio
from collections import deque
from typing import Protocol

from gateway.datagrams import Place


class Owner(Protocol):
    """The modem, as a client's socket sees it."""

    def queue(self, way: "Way", data: bytes) -> None:
        """Let a datagram wait for the modem."""
        ...

    def leave(self, way: "Way") -> None:
        """The client goes."""
        ...


class Way:
    """See ``Datagrams``. ``number``: the modem's, -1 while none is open; ``sent``, ``heard``: whether anything was."""

    def __init__(self, owner: Owner, receiver: asyncio.DatagramProtocol, place: Place) -> None:
        self.receiver, self.place = receiver, place
        self.number = -1
        self.sent = self.heard = False
        self.waiting: deque[bytes] = deque()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner

    def sendto(self, data: bytes) -> None:
        """See ``Datagrams.sendto``."""
        self._owner.queue(self, data)

    def abort(self) -> None:
        """See ``Datagrams.abort``."""
        self._owner.leave(self)
