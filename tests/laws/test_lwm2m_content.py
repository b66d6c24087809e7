"""What LwM2M messages carry, in every content format, held against published tables; registrations and their links."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import coap
from device_profiles.codecs.link_format import Link, LinkFormatError, encode_links, parse_links
from device_profiles.codecs.lwm2m import (
    JSON,
    OPAQUE,
    SENML_CBOR,
    SENML_JSON,
    TEXT,
    TLV,
    Content,
    Lwm2mError,
    Registration,
    Told,
    decode_content,
    encode_content,
    kind_of,
    parse_path,
    parse_registration,
    path_text,
    scaled,
)
from device_profiles.codecs.lwm2m_tlv import Path, Scalar
from device_profiles.maps.lwm2m import Lwm2mMap, Lwm2mPoint, check_value, decode_report, to_scalar
from device_profiles.quality import Quality, Reason
from device_profiles.reports import Reported

DEVICE: dict[Path, Scalar] = {
    (3, 0, 0): "Open Mobile Alliance",
    (3, 0, 1): "Lightweight M2M Client",
    (3, 0, 6, 0): 1,
    (3, 0, 6, 1): 5,
    (3, 0, 9): 100,
    (3, 0, 13): 1367491215,
    (3, 0, 14): "+02:00",
}

PUBLISHED = [
    # LwM2M Core 1.1, table 7.4.4-2, shortened (as in wakaama, tests/senml_json_tests.c)
    (
        SENML_JSON,
        b'[{"bn":"/3/0/","n":"0","vs":"Open Mobile Alliance"},{"n":"1","vs":"Lightweight M2M Client"},'
        b'{"n":"6/0","v":1},{"n":"6/1","v":5},{"n":"9","v":100},{"n":"13","v":1367491215},{"n":"14","vs":"+02:00"}]',
    ),
    # the same in CBOR (wakaama, tests/senml_cbor_tests.c)
    (
        SENML_CBOR,
        bytes.fromhex(
            "87 A3 21 65 2F332F302F 00 61 30 03 74 4F70656E204D6F62696C6520416C6C69616E6365"
            "A2 00 61 31 03 76 4C69676874776569676874204D324D20436C69656E74"
            "A2 00 63 362F30 02 01 A2 00 63 362F31 02 05 A2 00 61 39 02 18 64"
            "A2 00 62 3133 02 1A 5182428F A2 00 62 3134 03 66 2B30323A3030"
        ),
    ),
    # LwM2M 1.0.2, 6.4.4 (as in wakaama, tests/tlv_json_lwm2m_data_test.c)
    (
        JSON,
        b'{"bn":"/3/0/","e":[{"n":"0","sv":"Open Mobile Alliance"},{"n":"1","sv":"Lightweight M2M Client"},'
        b'{"n":"6/0","v":1},{"n":"6/1","v":5},{"n":"9","v":100},{"n":"13","v":1367491215},{"n":"14","sv":"+02:00"}]}',
    ),
]


@pytest.mark.parametrize(("format", "payload"), PUBLISHED)
def test_published_packs(format: int, payload: bytes) -> None:
    told = decode_content(Content(base=(3, 0), format=format, payload=payload))
    assert {one.path: one.value for one in told} == DEVICE
    assert all(one.time is None for one in told)


@pytest.mark.parametrize("format", [TLV, SENML_JSON, SENML_CBOR, JSON])
def test_what_is_written_reads_as_it_was(format: int) -> None:
    payload = encode_content(DEVICE, (3, 0), format)
    assert {
        one.path: one.value for one in decode_content(Content(base=(3, 0), format=format, payload=payload))
    } == DEVICE


def test_the_times_of_a_pack() -> None:
    """LwM2M Core 1.1, table 7.4.4-3: a base time below 2**28 counts from now; records come out in order of time."""
    payload = (
        b'[{"bn":"/72/","bt":25462634,"n":"1/2","v":22.4,"t":-5},{"n":"1/2","v":22.9,"t":-30},'
        b'{"n":"1/2","v":24.1,"t":-50}]'
    )
    told = decode_content(Content(format=SENML_JSON, payload=payload, now=1_000_000_000.0))
    assert [(one.path, one.value) for one in told] == [((72, 1, 2), 24.1), ((72, 1, 2), 22.9), ((72, 1, 2), 22.4)]
    assert told[-1].time == 1_000_000_000 + 25462634 - 5


def test_object_links_and_a_question() -> None:
    """LwM2M Core 1.1, tables 7.4.4-4 and 7.4.4-6: vlo; a record with a name only asks."""
    payload = b'[{"bn":"/","n":"65/0/0/0","vlo":"66:0"},{"n":"65/0/2","v":1}]'
    told = decode_content(Content(format=SENML_JSON, payload=payload))
    assert [one.value for one in told] == ["66:0", 1]
    asked = decode_content(Content(format=SENML_JSON, payload=b'[{"n":"/3/0/0"},{"n":"/3/0/9"}]'))
    assert [(one.path, one.value) for one in asked] == [((3, 0, 0), None), ((3, 0, 9), None)]


@pytest.mark.parametrize(
    ("base", "format", "payload", "value"),
    [
        ((3303, 0, 5700), TEXT, b"21.5", 21.5),
        ((3303, 0, 5700), None, b"-3", -3.0),  # without a content format it is plain text
        ((3, 0, 9), TEXT, b"80", 80),
        ((3200, 0, 5500), TEXT, b"1", True),
        ((3, 0, 0), TEXT, "夔门".encode(), "夔门"),
        ((3303, 0, 5700), TEXT, b"", None),
        ((19, 0, 0), OPAQUE, b"\x00\x01", b"\x00\x01"),
        ((3303, 0, 5700), 1542, bytes.fromhex("E4164441F80000"), 31.0),  # TLV's number before it was registered
    ],
)
def test_single_resources(base: Path, format: int | None, payload: bytes, value: Scalar) -> None:
    assert decode_content(Content(base=base, format=format, payload=payload)) == [Told(base, value)]


@pytest.mark.parametrize(
    ("base", "format", "payload"),
    [
        ((3303, 0, 5700), TEXT, b"warm"),
        ((3, 0, 9), TEXT, b"80.5"),
        ((3200, 0, 5500), TEXT, b"yes"),
        ((3303, 0, 5700), TEXT, b"\xff"),
        ((3303, 0), TEXT, b"1"),
        ((3303, 0), 41, b"<a/>"),
        ((3303, 0), JSON, b'{"e":[{"n":"5700","v":1,"sv":"x"}]}'),
        ((3303, 0), JSON, b'{"e":[{"n":"5700","v":"1"}]}'),
        ((3303, 0), JSON, b'{"e":[{"n":"","v":1}]}'),
        ((), SENML_JSON, b'[{"n":"3303/0/5700","v":1}]'),
        ((), SENML_JSON, b'[{"n":"/3303/0/5700","vs":"1"}]'),
        ((), SENML_JSON, b'[{"n":"/3303/0/70000","v":1}]'),
        ((), SENML_JSON, b'[{"n":"/3/0/9","v":1.5}]'),
        ((), SENML_CBOR, b"\x81"),
        ((3303, 0), TLV, b"\xc4\x16"),
    ],
)
def test_what_does_not_read(base: Path, format: int, payload: bytes) -> None:
    with pytest.raises(Lwm2mError):
        decode_content(Content(base=base, format=format, payload=payload))


# --- registrations --------------------------------------------------------------------------------------------------


def registering(query: str, payload: bytes = b"") -> coap.Message:
    return coap.Message(coap.CON, coap.POST, 1, b"", coap.path_options("/rd", tuple(query.split("&"))), payload)


def test_a_registration() -> None:
    """LwM2M 1.0.2, 5.3.1; the links as wakaama's client sends them."""
    links = b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</3303/0>,</3303/1>;ver=1.1,</5>'
    said = parse_registration(registering("ep=urn:imei:1&lt=300&lwm2m=1.0&b=UQ", links))
    assert (said.endpoint, said.lifetime, said.version, said.binding, said.queue) == (
        "urn:imei:1",
        300,
        "1.0",
        "UQ",
        True,
    )
    assert said.paths == frozenset({(), (1, 0), (3, 0), (3303, 0), (3303, 1), (5,)})
    assert parse_registration(registering("ep=a&lwm2m=1.1&b=U&Q")).queue  # 1.1, 6.2.1.2
    assert parse_registration(registering("ep=a")) == Registration(endpoint="a", lifetime=86_400)
    for wrong in ("lt=300", "ep=a&lt=soon", "ep=&lt=1", "ep=a&lt=99999999999"):
        with pytest.raises(Lwm2mError):
            parse_registration(registering(wrong))
    with pytest.raises(Lwm2mError):
        parse_registration(registering("ep=a", b"</3/0>,,"))


