"""A modem's serial port with its dialog on top: one command at a time, unsolicited lines to whoever listens.

Read through the event loop. Refuses to reopen itself: when the port is lost, every command ends with ``ModemTrouble``.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from device_profiles.codecs.at_modem import AtError, Dialog, Reply, Urc

READ_BYTES = 4096
UNSENT_LIMIT = 16_384
"""Some five of the longest commands; a port that takes no more is dead."""


class ModemTrouble(Exception):
    """The modem is gone, silent, or refuses; the text says which, in words for the operator."""


class Silent(ModemTrouble):
    """No reply came."""


class ModemLine:
    """An open port. Enter it to open: ModemTrouble when that cannot be done. ``heard``: told every unsolicited line."""

    def __init__(self, path: Path, baud: int, heard: Callable[[Urc], None]) -> None:
        self.dialog = Dialog()
        self.timeouts = 0
        self._path, self._baud = path, baud
        self._heard = heard
        self._port: Any = None
        self._fd = -1
        self._unsent = b""
        self._reply: asyncio.Future[Reply] | None = None
        self._lost = ""

    async def __aenter__(self) -> Self:
        import serial  # here: a pole with Ethernet never needs it

        try:
            self._port = serial.Serial(str(self._path), self._baud, timeout=0, exclusive=True)
        except (OSError, ValueError) as trouble:  # SerialException is an OSError
            raise ModemTrouble(f"{self._path}: {trouble}") from None
        self._fd = self._port.fileno()
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self._readable)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    async def command(self, text: str, seconds: float = 5.0, wants: str = "") -> Reply:
        """The reply to a command, whatever it is. Silent when none came within ``seconds``; ModemTrouble when the port
        is gone. ``wants``: see ``Dialog.ask``."""
        if self._lost:
            raise ModemTrouble(self._lost)
        self._reply = asyncio.get_running_loop().create_future()
        try:
            self._send(self.dialog.ask(text, wants))
            async with asyncio.timeout(seconds):
                return await self._reply
        except TimeoutError:
            self.timeouts += 1
            raise Silent(f"no reply to {text[:24]} within {seconds:g} s") from None
        except AtError as wrong:
            raise ModemTrouble(str(wrong)) from None
        finally:
            self._reply = None
            if self.dialog.pending:
                self.dialog.abandon()

    async def demand(self, text: str, seconds: float = 5.0) -> Reply:
        """As ``command``; ModemTrouble when the modem refuses."""
        reply = await self.command(text, seconds)
        if not reply.ok:
            raise ModemTrouble(f"{text[:40]}: {reply.error}")
        return reply

    def _send(self, data: bytes) -> None:
        self._unsent += data
        self._writable()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as trouble:
            self._lose(f"{self._path}: {trouble.strerror}")
            return
        if not data:
            self._lose(f"{self._path}: hung up")
            return
        for event in self.dialog.feed(data):
            if isinstance(event, Urc):
                self._heard(event)
            elif self._reply is not None and not self._reply.done():
                self._reply.set_result(event)

    def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            written = os.write(self._fd, self._unsent)
        except BlockingIOError:
            written = 0
        except OSError as trouble:
            self._lose(f"{self._path}: {trouble.strerror}")
            return
        self._unsent = self._unsent[written:]
        if not self._unsent:
            loop.remove_writer(self._fd)
        elif len(self._unsent) > UNSENT_LIMIT:
            self._lose(f"{self._path}: takes no more bytes")
        else:
            loop.add_writer(self._fd, self._writable)

    def _lose(self, why: str) -> None:
        self._lost = why
        self._close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ModemTrouble(why))
        self._heard(Urc("PORT LOST", why))

    def _close(self) -> None:
        if self._fd < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        self._fd, self._unsent, self._lost = -1, b"", self._lost or "closed"
        port, self._port = self._port, None
        with contextlib.suppress(OSError):  # pulled out: nothing is left to close
            port.close()
        self.dialog.flush()
