"""The MQTT topic tree of the wire between gateway and ingest. Spelling and reading live here, nothing else does it."""

import re
from collections.abc import Iterable
from zlib import crc32

import msgspec

SHARDS = 64
"""Fixed for ever: a gateway's shard must not move when the number of workers does."""

DEFAULT_ROOT = "kuimen/v1"

GATEWAY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
"""No wildcard, no slash, no space (nats-server refuses spaces in topics)."""

ORIGIN_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64})?\Z")

UP_KINDS = ("batch", "manifest", "state")


def shard_of(gateway: str) -> int:
    """CRC-32 of the gateway id modulo 64: one gateway always meets one ingest worker."""
    return crc32(gateway.encode()) % SHARDS


class UpTopic(msgspec.Struct, frozen=True):
    """A parsed ``up/{shard}/{gateway}/{kind}`` topic."""

    shard: int
    gateway: str
    kind: str


class Topics:
    """Topic names below one root."""

    def __init__(self, root: str = DEFAULT_ROOT) -> None:
        self.root = root.strip("/")

    def _up(self, gateway: str, kind: str) -> str:
        return f"{self.root}/up/{shard_of(gateway)}/{gateway}/{kind}"

    def batch(self, gateway: str) -> str:
        """Where a gateway publishes its batches (not retained)."""
        return self._up(gateway, "batch")

    def manifest(self, gateway: str) -> str:
        """Where a gateway publishes its manifests (retained)."""
        return self._up(gateway, "manifest")

    def state(self, gateway: str) -> str:
        """Where a gateway publishes its state (retained, last will)."""
        return self._up(gateway, "state")

    def receipt(self, gateway: str) -> str:
        """Where ingest tells a gateway what became of its batches."""
        return f"{self.root}/down/{gateway}/receipt"

    def command(self, gateway: str) -> str:
        """Where ingest sends a gateway commands for its devices."""
        return f"{self.root}/down/{gateway}/command"

    def uplinks(self, shards: Iterable[int]) -> list[str]:
        """Subscription filters of an ingest worker that owns these shards."""
        return [f"{self.root}/up/{shard}/+/+" for shard in sorted(set(shards))]

    def parse(self, topic: str) -> UpTopic | None:
        """Read an uplink topic; None for a stranger's. The shard is what the topic *says*, not what it should be."""
        prefix = f"{self.root}/up/"
        if not topic.startswith(prefix):
            return None
        parts = topic[len(prefix) :].split("/")
        if len(parts) != 3 or not parts[0].isdecimal() or len(parts[0]) > 2 or parts[2] not in UP_KINDS:
            return None
        if not GATEWAY_NAME.match(parts[1]):
            return None
        return UpTopic(int(parts[0]), parts[1], parts[2])
