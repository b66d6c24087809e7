"""SenML held against RFC 8428's own examples and rules, and against itself in both directions."""

import json
import math
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.senml import (
    RELATIVE,
    Record,
    Resolved,
    SenmlError,
    encode_cbor,
    encode_json,
    parse_cbor,
    parse_json,
    records_of,
    resolve,
)

NOW = 1_795_262_400.0

MULTIPLE = (
    b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},'
    b'{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},'
    b'{"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]'
)
"""RFC 8428, 5.1.3."""

MULTIPLE_CBOR = bytes.fromhex(
    "87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c7461"
    "676501615602fb405e066666666666a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cc"
    "cccccccccda3006763757272656e74062202fb3ff6666666666666a3006763757272656e74062102f93e00a3006763757272656e7406"
    "2002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333"
)
"""RFC 8428, 6: the same in CBOR, one value as a half float."""

BASE = "urn:dev:ow:10e2073a0108006:"
RESOLVED = [
    *(Resolved(BASE + "current", 1.2 + n / 10, "A", 1276020071.001 + n) for n in range(5)),
    Resolved(BASE + "voltage", 120.1, "V", 1276020076.001),
    Resolved(BASE + "current", 1.7, "A", 1276020076.001),
]


def close(found: list[Resolved], wanted: list[Resolved]) -> bool:
    """Equal but for the last bits of sums."""
    return len(found) == len(wanted) and all(
        (one.name, one.unit) == (two.name, two.unit)
        and math.isclose(one.value, two.value)  # type: ignore[arg-type]  # numbers, in this example
        and math.isclose(one.time or 0, two.time or 0)
        for one, two in zip(found, wanted, strict=True)
    )


def test_the_rfcs_example_in_json() -> None:
    assert close(resolve(parse_json(MULTIPLE), NOW), RESOLVED)


def test_the_rfcs_example_in_cbor() -> None:
    assert close(resolve(parse_cbor(MULTIPLE_CBOR), NOW), RESOLVED)


def test_a_single_data_point() -> None:
    """5.1.1: without a time it is from now, and we do not say when that is."""
    assert resolve(parse_json(b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]'), NOW) == [
        Resolved("urn:dev:ow:10e2073a01080063", 23.1, "Cel")
    ]


def test_times_are_relative_below_two_to_the_28() -> None:
    """4.5.3, and 5.1.2's last example: only the sum tells."""
    pack = b'[{"bn":"urn:dev:ow:1:","n":"a","t":-5,"v":1},{"n":"b","bt":-10,"t":3,"v":2},{"n":"c","t":1,"v":3}]'
    assert [(one.name[-1], one.time) for one in resolve(parse_json(pack), NOW)] == [
        ("c", NOW - 9), ("b", NOW - 7), ("a", NOW - 5),
    ]  # fmt: skip
    absolute = b'[{"n":"a","bt":268435455,"t":1,"v":1}]'
    assert resolve(parse_json(absolute), NOW)[0].time == RELATIVE


def test_different_types_of_values() -> None:
    """5.1.5."""
    pack = (
        b'[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},{"n":"label","vs":"Machine Room"},'
        b'{"n":"open","vb":false},{"n":"nfc-reader","vd":"aGkgCg"}]'
    )
    assert [one.value for one in resolve(parse_json(pack), NOW)] == [23.1, "Machine Room", False, b"hi \n"]


def test_base_fields_only_measure_nothing() -> None:
    """5.1.6 (multiple measurements with a first record of base fields)."""
    pack = b'[{"bver":5,"bn":"urn:dev:mac:0024befffe804ff1/","bt":1276020076},{"n":"a","v":1},{"n":"b","v":2,"t":1}]'
    assert [(one.name[-1], one.time) for one in resolve(parse_json(pack), NOW)] == [
        ("a", 1276020076),
        ("b", 1276020077),
    ]


