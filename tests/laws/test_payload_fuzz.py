"""Hostile bytes against described payloads: nothing but PayloadError. FUZZ=long runs ten million inputs."""

from device_profiles.codecs.payload import build_ack, compile_layout
from device_profiles.codecs.payload_layout import LIMIT, Layout, PayloadError
from device_profiles.loader import load_library
from device_profiles.maps.payload import decode_report
from device_profiles.maps.payload_table import PayloadMap
from device_profiles.profiles import DeviceProfile
from device_profiles.quality import Reason
from tests.laws.test_lwm2m_fuzz import ROUNDS, hostile
from tests.laws.test_payload_codec import BINARY, SAID, TAGGED, VALUES

MODELS = [profile for profile in load_library().values() if isinstance(profile.map, PayloadMap)]


def judge(layout: Layout, data: bytes, profile: DeviceProfile | None = None) -> None:
    """Parse, and where that goes, acknowledge and report."""
    try:
        parsed = compiled[id(layout)].parse(data)
    except PayloadError as trouble:
        assert trouble.reason in (
            Reason.NOISE,
            Reason.TRUNCATED,
            Reason.BAD_CHECKSUM,
            Reason.MALFORMED,
            Reason.OVERSIZED,
        )
        return
    assert len(data) <= LIMIT
    assert all(parsed.values[name] is None for name in parsed.reasons)
    build_ack(layout, parsed)
    if profile is not None:
        assert isinstance(profile.map, PayloadMap)
        decode_report(profile.map, parsed)


LAYOUTS = [BINARY, TAGGED, *(profile.map.layout for profile in MODELS if isinstance(profile.map, PayloadMap))]
compiled = {id(layout): compile_layout(layout) for layout in LAYOUTS}


def test_hostile_layouts() -> None:
    good = [compile_layout(BINARY).build(VALUES, SAID), b"dev1\x01\xbe\xef\x01\x02\xff\xd3\x02\x03abc\x09\x01\x03"]
    for data in hostile(good, ROUNDS // 2):
        judge(BINARY, data)
        judge(TAGGED, data)


def test_hostile_models() -> None:
    """Every described model of the library, against mutations of its own examples."""
    for profile in MODELS:
        assert isinstance(profile.map, PayloadMap)
        reports = [example.report for example in profile.examples]
        for data in hostile(reports, ROUNDS // 2 // len(MODELS)):
            judge(profile.map.layout, data, profile)
