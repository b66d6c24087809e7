"""Long messages of SL 651-2014 (M3, tables 18, 22): packets kept by number until all are there, the missing ones named.

One confirmation follows the last packet; for each missing one there is a NAK (6.3.1.2 c). Only the first packet tells
which message it is (6.6.2.4), so packets that contradict each other, or come too late, are never put together: the
station says the message again. Bounded in bytes, messages and rounds; what is given up is in ``rejects``.
"""

from collections import OrderedDict

import msgspec

from device_profiles.codecs.sl651 import ETB, ETX, LIMIT, Frame
from device_profiles.framing import Rejects
from device_profiles.quality import Reason

MOST_BYTES = 1 << 20
"""Of one message: a camera's picture is some 30 to 200 kB."""

MOST_MESSAGES = 4
"""Under way at once on one connection; a relay sends for several stations, one after another."""

MOST_ASKED = 64
"""Packets asked for again in one round: each takes a frame of its own (tables 19, 23)."""

WAIT_US = 60_000_000
"""Packets of one message follow each other, also over a satellite; what comes later belongs to another message."""

ROUNDS = 3
"""The first time, and two times again (6.3.1.2 c); then the station has to begin anew."""


class Gathered(msgspec.Struct, frozen=True):
    """What a packet brought: the ``whole`` message (its packet is (total, total)), or, once the last packet has come,
    the numbers that are ``missing``, with what the ``first`` holds."""

    whole: Frame | None = None
    missing: tuple[int, ...] = ()
    first: bytes = b""


class _Open(msgspec.Struct):
    """A message whose packets are coming in. ``awaited``: the packet that ends this round; ``at``: its newest one's
    time, UTC µs."""

    total: int
    awaited: int
    at: int
    parts: dict[int, bytes] = msgspec.field(default_factory=dict)
    size: int = 0
    rounds: int = 0


class Assembler:
    """The long messages of one connection."""

    def __init__(self) -> None:
        self.rejects = Rejects()
        self._open: OrderedDict[tuple[bytes, int], _Open] = OrderedDict()

    @property
    def held(self) -> int:
        """Bytes held."""
        return sum(one.size for one in self._open.values())

    def add(self, frame: Frame, now: int) -> Gathered:
        """Take one packet that came ``now`` (UTC µs). ValueError for a frame that is none."""
        if frame.packet is None:
            raise ValueError("the frame is no packet")
        total, number = frame.packet
        one = self._message(frame, total, number, now)
        one.size += len(frame.body) - len(one.parts.get(number, b""))
        one.parts[number] = frame.body
        if one.size > MOST_BYTES:
            self._give_up(frame, Reason.OVERSIZED)
            return Gathered()
        if len(one.parts) == total:
            del self._open[frame.station, frame.function]
            body = b"".join(one.parts[place] for place in range(1, total + 1))
            return Gathered(msgspec.structs.replace(frame, body=body, packet=(total, total), end=ETX))
        if number not in (one.awaited, total):
            return Gathered()
        return self._ask(frame, one)

    def flush(self) -> None:
        """The connection has ended: nothing becomes whole any more."""
        for one in self._open.values():
            self.rejects.add(Reason.TRUNCATED, _some(one))
        self._open.clear()

    def _message(self, frame: Frame, total: int, number: int, now: int) -> _Open:
        """The message that the packet belongs to; one that contradicts what is there, or comes late, begins another."""
        place = (frame.station, frame.function)
        one = self._open.get(place)
        if one is not None:
            other = one.total != total or one.parts.get(number, frame.body) != frame.body
            if other or not 0 <= now - one.at <= WAIT_US:
                self._give_up(frame, Reason.TRUNCATED)
                one = None
        if one is None:
            one = self._open[place] = _Open(total, total, now)
            if len(self._open) > MOST_MESSAGES:
                self.rejects.add(Reason.TRUNCATED, _some(self._open.popitem(last=False)[1]))
        one.at = now
        return one

    def _ask(self, frame: Frame, one: _Open) -> Gathered:
        """The packets to be asked for; none without the first, whose serial number every NAK must repeat."""
        one.rounds += 1
        if one.rounds > ROUNDS or 1 not in one.parts:
            self._give_up(frame, Reason.TRUNCATED)
            return Gathered()
        missing = tuple(place for place in range(1, one.total + 1) if place not in one.parts)[:MOST_ASKED]
        one.awaited = missing[-1]
        return Gathered(missing=missing, first=one.parts.get(1, b""))

    def _give_up(self, frame: Frame, reason: Reason) -> None:
        self.rejects.add(reason, _some(self._open.pop((frame.station, frame.function))))


def split_frame(frame: Frame, room: int) -> list[Frame]:
    """The packets of a message, each with at most ``room`` bytes of it: ETB more, ETX the last (table 22).

    ValueError when that would be more than LIMIT packets.
    """
    pieces = [frame.body[at : at + room] for at in range(0, len(frame.body), room)]
    total = len(pieces)
    if total > LIMIT:
        raise ValueError(f"{total} packets; {LIMIT} at most")
    return [
        msgspec.structs.replace(frame, body=piece, packet=(total, number), end=ETX if number == total else ETB)
        for number, piece in enumerate(pieces, 1)
    ]


def _some(one: _Open) -> bytes:
    return b"".join(part for _, part in sorted(one.parts.items()))
