"""What a position report of a vehicle terminal says in the words of its profile, and backwards (``jt808_points``).

Every position of a batch keeps its own time, and what was filled in after a blind zone travels as backlog, so that
it never overwrites a newer position. Without a fix there is no position: never 0, 0. Pure: the alarms that were
standing come in as an argument.
"""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from device_profiles.codecs.jt808 import Frame, Reader
from device_profiles.codecs.jt808_messages import BATCH, OK, PLATFORM_ACK, POSITION, Ack, parse_ack
from device_profiles.codecs.jt808_position import (
    BLIND_ZONE,
    Batch,
    Jt808Error,
    Position,
    encode_position,
    format_time,
    parse_batch,
    parse_position,
)
from device_profiles.codecs.jt808_words import ALARMS, EXTRAS, FIXED, SHIFTED, SOUTH, STATES, WEST
from device_profiles.examples import compare
from device_profiles.maps.jt808_points import BASE_FIELDS, SIGNED_FIELDS, TYPES, JtMap, JtPoint, raw_of
from device_profiles.maps.jt808_points import check_value as check_value
from device_profiles.maps.jt808_points import read_map as read_map
from device_profiles.profiles import DeviceProfile, Example
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported

_MEANT = 1 << FIXED | 1 << SOUTH | 1 << WEST | 1 << SHIFTED
"""Status bits that say how the position is to be read: used, whether or not a point names them."""


def positions_of(frame: Frame) -> Batch:
    """The positions in a 0200 (one) or a 0704 (any number). Jt808Error when the body is not that."""
    if frame.message == BATCH:
        return parse_batch(frame.body)
    if frame.message != POSITION:
        raise Jt808Error(f"{frame.message:04X} carries no positions")
    return Batch(0, (parse_position(frame.body),))


def decode_report(map: JtMap, message: Frame, alarms: int = 0) -> Report:
    """The readings of a 0200 or a 0704. Jt808Error when the body is not that.

    ``alarms``: the bits that stood before it (see ``alarms_after``); one that rises and that a point names makes the
    report an event. Positions of a blind zone are backlog, whatever they say.
    """
    batch = positions_of(message)
    blind = batch.kind == BLIND_ZONE and message.message == BATCH
    readings: list[Reported] = []
    unmapped = {f"broken item {number}": data.hex().upper() for number, data in enumerate(batch.broken, 1)}
    risen = 0
    for position in batch.items:
        risen |= position.alarms & ~alarms & map.alarm_mask
        alarms = position.alarms
        readings += _readings(map, position, blind)
        unmapped |= _unmapped(map, position)
    lane = Lane.BACKLOG if blind else Lane.EVENT if risen else Lane.LIVE
    return Report(readings=tuple(readings), key=_key(message, batch), lane=lane, unmapped=unmapped)


def alarms_after(message: Frame, alarms: int = 0) -> int:
    """The alarm bits that stand after a message whose predecessor left ``alarms``; a blind zone's are history."""
    batch = positions_of(message)
    if not batch.items or (message.message == BATCH and batch.kind == BLIND_ZONE):
        return alarms
    return batch.items[-1].alarms


def _key(message: Frame, batch: Batch) -> bytes:
    """What a message is known by: its positions with their times, not its serial: a terminal whose acknowledgement got
    lost repeats the report, or fills it in later inside a 0704. Without a time the serial has to tell reports apart."""
    said = message.body if len(batch.items) != 1 or batch.broken else encode_position(batch.items[0])
    dated = batch.items and all(position.at is not None for position in batch.items)
    serial = b"" if dated else message.message.to_bytes(2, "big") + message.serial.to_bytes(2, "big")
    time = batch.items[-1].time if batch.items else b""
    return serial + time + hashlib.blake2b(said, digest_size=8).digest()


def _readings(map: JtMap, position: Position, blind: bool) -> Iterable[Reported]:
    at = position.at
    doubt = blind and at is None  # filled in, and nobody knows when it was: the arrival says nothing
    trouble, extras = _trouble(position), dict(reversed(position.extras))  # of an item said twice, the first
    for point in map.points:
        said = _said(point, position, extras, trouble)
        if said is None:
            continue
        value, reason = said
        if reason is not Reason.NONE:
            yield Reported(point.name, None, at, Quality.BAD, reason)
        elif doubt:
            yield Reported(point.name, value, at, Quality.UNCERTAIN, Reason.CLOCK_DOUBTED)
        else:
            yield Reported(point.name, value, at)


