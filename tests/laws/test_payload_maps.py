"""The ``[payload]`` and ``[lwm2m]`` tables of profiles: examples hold in both directions; mistakes come at once."""

from pathlib import Path

import msgspec
import pytest

from device_profiles.examples import complaints_about
from device_profiles.loader import load_library, load_profile
from device_profiles.problems import Problems
from device_profiles.profiles import DeviceProfile, Example

LIBRARY = load_library()
EXAMPLES = [
    (profile, example)
    for profile in LIBRARY.values()
    if profile.protocol in ("payload", "lwm2m")
    for example in profile.examples
]
each_example = pytest.mark.parametrize(
    ("profile", "example"), EXAMPLES, ids=[f"{profile.model}: {example.title}" for profile, example in EXAMPLES]
)


@each_example
def test_an_example_holds_in_both_directions(profile: DeviceProfile, example: Example) -> None:
    assert complaints_about(profile, example) == []


@each_example
def test_a_turned_bit_is_complained_about(profile: DeviceProfile, example: Example) -> None:
    """In whatever place: the check, the values, the identity or the acknowledgement no longer fit."""
    frame = example.report or example.reply
    for place in (len(frame) // 2, len(frame) - 1):
        turned = frame[:place] + bytes([frame[place] ^ 0x10]) + frame[place + 1 :]
        other = msgspec.structs.replace(example, **{"report" if example.report else "reply": turned})
        identity = profile.model in ("dragino-ndds75", "generic-cover-text", "generic-parking-nb")
        assert complaints_about(profile, other) or (identity and place == len(frame) // 2)


HEAD = """
[profile]
model = "some-model"
vendor = "x"
title = { zh = "一", en = "x" }
domain = "urban"
component = "0102"
status = "draft"
sources = ["x"]
caveats = ["not seen"]
"""
POINT = 'title = { zh = "一", en = "x" }\nquantity = "code"\nunit = "1"\n'


def mistakes(folder: Path, text: str) -> str:
    """What is said about a profile."""
    path = folder / "profile.toml"
    path.write_text(HEAD + text)
    problems = Problems()
    load_profile(path, problems)
    return "\n".join(str(problem).partition("profile.toml")[2] for problem in problems.found)


def payload(table: str, *points: str) -> str:
    rows = "".join(f'[[payload.points]]\nname = "p{n}"\n{POINT}{point}\n' for n, point in enumerate(points))
    return f"[payload]\n{table}\n{rows}"


U8 = 'transport = "udp"\nid = { byte = 0, type = "u8" }'
"""A table with nothing wrong in it."""


@pytest.mark.parametrize(
    ("table", "points", "said"),
    [
        ('transport = "tcp"', ['type = "u8"'], "unknown transport 'tcp'"),
        ('transport = "udp"', ['type = "u8"'], "an address says nothing about who it is"),
        ('transport = "udp"\nid = { segment = 0 }', ['type = "u8"'], "only a CoAP request has a path"),
        ('transport = "coap"\nid = { query = "ep" }', ['type = "u8"'], "where a device posts"),
        ('transport = "udp"\nid = { type = "bcd" }', ['type = "u8"'], "must say where it stands: byte"),
        ('transport = "udp"\nid = { byte = 0, type = "bcd" }', ['type = "u8"'], "the bytes of the bcd"),
        ('transport = "udp"\nid = { byte = 0, type = "u32", byt = 1 }', ['type = "u8"'], "unknown key"),
        ('transport = "udp"\nid = { byte = 0, type = "u32" }', ['type = "u8"\nbyte = 3'], "overlaps 'id' at 3"),
        (U8 + '\nsize = 2', ['type = "u16"'], "end at 3, behind 2"),
        (
            U8,
            ['type = "u8"\nbyte = 1\nmask = 3', 'type = "u8"\nbyte = 1\nmask = 6'],
            "overlaps 'p0' at 1",
        ),
        (U8, ['type = "i8"\nmask = 1'], "takes no mask"),
        (U8, ['type = "decimal"'], 'for format = "text" only'),
        (U8, ['type = "u8"\ntag = 1'], "use byte"),
        (U8, ['type = "u8"\nrange = [0, 300]'], "cannot be said"),
        (U8, ['type = "u8"\nmessages = [3]'], "there is no message 3"),
        (U8 + '\nmessages = [{ value = 1 }]', ['type = "u8"'], "belong together"),
        (U8 + '\nack = ["AA", "$cuont"]', ['type = "u8"'], "unknown '$cuont'"),
        (U8 + '\nack = ["AAB"]', ['type = "u8"'], "neither hexadecimal"),
        (U8 + '\ncheck = { kind = "crc" }', ['type = "u8"'], "unknown kind"),
        (U8 + '\nformat = "tlv"', ['type = "u8"'], "stands in one place"),
        (
            U8 + '\nformat = "tlv"',
            ['type = "u8"\ntag = 1', 'type = "u8"\ntag = 1'],
            "1 stands twice",
        ),
        (
            'transport = "udp"\nid = { key = "ID", type = "ascii" }\nformat = "text"',
            ['type = "u8"\nkey = "A"'],
            "a u8 is no text",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_a_payload(tmp_path: Path, table: str, points: list[str], said: str) -> None:
    assert said in mistakes(tmp_path, payload(table, *points))


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ('path = "/3303/0/5700"\ntype = "float"', "is registered"),
        ('path = "/3303/0/5605"', "can only be started"),
        ('path = "/3303/0"', "names no resource"),
        ('path = "/3303/x/5700"', "is no path"),
        ('path = "/40000/0/1"', "its type must be said"),
        ('path = "/3303/0/5700"\nwritable = { low = 0, high = 1 }', "can only be read"),
    ],
)
def test_mistakes_in_lwm2m(tmp_path: Path, point: str, said: str) -> None:
    assert said in mistakes(tmp_path, f'[lwm2m]\n[[lwm2m.points]]\nname = "p"\n{POINT}{point}\n')


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = 'transport = "udp"\nid = { byte = 0, type = "u8" }\nack = ["x"]\ncheck = { kind = "y" }'
    assert len(mistakes(tmp_path, payload(text, 'type = "z"')).splitlines()) >= 3
