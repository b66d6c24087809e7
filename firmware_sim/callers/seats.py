"""A caller as its surroundings see it: who it is and what came of its reports; refuses to know how they travel.

A *copy* is a whole, undamaged frame that left. The platform acks each copy that it takes or knows already, so acks are
what is counted: the first one for a report is an answer, each further one a repeat. An ack that the device itself never
heard (its connection was gone) counts all the same: the platform has said that it has the report.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

from device_profiles.readings import Value
from firmware_sim.callers.mishaps import CallerFault

COUNTED_FAULTS = tuple(fault for fault in CallerFault if fault not in (CallerFault.NONE, CallerFault.DEAD))


@dataclass(slots=True, kw_only=True)
class Sent:
    """One report: `place` in the order of all, `readings` in it, `copies` and damaged `spoilt` ones that left, `acks`.

    `known`: the device itself has heard an ack. `kept`: it was put by and goes out as back-fill.
    """

    key: bytes
    data: bytes
    at: int
    values: dict[str, Value]
    readings: int
    unmapped: int = 0
    fault: CallerFault = CallerFault.NONE
    place: int = 0
    copies: int = 0
    spoilt: int = 0
    acks: int = 0
    known: bool = False
    kept: bool = False


@dataclass(slots=True)
class CallerCounts:
    """What one caller did; readings as the gateway's ledger counts them (`Ledger.answered`).

    `reports` were made, `sent` copies left, `acked` reports were acked, `repeats` acks came for copies after the
    first; `unheard` copies were never acked, so that nobody here can say whether they arrived. `waiting` reports are
    such that the device itself knows of no ack, `forgotten` ones were more than it can keep. `strange` acks answer
    nothing that was sent.
    """

    reports: int = 0
    sent: int = 0
    acked: int = 0
    answered_readings: int = 0
    repeats: int = 0
    late_readings: int = 0
    unheard: int = 0
    backfilled: int = 0
    waiting: int = 0
    forgotten: int = 0
    forgotten_readings: int = 0
    connected: int = 0
    lost: int = 0
    strange: int = 0
    replies: int = 0
    faults: Counter[CallerFault] = field(default_factory=lambda: Counter(dict.fromkeys(COUNTED_FAULTS, 0)))
    """Every fault from the start: another thread reads while this one counts."""

    def document(self) -> dict[str, object]:
        """The counts as the witness file holds them."""
        plain = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "faults"}
        return {**plain, "faults": {str(fault): self.faults[fault] for fault in COUNTED_FAULTS}}

    def add(self, other: CallerCounts) -> None:
        """Sum `other` into this one."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def acknowledged(self, sent: Sent) -> bool:
        """Take one ack for `sent`; False when it answers more copies than ever left."""
        if sent.acks >= sent.copies + sent.spoilt:
            self.strange += 1
            return False
        sent.acks += 1
        readings = sent.readings + sent.unmapped
        if sent.acks == 1:
            self.acked += 1
            self.answered_readings += readings
        else:
            self.repeats += 1
            self.late_readings += readings
        self.unheard -= sent.acks <= sent.copies
        return True


@dataclass(frozen=True, kw_only=True)
class Seat:
    """Who calls where."""

    pole: str
    listener: str
    id: str
    device: str
    profile: str
    dead: bool = False
    counts: CallerCounts = field(default_factory=CallerCounts)

    def document(self) -> dict[str, object]:
        """The caller's line in the witness file."""
        place = {"pole": self.pole, "listener": self.listener, "id": self.id, "device": self.device}
        return {**place, "profile": self.profile, "dead": self.dead, **self.counts.document()}
