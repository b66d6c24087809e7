"""The desk behind a listener's door: who is calling, was this said before, is it on disk; and then the answer may go.

A session asks ``find`` and ``take`` and answers after ``take``. Refuses strangers by policy, believes no implausible
device clock, and knows a retransmission by its protocol's own number, also after a restart.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from enum import Enum

import msgspec

from device_profiles.clock import Clock
from device_profiles.commands import Command, CommandResult
from device_profiles.framing import Rejects
from device_profiles.ledger import Counts, count
from device_profiles.quality import Quality, Reason
from device_profiles.reports import Report, Reported
from gateway.commands import Commands
from gateway.listeners.callers import Caller
from gateway.listeners.config import ListenerConfig
from gateway.listeners.origin import MOST_SERIES, Originator
from gateway.spool import Spool
from gateway.taps import Taps
from gateway.writer import WriteFailed

log = logging.getLogger(__name__)

REMEMBERED = 64
"""Message numbers kept of one caller. A device whose acknowledgement got lost says newer things first and fills in the
old one between them: with 16, kills under load stored some reports twice."""

FLOOR_US = 1_577_836_800_000_000
"""2020-01-01: a device that dates its values before this has lost its clock; a gateway too."""

AHEAD_US = 24 * 3600 * 1_000_000
"""A device clock may be this far ahead of ours (a wrong time zone is less) before it is disbelieved."""


class Fate(Enum):
    """What became of a report: on disk now, on disk since an earlier time, or not on disk (so not acknowledged)."""

    TAKEN = "taken"
    REPEATED = "repeated"
    REFUSED = "refused"


class DeskCounts(msgspec.Struct):
    """What a listener met since it started, by kind; readings are in its originators' ledgers."""

    open: int = 0
    sessions: int = 0
    reports: int = 0
    repeated: int = 0
    refused: int = 0
    turned_away: int = 0
    bugs: int = 0
    rejected: Counts = msgspec.field(default_factory=dict)
    unmapped: Counts = msgspec.field(default_factory=dict)


class Presence(msgspec.Struct):
    """When and from where a caller was heard. ``moves``: how often its address changed (a NAT, a new SIM)."""

    at: int = 0
    peer: str = ""
    moves: int = 0
    reports: int = 0
    repeated: int = 0


class Known(msgspec.Struct):
    """A caller with its originator and the numbers of its last messages (None: not read from the spool yet)."""

    caller: Caller
    originator: Originator
    presence: Presence
    keys: "OrderedDict[bytes, asyncio.Future[Reason] | None] | None" = None


UNMAPPED_NAMES = 256
"""Items without a point that are counted by name; beyond that they are counted together."""


