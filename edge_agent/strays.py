"""Bytes that nobody waited for: sorted into late replies, which are counted, and noise, which is counted as
bytes.

They may arrive between two exchanges, before or behind an answer, or in pieces that lie on both sides of a
question; so they are kept in the order of the wire until they have been judged. Bounded; it refuses to answer
anybody.
"""

from __future__ import annotations

from device_profiles.ledger import Ledger, count
from device_profiles.quality import Reason
from edge_agent.quarantine import Quarantine
from edge_agent.questions import Framing, Pending
from edge_agent.usage import LinkUsage

#: Bytes kept while nobody asks: four of the longest frames. A babbling line must not grow a buffer.
IDLE_LIMIT = 1024
#: An RTU frame is at most this long, so an unfinished one at the end of stray bytes is, too.
LONGEST_FRAME = 256


class Strays:
    """The stray bytes of one link. `bytes`: judged and of no use; `unexpected`: whole replies to nothing
    we asked."""

    def __init__(self, framing: Framing, quarantine: Quarantine, ledger: Ledger, usage: LinkUsage) -> None:
        self.bytes = 0
        self.unexpected = 0
        self._framing = framing
        self._quarantine = quarantine
        self._ledger = ledger
        self._usage = usage
        self._held = b""

    def add(self, data: bytes) -> None:
        """Some bytes arrived while nobody waited."""
        self._held += data
        if len(self._held) > IDLE_LIMIT:
            self.judge(final=False)

    def add_unused(self, pending: Pending) -> None:
        """What an exchange set aside; the echo of our own question is not news."""
        if pending.strays:
            self._held += b"".join(stray.data for stray in pending.strays if stray.reason is not Reason.ECHO)

    def judge(self, final: bool) -> None:
        """Count whole late replies; keep an unfinished end, unless `final` says that it will never be
        finished."""
        if not self._held:
            return
        frames, tail = self._framing.sort(self._held)
        for frame in frames:
            readings = self._quarantine.late(frame.unit, frame.shape, frame.transaction)
            if readings is None:
                self.unexpected += 1
            else:
                count(self._ledger.discarded, Reason.LATE.word, readings)
                self._usage.came_late(frame.unit)
        kept = b"" if final else tail[-LONGEST_FRAME:]
        self.bytes += len(self._held) - len(kept)
        self._held = kept

    def take(self) -> bytes:
        """What is not judged yet, handed over to the next exchange."""
        held, self._held = self._held, b""
        return held

    def forget(self) -> None:
        """The link is a new one."""
        self._held = b""
