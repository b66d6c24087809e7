"""Lamps that keep what is written, on a line in memory, and a gateway that hands commands down to their agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from device_profiles.codecs.modbus_pdu import (
    ILLEGAL_FUNCTION,
    Read,
    Trigger,
    WriteMany,
    WriteOne,
    decode_request,
    encode_exception,
    encode_reply,
)
from device_profiles.commands import Command, CommandResult, decode_result, encode_command
from device_profiles.handover import CommandMessage, ResultMessage, encode
from edge_agent import service
from edge_agent.assembly import Agent
from edge_agent.config import load_config
from edge_agent.links import LinkTarget
from tests.rooms.agent.sites import FakeGateway, start
from tests.rooms.agent.wire import CLEAN, FakeUnit, Fate, MemoryLink
from tests.virtual_time import START_MICROSECONDS, VirtualClock, run_virtual

PROFILES = Path(__file__).parents[2] / "drills" / "profiles"
LATE = 1.0
"""Seconds for which a line is listened to before the first question: the profile's late_ms."""

LEVEL, VALVE = 0, 3
"""Addresses of the drill lamp's points."""


@dataclass
class Lamp(FakeUnit):
    """A unit that keeps what is written. `at_write`, `at_read`: what becomes of its answers; `numb`: it does not obey;
    `slow`: it obeys at the n-th read after the write; `unknown`: functions that it does not know."""

    words: dict[int, int] = field(default_factory=lambda: {0: 10_000, 1: 0, 2: 0x4396, 3: 0x0001})
    coils: dict[int, int] = field(default_factory=lambda: {0: 0})
    writes: list[WriteOne | WriteMany] = field(default_factory=list)
    at_write: Fate = CLEAN
    at_read: Fate = CLEAN
    numb: bool = False
    slow: int = 0
    unknown: tuple[int, ...] = ()
    refusal: int = 0
    log: list[str] = field(default_factory=list)
    _later: list[WriteOne | WriteMany] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registers = lambda read, n: [self.words[read.address + i] for i in range(read.count)]

    def reply(self, pdu: bytes, fate: Fate) -> bytes:
        request = decode_request(pdu)
        if isinstance(request, Read):
            return self._read(request, pdu, fate)
        assert not isinstance(request, Trigger)  # on the wire it is a read
        self.log.append("write")
        if request.function in self.unknown:
            return encode_exception(request.function, ILLEGAL_FUNCTION)
        self.writes.append(request)
        if self.refusal:
            return encode_exception(request.function, self.refusal)
        if self.slow:
            self._later.append(request)
        elif not self.numb:
            self._obey(request)
        return encode_reply(request)

    def meet(self, pdu: bytes) -> None:
        """Before each question: its fate. A write whose answer is lost is obeyed all the same."""
        request = decode_request(pdu)
        fate = self.at_read if isinstance(request, Read) else self.at_write
        self.fate = lambda n: fate
        if fate.silent and not isinstance(request, Read):
            self.reply(pdu, CLEAN)

    def _read(self, request: Read, pdu: bytes, fate: Fate) -> bytes:
        self.log.append("read")
        if self._later:
            self.slow -= 1
            if not self.slow:
                self._obey(self._later.pop())
        if request.function == 1:
            self.reads.append(request)
            return encode_reply(request, bytes([self.coils[request.address]]))
        return super().reply(pdu, fate)

    def _obey(self, request: WriteOne | WriteMany) -> None:
        if isinstance(request, WriteOne):
            (self.coils if request.function == 5 else self.words)[request.address] = request.value
        else:
            for i in range(request.count):
                self.words[request.address + i] = int.from_bytes(request.data[2 * i : 2 * i + 2], "big")


class LampLine(MemoryLink):
    """A line that lets its lamps know what they are asked before they answer."""

    def _ask(self, address: int, pdu: bytes, at: float, transaction: int) -> None:
        unit = self.units.get(address)
        if isinstance(unit, Lamp):
            unit.meet(pdu)
        super()._ask(address, pdu, at, transaction)


class Commander(FakeGateway):
    """A gateway that hands commands down and keeps the results."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.results: list[CommandResult] = []

    def take(self, message: object) -> object:  # type: ignore[override]  # results need no answer
        if isinstance(message, ResultMessage):
            self.results.append(decode_result(message.payload))
            return None
        return super().take(message)

    def command(
        self, point: str, value: float, id_: str = "a" * 32, left: float = 60.0, device: str = "lamp-1"
    ) -> None:
        command = Command(id_, device, point, value, START_MICROSECONDS, START_MICROSECONDS + 60_000_000, "test")
        self._writers[-1].write(encode(CommandMessage(encode_command(command), left)))

    async def result(self) -> CommandResult:
        await self.until(lambda: bool(self.results))
        return self.results.pop(0)


Story = Callable[[Commander, list[MemoryLink]], Awaitable[None]]


def run_story(folder: Path, units: list[FakeUnit], story: Story, url: str = "", rows: str = "") -> Agent:
    """An agent with these units on one line, through a story, to its end."""
    devices = "".join(
        f'[[devices]]\nname = "lamp-{n}"\nprofile = "drill-lamp"\nlink = "line"\nunit = {n}\n{rows}\n'
        for n in (unit.address for unit in units)
    )
    (folder / "site.toml").write_text(
        f'[site]\nname = "test-1"\nprofiles = ["{PROFILES}"]\n[gateway]\nsocket = "gw.sock"\n'
        f'[[links]]\nname = "line"\nurl = "{url or "serial:///dev/none?baud=9600"}"\n{devices}'
    )
    config = load_config(folder / "site.toml")

    links: list[MemoryLink] = []

    def open_link(target: LinkTarget) -> MemoryLink:
        links.append(LampLine(target, units))
        return links[-1]

    async def main() -> Agent:
        gateway = Commander(folder / "gw.sock")
        server = await start(gateway)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(service.run(config, VirtualClock(), stop, None, open_link))
            await gateway.until(lambda: gateway.manifest is not None)
            await story(gateway, links)
            stop.set()
            agent = await running
        gateway.drop_connections()
        server.close()
        await server.wait_closed()
        return agent

    return run_virtual(main(), limit=10_000)


def commanded(folder: Path, unit: Lamp, point: str, value: float, url: str = "", rows: str = "") -> CommandResult:
    """The result of one command."""
    found: list[CommandResult] = []

    async def story(gateway: Commander, links: list[MemoryLink]) -> None:
        await asyncio.sleep(LATE + 2)
        gateway.command(point, value)
        found.append(await gateway.result())

    agent = run_story(folder, [unit], story, url, rows)
    assert agent.outbox.empty
    return found[0]
