"""The doors themselves: a TCP server and a datagram socket that hand what arrives to a protocol's sessions.

A session is a boundary: whatever goes wrong in one, a bug of ours included, ends that session, is counted, and touches
no other. Refuses more connections than the process may have, and waits for no device for ever.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from gateway.listeners.config import ListenerConfig
from gateway.listeners.desk import Desk
from gateway.listeners.protocols import SendTo, ServingModule, Session, SessionMaker, SessionModule, module_of

log = logging.getLogger(__name__)

READ_BYTES = 16_384

MOST_CONNECTIONS = 10_000
"""Of one listener; an idle one takes some 20 kB."""

IDLE_SECONDS = 1_800.0
"""A connection that says nothing for this long is closed: heartbeats come every minute or so, and dead ones say
nothing at all. The device simply connects again."""

PARTING_SECONDS = 5.0
"""At a stop, what was received may still reach the disk and be acknowledged for this long."""

UNSENT_BYTES = 65_536
"""A device that does not read its acknowledgements is let go."""

MOST_PEERS = 65_536
"""Datagram sessions kept by address; a session holds nothing that matters beyond a packet or two."""

QUEUED_DATAGRAMS = 4_096
"""Datagrams that wait for their session; more are dropped and counted: their devices say it again."""


async def open_door(config: ListenerConfig, desk: Desk, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """Serve one listener until ``stop``. OSError when the address cannot be had."""
    module = module_of(config.protocol)
    if config.transport == "coap" or not hasattr(module, "Session"):
        await cast(ServingModule, module).serve(desk, config.host, config.port, ready, stop)
    elif config.transport == "udp":
        await _serve_datagrams(cast(SessionModule, module).Session, config, desk, ready, stop)
    else:
        await _serve_streams(cast(SessionModule, module).Session, config, desk, ready, stop)


async def _serve_streams(
    maker: SessionMaker, config: ListenerConfig, desk: Desk, ready: asyncio.Event, stop: asyncio.Event
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks: dict[asyncio.Task[None], tuple[asyncio.StreamReader, asyncio.WriteTransport]] = {}

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = group.create_task(_converse(maker, desk, reader, writer))
            tasks[task] = reader, writer.transport
            task.add_done_callback(tasks.pop)

        server = await asyncio.start_server(connected, config.host, config.port, limit=READ_BYTES, backlog=1024)
        try:
            ready.set()
            await stop.wait()
        finally:
            server.close()
            for reader, transport in tasks.values():
                assert isinstance(transport, asyncio.ReadTransport)
                transport.pause_reading()
                reader.feed_eof()  # what was received is still answered; nothing more is read
            if tasks:
                await asyncio.wait(list(tasks), timeout=PARTING_SECONDS)
            for task in tasks:
                task.cancel()


async def _converse(
    maker: SessionMaker, desk: Desk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection, from its first byte to its last."""
    address = writer.get_extra_info("peername") or ("?", 0)
    peer = f"{address[0]}:{address[1]}"
    if desk.counts.open >= MOST_CONNECTIONS:
        desk.counts.refused += 1
        writer.transport.abort()
        return
    desk.counts.open += 1
    desk.counts.sessions += 1
    session = maker(desk, peer, writer.write)
    try:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                data = await reader.read(READ_BYTES)
            if not data:
                break
            await session.feed(data)
            if writer.transport.get_write_buffer_size() > UNSENT_BYTES:
                log.info("%s: %s does not read what it is sent", desk.name, peer)
                break
    except (OSError, TimeoutError) as trouble:
        log.info("%s: %s lost: %s", desk.name, peer, trouble or "silent for too long")
    except Exception:  # the boundary round one session (DESIGN, errors): counted, and logged with its traceback
        desk.counts.bugs += 1
        log.exception("%s: the session of %s ended by a bug", desk.name, peer)
    finally:
        desk.counts.open -= 1
        _close(session, desk, peer)
        writer.close()


def _close(session: Session, desk: Desk, peer: str) -> None:
    try:
        session.closed()
    except Exception:  # the same boundary: the end of one session is no end of others
        desk.counts.bugs += 1
        log.exception("%s: the session of %s closed by a bug", desk.name, peer)


class _Datagrams(asyncio.DatagramProtocol):
    """One socket for all: datagrams wait in a bounded queue for the task that feeds the sessions."""

    def __init__(self, desk: Desk, queue: "asyncio.Queue[tuple[bytes, tuple[str, int]]]") -> None:
        self._desk = desk
        self._queue = queue

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._queue.full():
            self._desk.counts.refused += 1
        else:
            self._queue.put_nowait((data, addr))

    def error_received(self, trouble: Exception) -> None:
        log.debug("%s: %s", self._desk.name, trouble)


class _Peers:
    """The sessions of one datagram socket by address; the one unheard for longest makes room."""

    def __init__(self, maker: SessionMaker, desk: Desk, send: SendTo) -> None:
        self._maker = maker
        self._desk = desk
        self._send = send
        self._sessions: OrderedDict[tuple[str, int], Session] = OrderedDict()

    def session(self, addr: tuple[str, int]) -> Session:
        """The session of that address, a new one if need be."""
        session = self._sessions.get(addr)
        if session is None:
            session = self._maker(self._desk, f"{addr[0]}:{addr[1]}", self._sender(addr))
            self._sessions[addr] = session
            self._desk.counts.sessions += 1
            if len(self._sessions) > MOST_PEERS:
                self.drop(next(iter(self._sessions)))
        self._sessions.move_to_end(addr)
        return session

    def drop(self, addr: tuple[str, int]) -> None:
        """End a session."""
        session = self._sessions.pop(addr, None)
        if session is not None:
            _close(session, self._desk, f"{addr[0]}:{addr[1]}")

    def close(self) -> None:
        """End all."""
        for addr in list(self._sessions):
            self.drop(addr)

    def _sender(self, addr: tuple[str, int]) -> Callable[[bytes], None]:
        return lambda data: self._send(data, addr)


FEEDERS = 64
"""Datagrams in the hands of sessions at once: as many share one commit of the spool."""


async def _serve_datagrams(
    maker: SessionMaker, config: ListenerConfig, desk: Desk, ready: asyncio.Event, stop: asyncio.Event
) -> None:
    queue: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue(QUEUED_DATAGRAMS)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(desk, queue), local_addr=(config.host, config.port)
    )
    peers = _Peers(maker, desk, transport.sendto)
    try:
        async with asyncio.TaskGroup() as group:
            feeders = [group.create_task(_feed(queue, peers, desk)) for _ in range(FEEDERS)]
            ready.set()
            await stop.wait()
            with suppress(TimeoutError):  # what was received is still answered
                async with asyncio.timeout(PARTING_SECONDS):
                    await queue.join()
            for feeder in feeders:
                feeder.cancel()
    finally:
        peers.close()
        transport.close()


async def _feed(queue: "asyncio.Queue[tuple[bytes, tuple[str, int]]]", peers: _Peers, desk: Desk) -> None:
    while True:
        data, addr = await queue.get()
        try:
            await peers.session(addr).feed(data)
        except Exception:  # the boundary round one session, as for streams
            desk.counts.bugs += 1
            log.exception("%s: the session of %s:%d ended by a bug", desk.name, *addr)
            peers.drop(addr)
        finally:
            queue.task_done()
