"""LwM2M models: the ``[lwm2m]`` table, what a notification or a Send says in the profile's words, and backwards.

A point is a resource, "/3303/0/5700"; its type comes from the registered object, or from the row for a vendor's own.
An example is a CoAP exchange (our GET and its answer) or a Send (POST /dp).
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar

from device_profiles.codecs import coap
from device_profiles.codecs.lwm2m import (
    FORMATS,
    Content,
    Lwm2mError,
    Told,
    decode_content,
    encode_content,
    parse_path,
    path_text,
    scaled,
)
from device_profiles.codecs.lwm2m_objects import KINDS, resource_of
from device_profiles.codecs.lwm2m_tlv import Path, Scalar
from device_profiles.examples import compare, encodable
from device_profiles.maps.points import check_names, check_rows, read_fraction, read_point_head
from device_profiles.profiles import DeviceProfile, Example, Point, ProtocolMap
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported
from device_profiles.tables import Table

VERSIONS = ("1.0", "1.1")
BINDINGS = ("U", "UQ")
OBSERVES = ("instance", "resource")
TEXTS = ("string", "objlnk", "opaque")


class Lwm2mPoint(Point, frozen=True, kw_only=True):
    """A resource. ``type``: of ``lwm2m_objects.KINDS``; value = told × scale + offset.

    ``event``: a value that is not zero is an alarm.
    """

    path: str
    type: str
    scale: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)
    event: bool = False

    @property
    def text(self) -> bool:
        """True when the value is a text, not a number."""
        return self.type in TEXTS

    @property
    def where(self) -> Path:
        """The path as numbers."""
        return parse_path(self.path)


class Lwm2mMap(ProtocolMap, frozen=True, kw_only=True):
    """How a model is spoken to. ``lifetime``: seconds that it registers for; ``binding``: UQ sleeps between messages.

    ``format``: asked for in Accept, empty leaves it to the device. ``observe``: whole instances, or each resource by
    itself. ``attributes``: pmin and pmax are written from each point's period and report.
    """

    protocol: ClassVar[str] = "lwm2m"

    version: str = "1.0"
    lifetime: int = 86_400
    binding: str = "UQ"
    format: str = ""
    observe: str = "instance"
    attributes: bool = True
    points: tuple[Lwm2mPoint, ...] = ()

    @property
    def kinds(self) -> dict[Path, str]:
        """(object, resource) → type, of resources that no registered object has."""
        own = ((point.where, point.type) for point in self.points if resource_of(point.where) is None)
        return {(where[0], where[2]): kind for where, kind in own}

    @property
    def observed(self) -> tuple[Path, ...]:
        """What is observed: every instance, or every resource, that holds a point."""
        size = 2 if self.observe == "instance" else 4
        return tuple(dict.fromkeys(point.where[:size] for point in self.points))


def read_map(table: Table) -> Lwm2mMap:
    """The table; mistakes are noted in its problems, nothing is raised."""
    rows = check_rows(table)
    points = tuple(_point(row) for row in rows)
    map_ = Lwm2mMap(
        version=table.choice("version", VERSIONS, "1.0"),
        lifetime=table.integer("lifetime", 86_400, low=60, high=31_536_000),
        binding=table.choice("binding", BINDINGS, "UQ"),
        format=table.choice("format", ("", *FORMATS), ""),
        observe=table.choice("observe", OBSERVES, "instance"),
        attributes=table.flag("attributes", True),
        points=points,
    )
    table.end()
    check_names(points, rows)
    seen: dict[Path, str] = {}
    for point, row in zip(points, rows, strict=True):
        if point.where in seen:
            row.trouble("path", f"{point.path} is {seen[point.where]!r} already")
        seen[point.where] = point.name
    return map_


def _point(row: Table) -> Lwm2mPoint:
    path = row.text("path")
    try:
        where = parse_path(path)
    except Lwm2mError as trouble:
        row.trouble("path", str(trouble), '"/3303/0/5700"')
        where = ()
    if path and where and not 3 <= len(where) <= 4:
        row.trouble("path", f"{path!r} names no resource", '"/3303/0/5700"')
        where = ()
    type_ = _type(row, where)
    point = Lwm2mPoint(
        **read_point_head(row, kind=type_, text=type_ in TEXTS),
        path=path_text(where) if where else "/0/0/0",
        type=type_,
        scale=read_fraction(row, "scale", 1),
        offset=read_fraction(row, "offset", 0),
        event=row.flag("event"),
    )
    row.end()
    known = resource_of(where)
    if point.writable is not None and known is not None and "W" not in known.access:
        row.trouble("writable", f"{known.name} ({path}) can only be read")
    return point


def _type(row: Table, where: Path) -> str:
    known = resource_of(where)
    if known is None:
        if where and not row.has("type"):
            row.trouble("type", f"{path_text(where)} is in no object that we know: its type must be said")
            return "float"
        return row.choice("type", KINDS, "float")
    if row.has("type"):
        row.trouble("type", f"{path_text(where)} is registered: {known.name}, a {known.kind}")
    if known.kind == "execute":
        row.trouble("path", f"{known.name} holds no value: it can only be started")
        return "float"
    return known.kind


def check_value(point: Point, value: Value) -> None:
    """ValueError when the point cannot say the value on the wire."""
    assert isinstance(point, Lwm2mPoint)
    scalar = to_scalar(point, value)
    kinds: dict[Path, str] = {(point.where[0], point.where[2]): point.type}
    encode_content({point.where: scalar}, point.where[:2], FORMATS["tlv"], kinds)


def to_scalar(point: Lwm2mPoint, value: Value) -> Scalar:
    """A value as its resource says it; None stays None. ValueError when it cannot be said."""
    if value is None:
        return None
    if point.text:
        return bytes.fromhex(str(value)) if point.type == "opaque" else str(value)
    if isinstance(value, str):
        raise ValueError(f"{point.name}: a text where a number is due")
    if point.type == "boolean":
        if value not in (0, 1):
            raise ValueError(f"{point.name}: {value!r} is neither 0 nor 1")
        return bool(value)
    if point.scale == 1 and point.offset == 0 and point.type == "float":
        return float(value)
    exact = (Fraction(value) - point.offset) / point.scale
    return float(exact) if point.type == "float" else round(exact)


def to_value(point: Lwm2mPoint, scalar: Scalar) -> tuple[Value, Reason]:
    """(value, reason) of what a resource says: NONE with a value, else None and why."""
    if scalar is None:
        return None, Reason.MISSING
    if isinstance(scalar, bytes):
        return (scalar.hex().upper(), Reason.NONE) if point.type == "opaque" else (None, Reason.BAD_ENCODING)
    if isinstance(scalar, str):
        return (scalar, Reason.NONE) if point.text else (None, Reason.BAD_ENCODING)
    if point.text:
        return None, Reason.BAD_ENCODING
    if isinstance(scalar, float) and (scalar != scalar or scalar in (float("inf"), float("-inf"))):
        return None, Reason.NOT_A_NUMBER
    return scaled(int(scalar) if isinstance(scalar, bool) else scalar, point.scale, point.offset), Reason.NONE


def decode_report(map: Lwm2mMap, message: Content) -> Report:
    """The readings of a notification, an answer or a Send. Lwm2mError when its payload is not what it says to be."""
    points = {point.where: point for point in map.points}
    readings: list[Reported] = []
    unmapped: dict[str, str] = {}
    alarm = False
    for told in decode_content(message, map.kinds):
        point = points.get(told.path)
        if point is None:
            unmapped[path_text(told.path)] = _shown(told)
            continue
        value, reason = to_value(point, told.value)
        at = None if told.time is None else round(told.time * 1e6)
        quality = Quality.GOOD if reason is Reason.NONE else Quality.BAD
        readings.append(Reported(point.name, value, at, quality, reason))
        alarm = alarm or (point.event and bool(value))
    return Report(
        readings=tuple(readings),
        key=message.key,
        lane=Lane.EVENT if alarm else Lane.LIVE,
        unmapped=unmapped,
        repeats=message.repeats,
    )


def _shown(told: Told) -> str:
    return told.value.hex().upper() if isinstance(told.value, bytes) else str(told.value)


def encode_report(
    map: Lwm2mMap, values: Mapping[str, Value], at: int = 0, *, base: Path = (), format: int = FORMATS["tlv"]
) -> bytes:
    """The payload that says these values (by point) below ``base``; ``at`` (UTC µs) is said by formats with a time.

    0 leaves the time out. ValueError for what cannot be said.
    """
    said = {point.where: to_scalar(point, values[point.name]) for point in map.points if point.name in values}
    return encode_content(said, base, format, map.kinds, at / 1e6 if at else None)


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with an example: it must read as it says, and its values must give its bytes again."""
    map_ = profile.map
    assert isinstance(map_, Lwm2mMap)
    try:
        asked = coap.decode(example.request or example.report)
        told = coap.decode(example.reply) if example.request else asked
    except coap.CoapError as trouble:
        return [f"no CoAP message: {trouble}"]
    base: Path = ()
    if example.request:
        if asked.code != coap.GET or told.code != coap.CONTENT or told.token != asked.token:
            return ["the request is no GET, or the reply no 2.05 with its token"]
        base = parse_path("/" + "/".join(asked.path))
    elif asked.code != coap.POST or asked.path != ("dp",):
        return ["the report is no Send: POST /dp"]
    format = told.uint(coap.CONTENT_FORMAT)
    now = (example.moment or 0) / 1e6
    try:
        report = decode_report(map_, Content(base=base, format=format, payload=told.payload, now=now))
    except Lwm2mError as trouble:
        return [f"does not read: {trouble}"]
    found = compare(
        profile, example, {one.point: (one.value, code_of(one.quality, one.reason)) for one in report.readings}
    )
    if example.moment is not None and any(one.at not in (None, example.moment) for one in report.readings):
        found.append(f"its values carry another time than {example.at}")
    timed = any(one.at is not None for one in report.readings)
    return found or _backwards(profile, map_, example, told, base, timed, bool(report.unmapped))


def _backwards(
    profile: DeviceProfile, map_: Lwm2mMap, example: Example, told: coap.Message, base: Path, timed: bool, more: bool
) -> list[str]:
    """The example's values must give its payload, and the message its bytes."""
    if coap.encode(told) != (example.reply or example.report):
        return ["the CoAP message, written again, has other bytes"]
    format = told.uint(coap.CONTENT_FORMAT) or 0
    if more:
        return []  # resources that no point names cannot be said again
    moment = example.moment if timed else None
    try:
        built = encode_report(map_, encodable(profile, example), moment or 0, base=base, format=format)
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    if built != told.payload:
        return ["encoding the values gives another payload: " + built.hex(" ").upper()]
    ack = coap.encode(coap.Message(coap.ACK, coap.CHANGED, told.mid, told.token))
    return ["we would acknowledge with " + ack.hex(" ").upper()] if example.ack and example.ack != ack else []
