"""LwM2M TLV held against published vectors, and against itself in both directions (hostile bytes: test_lwm2m_fuzz)."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.lwm2m_objects import KINDS, OBJECTS, resource_of
from device_profiles.codecs.lwm2m_tlv import Path, Scalar, TlvError, decode_tlv, encode_tlv

DEVICE = (
    "C800144F70656E204D6F62696C6520416C6C69616E6365C801164C69676874776569676874204D324D20436C69656E74"
    "C80209333435303030313233C303312E30860641000141010588070842000ED842011388870841007D42010384C10964"
    "C10A0F830B410000C40D5182428FC60E2B30323A3030C11055"
)
"""The Device object of LwM2M TS 1.0, 6.4.3.2 (as in eclipse-leshan's and wakaama's tests)."""

PUBLISHED: list[tuple[str, Path, dict[Path, Scalar]]] = [
    (
        DEVICE,
        (3, 0),
        {
            (3, 0, 0): "Open Mobile Alliance",
            (3, 0, 1): "Lightweight M2M Client",
            (3, 0, 2): "345000123",
            (3, 0, 3): "1.0",
            (3, 0, 6, 0): 1,
            (3, 0, 6, 1): 5,
            (3, 0, 7, 0): 3800,
            (3, 0, 7, 1): 5000,
            (3, 0, 8, 0): 125,
            (3, 0, 8, 1): 900,
            (3, 0, 9): 100,
            (3, 0, 10): 15,
            (3, 0, 11, 0): 0,
            (3, 0, 13): 1367491215,
            (3, 0, 14): "+02:00",
            (3, 0, 16): "U",
        },
    ),
    # npm lwm2m-codec 0.1.1, test/decode.test.js: an object of two instances, one of them, one resource
    (
        "08000BE4164441F80000E116456308010BE4164442B20000E1164566",
        (3303,),
        {(3303, 0, 5700): 31.0, (3303, 0, 5701): "c", (3303, 1, 5700): 89.0, (3303, 1, 5701): "f"},
    ),
    ("E4164441F80000E1164563", (3303, 0), {(3303, 0, 5700): 31.0, (3303, 0, 5701): "c"}),
    ("E4164441F80000", (3303, 0, 5700), {(3303, 0, 5700): 31.0}),
]


@pytest.mark.parametrize(("hexadecimal", "base", "values"), PUBLISHED)
def test_published_payloads(hexadecimal: str, base: Path, values: dict[Path, Scalar]) -> None:
    data = bytes.fromhex(hexadecimal)
    assert decode_tlv(data, base) == values
    assert encode_tlv(values, base) == data


ANJAY: list[tuple[str, str, Scalar]] = [
    # AVSystem/Anjay, tests/core/io/tlv_out.c: resource 1 of one type each
    ("C1012A", "integer", 42),
    ("C2011092", "integer", 4242),
    ("C40100067932", "integer", 424242),
    ("C401028757B2", "integer", 42424242),
    ("C401FCDE41B2", "integer", -52543054),
    ("C8010800000000FCDE41B2", "integer", 4242424242),
    ("C80108000F12765DF4C9B2", "integer", 4242424242424242),
    ("C401C7241000", "float", -42.0e3),
    ("C4013F800000", "float", 1.0),
    ("C801083FF199999999999A", "float", 1.1),
    ("C10101", "boolean", True),
    ("C10100", "boolean", False),
    ("C4010001FFFF", "objlnk", "1:65535"),
    ("C401FFFFFFFF", "objlnk", "65535:65535"),
]


@pytest.mark.parametrize(("hexadecimal", "kind", "value"), ANJAY)
def test_anjays_types(hexadecimal: str, kind: str, value: Scalar) -> None:
    kinds: dict[Path, str] = {(40_000, 1): kind}
    data = bytes.fromhex(hexadecimal)
    assert decode_tlv(data, (40_000, 0), kinds) == {(40_000, 0, 1): value}
    assert encode_tlv({(40_000, 0, 1): value}, (40_000, 0), kinds) == data


@pytest.mark.parametrize(
    ("head", "number", "size"),
    [
        # AVSystem/Anjay, tests/core/io/tlv_out.c: bytes_3blen_8bid to bytes_24blen_16bid
        ("C700", 0, 7),
        ("E7A410", 42_000, 7),
        ("C8FF08", 255, 8),
        ("E8FFFE08", 65_534, 8),
        ("D02A03E8", 42, 1000),
        ("F0A5B403E8", 42_420, 1000),
        ("D8450186A0", 69, 100_000),
        ("F801020186A0", 258, 100_000),
    ],
)
def test_anjays_heads(head: str, number: int, size: int) -> None:
    """Every width of identifier and length (1.0.2, 6.4.3, table 20)."""
    data = bytes.fromhex(head) + b"1" * size
    kinds: dict[Path, str] = {(40_000, number): "string"}
    assert decode_tlv(data, (40_000, 0), kinds) == {(40_000, 0, number): "1" * size}
    assert encode_tlv({(40_000, 0, number): "1" * size}, (40_000, 0), kinds) == data


def test_anjays_array() -> None:
    """AVSystem/Anjay, tests/core/io/tlv_out.c, tlv_out_array simple."""
    data = bytes.fromhex("88010A 412A45 64020200 0AA289 C10204".replace(" ", ""))
    kinds: dict[Path, str] = {(40_000, 1): "integer", (40_000, 2): "integer"}
    values: dict[Path, Scalar] = {(40_000, 0, 1, 42): 69, (40_000, 0, 1, 514): 696969, (40_000, 0, 2): 4}
    assert decode_tlv(data, (40_000, 0), kinds) == values
    assert encode_tlv(values, (40_000, 0), kinds) == data


def test_a_resource_instance_as_the_root() -> None:
    """AVSystem/Anjay, tests/core/io/tlv_out.c, riid_as_root."""
    data = b"\x47\x00" + b"1234567"
    kinds: dict[Path, str] = {(40_000, 0): "string"}
    assert decode_tlv(data, (40_000, 0, 0, 0), kinds) == {(40_000, 0, 0, 0): "1234567"}
    assert encode_tlv({(40_000, 0, 0, 0): "1234567"}, (40_000, 0, 0, 0), kinds) == data


@pytest.mark.parametrize(
    ("hexadecimal", "base"),
    [
        ("C30D010203", (3, 0)),  # an integer of three bytes
        ("C5090102030405", (3, 0)),
        ("C41644F8", (3303, 0)),  # cut off
        ("E4164441", (3303, 0)),
        ("E416", (3303, 0)),
        ("D0", (3303, 0)),
        ("E316444120 00".replace(" ", ""), (3303, 0)),  # a float of three bytes, and a rest
        ("E1156A02", (3306, 0)),
        ("E2157C0000", (3200, 0)),  # a boolean of two bytes
        ("C100FF", (3, 0)),  # a string that is no UTF-8
        ("0002" + "08000BE4164441F80000E1164563", ()),
        ("0300C10114", (3303, 1)),  # another instance than the one asked for
        ("C1010A", (3, 0, 2)),  # another resource
        ("8200" + "8000", (3, 0)),  # a multiple resource inside of one: nesting ends
        ("0200" + "0000", (3,)),
        ("4001", (3, 0)),  # a resource instance of no resource
    ],
)
def test_what_is_no_tlv(hexadecimal: str, base: Path) -> None:
    kinds: dict[Path, str] = {(3306, 5482): "boolean", (3200, 5500): "boolean"}
    with pytest.raises(TlvError):
        decode_tlv(bytes.fromhex(hexadecimal), base, kinds)


def test_a_number_without_bytes_is_no_value() -> None:
    """A zero-length value is legal; nobody means zero by it."""
    assert decode_tlv(bytes.fromhex("E01644C009C000"), (3303, 0), {(3303, 9): "integer", (3303, 0): "string"}) == {
        (3303, 0, 5700): None,
        (3303, 0, 9): None,
        (3303, 0, 0): "",
    }


def test_an_unknown_resource_comes_back_as_its_bytes() -> None:
    assert decode_tlv(bytes.fromhex("C3FE010203"), (3303, 0)) == {(3303, 0, 254): b"\x01\x02\x03"}


SCALARS = {
    "float": st.floats(allow_nan=False),
    "integer": st.integers(-(1 << 63), (1 << 63) - 1),
    "time": st.integers(0, 1 << 40),
    "unsigned": st.integers(0, (1 << 64) - 1),
    "boolean": st.booleans(),
    "string": st.text(max_size=300),
    "opaque": st.binary(max_size=300),
    "objlnk": st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda link: f"{link[0]}:{link[1]}"),
}


@st.composite
def trees(draw: st.DrawFn) -> tuple[Path, dict[Path, Scalar], dict[Path, str]]:
    """A base, values below it, and the types that a profile would give."""
    number = draw(st.integers(0, 0xFFFF).filter(lambda n: n not in OBJECTS))
    kinds: dict[Path, str] = {}
    values: dict[Path, Scalar] = {}
    base = (number,) if draw(st.booleans()) else (number, draw(st.integers(0, 0xFFFF)))
    for resource in draw(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=5, unique=True)):
        kind = draw(st.sampled_from(sorted(SCALARS)))
        kinds[number, resource] = kind
        for instance in draw(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=2, unique=True)):
            path = (number, base[1] if len(base) == 2 else instance, resource)
            below: list[Path] = [
                (*path, one) for one in draw(st.lists(st.integers(0, 0xFFFF), max_size=2, unique=True))
            ]
            for one in below or list[Path]([path]):
                if not any(other[:3] == one[:3] and len(other) != len(one) for other in values):
                    values[one] = draw(SCALARS[kind])  # type: ignore[assignment]  # one strategy a type
    return base, values, kinds


@given(trees())
def test_what_is_written_reads_as_it_was(tree: tuple[Path, dict[Path, Scalar], dict[Path, str]]) -> None:
    base, values, kinds = tree
    assert decode_tlv(encode_tlv(values, base, kinds), base, kinds) == values


@given(st.floats(width=32, allow_nan=False), st.floats(allow_nan=False))
def test_a_float_is_short_where_that_loses_nothing(short: float, long: float) -> None:
    for value in (short, long):
        data = encode_tlv({(3303, 0, 5700): value}, (3303, 0))
        try:
            fits = math.isinf(value) or struct.unpack(">f", struct.pack(">f", value))[0] == value
        except OverflowError:
            fits = False
        assert len(data) == (7 if fits else 12)


def test_the_table_says_a_type_for_every_resource() -> None:
    assert all(resource.kind in KINDS for resources in OBJECTS.values() for resource in resources.values())
    assert resource_of((3303, 0, 5700)) == OBJECTS[3303][5700]
    assert resource_of((3302, 0, 5700)) is None  # presence has no sensor value
    assert resource_of((3305, 0, 5700)) is None
    assert resource_of((3303, 0)) is None


@pytest.mark.parametrize(
    ("path", "value"),
    [((3, 0, 9), "x"), ((3, 0, 9), 1.5), ((3, 0, 9), 1 << 63), ((3303, 0, 5700), "warm"), ((4, 0, 9), 1)],
)
def test_what_cannot_be_said(path: Path, value: Scalar) -> None:
    with pytest.raises(ValueError, match=r"/|takes more"):
        encode_tlv({path: value}, (3, 0) if path[0] != 3303 else (3303, 0))
