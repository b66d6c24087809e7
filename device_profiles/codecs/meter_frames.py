"""What DL/T 645 and CJ/T 188 frames share: FE preamble, start mark 68, a length byte, a sum modulo 256, end mark 16.

Frames are found by length and check, never by their marks: 68 and 16 occur in data. After a bad check the start mark is
dropped and the search goes on, for a good frame may start inside the bad one. Refuses to know what a frame says.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from device_profiles.exchange import Answer, Stray, keep_strays
from device_profiles.framing import KEPT_BYTES, Rejects
from device_profiles.quality import Reason

START = 0x68
END = 0x16
PREAMBLE = 0xFE
"""Wakes the receiver up, in front of a frame and outside its check (DL/T 645-2007, 5.3.1; CJ/T 188 does the same)."""

NOT_ONE, UNFINISHED, DAMAGED, TOO_LONG = 0, -1, -2, -3
WHY = {UNFINISHED: Reason.TRUNCATED, DAMAGED: Reason.BAD_CHECKSUM, TOO_LONG: Reason.OVERSIZED}

UNNAMED_ERROR = 0x10000
"""``Answer.exception`` of a refusal that does not say why."""

SLAVE = 0x80
"""Bit 7 of the control byte: sent by the meter (DL/T 645-2007, 5.2.3; CJ/T 188 does the same)."""

REFUSED = 0x40
"""Bit 6 of the control byte: the meter refuses."""

F = TypeVar("F")
Bytes = bytes | bytearray


class Layout(msgspec.Struct, frozen=True):
    """``head``: bytes from the start mark to the length byte, both included; ``second``: where the start mark must
    stand once more (0: nowhere); ``longest``: most data bytes; ``kinds``: allowed second bytes (empty: any)."""

    head: int
    second: int
    longest: int
    kinds: frozenset[int] = frozenset()

    @property
    def bound(self) -> int:
        """More bytes than this are never held: four of the longest frames."""
        return 4 * (self.head + self.longest + 2)

    def measure(self, data: Bytes, start: int) -> int:
        """Size of the whole checked frame whose start mark stands at ``start``; else NOT_ONE, UNFINISHED, DAMAGED or
        TOO_LONG."""
        head, second, kinds, held = self.head, self.second, self.kinds, len(data) - start
        if second and held > second and data[start + second] != START:
            return NOT_ONE
        if kinds and held > 1 and data[start + 1] not in kinds:
            return NOT_ONE
        if held < head:
            return UNFINISHED
        length = data[start + head - 1]
        if length > self.longest:
            return TOO_LONG
        end = start + head + length + 2
        if held < end - start:
            return UNFINISHED
        if data[end - 1] != END or sum(data[start : end - 2]) & 0xFF != data[end - 2]:
            return DAMAGED
        return end - start


def sealed(head_and_data: bytes, preamble: int = 0) -> bytes:
    """Preamble, the bytes from the start mark to the last data byte, their sum modulo 256, end mark. The preamble is
    not summed."""
    return bytes([PREAMBLE]) * preamble + head_and_data + bytes([sum(head_and_data) & 0xFF, END])


def address_bytes(text: str, size: int) -> bytes:
    """An address as on the wire, low byte first. ValueError when it is not ``2 × size`` hexadecimal digits."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size or len(text) != 2 * size:
        raise ValueError(f"{text!r} is no address of {2 * size} digits")
    return data[::-1]


def address_text(data: Bytes) -> str:
    """An address as people read it: high byte first, hexadecimal (makers use other digits than 0 to 9)."""
    return data[::-1].hex().upper()


def is_addressed(asked: str, answered: str) -> bool:
    """True when a meter at ``answered`` may answer a question to ``asked``: pairs of A stand for any two digits, and
    some meters answer a wildcard with the wildcard."""
    if asked == answered:
        return True
    pairs = zip(asked[::2], asked[1::2], answered[::2], answered[1::2], strict=False)
    return all(a + b in ("AA", c + d) for a, b, c, d in pairs)


