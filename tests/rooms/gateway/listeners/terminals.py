"""The vehicle's end of a pipe, TCP or UDP, for tests of the door for JT/T 808 terminals."""

import asyncio
from typing import Any

import msgspec

from device_profiles.codecs.jt808 import Frame, Reader, encode
from device_profiles.codecs.jt808_messages import (
    AUTHENTICATE,
    OK,
    PLATFORM_ACK,
    REGISTER,
    REGISTERED,
    Ack,
    Authentication,
    Registered,
    Registration,
    encode_authentication,
    encode_registration,
    parse_ack,
    parse_registered,
)
from tests.rooms.gateway.listeners.desks import PATIENCE

NUMBER = "013800138000"


class Terminal:
    """The vehicle's end of a pipe, TCP or UDP."""

    def __init__(self, number: str = NUMBER) -> None:
        self.number = number
        self.serial = 0
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self._cut = Reader()
        self._frames: list[Frame] = []

    def write(self, data: bytes) -> None:
        """Bytes, or a datagram, to the gateway."""
        raise NotImplementedError

    def frame(self, message: int, body: bytes = b"", **changes: Any) -> Frame:
        """The next message of this terminal."""
        edition = 2013 if len(self.number) == 12 else 2019
        self.serial += 1
        frame = Frame(message=message, number=self.number, serial=self.serial, body=body, edition=edition)
        return msgspec.structs.replace(frame, **changes)

    def send(self, message: int, body: bytes = b"", **changes: Any) -> Frame:
        """Say it."""
        frame = self.frame(message, body, **changes)
        self.write(encode(frame))
        return frame

    async def heard(self) -> Frame:
        """The next frame from the gateway."""
        async with asyncio.timeout(PATIENCE):
            while not self._frames:
                self._frames += self._cut.feed(await self.incoming.get())
        assert not self._cut.rejects
        return self._frames.pop(0)

    async def acked(self) -> Ack:
        """The next frame, which is a general acknowledgement."""
        frame = await self.heard()
        assert (frame.message, frame.number) == (PLATFORM_ACK, self.number)
        return parse_ack(frame.body)

    async def ask(self, message: int, body: bytes = b"", **changes: Any) -> int:
        """Say it, and the result of its acknowledgement."""
        frame = self.send(message, body, **changes)
        ack = await self.acked()
        assert (ack.serial, ack.message) == (frame.serial, message)
        return ack.result

    async def register(self) -> Registered:
        """Register, and what came of it."""
        told = Registration(edition=2019 if len(self.number) == 20 else 2013, plate="渝F12345", colour=2)
        asked = self.send(REGISTER, encode_registration(told))
        frame = await self.heard()
        assert (frame.message, frame.number) == (REGISTERED, self.number)
        registered = parse_registered(frame.body)
        assert registered.serial == asked.serial
        return registered

    async def authenticate(self, code: str) -> int:
        """Authenticate, and the result."""
        return await self.ask(AUTHENTICATE, encode_authentication(Authentication(code), self.frame(0).edition))

    async def log_on(self) -> None:
        """Register and authenticate as a new terminal does."""
        registered = await self.register()
        assert registered.result == OK
        assert await self.authenticate(registered.code) == OK


class Connected(Terminal):
    """Over TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: str = NUMBER) -> None:
        super().__init__(number)
        self._reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        """Into the stream."""
        self.writer.write(data)

    async def heard(self) -> Frame:
        """As above, read from the stream."""
        async with asyncio.timeout(PATIENCE):
            while not self._frames:
                data = await self._reader.read(4096)
                assert data, "the gateway hung up"
                self._frames += self._cut.feed(data)
        return self._frames.pop(0)

    async def hang_up(self) -> None:
        """Say that nothing more comes, and wait until the gateway has noticed."""
        self.writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            await self._reader.read()


class Datagrams(Terminal, asyncio.DatagramProtocol):
    """Over UDP; ``rebind`` takes another source port, as behind a NAT."""

    transport: asyncio.DatagramTransport

    def write(self, data: bytes) -> None:
        """As one datagram."""
        self.transport.sendto(data)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From the gateway."""
        self.incoming.put_nowait(data)

    async def rebind(self, port: int) -> None:
        """A new socket to the gateway's port."""
        if hasattr(self, "transport"):
            self.transport.close()
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=("127.0.0.1", port))
