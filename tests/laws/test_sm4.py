"""SM4 held against the vectors of its standard and against its S-box made from scratch."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import sm4

KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")


def test_the_standards_example() -> None:
    """GB/T 32907-2016, A.1: key and plaintext are the same; the first and last round keys are printed there."""
    keys = sm4.round_keys(KEY)
    assert (keys[0], keys[31]) == (0xF12186F9, 0x9124A012)
    assert sm4.encrypt_ecb(KEY, KEY).hex() == "681edf34d206965e86b3e94f536e4246"
    assert sm4.decrypt_ecb(KEY, bytes.fromhex("681edf34d206965e86b3e94f536e4246")) == KEY


@pytest.mark.skipif(os.environ.get("FUZZ") != "long", reason="a million blocks take ten seconds: FUZZ=long")
def test_the_standards_million() -> None:
    """GB/T 32907-2016, A.2: the same, encrypted a million times."""
    keys, block = sm4.round_keys(KEY), KEY
    for _ in range(1_000_000):
        block = sm4.crypt_block(keys, block)
    assert block.hex() == "595298c7c6fd271f0402f804c33d3f66"


def test_the_s_box_is_an_affine_map_of_inverses() -> None:
    """The table's origin, found by Liu et al. (ACISP 2007): S(x) = A(I(A(x))), I the inverse in GF(2^8) modulo
    x^8 + x^7 + x^6 + x^5 + x^4 + x^2 + 1, A affine with the cyclic matrix of 0xA7 and the constant 0xD3."""

    def multiplied(a: int, b: int) -> int:
        product = 0
        while b:
            product ^= a if b & 1 else 0
            a = (a << 1) ^ (0x1F5 if a & 0x80 else 0)
            b >>= 1
        return product

    def affine(x: int) -> int:
        rows = [(0xA7 << n | 0xA7 >> 8 - n) & 0xFF for n in range(8)]
        return sum(((row & x).bit_count() & 1) << place for place, row in enumerate(rows)) ^ 0xD3

    inverse = {0: 0} | {a: b for a in range(1, 256) for b in range(1, 256) if multiplied(a, b) == 1}
    made = bytes(affine(inverse[affine(x)]) for x in range(256))
    assert made == sm4._S_BOX


def test_the_s_box_loses_nothing() -> None:
    assert sorted(sm4._S_BOX) == list(range(256))


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=64))
def test_what_is_encrypted_is_decrypted(key: bytes, data: bytes) -> None:
    data = data[: len(data) // 16 * 16]
    assert sm4.decrypt_ecb(key, sm4.encrypt_ecb(key, data)) == data


@given(st.binary(max_size=40))
def test_only_whole_blocks_and_whole_keys(data: bytes) -> None:
    if len(data) % 16:
        with pytest.raises(ValueError):
            sm4.encrypt_ecb(KEY, data)
    if len(data) != 16:
        with pytest.raises(ValueError):
            sm4.round_keys(data)
        with pytest.raises(ValueError):
            sm4.crypt_block(sm4.round_keys(KEY), data)
