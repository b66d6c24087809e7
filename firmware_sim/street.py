"""What a street is: poles, their links and listeners, the units and callers there and what befalls them; plain data,
one truth for the simulator and for the site files of the poles. Refuses to hold what cannot be simulated (see
`street_file`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from device_profiles.profiles import DeviceProfile, LineSettings
from firmware_sim.callers.mishaps import CallerFaultPlan
from firmware_sim.faults import FaultPlan

Title = dict[str, str]
Option = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class UnitPlan:
    """One unit: `address` on its link (a meter's is text), `device` its name in the city, `period` seconds between
    polls if slowed, `line` its own speed and parity where they are not the link's."""

    address: int | str
    device: str
    profile: DeviceProfile
    code: str | None = None
    title: Title = field(default_factory=dict)
    period: float | None = None
    line: LineSettings | None = None
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

    @property
    def line(self) -> LineSettings:
        """The speed and parity of units that have none of their own."""
        return LineSettings(baud=self.baud, parity=self.parity, stop=self.stop)

    def path(self, directory: Path, pole: str) -> Path:
        """Where the pseudo-terminal is linked: the same place at every start."""
        return directory / f"{pole}-{self.name}"


@dataclass(frozen=True, kw_only=True)
class TcpPlan(LinkPlan):
    """A Modbus TCP address; port 0 is any free one (see `ports`)."""

    port: int = 0


@dataclass(frozen=True, kw_only=True)
class CallerPlan:
    """One device that calls: `id` as its protocol says it, `period` seconds between reports; `options` and `secret` are
    its talker's own (edition, encryption, mode …). `timeout_s` and `retries`: None for what its protocol's devices do.
    """

    id: str
    device: str
    profile: DeviceProfile
    period: float
    code: str | None = None
    title: Title = field(default_factory=dict)
    timeout_s: float | None = None
    retries: int | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    faults: CallerFaultPlan = field(default_factory=CallerFaultPlan)


@dataclass(frozen=True, kw_only=True)
class ListenerPlan:
    """A door of a pole's gateway and who calls there; port 0 is any free one (see `ports`). `options` and `secret` are
    the listener's own keys in the site file."""

    name: str
    protocol: str
    transport: str
    port: int = 0
    unknown: str = "refuse"
    options: Mapping[str, Option] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    callers: tuple[CallerPlan, ...]


@dataclass(frozen=True, kw_only=True)
class PolePlan:
    """One lamp pole."""

    name: str
    title: Title = field(default_factory=dict)
    links: tuple[SerialPlan | TcpPlan, ...] = ()
    listeners: tuple[ListenerPlan, ...] = ()


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

    def callers(self) -> Iterator[tuple[PolePlan, ListenerPlan, CallerPlan]]:
        """Every caller with the listener that it calls and its pole."""
        for pole in self.poles:
            for listener in pole.listeners:
                for caller in listener.callers:
                    yield pole, listener, caller
