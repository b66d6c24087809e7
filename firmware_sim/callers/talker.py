"""One device's end of a conversation that the device begins, sans-IO: what it says and what it understands.

A module `firmware_sim.callers.<protocol key>` offers

    def make_talker(profile: DeviceProfile, id: str, secret: str | None, options: Mapping[str, object]) -> Talker

and raises ValueError, in words for the person who wrote the street, for a secret or options that it cannot use.
Connecting, periods, time-outs, retransmission, faults and the count belong to `caller` and `runner`.

What a talker may offer beside the protocol (all optional, found by name):

- `timeout_s: float`, `retries: int`: how long the protocol's devices wait for an ack and how often they send again.
- `checked: bool`: False when a turned bit in a frame cannot be noticed; then a street may not damage its frames.
- `unmapped: int`: items of each report that no point of the profile names (the gateway counts them as discarded).
- `reports(values, at) -> list[(key, bytes)]`: instead of `report`, where one moment makes several messages and the
  platform acks each on its own; then each is counted, repeated and damaged on its own, too.
- `readings(key) -> int`: how many readings the report of that key holds, where it is not one for each value.
- `backfill(key) -> bytes`: the report again, marked as re-sent where the protocol can say so; under the same key,
  because the platform may have taken the first copy and only its ack was lost.
- `beat() -> bytes` with `beat_s: float`: a sign of life that holds no readings, that often in a quiet conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from device_profiles.readings import Value


class Heard(msgspec.Struct, frozen=True):
    """What came out of bytes from the platform.

    ``acked``: keys of reports that it has taken, one for each ack (a second ack for one key is said again).
    ``reply``: frames that the device answers with (to commands, or the next step of a greeting).
    ``ready``: the greeting is done and reports may follow.
    """

    acked: tuple[bytes, ...] = ()
    reply: tuple[bytes, ...] = ()
    ready: bool = False


class Talker(Protocol):
    """One device. It lives as long as the device: numbering goes on over lost connections."""

    def greet(self) -> list[bytes]:
        """Frames to send on a new connection, [] when none; what was half heard on the old one is forgotten."""
        ...

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """(key, bytes to send) of a report of `values` by point, measured at `at` (UTC µs by the device's clock).

        The platform acks `key`; an empty key wants no ack. ValueError for a value that cannot be said.
        """
        ...

    def again(self, key: bytes) -> bytes:
        """The retransmission of an unacked report."""
        ...

    def hear(self, data: bytes) -> Heard:
        """Bytes from the platform, in any pieces (datagrams whole); never raises."""
        ...


def wanted(options: Mapping[str, object], known: Mapping[str, type]) -> None:
    """ValueError for options that a protocol does not know or of a wrong type; for `make_talker`s."""
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"unknown option {name!r}; known: {', '.join(sorted(known)) or 'none'}")
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            raise ValueError(f"option {name!r} must be a {known[name].__name__}, not {value!r}")