def test_base_values_and_sums() -> None:
    """4.5.4: the missing partner counts as zero; without either there is no sum; a base stays until it is replaced."""
    pack = (
        b'[{"n":"a","bv":20,"v":3},{"n":"b"},{"n":"c","vs":"x"},{"n":"d","bv":0,"v":1,"s":5},'
        b'{"n":"e","bs":100,"s":5},{"n":"f","v":1},{"n":"g","bs":0,"s":2}]'
    )
    assert [(one.name, one.value, one.sum) for one in resolve(parse_json(pack), NOW)] == [
        ("a", 23, None), ("b", 20, None), ("c", "x", None), ("d", 1, 5), ("e", 0, 105), ("f", 1, 100), ("g", 0, 2),
    ]  # fmt: skip


def test_an_empty_unit_is_told() -> None:
    """bu holds where u is absent, not where it is empty."""
    assert [one.unit for one in resolve(parse_json(b'[{"bu":"A","n":"a","v":1},{"n":"b","u":"","v":1}]'), NOW)] == [
        "A",
        "",
    ]


def test_what_is_unknown_is_passed_over() -> None:
    pack = b'[{"n":"a","v":1,"foo":[1,{"bar":null}],"#x":2},{"n":"b","v":2}]'
    assert [one.value for one in resolve(parse_json(pack), NOW)] == [1, 2]
    same = cbor2.dumps([{0: "a", 2: 1, "foo": [1], 99: 2}])
    assert [one.value for one in resolve(parse_cbor(same), NOW)] == [1]


def test_an_empty_pack_is_harmless() -> None:
    assert resolve(parse_json(b"[]"), NOW) == []
    assert resolve(parse_cbor(b"\x80"), NOW) == []


@pytest.mark.parametrize(
    "pack",
    [
        b"", b"{}", b'{"n":"a","v":1}', b"[1]", b"[[]]", b'[{"n":"a","v":1}', b"\xff", b'[{"n":"a","v":1}]x',
        # duplicate labels
        b'[{"n":"a","v":1,"v":2}]', b'[{"n":"a", "v" :1,"n":"a"}]', b'[{"n":"\\u0061","v":1,"v":1}]',
        b'[{"n":"a","v":"1"}]', b'[{"n":1,"v":1}]', b'[{"n":"a","v":true}]', b'[{"n":"a","v":null}]',
        b'[{"n":"a","vb":1}]', b'[{"n":"a","vb":"true"}]', b'[{"n":"a","vs":1}]', b'[{"n":"a","v":1,"t":"0"}]',
        b'[{"n":"a","v":NaN}]', b'[{"n":"a","v":Infinity}]', b'[{"n":"a","v":1e999}]',
        b'[{"n":"a","v":1,"must_":1}]',  # 4.4: must be understood
        b'[{"bver":11,"n":"a","v":1}]', b'[{"bver":-1,"n":"a","v":1}]',
        b'[{"bver":5,"n":"a","v":1},{"bver":10,"n":"b","v":1}]',
    ],
)  # fmt: skip
def test_what_is_no_pack(pack: bytes) -> None:
    with pytest.raises(SenmlError):
        parse_json(pack)


@pytest.mark.parametrize(
    "pack",
    [
        b'[{"v":1}]', b'[{"n":"","v":1}]', b'[{"n":"_a","v":1}]', b'[{"n":"a b","v":1}]', b'[{"n":"/3/0","v":1}]',
        b'[{"n":"a"}]', b'[{"n":"a","t":1}]', b'[{"n":"a","v":1,"vs":"x"}]', b'[{"n":"a","vb":true,"vd":""}]',
        b'[{"n":"a","vd":"a*"}]', b'[{"n":"a","vd":"abcde"}]',
    ],
)  # fmt: skip
def test_what_makes_no_sense(pack: bytes) -> None:
    records = parse_json(pack)
    with pytest.raises(SenmlError):
        resolve(records, NOW)


def test_lwm2m_names_and_questions() -> None:
    """LwM2M Core 1.1, 7.4.4: names are paths, and a record with a name only asks."""
    assert resolve(parse_json(b'[{"n":"/3/0/9"}]'), NOW, lwm2m=True) == [Resolved("/3/0/9")]
    with pytest.raises(SenmlError):
        resolve(parse_json(b'[{"n":"temp","v":1}]'), NOW, lwm2m=True)


