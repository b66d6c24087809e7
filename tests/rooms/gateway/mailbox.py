"""A gateway's commands over a real spool; the clock is moved by hand, and what an agent is told is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from device_profiles.commands import (
    Command,
    CommandOutcome,
    CommandResult,
    decode_command,
    encode_commands,
)
from device_profiles.envelope import decode_batch, unpack_body
from device_profiles.handover import CommandMessage
from device_profiles.profiles import DeviceProfile
from gateway import command_rows, rows
from gateway.command_rows import CommandRow, Standing
from gateway.commands import Commands
from gateway.config import SpoolConfig
from gateway.spool import Spool
from gateway.taps import Taps
from tests.rooms.gateway.doubles import AGENT, SITE

NOON = 1_795_262_400_000_000
PATIENCE = 20.0
ANNOUNCED = frozenset({"air-0"})
"""The device in `doubles.manifest_of`."""


class HandClock:
    """A clock that the test moves."""

    def __init__(self, at: int = NOON) -> None:
        self.at, self.seconds = at, 0.0

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.at += round(seconds * 1e6)
        self.seconds += seconds


class Desk:
    """A gateway's commands over a real spool, and everything that was said to an agent."""

    def __init__(self, spool: Spool, commands: Commands, clock: HandClock) -> None:
        self.spool, self.commands, self.clock = spool, commands, clock
        self.said: list[Command] = []
        self.left: list[float] = []
        self.news = asyncio.Event()

    def say(self, message: CommandMessage) -> None:
        self.said.append(decode_command(message.payload))
        self.left.append(message.left)
        self.news.set()

    def join(self, epoch: int = 1, origin: str = AGENT) -> None:
        self.commands.join(origin, epoch, ANNOUNCED, self.say)

    def arrive(self, *commands: Command, sent: int | None = None) -> None:
        self.commands.arrived(encode_commands(commands, self.clock.at if sent is None else sent))

    async def table(self) -> list[CommandRow]:
        return await self.spool.ask(lambda store: command_rows.newest(store.books.connection, 1000))

    async def told(self) -> list[CommandResult]:
        """Every result in the batches that wait to leave."""

        def payloads(store: object) -> list[bytes]:
            connection = store.books.connection  # type: ignore[attr-defined]  # a store
            found = connection.execute("SELECT id FROM batches ORDER BY id").fetchall()
            return [rows.payload_of(connection, id_) for (id_,) in found]

        batches = [decode_batch(payload) for payload in await self.spool.ask(payloads)]
        assert all((batch.origin, batch.count) == (f"{SITE}/commands", 0) for batch in batches)
        assert [batch.seq for batch in batches] == sorted({batch.seq for batch in batches})
        return [result for batch in batches for result in unpack_body(batch).results]

    async def until(self, standing: Standing, number: int = 1) -> list[CommandRow]:
        async with asyncio.timeout(PATIENCE):
            while len(found := [row for row in await self.table() if row.standing is standing]) < number:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
        return found

    async def heard(self, number: int = 1) -> list[str]:
        """The first digits of the commands that were said, once there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(self.said) < number:
                self.news.clear()
                await self.news.wait()
        return [one.id[0] for one in self.said]


@asynccontextmanager
async def desk(
    folder: Path, clock: HandClock | None = None, callers: dict[str, DeviceProfile] | None = None
) -> AsyncIterator[Desk]:
    """At work; the same file again when called again."""
    clock = clock or HandClock()
    spool = Spool(SpoolConfig(path=folder / "spool.db"), SITE, clock)
    commands = Commands(spool, clock, Taps())
    if callers:
        commands.enrol("door", callers)
    try:
        await spool.load()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            working = group.create_task(commands.run())
            yield Desk(spool, commands, clock)
            working.cancel()
    finally:
        await spool.close()


def command(digit: str = "a", device: str = "air-0", seconds: float = 60.0, value: float = 50.0) -> Command:
    return Command(digit * 32, device, "level", value, NOON, NOON + round(seconds * 1e6), "test")


def done(digit: str = "a") -> CommandResult:
    return CommandResult(digit * 32, NOON + 1000, CommandOutcome.DONE, 50.0, 0, "")
