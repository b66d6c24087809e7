"""The checks that makers put behind a described payload, by the name that a profile calls them."""

import zlib
from collections.abc import Callable
from functools import reduce
from operator import xor

from device_profiles.codecs.modbus_rtu import crc16 as _modbus


def _table(polynomial: int, width: int, reflected: bool) -> list[int]:
    """The 256 steps of a CRC of 8 or 16 bits."""
    table, top, full = [], 1 << width - 1, (1 << width) - 1
    for byte in range(256):
        register = byte if reflected else byte << width - 8
        for _ in range(8):
            if reflected:
                register = register >> 1 ^ (polynomial if register & 1 else 0)
            else:
                register = (register << 1 ^ (polynomial if register & top else 0)) & full
        table.append(register)
    return table


_CRC8 = _table(0x07, 8, False)
_MAXIM = _table(0x8C, 8, True)
_CCITT = _table(0x1021, 16, False)


def _crc8(table: list[int]) -> Callable[[bytes], int]:
    def check(data: bytes) -> int:
        register = 0
        for byte in data:
            register = table[register ^ byte]
        return register

    return check


def _ccitt(start: int) -> Callable[[bytes], int]:
    def check(data: bytes) -> int:
        register = start
        for byte in data:
            register = (register << 8 & 0xFFFF) ^ _CCITT[register >> 8 ^ byte]
        return register

    return check


CHECKS: dict[str, tuple[int, Callable[[bytes], int]]] = {
    "sum8": (1, lambda data: sum(data) & 0xFF),
    "neg8": (1, lambda data: -sum(data) & 0xFF),  # with it the bytes sum to zero
    "xor8": (1, lambda data: reduce(xor, data, 0)),
    "sum16": (2, lambda data: sum(data) & 0xFFFF),
    "crc8": (1, _crc8(_CRC8)),  # polynomial 0x07
    "crc8_maxim": (1, _crc8(_MAXIM)),  # Dallas/Maxim 1-Wire: polynomial 0x31, reflected
    "crc16_modbus": (2, _modbus),
    "crc16_ccitt": (2, _ccitt(0xFFFF)),  # "CCITT-FALSE": polynomial 0x1021, start 0xFFFF
    "crc16_xmodem": (2, _ccitt(0)),
    "crc32": (4, zlib.crc32),
}
"""Name → (bytes, what computes it)."""
