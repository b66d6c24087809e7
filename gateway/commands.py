"""Commands on their way down: kept before they are handed out, handed to one only, and settled once.

To the agent's session that announced the device, or into the mailbox of a device that calls. One that has been handed
out and never answered for is settled as unknown: it is not executed a second time, and never claimed. The centre says
an open command again and again, so what does not fit, or meets a failing disk, loses nothing but time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from device_profiles.bounds import refusal_of
from device_profiles.clock import Clock
from device_profiles.commands import (
    Command,
    CommandError,
    CommandOutcome,
    CommandResult,
    decode_commands,
    encode_command,
    no_value,
)
from device_profiles.handover import CommandMessage
from device_profiles.profiles import DeviceProfile
from device_profiles.quality import Reason
from gateway import command_rows
from gateway.command_rows import CommandRow, Standing
from gateway.spool import Spool
from gateway.taps import Taps
from gateway.trust import FLOOR
from gateway.writer import WriteFailed

log = logging.getLogger(__name__)

MOST_OPEN = 1_000
"""Commands without an end: more than a pole has switches; in a data centre, mailboxes of devices that sleep."""

MOST_UNREAD = 64
"""Messages of the centre that wait to be looked at."""

SWEEP_SECONDS = 1.0
"""How often open commands are looked at: so late may an expiry be told."""

ANSWER_SECONDS = 60.0
"""How long after its expiry a command that was handed out may still be answered for."""

Say = Callable[[CommandMessage], None]


class _Speaker(msgspec.Struct):
    """A connected originator. ``fresh``: what it was handed on an earlier connection is to be said to it again."""

    epoch: int
    devices: frozenset[str]
    say: Say
    fresh: bool = True


class _Open(msgspec.Struct):
    """A command without an end. ``deadline``: monotonic seconds, by what the centre said was left when it came."""

    command: Command
    deadline: float
    standing: Standing = Standing.WAITING
    holder: str = ""
    epoch: int = 0
    result: CommandResult | None = None


class Commands:
    """All commands of one gateway, from ``run`` until it is cancelled."""

    def __init__(self, spool: Spool, clock: Clock, taps: Taps) -> None:
        self._spool = spool
        self._clock = clock
        self._taps = taps
        self._open: dict[str, _Open] = {}
        self._messages: deque[bytes] = deque(maxlen=MOST_UNREAD)
        self._speakers: dict[str, _Speaker] = {}
        self._callers: dict[str, Mapping[str, DeviceProfile]] = {}
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        """Held over a change on the disk and the same change here."""

    # -- from outside ------------------------------------------------------------------------------------------------

    def arrived(self, payload: bytes) -> None:
        """A message on the command topic."""
        self._messages.append(payload)
        self._woken.set()

    def join(self, origin: str, epoch: int, devices: Iterable[str], say: Say) -> None:
        """An agent's session speaks for these devices."""
        self._speakers[origin] = _Speaker(epoch, frozenset(devices), say)
        self._woken.set()

    def leave(self, origin: str, say: Say) -> None:
        """That session has ended."""
        speaker = self._speakers.get(origin)
        if speaker is not None and speaker.say == say:
            del self._speakers[origin]

    def enrol(self, listener: str, callers: Mapping[str, DeviceProfile]) -> None:
        """These devices call a listener; they replace those of before."""
        self._callers[listener] = callers
        self._woken.set()

    async def settle(self, result: CommandResult) -> None:
        """What became of a command, from whoever was handed it. Safe to say again."""
        async with self._turn:
            known = self._open.get(result.id)
            if known is not None and known.result is None:
                known.result = result
                await self._write(known)
        self._woken.set()

    def has_mail(self, device: str) -> bool:
        """True when a command waits for a device that calls; costs nothing."""
        return any(known.command.device == device and self._waits(known) for known in self._open.values())

    async def mail(self, device: str) -> list[Command]:
        """The commands for a device that is listening now; each is given out once, after the disk knows it."""
        async with self._turn:
            found = [known for known in self._open.values() if known.command.device == device and self._waits(known)]
            return [known.command for known in found if await self._handed(known, "", self._spool.epoch)]

    def _waits(self, known: _Open) -> bool:
        return known.standing is Standing.WAITING and known.result is None and self._left(known) > 0

    # -- at work -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        await self._load()
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS if self._open else None):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            async with self._turn:
                await self._read_messages()
                fresh = [speaker for speaker in self._speakers.values() if speaker.fresh]
                for known in list(self._open.values()):
                    await self._advance(known)
                for speaker in fresh:
                    speaker.fresh = False

    async def _load(self) -> None:
        """What the file says has no end yet."""
        while True:
            try:
                rows = await self._spool.ask(lambda store: command_rows.open_commands(store.books.connection))
            except WriteFailed as trouble:
                log.warning("commands: not read yet: %s", trouble)
                await asyncio.sleep(SWEEP_SECONDS)
                continue
            break
        for row in rows:
            self._open[row.command.id] = self._loaded(row)

    def _loaded(self, row: CommandRow) -> _Open:
        """A command of an earlier start. What a calling device's session was handed, nobody can answer for any more."""
        now = self._clock.now()
        left = (row.command.expires - now) / 1e6 if now >= FLOOR else 0.0  # without the time nobody knows what is left
        known = _Open(row.command, self._clock.monotonic() + left, row.standing, row.holder, row.epoch)
        if row.standing is Standing.HANDED and not row.holder:
            known.result = self._unknown(row.command, "the gateway was started anew before the device had answered")
        return known

    async def _read_messages(self) -> None:
        while self._messages:
            try:
                sent, commands = decode_commands(self._messages.popleft())
            except CommandError as trouble:
                log.warning("commands that cannot be read: %s", trouble)
                continue
            now = self._clock.monotonic()
            fresh: list[tuple[Command, float]] = []
            for command in commands:
                deadline = now + (command.expires - sent) / 1e6
                if (known := self._open.get(command.id)) is not None:
                    known.deadline = min(known.deadline, deadline)
                elif len(self._open) + len(fresh) < MOST_OPEN:
                    fresh.append((command, deadline))
            await self._keep(fresh)

    async def _keep(self, fresh: list[tuple[Command, float]]) -> None:
        """On disk first; one that was settled before is only told again."""
        if not fresh:
            return
        now = self._clock.now()
        try:
            taken = await self._spool.change(
                lambda store: command_rows.take(store, [command for command, _ in fresh], now)
            )
        except WriteFailed as trouble:  # the centre says them again
            log.warning("commands: not taken: %s", trouble)
            return
        deadlines = {command.id: deadline for command, deadline in fresh}
        for command in taken:
            self._open[command.id] = _Open(command, deadlines[command.id])
            self._show("command", command, value=command.value, by=command.by)

    async def _advance(self, known: _Open) -> None:
        """Whatever can be done for one command now."""
        command = known.command
        if known.result is not None:
            await self._write(known)
        elif known.standing is Standing.HANDED:
            await self._follow(known)
        elif self._left(known) <= 0:
            known.result = self._result(command, CommandOutcome.EXPIRED, Reason.EXPIRED, self._why_expired(command))
            await self._write(known)
        elif (profile := self._caller(command.device)) is not None:
            if refusal := refusal_of(profile, command.point, command.value):
                known.result = self._result(command, CommandOutcome.REFUSED, Reason.OUT_OF_RANGE, refusal)
                await self._write(known)
        elif (origin := self._speaker_for(command.device)) is not None:
            speaker = self._speakers[origin]
            if await self._handed(known, origin, speaker.epoch):
                self._say(speaker, known)

    async def _follow(self, known: _Open) -> None:
        """One that was handed out: is whoever has it still there?"""
        speaker = self._speakers.get(known.holder)
        if speaker is not None and speaker.epoch != known.epoch:
            known.result = self._unknown(known.command, "the agent was started anew before it had answered")
        elif self._left(known) < -ANSWER_SECONDS:
            known.result = self._unknown(known.command, "handed on, and never answered for")
        elif speaker is not None and speaker.fresh:
            self._say(speaker, known)  # the same process: it knows what it has executed
        if known.result is not None:
            await self._write(known)

    async def _handed(self, known: _Open, holder: str, epoch: int) -> bool:
        """Write down that it is being handed out; False when the disk does not have it."""
        id_ = known.command.id
        try:
            done = await self._spool.change(lambda store: command_rows.hand(store, id_, holder, epoch))
        except WriteFailed as trouble:
            log.warning("commands: %s not handed on: %s", id_[:8], trouble)
            return False
        known.standing, known.holder, known.epoch = Standing.HANDED, holder, epoch
        self._show("handed", known.command, to=holder or "its device")
        return done

    async def _write(self, known: _Open) -> None:
        """Settle on disk; when that fails, the next sweep tries again."""
        result, now = known.result, self._clock.now()
        assert result is not None
        try:
            await self._spool.change(lambda store: command_rows.settle(store, result, now))
        except WriteFailed as trouble:
            log.warning("commands: the result of %s is not written: %s", result.id[:8], trouble)
            return
        del self._open[result.id]
        log.info("command %s for %s: %s %s", result.id[:8], known.command.device, result.outcome.word, result.text)
        self._show("settled", known.command, outcome=result.outcome.word, read=result.value, text=result.text)

    def _say(self, speaker: _Speaker, known: _Open) -> None:
        speaker.say(CommandMessage(encode_command(known.command), max(0.0, self._left(known))))

    def _left(self, known: _Open) -> float:
        """Seconds in which the command may still be begun: by the centre's word, and by our clock where it is one."""
        now = self._clock.now()
        by_wall = (known.command.expires - now) / 1e6 if now >= FLOOR else float("inf")
        return min(by_wall, known.deadline - self._clock.monotonic())

    def _speaker_for(self, device: str) -> str | None:
        return next((origin for origin, speaker in self._speakers.items() if device in speaker.devices), None)

    def _caller(self, device: str) -> DeviceProfile | None:
        return next((callers[device] for callers in self._callers.values() if device in callers), None)

    def _why_expired(self, command: Command) -> str:
        if self._caller(command.device) is not None:
            return f"{command.device} did not call in time"
        return f"nobody who speaks for {command.device} was connected in time"

    def _unknown(self, command: Command, text: str) -> CommandResult:
        return self._result(command, CommandOutcome.UNKNOWN, Reason.ORIGINATOR_KILLED, text)

    def _result(self, command: Command, outcome: CommandOutcome, reason: Reason, text: str) -> CommandResult:
        return no_value(command.id, self._clock.now(), outcome, reason, text)

    def _show(self, what: str, command: Command, **fields: object) -> None:
        if self._taps:
            self._taps.offer(what, id=command.id, device=command.device, point=command.point, **fields)
