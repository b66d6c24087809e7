"""Hostile bytes against SenML: nothing but SenmlError. FUZZ=long runs ten million inputs."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from device_profiles.codecs.senml import Record, Resolved, SenmlError, parse_cbor, parse_json, resolve
from device_profiles.codecs.senml_plain import read_json, read_plain
from tests.laws.test_lwm2m_fuzz import ROUNDS, hostile
from tests.laws.test_senml_codec import MULTIPLE, MULTIPLE_CBOR, NOW

TEXTS = [
    MULTIPLE,
    b'[{"n":"a","bv":20,"v":3,"s":1},{"n":"b","vs":"x:\\"y\\""},{"n":"c","vd":"aGkgCg","ut":5},{"n":"d","vb":true}]',
    b'[{"bn":"/3/0/","n":"6/0","v":1},{"n":"13","v":1367491215,"unknown":{"a":[1,2,null]}},{"n":"a","x_":1}]',
]
LWM2M = b'[{"bn":"/3303/0/","bt":1795230245,"n":"5700","v":21.25},{"n":"5601","v":-3.5},{"n":"5602","t":-9,"v":38}]'


def judge(records: list[Record]) -> None:
    for lwm2m in (False, True):
        try:
            found = resolve(records, NOW, lwm2m)
        except SenmlError:
            continue
        assert all(one.name for one in found)
        assert all(one.time is None or abs(one.time) < 1e308 * 2 for one in found)


def test_hostile_json() -> None:
    for data in hostile(TEXTS, ROUNDS):
        try:
            records = parse_json(data)
        except SenmlError:
            continue
        judge(records)


def carefully(data: bytes, now: float, lwm2m: bool) -> list[Resolved]:
    return resolve(parse_json(data), now, lwm2m)


def outcome(read: Callable[[bytes, float, bool], list[Resolved]], data: bytes, lwm2m: bool) -> str:
    """What was read, to the type of each number; or that it was refused."""
    try:
        return repr(read(data, NOW, lwm2m))
    except SenmlError:
        return "refused"


def agree(data: bytes) -> None:
    for lwm2m in (False, True):
        assert outcome(read_json, data, lwm2m) == outcome(carefully, data, lwm2m), data


def test_the_fast_way_reads_hostile_json_as_the_careful_way() -> None:
    for data in hostile([*TEXTS, LWM2M], ROUNDS // 4):
        agree(data)


NUMBERS = ["0", "-5", "1.5", "1e2", "268435456", "1276020076", "1e308", "-1e308", "9223372036854775808", "1" + "0" * 30]
TEXT = ['"a"', '"5700"', '""', '":"', '"a:b"', '"},"', '"_"', '"\\u0061"', '"urn:d:"', '"/3/0/"', "null"]
WORDS = {"n", "u", "bn", "bu", "vs", "vd", "vlo"}
LABELS = ["n", "v", "t", "u", "bn", "bt", "bu", "bv", "bs", "bver", "vs", "vb", "vd", "vlo", "s", "ut", "x", "x_"]


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """A pack: mostly what the fast way takes, with the odd label, label twice, blank, comma or wrong type."""
    gap = st.sampled_from([""] * 12 + [" ", "\n"])
    number, text = st.sampled_from(NUMBERS), st.sampled_from(TEXT[:2] * 4 + TEXT)
    records = []
    for index in range(draw(st.integers(1, 5))):
        pairs = [("n", draw(text)), ("v", draw(number))]
        if index == 0:
            pairs += [("bn", draw(st.sampled_from(['"urn:d:"', '"/3/0/"', '"a"']))), ("bt", draw(number))]
            pairs += draw(st.sampled_from([[], [("bu", '"A"')], [("bver", "5")], [("bver", "5.5")], [("bver", "11")]]))
        more = draw(st.lists(st.sampled_from(["t", "u"] * 8 + LABELS), max_size=2))
        pairs += [(label, draw(text if label in WORDS else number)) for label in more]
        told = [f'"{label}"{draw(gap)}:{draw(gap)}{value}' for label, value in draw(st.permutations(pairs))]
        records.append("{" + ",".join(told) + "}")
    ending = draw(st.sampled_from(["]"] * 12 + [",]", "", "]]", "] ", "]x"]))
    return ("[" + f"{draw(gap)},{draw(gap)}".join(records) + ending).encode()


@settings(max_examples=1500, deadline=None)
@given(written())
def test_the_fast_way_reads_what_the_careful_way_reads(data: bytes) -> None:
    agree(data)


def test_the_fast_way_is_taken() -> None:
    """Else the law above would say nothing."""
    assert repr(read_plain(MULTIPLE, NOW, False)) == repr(resolve(parse_json(MULTIPLE), NOW))
    assert repr(read_plain(LWM2M, NOW, True)) == repr(resolve(parse_json(LWM2M), NOW, True))
    twice = MULTIPLE.replace(b'"v":1.7', b'"v":1.7,"v":1.7')
    hidden = twice.replace(b"urn:", b"urn\\u003a")  # one colon less is written than is read
    version = MULTIPLE.replace(b'"bver":5', b'"bver":11')
    for unusual in (
        twice,
        hidden,
        version,
        MULTIPLE[:-1] + b",]",
        MULTIPLE.replace(b'"v":1.7', b'"vb":true'),
        b'[{"n":"a","v":1}]',
    ):
        assert read_plain(unusual, NOW, False) is None


def test_hostile_cbor() -> None:
    seeds = [
        MULTIPLE_CBOR,
        bytes.fromhex("9FBF00616102C4822018C8FFFF"),
        bytes.fromhex("81A400616108436869310506F93E00"),
    ]
    for data in hostile(seeds, ROUNDS):
        try:
            records = parse_cbor(data)
        except SenmlError:
            continue
        judge(records)
