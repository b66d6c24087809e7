"""Hostile bytes against CoAP, TLV, link format and LwM2M's content formats: nothing but their own errors.

FUZZ=long runs ten million inputs instead of a hundred thousand.
"""

import contextlib
import os
import random
import tracemalloc
from collections.abc import Iterator

from device_profiles.codecs import coap
from device_profiles.codecs.coap import CoapError, Message
from device_profiles.codecs.link_format import LinkFormatError, encode_links, parse_links
from device_profiles.codecs.lwm2m import (
    JSON,
    SENML_CBOR,
    SENML_JSON,
    TEXT,
    TLV,
    Content,
    Lwm2mError,
    decode_content,
    encode_content,
    parse_registration,
)
from device_profiles.codecs.lwm2m_tlv import Path, Scalar, TlvError, decode_tlv, encode_tlv
from tests.laws.test_lwm2m_coap import PUBLISHED as COAP
from tests.laws.test_lwm2m_tlv import DEVICE, PUBLISHED

ROUNDS = 10_000_000 if os.environ.get("FUZZ") == "long" else 100_000
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))
VALUES: dict[Path, Scalar] = {(3, 0, 0): "Open", (3, 0, 9): 100, (3, 0, 7, 0): 3800, (3, 0, 7, 1): 5000}


def hostile(seeds: list[bytes], rounds: int, seed: int = SEED) -> Iterator[bytes]:
    """Random bytes and mutated seeds: bytes changed, cut, doubled, spliced."""
    dice = random.Random(seed)
    for number in range(rounds):
        if number % 4 == 0:
            yield dice.randbytes(dice.randrange(64))
            continue
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(4)):
            place = dice.randrange(len(data) + 1)
            match dice.randrange(4):
                case 0 if data:
                    data[place % len(data)] = dice.randrange(256)
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = dice.choice(seeds)
                case _:
                    data[place:place] = dice.randbytes(3)
        yield bytes(data)


def test_hostile_coap() -> None:
    seeds = [bytes.fromhex(hexadecimal) for hexadecimal, _ in COAP]
    options = (*coap.path_options("/rd", ("ep=a", "lt=300", "b=UQ")), (12, b"\x28"), (60, b"\x01" * 300))
    seeds.append(coap.encode(Message(coap.CON, coap.POST, 7, b"tok", options, b"</1/0>,</3/0>;x=1")))
    seeds.append(coap.encode(Message(coap.CON, coap.PUT, 8, b"", ((coap.BLOCK1, b"\x0e"),), b"x" * 40)))
    for data in hostile(seeds, ROUNDS):
        try:
            message = coap.decode(data)
        except CoapError as trouble:
            assert trouble.mid is None or 0 <= trouble.mid <= 0xFFFF
            continue
        assert coap.decode(coap.encode(message)) == message
        try:
            coap.read_block(message, coap.BLOCK1)
            parse_registration(message)
        except (CoapError, Lwm2mError):
            continue


def test_hostile_tlv() -> None:
    seeds = [bytes.fromhex(hexadecimal) for hexadecimal, _, _ in PUBLISHED]
    bases: list[Path] = [(3,), (3, 0), (3303, 0), (3303, 0, 5700), (3, 0, 7)]
    dice = random.Random(SEED)
    for data in hostile(seeds, ROUNDS):
        base = dice.choice(bases)
        try:
            values = decode_tlv(data, base)
        except TlvError:
            continue
        assert all(path[: len(base)] == base and len(path) in (3, 4) for path in values)
        plain = {path: value for path, value in values.items() if not isinstance(value, float) or value == value}
        arrays = {path[:3] for path in plain if len(path) == 4}
        plain = {path: value for path, value in plain.items() if len(path) == 4 or path not in arrays}
        try:
            again = encode_tlv(plain, base)
        except ValueError:
            continue  # a resource that can only be started, with something in it
        assert decode_tlv(again, base) == plain


def test_hostile_contents() -> None:
    formats = (TLV, SENML_JSON, SENML_CBOR, JSON, TEXT)
    seeds = [encode_content(VALUES, (3, 0), format) for format in formats if format != TEXT]
    seeds += [b"21.5", encode_links(parse_links(b'</>;rt="oma.lwm2m",</3303/0>')), b'[{"n":"/3/0/0","vlo":"66:0"}]']
    dice = random.Random(SEED)
    for data in hostile(seeds, ROUNDS // 2):
        with contextlib.suppress(Lwm2mError):
            decode_content(Content(base=(3, 0), format=dice.choice(formats), payload=data, now=1e9))
        try:
            parse_links(data)
        except LinkFormatError:
            continue


def test_deep_nesting_and_great_lengths_take_no_memory() -> None:
    """Instances in instances, arrays in arrays, lengths of 16 MB: refused before anything is built."""
    tracemalloc.start()
    for data in (b"\x80" * 60_000, b"\x08\x00\xff" * 20_000, b"\xd8\x00\xff\xff\xff" * 9_000, b"[" * 60_000):
        for base in ((3,), (3, 0)):
            with contextlib.suppress(TlvError):
                decode_tlv(data, base)
        for format in (SENML_JSON, SENML_CBOR, JSON):
            try:
                decode_content(Content(base=(3, 0), format=format, payload=data))
            except Lwm2mError:
                continue
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert decode_tlv(bytes.fromhex(DEVICE), (3, 0))
