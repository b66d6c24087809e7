"""A unit on a line as its surroundings see it: who it is, what may befall it, what it has answered so far.

Refuses to know how its registers are served or how its bytes travel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from firmware_sim.faults import Fault, FaultPlan, Misfortune
from firmware_sim.questions import Question

COUNTED_FAULTS = (Fault.SILENT, Fault.BAD_CHECKSUM, Fault.TRUNCATED, Fault.EXCEPTION, Fault.DEAD)


@dataclass(frozen=True, slots=True)
class Extent:
    """Where one profile point lies: `table` as in a `Question`, `count` registers (bits for coil and discrete). A
    meter's point lies in the item whose identifier is `address`."""

    table: str
    address: int
    count: int


@dataclass(slots=True)
class Counts:
    """What one unit was asked and did; a reading is one profile point lying wholly inside an answered span."""

    asked: int = 0
    answered: int = 0
    answered_readings: int = 0
    late: int = 0
    late_readings: int = 0
    refused: int = 0
    unread: int = 0
    unread_readings: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)

    def document(self) -> dict[str, object]:
        """The counts as the witness file holds them."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "faults"}
        return {**plain, "faults": {str(fault): self.faults[fault] for fault in COUNTED_FAULTS}}

    def add(self, other: Counts) -> None:
        """Sum `other` into this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class LinkCounts:
    """What happened on a link beside the units' own counts.

    `crowded` questions on a serial line came before 3.5 characters of silence were over; `wrong_speed` counts what came
    at a speed that nobody on the line has, and answers that found the master at another; `collisions` are questions to
    any meter where several heard. `stalled` answers had a byte that this machine let come more than `line.STALLED_S`
    after its time, `worst_stall_s` is the longest.
    """

    questions: int = 0
    strangers: int = 0
    noise: int = 0
    wrong_speed: int = 0
    crowded: int = 0
    collisions: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    stalled: int = 0
    worst_stall_s: float = 0.0


class Unit:
    """One unit of a street; touched by the one thread that serves its link."""

    def __init__(
        self,
        place: tuple[str, str, int | str],
        device: str,
        profile: str,
        extents: Sequence[Extent],
        plan: FaultPlan,
        seed: str,
    ) -> None:
        """`place` is (pole, link, unit address)."""
        self.pole, self.link, self.address = place
        self.device = device
        self.profile = profile
        self.counts = Counts()
        self.misfortune = Misfortune(plan, f"{seed}/{self.pole}/{self.link}/{self.address}")
        self._extents = extents
        self._readings: dict[tuple[str, int, int], int] = {}

    def readings_in(self, question: Question) -> int:
        """How many profile points lie wholly inside what was asked for."""
        key = (question.table, question.address, question.count)
        if key not in self._readings:
            end = question.address + question.count
            self._readings[key] = sum(
                point.table == question.table
                and question.address <= point.address
                and point.address + point.count <= end
                for point in self._extents
            )
        return self._readings[key]
