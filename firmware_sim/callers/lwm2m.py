"""An LwM2M client: it registers, is observed, and notifies in TLV; a model of version 1.1 uses Send instead.

As a client does, it measures nothing for anybody before it is registered and observed. Options: ``send`` (true or
false; by the profile's version otherwise), ``beat_s`` (seconds between registration updates in a quiet conversation).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from device_profiles.codecs import coap
from device_profiles.codecs.coap import ACK, CON, Message, Options
from device_profiles.codecs.link_format import Link, encode_links
from device_profiles.codecs.lwm2m import LINK, SENML_CBOR, TLV, Lwm2mError, parse_path, path_text
from device_profiles.codecs.lwm2m_tlv import Path
from device_profiles.maps.lwm2m import Lwm2mMap, encode_report
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from firmware_sim.callers.talker import Heard, wanted

KNOWN = 20_000
"""Messages that may still have to be said again."""

OPTIONS: Mapping[str, type] = {"send": bool, "beat_s": int}


def make_talker(profile: DeviceProfile, id: str, secret: str | None, options: Mapping[str, object]) -> Client:
    """The client with that endpoint name; ValueError for options that it cannot use."""
    wanted(options, OPTIONS)
    if not isinstance(profile.map, Lwm2mMap):
        raise ValueError(f"{profile.model} speaks {profile.protocol}, not LwM2M")
    send = bool(options.get("send", profile.map.version != "1.0"))
    if send and profile.map.version == "1.0":
        raise ValueError("LwM2M 1.0 knows no Send")
    beat_s = options.get("beat_s")
    return Client(profile.map, id, send, float(str(beat_s)) if beat_s is not None else profile.map.lifetime / 2)


class Client:
    """One client. ``beat_s``: how often it updates its registration when it has nothing else to say."""

    timeout_s = 3.0
    retries = 3
    checked = False

    def __init__(self, map_: Lwm2mMap, id: str, send: bool, beat_s: float) -> None:
        self.beat_s = beat_s
        self._map = map_
        self._id = id
        self._send = send
        self._mid = 0
        self._location = ""
        self._registering = b""
        self._observed: dict[Path, bytes] = {}
        self._sequence = 0
        self._values: dict[str, Value] = {}
        self._sent: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()

    # --- what it says -----------------------------------------------------------------------------------------------

    def greet(self) -> list[bytes]:
        """Register (LwM2M 1.0.2, 5.3.1); observations of an earlier registration are forgotten."""
        self._location, self._observed = "", {}
        binding = self._map.binding if self._map.version == "1.0" else "U"
        query = [f"ep={self._id}", f"lt={self._map.lifetime}", f"lwm2m={self._map.version}", f"b={binding}"]
        if self._map.version != "1.0" and "Q" in self._map.binding:
            query.append("Q")
        instances = dict.fromkeys(point.where[:2] for point in self._map.points)
        links = [Link("/", {"rt": "oma.lwm2m"}), *(Link(path_text(path)) for path in instances)]
        options = (*coap.path_options("/rd", tuple(query)), (coap.CONTENT_FORMAT, bytes((LINK,))))
        self._registering, frame = self._request(coap.POST, options, encode_links(links))
        return [frame]

    def beat(self) -> bytes:
        """Update the registration (5.3.2)."""
        return self._request(coap.POST, coap.path_options(f"/rd/{self._location}"))[1]

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """The first of ``reports``; ValueError while it is not observed."""
        made = self.reports(values, at)
        if not made:
            raise ValueError("neither registered nor observed")
        return made[0]

    def reports(self, values: dict[str, Value], at: int) -> list[tuple[bytes, bytes]]:
        """One Send of everything, or a notification of each observed instance; none before the greeting is done."""
        self._values = dict(values)
        if not self._ready():
            return []
        if self._send:
            payload = encode_report(self._map, values, at, format=SENML_CBOR)
            options = (*coap.path_options("/dp"), (coap.CONTENT_FORMAT, bytes((SENML_CBOR,))))
            key, frame = self._request(coap.POST, options, payload)
            return [self._remember(key, frame, len(values))]
        return [self._notify(path, token) for path, token in self._observed.items()]

    def _ready(self) -> bool:
        return bool(self._location) and (self._send or set(self._observed) >= set(self._map.observed))

    def _notify(self, path: Path, token: bytes) -> tuple[bytes, bytes]:
        """A confirmable notification (RFC 7641, 4.5)."""
        self._sequence += 1
        below = self._below(path)
        payload = encode_report(self._map, below, base=path, format=TLV)
        key = self._next_mid()
        frame = coap.encode(Message(CON, coap.CONTENT, int.from_bytes(key, "big"), token, self._told(TLV), payload))
        return self._remember(key, frame, len(below))

    def _below(self, path: Path) -> dict[str, Value]:
        points = (point for point in self._map.points if point.where[: len(path)] == path)
        return {point.name: self._values[point.name] for point in points if point.name in self._values}

    def _told(self, format: int) -> Options:
        sequence = coap.uint_bytes(self._sequence & 0xFFFFFF)  # 24 bits (RFC 7641, 3.4)
        return (coap.OBSERVE, sequence), (coap.CONTENT_FORMAT, coap.uint_bytes(format))

    def _request(self, code: int, options: Options, payload: bytes = b"") -> tuple[bytes, bytes]:
        key = self._next_mid()
        return key, coap.encode(Message(CON, code, int.from_bytes(key, "big"), key, options, payload))

    def _next_mid(self) -> bytes:
        self._mid = self._mid + 1 & 0xFFFF
        return self._mid.to_bytes(2, "big")

    def _remember(self, key: bytes, frame: bytes, readings: int) -> tuple[bytes, bytes]:
        self._sent[key] = frame, readings
        if len(self._sent) > KNOWN:
            self._sent.popitem(last=False)
        return key, frame

    def again(self, key: bytes) -> bytes:
        """The very same bytes; KeyError for a report of long ago."""
        return self._sent[key][0]

    def readings(self, key: bytes) -> int:
        """How many values the message of that key holds."""
        return self._sent[key][1]

    # --- what it hears ----------------------------------------------------------------------------------------------

    def hear(self, data: bytes) -> Heard:
        """An acknowledgement, the answer to the registration, or a question of the server's."""
        try:
            message = coap.decode(data)
        except coap.CoapError:
            return Heard()
        if message.type == ACK:
            return self._acknowledged(message)
        if not message.request:
            return Heard()
        answer = coap.encode(self._answer(message))
        return Heard(reply=(answer,), ready=self._ready())

    def _acknowledged(self, message: Message) -> Heard:
        key = message.mid.to_bytes(2, "big")
        if key == self._registering and message.code == coap.CREATED:
            self._location = "/".join(message.texts(coap.LOCATION_PATH)[1:])
            return Heard(ready=self._ready())
        taken = key in self._sent and message.code in (coap.EMPTY, coap.CHANGED)
        return Heard(acked=(key,)) if taken else Heard()

    def _answer(self, message: Message) -> Message:
        """Reads, observations, attributes; piggybacked (RFC 7252, 5.2.1)."""
        try:
            path = parse_path("/".join(message.path))
        except Lwm2mError:
            return Message(ACK, coap.BAD_REQUEST, message.mid, message.token)
        if not any(point.where[: len(path)] == path for point in self._map.points):
            return Message(ACK, coap.NOT_FOUND, message.mid, message.token)
        if message.code == coap.PUT:
            return Message(ACK, coap.CHANGED, message.mid, message.token)
        if message.code != coap.GET:
            return Message(ACK, coap.NOT_ALLOWED, message.mid, message.token)
        if message.uint(coap.OBSERVE) == 0:
            # Nothing is measured for a server that has just come: the first value is the first notification.
            self._observed[path] = message.token
            return Message(ACK, coap.CONTENT, message.mid, message.token, self._told(TLV))
        payload = encode_report(self._map, self._below(path), base=path, format=TLV)
        return Message(ACK, coap.CONTENT, message.mid, message.token, self._told(TLV)[1:], payload)
