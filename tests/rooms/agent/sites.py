"""Sites for tests: a site.toml on disk, its agent on in-memory lines, and a gateway that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from device_profiles.envelope import Columns, decode_batch, unpack_body
from device_profiles.handover import (
    BatchMessage,
    Bye,
    HandoverReceipt,
    Hello,
    ManifestMessage,
    Reader,
    encode,
)
from device_profiles.ledger import Ledger
from device_profiles.manifests import Manifest, decode_manifests
from device_profiles.quality import Reason
from edge_agent.config import AgentConfig, load_config
from edge_agent.links import LinkTarget
from tests.rooms.agent.wire import FakeUnit, MemoryLink

LIBRARY = Path(__file__).with_name("library")
"""Profiles of the tests' own: what they count must not change when the library learns."""

QUIET = "own_readings = false\n"
"""What an agent says of itself would disturb a count of what its units said."""


def write_site(
    folder: Path,
    units: int = 1,
    extra: str = "",
    device: str = "",
    profile: str = "agent-louver",
    agent: str = QUIET,
) -> Path:
    """A site with one line at 9600 baud and `units` units of one model; `agent`: what is in its [agent] table."""
    path = folder / "site.toml"
    devices = "".join(
        f'\n[[devices]]\nname = "unit-{n}"\nprofile = "{profile}"\nlink = "line"\nunit = {n}\n{device}'
        for n in range(1, units + 1)
    )
    path.write_text(
        f'[site]\nname = "test-1"\nprofiles = ["{LIBRARY}"]\n\n[gateway]\nsocket = "gw.sock"\n\n[agent]\n{agent}\n'
        f'[[links]]\nname = "line"\nurl = "serial:///dev/none?baud=9600"\n{devices}{extra}'
    )
    return path


def site(folder: Path, units: int = 1, **rest: str) -> AgentConfig:
    """Such a site, read."""
    return load_config(write_site(folder, units, **rest))


def on_memory(units: Iterable[FakeUnit], made: list[MemoryLink]) -> Callable[[LinkTarget], MemoryLink]:
    """An `open_link` that puts `units` on every link, and notes the links in `made`."""

    def open_link(target: LinkTarget) -> MemoryLink:
        made.append(MemoryLink(target, units))
        return made[-1]

    return open_link


class FakeGateway:
    """The gateway's side of the socket: keeps what it accepts, refuses while `refusal` is set, and checks
    every ledger."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refusal = Reason.NONE
        self.hellos: list[Hello] = []
        self.manifest: Manifest | None = None
        self.batches: dict[int, Columns] = {}
        self.ledger = Ledger()
        self.bye: Bye | None = None
        self.refused = 0
        self.changed = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def readings(self) -> int:
        """Readings accepted."""
        return sum(len(columns.codes) + len(columns.others) for columns in self.batches.values())

    def drop_connections(self) -> None:
        """As if the gateway had been killed."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session."""
        self._writers.append(writer)
        messages = Reader()
        try:
            while data := await reader.read(65536):
                for message in messages.feed(data):
                    answer = self.take(message)
                    if answer is not None:
                        writer.write(encode(answer))
                    self.changed.set()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    def take(self, message: object) -> HandoverReceipt | None:
        """Judge one message."""
        if isinstance(message, Hello):
            self.hellos.append(message)
        elif isinstance(message, ManifestMessage):
            self.manifest = decode_manifests(message.payload)[1][0]
        elif isinstance(message, Bye):
            self.bye = message
            self.ledger = msgspec.json.decode(message.ledger, type=Ledger)
            self.check()
        elif isinstance(message, BatchMessage):
            return self.receive(message)
        return None

    def receive(self, message: BatchMessage) -> HandoverReceipt:
        """Accept a batch, unless refusing; a batch that is here already is acknowledged and changes
        nothing."""
        batch = decode_batch(message.payload)
        name = batch.origin, batch.epoch, batch.seq
        if self.refusal:
            self.refused += 1
            return HandoverReceipt(*name, False, self.refusal)
        if batch.seq not in self.batches:
            assert batch.seq == len(self.batches) + 1, "no holes in seq"
            self.batches[batch.seq] = unpack_body(batch)
            self.ledger = msgspec.json.decode(message.ledger, type=Ledger)
            self.check()
        return HandoverReceipt(*name, True)

    def check(self) -> None:
        """The identity, at each sealing: what the agent says it handed over is here or refused with a
        reason."""
        whole = msgspec.structs.replace(self.ledger, spooled=self.readings, waiting=self.readings)
        assert whole.differences() == []

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something to come true after a message."""
        while not holds():
            self.changed.clear()
            await self.changed.wait()


async def start(gateway: FakeGateway) -> asyncio.Server:
    """Listen."""
    return await asyncio.start_unix_server(gateway.serve, str(gateway.path))