class FrameReader(Generic[F]):
    """Cuts a byte stream into checked frames; ``make`` turns a frame's bytes (without preamble) into what it says.

    ``rejects`` counts what was not used: BAD_CHECKSUM, TRUNCATED, OVERSIZED, NOISE. Never raises; holds at most one
    unfinished frame and KEPT_BYTES of noise.
    """

    def __init__(self, layout: Layout, make: Callable[[bytes], F]) -> None:
        self.rejects = Rejects()
        self._layout = layout
        self._make = make
        self._buffer = bytearray()
        self._aside = bytearray()  # noise so far: noted in one piece
        self._spoilt = 0  # so many bytes of the buffer belong to a frame that will never be good …
        self._why = Reason.BAD_CHECKSUM  # … for this reason

    @property
    def held(self) -> int:
        """Bytes held."""
        return len(self._buffer) + len(self._aside)

    def feed(self, data: bytes) -> list[F]:
        """The frames that are now whole."""
        if not self._buffer and not self._aside:
            bare = data.lstrip(b"\xfe")  # mostly a piece is one frame, whole, behind its preamble
            if bare[:1] == b"\x68" and self._layout.measure(bare, 0) == len(bare):
                return [self._make(bare)]
        self._buffer += data
        return self._cut(final=False)

    def flush(self) -> list[F]:
        """The stream is silent or closed: what is held will never be finished; a frame inside it still counts."""
        frames = self._cut(final=True)
        self._note()
        return frames

    def _cut(self, final: bool) -> list[F]:
        buffer, measure = self._buffer, self._layout.measure
        frames: list[F] = []
        used = search = 0
        while (start := buffer.find(START, search)) >= 0:
            size = measure(buffer, start)
            if size > 0:
                if self._aside or self._spoilt or buffer.count(PREAMBLE, used, start) < start - used:
                    self._discard(used, start)
                    self._note(preamble=True)
                    self._spoilt = 0
                used = search = start + size
                frames.append(self._make(bytes(buffer[start:used])))
                continue
            if size == UNFINISHED and not final:
                break
            if size != NOT_ONE and start >= self._spoilt:
                self._discard(used, start)
                used = start
                self._spoil(start, size)
            search = start + 1
        keep = start if start >= 0 else len(buffer)
        self._discard(used, keep)
        del buffer[:keep]
        self._spoilt = max(0, self._spoilt - keep)
        return frames

    def _spoil(self, start: int, size: int) -> None:
        """What begins at ``start`` will never be a good frame: damaged, too long, or cut short for good."""
        layout, buffer = self._layout, self._buffer
        self._why = WHY[size]
        if size == UNFINISHED:
            self._spoilt = len(buffer)
        elif size == TOO_LONG:
            self._spoilt = start + layout.head
        else:
            self._spoilt = start + layout.head + buffer[start + layout.head - 1] + 2

    def _discard(self, begin: int, end: int) -> None:
        """Account for bytes that belong to no good frame."""
        spoilt = min(self._spoilt, end)
        if begin < spoilt:
            self._note()
            self.rejects.add(self._why, self._buffer[begin:spoilt])
            begin = spoilt
        if begin < end:
            self._aside += self._buffer[begin:end]
            if len(self._aside) > KEPT_BYTES:
                self._note()

    def _note(self, preamble: bool = False) -> None:
        """Note the noise in one piece; a preamble directly before a frame is none."""
        if self._aside:
            self.rejects.add(Reason.NOISE, self._aside.rstrip(b"\xfe") if preamble else self._aside)
            self._aside.clear()


