"""What a model's own message says in the words of its profile, and backwards; its table: ``payload_table``.

Known again by its own counter or time together with what it says; where it has neither, the transport's number is
all there is, and that is the caller's ``key``.
"""

import hashlib
from collections.abc import Mapping

from device_profiles.codecs import coap
from device_profiles.codecs.payload import build_ack, compile_layout
from device_profiles.codecs.payload_layout import Parsed, PayloadError, What
from device_profiles.examples import compare, encodable
from device_profiles.maps.payload_table import PayloadMap
from device_profiles.maps.payload_table import check_value as check_value
from device_profiles.maps.payload_table import read_map as read_map
from device_profiles.profiles import DeviceProfile, Example
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported


def decode_report(map: PayloadMap, message: Parsed, key: bytes = b"", repeats: bool = True) -> Report:
    """The readings of a message. ``key``: the transport's own number, for messages without counter and time."""
    readings = []
    alarm = False
    for point in map.points:
        if point.name not in message.values:
            continue
        value, reason = message.values[point.name], message.reasons.get(point.name, Reason.NONE)
        quality = Quality.GOOD if reason is Reason.NONE else Quality.BAD
        readings.append(Reported(point.name, value, message.at, quality, reason))
        alarm = alarm or (point.event and bool(value))
    lane = Lane.EVENT if alarm else map.lanes.get(message.message or 0, Lane.LIVE)
    return Report(
        readings=tuple(readings),
        key=_key(message) if message.numbered else key,
        lane=lane,
        unmapped=message.unknown,
        repeats=repeats,
    )


def _key(message: Parsed) -> bytes:
    """The counter with what is said: a counter that begins anew after a reboot loses nothing."""
    said = repr((message.message, message.at, sorted(message.values.items()), sorted(message.unknown.items())))
    return f"{message.count};{hashlib.blake2b(said.encode(), digest_size=8).hexdigest()}".encode()


def encode_report(
    map: PayloadMap,
    values: Mapping[str, Value],
    at: int,
    *,
    id: str = "",
    count: int = 0,
    message: int | None = None,
) -> bytes:
    """The message that a device with these values sends, dated ``at`` (UTC µs). ValueError for what cannot be said."""
    kind = map.type_of_report if message is None else message
    return compile_layout(map.layout).build(values, What(id=id, count=count, at=at, message=kind))


def id_of(map: PayloadMap, parsed: Parsed, request: coap.Message | None) -> str:
    """Who says it: out of the payload, or out of the request's URI; empty where it is not said."""
    if request is None or (map.id_segment is None and not map.id_query):
        return parsed.id
    if map.id_segment is not None:
        path = request.path
        return path[map.id_segment] if map.id_segment < len(path) else ""
    return request.query.get(map.id_query, "")


def fits_path(map: PayloadMap, path: tuple[str, ...]) -> bool:
    """True when a request's path is the profile's; ``*`` stands for one segment."""
    parts = [part for part in map.path.split("/") if part]
    return len(parts) == len(path) and all(want in ("*", got) for want, got in zip(parts, path, strict=True))


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with an example: it must read as it says, and its values must give its bytes again."""
    map_ = profile.map
    assert isinstance(map_, PayloadMap)
    request, data = None, example.report
    if map_.transport == "coap":
        try:
            request = coap.decode(example.report)
        except coap.CoapError as trouble:
            return [f"the report is no CoAP message: {trouble}"]
        if request.code not in (coap.POST, coap.PUT) or not fits_path(map_, request.path):
            return [f"the report is no POST to {map_.path}"]
        data = request.payload
    codec = compile_layout(map_.layout)
    try:
        parsed = codec.parse(data)
    except PayloadError as trouble:
        return [f"the report does not read: {trouble.reason.word}: {trouble}"]
    if not id_of(map_, parsed, request):
        return ["the report does not say who sends it"]
    report = decode_report(map_, parsed)
    decoded = {one.point: (one.value, code_of(one.quality, one.reason)) for one in report.readings}
    found = compare(profile, example, decoded)
    if example.moment is not None and any(one.at != example.moment for one in report.readings):
        found.append(f"its values carry another time than {example.at}")
    return found or _backwards(profile, map_, example, parsed, request, data)


def _backwards(
    profile: DeviceProfile,
    map_: PayloadMap,
    example: Example,
    parsed: Parsed,
    request: coap.Message | None,
    data: bytes,
) -> list[str]:
    """The example's values must give its bytes, and its acknowledgement must be the one that we send."""
    values = encodable(profile, example)
    try:
        built = encode_report(
            map_, values, parsed.at or 0, id=parsed.id, count=parsed.count or 0, message=parsed.message
        )
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    if parsed.unknown:
        return []  # what nobody has described cannot be said again
    found = [] if built == data else ["encoding the values gives another report: " + built.hex(" ").upper()]
    if example.ack:
        ack = build_ack(map_.layout, parsed)
        if request is not None:
            ack = coap.encode(coap.Message(coap.ACK, coap.CHANGED, request.mid, request.token, (), ack))
        if ack != example.ack:
            found.append("we would acknowledge with " + ack.hex(" ").upper())
    return found
