"""A link is a byte pipe to devices: a serial line or a TCP connection, opened from one URL.

    serial:///dev/ttyS1?baud=9600&parity=N&stop=1    Modbus RTU on a port of this box
    tcp://10.0.0.7:502                               Modbus TCP, one connection
    rtu+tcp://10.0.0.7:8899                          RTU frames through a transparent serial server (never guessed)

A link moves bytes and says when it is lost. It refuses to frame, to wait for answers and to reopen itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec

from device_profiles.problems import nearest
from device_profiles.profiles import LineSettings

#: A Modbus character on the wire: start, 8 data, parity or a second stop, stop (Modbus over serial line
#: V1.02, 2.5.1).
BITS_PER_CHARACTER = 11
#: Above this speed the silent interval is fixed (Modbus over serial line V1.02, 2.5.1.1).
FAST_BAUD = 19200
FAST_SILENCE = 0.00175
#: Seconds a TCP connection may take to be accepted.
CONNECT_SECONDS = 5.0
#: More than any frame of any protocol here; one read empties the driver.
READ_BYTES = 4096
#: Bytes that may wait for a stuck port: several requests. Beyond it the port is dead and the link counts as
#: lost.
UNSENT_LIMIT = 8192


class LinkTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What a link URL says. ``kind``: "serial", "tcp" or "rtu+tcp"; ``place``: the port's path or the
    host."""

    kind: str
    place: str
    port: int = 0
    baud: int = 9600
    bits: int = 8
    parity: str = "N"
    stop: int = 1

    @property
    def framing(self) -> str:
        """The Modbus framing of this link: "tcp" or "rtu"."""
        return "tcp" if self.kind == "tcp" else "rtu"

    @property
    def byte_seconds(self) -> float:
        """Time that one byte takes on the wire; 0 where the network decides."""
        return BITS_PER_CHARACTER / self.baud if self.kind == "serial" else 0.0

    @property
    def silence_seconds(self) -> float:
        """The silent interval between two frames: 3.5 characters, fixed above 19200 baud; 0 on a network."""
        if self.kind != "serial":
            return 0.0
        return FAST_SILENCE if self.baud > FAST_BAUD else 3.5 * self.byte_seconds


def line_of(target: LinkTarget) -> LineSettings:
    """The speed and parity that a link has now."""
    return LineSettings(target.baud, target.parity, target.stop)


def on_line(target: LinkTarget, line: LineSettings) -> LinkTarget:
    """The same link with another speed and parity."""
    return msgspec.structs.replace(target, baud=line.baud, parity=line.parity, stop=line.stop)


class LinkUrlError(ValueError):
    """The URL names no link; the text says why and what would."""


_SERIAL_CHOICES = {"baud": range(50, 4_000_001), "bits": (7, 8), "stop": (1, 2)}


def parse_link_url(url: str) -> LinkTarget:
    """Read a link URL; LinkUrlError with a sentence for the operator when it is wrong."""
    parts = urlsplit(url)
    if parts.scheme == "serial":
        return _parse_serial(parts.netloc + parts.path, parts.query)
    if parts.scheme not in ("tcp", "rtu+tcp"):
        hint = nearest(parts.scheme, ("serial", "tcp", "rtu+tcp"))
        raise LinkUrlError(f"a link starts with serial://, tcp:// or rtu+tcp://, not {url!r} ({hint})")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise LinkUrlError(f"{url!r} has no usable port number") from None
    if not host or not port:
        raise LinkUrlError(f"{url!r} must name host and port: {parts.scheme}://192.0.2.7:502")
    if parts.query or parts.path not in ("", "/"):
        raise LinkUrlError(f"{url!r}: nothing may follow the port")
    return LinkTarget(kind=parts.scheme, place=host, port=port)


def _parse_serial(place: str, query: str) -> LinkTarget:
    if not place.startswith("/"):
        raise LinkUrlError("a serial link names a path: serial:///dev/ttyS1?baud=9600")
    numbers: dict[str, int] = {}
    parity = "N"
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key == "parity":
            parity = text.upper()
            if parity not in ("N", "E", "O"):
                raise LinkUrlError(f"parity must be N, E or O, not {text!r}")
        elif key not in _SERIAL_CHOICES:
            raise LinkUrlError(f"unknown {key!r} ({nearest(key, (*_SERIAL_CHOICES, 'parity'))})")
        elif not text.isascii() or not text.isdigit() or int(text) not in _SERIAL_CHOICES[key]:
            raise LinkUrlError(f"{key} cannot be {text!r}")
        else:
            numbers[key] = int(text)
    return LinkTarget(kind="serial", place=place, parity=parity, **numbers)


class Receiver(Protocol):
    """Who listens to a link; called from the event loop."""

    def bytes_came(self, data: bytes) -> None:
        """Some bytes arrived."""
        ...

    def link_lost(self, why: str) -> None:
        """The pipe broke; no byte will come any more. Not called after ``close``."""
        ...


class Link(Protocol):
    """A byte pipe that is open or not; ``target`` gives its timing and framing."""

    target: LinkTarget

    async def open(self, receiver: Receiver) -> str:
        """Open; "" when that worked, else what is wrong, in words."""
        ...

    def send(self, data: bytes) -> None:
        """Queue bytes for the wire; silently nothing on a link that is not open."""
        ...

    def tune(self, line: LineSettings) -> None:
        """Change speed and parity of an open port; `target` says the new ones from now on. Nothing on a network."""
        ...

    def close(self) -> None:
        """Close at once; harmless when already closed."""
        ...


_PARITY = {"N": 0, "E": termios.PARENB, "O": termios.PARENB | termios.PARODD}


