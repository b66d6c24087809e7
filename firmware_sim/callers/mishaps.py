"""What may go wrong with a device that calls, how often, and what goes wrong with this report.

Refuses wall-clock chance: the same seed and the same reports meet the same faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

LONGEST_NOISE = 24
"""Bytes of garbage before a frame: more than any protocol's head, far less than any reader's bound."""


class CallerFault(StrEnum):
    """What befalls one report. `NONE` is the usual way."""

    NONE = "none"
    DEAD = "dead"
    SILENT = "silent"
    DUPLICATE = "duplicate"
    BAD_CHECKSUM = "bad_checksum"
    TRUNCATED = "truncated"
    DROP = "drop"
    REBIND = "rebind"
    NOISE = "noise"
    CLOCK = "clock"


CALLER_CATALOGUE: dict[CallerFault, str] = {
    CallerFault.DEAD: "dead = true: never calls",
    CallerFault.SILENT: "silent = { probability = 0.1 }: this report is never made",
    CallerFault.DUPLICATE: "duplicate = { probability = 0.1 }: a report is sent once more after its ack",
    CallerFault.BAD_CHECKSUM: "bad_checksum = { probability = 0.1 }: first with one bit turned, then as it should be",
    CallerFault.TRUNCATED: "truncated = { probability = 0.1 }: the frame breaks off (on TCP the connection, too)",
    CallerFault.DROP: "drop = { probability = 0.1 }: the connection (or the ack's datagram) is lost after sending",
    CallerFault.REBIND: "rebind = { probability = 0.1 }: a new source port, as behind a NAT (datagrams only)",
    CallerFault.NOISE: "noise = { probability = 0.1 }: garbage before the frame",
    CallerFault.CLOCK: "clock = { probability = 0.1, seconds = -86400 }: the device's clock is wrong by that much",
}


@dataclass(frozen=True, slots=True)
class CallerFaultPlan:
    """How often a caller does what: probabilities in [0, 1] whose sum is at most 1; `dead` beats all."""

    dead: bool = False
    silent: float = 0.0
    duplicate: float = 0.0
    bad_checksum: float = 0.0
    truncated: float = 0.0
    drop: float = 0.0
    rebind: float = 0.0
    noise: float = 0.0
    clock: float = 0.0
    clock_s: float = -86_400.0

    def shares(self) -> tuple[tuple[CallerFault, float], ...]:
        """The probabilities in the fixed order in which one draw meets them."""
        return (
            (CallerFault.SILENT, self.silent),
            (CallerFault.DUPLICATE, self.duplicate),
            (CallerFault.BAD_CHECKSUM, self.bad_checksum),
            (CallerFault.TRUNCATED, self.truncated),
            (CallerFault.DROP, self.drop),
            (CallerFault.REBIND, self.rebind),
            (CallerFault.NOISE, self.noise),
            (CallerFault.CLOCK, self.clock),
        )

    @property
    def total(self) -> float:
        """Sum of the probabilities."""
        return sum(share for _, share in self.shares())


class Mishaps:
    """The faults of one caller, in the order of its reports."""

    def __init__(self, plan: CallerFaultPlan, seed: str) -> None:
        self.plan = plan
        # Three sources: how long a pause is must not decide which report is damaged, nor where.
        self._random, self._damage, self._pauses = Random(seed), Random(f"{seed}/damage"), Random(f"{seed}/pauses")
        self._shares = plan.shares()

    def next(self) -> CallerFault:
        """Draw once for one report."""
        if self.plan.dead:
            return CallerFault.DEAD
        draw = self._random.random()
        for fault, share in self._shares:
            if draw < share:
                return fault
            draw -= share
        return CallerFault.NONE

    def turned(self, frame: bytes) -> bytes:
        """The frame with one bit turned."""
        bit = self._damage.randrange(8 * len(frame))
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)

    def cut(self, frame: bytes) -> bytes:
        """The frame broken off: at least a byte of it, never all."""
        return frame[: self._damage.randrange(1, max(2, len(frame)))]

    def garbage(self) -> bytes:
        """What a line picks up while nobody speaks."""
        return self._damage.randbytes(self._damage.randint(1, LONGEST_NOISE))

    def jitter(self) -> float:
        """A number in [0, 1) for pauses."""
        return self._pauses.random()
