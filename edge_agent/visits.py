"""Visits to the wire by hand: one poll of a device, one question to every unit of a site.

They use the same bus, plan and decoders as the running agent, take the link for themselves while they last, and ask
nothing but reads of the plan, and what a unit's own sequence needs around them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from device_profiles.clock import Clock
from device_profiles.ledger import Ledger
from device_profiles.maps.meter_items import ItemPoint
from device_profiles.profiles import Point, RegisterPoint
from device_profiles.quality import Reason, split_code
from device_profiles.readings import Value
from device_profiles.spans import BIT_TABLES
from edge_agent.assembly import protocols_on, questions_of, routine_of
from edge_agent.bus import Bus, Outcome
from edge_agent.config import AgentConfig, DeviceConfig, LinkConfig
from edge_agent.links import make_link
from edge_agent.questions import LATE_SECONDS
from edge_agent.transcripts import Tape


class LinkTrouble(Exception):
    """The link cannot be opened; the text says why."""


class ReadPoint(msgspec.Struct, frozen=True):
    """One value as `kuimen agent read` shows it; `hex`: its own bytes as they came over the wire."""

    point: str
    hex: str
    value: Value
    unit: str
    quality: str
    reason: str


@asynccontextmanager
async def open_bus(
    link: LinkConfig, clock: Clock, tape: Tape | None = None, protocols: Sequence[str] = ("modbus",)
) -> AsyncIterator[Bus]:
    """The link of a site, taken for a visit. LinkTrouble when it cannot be had."""
    bus = Bus(make_link(link.target), clock, Ledger(), link.retries, tape, protocols)
    if not await bus.open():
        raise LinkTrouble(bus.trouble)
    try:
        if link.target.framing == "rtu":
            await asyncio.sleep(LATE_SECONDS)  # somebody may have asked just before us: see LinkPoller
        yield bus
    finally:
        bus.close()


def reason_of(outcome: Outcome) -> str:
    """Why an exchange brought nothing, in a word or two; "" when it brought an answer."""
    if outcome.answer is None:
        return outcome.reason.word
    return f"exception {outcome.answer.exception}" if outcome.answer.exception else ""


async def read_device(bus: Bus, device: DeviceConfig, link: LinkConfig) -> list[ReadPoint]:
    """One poll of everything that the plan reads of a unit; one with a sequence is started before and stopped after."""
    routine = routine_of(device, link)
    if routine is None:
        return await _read_plan(bus, device, link)
    try:
        for step in routine.start:
            if why := reason_of(await bus.ask_once(step)):
                return [
                    ReadPoint(p.name, "", None, p.unit, "bad", why)
                    for poll, _ in questions_of(device, link)
                    for p in poll.points
                ]
        await asyncio.sleep(routine.wait)
        return await _read_plan(bus, device, link)
    finally:
        for step in routine.stop:
            await bus.ask_once(step)


async def _read_plan(bus: Bus, device: DeviceConfig, link: LinkConfig) -> list[ReadPoint]:
    rows: list[ReadPoint] = []
    for poll, question in questions_of(device, link):
        outcome = await bus.exchange(question)
        why = reason_of(outcome)
        if why or outcome.answer is None:
            rows += [ReadPoint(p.name, "", None, p.unit, "bad", why) for p in poll.points]
            continue
        data = outcome.answer.data
        values, codes = poll.decoder.decode(data)
        rows += [
            _row(point, _bytes_of(point, poll.first, data), value, code)
            for point, value, code in zip(poll.points, values, codes, strict=True)
        ]
    return rows


def _bytes_of(point: Point, start: int | None, data: bytes) -> bytes:
    """The registers of a point as they came, or its bytes in a meter's item; the whole answer of any other protocol."""
    if isinstance(point, ItemPoint):
        return data[point.offset : point.end]
    if start is None or not isinstance(point, RegisterPoint):
        return data
    if point.table in BIT_TABLES:
        place = point.address - start
        return bytes([data[place >> 3] >> (place & 7) & 1])
    first = 2 * (point.address - start)
    return data[first : first + 2 * point.registers]


def _row(point: Point, data: bytes, value: Value, code: int) -> ReadPoint:
    quality, reason = split_code(code)
    shown = None if value != value else value
    word = "" if reason is Reason.NONE else reason.word
    return ReadPoint(point.name, data.hex(" ").upper(), shown, point.unit, quality.word, word)


async def check_units(config: AgentConfig, clock: Clock) -> AsyncIterator[dict[str, Any]]:
    """Open every link and ask every unit for its first span: one row a unit, `trouble` "" when all is
    well."""
    for link in config.links:
        devices = [device for device in config.devices if device.link == link.name]
        try:
            async with open_bus(link, clock, protocols=protocols_on(config, link)) as bus:
                for device in devices:
                    _, question = questions_of(device, link)[0]
                    trouble = reason_of(await bus.exchange(question))
                    yield {"link": link.name, "unit": device.unit, "device": device.name, "trouble": trouble}
        except LinkTrouble as down:
            for device in devices:
                yield {"link": link.name, "unit": device.unit, "device": device.name, "trouble": str(down)}
