"""What a message of an HJ 212 station says in the words of its profile, and backwards; its table: ``hj212_points``.

Every measurement keeps the time that the device gave it: the sample's where it has one (SampleTime), else DataTime,
which for minutes, hours and days is the *start* of the period (6.6.5). What no point names comes back as unmapped.
"""

import hashlib
import math
import re
from collections.abc import Mapping

from device_profiles.codecs.hj212 import Reader, encode, frame
from device_profiles.codecs.hj212_commands import REALTIME, ack_of, is_data
from device_profiles.codecs.hj212_segment import (
    Hj212Error,
    Item,
    Segment,
    encode_segment,
    flag_of,
    format_time,
    parse_segment,
    parse_time,
)
from device_profiles.examples import compare
from device_profiles.maps.hj212_points import EDITIONS, HjMap, HjPoint, text_of
from device_profiles.maps.hj212_points import check_value as check_value
from device_profiles.maps.hj212_points import read_map as read_map
from device_profiles.profiles import DeviceProfile, Example
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Lane, Value
from device_profiles.reports import Report, Reported

FLAGS = {
    "N": (Quality.GOOD, Reason.NONE),
    "F": (Quality.UNCERTAIN, Reason.STOPPED),
    "M": (Quality.UNCERTAIN, Reason.MAINTENANCE),
    "S": (Quality.UNCERTAIN, Reason.MAINTENANCE),
    "C": (Quality.UNCERTAIN, Reason.MAINTENANCE),
    "D": (Quality.UNCERTAIN, Reason.DEVICE_FAULT),
    "T": (Quality.UNCERTAIN, Reason.OUT_OF_RANGE),
    "B": (Quality.BAD, Reason.INSTRUMENT_SILENT),
}
"""The data flags (2017 table 9): normal, stopped, maintained, set by hand, calibrated, faulty, out of range, no answer
from the instrument. Only N goes into means."""

LETTERS = {Reason.STOPPED: "F", Reason.MAINTENANCE: "M", Reason.DEVICE_FAULT: "D", Reason.OUT_OF_RANGE: "T"}
"""Backwards; a value that is not there is said with B."""

_STRANGE = (Quality.UNCERTAIN, Reason.BAD_ENCODING)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
_NOTHING = frozenset({"", "-", "--", "NULL", "null", "NaN", "nan", "NA", "N/A"})
_ATTRIBUTES = ("Flag", "SampleTime")


def decode_report(map: HjMap, message: Segment, history: bool = False) -> Report:
    """The readings of an uploaded message; ``history``: it answers a question of ours.

    Known again by command, request number, packet number and what it says: a station whose QN stands still loses
    nothing. A message that wants no acknowledgement is not said again.
    """
    stated: dict[str, str] = {}
    for item in message.body:
        stated.update(item)
    at = parse_time(stated.get("DataTime", ""))
    readings: list[Reported] = []
    there: set[str] = set()
    unmapped: dict[str, str] = {}
    for item in message.body:
        for name, text in item:
            point = map.by_attribute.get((message.cn, name))
            if point is not None and point.name not in there:
                there.add(point.name)
                readings.append(_reading(point, text, item, stated, at))
            elif name != "DataTime" and (point is not None or not _belongs(map, message.cn, name)):
                unmapped[name] = text
    readings += _silent(map, message.cn, stated, at, there)
    return Report(
        readings=tuple(readings),
        key=_key(message),
        lane=Lane.BACKLOG if message.backfill or history else Lane.LIVE,
        unmapped=unmapped,
        repeats=message.wants_ack,
    )


def _belongs(map: HjMap, cn: str, name: str) -> bool:
    """True for a Flag or a SampleTime of an item that the profile knows: it has been used."""
    code, _, suffix = name.rpartition("-")
    return suffix in _ATTRIBUTES and (not code or (cn, code) in map.by_code)


def _key(message: Segment) -> bytes:
    said = hashlib.blake2b(repr(message.body).encode(), digest_size=8).hexdigest()
    number = "" if message.pno is None else message.pno
    return f"{message.cn};{message.qn};{number};{said}".encode()


def _reading(point: HjPoint, text: str, item: Item, stated: Mapping[str, str], at: int | None) -> Reported:
    """One value with its own flag and, where it has one, its own time."""
    sampled = parse_time(stated.get(f"{point.code}-SampleTime", ""))
    time = at if sampled is None else sampled
    letter = stated.get(f"{point.code}-Flag") or dict(item).get("Flag") or "N"
    quality, reason = FLAGS.get(letter.upper(), _STRANGE)
    if quality is Quality.BAD:
        return Reported(point.name, None, time, quality, reason)
    value, trouble = _value(point, text)
    if trouble is not Reason.NONE:
        return Reported(point.name, None, time, Quality.BAD, reason or trouble)
    return Reported(point.name, value, time, quality, reason)


def _value(point: HjPoint, text: str) -> tuple[Value, Reason]:
    if point.text:
        return (text, Reason.NONE) if text else (None, Reason.MISSING)
    if text in _NOTHING:
        return None, Reason.MISSING
    if not _NUMBER.match(text) or not math.isfinite(value := float(text)):
        return None, Reason.BAD_ENCODING
    return (None, Reason.MISSING) if value in point.sentinels else (value, Reason.NONE)


