"""A profile read backwards: its points as the registers and bits of one pymodbus device, refreshed when they are read.

Refuses nothing a master may do: holes answer with exception 2, and what was written stays written.
"""

from __future__ import annotations

from collections.abc import Sequence

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from device_profiles.clock import Clock
from device_profiles.profiles import DeviceProfile, RegisterPoint
from device_profiles.spans import BIT_TABLES, encode_registers
from firmware_sim.physics import Signal
from firmware_sim.questions import READS, RTU_HEAD, parse, payload

TABLE_OF = {**READS, 5: "coil", 15: "coil", 6: "holding", 16: "holding", 22: "holding", 23: "holding"}
"""Which table a function works on (Modbus application protocol V1.1b3, 6)."""
BLOCKS = ("coil", "discrete", "holding", "input")
"""The order in which pymodbus wants its four blocks."""
LAST_WORD = 0xFFFF
LAST_BITS = LAST_WORD - 15
CHECKSUM = 2

Cells = dict[tuple[str, int], int]


def manual_cells(profile: DeviceProfile) -> Cells:
    """Registers that the profile's example replies show: they answer even where no point lies on them."""
    cells: Cells = {}
    for example in profile.examples:
        question = parse(example.request, RTU_HEAD)
        if question is None or question.function not in (3, 4):
            continue
        data = payload(example.reply, RTU_HEAD, CHECKSUM)
        for index in range(len(data) // 2):
            word = int.from_bytes(data[2 * index : 2 * index + 2], "big")
            cells[READS[question.function], question.address + index] = word
    return cells


def _runs(addresses: Sequence[int]) -> list[tuple[int, int]]:
    """(first, count) of each unbroken run."""
    runs: list[tuple[int, int]] = []
    for address in sorted(addresses):
        if runs and address == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((address, 1))
    return runs


def _block(table: str, cells: Cells) -> list[SimData]:
    """One pymodbus block; it may not be empty, so an unused one holds the last address only."""
    bits = table in BIT_TABLES
    held = [address for kind, address in cells if kind == table]
    if not held and bits:
        return [SimData(LAST_BITS, values=[False] * 16, datatype=DataType.BITS)]
    if not held:
        return [SimData(LAST_WORD, datatype=DataType.INVALID)]
    blocks = []
    for first, count in _runs(held):
        words = [cells[table, first + index] for index in range(count)]
        if bits:
            blocks.append(SimData(first, values=[bool(word) for word in words], datatype=DataType.BITS))
        else:
            blocks.append(SimData(first, values=words, datatype=DataType.REGISTERS))
    return blocks


class Image:
    """The registers of one unit over time: `seed` and the clock decide every value."""

    def __init__(self, profile: DeviceProfile, seed: str, clock: Clock) -> None:
        self._clock = clock
        self._points = profile.modbus.points
        self._signals = {
            point.name: Signal(point, profile.simulate.get(point.name), f"{seed}/{point.name}", clock.now())
            for point in self._points
        }
        self._cells = {**manual_cells(profile), **self._now(self._points)}
        self._wanted: dict[tuple[str, int, int], list[RegisterPoint]] = {}
        self._written: set[tuple[str, int]] = set()

    def device(self, address: int) -> SimDevice:
        """The unit at `address` as pymodbus serves it."""
        coils, discretes, holdings, inputs = (_block(table, self._cells) for table in BLOCKS)
        return SimDevice(address, simdata=(coils, discretes, holdings, inputs), action=self._refresh)

    def _now(self, points: Sequence[RegisterPoint]) -> Cells:
        now = self._clock.now()
        return encode_registers(points, {point.name: self._signals[point.name].at(now) for point in points})

    async def _refresh(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus asks before it reads (`written` is None) or writes; `registers` is the whole block from `start`."""
        table = TABLE_OF[function]
        if written is not None:
            self._written |= {(table, address + index) for index in range(len(written))}
            return None
        span = (table, *(((address // 16) * 16, count * 16) if table in BIT_TABLES else (address, count)))
        for (_, place), word in self._now(self._alive(*span)).items():
            if table in BIT_TABLES:
                registers[place // 16 - start] &= ~(1 << place % 16)
                registers[place // 16 - start] |= word << place % 16
            else:
                registers[place - start] = word
        return None

    def _alive(self, table: str, first: int, count: int) -> list[RegisterPoint]:
        """Points that touch the span and that nobody has written to."""
        key = (table, first, count)
        if key not in self._wanted:
            self._wanted[key] = [
                point
                for point in self._points
                if point.table == table and point.address < first + count and first < point.address + point.registers
            ]
        if not self._written:
            return self._wanted[key]
        return [
            point
            for point in self._wanted[key]
            if not any((table, point.address + index) in self._written for index in range(point.registers))
        ]
