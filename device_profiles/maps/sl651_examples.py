"""An example of a hydrological station (SL 651-2014) held against its profile and our own codec, in both directions.

Raises nothing: what is wrong comes back as words.
"""

from device_profiles.codecs.sl651 import ESC, Frame, Reader, Sl651Error, encode
from device_profiles.codecs.sl651_body import Message
from device_profiles.codecs.sl651_elements import text_of_id
from device_profiles.codecs.sl651_messages import confirm, encode_message, parse_message
from device_profiles.codecs.sl651_packets import Assembler
from device_profiles.codecs.sl651_values import SLOTS
from device_profiles.examples import compare
from device_profiles.maps.sl651_points import SlMap
from device_profiles.maps.sl651_reports import decode_report, encode_report
from device_profiles.profiles import DeviceProfile, Example
from device_profiles.quality import Quality, code_of
from device_profiles.readings import Value
from device_profiles.reports import Report


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with an example; empty when its report is whole, says the values at the time, the same values said
    by us give the same elements, and its confirmation is the one that we owe."""
    map = profile.map
    if not isinstance(map, SlMap) or not example.report:
        return ['an example of SL 651 is a report: report = "7E 7E 01 …"']
    reader = Reader()
    frames = reader.feed(example.report) + reader.flush()
    if reader.rejects or (frame := _whole(frames)) is None:
        return [f"the report is no whole, checked message ({', '.join(reader.rejects.counts) or len(frames)})"]
    try:
        message = parse_message(frame)
    except Sl651Error as trouble:
        return [str(trouble)]
    report = decode_report(map, message)
    found = _wrong_values(profile, map, example, message, report) + _wrong_ack(map, example, message)
    return found or _backwards(map, message, report)


def _wrong_values(
    profile: DeviceProfile, map: SlMap, example: Example, message: Message, report: Report
) -> list[str]:
    """Of an array or a series, the newest value counts."""
    found = ["the report is the centre's"] if message.down else []
    newest = {one.point: one for one in report.readings}
    good = Quality.GOOD
    decoded = {
        name: (one.value if one.quality is good else None, code_of(one.quality, one.reason))
        for name, one in newest.items()
    }
    found += compare(profile, example, decoded)
    times = {one.at for one in report.readings}
    if example.moment is not None and example.moment not in times:
        found.append(f"the values carry {sorted(times, key=str)}, not {example.moment} µs")
    return found


def _whole(frames: list[Frame]) -> Frame | None:
    """The one message that these frames are; None when they are none or several."""
    if len(frames) == 1 and frames[0].packet is None:
        return frames[0]
    assembler = Assembler()
    found = [assembler.add(frame, 0).whole for frame in frames if frame.packet is not None]
    return found[-1] if len(found) == len(frames) and found and found.count(None) == len(found) - 1 else None


def _wrong_ack(map: SlMap, example: Example, message: Message) -> list[str]:
    """The confirmation carries the centre's time; all else in it is given."""
    if not example.ack:
        return []
    if map.mode == "M1":
        return ["a station of mode M1 is not answered"]
    frames = Reader().feed(example.ack)
    try:
        said = parse_message(frames[0]) if len(frames) == 1 else None
    except Sl651Error:
        said = None
    if said is None or said.sent is None:
        return ["the acknowledgement is no whole message with a time"]
    owed = encode(encode_message(confirm(message, said.sent, stay=said.end == ESC)))
    return [] if owed == example.ack else [f"we owe another acknowledgement: {owed.hex(' ').upper()}"]


def _backwards(map: SlMap, message: Message, report: Report) -> list[str]:
    """The same readings, said by us, must give the same elements; in ASCII, where decimals are free, the values."""
    values = {one.point: one.value for one in report.readings}
    series: dict[str, list[Value]] = {}
    for one in report.readings:
        series.setdefault(one.point, []).append(one.value)
    arrays = {point.name for point in map.points if point.kind in ("rain", "level")}
    hours = {name: said for name, said in series.items() if name in arrays and len(said) == SLOTS}
    try:
        again = encode_report(
            map,
            values,
            0,
            station=message.station,
            sent=message.sent,
            ascii=message.ascii,
            reasons={one.point: one.reason for one in report.readings},
            hours=hours,
        )
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    return _changed(map, message, again, values)


def _changed(map: SlMap, message: Message, again: Message, values: dict[str, Value]) -> list[str]:
    """What differs. Series are not said by us, nor sentinels; of a word, only the bits that are points."""
    if message.ascii:
        said = {one.point: one.value for one in decode_report(map, again).readings}
        changed = [name for name, value in values.items() if said.get(name) != value]
        return [f"{name}: {values[name]} comes back as {said.get(name)}" for name in changed]
    skipped = {point.code for point in map.points if point.bit is not None}
    skipped |= {point.code for point in map.points if point.sentinels and values.get(point.name) is None}
    skipped |= {item.element for item in message.items if item.step}
    before = {(item.element, item.define, item.data) for item in message.items}
    after = {(item.element, item.define, item.data) for item in again.items if item.element not in skipped}
    return [
        f"element {text_of_id(element)} would be said as {define:02X} {data.hex().upper()}; other digits or decimals?"
        for element, define, data in sorted(after - before)
    ]
