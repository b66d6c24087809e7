"""Messages are sorted by what their topic says: batches, manifests, states, and strangers'. Judges no
payload.
"""

import msgspec

from device_profiles.manifests import Manifest, decode_manifests
from device_profiles.quality import Reason
from device_profiles.topics import Topics, UpTopic, shard_of
from ingest.accounts import NO_GATEWAY
from ingest.inbox import Message
from ingest.judging import Arrival

_MAX_REMEMBERED = 100_000
"""Topics whose reading is remembered; a flood of strangers' topics empties the memory instead of growing it."""


class Announcement(msgspec.Struct):
    """A gateway's manifests, readable and its own."""

    arrival: Arrival
    manifests: list[Manifest]


class Sorter:
    """Knows the topic tree and which shards are ours."""

    def __init__(self, topics: Topics, shards: tuple[int, ...]) -> None:
        self._topics = topics
        self._shards = frozenset(shards)
        self._read: dict[str, tuple[str, str, Reason]] = {}

    def sort(self, message: Message) -> tuple[str, Arrival]:
        """("batch" | "manifest" | "state" | "stray", arrival). A stray has no gateway."""
        read = self._read.get(message.topic)
        if read is None:
            if len(self._read) >= _MAX_REMEMBERED:
                self._read.clear()
            read = self._read[message.topic] = self._topic(message.topic)
        kind, gateway, fault = read
        return kind, Arrival(gateway, message.topic, message.payload, message.received_at, fault, message.answer)

    def _topic(self, topic: str) -> tuple[str, str, Reason]:
        up: UpTopic | None = self._topics.parse(topic)
        if up is None:
            return "stray", NO_GATEWAY, Reason.UNKNOWN_TOPIC
        if up.shard == shard_of(up.gateway) and up.shard in self._shards:
            return up.kind, up.gateway, Reason.NONE
        if up.kind == "batch":
            return "batch", up.gateway, Reason.WRONG_SHARD
        return "stray", NO_GATEWAY, Reason.WRONG_SHARD


def announcement(arrival: Arrival) -> Announcement:
    """Read a manifest message. EnvelopeError when it is none; ValueError when it is another gateway's."""
    gateway, manifests = decode_manifests(arrival.payload)
    if gateway != arrival.gateway:
        raise ValueError(f"{arrival.gateway} sent the manifests of {gateway}")
    return Announcement(arrival, manifests)


def stray(arrival: Arrival, reason: Reason) -> Arrival:
    """The message put aside: it is no batch of anybody's."""
    return arrival._replace(gateway=NO_GATEWAY, fault=reason)
