"""The simulator's own count of every answer, and the files it is written to; refuses to believe in an answer before
its last byte is out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

from device_profiles.clock import Clock
from firmware_sim.callers.seats import CallerCounts, Seat, Sent
from firmware_sim.faults import Fault
from firmware_sim.questions import Question
from firmware_sim.units import Counts, LinkCounts, Unit


class Witness:
    """Counts under one lock (line threads write, the writer of the file reads), and the optional journal.

    The journal holds one line for each clean answer to a read, flushed as soon as it was sent, so that a drill can
    match stored values against answered ones. An answer that its master never took out of the line is withdrawn by
    a second line with `"withdrawn": true`. A caller's report has a line for each ack, `"repeat": true` from the second
    on; `taken_at` is the time that it carries, `values` what it was told to say and `data` the frame.

    `calling`: callers may still report.
    """

    def __init__(
        self,
        street: str,
        units: Sequence[Unit],
        clock: Clock,
        journal: Path | None = None,
        seats: Sequence[Seat] = (),
    ) -> None:
        self.street = street
        self.calling = bool(seats)
        self._units = units
        self._seats = seats
        self._clock = clock
        self._lock = Lock()
        self._links: list[tuple[str, str, LinkCounts]] = []
        self._journal: TextIO | None = journal.open("a", encoding="utf-8") if journal else None

    def watch(self, pole: str, link: str, counts: LinkCounts) -> None:
        """Also write down what happens on this link beside the units' own counts."""
        self._links.append((pole, link, counts))

    def asked(self, unit: Unit) -> None:
        """A sound question for this unit has arrived."""
        with self._lock:
            unit.counts.asked += 1

    def failed(self, unit: Unit, fault: Fault) -> None:
        """The fault has happened: nothing or nothing whole came back."""
        with self._lock:
            unit.counts.faults[fault] += 1

    def refused(self, unit: Unit) -> None:
        """The unit itself answered with an exception (no such register, no such function)."""
        with self._lock:
            unit.counts.refused += 1

    def answered(self, unit: Unit, question: Question, data: bytes, late: bool) -> None:
        """The last byte of a clean answer is out."""
        with self._lock:
            self._move(unit, question, late, 1)
            self._note(unit, question, data, late)

    def withdraw(self, unit: Unit, question: Question, data: bytes, late: bool) -> None:
        """The answer was written and never read: nobody was there any more."""
        with self._lock:
            self._move(unit, question, late, -1)
            unit.counts.unread += 1
            unit.counts.unread_readings += unit.readings_in(question)
            self._note(unit, question, data, late, withdrawn=True)

    def acknowledged(self, seat: Seat, sent: Sent) -> None:
        """The platform has acked a caller's report (see `callers.seats`; the counts are the callers' own)."""
        if self._journal is None:
            return
        line = {
            "at": self._clock.now(),
            "pole": seat.pole,
            "listener": seat.listener,
            "id": seat.id,
            "device": seat.device,
            "taken_at": sent.at,
            "values": sent.values,
            "data": sent.data.hex(),
            "repeat": sent.acks > 1,
        }
        with self._lock:
            self._journal.write(json.dumps(line) + "\n")
            self._journal.flush()

    def _move(self, unit: Unit, question: Question, late: bool, step: int) -> None:
        readings = step * unit.readings_in(question)
        if late:
            unit.counts.late += step
            unit.counts.late_readings += readings
        else:
            unit.counts.answered += step
            unit.counts.answered_readings += readings

    def _note(self, unit: Unit, question: Question, data: bytes, late: bool, **more: bool) -> None:
        if self._journal is None or not question.reads:
            return
        line = {
            "at": self._clock.now(),
            "pole": unit.pole,
            "link": unit.link,
            "unit": unit.address,
            "device": unit.device,
            "function": question.function,
            "address": question.address,
            "count": question.count,
            "data": data.hex(),
            "late": late,
            **more,
        }
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()

    def document(self) -> dict[str, Any]:
        """The witness file: every unit, link and caller, and the sums (`totals` of units, `calls` of callers)."""
        with self._lock:
            totals = Counts()
            units = []
            for unit in self._units:
                totals.add(unit.counts)
                place = {"pole": unit.pole, "link": unit.link, "unit": unit.address}
                units.append({**place, "device": unit.device, "profile": unit.profile, **unit.counts.document()})
            links = [{"pole": pole, "link": link, **asdict(counts)} for pole, link, counts in self._links]
            calls = CallerCounts()
            for seat in self._seats:
                calls.add(seat.counts)
            return {
                "street": self.street,
                "at": self._clock.now(),
                "calling": self.calling,
                "units": units,
                "links": links,
                "callers": [seat.document() for seat in self._seats],
                "totals": totals.document(),
                "calls": calls.document(),
            }

    def write(self, path: Path) -> None:
        """Replace the witness file: a reader sees the old one or the new one, never a half."""
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(json.dumps(self.document(), indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
