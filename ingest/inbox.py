"""What has arrived and is not yet stored: bounded, in order, handed out a micro-batch at a time.

When it is full it refuses; what it refuses was never acknowledged to anybody, so the gateways hold it and
send it again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from device_profiles.clock import Clock

MAX_MESSAGES = 20_000
MAX_BYTES = 32 << 20
"""Some seconds of full load. More would only be a longer queue: the gateways' spools are the place to wait."""

PACK_MESSAGES = 1000
PACK_BYTES = 256 << 10
"""A micro-batch: some ten thousand readings. A commit costs milliseconds whatever its size up to there."""

PAUSE_S = 0.04
"""Commits begin at least this far apart unless a pack is full: at 25 a second an idle centre stays idle."""


Answer = Callable[[bytes], None]
"""Told the receipt message of one batch, after the commit: for a wire on which the receipt is the answer."""


class Message(NamedTuple):
    """One message as it came. ``answer``: None where receipts go out on a topic."""

    topic: str
    payload: bytes
    received_at: int
    answer: Answer | None = None


class Inbox:
    """The queue between intake and worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._plenty = asyncio.Event()
        self._closed = False
        self._last_pack = float("-inf")
        self.refused = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, topic: str, payload: bytes, answer: Answer | None = None) -> bool:
        """Take a message; False when there is no room, or when the inbox is closed."""
        if self._closed or len(self._messages) >= MAX_MESSAGES or self._bytes >= MAX_BYTES:
            self.refused += 1
            return False
        self._messages.append(Message(topic, payload, self._clock.now(), answer))
        self._bytes += len(payload)
        self._filled.set()
        if len(self._messages) >= PACK_MESSAGES or self._bytes >= PACK_BYTES:
            self._plenty.set()
        return True

    def close(self) -> None:
        """Refuse from now on; what is inside can still be taken."""
        self._closed = True
        self._filled.set()
        self._plenty.set()

    async def pack(self) -> list[Message]:
        """The next micro-batch, in order of arrival; empty when the inbox is closed and drained."""
        await self._filled.wait()
        pause = self._last_pack + PAUSE_S - self._clock.monotonic()
        if pause > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._plenty.wait()
        self._last_pack = self._clock.monotonic()
        return self._take()

    def _take(self) -> list[Message]:
        pack: list[Message] = []
        size = 0
        while self._messages and len(pack) < PACK_MESSAGES and size < PACK_BYTES:
            message = self._messages.popleft()
            size += len(message.payload)
            pack.append(message)
        self._bytes -= size
        if not self._closed:
            if not self._messages:
                self._filled.clear()
            if len(self._messages) < PACK_MESSAGES and self._bytes < PACK_BYTES:
                self._plenty.clear()
        return pack