def _silent(map: HjMap, cn: str, stated: Mapping[str, str], at: int | None, there: set[str]) -> list[Reported]:
    """Points of items that come with a flag and without a value: the flag says why there is none."""
    found = []
    for name, letter in stated.items():
        code, _, suffix = name.rpartition("-")
        if suffix != "Flag" or letter.upper() in ("N", ""):
            continue
        points = map.by_code.get((cn, code), ())
        if not there.intersection(point.name for point in points):
            reason = FLAGS.get(letter.upper(), _STRANGE)[1]
            found += [Reported(point.name, None, at, Quality.BAD, reason) for point in points]
    return found


def encode_report(
    map: HjMap,
    values: Mapping[str, Value],
    at: int,
    *,
    cn: str = REALTIME,
    qn: str = "",
    pw: str = "123456",
    mn: str = "",
    edition: str = "",
    flags: Mapping[str, str] = {},
    ack: bool = True,
    backfill: bool = False,
) -> Segment:
    """What a station with these values (by point) would upload with the command ``cn`` for the time ``at`` (UTC µs).

    Only points of that command are said. None is said as stations do: a 0 that Flag B takes back. ``flags``: letters
    by point. The 2005 edition has neither QN nor Flag unless ``qn`` is given. ValueError for what cannot be said.
    """
    version = EDITIONS[edition or map.edition]
    flag = flag_of(version, ack=ack) if version or qn else None
    body = ((("DataTime", format_time(at)),), *_items(map, values, cn, flags))
    return Segment(cn=cn, qn=qn, st=map.st, pw=pw, mn=mn, flag=flag, backfill=backfill, body=body)


def _items(map: HjMap, values: Mapping[str, Value], cn: str, flags: Mapping[str, str]) -> list[Item]:
    """One item for each code: its values, and its flag."""
    items: dict[str, list[tuple[str, str]]] = {}
    letters: dict[str, str] = {}
    for point in map.points:
        if point.cn != cn or point.name not in values:
            continue
        value = values[point.name]
        text = text_of(point, ("" if point.text else 0.0) if value is None else value)
        items.setdefault(point.code, []).append((point.attribute, text))
        letters[point.code] = "B" if value is None else flags.get(point.name, "N")
    return [(*pairs, (f"{code}-Flag", letters[code])) for code, pairs in items.items()]


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with an example; empty when its report is a whole frame that says the values at the time, when
    those values said again mean the same, and when its acknowledgement is the one that we owe."""
    if not isinstance(profile.map, HjMap) or not example.report:
        return ['an example of HJ 212 is a report: report_text = "##0101QN=…&&1C80\\r\\n"']
    reader = Reader()
    frames = reader.feed(example.report) + reader.flush()
    if len(frames) != 1 or reader.rejects:
        return [f"the report is no whole, checked frame ({', '.join(reader.rejects.counts) or len(frames)})"]
    try:
        message = parse_segment(frames[0].segment)
    except Hj212Error as trouble:
        return [str(trouble)]
    found = [] if is_data(message) else [f"{message.cn} uploads no data"]
    if message.st != profile.map.st:
        found.append(f"the report is of ST={message.st}, the table says {profile.map.st}")
    report = decode_report(profile.map, message)
    decoded = {
        one.point: (one.value if one.quality is Quality.GOOD else None, code_of(one.quality, one.reason))
        for one in report.readings
    }
    found += compare(profile, example, decoded)
    found += _wrong_time(example, message, report)
    acked = encode(frame(encode_segment(ack_of(message)), frames[0].swapped))
    if example.ack and example.ack != acked:
        found.append(f"we owe another acknowledgement: {acked.decode()!r}")
    return found or _backwards(profile.map, message, report)


def _wrong_time(example: Example, message: Segment, report: Report) -> list[str]:
    if example.moment is None:
        return []
    times = {one.at for one in report.readings} | {parse_time(message.value("DataTime") or "")}
    return [] if example.moment in times else [f"the values carry {sorted(times, key=str)}, not {example.moment} µs"]


def _backwards(map: HjMap, message: Segment, report: Report) -> list[str]:
    """The same readings, uploaded by us, must read the same."""
    values = {one.point: one.value for one in report.readings}
    flags = {one.point: LETTERS.get(one.reason, "N") for one in report.readings}
    time = parse_time(message.value("DataTime") or "") or 0
    try:
        again = encode_report(map, values, time, cn=message.cn, qn=message.qn, mn=message.mn, flags=flags)
        said = decode_report(map, parse_segment(encode_segment(again)))
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    before = {one.point: (one.value, one.quality) for one in report.readings}
    after = {one.point: (one.value, one.quality) for one in said.readings}
    return [
        f"{name}: {value} comes back as {after.get(name, (None,))[0]}; more decimals?"
        for name, (value, _) in before.items()
        if after.get(name) != before[name]
    ]
