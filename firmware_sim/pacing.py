"""When each byte of a frame is over on a serial line; refuses to wait or to write: it only computes."""

from __future__ import annotations

BITS_PER_BYTE = 11
"""Start, eight data, parity or second stop, stop: Modbus over serial line V1.02, 2.5.1."""

FAST_BAUD = 19200
FAST_SILENCE_S = 0.00175
"""Above 19200 baud the silence is fixed: Modbus over serial line V1.02, 2.5.1.1."""

CHUNK_S = 0.001
"""Bytes are handed over at most this late against the wire; a kernel's UART FIFO is not finer."""


def byte_s(baud: int) -> float:
    """Seconds that one byte takes on a line of `baud` bits a second."""
    return BITS_PER_BYTE / baud


def wire_s(count: int, baud: int) -> float:
    """Seconds that `count` bytes sent without a pause take."""
    return count * BITS_PER_BYTE / baud


def silence_s(baud: int) -> float:
    """Seconds of silence (3.5 characters) that end a frame."""
    return FAST_SILENCE_S if baud > FAST_BAUD else 3.5 * byte_s(baud)


def schedule(data: bytes, baud: int, chunk_s: float = CHUNK_S) -> list[tuple[float, bytes]]:
    """Cut `data` in pieces of at most `chunk_s` of wire time (at least one byte each).

    Returns (seconds after the first start bit, piece) where the moment is the end of the piece's last byte:
    no byte is ever handed over before the wire could have carried it, and the last one is exactly on time.
    """
    step = max(1, int(chunk_s / byte_s(baud)))
    return [
        (wire_s(min(begin + step, len(data)), baud), data[begin : begin + step]) for begin in range(0, len(data), step)
    ]
