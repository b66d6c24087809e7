"""What of a reply is news: deadband and report period, point by point, for a whole span at once.

A reading goes out when its value moved by more than the deadband since it was last reported, when its quality
or reason changed, or when its report period is over; else it is counted as unchanged. This is the pole's hot
path: no object is built per reading. It refuses to invent readings for points that nobody asked.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import compress
from operator import gt, sub

from device_profiles.ledger import Ledger, count
from device_profiles.profiles import Point, RegisterPoint
from device_profiles.quality import Quality, Reason, code_of, split_code
from device_profiles.readings import Value
from device_profiles.spans import is_wide
from edge_agent.outbox import Outbox

#: A report is due at the poll nearest to its time, not at the first one after it.
_ROUNDING = 0.5


class SpanReport:
    """The memory of what was last reported of one span's points.

    `own`: places, in the decoder's order, of the points that this span is there for; the others lie between
    them, are read in passing and reported by their own spans. `points` are the own ones with their aliases;
    `deadbands` in the points' units; `reports`: longest seconds between two reports of an unchanged value;
    `period`: seconds between two polls.
    """

    def __init__(
        self,
        own: Sequence[int],
        points: Sequence[Point],
        aliases: Sequence[int],
        deadbands: Sequence[float],
        reports: Sequence[float],
        period: float,
        passing: int = 0,
    ) -> None:
        self.size = len(points)
        self._passing = passing
        self._own = list(own)
        self._texts = [point.text for point in points]
        self._plain = not any(self._texts)
        self._never_wide = self._plain and not any(map(_may_be_wide, points))
        self._places = range(len(points))
        self._aliases = array("H", aliases)
        self._deadbands = list(deadbands)
        self._patience = [report - period * _ROUNDING for report in reports]
        self._least = min(self._patience, default=0.0)
        self._even = len(set(self._patience)) < 2
        self._values: list[Value] = []
        self._codes = b""
        self._due = [0.0] * self.size
        self._next_due = -math.inf

    def failed(self, reason: Reason, at: int, now: float, ledger: Ledger, outbox: Outbox) -> None:
        """A real attempt brought no values: every point is BAD for this reason."""
        ledger.polled += self.size
        count(ledger.bad, reason.word, self.size)
        values: list[Value] = [None if text else math.nan for text in self._texts]
        self._offer(values, bytes((code_of(Quality.BAD, reason),)) * self.size, at, now, ledger, outbox)

    def answered(self, values: list[Value], codes: bytes, at: int, now: float, ledger: Ledger, outbox: Outbox) -> None:
        """A reply was decoded: `values` and `codes` of a SpanDecoder, `at` UTC µs, `now` monotonic
        seconds."""
        size = len(codes)
        ledger.polled += size
        good = codes.count(0)
        ledger.good += good
        if good != size:
            _count_others(codes, ledger)
        if self._passing:
            ledger.unchanged += self._passing
            values, codes = [values[i] for i in self._own], bytes([codes[i] for i in self._own])
        self._offer(values, codes, at, now, ledger, outbox)

    def _offer(self, values: list[Value], codes: bytes, at: int, now: float, ledger: Ledger, outbox: Outbox) -> None:
        if codes == self._codes and now < self._next_due:
            if values == self._values:
                ledger.unchanged += self.size
                return
            news = self._moved(values, codes)
        elif not self._codes:
            news = list(range(self.size))
        else:
            news = self._news(values, codes, now)
        ledger.unchanged += self.size - len(news)
        if news:
            self._tell(news, values, codes, at, now, outbox)

    def _moved(self, values: list[Value], codes: bytes) -> list[int]:
        """Points whose value left its deadband, when no code changed and nothing is due."""
        if self._plain and not any(codes):
            # All are finite numbers. Four maps in a row are four times as fast as one comprehension, and this runs
            # for every reading of the pole.
            moves = map(abs, map(sub, values, self._values))
            return list(compress(self._places, map(gt, moves, self._deadbands)))
        return [i for i in range(self.size) if self._differs(i, values[i], codes[i])]

    def _differs(self, i: int, new: Value, code: int) -> bool:
        old = self._values[i]
        if code != self._codes[i]:
            return True
        if code >> 6 == Quality.BAD or new == old:
            return False
        if isinstance(new, str) or isinstance(old, str) or new is None or old is None:
            return True
        return not -self._deadbands[i] <= new - old <= self._deadbands[i]

    def _news(self, values: list[Value], codes: bytes, now: float) -> list[int]:
        return [i for i in range(self.size) if now >= self._due[i] or self._differs(i, values[i], codes[i])]

    def _tell(self, news: list[int], values: list[Value], codes: bytes, at: int, now: float, outbox: Outbox) -> None:
        if len(news) == self.size:
            self._values, self._codes = list(values), codes
            self._next_due = now + self._least
            self._due = [self._next_due] * self.size if self._even else [now + patience for patience in self._patience]
            aliases: Sequence[int] = self._aliases
            told, told_codes = values, codes
        else:
            due, patience, old = self._due, self._patience, self._values
            for i in news:
                due[i] = now + patience[i]
                old[i] = values[i]
            aliases = [self._aliases[i] for i in news]
            told = [values[i] for i in news]
            told_codes = bytes([codes[i] for i in news])
            if codes != self._codes:  # every changed code is news, so the rest already agrees
                self._codes = codes
            self._next_due = min(self._due)
        if self._never_wide or (self._plain and not any(map(_is_int, told))):
            outbox.add(at, aliases, told, told_codes)  # type: ignore[arg-type]  # plain: all are numbers
            return
        for i, alias, value, code in zip(news, aliases, told, told_codes, strict=True):
            outbox.add_any(at, alias, value, code, self._texts[i])


def _may_be_wide(point: Point) -> bool:
    """True when a value may be a whole number beyond 2**53; no 32-bit raw becomes one by a scale that is a sane one."""
    if not isinstance(point, RegisterPoint):
        return False  # no other protocol has values of more than twelve digits
    return point.type in ("u64", "i64") or abs(point.scale) >= 1 << 20 or abs(point.offset) >= 1 << 52


def _is_int(value: Value) -> bool:
    return type(value) is int and is_wide(value)


def _count_others(codes: bytes, ledger: Ledger) -> None:
    for code in set(codes):
        quality, reason = split_code(code)
        if quality is Quality.UNCERTAIN:
            ledger.uncertain += codes.count(code)
        elif quality is Quality.BAD:
            count(ledger.bad, reason.word, codes.count(code))
        elif code:  # a good value with a remark: still good
            ledger.good += codes.count(code)
