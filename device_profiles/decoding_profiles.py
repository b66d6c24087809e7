"""A frame that a person brings, decoded by the profile of its model, whatever it speaks (Modbus: see ``decoding``).

A meter's answer says what it carries, so its request is not needed; a device that calls says everything itself. Refuses
(``DecodingError``) what is no whole, checked frame, and what says nothing that the profile knows.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from device_profiles.decoding import Decoded, DecodingError, Row
from device_profiles.framing import Rejects
from device_profiles.profiles import DeviceProfile, ProtocolMap
from device_profiles.protocols import ASKED, asked_module_of
from device_profiles.quality import Quality, Reason, split_code
from device_profiles.reports import Report

F = TypeVar("F")


def decode_frame(profile: DeviceProfile, data: bytes) -> Decoded:
    """Every value in the frames of ``data``. DecodingError, in words, when there is none."""
    if profile.protocol == "serial":
        return _described(profile, data)
    if profile.protocol in ASKED:
        return _answers(profile, data)
    reports = _OPENERS[profile.protocol](profile.map, data)
    rows = [row for report in reports for row in _report_rows(profile, report)]
    if not rows:
        raise DecodingError(f"the frame says nothing that {profile.model} has a point for")
    return Decoded("", f"{len(reports)} messages", 0, rows)


def _answers(profile: DeviceProfile, data: bytes) -> Decoded:
    """Answers of a unit that is asked: each is offered to every read of the plan until one knows it."""
    module = asked_module_of(profile.protocol)
    units: list[str] = []
    rows: list[Row] = []
    for stray in module.sort_strays(data):
        if stray.unit is None:
            continue
        units.append(str(stray.unit))
        for read in module.plan_reads(profile.map, str(stray.unit), profile.points, lambda point: point.period):
            exchange = read.exchange()
            exchange.feed(stray.data)
            answer = exchange.take(silent=True)
            if answer is None:
                continue
            if answer.exception:
                raise DecodingError(f"unit {stray.unit} refuses: error {answer.exception:#04x}")
            values, codes = read.decode(answer.data)
            for point, value, code in zip(read.points, values, codes, strict=True):
                quality, reason = split_code(code)
                shown = None if quality is Quality.BAD else value
                rows.append(Row(point.name, shown, point.unit, quality.word, _word(reason)))
            break
    if not units:
        raise DecodingError(f"no whole, checked answer in {profile.protocol}")
    if not rows:
        raise DecodingError(f"unit {', '.join(units)} answers something that {profile.model} has no point for")
    return Decoded(", ".join(dict.fromkeys(units)), "an item", 0, rows)


def _described(profile: DeviceProfile, data: bytes) -> Decoded:
    """The first whole frame of a described protocol, of whatever unit it is."""
    from device_profiles.codecs.serial_line import LineReader
    from device_profiles.maps.serial import SerialMap

    assert isinstance(profile.map, SerialMap)
    reader = LineReader(profile.map.layout)
    reader.buffer += data
    before, size = reader.next()
    if not size:
        raise DecodingError(f"no whole, checked frame of a {profile.model}")
    frame = bytes(reader.buffer[before : before + size])
    rows = []
    for point, (value, reason) in zip(profile.points, profile.map.layout.decode(frame), strict=True):
        quality = Quality.BAD if reason else Quality.GOOD
        rows.append(Row(point.name, value, point.unit, quality.word, _word(reason)))
    return Decoded(profile.map.layout.unit_of(frame) or "", "a frame", 0, rows)


def _word(reason: Reason) -> str:
    return reason.word if reason else ""


def _report_rows(profile: DeviceProfile, report: Report) -> list[Row]:
    rows = [
        Row(one.point, one.value, profile.point(one.point).unit, one.quality.word, _word(one.reason))
        for one in report.readings
    ]
    return rows + [Row(name, text, "", "", "unmapped") for name, text in report.unmapped.items()]


def _hj212(map_: ProtocolMap, data: bytes) -> list[Report]:
    from device_profiles.codecs.hj212 import Reader
    from device_profiles.codecs.hj212_segment import Hj212Error, parse_segment
    from device_profiles.maps.hj212 import decode_report
    from device_profiles.maps.hj212_points import HjMap

    assert isinstance(map_, HjMap)
    try:
        return [decode_report(map_, parse_segment(frame.segment)) for frame in _cut(Reader(), data)]
    except Hj212Error as trouble:
        raise DecodingError(str(trouble)) from None


def _gb26875(map_: ProtocolMap, data: bytes) -> list[Report]:
    from device_profiles.codecs.gb26875 import Gb26875Error, Reader
    from device_profiles.maps.gb26875 import decode_report
    from device_profiles.maps.gb26875_points import FireMap

    assert isinstance(map_, FireMap)
    try:
        return [decode_report(map_, frame) for frame in _cut(Reader(), data)]
    except Gb26875Error as trouble:
        raise DecodingError(str(trouble)) from None


def _jt808(map_: ProtocolMap, data: bytes) -> list[Report]:
    from device_profiles.codecs.jt808 import Reader
    from device_profiles.codecs.jt808_position import Jt808Error
    from device_profiles.maps.jt808 import decode_report
    from device_profiles.maps.jt808_points import JtMap

    assert isinstance(map_, JtMap)
    try:
        return [decode_report(map_, frame) for frame in _cut(Reader(), data)]
    except Jt808Error as trouble:
        raise DecodingError(str(trouble)) from None


def _sl651(map_: ProtocolMap, data: bytes) -> list[Report]:
    from device_profiles.codecs.sl651 import Reader, Sl651Error
    from device_profiles.codecs.sl651_messages import parse_message
    from device_profiles.maps.sl651 import decode_report
    from device_profiles.maps.sl651_points import SlMap

    assert isinstance(map_, SlMap)
    try:
        return [decode_report(map_, parse_message(frame)) for frame in _cut(Reader(), data)]
    except Sl651Error as trouble:
        raise DecodingError(str(trouble)) from None


def _payload(map_: ProtocolMap, data: bytes) -> list[Report]:
    """The payload itself, or a whole CoAP message that carries it."""
    from device_profiles.codecs import coap
    from device_profiles.codecs.payload import compile_layout
    from device_profiles.codecs.payload_layout import PayloadError
    from device_profiles.maps.payload import decode_report
    from device_profiles.maps.payload_table import PayloadMap

    assert isinstance(map_, PayloadMap)
    codec = compile_layout(map_.layout)
    try:
        return [decode_report(map_, codec.parse(coap.decode(data).payload if map_.transport == "coap" else data))]
    except (PayloadError, coap.CoapError) as trouble:
        raise DecodingError(str(trouble)) from None


def _lwm2m(map_: ProtocolMap, data: bytes) -> list[Report]:
    """A Send (POST /dp): a notification alone does not say which path it is of."""
    from device_profiles.codecs import coap
    from device_profiles.codecs.lwm2m import Content, Lwm2mError
    from device_profiles.maps.lwm2m import Lwm2mMap, decode_report

    assert isinstance(map_, Lwm2mMap)
    try:
        told = coap.decode(data)
        content = Content(base=(), format=told.uint(coap.CONTENT_FORMAT), payload=told.payload, now=0.0)
        return [decode_report(map_, content)]
    except (Lwm2mError, coap.CoapError) as trouble:
        raise DecodingError(str(trouble)) from None


class _Cuts(Protocol[F]):
    rejects: Rejects

    def feed(self, data: bytes) -> list[F]: ...
    def flush(self) -> list[F]: ...


def _cut(reader: _Cuts[F], data: bytes) -> list[F]:
    """The whole frames in the bytes; DecodingError when there is none, or when there is more than frames."""
    frames = reader.feed(data) + reader.flush()
    if not frames or reader.rejects:
        why = ", ".join(reader.rejects.counts) or "too short"
        raise DecodingError(f"no whole, checked frames ({why})")
    return frames


_OPENERS: dict[str, Callable[[ProtocolMap, bytes], list[Report]]] = {
    "hj212": _hj212,
    "gb26875": _gb26875,
    "jt808": _jt808,
    "sl651": _sl651,
    "payload": _payload,
    "lwm2m": _lwm2m,
}
