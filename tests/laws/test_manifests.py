"""Manifests: named by their content, small enough for a large pole, bounded against hostile bytes."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.envelope import EnvelopeError
from device_profiles.manifests import (
    MAX_JSON_BYTES,
    MAX_MANIFEST_BYTES,
    DeviceEntry,
    Manifest,
    SeriesEntry,
    decode_manifests,
    encode_manifests,
    make_manifest,
)
from device_profiles.quality import Reason


def pole(units: int, points: int) -> Manifest:
    """A pole with so many units of so many points each."""
    titles = {"zh": "某某设备", "en": "Some device"}
    devices = [DeviceEntry(f"dev-{i}", f"50023603{i:08d}", titles, "water", "some-model", 1) for i in range(units)]
    series = [
        SeriesEntry(unit, f"point_{point}", titles, "air_temperature", "Cel", "number", 60.0)
        for unit in range(units)
        for point in range(points)
    ]
    return make_manifest("kz-001/agent", devices, series)


def test_a_manifest_comes_back_as_it_was() -> None:
    manifests = [pole(3, 4), pole(1, 1)]
    assert decode_manifests(encode_manifests("kz-001", manifests)) == ("kz-001", manifests)


def test_equal_content_has_an_equal_name() -> None:
    assert pole(3, 4).id == pole(3, 4).id != pole(4, 3).id


def test_a_pole_with_fifteen_thousand_series_fits() -> None:
    assert len(encode_manifests("kz-001", [pole(150, 100)])) < MAX_MANIFEST_BYTES / 10


def test_a_bomb_is_refused() -> None:
    with pytest.raises(EnvelopeError) as refused:
        decode_manifests(zlib.compress(b" " * (MAX_JSON_BYTES + 1)))
    assert refused.value.reason is Reason.OVERSIZED


def test_a_series_of_no_device_is_refused() -> None:
    stray = SeriesEntry(1, "p", {}, "air_temperature", "Cel", "number", 60.0)
    with pytest.raises(EnvelopeError):
        decode_manifests(encode_manifests("kz-001", [make_manifest("kz-001/agent", [], [stray])]))


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_nothing_of_others(data: bytes) -> None:
    for payload in (data, zlib.compress(data)):
        with pytest.raises(EnvelopeError):
            decode_manifests(payload)
