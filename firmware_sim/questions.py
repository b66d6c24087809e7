"""What a master asked, read from the bytes without our codec and without pymodbus: the third pair of eyes that
the count of answers rests on. Refuses to judge checksums: the framer that serves the line does that."""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack_from

READS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
"""Function code to table of the Modbus application protocol V1.1b3, 6.1 to 6.4."""

RTU_HEAD = 1
TCP_HEAD = 7


@dataclass(frozen=True, slots=True)
class Question:
    """One request: `address` 0-based, `count` in registers or bits (1 for a single write)."""

    unit: int
    function: int
    address: int
    count: int

    @property
    def reads(self) -> bool:
        """True for the four functions that read a table."""
        return self.function in READS


def parse(frame: bytes, head: int) -> Question | None:
    """The question in a whole RTU frame (head 1) or Modbus TCP frame (head 7); None when it is too short."""
    if len(frame) < head + 5:
        return None
    function, address, count = unpack_from(">BHH", frame, head)
    return Question(frame[head - 1], function, address, 1 if function in (5, 6) else count)


def is_answer_to(question: Question, reply: bytes, head: int) -> bool:
    """True when `reply` is no exception and of the asked unit and function."""
    return len(reply) > head and reply[head - 1] == question.unit and reply[head] == question.function


def payload(reply: bytes, head: int, tail: int) -> bytes:
    """The register or bit bytes of a clean read reply; `tail` is the length of the checksum behind them."""
    return reply[head + 2 : len(reply) - tail]
