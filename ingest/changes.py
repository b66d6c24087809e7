"""What changed goes out to everybody who listens, in packs, right after each commit.

A listener that does not keep up loses the oldest packs and is told how many rows; it never slows the others
or the store.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

MAX_WAITING_BYTES = 8 << 20
MAX_WAITING_PACKS = 256
"""Ten seconds of packs at 25 a second. Behind that, the latest values are better asked for anew."""

HEARTBEAT_S = 10.0


def event(name: str, data: bytes) -> bytes:
    """One server-sent event (HTML Living Standard, 9.2.6); ``data`` is one line of JSON."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


class Listener:
    """One open stream."""

    def __init__(self) -> None:
        self._packs: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._skipped = 0
        self._devices = False
        self._ledger = b""
        self._closed = False
        self._woken = asyncio.Event()

    def readings(self, rows: int, data: bytes) -> None:
        """Queue a pack of rows, at the cost of the oldest when there is no room."""
        self._packs.append((rows, data))
        self._bytes += len(data)
        while len(self._packs) > 1 and (len(self._packs) > MAX_WAITING_PACKS or self._bytes > MAX_WAITING_BYTES):
            lost, pack = self._packs.popleft()
            self._skipped += lost
            self._bytes -= len(pack)
        self._woken.set()

    def devices(self) -> None:
        """The device list changed; once is enough, however often it did."""
        self._devices = True
        self._woken.set()

    def ledger(self, data: bytes) -> None:
        """A newer ledger replaces one that is still waiting."""
        self._ledger = data
        self._woken.set()

    def close(self) -> None:
        """End the stream once what waits is sent."""
        self._closed = True
        self._woken.set()

    async def events(self) -> AsyncIterator[bytes]:
        """Bytes for the wire until ``close``; a comment as heartbeat when nothing happens."""
        yield b": kuimen\n\n"
        while True:
            self._woken.clear()
            while data := self._next():
                yield data
            if self._closed:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._woken.wait()
                continue
            yield b": alive\n\n"

    def _next(self) -> bytes:
        if self._devices:
            self._devices = False
            return event("devices", b"{}")
        if self._skipped:
            skipped, self._skipped = self._skipped, 0
            return event("skipped", b'{"rows":%d}' % skipped)
        if self._packs:
            _, data = self._packs.popleft()
            self._bytes -= len(data)
            return data
        ledger, self._ledger = self._ledger, b""
        return ledger


class Changes:
    """All open streams."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._listeners)

    async def stream(self) -> AsyncIterator[bytes]:
        """A new listener's events; it is forgotten when the stream ends, however it ends."""
        listener = Listener()
        if self._closed:
            listener.close()
        self._listeners.add(listener)
        try:
            async for data in listener.events():
                yield data
        finally:
            self._listeners.discard(listener)

    def readings(self, rows: int, body: bytes) -> None:
        """``body``: {"now", "rows"} as JSON."""
        data = event("readings", body)
        for listener in self._listeners:
            listener.readings(rows, data)

    def devices(self) -> None:
        """Tell everybody to ask for the device list again."""
        for listener in self._listeners:
            listener.devices()

    def ledger(self, body: bytes) -> None:
        """``body``: that of /api/v1/ledger."""
        data = event("ledger", body)
        for listener in self._listeners:
            listener.ledger(data)

    def close(self) -> None:
        """End all streams, and every later one at once."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
