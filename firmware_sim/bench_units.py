"""Many plain Modbus TCP units in one process, for the benchmarks of whatever polls them: pymodbus, nothing in front.

Refuses faults and profiles: a street has those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from device_profiles.clock import Clock

UNIT = 1
MOMENTS = 64
"""Register pictures made beforehand; a unit shows the next one each second, so no deadband holds anything back."""


def _picture(unit: int, registers: int, moment: int) -> list[int]:
    return [(unit * 101 + index * 7 + moment * 13) & 0x7FFF for index in range(registers)]


def _device(unit: int, registers: int, clock: Clock) -> SimDevice:
    pictures = [_picture(unit, registers, moment) for moment in range(MOMENTS)]

    async def refresh(
        function: int,
        start: int,
        address: int,
        count: int,
        held: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        held[:registers] = pictures[clock.now() // 1_000_000 % MOMENTS]
        return None

    return SimDevice(UNIT, simdata=[SimData(0, values=pictures[0], datatype=DataType.REGISTERS)], action=refresh)


@asynccontextmanager
async def tcp_units(count: int, registers: int, clock: Clock, first_port: int = 0) -> AsyncIterator[list[int]]:
    """Serve `count` units (each unit 1 on a port of its own) with `registers` holding registers from 0.

    Yields the ports: `first_port` and on, or free ones when it is 0. RuntimeError when a port is taken.
    """
    servers = []
    try:
        for unit in range(count):
            port = first_port + unit if first_port else 0
            server = ModbusTcpServer(_device(unit, registers, clock), address=("127.0.0.1", port))
            await server.serve_forever(background=True)
            servers.append(server)
        yield [_port(server) for server in servers]
    finally:
        for server in servers:
            await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it without annotations


def _port(server: ModbusTcpServer) -> int:
    listener = server.transport
    if not isinstance(listener, asyncio.Server):
        raise RuntimeError("pymodbus is not listening")
    port: int = listener.sockets[0].getsockname()[1]
    return port
