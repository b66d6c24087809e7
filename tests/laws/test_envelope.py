"""The batch on the wire: what goes in comes out, hostile bytes raise EnvelopeError and nothing else, and batch.cddl
tells the truth about real bytes (checked by pycddl, an implementation of RFC 8610 that is not ours).
"""

import math
import os
import random
import struct
import tracemalloc
import zlib
from array import array
from pathlib import Path
from typing import Any

import cbor2
import pycddl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import envelope
from device_profiles.envelope import (
    MAX_BATCH_BYTES,
    MAX_BODY_BYTES,
    MILLISECOND,
    Batch,
    Columns,
    EnvelopeError,
    decode_batch,
    encode_batch,
    pack_body,
    unpack_body,
)
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane

ROUNDS = 1_000_000 if os.environ.get("FUZZ") == "long" else 20_000
CDDL = Path(envelope.__file__).with_name("batch.cddl").read_text(encoding="utf-8")
NAME = st.from_regex(r"[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64})?", fullmatch=True)
MICROSECONDS = st.integers(-(1 << 60), 1 << 60)


def rule(name: str) -> pycddl.Schema:
    """A schema whose first rule, the one that is checked, is the named one of batch.cddl."""
    return pycddl.Schema(f"start = {name}\n" + CDDL)


BATCH, COLUMNS = rule("batch"), rule("columns")


@st.composite
def gaps(draw: st.DrawFn) -> Gap:
    number = st.none() | st.integers(0, (1 << 53) - 1)
    return Gap(
        origin=draw(NAME),
        epoch=draw(st.integers(0, (1 << 53) - 1)),
        reason=draw(st.sampled_from(Reason)),
        begin=draw(MICROSECONDS),
        end=draw(MICROSECONDS),
        readings=draw(number),
        first_seq=draw(number),
        last_seq=draw(number),
        devices=tuple(draw(st.lists(st.text(max_size=8), max_size=3))),
    )


@st.composite
def bodies(draw: st.DrawFn) -> Columns:
    """Columns of any of their types, with texts, wide integers and gaps."""
    count = draw(st.integers(0, 40))
    wide_alias, offset_code, double = draw(st.booleans()), draw(st.sampled_from("HIq")), draw(st.booleans())
    tick = 1 if offset_code == "q" else draw(st.sampled_from([1, MILLISECOND]))
    aliases = st.integers(0, 0xFFFFFFFF if wide_alias else 0xFFFF)
    offsets = {
        "H": st.integers(0, 0xFFFF),
        "I": st.integers(0, 0xFFFFFFFF),
        "q": st.integers(-(1 << 63), (1 << 63) - 1),
    }[offset_code]
    other = st.tuples(
        st.integers(0, 0xFFFFFFFF),
        MICROSECONDS,
        st.none() | st.text(max_size=12) | st.integers(-(1 << 70), 1 << 70),
        st.integers(0, 255),
    )

    def column(code: str, elements: st.SearchStrategy[Any]) -> memoryview:
        return memoryview(array(code, draw(st.lists(elements, min_size=count, max_size=count))))

    return Columns(
        column("I" if wide_alias else "H", aliases),
        column(offset_code, offsets),
        column("d" if double else "f", st.floats(width=64 if double else 32)),
        column("B", st.integers(0, 255)),
        draw(st.lists(other, max_size=4)),
        draw(st.lists(gaps(), max_size=3)),
        tick,
    )


@st.composite
def batches(draw: st.DrawFn) -> tuple[Batch, Columns]:
    columns = draw(bodies())
    body, packed = pack_body(columns, draw(st.integers(0, 9)))
    batch = Batch(
        origin=draw(NAME),
        epoch=draw(st.integers(0, (1 << 53) - 1)),
        seq=draw(st.integers(1, (1 << 32) - 1)),
        lane=draw(st.sampled_from(Lane)),
        manifest=draw(st.integers(0, (1 << 63) - 1)),
        base=draw(MICROSECONDS),
        count=len(columns.aliases) + len(columns.others),
        body=body,
        packed=packed,
    )
    return batch, columns


def plain(columns: Columns) -> list[Any]:
    """Columns as lists that compare: floats by their bits, so that NaN equals itself."""
    values = [struct.pack("<d", value) for value in columns.values]
    others = [tuple(other) for other in columns.others]
    offsets = [step * columns.tick for step in columns.offsets]
    return [list(columns.aliases), offsets, values, list(columns.codes), others, columns.gaps]


