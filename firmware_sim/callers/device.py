"""The calling device itself, without its connection: what it measures, remembers, says and has heard.

Refuses to lose a report or to invent one: what was made is said until the platform acks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from device_profiles.clock import Clock
from device_profiles.readings import Value
from firmware_sim.callers.memory import Memory
from firmware_sim.callers.mishaps import CallerFault, Mishaps
from firmware_sim.callers.seats import Seat, Sent
from firmware_sim.callers.talker import Heard, Talker

SECOND = 1_000_000


class Curve(Protocol):
    """One point's value over time (`physics.Signal`)."""

    def at(self, now: int) -> Value:
        """The value at `now` (UTC µs)."""
        ...


class Notary(Protocol):
    """Who writes down what was acked (`witness.Witness`)."""

    def acknowledged(self, seat: Seat, sent: Sent) -> None:
        """The platform has acked this report, for the first time or again."""
        ...


class CallingDevice:
    """One device; `news` is set when it has something to say or has heard something."""

    def __init__(
        self,
        seat: Seat,
        talker: Talker,
        curves: Mapping[str, Curve],
        mishaps: Mishaps,
        notary: Notary,
        clock: Clock,
    ) -> None:
        self.seat = seat
        self.counts = seat.counts
        self.talker = talker
        self.mishaps = mishaps
        self.memory = Memory(self.counts)
        self.news = asyncio.Event()
        self._curves = curves
        self._notary = notary
        self._clock = clock
        self._tick = 0

    def measure(self) -> None:
        """Make one report of every point, unless this one falls out."""
        fault, now = self.mishaps.next(), self._clock.now()
        if fault is CallerFault.SILENT:
            self.suffered(fault)
            return
        # No field protocol says more than the second, and two reports of one second would be one to some platforms.
        self._tick = at = max(now - now % SECOND, self._tick + SECOND)
        if fault is CallerFault.CLOCK:
            at += round(self.mishaps.plan.clock_s) * SECOND
            self.suffered(fault)
        values = {name: curve.at(now) for name, curve in self._curves.items()}
        reports = getattr(self.talker, "reports", None)
        said = [self.talker.report(values, at)] if reports is None else reports(values, at)
        made = [self._sent(key, data, at, values) for key, data in said]
        if made:  # a device may have nothing to say: no state has changed, or nobody asks for it yet
            made[0].fault = fault
            self.memory.add(made)
            self.news.set()

    def _sent(self, key: bytes, data: bytes, at: int, values: dict[str, Value]) -> Sent:
        readings = getattr(self.talker, "readings", None)
        return Sent(
            key=key,
            data=data,
            at=at,
            values=values,
            readings=len(values) if readings is None else int(readings(key)),
            unmapped=int(getattr(self.talker, "unmapped", 0)),
        )

    def frame(self, sent: Sent) -> bytes:
        """The bytes of the next copy: as made, as a retransmission, or as back-fill when it was put by."""
        backfill = getattr(self.talker, "backfill", None)
        try:
            if sent.kept and backfill is not None:
                self.counts.backfilled += 1
                data: bytes = backfill(sent.key)
                return data
            return self.talker.again(sent.key) if sent.copies else sent.data
        except KeyError:  # the talker forgets what it has heard acked, and a second copy was wanted
            return sent.data

    def hear(self, data: bytes, deaf: bool) -> tuple[Heard, int]:
        """(what it understood, how many acks were for reports of its own); `deaf`: only the witness hears them."""
        heard, acks = self.talker.hear(data), 0
        for key in heard.acked:
            sent = self.memory.find(key)
            if sent is None:
                self.counts.strange += 1
            elif self.acknowledged(sent, deaf):
                acks += 1
        self.news.set()
        return heard, acks

    def acknowledged(self, sent: Sent, deaf: bool = False) -> bool:
        """One ack for `sent`, or a datagram that wants none has left; False for an ack too many."""
        counted = self.counts.acknowledged(sent)
        if counted:
            self._notary.acknowledged(self.seat, sent)
        if not deaf and not sent.known:
            sent.known = True
            self.memory.done(sent)
        return counted

    def suffered(self, fault: CallerFault) -> None:
        """The fault has happened."""
        self.counts.faults[fault] += 1