class Desk:
    """What a protocol's sessions need of the gateway; one for each listener."""

    def __init__(
        self,
        config: ListenerConfig,
        gateway: str,
        spool: Spool,
        clock: Clock,
        taps: Taps,
        commands: Commands | None = None,
    ) -> None:
        """``commands``: what the centre wants done; a gateway of its own where none are given."""
        self.name = config.name
        self.options = config.options
        self.unknown = config.unknown
        self.counts = DeskCounts()
        self._spool = spool
        self._clock = clock
        self._taps = taps
        self._gateway = gateway
        self._commands = commands or Commands(spool, clock, taps)
        self._known: dict[str, Known] = {}
        self.originators: list[Originator] = []
        self._roll: asyncio.Queue[ListenerConfig] = asyncio.Queue()
        self._enrol(config)

    def _enrol(self, config: ListenerConfig) -> None:
        """Know these callers from now on; what is known of those who stay is kept."""
        known, self._known, self.originators = self._known, {}, []
        self._commands.enrol(self.name, {caller.device: caller.profile for caller in config.callers})
        for place, callers in enumerate(_groups(config.callers), 1):
            origin = config.origin if place == 1 else f"{config.origin}.{place}"
            originator = Originator(origin, self._gateway, callers, self._spool, self._clock)
            self.originators.append(originator)
            for caller in callers:
                before = known.get(caller.id)
                presence, keys = (before.presence, before.keys) if before else (Presence(), None)
                self._known[caller.id] = Known(caller, originator, presence, keys)

    async def run(self) -> None:
        """Write what is taken, until cancelled; after ``renew`` under originators of the new callers."""
        while True:
            async with asyncio.TaskGroup() as group:
                writing = [group.create_task(originator.run()) for originator in self.originators]
                config = await self._roll.get()
                self._enrol(config)  # from here on they wait for the next turn of this loop
                for task in writing:  # these write what they were given, say goodbye, and end
                    task.cancel()

    def renew(self, config: ListenerConfig) -> None:
        """Other callers at the same door: connections stay, and each is asked anew who it is."""
        self._roll.put_nowait(config)

    def now(self) -> int:
        """UTC µs."""
        return self._clock.now()

    def find(self, id: str) -> Caller | None:
        """The caller of that identity; None when it is unknown or disabled."""
        known = self._known.get(id)
        return None if known is None or known.caller.disabled else known.caller

    def callers(self) -> Sequence[Caller]:
        """Every caller that may call."""
        return [known.caller for known in self._known.values() if not known.caller.disabled]

    def heard(self, caller: Caller, peer: str) -> None:
        """A sign of life; ``peer``: where from. The address says nothing about who it is."""
        known = self._known.get(caller.id)
        if known is None:
            return  # the site file has just lost it
        presence = known.presence
        presence.moves += bool(presence.peer) and presence.peer != peer
        presence.at, presence.peer = self._clock.now(), peer

    async def take(self, caller: Caller, report: Report) -> Fate:
        """Take a report in; returns when it is on disk, or cannot be. Safe to call for one caller at the same time."""
        known = self._known.get(caller.id)
        if known is not None and known.keys is None and report.key:
            await self._recall(known)
            known = self._known.get(caller.id)  # a new site file may have come meanwhile
        if known is None or (report.key and known.keys is None and report.repeats):
            self.counts.refused += 1  # nobody can say whether it was said before: it says it again
            return Fate.REFUSED
        if report.key and known.keys is not None and report.key in known.keys:
            return await self._again(known, report)
        readings = self._dated(report.readings)
        done = known.originator.put(caller, report, readings, self._mark(known, report.key))
        if report.key and known.keys is not None:
            known.keys[report.key] = done
            done.add_done_callback(lambda done: _landed(known, report.key, done))
        return self._told(known, report, await asyncio.shield(done))

    def _mark(self, known: Known, key: bytes) -> tuple[str, bytes, bytes] | None:
        """What the spool keeps in the same transaction: (caller, this number, the number that it displaces)."""
        if not key or known.keys is None:
            return None
        oldest = b""
        if len(known.keys) >= REMEMBERED:
            oldest = next((old for old, done in known.keys.items() if done is None), b"")
            known.keys.pop(oldest, None)
        return f"{self.name}/{known.caller.id}", key, oldest

    async def _again(self, known: Known, report: Report) -> Fate:
        """A retransmission: acknowledged again when the first one is on disk."""
        assert known.keys is not None
        done = known.keys[report.key]
        if done is not None and await asyncio.shield(done) is not Reason.NONE:
            return Fate.REFUSED
        count(known.originator.ledger.discarded, Reason.REPEATED.word, len(report.readings))
        self._note_unmapped(known, report)
        self.counts.repeated += 1
        known.presence.repeated += 1
        self._offer(known, report, "again", Reason.NONE)
        return Fate.REPEATED

    def _told(self, known: Known, report: Report, reason: Reason) -> Fate:
        if reason is Reason.NONE:
            self.counts.reports += 1
            known.presence.reports += 1
            self._note_unmapped(known, report)
        else:
            self.counts.refused += 1
        self._offer(known, report, "refused" if reason else "spooled", reason)
        return Fate.REFUSED if reason else Fate.TAKEN

    def _offer(self, known: Known, report: Report, what: str, reason: Reason) -> None:
        if self._taps:
            self._taps.offer(
                what, listener=self.name, device=known.caller.device, lane=report.lane.word,
                readings=len(report.readings), reason=reason.word,
            )  # fmt: skip

    async def _recall(self, known: Known) -> None:
        """Read the caller's last numbers from the spool, once."""
        keys: OrderedDict[bytes, asyncio.Future[Reason] | None] = OrderedDict()
        try:
            for key in await self._spool.seen(f"{self.name}/{known.caller.id}"):
                keys[key] = None
        except WriteFailed as trouble:
            log.warning("%s: cannot recall %s: %s", self.name, known.caller.device, trouble)
            return
        if known.keys is None:  # else another session of this caller was quicker
            known.keys = keys

    def _dated(self, readings: tuple[Reported, ...]) -> tuple[Reported, ...]:
        """Readings with the time that they will carry: the device's, or ours where it said none or cannot be believed.

        Times are cut to the millisecond, as all of ours are.
        """
        now = self._clock.now() // 1000 * 1000
        trusted = now >= FLOOR_US  # our own clock may be the one that is wrong: then the device's is all there is
        result = []
        for reading in readings:
            at = reading.at
            if at is None:
                result.append(msgspec.structs.replace(reading, at=now))
            elif trusted and not FLOOR_US <= at <= now + AHEAD_US:
                doubted = {"at": now}
                if reading.quality is Quality.GOOD:
                    result.append(
                        msgspec.structs.replace(
                            reading, **doubted, quality=Quality.UNCERTAIN, reason=Reason.CLOCK_DOUBTED
                        )
                    )
                else:
                    result.append(msgspec.structs.replace(reading, **doubted))
            else:
                result.append(msgspec.structs.replace(reading, at=at // 1000 * 1000) if at % 1000 else reading)
        return tuple(result)

    def _note_unmapped(self, known: Known, report: Report) -> None:
        """Items that no point names: counted in the ledger as answered and not used, and by name for a person."""
        if not report.unmapped:
            return
        count(known.originator.ledger.discarded, Reason.UNMAPPED.word, len(report.unmapped))
        for name in report.unmapped:
            full = len(self.counts.unmapped) >= UNMAPPED_NAMES
            count(self.counts.unmapped, "…" if full and name not in self.counts.unmapped else name)

    def has_mail(self, caller: Caller) -> bool:
        """True when a command waits for it: worth asking at each sign of life."""
        return self._commands.has_mail(caller.device)

    async def mail(self, caller: Caller) -> list[Command]:
        """The commands for a caller that listens now, within the profile's bounds and not expired.

        Each is given once; whoever takes it tells ``settle`` what came of it. What is never settled ends as unknown.
        """
        return await self._commands.mail(caller.device)

    async def settle(self, result: CommandResult) -> None:
        """What became of a command out of ``mail``; a disk that fails is tried again."""
        await self._commands.settle(result)

    def turn_away(self, id: str, peer: str, data: bytes, why: Reason = Reason.UNKNOWN_DEVICE) -> None:
        """A stranger, or one that failed to prove itself: counted, told, and by policy its bytes are kept."""
        self.counts.turned_away += 1
        self._taps.offer("turned_away", listener=self.name, id=id, peer=peer, reason=why.word)
        if self.counts.turned_away & (self.counts.turned_away - 1) == 0:  # the 1st, 2nd, 4th …: no flood of lines
            log.warning("%s: %r from %s turned away (%s)", self.name, id[:64], peer, why.word)
        if self.unknown == "quarantine":
            self._spool.quarantine(self.name, id, peer, why, data)

    def reject(self, peer: str, rejects: Rejects) -> None:
        """What a reader could not use, since the last call for it."""
        for rejected in rejects.take():
            first = rejected.reason.word not in self.counts.rejected
            count(self.counts.rejected, rejected.reason.word)
            if first:
                log.warning(
                    "%s: %s from %s: %s", self.name, rejected.reason.word, peer, rejected.data[:64].hex(" ").upper()
                )
            self._taps.offer(
                "rejected", listener=self.name, peer=peer, reason=rejected.reason.word, data=rejected.data.hex()
            )

    def health(self) -> dict[str, object]:
        """The listener's counts, for the gateway's state."""
        heard = sum(1 for known in self._known.values() if known.presence.at)
        return {**msgspec.structs.asdict(self.counts), "callers": len(self._known), "heard": heard}

    def sessions(self) -> list[dict[str, object]]:
        """Every caller with its presence, those heard last first."""
        known = sorted(self._known.values(), key=lambda known: -known.presence.at)
        return [
            {
                "listener": self.name,
                "id": one.caller.id,
                "device": one.caller.device,
                "profile": one.caller.profile.model,
                "disabled": one.caller.disabled,
                **msgspec.structs.asdict(one.presence),
            }
            for one in known
        ]


def _landed(known: Known, key: bytes, done: "asyncio.Future[Reason]") -> None:
    """A report's fate is known: its number is kept when the disk has it, and forgotten when it has not."""
    if known.keys is None:
        return
    if done.result() is Reason.NONE:
        known.keys[key] = None
    else:
        known.keys.pop(key, None)


def _groups(callers: Sequence[Caller]) -> list[list[Caller]]:
    """The callers by originators, in order, none with more series than one manifest carries."""
    groups: list[list[Caller]] = []
    room = 0
    for caller in callers:
        size = len(caller.profile.points)
        if size > room or not groups:
            groups.append([])
            room = MOST_SERIES
        groups[-1].append(caller)
        room -= size
    return groups
