"""Who still owes an answer: what keeps a late reply from being taken as the next answer.

A Modbus RTU reply does not say which registers it carries: two answers of one unit are told apart by function
and length only, their *shape*. So when a question remains unanswered, its shape is outstanding for that unit,
and no question of that shape may be asked again until the unit has answered one of another shape (a serial
unit answers in the order in which it was asked, so everything older is past then), or until the profile's
late window is over. On Modbus TCP the transaction number tells answers apart, so nothing is ever blocked
there and the list only serves the count.

Pure book-keeping: it refuses to read clocks, to send, and to look at bytes. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque

import msgspec

Unit = int | str
"""A unit's address: Modbus' number, or a meter's number as text."""

Shape = tuple[int, ...]
"""What tells two answers of one unit apart; its first part is the function."""

#: Unanswered questions that are no danger any more but whose answer, if it comes after all, must still be
#: counted.
REMEMBERED = 64


class Asked(msgspec.Struct, frozen=True):
    """One question that was sent. `readings`: points its answer would carry; `until`: when none can come
    any more; `transaction`: Modbus TCP's number, -1 on a serial line."""

    unit: Unit
    shape: Shape
    readings: int
    until: float
    transaction: int = -1


class Quarantine:
    """The questions of one link that were not answered in time, by unit, in the order in which they were
    asked."""

    def __init__(self) -> None:
        self._open: dict[Unit, list[Asked]] = {}
        self._past: deque[Asked] = deque(maxlen=REMEMBERED)

    def unanswered(self, asked: Asked) -> None:
        """The question's time is up, or what came was no whole answer."""
        self._open.setdefault(asked.unit, []).append(asked)

    def answered(self, asked: Asked) -> None:
        """An answer to `asked` was accepted: what the unit was asked before is past.

        After a retry the answer may be that of the first attempt: then the second is still to come.
        """
        entries = self._open.pop(asked.unit, None)
        if entries is None:
            return
        for place, entry in enumerate(entries):
            if entry.shape == asked.shape and entry.transaction == asked.transaction:
                self._past.extend(entries[:place])
                self._open[asked.unit] = [*entries[place + 1 :], asked]
                return
        self._past.extend(entries)

    def free_at(self, unit: Unit, shape: Shape, now: float) -> float:
        """When a question of this shape may be asked: `now`, or when the last outstanding one of its kind
        expires."""
        entries = self._current(unit, now)
        return max((entry.until for entry in entries if entry.shape == shape and entry.transaction < 0), default=now)

    def doubts_exception(self, unit: Unit, function: int, now: float) -> bool:
        """True when an exception to `function` may belong to an older question: exceptions have no shape
        of their own."""
        return any(entry.shape[0] == function and entry.transaction < 0 for entry in self._current(unit, now))

    def late(self, unit: Unit, shape: Shape, transaction: int = -1) -> int | None:
        """A whole answer arrived that nobody waits for: the readings that it carries, None when nobody
        asked for it."""
        entries = self._open.get(unit, [])
        for place, entry in enumerate(entries):
            if entry.shape == shape and entry.transaction == transaction:
                self._past.extend(entries[:place])
                self._keep(unit, entries[place + 1 :])
                return entry.readings
        for entry in self._past:
            if entry.unit == unit and entry.shape == shape and entry.transaction == transaction:
                self._past.remove(entry)
                return entry.readings
        return None

    def forget(self) -> None:
        """The connection is a new one: nothing asked on the old one will be answered on it."""
        self._open.clear()
        self._past.clear()

    def last_chance(self) -> float:
        """When the last answer that may still come can come; 0.0 when none is expected."""
        still = [entry.until for entries in self._open.values() for entry in entries]
        return max([*still, *(entry.until for entry in self._past)], default=0.0)

    def _current(self, unit: Unit, now: float) -> list[Asked]:
        entries = self._open.get(unit)
        if not entries:
            return []
        if all(entry.until > now for entry in entries):
            return entries
        self._past.extend(entry for entry in entries if entry.until <= now)
        return self._keep(unit, [entry for entry in entries if entry.until > now])

    def _keep(self, unit: Unit, entries: list[Asked]) -> list[Asked]:
        if entries:
            self._open[unit] = entries
        else:
            self._open.pop(unit, None)
        return entries
