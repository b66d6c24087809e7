"""The batches that are under way: bounded in number and bytes, each sent again until its receipt comes.

Pure bookkeeping over a monotonic time that the caller passes in. Refuses nothing: a receipt for a batch that is not
under way is None, and the caller counts it.
"""

import random
from collections import Counter
from collections.abc import Iterable

import msgspec

from device_profiles.readings import Lane
from device_profiles.receipts import digest_of
from gateway.store import Wish

Name = tuple[str, int, int]

LONGEST_RESEND = 60.0
"""Seconds: a centre that is away for a day is asked 1,500 times a batch at most, 64 batches at once."""

SOON = 0.2
"""Seconds: where "later" starts; a manifest crosses in less."""


class Flight(msgspec.Struct, kw_only=True):
    """One batch under way. ``at``: its base time, µs; ``payload``: as sent; ``due``: when next, monotonic seconds."""

    id: int
    name: Name
    lane: Lane
    at: int
    readings: int
    payload: bytes
    due: float = 0.0
    attempts: int = 0
    first_sent: float = 0.0


class Window:
    """At most ``slots`` batches and about ``size`` payload bytes. ``patience``: seconds until the first re-send."""

    def __init__(self, slots: int, size: int, patience: float) -> None:
        self._slots = slots
        self._size = size
        self._patience = patience
        # Backlog may not fill what live needs, nor both what an event needs; each lane keeps a share of its own.
        self._most = {Lane.EVENT: slots, Lane.LIVE: slots * 5 // 8, Lane.BACKLOG: slots // 2}
        self._most_unhurried = slots * 7 // 8
        self._flights: dict[Name, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def wish(self, since: int) -> Wish | None:
        """What there is room for; None when there is none. ``since``: see ``Wish``."""
        total = self._slots - len(self._flights)
        if total <= 0:
            return None
        flights = self._flights.values()
        size = self._size - sum([len(flight.payload) for flight in flights])
        if size <= 0 and flights:
            return None
        under_way = Counter([flight.lane for flight in flights])
        unhurried = self._most_unhurried - under_way[Lane.LIVE] - under_way[Lane.BACKLOG]
        limits = {lane: max(0, most - under_way[lane]) for lane, most in self._most.items()}
        unhurried = max(0, unhurried)
        limits[Lane.LIVE] = min(limits[Lane.LIVE], unhurried)
        limits[Lane.BACKLOG] = min(limits[Lane.BACKLOG], unhurried)
        held = frozenset([flight.id for flight in flights])
        return Wish(held=held, limits=limits, total=total, unhurried=unhurried, size=size, since=since)

    def add(self, flight: Flight) -> None:
        """Take a batch under way; it is due at once."""
        self._flights[flight.name] = flight

    def due(self, now: float) -> list[Flight]:
        """The batches to send (again) now, events first."""
        found = [flight for flight in self._flights.values() if flight.due <= now]
        return sorted(found, key=lambda flight: flight.lane)

    def next_due(self) -> float | None:
        """When the next batch is due; None when nothing is under way."""
        return min((flight.due for flight in self._flights.values()), default=None)

    def sent(self, flight: Flight, now: float) -> None:
        """Note a sending: the next one is a fixed patience off, and an exponential, fully jittered wait."""
        if not flight.attempts:
            flight.first_sent = now
        flight.attempts += 1
        grown = self._patience * 2.0 ** min(flight.attempts, 16)
        flight.due = now + self._patience + random.uniform(0, min(LONGEST_RESEND, grown))

    def final(self, name: Name, now: float) -> Flight | None:
        """A final receipt: the batch leaves. The others that were sent in vain before get their turn soon."""
        flight = self._flights.pop(name, None)
        if flight is not None and flight.attempts > 1:
            for other in self._flights.values():
                if other.attempts > 1:
                    other.due = min(other.due, now + random.uniform(0, self._patience))
        return flight

    def later(self, name: Name, now: float) -> None:
        """The centre wants it again, after a while."""
        flight = self._flights.get(name)
        if flight is not None:
            wait = min(LONGEST_RESEND, SOON * 2.0 ** min(flight.attempts, 16))
            flight.due = now + SOON + random.uniform(0, wait)

    def by_digest(self, digest: bytes) -> Name | None:
        """The name of the batch whose payload the centre could not read."""
        return next((f.name for f in self._flights.values() if digest_of(f.payload) == digest), None)

    def again(self, now: float) -> None:
        """A new connection: what the broker was given may be forgotten, so all is sent again, spread a little."""
        for flight in self._flights.values():
            flight.due = min(flight.due, now + random.uniform(0, min(1.0, self._patience)))

    def flights(self) -> Iterable[Flight]:
        """All that is under way."""
        return self._flights.values()
