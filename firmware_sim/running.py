"""A street that answers: its lines, its Modbus TCP links and the witness, from `start` to `stop`.

Refuses to go on with half a street: a link whose thread has died ends the run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from device_profiles.clock import Clock
from firmware_sim.image import Image, extents_of
from firmware_sim.line import Line
from firmware_sim.modbus_units import ModbusUnits
from firmware_sim.ports import settle_ports
from firmware_sim.street import PolePlan, SerialPlan, Street, TcpPlan
from firmware_sim.tcp import TcpLink, TcpLinks
from firmware_sim.units import Unit
from firmware_sim.witness import Witness

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from another; Python's 5 ms is a whole frame at 115200 baud."""


class RunningStreet:
    """`directory` gets the serial lines' links, `ports.json`, `witness.json` and, if wanted, `journal.jsonl`."""

    def __init__(self, street: Street, directory: Path, clock: Clock, journal: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.street = settle_ports(street, directory)
        self.directory = directory
        self._clock = clock
        self._units = {
            (pole.name, link.name, unit.address): Unit(
                (pole.name, link.name, unit.address),
                unit.device,
                unit.profile.model,
                extents_of(unit.profile.modbus.points),
                unit.faults,
                str(street.seed),
            )
            for pole, link, unit in self.street.places()
        }
        path = directory / "journal.jsonl" if journal else None
        self.witness = Witness(street.name, list(self._units.values()), clock, path)
        self.lines: list[Line] = []
        tcp: list[TcpLink] = []
        for pole in self.street.poles:
            for link in pole.links:
                if isinstance(link, SerialPlan):
                    self.lines.append(self._line(pole, link))
                    self.witness.watch(pole.name, link.name, self.lines[-1].counts)
                else:
                    tcp.append(self._tcp(pole, link))
                    self.witness.watch(pole.name, link.name, tcp[-1].counts)
        self.tcp = TcpLinks(tcp)

    @property
    def witness_path(self) -> Path:
        """Where the count is written."""
        return self.directory / "witness.json"

    def _image(self, pole: str, link: str, address: int) -> Image:
        unit = next(u for p, k, u in self.street.places() if (p.name, k.name, u.address) == (pole, link, address))
        return Image(unit.profile, f"{self.street.seed}/{unit.device}", self._clock)

    def _line(self, pole: PolePlan, link: SerialPlan) -> Line:
        devices = [self._image(pole.name, link.name, unit.address).device(unit.address) for unit in link.units]
        units = [self._units[pole.name, link.name, unit.address] for unit in link.units]
        path, turnaround_s = link.path(self.directory, pole.name), link.turnaround_ms / 1000
        return Line(path, link.baud, turnaround_s, units, ModbusUnits(devices), self.witness, self._clock)

    def _tcp(self, pole: PolePlan, link: TcpPlan) -> TcpLink:
        devices = [self._image(pole.name, link.name, unit.address).device(unit.address) for unit in link.units]
        units = [self._units[pole.name, link.name, unit.address] for unit in link.units]
        return TcpLink(link.port, units, devices, self.witness)

    def start(self) -> None:
        """Open every link and serve. OSError, with all of it closed again, when one cannot be had."""
        sys.setswitchinterval(SWITCH_S)
        self.tcp.start()
        started: list[Line] = []
        try:
            for line in self.lines:
                line.start()
                started.append(line)
            self.witness.write(self.witness_path)
        except OSError:
            for line in started:
                line.stop()
            self.tcp.stop()
            raise

    def check(self) -> None:
        """RuntimeError when a thread has died by a mistake of ours."""
        dead = [line.path.name for line in self.lines if not line.alive]
        if dead or not self.tcp.alive:
            raise RuntimeError(f"the simulator has lost {', '.join(dead) or 'its Modbus TCP links'}")

    def stop(self) -> None:
        """Stop every link, then write the final count."""
        for line in self.lines:
            line.stop()
        self.tcp.stop()
        self.witness.write(self.witness_path)
        self.witness.close()

    def __enter__(self) -> RunningStreet:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