def _said(point: JtPoint, position: Position, extras: dict[int, bytes], trouble: Reason) -> tuple[Value, Reason] | None:
    """A point's value, or why it has none; None when it is an extra item that is not there this time."""
    if point.field in BASE_FIELDS:
        return (None, trouble) if trouble else (_base(point, position), Reason.NONE)
    if point.field == "extra":
        data = extras.get(point.id)
        return None if data is None else _extra(point, data)
    word = position.alarms if point.field == "alarm" else position.status
    return (word if point.bit is None else word >> point.bit & 1), Reason.NONE


def _trouble(position: Position) -> Reason:
    """Why there is no position in a report; NONE when there is one."""
    if not position.fixed:
        return Reason.NO_FIX
    if position.status >> SHIFTED & 1:
        return Reason.BAD_ENCODING  # shifted by the state's plug-in: no WGS-84, and nobody outside can undo it
    if any(getattr(position, name) > BASE_FIELDS[name].highest for name in SIGNED_FIELDS):
        return Reason.OUT_OF_RANGE  # latitude and longitude exchanged, or nonsense: neither can be believed
    return Reason.NONE


def _base(point: JtPoint, position: Position) -> float:
    raw: int = getattr(position, point.field)
    south_or_west = {"latitude": SOUTH, "longitude": WEST}.get(point.field)
    if south_or_west is not None and position.status >> south_or_west & 1:
        raw = -raw
    return raw / BASE_FIELDS[point.field].steps


def _extra(point: JtPoint, data: bytes) -> tuple[Value, Reason]:
    """The value of an extra item that is there."""
    if point.type == "text":
        text = data[point.at :].strip(b"\0 ").decode("gbk", "backslashreplace")
        return (text, Reason.NONE) if text else (None, Reason.MISSING)
    if len(data) < point.size:
        return None, Reason.BAD_ENCODING
    raw = int.from_bytes(data[point.at : point.size], "big", signed=point.type[0] == "i")
    if raw in point.sentinels:
        return None, Reason.SENSOR_OPEN
    if point.bit is not None:
        return raw >> point.bit & 1, Reason.NONE
    if point.type == "sm16" and raw & 0x8000:
        raw = -(raw & 0x7FFF)
    scale, offset = point.scale, point.offset
    if offset:
        value = raw * scale + offset
        return value.numerator / value.denominator, Reason.NONE
    return raw * scale.numerator / scale.denominator, Reason.NONE  # exact, and divided once


def _unmapped(map: JtMap, position: Position) -> dict[str, str]:
    """What the terminal said and no point names: extra items, raised alarms and states, base fields."""
    found: dict[str, str] = {}
    seen: set[int] = set()
    for number, data in position.extras:
        if number not in map.by_id or number in seen:
            found[f"extra {number:02X}" + " again" * (number in seen)] = data.hex().upper()
        seen.add(number)
    if position.tail:
        found["malformed extras"] = position.tail.hex().upper()
    for bit in _bits(position.alarms & ~map.alarm_mask):
        found[f"alarm {bit}"] = ALARMS[bit].en
    for bit in _bits(position.status & ~map.status_mask & ~_MEANT):
        found[f"status {bit}"] = STATES.get(bit, {}).get("en", "reserved")
    found |= {field: str(getattr(position, field)) for field in BASE_FIELDS if field not in map.by_field}
    return found


def _bits(word: int) -> list[int]:
    return [bit for bit in range(32) if word >> bit & 1] if word else []


def encode_report(
    map: JtMap, values: Mapping[str, Value], at: int | None, *, alarms: int = 0, status: int = 0
) -> Position:
    """The position report of a terminal with these values (by point) at ``at`` (UTC µs, to the second).

    ``alarms`` and ``status``: bits beside those that points name. Without a latitude or a longitude there is no fix; an
    extra item that is None is left out, or said with its sentinel. ValueError for what cannot be said.
    """
    fixed = any(point.field in SIGNED_FIELDS and values.get(point.name) is not None for point in map.points)
    words = {"alarm": alarms, "status": status | fixed << FIXED}
    base = dict.fromkeys(BASE_FIELDS, 0)
    items: dict[int, bytearray] = {}
    for point in map.points:
        value = values.get(point.name)
        if point.field == "extra":
            if value is not None or (point.name in values and point.sentinels):
                _put(point, value, items)
        elif value is not None:
            _say(point, raw_of(point, value), base, words)
    extras = tuple((number, bytes(data)) for number, data in items.items())
    place = Position(alarms=words["alarm"], status=words["status"], time=format_time(at), extras=extras)
    return msgspec.structs.replace(place, **base)


