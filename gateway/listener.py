"""The door for agents on the same machine: a unix socket, or TCP on the loopback interface.

A session is a boundary: whatever goes wrong in one, a bug of ours included, ends that session, is counted, and touches
no other. Refuses more sessions than there can be agents and tools on one pole.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from device_profiles.handover import HandoverError, Trouble, encode
from device_profiles.problems import ConfigError, Problem
from gateway.commands import Commands
from gateway.session import Session
from gateway.spool import Spool
from gateway.taps import Taps

log = logging.getLogger(__name__)

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]

MAX_SESSIONS = 64
"""Agents and tools at once; each may have 16 batches waiting for the disk."""


class ListenError(ConfigError):
    """The door cannot be opened, in words for the operator."""

    def __init__(self, listen: Path | tuple[str, int], message: str) -> None:
        place = str(listen) if isinstance(listen, Path) else f"tcp://{listen[0]}:{listen[1]}"
        super().__init__([Problem(place, 0, "", message)])


class SessionCounts(msgspec.Struct):
    """What became of sessions since the gateway started."""

    open: int = 0
    served: int = 0
    turned_away: int = 0
    malformed: int = 0
    bugs: int = 0


class Listener:
    """Accepts sessions until it is stopped."""

    def __init__(
        self,
        listen: Path | tuple[str, int],
        spool: Spool,
        taps: Taps,
        commands: Commands,
        callers: Callable[[], list[dict[str, object]]] = list,
    ) -> None:
        """``callers``: who calls the gateway's other doors, for a tool that asks."""
        self._listen = listen
        self._callers = callers
        self._commands = commands
        self._spool = spool
        self._taps = taps
        self._stop = asyncio.Event()
        self.counts = SessionCounts()

    async def run(self, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Serve until ``stop``; then close the door, answer what was sent, and return. ListenError at the start."""
        async with asyncio.TaskGroup() as group:

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                group.create_task(self._contain(reader, writer))

            server = await self._open(connected)
            try:
                ready.set()
                await stop.wait()
            finally:
                server.close()
                self._stop.set()
        if isinstance(self._listen, Path):
            self._listen.unlink(missing_ok=True)

    async def _open(self, connected: Connected) -> asyncio.Server:
        try:
            if isinstance(self._listen, Path):
                self._listen.parent.mkdir(parents=True, exist_ok=True)
                _remove_dead_socket(self._listen)
                return await asyncio.start_unix_server(connected, self._listen)
            host, port = self._listen
            return await asyncio.start_server(connected, host, port)
        except OSError as trouble:
            raise ListenError(self._listen, f"cannot listen here: {trouble.strerror or trouble}") from None

    async def _contain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The boundary round one session."""
        self.counts.open += 1
        try:
            await self._serve(reader, writer)
        except* HandoverError as group:
            self.counts.malformed += 1
            log.warning("session ended: %s", "; ".join(str(error) for error in group.exceptions))
        except* OSError as group:
            log.info("session lost: %s", "; ".join(str(error) for error in group.exceptions))
        except* Exception:
            self.counts.bugs += 1
            log.exception("session ended by a bug")
        finally:
            self.counts.open -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.counts.open > MAX_SESSIONS:
            self.counts.turned_away += 1
            writer.write(encode(Trouble("too many sessions")))
            await writer.drain()
            return
        self.counts.served += 1
        session = Session(reader, writer, self._spool, self._taps, self._answer, self._commands)
        await session.run(self._stop)

    async def _answer(self, what: str) -> bytes:
        """Reply to a tool's question. HandoverError for a question that we do not know."""
        if what == "ledger":
            return msgspec.json.encode(self._spool.view.ledger())
        if what == "spool":
            return msgspec.json.encode(await self._spool.depth())
        if what == "sessions":
            return msgspec.json.encode(self._callers())
        raise HandoverError(f"no answer to {what!r}: ask for ledger, spool, sessions or tap")


def _remove_dead_socket(path: Path) -> None:
    """Remove a socket that nobody listens on (a gateway was killed); OSError when somebody does."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError("another gateway does")