class MeterExchange:
    """One question to a meter; see ``exchange.Exchange``. What tells the protocols apart is in four methods.

    Any whole frame with bit 7 of its control byte clear is somebody's question: on a two-wire adapter our own echo.
    """

    layout: Layout
    control_at: int
    """Where the control byte stands."""

    def __init__(self, unit: str, shape: tuple[int, ...], request: bytes) -> None:
        self.unit = unit
        self.shape = shape
        self.strays: list[Stray] = []
        self._request = request
        self._buffer = bytearray()
        self._answer: Answer | None = None
        self._next = b""
        self._parts = b""
        self._frames = b""

    def describe(self, frame: bytes) -> tuple[str, tuple[int, ...]]:
        """(unit, shape) of a whole frame that a meter sent."""
        raise NotImplementedError

    def is_mine(self, frame: bytes) -> bool:
        """True when a whole frame of a meter answers this question."""
        raise NotImplementedError

    def accept(self, frame: bytes) -> Answer | None:
        """The answer in a frame that is ours; None when more frames must follow (see ``_ask_on``)."""
        raise NotImplementedError

    def request(self) -> bytes:
        """The question as it goes on the wire."""
        return self._request

    def next_request(self) -> bytes:
        """A further question that must go out before the answer is whole (DL/T 645's follow-up frames); b"" when there
        is none. Each is handed out once; the time-out to the first byte begins anew with it."""
        wanted, self._next = self._next, b""
        return wanted

    @property
    def started(self) -> bool:
        """True while bytes are held that may still become the answer."""
        return bool(self._buffer)

    @property
    def rest(self) -> bytes:
        """Bytes held and not judged: what came behind the answer, or what never became one."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        self._buffer += data
        if len(self._buffer) > self.layout.bound:
            self._set_aside(len(self._buffer) - self.layout.bound)

    def take(self, silent: bool = False) -> Answer | None:
        """The answer once whole and checked. ``silent``: no more bytes will come, so look behind a candidate that never
        became whole."""
        search = 0
        while self._answer is None and (start := self._buffer.find(START, search)) >= 0:
            size = self.layout.measure(self._buffer, start)
            if size == UNFINISHED and not silent:
                return None
            if size <= 0:
                search = start + 1
                continue
            search = 0
            self._judge(start, size)
        return self._answer

    def _judge(self, start: int, size: int) -> None:
        """A whole frame stands at ``start``: it is ours, or set aside with all that is before it."""
        frame = bytes(self._buffer[start : start + size])
        if not frame[self.control_at] & SLAVE or not self.is_mine(frame):
            self._set_aside(start + size)
            return
        begin = start
        while begin and self._buffer[begin - 1] == PREAMBLE:
            begin -= 1
        self._set_aside(begin)
        self._frames += bytes(self._buffer[: start - begin + size])
        del self._buffer[: start - begin + size]
        self._answer = self.accept(frame)

    def _ask_on(self, data: bytes, request: bytes) -> None:
        """Keep a part of the answer and ask for the next."""
        self._parts += data
        self._next = request

    def _set_aside(self, count: int) -> None:
        if count:
            keep_strays(self.strays, sort_strays(self.layout, self.control_at, self.describe, self._buffer[:count]))
            del self._buffer[:count]

    def conclude(self) -> Reason:
        """Why there is no answer, judged by what did arrive."""
        if not self._buffer:
            return Reason.TRUNCATED if self._parts else Reason.TIMEOUT  # some of several frames came
        search = 0
        while (start := self._buffer.find(START, search)) >= 0:
            size = self.layout.measure(self._buffer, start)
            if size in (UNFINISHED, DAMAGED):
                return WHY[size]
            search = start + 1
        return Reason.TRUNCATED if set(self._buffer) == {PREAMBLE} else Reason.NOISE


def sort_strays(
    layout: Layout, control_at: int, describe: Callable[[bytes], tuple[str, tuple[int, ...]]], data: Bytes
) -> list[Stray]:
    """Judge bytes that nobody waited for: whole replies are LATE (with unit and shape), whole questions ECHO, the rest
    NOISE. Every byte is in exactly one stray, a preamble in its frame's."""
    strays: list[Stray] = []
    noise = search = 0
    while (start := data.find(START, search)) >= 0:
        size = layout.measure(data, start)
        if size <= 0:
            search = start + 1
            continue
        begin = start
        while begin > noise and data[begin - 1] == PREAMBLE:
            begin -= 1
        if noise < begin:
            strays.append(Stray(Reason.NOISE, bytes(data[noise:begin])))
        noise = search = start + size
        frame, piece = bytes(data[start:noise]), bytes(data[begin:noise])
        replied = frame[control_at] & SLAVE
        strays.append(Stray(Reason.LATE, piece, *describe(frame)) if replied else Stray(Reason.ECHO, piece))
    if noise < len(data):
        strays.append(Stray(Reason.NOISE, bytes(data[noise:])))
    return strays