@pytest.mark.parametrize(
    "pack",
    [
        b"", b"\xa0", b"\x81\x01", b"\x81\xa1\x00", b"\x9f", b"\xff",
        bytes.fromhex("81 A3 00 61 61 02 01 02 02"),  # a label twice
        cbor2.dumps([{"n": "a", 2: 1}]), cbor2.dumps([{0: "a", 2: "1"}]), cbor2.dumps([{0: "a", 2: float("nan")}]),
        cbor2.dumps([{0: "a", 8: "text"}]), cbor2.dumps([{0: "a", 2: 1, "x_": 1}]), cbor2.dumps([{0: "a", True: 1}]),
        cbor2.dumps([{0: "a", 2: 1 << 2000}]), b"\x81" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_pack_in_cbor(pack: bytes) -> None:
    with pytest.raises(SenmlError):
        parse_cbor(pack)


def test_what_cbor_may_write_in_several_ways() -> None:
    """Clause 6: half, single and double floats, decimal fractions (tag 4), indefinite lengths."""
    written = [
        "81 A2 00 61 61 02 F9 4D00", "81 A2 00 61 61 02 FA 41A00000", "81 A2 00 61 61 02 FB 4034000000000000",
        "81 A2 00 61 61 02 14", "81 A2 00 61 61 02 C4 82 20 18 C8", "9F BF 00 61 61 02 14 FF FF",
    ]  # fmt: skip
    for one in written:
        assert resolve(parse_cbor(bytes.fromhex(one)), NOW) == [Resolved("a", 20)]


NAMES = st.text("abcXYZ019", min_size=1, max_size=3).flatmap(
    lambda head: st.text("abc-:./_09", max_size=8).map(lambda rest: head + rest)
)
VALUES: st.SearchStrategy[Any] = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(1 << 53), 1 << 53)
    | st.booleans()
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
MOMENTS = st.integers(RELATIVE, 1 << 33).map(float)


@given(st.lists(st.tuples(NAMES, VALUES, st.sampled_from(["", "Cel", "%RH"]), MOMENTS), max_size=6), st.booleans())
def test_what_is_written_reads_as_it_was(rows: list[tuple[str, Any, str, float]], based: bool) -> None:
    wanted = [Resolved("dev:" + name, value, unit, time) for name, value, unit, time in rows]
    records = records_of(wanted, "dev:" if based else "", wanted[0].time if based and wanted else None)
    wanted.sort(key=lambda one: one.time or 0)
    assert resolve(parse_json(encode_json(records)), NOW) == wanted
    assert resolve(parse_cbor(encode_cbor(records)), NOW) == wanted


@given(st.text(max_size=30))
def test_any_text_survives(text: str) -> None:
    """Quotes, colons and backslashes inside of texts must not be taken for a label written twice."""
    pack = json.dumps([{"n": "a", "vs": text}, {"n": "b", "vs": text, "u": "x"}]).encode()
    assert [record.vs for record in parse_json(pack)] == [text, text]


def test_big_numbers_are_floats() -> None:
    for pack in (b'[{"n":"a","v":%d}]' % 10**30, b'[{"n":"a","v":-%d, "x":1}]' % 10**30):
        assert [abs(record.v) for record in parse_json(pack)] == [1e30]  # type: ignore[arg-type]  # it is there
    with pytest.raises(SenmlError):
        parse_json(b'[{"n":"a","t":-1%s,"v":1}]' % (b"0" * 400))
    assert parse_cbor(cbor2.dumps([{0: "a", 2: 10**30}]))[0].v == 1e30


def test_what_cannot_be_said() -> None:
    for one, base, time in (
        (Resolved("a", math.nan), "", None),
        (Resolved("a", 1, "", 5.0), "", None),
        (Resolved("a", 1), "b", None),
        (Resolved("a", 1), "", NOW),
    ):
        with pytest.raises(ValueError, match=r"."):
            records_of([one], base, time)
    assert encode_json([Record(n="a", v=1)]) == b'[{"n":"a","v":1}]'
