"""Modbus TCP units for the benchmarks, in a process of their own: pymodbus serves them and every read finds new values.

Run as `python -m tests.benchmarks.units COUNT FILE`: one port a unit on loopback, 100 holding registers each. FILE gets
the ports, and about once a second how many reads were answered, as JSON. Refuses everything but a read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from tests.benchmarks.processes import Child, Row, child

REGISTERS = 100
WALK = 4096
"""Length of the walk that registers slide along, one place a read: long enough not to repeat within a batch."""


class Served(TypedDict):
    """What FILE says."""

    ports: list[int]
    reads: int


def walk(seed: int = 1) -> list[int]:
    """A bounded random walk whose neighbours always differ: values that move like a sensor's, none twice running."""
    chance, value, places = random.Random(seed), 2000, []
    for _ in range(WALK):
        step = chance.randrange(1, 12) * chance.choice((-1, 1))
        value += step if 0 < value + step < 4000 else -step
        places.append(value)
    return places + places[:REGISTERS]


async def serve(count: int, file: Path) -> None:
    """Serve `count` units until SIGTERM."""
    from pymodbus.constants import ExcCodes
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    places, reads = walk(), [0] * count

    async def refresh(
        unit: int, _function: int, _start: int, _address: int, _count: int, registers: list[int], written: object
    ) -> ExcCodes | None:
        if written is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        reads[unit] += 1
        first = reads[unit] % WALK
        registers[:REGISTERS] = places[first : first + REGISTERS]
        return None

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ports = []
    for unit in range(count):
        registers = SimData(0, values=places[:REGISTERS], datatype=DataType.REGISTERS)
        device = SimDevice(1, simdata=[registers], action=functools.partial(refresh, unit))
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        listener = server.transport
        assert isinstance(listener, asyncio.Server)
        ports.append(listener.sockets[0].getsockname()[1])
    while not stop.is_set():
        _write(file, Served(ports=ports, reads=sum(reads)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
    _write(file, Served(ports=ports, reads=sum(reads)))


def _write(file: Path, served: Served) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(served))
    fresh.replace(file)


class Units:
    """The units as the benchmark sees them."""

    def __init__(self, process: Child, file: Path) -> None:
        self.process = process
        self._file = file

    @property
    def ports(self) -> list[int]:
        """One port a unit."""
        return self._served()["ports"]

    @property
    def reads(self) -> int:
        """Reads answered so far, at most a second old."""
        return self._served()["reads"]

    def _served(self) -> Served:
        served: Served = json.loads(self._file.read_text())
        return served


@contextlib.contextmanager
def units(count: int, folder: Path, core: int | None = None) -> Iterator[Units]:
    """`count` units for the length of a with block."""
    file = folder / "units.json"
    command: list[str | Path] = [sys.executable, "-m", "tests.benchmarks.units", str(count), file]
    with child("units", command, folder, core) as process:
        process.wait_for(file.exists, "ports")
        yield Units(process, file)


def run(quick: bool = False) -> list[Row]:
    """Nothing is measured here: the other benchmarks poll these units."""
    return []


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
