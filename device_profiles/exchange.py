"""One question to a device and its answer, as a pure thing: bytes out, bytes in, no port and no waiting.

A bus writes ``request()``, feeds whatever arrives, asks ``take()`` after each piece, and calls ``conclude()`` when the
line has been silent for too long. What is not the answer is kept as a ``Stray`` (the newest), never dropped unseen.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from device_profiles.quality import Reason


class Answer(msgspec.Struct, frozen=True):
    """A checked reply to this very request.

    ``data`` holds the payload (register or bit bytes as on the wire; empty for a write's echo); ``exception`` is the
    device's own refusal code, 0 for none; ``frame`` the reply's bytes on the wire, for transcripts.
    """

    data: bytes
    exception: int = 0
    frame: bytes = b""


class Stray(msgspec.Struct, frozen=True):
    """Bytes that arrived and were not the answer: ``reason`` LATE, WRONG_UNIT, ECHO or NOISE.

    ``unit`` and ``shape`` are known when they formed a whole, checked frame (see ``Exchange.shape``).
    """

    reason: Reason
    data: bytes
    unit: int | str | None = None
    shape: tuple[int, ...] | None = None


STRAYS_KEPT = 64
STRAY_BYTES = 512
"""A babbling line must not fill the memory: an exchange keeps its newest strays, and of each as much as tells what it
was (two of the longest frames)."""


def keep_strays(kept: list[Stray], found: Iterable[Stray]) -> None:
    """Add strays to those of an exchange, within its bounds."""
    for stray in found:
        long = len(stray.data) > STRAY_BYTES
        kept.append(Stray(stray.reason, stray.data[:STRAY_BYTES], stray.unit, stray.shape) if long else stray)
    del kept[:-STRAYS_KEPT]


class Exchange(Protocol):
    """One question and its answer; every bus protocol implements it."""

    @property
    def unit(self) -> int | str:
        """The unit asked: a Modbus address, or a meter's number as text."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """What tells two answers of one unit apart, for Modbus (function, reply length in bytes): a late answer of an
        equal shape might be mistaken for the one that is waited for."""
        ...

    @property
    def strays(self) -> list[Stray]:
        """What arrived beside the answer, so far."""
        ...

    @property
    def started(self) -> bool:
        """True while bytes are held that may still become the answer."""
        ...

    @property
    def rest(self) -> bytes:
        """Bytes held and not judged; a stream link feeds them to the next exchange, a bus judges them as strays."""
        ...

    def request(self) -> bytes:
        """The question as it goes on the wire."""
        ...

    def next_request(self) -> bytes:
        """A further question that must go out before the answer is whole; b"" where there is none. Handed out once."""
        ...

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire; never raises, keeps a bounded buffer."""
        ...

    def take(self, silent: bool = False) -> Answer | None:
        """The answer once it is whole and its check is right, else None.

        ``silent``: the line has been quiet for longer than a frame may pause, so nothing more will come.
        """
        ...

    def conclude(self) -> Reason:
        """Why there is no answer, judged by what did arrive: TIMEOUT, TRUNCATED, BAD_CHECKSUM, WRONG_UNIT, NOISE."""
        ...
