"""What a message of a hydrological station (SL 651-2014) says in the words of its profile, and backwards.

Every reading carries the observation time that stands before its element, a slot or a step its own; without one, the
send time. Refuses nothing: elements that no point names come back as unmapped, with their digits as sent.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from device_profiles.codecs.sl651_body import EVENT, MANUAL, QUERY_MANUAL, TEST, TIMED, Item, Message, Section
from device_profiles.codecs.sl651_elements import ALARM_BITS, PICTURE, TEXT, WORD, text_of_id
from device_profiles.codecs.sl651_values import SLOT_US, SLOTS, read_item, read_word, write_hour, write_word
from device_profiles.maps.sl651_points import SlMap, SlPoint, write_point
from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported

_BY_HAND = frozenset((TEST, MANUAL, QUERY_MANUAL))
"""Said while somebody stands beside the station: a test must not be taken for a measurement (6.6.4.3, H.4.8)."""


def decode_report(map: SlMap, message: Message, alarms: int | None = None) -> Report:
    """The readings of a message of one station (see ``sl651_messages.split_stations``).

    ``alarms``: the alarm bits that the station said last, None when nobody knows; a change of them is an event, and so
    is every additional report (33). A station of mode M1 says it once.
    """
    readings: list[Reported] = []
    unmapped: dict[str, str] = {}
    for item in message.items:
        points = map.by_element.get(item.element, ())
        if not points or item.name:
            unmapped[item.name or text_of_id(item.element)] = _raw(item)
        for point in points:
            readings += _readings(point, item, message)
    readings += _text(map, message, unmapped)
    if message.picture is not None:
        unmapped[text_of_id(PICTURE)] = f"{len(message.picture)} bytes"
    if message.rest:
        unmapped[f"rest of {message.function:02X}"] = message.rest.hex().upper()
    if message.function in _BY_HAND:
        readings = [_by_hand(one) for one in readings]
    said = alarms_of(message)
    changed = said is not None and said != (alarms or 0)
    return Report(
        readings=tuple(readings),
        key=_key(message),
        lane=Lane.EVENT if message.function == EVENT or changed else Lane.LIVE,
        unmapped=unmapped,
        repeats=map.mode != "M1" or message.packet is not None,
    )


def alarms_of(message: Message) -> int | None:
    """The alarm and fault bits of element 45; None in a message without it."""
    for item in message.items:
        if item.element == WORD and (word := read_word(item)) is not None:
            return word & ALARM_BITS
    return None


def _readings(point: SlPoint, item: Item, message: Message) -> Iterator[Reported]:
    if point.bit is not None:
        word = read_word(item)
        at = message.sent if item.at is None else item.at
        if word is None:
            yield Reported(point.name, None, at, Quality.BAD, Reason.MISSING)
        else:
            yield Reported(point.name, float(word >> point.bit & 1), at)
        return
    for value, reason, at in read_item(item, message.sent, point.encoding):
        if value is not None and value in point.sentinels:
            value, reason = None, Reason.MISSING
        time = message.sent if at is None else at
        yield Reported(point.name, value, time, Quality.BAD if reason else Quality.GOOD, reason)


def _text(map: SlMap, message: Message, unmapped: dict[str, str]) -> list[Reported]:
    """A manual entry (F2F2), as it is."""
    if message.text is None:
        return []
    text = message.text.decode("gb18030", "replace")
    points = map.by_element.get(TEXT, ())
    if not points:
        unmapped[text_of_id(TEXT)] = text
    return [Reported(point.name, text, message.sent) for point in points]


def _by_hand(one: Reported) -> Reported:
    if one.quality is not Quality.GOOD:
        return one
    return msgspec.structs.replace(one, quality=Quality.UNCERTAIN, reason=Reason.MAINTENANCE)


def _raw(item: Item) -> str:
    """An element's data as sent: hex digits, in ASCII the characters."""
    return item.data.hex().upper() if item.define >= 0 else item.data.decode("utf-8", "replace")


def _key(message: Message) -> bytes:
    """Function, serial number and what is said: a retransmission keeps its serial and has a new send time (6.6.2.4,
    6.6.2.5). Where nothing tells when it was observed, the send time belongs to what is said."""
    said = hashlib.blake2b(digest_size=8)
    timed = False
    for item in message.items:
        timed = timed or item.at is not None
        said.update(b"%d;%d;%b;%b;" % (item.element, item.at or 0, item.step, item.data))
    for part in (message.text, message.picture, message.rest):
        said.update(part or b"-")
    if not timed:
        said.update(b"%d" % (message.sent or 0))
    return b"%02X%04X%b" % (message.function, message.serial, said.digest())


def encode_report(
    map: SlMap,
    values: Mapping[str, Value],
    at: int,
    *,
    station: bytes,
    centre: int = 1,
    password: int = 0,
    function: int = TIMED,
    serial: int = 1,
    sent: int | None = None,
    ascii: bool | None = None,
    reasons: Mapping[str, Reason] = {},
    hours: Mapping[str, Sequence[Value]] = {},
) -> Message:
    """What the station would say with these values (by point) observed at ``at`` (UTC µs; the wire has the minute).

    ``hours``: twelve values of each array, the last at ``at``; an array that is not there is not said. ``reasons``:
    SENSOR_OPEN is said with AA. ValueError for what cannot be said.
    """
    plain = map.ascii if ascii is None else ascii
    begin = at - (SLOTS - 1) * SLOT_US
    items = [
        _item(point.code, write_hour(list(hours[point.name]), point.kind, plain), begin)
        for point in map.points
        if point.name in hours
    ]
    items += _scalars(map, values, at, plain, reasons)
    text = next((values[p.name] for p in map.points if p.code == TEXT and p.name in values), None)
    section = Section(items=tuple(items), station=station, kind=ord(map.station_class))
    return Message(
        station=station,
        function=function,
        serial=serial,
        sent=at if sent is None else sent,
        sections=(section,) if items else (),
        text=None if text is None else str(text).encode("gb18030"),
        centre=centre,
        password=password,
        ascii=plain,
    )


def _scalars(
    map: SlMap, values: Mapping[str, Value], at: int, ascii: bool, reasons: Mapping[str, Reason]
) -> Iterator[Item]:
    """One element for each plain point, one for all bits of a word."""
    words: set[int] = set()
    for point in map.points:
        if point.name not in values or point.code == TEXT or point.kind in ("rain", "level"):
            continue
        if point.bit is not None:
            if point.code not in words:
                words.add(point.code)
                yield _item(point.code, write_word(_word(map, point.code, values), ascii), at)
            continue
        define, data = write_point(point, values[point.name], ascii)
        if reasons.get(point.name) is Reason.SENSOR_OPEN and not ascii:
            data = b"\xaa" * len(data)
        yield Item(element=point.code, define=define, data=data, at=at)


def _item(element: int, said: tuple[int, bytes], at: int) -> Item:
    return Item(element=element, define=said[0], data=said[1], at=at)


def _word(map: SlMap, element: int, values: Mapping[str, Value]) -> int | None:
    """The bits of a word; None when not one of them is known."""
    bits = [(point.bit or 0, values[point.name]) for point in map.by_element[element] if point.name in values]
    if all(value is None for _, value in bits):
        return None
    return sum(1 << bit for bit, value in bits if value)
