"""What a master asked, read from the bytes without our codecs and without pymodbus: the third pair of eyes that the
count of answers rests on. Refuses to judge Modbus' checksums: the framer that serves the line does that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import unpack_from

READS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
"""Function code to table of the Modbus application protocol V1.1b3, 6.1 to 6.4."""
ITEM = "item"
"""What a meter's identifiers name, in place of a table."""
FRAME = "frame"
"""The one frame of a described serial protocol, in place of a table."""

RTU_HEAD = 1
TCP_HEAD = 7


@dataclass(frozen=True, slots=True)
class Question:
    """One request: `address` 0-based, `count` in registers or bits (1 for a single write, and for a meter's item).

    `table` is what it reads: a Modbus table, ITEM, or "" where it reads nothing (or only a part of an answer).
    """

    unit: int | str
    function: int
    address: int
    count: int
    table: str

    @property
    def reads(self) -> bool:
        """True when the answer holds values."""
        return bool(self.table)


def parse(frame: bytes, head: int) -> Question | None:
    """The question in a whole RTU frame (head 1) or Modbus TCP frame (head 7); None when it is too short."""
    if len(frame) < head + 5:
        return None
    function, address, count = unpack_from(">BHH", frame, head)
    return Question(frame[head - 1], function, address, 1 if function in (5, 6) else count, READS.get(function, ""))


def is_answer_to(question: Question, reply: bytes, head: int) -> bool:
    """True when `reply` is no exception and of the asked unit and function."""
    return len(reply) > head and reply[head - 1] == question.unit and reply[head] == question.function


def payload(reply: bytes, head: int, tail: int) -> bytes:
    """The register or bit bytes of a clean read reply; `tail` is the length of the checksum behind them."""
    return reply[head + 2 : len(reply) - tail]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that a line's unit has understood, and what it says to that.

    `reply` is empty where nobody is there to answer; `refuse` makes a refusal with a code of the fault's; `data` is the
    payload of a clean read, `refused` the unit's own refusal. `crowd`: several units answered at once, and `reply` is
    what comes of that.
    """

    question: Question
    reply: bytes
    refuse: Callable[[int], bytes]
    data: bytes = b""
    refused: bool = False
    crowd: bool = False


class MeterRequest:
    """A meter's question taken apart by hand: `68`, address, (`68`,) control, length, data, sum, `16`."""

    __slots__ = ("address", "control", "data", "frame", "kind")

    def __init__(self, frame: bytes, double: bool) -> None:
        """`double`: DL/T 645, where the start mark stands twice and every data byte has 33 added to it."""
        self.frame = frame
        self.kind = 0 if double else frame[1]
        number = frame[1:7] if double else frame[2:9]
        self.address = "".join(f"{byte:02X}" for byte in reversed(number))
        head = 10 if double else 11
        self.control = frame[head - 2]
        self.data = bytes((byte - 0x33) % 256 if double else byte for byte in frame[head:-2])


class MeterEar:
    """Finds whole questions in what a line carries; what is none is forgotten at the next silence."""

    def __init__(self, double: bool) -> None:
        self._double = double
        self._head = 10 if double else 11
        self._held = b""

    def hear(self, data: bytes) -> list[MeterRequest]:
        """The questions that are now whole. A meter does not listen to other meters' answers (bit 7 of the control
        byte)."""
        self._held += data
        found: list[MeterRequest] = []
        at = 0
        while at < len(self._held):
            size = self._whole(at)
            if size:
                request = MeterRequest(self._held[at : at + size], self._double)
                if not request.control & 0x80:
                    found.append(request)
            at += size or 1
        if found:
            self._held = b""
        return found

    def silence(self) -> None:
        """Nothing more will come of what is held."""
        self._held = b""

    def _whole(self, at: int) -> int:
        """Bytes of the frame that begins there; 0 for none."""
        held = self._held[at:]
        if len(held) < self._head or held[0] != 0x68 or (self._double and held[7] != 0x68):
            return 0
        size = self._head + held[self._head - 1] + 2
        if len(held) < size or held[size - 1] != 0x16:
            return 0
        total = 0
        for byte in held[: size - 2]:
            total = (total + byte) % 256
        return size if total == held[size - 2] else 0


def sealed(body: bytes) -> bytes:
    """A meter's frame: the bytes from the start mark on, their sum, the end mark."""
    return body + bytes([sum(body) % 256, 0x16])
