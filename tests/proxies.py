"""Bad networks, made on purpose: a TCP and a UDP proxy on the loopback interface that a test holds in its hand.

Nothing here happens by time: a link is down until it is up, bytes are held until they are let go. What chance decides
comes out of the `random.Random` that the test seeds and prints.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.parts import free_port

HOST = "127.0.0.1"
Address = tuple[str, int]


class _Leg(asyncio.Protocol):
    """One of a connection's two ends at the proxy; what it hears goes to the other. ``answers``: the target's end."""

    def __init__(self, link: TcpProxy, answers: bool) -> None:
        self.link = link
        self.answers = answers
        self.other: _Leg | None = None
        self.transport: asyncio.Transport | None = None
        self.swallowing = False
        self._early: list[bytes] = []
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.link.legs.add(self)

    def meet(self, other: _Leg) -> None:
        """The other end is there: what came before it is passed on."""
        self.other, other.other = other, self
        if not self.link.holds(self):
            self.let_go()

    @property
    def hears_nothing(self) -> bool:
        """True when what the other end says is swallowed."""
        return self.other is not None and self.other.swallowing

    def data_received(self, data: bytes) -> None:
        if self.swallowing or self.link.swallowing:
            self.swallowing = True  # a stream with a hole in it is never whole again
            self.link.swallowed += len(data)
            self.link.news.set()
        elif self.other is None or self.link.holds(self):
            self._early.append(data)
            self.link.held += len(data)
            self.link.news.set()
        else:
            self.other.pass_on(data)

    def let_go(self) -> None:
        """Pass on what was held."""
        if self.other is not None:
            for data in self._early:
                self.other.pass_on(data)
            self._early.clear()
            if self._ended:
                self.other.end()

    def end(self) -> None:
        """Say that no more will come out of this end."""
        assert self.transport is not None
        if not self.transport.is_closing():
            self.transport.write_eof()

    def pass_on(self, data: bytes) -> None:
        """Out of this end, in as many pieces as the link makes of it."""
        assert self.transport is not None
        for piece in self.link.pieces(data):
            self.transport.write(piece)

    def eof_received(self) -> bool:
        if self.other is None:
            self._ended = True
        elif self.swallowing or self.link.swallowing or self.other.swallowing:
            self.swallowing = True  # the other end never learns of it
            return False
        elif self.link.holds(self):
            self._ended = True
        else:
            self.other.end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.legs.discard(self)
        self.link.news.set()
        if self.other is not None and self.other.transport is not None and not self.swallowing:
            self.other.transport.close()


class TcpProxy:
    """A link to one TCP port; see `tcp_link`. ``connections``: carried so far; ``swallowed``, ``held``: bytes."""

    def __init__(self, target: int, chance: random.Random) -> None:
        self.port = free_port()
        self.target = target
        self.legs: set[_Leg] = set()
        self.connections = 0
        self.swallowed = self.held = 0
        self.swallowing = self.chopping = False
        self.news = asyncio.Event()
        self._holding: tuple[bool, ...] = ()
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._group: asyncio.TaskGroup | None = None

    async def up(self) -> None:
        """Carry connections."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accept, HOST, self.port)

    def down(self) -> None:
        """Refuse connections, and cut those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self) -> None:
        """Reset every connection, as a router does that forgot them; new ones may come."""
        for leg in list(self.legs):
            assert leg.transport is not None
            leg.transport.abort()

    def black_hole(self) -> None:
        """Swallow from now on what comes over every connection, old and new; none of them ends."""
        self.swallowing = True

    def heal(self) -> None:
        """New connections are carried again; those that lost bytes stay dead, and nobody is told."""
        self.swallowing = False

    def hold(self, *, answers_only: bool = False) -> None:
        """Keep what comes; nothing is lost unless the connection is cut."""
        self._holding = (True,) if answers_only else (True, False)
        self.held = 0

    def holds(self, leg: _Leg) -> bool:
        """True while what this end hears is kept."""
        return leg.answers in self._holding

    def release(self) -> None:
        """Let go what was kept, in order, and keep nothing any more."""
        self._holding = ()
        for leg in list(self.legs):
            leg.let_go()

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Wait for bytes and ends of connections until something holds."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"never: {what}") from None

    def pieces(self, data: bytes) -> list[bytes]:
        """The data as it is written: whole, or when ``chopping`` in pieces of any size."""
        if not self.chopping or len(data) < 2:
            return [data]
        cuts = sorted({self._chance.randrange(1, len(data)) for _ in range(3)})
        return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _accept(self) -> _Leg:
        leg = _Leg(self, answers=False)
        self.connections += 1
        assert self._group is not None
        self._group.create_task(self._connect(leg))
        return leg

    async def _connect(self, leg: _Leg) -> None:
        try:
            _, there = await asyncio.get_running_loop().create_connection(
                lambda: _Leg(self, answers=True), HOST, self.target
            )
        except OSError:  # nobody is there: the caller sees its connection end
            if leg.transport is not None:
                leg.transport.abort()
            return
        leg.meet(there)
        if leg not in self.legs:
            assert there.transport is not None
            there.transport.abort()


@asynccontextmanager
async def tcp_link(target: int, chance: random.Random | None = None) -> AsyncIterator[TcpProxy]:
    """A link to a TCP port of this machine while the context lasts; up at the beginning."""
    link = TcpProxy(target, chance or random.Random(0))
    async with asyncio.TaskGroup() as group:
        link._group = group
        await link.up()
        try:
            yield link
        finally:
            link.down()


class _Inside(asyncio.DatagramProtocol):
    """The side that the devices call."""

    def __init__(self, link: UdpProxy) -> None:
        self._link = link

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._link.outward(data, addr)


class _Mapping(asyncio.DatagramProtocol):
    """One address translation: what comes back to it goes to the device, as long as it stands."""

    def __init__(self, link: UdpProxy, device: Address) -> None:
        self._link = link
        self.device = device

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._link.inward(data, self)


class UdpProxy:
    """A network address translator before one UDP port; see `udp_link`.

    Each datagram either way is lost, said twice or overtaken by the next one with the given probabilities.
    """

    def __init__(self, target: int, chance: random.Random) -> None:
        self.port = 0
        self.target = target
        self.lose = self.double = self.overtake = 0.0
        self.swallowing = False
        self.mappings = self.lost = self.doubled = self.overtaken = 0
        self.passes: Callable[[bool, bytes], bool] = lambda inward, data: True
        """A test's own filter: (towards the device, datagram); what it refuses is lost."""
        self._chance = chance
        self._late: dict[object, bytes] = {}
        self._open: dict[Address, tuple[asyncio.DatagramTransport, _Mapping]] = {}
        self._waiting: dict[Address, list[bytes]] = {}
        self._inside: asyncio.DatagramTransport | None = None
        self._group: asyncio.TaskGroup | None = None

    def rebind(self) -> None:
        """Forget every translation: the next datagram of a device comes from another port, old answers are lost."""
        for transport, _ in self._open.values():
            transport.close()
        self._open.clear()

    def outward(self, data: bytes, device: Address) -> None:
        """A device's datagram, to the target."""
        for each in self._fate(data, device, False):
            if device in self._open:
                self._open[device][0].sendto(each)
            elif device in self._waiting:
                self._waiting[device].append(each)
            else:
                self._waiting[device] = [each]
                assert self._group is not None
                self._group.create_task(self._map(device))

    def inward(self, data: bytes, mapping: _Mapping) -> None:
        """An answer, to the device behind the translation."""
        assert self._inside is not None
        for each in self._fate(data, mapping, True):
            self._inside.sendto(each, mapping.device)

    def _fate(self, data: bytes, direction: object, inward: bool) -> list[bytes]:
        """What leaves now: nothing, the datagram, two of it, or it and one that it overtook."""
        if self.swallowing or not self.passes(inward, data) or self._chance.random() < self.lose:
            self.lost += 1
            return []
        late = self._late.pop(direction, None)
        if late is None and self._chance.random() < self.overtake:
            self._late[direction] = data
            self.overtaken += 1
            return []
        twice = self._chance.random() < self.double
        self.doubled += twice
        return [data] * (1 + twice) + ([late] if late is not None else [])

    async def _map(self, device: Address) -> None:
        mapping = _Mapping(self, device)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: mapping, remote_addr=(HOST, self.target)
        )
        self.mappings += 1
        self._open[device] = transport, mapping
        for data in self._waiting.pop(device):
            transport.sendto(data)


@asynccontextmanager
async def udp_link(target: int, chance: random.Random | None = None) -> AsyncIterator[UdpProxy]:
    """A translator before a UDP port of this machine while the context lasts; it harms nothing at the beginning."""
    link = UdpProxy(target, chance or random.Random(0))
    async with asyncio.TaskGroup() as group:
        link._group = group
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Inside(link), local_addr=(HOST, 0))
        link._inside = transport
        link.port = transport.get_extra_info("sockname")[1]
        try:
            yield link
        finally:
            transport.close()
            link.rebind()
