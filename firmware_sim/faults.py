"""The catalogue of what a unit may do wrong, and which of it happens at this question; refuses wall-clock chance:
the same seed and the same questions meet the same faults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Fault(StrEnum):
    """What became of one question. `NONE` is a clean answer, and `LATE` a clean one that is not on time."""

    NONE = "none"
    DEAD = "dead"
    SILENT = "silent"
    LATE = "late"
    BAD_CHECKSUM = "bad_checksum"
    TRUNCATED = "truncated"
    EXCEPTION = "exception"


CATALOGUE: dict[Fault, str] = {
    Fault.DEAD: "dead = true: never answers; on Modbus TCP the connection stands and nothing comes back",
    Fault.SILENT: "silent = { probability = 0.1 }: this question is not answered",
    Fault.LATE: "late = { probability = 0.1, delay_ms = 450 }: the right answer, that much after its time",
    Fault.BAD_CHECKSUM: "bad_checksum = { probability = 0.1 }: one bit of the answer is turned on the line (RTU only)",
    Fault.TRUNCATED: "truncated = { probability = 0.1 }: the answer breaks off (on Modbus TCP the connection, too)",
    Fault.EXCEPTION: "exception = { probability = 0.1, code = 4 }: a well-formed exception instead of the answer",
}

EXCEPTION_CODES = (1, 2, 3, 4, 5, 6, 8, 10, 11)
"""Modbus application protocol V1.1b3, 7."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How often a unit does what: probabilities in [0, 1] whose sum is at most 1; `dead` beats all."""

    dead: bool = False
    silent: float = 0.0
    late: float = 0.0
    bad_checksum: float = 0.0
    truncated: float = 0.0
    exception: float = 0.0
    delay_ms: int = 450
    code: int = 4

    def shares(self) -> tuple[tuple[Fault, float], ...]:
        """The probabilities in the fixed order in which one draw meets them."""
        return (
            (Fault.SILENT, self.silent),
            (Fault.LATE, self.late),
            (Fault.BAD_CHECKSUM, self.bad_checksum),
            (Fault.TRUNCATED, self.truncated),
            (Fault.EXCEPTION, self.exception),
        )

    @property
    def total(self) -> float:
        """Sum of the probabilities."""
        return sum(share for _, share in self.shares())


class Misfortune:
    """The faults of one unit, in the order of its questions."""

    def __init__(self, plan: FaultPlan, seed: str) -> None:
        self.plan = plan
        self._random = Random(seed)
        self._shares = plan.shares()

    def next(self) -> Fault:
        """Draw once for one question."""
        if self.plan.dead:
            return Fault.DEAD
        draw = self._random.random()
        for fault, share in self._shares:
            if draw < share:
                return fault
            draw -= share
        return Fault.NONE

    def damage(self, fault: Fault, reply: bytes) -> bytes:
        """The reply's bytes as they come over the line under `fault` (BAD_CHECKSUM or TRUNCATED)."""
        if fault is Fault.BAD_CHECKSUM:
            bit = self._random.randrange(8 * len(reply))
            damaged = bytearray(reply)
            damaged[bit // 8] ^= 1 << bit % 8
            return bytes(damaged)
        return reply[: self._random.randrange(1, len(reply))]