@given(batches())
def test_what_goes_in_comes_out(pair: tuple[Batch, Columns]) -> None:
    batch, columns = pair
    data = encode_batch(batch)
    again = decode_batch(data)
    assert again == batch
    assert encode_batch(again) == data
    unpacked = unpack_body(again)
    assert plain(unpacked) == plain(columns)
    assert {view.format for view in (unpacked.aliases, unpacked.values) if isinstance(view, memoryview)} <= set("HIfd")


@given(batches())
def test_batch_cddl_tells_the_truth(pair: tuple[Batch, Columns]) -> None:
    batch, _ = pair
    BATCH.validate_cbor(encode_batch(batch))
    COLUMNS.validate_cbor(zlib.decompress(batch.body) if batch.packed else batch.body)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [(0, 2), (1, 7), (2, -1), (3, 0), (4, 3), (5, 1 << 63), (6, "now"), (7, -1), (8, "text"), (9, 2)],
)
def test_batch_cddl_and_the_code_refuse_the_same(key: int, wrong: object) -> None:
    body, packed = pack_body(a_few(3))
    batch = Batch(
        origin="kz-001", epoch=1, seq=1, lane=Lane.LIVE, manifest=1, base=0, count=3, body=body, packed=packed
    )
    fields = cbor2.loads(encode_batch(batch))
    for spoilt in ({**fields, key: wrong}, {k: v for k, v in fields.items() if k != key}):
        data = cbor2.dumps(spoilt)
        with pytest.raises(EnvelopeError):
            decode_batch(data)
        with pytest.raises(pycddl.ValidationError):
            BATCH.validate_cbor(data)


def a_few(count: int) -> Columns:
    """Columns as an agent makes them."""
    return Columns(
        memoryview(array("H", [at % 50 for at in range(count)])),
        memoryview(array("I", [at * 1000 for at in range(count)])),
        memoryview(array("d", [20 + at / 10 if at % 7 else math.nan for at in range(count)])),
        memoryview(array("B", [0 if at % 7 else 0x81 for at in range(count)])),
    )


def a_batch(columns: Columns, level: int = 1, **fields: Any) -> bytes:
    """Bytes of a batch with these columns."""
    body, packed = pack_body(columns, level)
    row: dict[str, Any] = {"origin": "kz-001", "epoch": 7, "seq": 1, "lane": Lane.LIVE, "manifest": 9, "base": 0}
    row |= {"count": len(columns.aliases), "body": body, "packed": packed, **fields}
    return encode_batch(Batch(**row))


