"""Everything true of every unit of a model, as frozen data: what a TOML file of the library becomes."""

from datetime import datetime
from fractions import Fraction
from typing import ClassVar

import msgspec

from device_profiles.manifests import Title
from device_profiles.quantities import QUANTITIES
from device_profiles.readings import Value

DOMAINS = ("urban", "water", "fire", "environment", "agriculture", "traffic", "structures", "energy")
STATUSES = ("draft", "from-manual", "bench-tested", "field-proven")
TABLES = ("holding", "input", "coil", "discrete")
"""The four address spaces of Modbus (MODBUS Application Protocol V1.1b3, 4.3)."""

READ_FUNCTION = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""The function that reads each table (V1.1b3, 6.1 to 6.4)."""


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Writable(_Data, frozen=True):
    """Bounds of what may be written to a point, in the point's unit; ``low`` and ``high`` included."""

    low: float
    high: float


class Point(_Data, frozen=True, kw_only=True):
    """One value of a model, as far as every protocol knows it; how it is addressed is its protocol's own business.

    The value is in ``unit`` (UCUM). ``range`` is what the model can measure; ``deadband`` in the point's unit;
    ``period`` seconds between polls (or between the reports of a device that calls); ``report`` the longest time in
    seconds between two reports of an unchanged value.
    """

    name: str
    title: Title
    quantity: str
    unit: str
    range: tuple[float, float] | None = None
    deadband: float = 0.0
    period: float = 10.0
    report: float = 60.0
    writable: Writable | None = None

    @property
    def text(self) -> bool:
        """True when the value is a text, not a number."""
        return self.quantity in QUANTITIES and QUANTITIES[self.quantity].text


class RegisterPoint(Point, frozen=True, kw_only=True):
    """A point in a Modbus register map.

    ``value = raw × scale + offset``; ``address`` is 0-based as on the wire; ``order`` names the bytes of 0xAABBCCDD as
    they come over the wire. ``sentinels`` are *raw* values that mean "sensor open". ``length``: registers of a
    ``string``.
    """

    table: str
    address: int
    type: str
    order: str = "ABCD"
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    mask: int | None = None
    length: int = 1
    sentinels: tuple[float, ...] = ()

    @property
    def registers(self) -> int:
        """How many registers (or bits, in a bit table) the point covers."""
        if self.table in ("coil", "discrete"):
            return 1
        return self.length if self.type == "string" else TYPE_REGISTERS[self.type]

    @property
    def text(self) -> bool:
        """True when the value is a text, not a number."""
        return self.type == "string"


TYPE_REGISTERS = {
    "u16": 1,
    "i16": 1,
    "u32": 2,
    "i32": 2,
    "u64": 4,
    "i64": 4,
    "f32": 2,
    "f64": 4,
    "bcd16": 1,
    "bcd32": 2,
    "bits": 1,
    "bit": 1,
    "sm16": 1,
    "i16_over_10000": 1,
    "string": 0,
}
"""Registers a value of each type takes; a string's are counted by the point's ``length``."""

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


class Avoid(_Data, frozen=True):
    """Addresses that must never be read in passing, ``first`` and ``last`` included: reading them does something."""

    table: str
    first: int
    last: int
    why: str


class Step(_Data, frozen=True):
    """One Modbus request that does something; ``steps.request_of`` makes it.

    ``function`` 3 or 4 with ``empty``: asked like a read of ``count`` registers, answered with the byte count 0. 6, and
    16 with a ``value``: one register is written, as it goes over the wire. 16 without: the quantity is 0.
    """

    function: int
    address: int
    count: int = 0
    value: int | None = None
    empty: bool = False


class MeasuringSequence(_Data, frozen=True):
    """What a unit needs around its reads: it is started, warms up for ``wait_s`` seconds, is read, is stopped."""

    start: tuple[Step, ...]
    wait_s: float
    stop: tuple[Step, ...] = ()


class LineSettings(_Data, frozen=True):
    """A serial line as the unit leaves the factory."""

    baud: int = 9600
    parity: str = "N"
    stop: int = 1


class ProtocolMap(_Data, frozen=True, kw_only=True):
    """What a model says in its protocol, point by point; each protocol has a map of its own."""

    protocol: ClassVar[str] = ""
    """The key of the profile's table: "modbus", "hj212" …"""

    points: tuple[Point, ...] = ()


class BusMap(ProtocolMap, frozen=True, kw_only=True):
    """A model that is asked on a line, and its manners there.

    ``timeout_ms``: to the first byte of a reply; ``late_ms``: after this long without a reply none will come any more.
    """

    line: LineSettings = LineSettings()
    timeout_ms: int = 300
    late_ms: int = 2000


class ModbusMap(BusMap, frozen=True, kw_only=True):
    """A model's register map. ``max_block``: most registers a read. ``sequence``: None where it always measures."""

    protocol: ClassVar[str] = "modbus"

    unit: int = 1
    max_block: int = 125
    avoid: tuple[Avoid, ...] = ()
    sequence: MeasuringSequence | None = None
    points: tuple[RegisterPoint, ...] = ()


class Physics(_Data, frozen=True):
    """How a simulated point behaves: ``kind`` and its parameters, see physics.KINDS."""

    kind: str
    parameters: dict[str, float | list[float]] = {}


class Example(_Data, frozen=True, kw_only=True):
    """Frames of a manual or a capture and the values they must decode to.

    Either ``request`` and ``reply`` (we ask), or ``report`` and, where the protocol has one, the ``ack`` that we owe.
    ``at``: the time that the values carry (ISO 8601, UTC), None where the frame has none.
    """

    title: str
    source: str
    request: bytes = b""
    reply: bytes = b""
    report: bytes = b""
    ack: bytes = b""
    at: str | None = None
    values: dict[str, Value]

    @property
    def moment(self) -> int | None:
        """``at`` as UTC µs; None when it is absent, is no time, or names no zone."""
        try:
            moment = datetime.fromisoformat(self.at or "")
        except ValueError:
            return None
        return None if moment.tzinfo is None else round(moment.timestamp() * 1e6)


class AlarmPreset(_Data, frozen=True):
    """A threshold worth proposing to whoever installs the unit; evaluated at the centre, never on the pole."""

    point: str
    severity: str
    title: Title
    above: float | None = None
    below: float | None = None


class DeviceProfile(_Data, frozen=True, kw_only=True):
    """One model. ``component``: class and sub-class digits of GB/T 30428.2; ``path``: the file it came from."""

    model: str
    version: int
    vendor: str
    title: Title
    domain: str
    component: str
    status: str
    map: ProtocolMap
    sources: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    simulate: dict[str, Physics] = {}
    alarms: tuple[AlarmPreset, ...] = ()
    examples: tuple[Example, ...] = ()
    path: str = ""

    @property
    def protocol(self) -> str:
        """The key of the protocol's table: "modbus", "hj212" …"""
        return self.map.protocol

    @property
    def points(self) -> tuple[Point, ...]:
        """Every point of the model."""
        return self.map.points

    @property
    def modbus(self) -> ModbusMap:
        """The register map; TypeError when the model speaks something else."""
        if not isinstance(self.map, ModbusMap):
            raise TypeError(f"{self.model} speaks {self.protocol}, not Modbus")
        return self.map

    def point(self, name: str) -> Point:
        """The point of that name; KeyError when the model has none."""
        for point in self.points:
            if point.name == name:
                return point
        raise KeyError(name)
