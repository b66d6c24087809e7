"""A protocol made for the tests of calling devices, and a platform that speaks it over real sockets.

`R,<number>,<at>,<name>=<value>;…*<CRC-32>\\n` is acked by `A,<number>\\n`; `H,<id>\\n` is welcomed by `W\\n`; a
back-filled report begins with `B`. It is nobody's protocol: what is tested is the runner, not a codec.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from device_profiles.readings import Value
from firmware_sim.callers.talker import Heard

PATIENCE_S = 20.0
HERE = "127.0.0.1"


def sealed(text: str) -> bytes:
    """A report's line with its check."""
    return f"{text}*{zlib.crc32(text.encode()):08X}\n".encode()


class TinyTalker:
    """The device's end. `greets`: it wants a welcome first. `keyless`: it wants no acks."""

    def __init__(self, greets: bool = False, keyless: bool = False) -> None:
        self._greets, self._keyless = greets, keyless
        self._number = 0
        self._unacked: dict[bytes, str] = {}
        self._held = b""

    def greet(self) -> list[bytes]:
        self._held = b""
        return [b"H,tiny\n"] if self._greets else []

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        self._number += 1
        key = b"" if self._keyless else str(self._number).encode()
        text = f"{self._number},{at}," + ";".join(f"{name}={value}" for name, value in values.items())
        self._unacked[key] = text
        return key, sealed(f"R,{text}")

    def again(self, key: bytes) -> bytes:
        return sealed(f"R,{self._unacked[key]}")

    def backfill(self, key: bytes) -> bytes:
        return sealed(f"B,{self._unacked[key]}")

    def hear(self, data: bytes) -> Heard:
        *lines, self._held = (self._held + data).split(b"\n")
        acked = tuple(line[2:] for line in lines if line.startswith(b"A,"))
        for key in acked:
            self._unacked.pop(key, None)
        return Heard(acked=acked, reply=(b"Y\n",) if b"Q" in lines else (), ready=b"W" in lines)


@dataclass
class Platform:
    """What a gateway does with it: a first arrival is taken, a second is a repeat, each is acked.

    `swallow` acks first are thought and not said (nothing is taken either: they were lost on the way in).
    """

    swallow: int = 0
    taken: dict[str, str] = field(default_factory=dict)
    repeats: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, list[str]] = field(default_factory=dict)
    peers: set[object] = field(default_factory=set)
    welcomes: int = 0
    rejected: int = 0
    swallowed: int = 0
    answers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, line: bytes, peer: object) -> bytes:
        """One line; what is answered to it."""
        self.news.set()
        text, _, check = line.decode("latin-1").rpartition("*")
        start = max(text.find("R,"), text.find("B,"))
        if line == b"Y":
            self.answers += 1
        if line.endswith(b"H,tiny"):
            self.welcomes += 1
            return b"W\n"
        if start < 0 or check != f"{zlib.crc32(text[start:].encode('latin-1')):08X}":
            self.rejected += line != b"Y"
            return b""
        kind, number, body = text[start:].split(",", 2)
        self.peers.add(peer)
        self.kinds.setdefault(number, []).append(kind)
        if self.swallowed < self.swallow:
            self.swallowed += 1
            return b""
        if number in self.taken:
            self.repeats[number] += 1
            assert self.taken[number] == body, "one number, two reports"
        self.taken.setdefault(number, body)
        return f"A,{number}\n".encode()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something to hold; TimeoutError when it never does."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self.news.clear()
                await self.news.wait()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._platform.hear(data.rstrip(b"\n"), addr)
        if answer:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def listening(platform: Platform, transport: str, port: int = 0) -> AsyncIterator[int]:
    """The platform behind a real socket; yields its port."""
    loop = asyncio.get_running_loop()
    if transport == "udp":
        door, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(platform), (HERE, port))
        try:
            yield door.get_extra_info("sockname")[1]
        finally:
            door.close()
        return

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        writers.append(writer)
        try:
            while (line := await reader.readline()).endswith(b"\n"):
                writer.write(platform.hear(line[:-1], peer))
            platform.rejected += bool(line)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HERE, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
