"""Hostile bytes against SenML: nothing but SenmlError. FUZZ=long runs ten million inputs."""

from device_profiles.codecs.senml import Record, SenmlError, parse_cbor, parse_json, resolve
from tests.laws.test_lwm2m_fuzz import ROUNDS, hostile
from tests.laws.test_senml_codec import MULTIPLE, MULTIPLE_CBOR, NOW

TEXTS = [
    MULTIPLE,
    b'[{"n":"a","bv":20,"v":3,"s":1},{"n":"b","vs":"x:\\"y\\""},{"n":"c","vd":"aGkgCg","ut":5},{"n":"d","vb":true}]',
    b'[{"bn":"/3/0/","n":"6/0","v":1},{"n":"13","v":1367491215,"unknown":{"a":[1,2,null]}},{"n":"a","x_":1}]',
]


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
