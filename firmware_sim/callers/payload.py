"""A device with a message of its own: it sends a datagram, or posts over CoAP, and knows an ack by its profile.

Over UDP without an acknowledgement in the profile a report is sent once. Options: ``message`` (the type of message, the
profile's first otherwise).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from device_profiles.codecs import coap
from device_profiles.codecs.payload import build_ack, compile_layout
from device_profiles.codecs.payload_layout import What, write_id
from device_profiles.maps.payload_table import PayloadMap, check_value
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from firmware_sim.callers.talker import Heard, wanted

KNOWN = 20_000
"""Reports that may still have to be said again."""

OPTIONS: Mapping[str, type] = {"message": int}


def make_talker(profile: DeviceProfile, id: str, secret: str | None, options: Mapping[str, object]) -> Sensor:
    """The device with that identity; ValueError for an identity or options that it cannot use."""
    wanted(options, OPTIONS)
    if not isinstance(profile.map, PayloadMap):
        raise ValueError(f"{profile.model} speaks {profile.protocol}, not a described payload")
    message = options.get("message", profile.map.type_of_report)
    known = profile.map.layout.known
    if (message is None) != (not known) or (known and message not in known):
        raise ValueError(f"no message {message!r}; there are: {', '.join(map(str, known)) or 'none'}")
    return Sensor(profile, id, None if message is None else int(str(message)))


class Sensor:
    """One device; its counter and message id go on over lost connections."""

    timeout_s = 3.0
    retries = 3

    def __init__(self, profile: DeviceProfile, id: str, message: int | None) -> None:
        assert isinstance(profile.map, PayloadMap)
        self._map = profile.map
        self._codec = compile_layout(profile.map.layout)
        self._id = id
        self._message = message
        self._count = 0
        self._sent: OrderedDict[bytes, bytes] = OrderedDict()
        self._said = [point.name for point in profile.map.points if _can_say(profile, point.name)]
        self._over_coap = profile.map.transport == "coap"
        check = profile.map.layout.check
        self.checked = not self._over_coap and check is not None and check.first == 0
        if profile.map.layout.id is not None:
            write_id(profile.map.layout.id, id)  # an identity that does not fit is told at once

    def greet(self) -> list[bytes]:
        """It needs no greeting."""
        return []

    def readings(self, key: bytes) -> int:
        """Texts that the simulator has no words for are left out."""
        return len(self._said)

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """(what acknowledges it, the message). ValueError for a value that cannot be said."""
        self._count += 1
        payload = self._build({name: values[name] for name in self._said if name in values}, at)
        if self._over_coap:
            return self._post(payload)
        layout = self._map.layout
        key = build_ack(layout, self._codec.parse(payload))
        if key:
            self._remember(key, payload)
        return key, payload

    def _build(self, values: Mapping[str, Value], at: int) -> bytes:
        in_uri = self._map.id_segment is not None or bool(self._map.id_query)
        what = What(id="" if in_uri else self._id, count=self._count, at=at, message=self._message)
        return self._codec.build(values, what)

    def _post(self, payload: bytes) -> tuple[bytes, bytes]:
        """A confirmable POST; acknowledged by its message id (RFC 7252, 4.2)."""
        mid = self._count & 0xFFFF
        parts = [part for part in self._map.path.split("/") if part]
        if self._map.id_segment is not None:
            parts[self._map.id_segment] = self._id
        query = (f"{self._map.id_query}={self._id}",) if self._map.id_query else ()
        options = (*coap.path_options("/".join(parts), query), (coap.CONTENT_FORMAT, b"\x2a"))
        key = mid.to_bytes(2, "big")
        frame = coap.encode(coap.Message(coap.CON, coap.POST, mid, key, options, payload))
        self._remember(key, frame)
        return key, frame

    def _remember(self, key: bytes, frame: bytes) -> None:
        self._sent[key] = frame
        if len(self._sent) > KNOWN:
            self._sent.popitem(last=False)

    def again(self, key: bytes) -> bytes:
        """The very same bytes; KeyError for a report of long ago."""
        return self._sent[key]

    def hear(self, data: bytes) -> Heard:
        """An acknowledgement, or something that is none."""
        if not self._over_coap:
            return Heard(acked=(data,)) if data in self._sent else Heard()
        try:
            message = coap.decode(data)
        except coap.CoapError:
            return Heard()
        taken = message.type == coap.ACK and message.code == coap.CHANGED
        return Heard(acked=(message.mid.to_bytes(2, "big"),)) if taken else Heard()


def _can_say(profile: DeviceProfile, name: str) -> bool:
    """False for a text whose form the simulator's word does not have."""
    point = profile.point(name)
    if not point.text:
        return True
    try:
        check_value(point, "SIM")
    except ValueError:
        return False
    return True
