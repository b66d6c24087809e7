"""Who is on a line: Modbus addresses one by one, meters by the question for their address, at each speed asked.

Where several meters answer at once, shortened addresses narrow it down pair by pair. Asks nothing that might do harm: a
meter's address or its total, single registers that no profile of the library warns against. Refuses to write anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial

import msgspec

from device_profiles.codecs import cjt188, dlt645
from device_profiles.codecs.modbus_pdu import Read
from device_profiles.exchange import Exchange
from device_profiles.maps.cjt188 import Cjt188Map
from device_profiles.maps.dlt645 import Dlt645Map
from device_profiles.profiles import READ_FUNCTION, BusMap, DeviceProfile, LineSettings, RegisterPoint
from device_profiles.protocols import asked_module_of
from device_profiles.quality import GOOD_CODE, Reason
from device_profiles.reads import Decoded, PlannedRead
from device_profiles.registers import decode_value
from device_profiles.spans import BIT_TABLES
from edge_agent.bus import Bus, Outcome
from edge_agent.questions import Question

METERS = ("dlt645", "cjt188")
SEARCHED = ("modbus", *METERS)
"""Protocols that a search knows; a described serial protocol has no question that is harmless to everybody."""

TOTAL = {2007: 0x00010000, 1997: 0x9010}
"""Forward active energy: every electricity meter has it, and reading it changes nothing."""

MOST_NARROWING = 2000
"""Questions to shortened addresses at one speed: on a line that babbles every one of them looks like a crowd."""

Opening = Callable[[str], Exchange]
"""Makes the question by which a meter at this (perhaps shortened) address shows itself."""
Step = Callable[[str, int], None]
"""Called before each question with who is asked, and how many more questions than thought there will be."""


class Way(msgspec.Struct, frozen=True):
    """One protocol at one speed; ``line`` None: the link's own."""

    protocol: str
    line: LineSettings | None = None


