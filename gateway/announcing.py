"""The manifests of a gateway as messages: together in one where they fit, in several where they do not."""

from collections.abc import Iterator

from device_profiles.manifests import MAX_MANIFEST_BYTES, Manifest, decode_manifests, encode_manifests


def manifest_messages(gateway: str, kept: list[bytes], limit: int = MAX_MANIFEST_BYTES) -> Iterator[bytes]:
    """Messages (manifests.encode_manifests) that hold all kept ones, oldest first, each at most ``limit`` bytes.

    The broker retains the last message: it holds the newest manifests, and with them every originator that runs now.
    """
    group: list[Manifest] = []
    for data in kept:
        _, manifests = decode_manifests(data)
        if group and len(encode_manifests(gateway, [*group, *manifests])) > limit:
            yield encode_manifests(gateway, group)
            group = []
        group += manifests
    if group:
        yield encode_manifests(gateway, group)