def test_bytes_per_reading() -> None:
    """Not a limit, a figure to see: 500 readings of a street with one decimal."""
    dice = random.Random(1)
    columns = Columns(
        memoryview(array("H", [at % 50 for at in range(500)])),
        memoryview(array("I", [at // 50 * 100_000 for at in range(500)])),
        memoryview(array("d", [round(dice.gauss(20, 3), 1) for _ in range(500)])),
        memoryview(array("B", bytes(500))),
    )
    print(f"{len(a_batch(columns)) / 500:.2f} bytes a reading at 500 a batch")


# --- hostile bytes --------------------------------------------------------------------------------------------------


def read(data: bytes) -> None:
    """Read a batch as ingest does; EnvelopeError with its reason is the only way out."""
    try:
        columns = unpack_body(decode_batch(data))
    except EnvelopeError as trouble:
        assert trouble.reason in (Reason.MALFORMED, Reason.OVERSIZED, Reason.UNKNOWN_VERSION)
        return
    assert len(columns.aliases) == len(columns.values) == len(columns.codes) == len(columns.offsets)
    for alias, offset, value, code in columns.others:
        assert type(alias) is type(offset) is type(code) is int
        assert value is None or isinstance(value, (int, str))


def _mutated(dice: random.Random, seeds: list[bytes]) -> bytes:
    if dice.random() < 0.2:
        return dice.randbytes(dice.randrange(80))
    data = bytearray(dice.choice(seeds))
    for _ in range(1 + dice.randrange(3)):
        place = dice.randrange(len(data)) if data else 0
        match dice.randrange(4):
            case 0 if data:
                data[place] = dice.randrange(256)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = dice.randbytes(1 + dice.randrange(4))
            case _:
                del data[place : place + 1 + dice.randrange(4)]
    return bytes(data)


def test_hostile_bytes_raise_envelope_error_only() -> None:
    dice = random.Random(int(os.environ.get("FUZZ_SEED", "20261121")))
    rich = a_few(9)
    rich.others = [(1, 2, "open", 0), (3, 4, 1 << 60, 0), (5, 6, None, 0x90)]
    rich.gaps = [Gap(origin="a/b", epoch=1, reason=Reason.QUOTA, begin=1, end=2, readings=3, devices=("x",))]
    seeds = [a_batch(rich, 0, count=12), a_batch(rich, 6, count=12), a_batch(a_few(0)), a_batch(a_few(60))]
    for seed in seeds:
        assert unpack_body(decode_batch(seed)) is not None
    for _ in range(ROUNDS):
        read(_mutated(dice, seeds))


def test_hostile_bodies_raise_envelope_error_only() -> None:
    """The header is sound, the body is not: bytes mutated behind the deflating, where a bit flip hits the structure."""
    dice = random.Random(5)
    rich = a_few(9)
    rich.others = [(1, 2, "open", 0), (3, 4, 1 << 60, 0)]
    rich.gaps = [Gap(origin="a/b", epoch=1, reason=Reason.QUOTA, begin=1, end=2, devices=("x",))]
    body, _ = pack_body(rich, 0)
    for _ in range(ROUNDS):
        spoilt = _mutated(dice, [body])
        packed = dice.random() < 0.5
        read(a_batch(rich, 0, count=11, body=zlib.compress(spoilt, 1) if packed else spoilt, packed=packed))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa0",
        b"\x80" * 10_000,
        b"\x81" * 100_000,
        b"\xc6" * 100_000,
        bytes.fromhex("9b00ffffffffffffff"),
        bytes.fromhex("bb00ffffffffffffff"),
        bytes.fromhex("5b7fffffffffffffff"),
        bytes.fromhex("7b7fffffffffffffff"),
        bytes.fromhex("d81c81d81d00"),
        bytes.fromhex("a1a0a0"),
        bytes.fromhex("a18001"),
        bytes.fromhex("c249") + b"\xff" * 9,
        bytes.fromhex("d81e820100"),
        b"\xa1\x00\xf9\x7e\x00",
        b"\xa1\x01\xc0\x60",
        b"\xd8\x23\x61(",
    ],
    ids=lambda data: f"{data[:6].hex()}-{len(data)}",
)
def test_known_nasties_of_cbor(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decode_batch(data)
    with pytest.raises(EnvelopeError):
        unpack_body(decode_batch(a_batch(a_few(1), 0, body=data, packed=False)))


def test_something_behind_the_batch_is_refused() -> None:
    data = a_batch(a_few(3))
    with pytest.raises(EnvelopeError):
        decode_batch(data + b"\x00")


def test_a_batch_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(EnvelopeError) as trouble:
        decode_batch(bytes(MAX_BATCH_BYTES + 1))
    assert trouble.value.reason is Reason.OVERSIZED


def test_a_bomb_is_bounded() -> None:
    """A body of 100 kB that inflates to 100 MB: refused, and at no moment held."""
    machine = zlib.compressobj(9)
    bomb = b"".join(machine.compress(bytes(1 << 20)) for _ in range(100)) + machine.flush()
    assert len(bomb) < 200_000 < MAX_BATCH_BYTES
    batch = decode_batch(a_batch(a_few(1), 0, body=bomb, packed=True))
    tracemalloc.start()
    try:
        with pytest.raises(EnvelopeError) as trouble:
            unpack_body(batch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert trouble.value.reason is Reason.OVERSIZED
    assert peak < 3 * MAX_BODY_BYTES


@pytest.mark.parametrize(("code", "tick"), [("q", 1000), ("H", 0), ("I", 1001), ("H", -1), ("H", True)])
def test_only_milliseconds_and_only_in_narrow_offsets(code: str, tick: int) -> None:
    columns = a_few(2)
    columns.offsets, columns.tick = memoryview(array(code, [0, 1])), MILLISECOND
    body = cbor2.loads(pack_body(columns, 0)[0])
    with pytest.raises(EnvelopeError):
        unpack_body(decode_batch(a_batch(a_few(2), body=cbor2.dumps({**body, 6: tick}), packed=False)))


def test_columns_of_different_length_are_refused() -> None:
    for spoilt in (0, 1, 2, 3):
        columns: list[Any] = [array("H", [1, 2]), array("I", [1, 2]), array("d", [1.0, 2.0]), array("B", [0, 0])]
        columns[spoilt] = columns[spoilt][:1]
        aliases, offsets, values, codes = (memoryview(column) for column in columns)
        body, packed = pack_body(Columns(aliases, offsets, values, codes))
        with pytest.raises(EnvelopeError):
            unpack_body(decode_batch(a_batch(a_few(2), body=body, packed=packed)))
    with pytest.raises(EnvelopeError):  # the header's count is held against the body
        unpack_body(decode_batch(a_batch(a_few(2), count=3)))
