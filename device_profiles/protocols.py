"""Which module reads the table of which protocol: a pole with five Modbus units never loads what LwM2M needs.

A new protocol is a module under ``maps`` and one row here. Refuses to know what is in a map.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from device_profiles.exchange import Stray
from device_profiles.profiles import DeviceProfile, Example, Point, ProtocolMap
from device_profiles.readings import Value
from device_profiles.reads import PlannedRead
from device_profiles.tables import Table

MODULES = {
    "modbus": "device_profiles.maps.modbus",
    "dlt645": "device_profiles.maps.dlt645",
    "cjt188": "device_profiles.maps.cjt188",
    "serial": "device_profiles.maps.serial",
    "hj212": "device_profiles.maps.hj212",
    "gb26875": "device_profiles.maps.gb26875",
    "sl651": "device_profiles.maps.sl651",
    "jt808": "device_profiles.maps.jt808",
    "lwm2m": "device_profiles.maps.lwm2m",
    "payload": "device_profiles.maps.payload",
}
"""The key of a profile's protocol table, and who reads it."""

ASKED = ("modbus", "dlt645", "cjt188", "serial")
"""Protocols in which we ask; in the others the device calls."""


class MapModule(Protocol):
    """What a protocol's module offers; one that is asked also has ``plan_reads`` (see ``reads``)."""

    def read_map(self, table: Table) -> ProtocolMap:
        """The protocol's table; mistakes are noted in its problems, nothing is raised."""
        ...

    def check_value(self, point: Point, value: Value) -> None:
        """ValueError when the point cannot say the value on the wire."""
        ...

    def complaints_about(self, profile: DeviceProfile, example: Example) -> list[str]:
        """What is wrong with an example, in both directions; empty when all is well."""
        ...


class AskedModule(MapModule, Protocol):
    """What the module of a protocol in which we ask offers beside that."""

    def plan_reads(
        self, map: Any, unit: str, points: Sequence[Point], period_of: Callable[[Point], float]
    ) -> list[PlannedRead]:
        """The reads that bring these points, each at its period, fastest first."""
        ...

    def check_unit(self, unit: str) -> None:
        """ValueError, saying what is right, when a unit cannot have this address."""
        ...

    def sort_strays(self, data: bytes) -> list[Stray]:
        """Judge bytes that nobody waited for; every byte is in exactly one stray."""
        ...


def asked_module_of(protocol: str) -> AskedModule:
    """The module of a protocol of ``ASKED``, Modbus apart (it has register maps to plan over, see edge_agent.plan)."""
    return cast(AskedModule, module_of(protocol))


def module_of(protocol: str) -> MapModule:
    """The module of a protocol; KeyError for a key that is none."""
    return cast(MapModule, importlib.import_module(MODULES[protocol]))