def test_the_rfcs_links() -> None:
    """RFC 6690, 5."""
    assert parse_links(b'</sensors>;ct=40;title="Sensor Index",</sensors/temp>;rt="temperature-c";if="sensor"') == (
        Link("/sensors", {"ct": "40", "title": "Sensor Index"}),
        Link("/sensors/temp", {"rt": "temperature-c", "if": "sensor"}),
    )
    assert parse_links(b'<http://www.example.com/sensors/t123>;anchor="/sensors/temp";rel="describedby"')[0].path
    assert parse_links(b"") == ()
    assert parse_links(b"</a>;obs,</b>") == (Link("/a", {"obs": ""}), Link("/b"))


@pytest.mark.parametrize("wrong", [b"<a", b"a", b"<a>,", b"<a>;", b"<a> <b>", b'<a>;x="y', b"\xff", b"</a>," * 2000])
def test_what_is_no_list_of_links(wrong: bytes) -> None:
    with pytest.raises(LinkFormatError):
        parse_links(wrong)


NAMES = st.text("abcdefgh", min_size=1, max_size=6)
VALUES = st.text('abc 123"\\,;<>ä', max_size=12)


@given(
    st.lists(st.tuples(st.text("/0123456789abc", max_size=10), st.dictionaries(NAMES, VALUES, max_size=3)), max_size=5)
)
def test_links_read_as_they_were(rows: list[tuple[str, dict[str, str]]]) -> None:
    links = tuple(Link(path, attributes) for path, attributes in rows)
    assert parse_links(encode_links(links)) == links