class Found(msgspec.Struct, frozen=True):
    """A unit that answered; ``models``: profiles whose first point it answers plausibly."""

    unit: int | str
    models: tuple[str, ...]
    protocol: str = "modbus"
    line: LineSettings | None = None


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: Modbus ``units``, seconds to wait for one of them (``patience``) and for a meter."""

    units: Sequence[int]
    ways: Sequence[Way]
    patience: float = 0.2
    meter_patience: float = 0.7

    @property
    def steps(self) -> int:
        """Questions that it takes when nobody answers."""
        return sum(len(self.units) if way.protocol == "modbus" else len(openings(way.protocol)) for way in self.ways)


def openings(protocol: str) -> list[tuple[int | str, Opening]]:
    """(edition or byte order, question) by which the meters of a protocol are asked who they are."""
    if protocol == "dlt645":
        return [(2007, _address_or_total), (1997, partial(_total, 1997))]
    return [(order, partial(_number, order)) for order in cjt188.ORDERS]


def _address_or_total(unit: str) -> Exchange:
    """2007, 7.4: only the wildcard may ask for the address; a shortened address may ask for an item (5.2.2)."""
    return dlt645.AddressExchange() if unit == dlt645.WILDCARD else _total(2007, unit)


def _total(edition: int, unit: str) -> Exchange:
    return dlt645.ReadExchange(unit, TOTAL[edition], dlt645.EDITIONS[edition])


def _number(order: str, unit: str) -> Exchange:
    return cjt188.ReadExchange(cjt188.ANY_KIND, unit, cjt188.ADDRESS_ITEM, order, control=cjt188.READ_ADDRESS)


def _step(who: str, more: int) -> None:
    """Nobody watches."""


async def ask(bus: Bus, question: Question, again: bool = False) -> Outcome:
    """One attempt, or with ``again`` another after a damaged answer. Waits first where a late answer to an earlier
    question may still come (the same unit at another speed)."""
    attempt = bus.exchange if again else bus.ask_once
    outcome = await attempt(question)
    if not outcome.free_at:
        return outcome
    await asyncio.sleep(question.late)
    return await attempt(question)


async def search(
    bus: Bus, wanted: Search, profiles: Iterable[DeviceProfile], step: Step = _step
) -> AsyncIterator[Found]:
    """Look for units in each way, in the order asked. The bus must know the protocols (``Bus.protocols``)."""
    library = list(profiles)
    for way in wanted.ways:
        if way.protocol == "modbus":
            async for found in scan(bus, wanted.units, library, wanted.patience, way.line, step):
                yield found
        else:
            async for found in MeterSearch(bus, way, wanted.meter_patience, step).run(library):
                yield found


def safe_probes(profiles: Iterable[DeviceProfile]) -> dict[Read, list[tuple[str, RegisterPoint]]]:
    """The first point of each model as a read of its own, with the models that have it.

    Whoever is on the line is not known yet, so what any profile of the library warns against is left out
    altogether.
    """
    profiles = [profile for profile in profiles if profile.protocol == "modbus"]
    forbidden = [
        (READ_FUNCTION[avoid.table], avoid.first, avoid.last) for profile in profiles for avoid in profile.modbus.avoid
    ]
    probes: dict[Read, list[tuple[str, RegisterPoint]]] = {}
    for profile in profiles:
        for point in profile.modbus.points:
            read = Read(READ_FUNCTION[point.table], point.address, point.registers)
            last = read.address + read.count - 1
            if any(f == read.function and first <= last and read.address <= end for f, first, end in forbidden):
                continue
            probes.setdefault(read, []).append((profile.model, point))
            break
    return probes


async def scan(
    bus: Bus,
    units: Sequence[int],
    profiles: Iterable[DeviceProfile],
    patience: float,
    line: LineSettings | None = None,
    step: Step = _step,
) -> AsyncIterator[Found]:
    """Ask each Modbus address one register; of those that answer anything, find the models that fit."""
    probes = safe_probes(profiles)
    knock = min(probes, key=lambda read: (read.function != 3, read.count, read.address))
    made = partial(Question, readings=0, timeout=patience, late=patience, line=line)
    for unit in units:
        step(f"unit {unit}", 0)
        if (await ask(bus, made(unit=unit, read=knock))).answer is None:
            continue
        models: list[str] = []
        for read, candidates in probes.items():
            answer = (await ask(bus, made(unit=unit, read=read), again=True)).answer
            if answer is not None and not answer.exception:
                models += [model for model, point in candidates if _plausible(point, answer.data)]
        yield Found(unit, tuple(sorted(models)), "modbus", line)


def _plausible(point: RegisterPoint, data: bytes) -> bool:
    if point.table in BIT_TABLES:
        return True
    value, _ = decode_value(point, data)
    if value is None or isinstance(value, str) or point.range is None:
        return value is not None
    return point.range[0] <= value <= point.range[1]


class MeterSearch:
    """The meters of one protocol at one speed."""

    def __init__(self, bus: Bus, way: Way, patience: float, step: Step) -> None:
        self._bus = bus
        self._way = way
        self._patience = patience
        self._step = step
        self._size = dlt645.ADDRESS_SIZE if way.protocol == "dlt645" else cjt188.ADDRESS_SIZE
        self._seen: set[str] = set()
        self._left = MOST_NARROWING

    async def run(self, library: Sequence[DeviceProfile]) -> AsyncIterator[Found]:
        """Every meter once, with the models that fit."""
        for dialect, opening in openings(self._way.protocol):
            async for unit in self._inside("", opening):
                if unit not in self._seen:
                    self._seen.add(unit)
                    yield Found(unit, await self._models(unit, dialect, library), self._way.protocol, self._way.line)

    async def _inside(self, known: str, opening: Opening) -> AsyncIterator[str]:
        """The meters whose numbers end in ``known`` (pairs of digits, the lowest last)."""
        unit = known.rjust(2 * self._size, "A")
        self._step(f"{self._way.protocol} {unit}", 0)
        outcome, several = await self._ask(opening(unit))
        if not several:
            if outcome.answer is not None:
                yield self._address(outcome.answer.frame)
            return
        if len(known) < 2 * self._size and self._left >= 100:
            self._left -= 100
            self._step(f"{self._way.protocol} {unit}", 100)
            for pair in range(100):
                async for found in self._inside(f"{pair:02}{known}", opening):
                    yield found

    async def _ask(self, exchange: Exchange) -> tuple[Outcome, bool]:
        """(outcome, True when more than one meter was heard)."""
        bus = self._bus
        planned = PlannedRead(
            period=0.0, points=(), shape=exchange.shape, exchange=lambda: exchange, decode=_undecoded, byte_gap=0.5
        )
        bus.strays.judge(final=True)  # what collided has no end that the next answer could bring
        unused = bus.strays.unexpected, bus.strays.bytes
        outcome = await ask(bus, self._question(exchange.unit, planned))
        if outcome.answer is None:
            return outcome, outcome.reason not in (Reason.TIMEOUT, Reason.LINK_DOWN, Reason.LATE)
        await asyncio.sleep(self._patience)  # a slower one may still answer
        bus.strays.judge(final=True)
        return outcome, unused != (bus.strays.unexpected, bus.strays.bytes)

    def _question(self, unit: int | str, read: PlannedRead) -> Question:
        return Question(
            unit=unit, read=read, readings=0, timeout=self._patience, late=self._patience, line=self._way.line
        )

    def _address(self, frame: bytes) -> str:
        """Who answered: a frame's head names its sender; a 2007 meter asked for its address says it in the data too."""
        if self._way.protocol == "cjt188":
            return cjt188.answered_by(frame)[1]
        (heard,) = dlt645.Reader().feed(frame)
        try:
            return dlt645.parse_address(heard)
        except dlt645.Dlt645Error:
            return heard.address

    async def _models(self, unit: str, dialect: int | str, library: Sequence[DeviceProfile]) -> tuple[str, ...]:
        """Profiles whose first read the meter answers with a value."""
        heard: dict[bytes, Outcome] = {}
        models = []
        for profile in library:
            if profile.protocol != self._way.protocol or not _may_be(profile, dialect):
                continue
            reads = asked_module_of(profile.protocol).plan_reads(profile.map, unit, profile.points, _every)
            request = reads[0].exchange().request()
            if request not in heard:
                heard[request] = await ask(self._bus, self._question(unit, reads[0]), again=True)
            answer = heard[request].answer
            if answer is not None and not answer.exception and GOOD_CODE in reads[0].decode(answer.data)[1]:
                models.append(profile.model)
        return tuple(sorted(models))


def _may_be(profile: DeviceProfile, dialect: int | str) -> bool:
    """False for the other edition of DL/T 645. A CJ/T 188 meter may want its address asked in one order and its items
    in another, so both are tried."""
    map = profile.map
    assert isinstance(map, BusMap)
    return map.edition == dialect if isinstance(map, Dlt645Map) else isinstance(map, Cjt188Map)


def _every(point: object) -> float:
    """All points at one pace: their order in the profile decides."""
    return 60.0


def _undecoded(data: bytes) -> Decoded:
    raise NotImplementedError("who answers is read from the frame")
