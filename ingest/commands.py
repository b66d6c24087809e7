"""Commands from the API to the poles: written down first, then said to the gateway again and again until it answers.

A message may be lost at will, and may arrive twice: a gateway executes an id once. Values come in the unit that the API
shows and travel in the point's own. Refuses devices and points that no manifest names; whether a value is within the
model's bounds is the pole's to say, which has the profile.
"""

import asyncio
import logging
import math
import random
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from fractions import Fraction

import msgspec

from device_profiles.clock import Clock
from device_profiles.commands import MAX_BY, MAX_LIFETIME, Command, encode_commands
from device_profiles.manifests import SeriesEntry
from device_profiles.quantities import UnitError, exact_conversion
from ingest.memory import Memory
from ingest.rows import CommandRow, ResultRow

log = logging.getLogger(__name__)

MOST_OPEN = 10_000
"""Commands without a result that are kept saying: a city's lamps at dusk are switched in groups, not one by one."""

FIRST_RESEND_S, LONGEST_RESEND_S = 2.0, 30.0
"""Between two sayings of one command; doubled each time, with jitter."""

GRACE_S = 3600.0
"""How long after its expiry a command is still said: a pole that was away then answers that it has expired."""

IN_ONE_MESSAGE = 100

Write = Callable[[CommandRow], Awaitable[None]]
Send = Callable[[str, bytes], Awaitable[None]]
"""(gateway, message)."""


class CommandRefused(ValueError):
    """The command names nothing that we know, or says nothing that could be meant. In words for whoever gave it."""


class TooMany(Exception):
    """No more commands can be taken at the moment."""


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What the API is asked for. ``value`` in the unit of /api/v1/devices; ``gateway`` where two poles have such a
    device; ``by``: who wants it."""

    device: str
    point: str
    value: float
    expires_s: float = 60.0
    gateway: str | None = None
    by: str = ""


class _Open(msgspec.Struct):
    gateway: str
    command: Command
    attempts: int = 0
    due: float = 0.0


class Commands:
    """The commands of one worker. ``write`` stores a row and raises StoreDown; ``send`` publishes."""

    def __init__(self, memory: Memory, write: Write, send: Send, clock: Clock) -> None:
        self._memory = memory
        self._write = write
        self._send = send
        self._clock = clock
        self._open: dict[str, _Open] = {}
        self._woken = asyncio.Event()

    def load(self, rows: Iterable[CommandRow]) -> None:
        """Those that had no result when the store was opened."""
        self._open = {row.id: _Open(row.gateway, command_of(row)) for row in rows}

    async def give(self, wanted: Wanted, by: str) -> CommandRow:
        """Store a command and begin to say it. CommandRefused, TooMany, StoreDown: nothing of it will happen."""
        if len(self._open) >= MOST_OPEN:
            raise TooMany(f"{MOST_OPEN:,} commands are waiting for their results")
        row = self._row(wanted, by)
        await self._write(row)
        self._open[row.id] = _Open(row.gateway, command_of(row))
        self._woken.set()
        log.info("command %s by %s: %s.%s = %g %s", row.id[:8], row.by, row.device, row.point, row.value, row.unit)
        return row

    def settled(self, results: Iterable[ResultRow]) -> None:
        """Results that are stored: these need not be said any more."""
        for row in results:
            known = self._open.get(row.result.id)
            if known is not None and known.gateway == row.gateway:
                del self._open[row.result.id]
                log.info("command %s: %s %s", row.result.id[:8], row.result.outcome.word, row.result.text)

    async def run(self, stop: asyncio.Event) -> None:
        """Say what is due until ``stop``."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wake_at(stop))
            await self._say_until(stop)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        """Not by cancelling: asyncio.wait_for, in which aiomqtt publishes, may lose a cancellation (Python 3.11)."""
        await stop.wait()
        self._woken.set()

    async def _say_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._woken.clear()
            await self._say_due()
            next_due = min((known.due for known in self._open.values()), default=None)
            pause = None if next_due is None else max(0.0, next_due - self._clock.monotonic())
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def _say_due(self) -> None:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        due: dict[str, list[Command]] = defaultdict(list)
        for id_, known in list(self._open.items()):
            if now > known.command.expires + GRACE_S * 1e6:
                del self._open[id_]
            elif known.due <= monotonic:
                due[known.gateway].append(known.command)
                wait = min(LONGEST_RESEND_S, FIRST_RESEND_S * 2.0 ** min(known.attempts, 16))
                known.attempts += 1
                known.due = monotonic + wait * random.uniform(0.75, 1.25)
        for gateway, commands in due.items():
            for first in range(0, len(commands), IN_ONE_MESSAGE):
                await self._send(gateway, encode_commands(commands[first : first + IN_ONE_MESSAGE], now))

    def _row(self, wanted: Wanted, by: str) -> CommandRow:
        gateway, entry, unit = self._find(wanted)
        seconds = wanted.expires_s
        if not 1 <= seconds <= MAX_LIFETIME / 1e6:
            raise CommandRefused(f"expires_s is 1 to {MAX_LIFETIME // 1_000_000}, not {seconds:g}")
        if entry.kind == "text":
            raise CommandRefused(f"{wanted.point} of {wanted.device} is a text: only numbers can be commanded")
        issued = self._clock.now()
        row = CommandRow(
            id=secrets.token_hex(16),
            gateway=gateway,
            device=wanted.device,
            point=wanted.point,
            quantity=entry.quantity,
            unit=unit,
            own_unit=entry.unit,
            value=wanted.value,
            own_value=converted(wanted.value, unit, entry.unit),
            issued=issued,
            expires=issued + round(seconds * 1e6),
            by=by[:MAX_BY],
        )
        try:
            command_of(row)
        except ValueError as trouble:
            raise CommandRefused(str(trouble)) from None
        return row

    def _find(self, wanted: Wanted) -> tuple[str, SeriesEntry, str]:
        """(gateway, the point, the unit that the API shows it in). CommandRefused when that is not one."""
        registry = self._memory.registry
        found = [one for one in registry.find(wanted.device) if wanted.gateway in (None, one[0].gateway)]
        if not found:
            where = f" behind {wanted.gateway}" if wanted.gateway else ""
            raise CommandRefused(f"there is no device {wanted.device!r}{where}; /api/v1/devices lists them")
        if len(found) > 1:
            gateways = ", ".join(sorted(known.gateway for known, _ in found))
            raise CommandRefused(f"{wanted.device!r} is behind {gateways}: name the gateway")
        known, index = found[0]
        for number, entry in zip(known.series, known.manifest.series, strict=True):
            if entry.device == index and entry.point == wanted.point:
                return known.gateway, entry, registry.series[number].unit
        raise CommandRefused(f"{wanted.device} has no point {wanted.point!r}; /api/v1/devices lists them")


def command_of(row: CommandRow) -> Command:
    """The command as the pole is told it. ValueError when it is out of a command's bounds."""
    return Command(row.id, row.device, row.point, row.own_value, row.issued, row.expires, row.by)


def converted(value: float, unit: str, into: str) -> float:
    """A value in another unit, rounded once; as it is where a unit is unknown, for then nothing was converted."""
    if unit == into or not math.isfinite(value):
        return value
    try:
        scale, offset = exact_conversion(unit, into)
    except UnitError:
        return value
    return float(Fraction(str(value)) * scale + offset)
