"""Encrypted bodies of HJ 212-2025 (6.4.2, Annex A.2): SM4 in ECB mode, no padding, printed as ``{0xE4,0x3E,…}``.

Whole blocks of 16 bytes are encrypted; what remains is left in clear behind the brace. The CRC is that of the
plaintext segment, computed before. A wrong key shows as a wrong CRC: ``Hj212Error``.
"""

import re

from device_profiles.codecs import sm4
from device_profiles.codecs.hj212 import Frame, crc16, crc16_swapped
from device_profiles.codecs.hj212_segment import Hj212Error

_OPEN = b"CP=&&"
_CLOSE = b"&&"
_BYTE = re.compile(rb"0[xX]([0-9a-fA-F]{2})")


def key_of(secret: str) -> bytes:
    """The 16 bytes of a key that is written as 16 characters or as 32 hexadecimal digits; ValueError otherwise."""
    if len(secret) == 2 * sm4.BLOCK:
        try:
            return bytes.fromhex(secret)
        except ValueError:
            raise ValueError("an SM4 key of 32 characters must be hexadecimal") from None
    key = secret.encode()
    if len(key) != sm4.BLOCK:
        raise ValueError(f"an SM4 key has 16 characters or 32 hexadecimal digits, not {len(secret)} characters")
    return key


def seal_frame(plain: Frame, key: bytes) -> Frame:
    """The frame with its body encrypted; a body shorter than one block has no encrypted part and stays as it is."""
    head, body, tail = _parts(plain.segment)
    whole = len(body) - len(body) % sm4.BLOCK
    if not whole:
        return plain
    printed = ",".join(f"0x{byte:02X}" for byte in sm4.encrypt_ecb(key, body[:whole]))
    segment = b"%b{%b}%b%b" % (head, printed.encode(), body[whole:], tail)
    return Frame(segment, plain.crc, sealed=True, swapped=plain.swapped)


def open_frame(sealed: Frame, key: bytes) -> Frame:
    """The plaintext frame, its CRC checked; Hj212Error when the key or the frame is wrong."""
    if not sealed.sealed:
        return sealed
    head, body, tail = _parts(sealed.segment)
    printed, brace, clear = body.partition(b"}")
    secret = bytes(int(found, 16) for found in _BYTE.findall(printed))
    if not brace or not printed.startswith(b"{") or len(secret) % sm4.BLOCK:
        raise Hj212Error("the encrypted body is no whole number of blocks")
    segment = head + sm4.decrypt_ecb(key, secret) + clear + tail
    swapped = sealed.crc != crc16(segment)
    if swapped and sealed.crc != crc16_swapped(segment):
        raise Hj212Error("the decrypted segment does not match its CRC: a wrong key or a damaged frame")
    return Frame(segment, sealed.crc, swapped=swapped)


def _parts(segment: bytes) -> tuple[bytes, bytes, bytes]:
    """(up to and with ``CP=&&``, the body, the closing ``&&`` with what follows)."""
    start = segment.find(_OPEN) + len(_OPEN)
    end = segment.rfind(_CLOSE)
    if start < len(_OPEN) or end < start:
        raise Hj212Error("the segment has no CP=&&…&&")
    return segment[:start], segment[start:end], segment[end:]
