"""What a batch's aliases stand for: series by series, self-sufficient, named by its own content.

An originator's manifest travels retained beside its batches, so ingest never needs a pole's profile files.
"""

import hashlib
import zlib

import msgspec

from device_profiles.envelope import EnvelopeError, inflate
from device_profiles.quality import Reason

VERSION = 1
MAX_MANIFEST_BYTES = 900_000
MAX_JSON_BYTES = 32 * 1024 * 1024
"""What a message may inflate to: the most series there may be, and their texts."""

MAX_SERIES = 1 << 16

Title = dict[str, str]
"""Texts by language, e.g. {"zh": "气温", "en": "Air temperature"}."""


class DeviceEntry(msgspec.Struct, frozen=True, array_like=True):
    """One installed unit as its pole announces it."""

    name: str
    code: str | None
    title: Title
    domain: str
    profile: str
    version: int


class SeriesEntry(msgspec.Struct, frozen=True, array_like=True):
    """One point of one device. ``device``: index into the manifest's devices; ``unit``: the point's own, UCUM;
    ``kind``: "number" or "text"; ``period_s``: the longest time expected between two reports."""

    device: int
    point: str
    title: Title
    quantity: str
    unit: str
    kind: str
    period_s: float


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """An originator's devices and series; a batch's alias is an index into ``series``."""

    origin: str
    id: int
    devices: list[DeviceEntry]
    series: list[SeriesEntry]


class _Message(msgspec.Struct, frozen=True, array_like=True):
    version: int
    gateway: str
    manifests: list[Manifest]


def make_manifest(origin: str, devices: list[DeviceEntry], series: list[SeriesEntry]) -> Manifest:
    """A manifest named by 63 bits of SHA-256 over its content: equal content, equal name, on every restart."""
    content = msgspec.msgpack.encode((origin, devices, series))
    digest = int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1
    return Manifest(origin, digest, devices, series)


def encode_manifests(gateway: str, manifests: list[Manifest]) -> bytes:
    """The retained manifest message of a gateway: every manifest that its spool still refers to (deflated JSON)."""
    return zlib.compress(msgspec.json.encode(_Message(VERSION, gateway, manifests)))


def decode_manifests(data: bytes) -> tuple[str, list[Manifest]]:
    """(gateway, manifests). EnvelopeError when it is none, is too large, or an entry points outside its list."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise EnvelopeError(Reason.OVERSIZED, f"{len(data)} bytes, at most {MAX_MANIFEST_BYTES}")
    try:
        message = msgspec.json.decode(inflate(data, MAX_JSON_BYTES), type=_Message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as trouble:
        raise EnvelopeError(Reason.MALFORMED, f"not a manifest: {trouble}") from None
    if message.version != VERSION:
        raise EnvelopeError(Reason.UNKNOWN_VERSION, f"manifest version {message.version}, expected {VERSION}")
    for manifest in message.manifests:
        if len(manifest.series) > MAX_SERIES:
            raise EnvelopeError(Reason.OVERSIZED, f"{len(manifest.series)} series, at most {MAX_SERIES}")
        if any(not 0 <= series.device < len(manifest.devices) for series in manifest.series):
            raise EnvelopeError(Reason.MALFORMED, "a series names a device that is not in the list")
    return message.gateway, message.manifests
