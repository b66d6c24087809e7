"""Who answers on one RS-485 line: a server for each protocol and speed that its units have.

A unit hears only what is said at its own speed. Refuses protocols that nobody here can serve: they are for callers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from device_profiles.clock import Clock
from device_profiles.maps.meter_items import ItemPoint
from device_profiles.maps.serial import SerialPoint
from device_profiles.profiles import DeviceProfile, LineSettings, RegisterPoint
from firmware_sim.image import Image
from firmware_sim.meter_units import MeterImage, MeterUnits
from firmware_sim.modbus_units import ModbusUnits
from firmware_sim.questions import FRAME, ITEM, Asked
from firmware_sim.serial_units import SerialImage, SerialUnits
from firmware_sim.street import UnitPlan
from firmware_sim.units import Extent


class LineServer(Protocol):
    """The units of one protocol and one speed; touched by the one thread that serves the line."""

    line: LineSettings

    def hear(self, data: bytes) -> list[Asked]:
        """Bytes that the master has said: the questions that are now whole, with what is said to them."""
        ...

    def silence(self) -> None:
        """The line has been silent: nothing more will come of what is held."""
        ...


Maker = Callable[[Sequence[UnitPlan], LineSettings, str, Clock], LineServer]


def _modbus(units: Sequence[UnitPlan], line: LineSettings, seed: str, clock: Clock) -> LineServer:
    devices = []
    for unit in units:
        assert isinstance(unit.address, int)
        devices.append(Image(unit.profile, f"{seed}/{unit.device}", clock).device(unit.address))
    return ModbusUnits(devices, line)


def _meters(units: Sequence[UnitPlan], line: LineSettings, seed: str, clock: Clock) -> LineServer:
    images = [MeterImage(unit.profile, str(unit.address), f"{seed}/{unit.device}", clock) for unit in units]
    return MeterUnits(images, line, seed)


def _described(units: Sequence[UnitPlan], line: LineSettings, seed: str, clock: Clock) -> LineServer:
    images = [SerialImage(unit.profile, str(unit.address), f"{seed}/{unit.device}", clock) for unit in units]
    return SerialUnits(images, line)


MAKERS: dict[str, Maker] = {"modbus": _modbus, "dlt645": _meters, "cjt188": _meters, "serial": _described}
"""Who serves which protocol on a line."""


def make_servers(units: Sequence[UnitPlan], line: LineSettings, seed: str, clock: Clock) -> list[LineServer]:
    """The servers of one line. `line`: the speed of units that have none of their own; `seed`: the street's. KeyError
    for a unit whose protocol nobody serves."""
    groups: dict[tuple[str, int], list[UnitPlan]] = {}
    for unit in units:  # a terminal has no parity, so units that differ in nothing else hear each other's questions
        groups.setdefault((unit.profile.protocol, (unit.line or line).baud), []).append(unit)
    return [MAKERS[protocol](inside, inside[0].line or line, seed, clock) for (protocol, _), inside in groups.items()]


def extents_of(profile: DeviceProfile) -> list[Extent]:
    """Where the points of a model lie, for the witness's count, whatever it speaks."""
    found = []
    for point in profile.points:
        if isinstance(point, RegisterPoint):
            found.append(Extent(point.table, point.address, point.registers))
        elif isinstance(point, ItemPoint):
            found.append(Extent(ITEM, point.item, 1))
        elif isinstance(point, SerialPoint):
            found.append(Extent(FRAME, 0, 1))
    return found