def set_line(fd: int, line: LineSettings) -> None:
    """Speed, parity and stop bits of an open port in one step, so that it is never at a wrong one in between.

    ValueError for a speed that termios has no name for; OSError or termios.error when the driver refuses. A
    pseudo-terminal has no parity and says so (EINVAL) although it has taken the speed: that is no refusal.
    """
    speed = getattr(termios, f"B{line.baud}", None)
    if speed is None:
        raise ValueError(f"{line.baud} is no speed of this system")
    settings = termios.tcgetattr(fd)
    flags = settings[2] & ~(termios.PARENB | termios.PARODD | termios.CSTOPB)
    settings[2] = flags | _PARITY[line.parity] | (termios.CSTOPB if line.stop == 2 else 0)
    settings[4] = settings[5] = speed
    try:
        termios.tcsetattr(fd, termios.TCSANOW, settings)
    except termios.error:
        if termios.tcgetattr(fd)[5] != speed:
            raise


class SerialLink:
    """A serial port or pseudo-terminal: pyserial configures and locks it, the event loop reads and writes
    it."""

    def __init__(self, target: LinkTarget) -> None:
        self.target = target
        self._receiver: Receiver | None = None
        self._port: Any = None
        self._fd = -1
        self._unsent = b""

    async def open(self, receiver: Receiver) -> str:
        """See ``Link.open``; the port is taken exclusively, so that two programs never share a bus."""
        import serial  # here, because a pole with TCP links only never needs it

        target = self.target
        try:
            port = serial.Serial(
                target.place,
                target.baud,
                bytesize=target.bits,
                stopbits=target.stop,
                timeout=0,
                exclusive=True,
            )
            set_line(port.fileno(), line_of(target))
            port.reset_input_buffer()
        except (OSError, ValueError, termios.error) as trouble:  # SerialException is an OSError
            return f"{target.place}: {trouble}"
        self._port, self._receiver, self._fd, self._unsent = port, receiver, port.fileno(), b""
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self._readable)
        return ""

    def send(self, data: bytes) -> None:
        """See ``Link.send``."""
        if self._fd < 0:
            return
        self._unsent += data
        self._writable()

    def tune(self, line: LineSettings) -> None:
        """See ``Link.tune``; an adapter that refuses is lost, so that nobody speaks at a wrong speed."""
        self.target = on_line(self.target, line)
        if self._port is None:
            return
        try:
            set_line(self._fd, line)
        except (OSError, ValueError, termios.error) as trouble:
            self._lost(f"{self.target.place}: takes no {line.baud} 8{line.parity}{line.stop}: {trouble}")

    def close(self) -> None:
        """See ``Link.close``."""
        if self._fd < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        self._fd, self._receiver, self._unsent = -1, None, b""
        port, self._port = self._port, None
        with contextlib.suppress(OSError):  # the device is gone (USB pulled out): nothing is left to close
            port.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as trouble:
            self._lost(f"{self.target.place}: {trouble.strerror}")
            return
        if not data:
            self._lost(f"{self.target.place}: hung up")
        elif self._receiver is not None:
            self._receiver.bytes_came(data)

    def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            written = os.write(self._fd, self._unsent)
        except BlockingIOError:
            written = 0
        except OSError as trouble:
            self._lost(f"{self.target.place}: {trouble.strerror}")
            return
        self._unsent = self._unsent[written:]
        if not self._unsent:
            loop.remove_writer(self._fd)
        elif len(self._unsent) > UNSENT_LIMIT:
            self._lost(f"{self.target.place}: takes no more bytes")
        else:
            loop.add_writer(self._fd, self._writable)

    def _lost(self, why: str) -> None:
        receiver = self._receiver
        self.close()
        if receiver is not None:
            receiver.link_lost(why)


class _Pipe(asyncio.Protocol):
    """One connection's life. Each gets its own object, so that a closed one cannot speak for its
    successor."""

    def __init__(self, receiver: Receiver, name: str) -> None:
        self.receiver: Receiver | None = receiver
        self.name = name

    def data_received(self, data: bytes) -> None:
        if self.receiver is not None:
            self.receiver.bytes_came(data)

    def connection_lost(self, trouble: Exception | None) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.link_lost(f"{self.name}: {trouble or 'closed by the other side'}")


class TcpLink:
    """One TCP connection (Modbus TCP, or RTU frames through a transparent server)."""

    def __init__(self, target: LinkTarget) -> None:
        self.target = target
        self._pipe: _Pipe | None = None
        self._transport: asyncio.Transport | None = None

    async def open(self, receiver: Receiver) -> str:
        """See ``Link.open``."""
        self.close()
        loop = asyncio.get_running_loop()
        name = f"{self.target.place}:{self.target.port}"
        pipe = _Pipe(receiver, name)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                transport, _ = await loop.create_connection(lambda: pipe, self.target.place, self.target.port)
        except TimeoutError:
            return f"{name}: no connection within {CONNECT_SECONDS:g} s"
        except OSError as trouble:
            return f"{name}: {trouble.strerror or trouble}"
        self._transport, self._pipe = transport, pipe
        return ""

    def send(self, data: bytes) -> None:
        """See ``Link.send``."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > UNSENT_LIMIT:
            transport.abort()  # connection_lost then tells the receiver
            return
        transport.write(data)

    def tune(self, line: LineSettings) -> None:
        """See ``Link.tune``: a transparent server has its own settings."""

    def close(self) -> None:
        """See ``Link.close``."""
        if self._pipe is not None:
            self._pipe.receiver = None
            self._pipe = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


def make_link(target: LinkTarget) -> Link:
    """The link that a target asks for, not yet open."""
    return SerialLink(target) if target.kind == "serial" else TcpLink(target)
