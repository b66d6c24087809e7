"""Everything true of every unit of a model, as frozen data: what a TOML file of the library becomes."""

from fractions import Fraction

import msgspec

from device_profiles.manifests import Title
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


class Point(_Data, frozen=True):
    """One addressable value of a model.

    ``value = raw × scale + offset`` in ``unit`` (UCUM); ``address`` is 0-based as on the wire; ``order`` names the
    bytes of
    0xAABBCCDD as they come over the wire. ``sentinels`` are *raw* values that mean "sensor open". ``length``:
    registers of a
    ``string``. ``range`` is what the model can measure; ``deadband`` in the point's unit; ``period`` seconds
    between polls;
    ``report`` the longest time in seconds between two reports of an unchanged value.
    """

    name: str
    title: Title
    quantity: str
    unit: str
    table: str
    address: int
    type: str
    order: str = "ABCD"
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    mask: int | None = None
    length: int = 1
    sentinels: tuple[float, ...] = ()
    range: tuple[float, float] | None = None
    deadband: float = 0.0
    period: float = 10.0
    report: float = 60.0
    writable: Writable | None = None

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


class LineSettings(_Data, frozen=True):
    """A serial line as the unit leaves the factory."""

    baud: int = 9600
    parity: str = "N"
    stop: int = 1


class ModbusMap(_Data, frozen=True):
    """A model's register map and its manners on the bus.

    ``max_block``: most registers a read; ``timeout_ms``: to the first byte of a reply; ``late_ms``: after this long
    without a reply none will come any more.
    """

    unit: int = 1
    line: LineSettings = LineSettings()
    max_block: int = 125
    timeout_ms: int = 300
    late_ms: int = 2000
    avoid: tuple[Avoid, ...] = ()
    points: tuple[Point, ...] = ()


class Physics(_Data, frozen=True):
    """How a simulated point behaves: ``kind`` and its parameters, see physics.KINDS."""

    kind: str
    parameters: dict[str, float | list[float]] = {}


class Example(_Data, frozen=True):
    """Frames of a manual or a capture and the values they must decode to."""

    title: str
    source: str
    request: bytes
    reply: bytes
    values: dict[str, Value]


class AlarmPreset(_Data, frozen=True):
    """A threshold worth proposing to whoever installs the unit; evaluated at the centre, never on the pole."""

    point: str
    severity: str
    title: Title
    above: float | None = None
    below: float | None = None


class DeviceProfile(_Data, frozen=True):
    """One model. ``component``: class and sub-class digits of GB/T 30428.2; ``path``: the file it came from."""

    model: str
    version: int
    vendor: str
    title: Title
    domain: str
    component: str
    status: str
    modbus: ModbusMap
    sources: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    simulate: dict[str, Physics] = {}
    alarms: tuple[AlarmPreset, ...] = ()
    examples: tuple[Example, ...] = ()
    path: str = ""

    def point(self, name: str) -> Point:
        """The point of that name; KeyError when the model has none."""
        for point in self.modbus.points:
            if point.name == name:
                return point
        raise KeyError(name)