def _say(point: JtPoint, raw: int, base: dict[str, int], words: dict[str, int]) -> None:
    """A number of the base report, or a bit or all bits of a word."""
    if point.field not in BASE_FIELDS:
        words[point.field] = _set(words[point.field], point, raw)
        return
    base[point.field] = abs(raw)
    if raw < 0:
        words["status"] |= 1 << (SOUTH if point.field == "latitude" else WEST)


def _set(word: int, point: JtPoint, raw: int) -> int:
    """The word with what a point says in it."""
    if point.bit is None:
        return word | raw
    return word & ~(1 << point.bit) | raw << point.bit


def _put(point: JtPoint, value: Value, items: dict[int, bytearray]) -> None:
    """A value into its extra item, which several points may share."""
    item = items.setdefault(point.id, bytearray())
    if point.type == "text":
        item[point.at :] = str(value).encode("gbk")
        return
    item.extend(bytes(max(0, _length(point) - len(item))))
    if value is None:
        raw = int(point.sentinels[0])
    else:
        raw = raw_of(point, value)
        if point.type == "sm16" and raw < 0:
            raw = -raw | 0x8000
    width = TYPES[point.type]
    if point.bit is not None:
        raw = _set(int.from_bytes(item[point.at : point.size], "big"), point, raw)
    item[point.at : point.size] = (raw & (1 << 8 * width) - 1).to_bytes(width, "big")


def _length(point: JtPoint) -> int:
    """Bytes of the whole item: the standard's length where it has one."""
    return max(EXTRAS.get(point.id, (0,))[0], point.size)


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with an example; empty when its report is a whole frame that says the values at the time, when
    those values said again mean the same, and when its acknowledgement is the one that we owe."""
    map_ = profile.map
    if not isinstance(map_, JtMap) or not example.report:
        return ['an example of JT/T 808 is a report: report = "7E 02 00 …"']
    reader = Reader()
    frames = reader.feed(example.report) + reader.flush()
    if len(frames) != 1 or reader.rejects:
        return [f"the report is no whole, checked frame ({', '.join(reader.rejects.counts) or len(frames)})"]
    try:
        report = decode_report(map_, frames[0])
    except Jt808Error as trouble:
        return [str(trouble)]
    decoded = {
        one.point: (one.value if one.quality is Quality.GOOD else None, code_of(one.quality, one.reason))
        for one in report.readings
    }
    found = compare(profile, example, decoded)
    times = {one.at for one in report.readings}
    if example.moment is not None and example.moment not in times:
        found.append(f"the values carry {sorted(times, key=str)}, not {example.moment} µs")
    return found + _wrong_ack(frames[0], example.ack) or _backwards(map_, report)


def _wrong_ack(frame: Frame, ack: bytes) -> list[str]:
    """The acknowledgement of an example: 8001 with the report's serial and id; the platform's own serial is its own."""
    if not ack:
        return []
    for given in Reader().feed(ack):
        told = (given.message, given.number, given.edition)
        if told == (PLATFORM_ACK, frame.number, frame.edition):
            return [] if parse_ack(given.body) == Ack(frame.serial, frame.message, OK) else ["it acknowledges another"]
    return ["the acknowledgement is no 8001 to this terminal"]


def _backwards(map_: JtMap, report: Report) -> list[str]:
    """The same readings, reported by us, must read the same."""
    last = {one.point: one for one in report.readings}
    at = next((one.at for one in reversed(report.readings)), None)
    try:
        position = encode_report(map_, {name: one.value for name, one in last.items()}, at)
        again = decode_report(map_, Frame(message=POSITION, number="", serial=0, body=encode_position(position)))
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    after = {one.point: (one.value, one.at) for one in again.readings}
    return [
        f"{name}: {one.value} comes back as {after.get(name)}"
        for name, one in last.items()
        if one.quality is Quality.GOOD and after.get(name) != (one.value, one.at)
    ]
