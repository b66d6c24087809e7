"""What a reader of frames could not use, counted by reason: every codec that cuts a byte stream keeps one of these.

The newest rejected bytes are kept, bounded, for whoever has to find out what a device really sends.
"""

import msgspec

from device_profiles.ledger import Counts, count
from device_profiles.quality import Reason

KEPT = 16
"""Rejected pieces that are kept: enough to see what goes wrong."""

KEPT_BYTES = 512
"""Of each piece, as much as tells what it was."""


class Rejected(msgspec.Struct, frozen=True):
    """Bytes that formed no usable frame. ``size``: how many there were; ``data``: at most KEPT_BYTES of them."""

    reason: Reason
    size: int
    data: bytes


class Rejects:
    """Pieces by reason (``counts``), their bytes in all (``size``), and the newest of them."""

    __slots__ = ("counts", "newest", "size")

    def __init__(self) -> None:
        self.counts: Counts = {}
        self.size = 0
        self.newest: list[Rejected] = []

    def add(self, reason: Reason, data: bytes | bytearray | memoryview) -> None:
        """Account for one piece; empty pieces are none."""
        if not data:
            return
        count(self.counts, reason.word)
        self.size += len(data)
        self.newest.append(Rejected(reason, len(data), bytes(data[:KEPT_BYTES])))
        del self.newest[:-KEPT]

    def take(self) -> list[Rejected]:
        """The newest pieces, handed over once; the counts stay."""
        taken, self.newest = self.newest, []
        return taken

    def __bool__(self) -> bool:
        return bool(self.counts)
