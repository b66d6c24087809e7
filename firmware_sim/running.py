"""A street that answers and calls: lines, Modbus TCP links, callers and the witness, from `start` to `stop`.

Refuses to go on with half a street: a link whose thread has died ends the run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from device_profiles.clock import Clock
from firmware_sim.callers.making import make_callers, make_seats
from firmware_sim.callers.runner import Callers
from firmware_sim.image import Image
from firmware_sim.line import Line
from firmware_sim.line_servers import extents_of, make_servers
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
                extents_of(unit.profile),
                unit.faults,
                str(street.seed),
            )
            for pole, link, unit in self.street.places()
        }
        path = directory / "journal.jsonl" if journal else None
        seats = make_seats(self.street)
        self.witness = Witness(street.name, list(self._units.values()), clock, path, seats)
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
        self.callers = Callers(make_callers(self.street, seats, self.witness, clock))

    @property
    def witness_path(self) -> Path:
        """Where the count is written."""
        return self.directory / "witness.json"

    def _line(self, pole: PolePlan, link: SerialPlan) -> Line:
        servers = make_servers(link.units, link.line, str(self.street.seed), self._clock)
        units = [self._units[pole.name, link.name, unit.address] for unit in link.units]
        path, turnaround_s = link.path(self.directory, pole.name), link.turnaround_ms / 1000
        return Line(path, link.baud, turnaround_s, units, servers, self.witness, self._clock)

    def _tcp(self, pole: PolePlan, link: TcpPlan) -> TcpLink:
        devices, units = [], []
        for unit in link.units:
            assert isinstance(unit.address, int)  # the street file allows nothing else on Modbus TCP
            devices.append(Image(unit.profile, f"{self.street.seed}/{unit.device}", self._clock).device(unit.address))
            units.append(self._units[pole.name, link.name, unit.address])
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
            self.callers.start()
            self.witness.write(self.witness_path)
        except OSError:
            for line in started:
                line.stop()
            self.tcp.stop()
            raise

    def check(self) -> None:
        """RuntimeError when a thread has died by a mistake of ours."""
        dead = [line.path.name for line in self.lines if not line.alive]
        dead += [] if self.tcp.alive else ["its Modbus TCP links"]
        dead += [] if self.callers.alive else ["its callers"]
        if dead:
            raise RuntimeError(f"the simulator has lost {', '.join(dead)}")

    def hush(self) -> None:
        """Let every caller hear what it is still owed and hang up; units go on answering.

        A platform that is stopped over a report may have it on disk without having said so: who wants the counts to
        meet stops the callers first.
        """
        self.callers.stop()
        self.witness.calling = False
        self.witness.write(self.witness_path)

    def stop(self) -> None:
        """Stop every caller and every link, then write the final count."""
        self.hush()
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