def test_paths() -> None:
    assert parse_path("/3303/0/5700") == (3303, 0, 5700)
    assert path_text((3303, 0)) == "/3303/0"
    for wrong in ("/a", "/1/2/3/4/5", "/-1", "/70000", "/１"):
        with pytest.raises(Lwm2mError):
            parse_path(wrong)
    assert kind_of((3303, 0, 5700)) == "float"
    assert kind_of((40_000, 0, 1), {(40_000, 1): "integer"}) == "integer"
    assert kind_of((40_000, 0, 1)) == ""


# --- a profile's words ----------------------------------------------------------------------------------------------


def a_point(path: str = "/3303/0/5700", kind: str = "float", scale: str = "1", offset: str = "0") -> Lwm2mPoint:
    quantity = "words" if kind in ("string", "opaque") else "air_temperature"
    return Lwm2mPoint(
        name="x",
        title={},
        quantity=quantity,
        unit="Cel",
        path=path,
        type=kind,
        scale=Fraction(scale),
        offset=Fraction(offset),
    )


def test_a_report_says_what_it_cannot_say() -> None:
    map_ = Lwm2mMap(points=(a_point(), a_point("/3304/0/5700")))
    told = b'[{"n":"/3303/0/5700","v":21},{"n":"/3/0/9","v":80}]'
    report = decode_report(map_, Content(format=SENML_JSON, payload=told, key=b"k", repeats=False))
    assert report.readings == (Reported("x", 21),)
    assert (report.unmapped, report.key, report.repeats) == ({"/3/0/9": "80"}, b"k", False)
    none = decode_report(map_, Content(base=(3303, 0), format=TLV, payload=bytes.fromhex("E01644")))
    assert none.readings == (Reported("x", None, None, Quality.BAD, Reason.MISSING),)
    infinite = decode_report(map_, Content(base=(3303, 0), format=TLV, payload=bytes.fromhex("E416447F800000")))
    assert infinite.readings == (Reported("x", None, None, Quality.BAD, Reason.NOT_A_NUMBER),)


@given(
    st.integers(-10_000, 10_000),
    st.sampled_from(["1", "0.1", "0.01", "5", "1/3"]),
    st.sampled_from(["0", "-40", "0.5"]),
)
def test_scales_are_exact(raw: int, scale: str, offset: str) -> None:
    point = a_point("/40000/0/1", "integer", scale, offset)
    value = scaled(raw, point.scale, point.offset)
    assert value == float(raw * point.scale + point.offset)
    assert to_scalar(point, value) == raw


def test_what_a_point_cannot_say() -> None:
    check_value(a_point(), 21.5)
    check_value(a_point("/40000/0/1", "opaque"), "00FF")
    for point, value in (
        (a_point(), "warm"),
        (a_point("/3200/0/5500", "boolean"), 2),
        (a_point("/40000/0/1", "opaque"), "no hex"),
        (a_point("/40000/0/1", "integer"), 1e30),
    ):
        with pytest.raises(ValueError):
            check_value(point, value)
