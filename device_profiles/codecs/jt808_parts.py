"""Sub-packets of JT/T 808: put together, asked for again, and taken apart (2013, 4.4.3 and 8.3).

All sub-packets of one message have consecutive serials, so its first serial names it. Bounded: a terminal that never
finishes anything costs a fixed amount of memory.
"""

from collections.abc import Mapping

import msgspec

from device_profiles.codecs.jt808 import MAX_BODY, Frame
from device_profiles.framing import Rejects
from device_profiles.quality import Reason

MOST_MESSAGES = 4
"""Unfinished messages at once; the oldest makes room."""

MOST_BYTES = 262_144
"""Of all unfinished messages together: a camera's picture of 200 kB fits."""

MOST_REQUESTS = 3
"""So often the missing packets of one message are asked for."""

Name = tuple[str, int, int, int]
"""(terminal number, message, packets in all, first serial)."""


class _Unfinished(msgspec.Struct):
    parts: dict[int, Frame] = {}
    requests: int = 0


class Missing(msgspec.Struct, frozen=True):
    """Packets that have to be asked for (8003): the ``serial`` of the first packet, the ``parts`` by number."""

    serial: int
    parts: tuple[int, ...]


class Assembler:
    """Puts sub-packets together. ``rejects`` counts what was given up: TRUNCATED, OVERSIZED, MALFORMED."""

    def __init__(self) -> None:
        self.rejects = Rejects()
        self._held: dict[Name, _Unfinished] = {}
        self._size = 0

    @property
    def held(self) -> int:
        """Bytes of bodies held."""
        return self._size

    def add(self, frame: Frame) -> Frame | Missing | None:
        """The whole message (its serial is the first packet's, ``total`` stays, ``part`` is 0), what is missing when
        the last packet has come with holes before it, or None while more must come. A frame without sub-packets is
        whole already."""
        if not frame.total:
            return frame
        if not 1 <= frame.part <= frame.total:
            self.rejects.add(Reason.MALFORMED, frame.body)
            return None
        name = (frame.number, frame.message, frame.total, (frame.serial - frame.part + 1) & 0xFFFF)
        unfinished = self._held.setdefault(name, _Unfinished())
        if frame.part not in unfinished.parts:
            unfinished.parts[frame.part] = frame
            self._size += len(frame.body)
        if len(unfinished.parts) == frame.total:
            return self._whole(name)
        self._make_room(name)
        return self._missing(name, frame) if name in self._held else None

    def drop(self) -> None:
        """Nothing more will come: what is unfinished is given up."""
        for name in list(self._held):
            self._give_up(name, Reason.TRUNCATED)

    def _whole(self, name: Name) -> Frame:
        parts = self._held.pop(name).parts
        first = parts[1]
        body = b"".join(parts[number].body for number in range(1, first.total + 1))
        self._size -= len(body)
        return msgspec.structs.replace(first, body=body, part=0)

    def _missing(self, name: Name, frame: Frame) -> Missing | None:
        """Asked for when the last packet is there, or comes again."""
        unfinished = self._held[name]
        if frame.part != frame.total or unfinished.requests >= MOST_REQUESTS:
            return None
        unfinished.requests += 1
        missing = (number for number in range(1, frame.total + 1) if number not in unfinished.parts)
        return Missing(name[3], tuple(number for _, number in zip(range(0xFF), missing, strict=False)))

    def _make_room(self, latest: Name) -> None:
        self._held[latest] = self._held.pop(latest)  # the latest is the last to go
        while len(self._held) > MOST_MESSAGES or self._size > MOST_BYTES:
            oldest = next(iter(self._held))
            self._give_up(oldest, Reason.OVERSIZED if oldest == latest else Reason.TRUNCATED)

    def _give_up(self, name: Name, reason: Reason) -> None:
        for frame in self._held.pop(name).parts.values():
            self._size -= len(frame.body)
            self.rejects.add(reason, frame.body or b"\0")  # an empty packet is lost, too


def split(frame: Frame, room: int = MAX_BODY) -> list[Frame]:
    """The frame in sub-packets of at most ``room`` bytes of body; one frame when it fits. ValueError: ``room`` of no
    use, or more packets than can be numbered."""
    if len(frame.body) <= room:
        return [frame]
    if not 0 < room <= MAX_BODY:
        raise ValueError(f"a sub-packet carries 1 to {MAX_BODY} bytes, not {room}")
    total = -(-len(frame.body) // room)
    if total > 0xFFFF:
        raise ValueError(f"{len(frame.body)} bytes are more than 65535 sub-packets of {room}")
    return [
        msgspec.structs.replace(
            frame,
            body=frame.body[number * room : (number + 1) * room],
            serial=(frame.serial + number) & 0xFFFF,
            total=total,
            part=number + 1,
        )
        for number in range(total)
    ]


def parts_of(frames: Mapping[int, Frame], missing: Missing) -> list[Frame]:
    """What a terminal sends again: those of its packets, by number, that are missing."""
    return [frames[number] for number in missing.parts if number in frames]
