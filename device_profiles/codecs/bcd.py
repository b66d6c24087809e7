"""Decimal digits two a byte, low byte first, as meters of every make send them. Refuses nothing: what is no number is
said to be none, with the reason."""

from device_profiles.quality import Quality, Reason, code_of

MISSING = code_of(Quality.BAD, Reason.MISSING)
BAD_ENCODING = code_of(Quality.BAD, Reason.BAD_ENCODING)

SIGN = 0x80
"""The highest bit of the highest byte, where an item says so: the highest digit then only goes to 7."""


def read_bcd(data: bytes, signed: bool = False) -> tuple[int | None, int]:
    """(number, code). Every byte FF is MISSING ("not supported"); a digit from A to F is BAD_ENCODING."""
    if data.count(0xFF) == len(data):
        return None, MISSING
    negative = signed and data[-1] & SIGN
    if negative:
        data = data[:-1] + bytes([data[-1] & ~SIGN])
    digits = data[::-1].hex()
    if not digits.isdecimal():
        return None, BAD_ENCODING
    return (-int(digits) if negative else int(digits)), 0


def write_bcd(number: int, size: int, signed: bool = False) -> bytes:
    """The inverse of ``read_bcd``. ValueError when the number does not fit."""
    highest = 10 ** (2 * size) - 1 if not signed else 8 * 10 ** (2 * size - 1) - 1
    if not (-highest if signed else 0) <= number <= highest:
        raise ValueError(f"{number} does not fit {2 * size} digits" + " and a sign" * signed)
    data = bytearray(bytes.fromhex(f"{abs(number):0{2 * size}d}")[::-1])
    if number < 0:
        data[-1] |= SIGN
    return bytes(data)
