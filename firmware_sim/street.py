"""What a street is: poles, their links, the units on them and what befalls those; plain data, one truth for the
simulator and for the site files of the poles. Refuses to hold what cannot be simulated (see `street_file`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from device_profiles.profiles import DeviceProfile
from firmware_sim.faults import FaultPlan

Title = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class UnitPlan:
    """One unit: `address` on its link, `device` its name in the city, `period` seconds between polls if slowed."""

    address: int
    device: str
    profile: DeviceProfile
    code: str | None = None
    title: Title = field(default_factory=dict)
    period: float | None = None
    faults: FaultPlan = field(default_factory=FaultPlan)


@dataclass(frozen=True, kw_only=True)
class LinkPlan:
    """A pole's link to its units; `timeout_ms` and `retries` are what its site file tells the agent."""

    name: str
    timeout_ms: int = 300
    retries: int = 1
    units: tuple[UnitPlan, ...]


@dataclass(frozen=True, kw_only=True)
class SerialPlan(LinkPlan):
    """An RS-485 line; `turnaround_ms` from the end of a question to the start of its answer."""

    baud: int
    parity: str = "N"
    stop: int = 1
    turnaround_ms: float = 5.0

    def path(self, directory: Path, pole: str) -> Path:
        """Where the pseudo-terminal is linked: the same place at every start."""
        return directory / f"{pole}-{self.name}"


@dataclass(frozen=True, kw_only=True)
class TcpPlan(LinkPlan):
    """A Modbus TCP address; port 0 is any free one (see `ports`)."""

    port: int = 0


@dataclass(frozen=True, kw_only=True)
class PolePlan:
    """One lamp pole."""

    name: str
    title: Title = field(default_factory=dict)
    links: tuple[SerialPlan | TcpPlan, ...]


@dataclass(frozen=True, kw_only=True)
class Street:
    """Poles, a seed that decides every value and every fault, and folders with profiles of its own."""

    name: str
    seed: int
    title: Title = field(default_factory=dict)
    profiles: tuple[Path, ...] = ()
    poles: tuple[PolePlan, ...]

    def places(self) -> Iterator[tuple[PolePlan, SerialPlan | TcpPlan, UnitPlan]]:
        """Every unit with its link and its pole."""
        for pole in self.poles:
            for link in pole.links:
                for unit in link.units:
                    yield pole, link, unit
