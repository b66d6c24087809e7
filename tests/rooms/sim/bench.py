"""A street made for one test: a profile whose registers were worked out by hand, and the faults the test wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymodbus.client import ModbusSerialClient, ModbusTcpClient

from firmware_sim.clock import SystemClock
from firmware_sim.running import RunningStreet
from firmware_sim.street_file import load_street
from firmware_sim.units import Counts

BAUD = 115200
"""Fast, so that tests are; the pace itself is tested as arithmetic."""

REGISTERS = [0xFF85, 0x2000, 0x47F1, 0x0001, 0x86A1]
"""By hand: -12.3 at a tenth; 123456.0 (0x47F12000) as CDAB; 100001 (0x000186A1) as ABCD."""

POINTS = 3
PROFILE = """
[profile]
model = "test-bench"
version = 1
vendor = "test"
title = { zh = "试", en = "Bench" }
domain = "urban"
component = "0301"
status = "draft"
sources = ["worked out by hand"]

[modbus]

[[modbus.points]]
name = "cold"
title = { zh = "温", en = "Cold" }
quantity = "air_temperature"
unit = "Cel"
table = "holding"
address = 10
type = "i16"
scale = 0.1
period = 1
range = [-40, 80]

[[modbus.points]]
name = "light"
title = { zh = "光", en = "Light" }
quantity = "illuminance"
unit = "lx"
table = "holding"
address = 11
type = "f32"
order = "CDAB"
period = 1

[[modbus.points]]
name = "more_light"
title = { zh = "光", en = "More light" }
quantity = "illuminance"
unit = "lx"
table = "holding"
address = 13
type = "u32"
period = 1

[[modbus.points]]
name = "on"
title = { zh = "开", en = "On" }
quantity = "state"
unit = "1"
table = "coil"
address = 3
type = "bit"
period = 1

[[modbus.points]]
name = "colder"
title = { zh = "温", en = "Colder" }
quantity = "air_temperature"
unit = "Cel"
table = "input"
address = 0
type = "i16"
period = 1

[simulate]
cold = { kind = "constant", value = -12.3 }
light = { kind = "constant", value = 123456 }
more_light = { kind = "constant", value = 100001 }
on = { kind = "constant", value = 1 }
colder = { kind = "constant", value = -2 }
"""


def street_text(kind: str, faults: str = "{}", more: str = "", baud: int = BAUD) -> str:
    """One pole, one link of `kind` with unit 1 under `faults` and a healthy unit 2."""
    line = f"baud = {baud}\nturnaround_ms = {2 if baud == BAUD else 40}" if kind == "rtu" else ""
    return f"""
[street]
name = "bench"
seed = 7
profiles = ["profiles"]

[[poles]]
name = "p1"

[[poles.links]]
name = "l1"
kind = "{kind}"
{line}

[[poles.links.units]]
unit = 1
device = "one"
profile = "test-bench"
faults = {faults}

[[poles.links.units]]
unit = 2
device = "two"
profile = "test-bench"
{more}
"""


def write_street(folder: Path, kind: str, faults: str = "{}", more: str = "", baud: int = BAUD) -> Path:
    """The street's file beside its folder of profiles."""
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles" / "test-bench.toml").write_text(PROFILE, encoding="utf-8")
    path = folder / "street.toml"
    path.write_text(street_text(kind, faults, more, baud), encoding="utf-8")
    return path


@contextmanager
def running(folder: Path, kind: str, faults: str = "{}", baud: int = BAUD) -> Iterator[RunningStreet]:
    """The street, served; its files lie in `folder`/run."""
    street = load_street(str(write_street(folder, kind, faults, baud=baud)))
    with RunningStreet(street, folder / "run", SystemClock(), journal=True) as served:
        yield served


@contextmanager
def master(served: RunningStreet, timeout: float = 0.5) -> Iterator[ModbusSerialClient | ModbusTcpClient]:
    """pymodbus' own client on the street's one link; no retries, so that each question is counted once."""
    client: ModbusSerialClient | ModbusTcpClient
    if served.lines:
        client = ModbusSerialClient(str(served.lines[0].path), baudrate=BAUD, timeout=timeout, retries=0)
    else:
        client = ModbusTcpClient("127.0.0.1", port=served.tcp.links[0].port, timeout=timeout, retries=0)
    assert client.connect()
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]  # pymodbus leaves it without annotations


def counts(served: RunningStreet, unit: int = 1) -> Counts:
    """What the simulator counted for one unit."""
    return served._units["p1", "l1", unit].counts
