"""What a message of a fire transmitter says in the words of its profile, and backwards; its table: ``gb26875_points``.

States and operations are events, values are live. A bit is 1 or 0 as it was sent: "normal" (bit 0) cancels nothing, and
all bits 0 means that all is clear. Every set bit, value and record that no point names comes back as unmapped.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from device_profiles.codecs.gb26875 import (
    Command,
    Frame,
    Gb26875Error,
    Reader,
    address_bytes,
    answer,
    encode,
    read_time,
    write_time,
)
from device_profiles.codecs.gb26875_objects import (
    Object,
    PartState,
    PartValue,
    SystemOperation,
    SystemState,
    SystemVersion,
    TransmitterOperation,
    TransmitterState,
    TransmitterVersion,
)
from device_profiles.codecs.gb26875_units import Unit, encode_unit, parse_unit
from device_profiles.codecs.gb26875_words import bit_keys
from device_profiles.examples import compare, encodable
from device_profiles.maps.gb26875_points import ITEMS, FireMap, FirePoint
from device_profiles.maps.gb26875_points import check_value as check_value
from device_profiles.maps.gb26875_points import read_map as read_map
from device_profiles.maps.gb26875_wording import describe, refill, subject
from device_profiles.profiles import DeviceProfile, Example
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported

EVENTS = (1, 2, 4, 21, 24)
"""Types of units that tell of a change (8.1.1, table 3): states and operations."""

_ITEM_OF = {item.unit: word for word, item in ITEMS.items()}
_STATES = (SystemState, PartState, TransmitterState)
_OPERATIONS = (SystemOperation, TransmitterOperation)


class Raw(msgspec.Struct, frozen=True):
    """A unit that the standard does not describe, as an object that a point may be about."""

    unit_type: int
    data: bytes


class _Said:
    """What is gathered from one message."""

    def __init__(self) -> None:
        self.readings: list[Reported] = []
        self.unmapped: dict[str, str] = {}
        self._open: dict[str, dict[str, Value]] = {}

    def add(self, point: FirePoint, value: Value, at: int | None, place: str = "") -> None:
        """A value; ``place``: which system or part says it."""
        if value is None:
            self.readings.append(Reported(point.name, None, at, Quality.BAD, Reason.SENSOR_OPEN))
        else:
            self.readings.append(Reported(point.name, value, at))
        if point.bit is not None and point.says < len(ITEMS[point.item].selects):
            self._open.setdefault(point.name, {})[place] = value

    def settled(self) -> tuple[Reported, ...]:
        """Where several parts have one point, one that is not well speaks for all: a 0 beside its 1 is left out."""
        raised = {name for name, last in self._open.items() if 1 in last.values()}
        return tuple(one for one in self.readings if one.point not in raised or one.value == 1)


def decode_report(map: FireMap, message: Frame) -> Report:
    """The readings of a message with a unit. Gb26875Error when the unit is not what it says.

    Known again by its serial, its time and what it says (6.5: a repetition has the serial of the first). Where no event
    time can be read the frame's own stands in: a panel that always sends the serial 0 must not lose a second alarm.
    """
    unit = parse_unit(message.unit)
    said, told = _Said(), read_time(message.sent)
    if unit.opaque:
        _hear_raw(map, unit, said)
    for one in unit.objects:
        _hear(map, unit.type, one, told, said)
    if unit.rest and not unit.opaque:
        said.unmapped[f"{unit.type} rest"] = unit.rest.hex().upper()
    return Report(
        readings=said.settled(),
        key=_key(message, unit, told),
        lane=Lane.EVENT if unit.type in EVENTS else Lane.LIVE,
        unmapped=said.unmapped,
        repeats=message.command != Command.RESPONSE,  # an answer to a request is said once (6.4)
    )


def _key(message: Frame, unit: Unit, told: int | None) -> bytes:
    tags = [getattr(one, "time", b"") for one in unit.objects]
    time = next((tag for tag in tags if tag and read_time(tag, told) is not None), message.sent)
    if read_time(time) is None:
        return b""
    return message.serial.to_bytes(2, "little") + time + hashlib.blake2b(message.unit, digest_size=8).digest()


def _hear_raw(map: FireMap, unit: Unit, said: _Said) -> None:
    found = map.candidates(0, Raw(unit.type, unit.rest))
    text = unit.rest.hex().upper()
    if found:
        said.add(found[0], f"{unit.type:02X} {text}".strip(), None)
    elif unit.rest:
        said.unmapped[f"{unit.type}"] = text


def _hear(map: FireMap, unit: int, one: Object, told: int | None, said: _Said) -> None:
    """One object of a unit."""
    tag: bytes = getattr(one, "time", b"")
    at = read_time(tag, told) if tag else None
    points = map.candidates(unit, one)
    if isinstance(one, _STATES):
        _hear_bits(unit, one, one.state, points, at, said)
    elif isinstance(one, _OPERATIONS):
        _hear_bits(unit, one, one.operation, points, at, said)
    elif isinstance(one, PartValue) and points:
        raw, point = one.value, points[0]
        value = None if raw in point.sentinels else raw * point.scale.numerator / point.scale.denominator
        said.add(point, value, at)
    elif isinstance(one, SystemVersion | TransmitterVersion) and points:
        said.add(points[0], f"{one.major}.{one.minor}", None)
    else:
        said.unmapped[subject(unit, one)] = describe(one, at)


def _hear_bits(unit: int, one: Object, bits: int, points: list[FirePoint], at: int | None, said: _Said) -> None:
    """Each bit goes to the point that says most about where it is; what is left of a state to a point of the whole."""
    taken: set[int] = set()
    whole: FirePoint | None = None
    for point in points:
        if point.bit is None:
            whole = whole or point
        elif point.bit not in taken:
            taken.add(point.bit)
            said.add(point, bits >> point.bit & 1, at, subject(unit, one))
    if whole is not None and isinstance(one, SystemOperation | TransmitterOperation):
        said.add(whole, one.operator, at)
    elif whole is not None and (bits & ~_mask(taken) or not taken):
        said.add(whole, describe(one, at), at)
        return
    left = bits & ~_mask(taken)
    words = ITEMS[_ITEM_OF[unit]].bits
    for word in bit_keys(left, words):
        said.unmapped[f"{subject(unit, one)} {word}"] = "1"
    if not points and not bits:
        said.unmapped[subject(unit, one)] = "0"


def _mask(bits: Iterable[int]) -> int:
    return sum(1 << bit for bit in bits)


# --- backwards -------------------------------------------------------------------------------------------------------


def encode_report(
    map: FireMap,
    values: Mapping[str, Value],
    at: int,
    *,
    serial: int = 0,
    source: str = "0",
    destination: str = "0",
    like: Frame | None = None,
) -> Frame:
    """The message of a transmitter that says these values (by point) for the time ``at`` (UTC µs).

    The values must belong to units of one type; a bit that no value names is 0. ``like``: a message whose addresses,
    texts and objects are taken over, and only its values replaced. ValueError for what cannot be said.
    """
    if like is not None:
        unit = parse_unit(like.unit)
        filled = tuple(_fill(map, unit.type, one, values) for one in unit.objects)
        return msgspec.structs.replace(like, unit=encode_unit(msgspec.structs.replace(unit, objects=filled)))
    units = make_units(map, values, at)
    if len(units) != 1:
        raise ValueError(f"one message says what is of one type of unit, not of {len(units)}")
    return Frame(
        serial=serial,
        command=Command.SEND,
        source=address_bytes(source),
        destination=address_bytes(destination),
        sent=write_time(at),
        unit=encode_unit(units[0]),
    )


def make_units(map: FireMap, values: Mapping[str, Value], at: int) -> list[Unit]:
    """One unit for each type that the values belong to, with an object for each system, part or transmitter in it.

    Where a point leaves its address open, it is 1. Texts are left out: a description is a panel's, not a value's.
    """
    tag = write_time(at)
    spoken = {name: value for name, value in values.items() if not map.named(name).text}
    things: dict[tuple[object, ...], tuple[int, Object]] = {}
    for name in spoken:
        point = map.named(name)
        unit, blank = ITEMS[point.item].unit, _BLANKS[point.item](point, tag)
        things.setdefault((unit, *msgspec.structs.astuple(blank)), (unit, blank))
    found: dict[int, list[Object]] = {}
    for unit, blank in things.values():
        found.setdefault(unit, []).append(_fill(map, unit, blank, spoken))
    return [Unit(unit, tuple(objects)) for unit, objects in found.items()]


def _one(number: int | None) -> int:
    return 1 if number is None else number


_BLANKS: dict[str, Callable[[FirePoint, bytes], Object]] = {
    "system_state": lambda p, tag: SystemState(_one(p.system_type), _one(p.system_address), 0, tag),
    "part_state": lambda p, tag: PartState(*_where(p), 0, time=tag),
    "part_value": lambda p, tag: PartValue(*_where(p), p.value_type or 0, 0, tag),
    "system_operation": lambda p, tag: SystemOperation(_one(p.system_type), _one(p.system_address), 0, 0, tag),
    "transmitter_state": lambda p, tag: TransmitterState(0, tag),
    "transmitter_operation": lambda p, tag: TransmitterOperation(0, 0, tag),
}


def _where(point: FirePoint) -> tuple[int, int, int, int]:
    return _one(point.system_type), _one(point.system_address), _one(point.part_type), _one(point.part_address)


def _fill(map: FireMap, unit: int, one: Object, values: Mapping[str, Value]) -> Object:
    """The object with its bits or its value taken from the values."""
    return refill(one, [(point, values[point.name]) for point in map.candidates(unit, one) if point.name in values])


# --- examples --------------------------------------------------------------------------------------------------------


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with an example; empty when its report is a whole frame that says the values at the time, when
    those values give its bytes again, and when its acknowledgement is the one that we owe."""
    if not isinstance(profile.map, FireMap) or not example.report:
        return ['an example of GB/T 26875.3 is a report: report = "40 40 01 00 …"']
    reader = Reader()
    frames = reader.feed(example.report) + reader.flush()
    if len(frames) != 1 or reader.rejects:
        return [f"the report is no whole, checked frame ({', '.join(reader.rejects.counts) or len(frames)})"]
    try:
        report = decode_report(profile.map, frames[0])
    except Gb26875Error as trouble:
        return [str(trouble)]
    found = [f"says what no point names: {name} = {text}" for name, text in report.unmapped.items()]
    decoded = {
        one.point: (one.value if one.quality is Quality.GOOD else None, code_of(one.quality, one.reason))
        for one in report.readings
    }
    found += compare(profile, example, decoded)
    times = {one.at for one in report.readings}
    if example.moment is not None and times != {example.moment}:
        found.append(f"the values carry {sorted(times, key=str)}, not {example.moment} µs")
    return found or _backwards(profile, example, frames[0]) + _wrong_ack(example, frames[0])


def _backwards(profile: DeviceProfile, example: Example, frame: Frame) -> list[str]:
    """The example's values, put into its own objects emptied, must give its bytes again."""
    assert isinstance(profile.map, FireMap)
    try:
        again = encode(encode_report(profile.map, encodable(profile, example), 0, like=frame))
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    return [] if again == example.report else ["encoding the values gives another report: " + again.hex(" ").upper()]


def _wrong_ack(example: Example, frame: Frame) -> list[str]:
    """The confirmation that we owe; its time tag is our own business."""
    if not example.ack:
        return []
    acks = Reader().feed(example.ack)
    owed = encode(answer(frame, Command.CONFIRM, acks[0].sent if acks else frame.sent))
    return [] if owed == example.ack else [f"we owe another confirmation: {owed.hex(' ').upper()}"]
