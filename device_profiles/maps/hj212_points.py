"""A profile's ``[hj212]`` table: which item of which command is which point, read and checked.

A point's ``kind`` names the command that uploads it and the suffix of its attribute: "Rtd" is 2011's instant value,
"Min.Avg" 2051's mean, "Hour.Cou" 2061's total, "Day.Max" 2031's highest, "State.RS" 2021's switch, "Run.RT" 2041's
hours. What a report says is in ``maps.hj212``. Nothing is raised, all is noted.
"""

import math
from itertools import combinations
from typing import ClassVar

import msgspec

from device_profiles.codecs.hj212_segment import encode_body
from device_profiles.maps.points import check_names, check_rows, read_point_head
from device_profiles.problems import nearest
from device_profiles.profiles import Point, ProtocolMap
from device_profiles.readings import Value
from device_profiles.tables import Table

EDITIONS = {"2005": 0, "2017": 1, "2025": 2}
"""An edition and the version bits of its Flag (6.3.3)."""

COMMANDS = {"Rtd": "2011", "State": "2021", "Day": "2031", "Run": "2041", "Min": "2051", "Hour": "2061"}
"""The first word of a kind, and the command that uploads it (2017, 6.6.5)."""

SUFFIXES = {
    "Rtd": ("Rtd", "ZsRtd"),
    "State": ("RS",),
    "Run": ("RT",),
    "Min": ("Avg", "Min", "Max", "Cou", "ZsAvg", "ZsMin", "ZsMax", "Data"),
}
"""What may follow a code (2017 table 8); hours and days have what minutes have, and a day its day and night."""

_DAY_AND_NIGHT = ("DayData", "NightData")
_LONGEST = 16
"""Characters of a number: a total of N14.2 is the longest in the standard's tables."""


class HjPoint(Point, frozen=True, kw_only=True):
    """A point of an HJ 212 station. ``cn``: the command that uploads it; ``attribute``: "w01018-Rtd".

    ``also``: other spellings that are read as this attribute; ``decimals`` as they are written; ``sentinels``: numbers
    that mean "no value".
    """

    code: str
    cn: str
    suffix: str
    decimals: int = 2
    also: tuple[str, ...] = ()
    sentinels: tuple[float, ...] = ()

    @property
    def attribute(self) -> str:
        """The name of its value in CP."""
        return f"{self.code}-{self.suffix}"


class HjMap(ProtocolMap, frozen=True, kw_only=True):
    """A station's items. ``edition``: as delivered; each message tells its own by its Flag. ``st``: its system code."""

    protocol: ClassVar[str] = "hj212"

    edition: str = "2017"
    st: str = "21"
    points: tuple[HjPoint, ...] = ()
    by_attribute: dict[tuple[str, str], HjPoint] = msgspec.field(default_factory=dict)
    """(command, attribute) to point, other spellings included."""

    by_code: dict[tuple[str, str], tuple[HjPoint, ...]] = msgspec.field(default_factory=dict)
    """(command, code) to points."""


def make_map(edition: str, st: str, points: tuple[HjPoint, ...]) -> HjMap:
    """A map with its look-ups."""
    by_attribute = {(point.cn, name): point for point in points for name in (point.attribute, *point.also)}
    by_code: dict[tuple[str, str], tuple[HjPoint, ...]] = {}
    for point in points:
        by_code[point.cn, point.code] = (*by_code.get((point.cn, point.code), ()), point)
    return HjMap(edition=edition, st=st, points=points, by_attribute=by_attribute, by_code=by_code)


def read_map(table: Table) -> HjMap:
    """The ``[hj212]`` table. Mistakes are noted and the best that can be made of it is returned."""
    edition = table.choice("edition", tuple(EDITIONS), "2017")
    st = table.text("st")
    if st and not (st.isascii() and st.isdigit() and 2 <= len(st) <= 3):
        table.trouble("st", f"{st!r} is no system code: two digits, 21 surface water, 32 water pollution source …")
    rows = check_rows(table)
    points = tuple(_point(row) for row in rows)
    table.end()
    check_names(points, rows)
    for (first, _), (second, row) in combinations(zip(points, rows, strict=True), 2):
        if {first.attribute, *first.also} & {second.attribute, *second.also} and first.cn == second.cn:
            row.trouble("code", f"{second.name} is the same item as {first.name}")
    return make_map(edition, st, points)


def _point(table: Table) -> HjPoint:
    head = read_point_head(table)
    code = table.text("code")
    if code and not _sayable(code):
        table.trouble("code", f"{code!r} holds a separator", 'the item\'s code, "w01018"')
    cn, suffix = _kind(table)
    decimals = table.integer("decimals", 2, low=0, high=8)
    also = tuple(table.texts("also"))
    sentinels = tuple(table.numbers("sentinels"))
    table.end()
    return HjPoint(**head, code=code, cn=cn, suffix=suffix, decimals=decimals, also=also, sentinels=sentinels)


def _kind(table: Table) -> tuple[str, str]:
    """(command, suffix) of a kind."""
    kind = table.text("kind", "Rtd")
    word, dot, suffix = kind.partition(".")
    if not dot:
        word, suffix = ("Rtd", word) if word in SUFFIXES["Rtd"] else (word, "")
    if word not in COMMANDS:
        table.trouble("kind", f"unknown kind {kind!r}", nearest(word, COMMANDS) or '"Rtd", "Min.Avg", "Hour.Cou" …')
        return COMMANDS["Rtd"], suffix or "Rtd"
    known = SUFFIXES.get(word, SUFFIXES["Min"]) + (_DAY_AND_NIGHT if word == "Day" else ())
    if suffix not in known:
        table.trouble("kind", f"unknown suffix {suffix!r}", f"{word}. one of: {', '.join(known)}")
    return COMMANDS[word], suffix


def _sayable(code: str) -> bool:
    try:
        encode_body((((code, ""),),))
    except ValueError:
        return False
    return "-" not in code


def text_of(point: HjPoint, value: Value) -> str:
    """A value as it stands in CP, rounded to the point's decimals; ValueError when it cannot be said."""
    if point.text:
        encode_body((((point.attribute, str(value)),),))
        return str(value)
    if isinstance(value, (str, bool)) or value is None or not math.isfinite(value):
        raise ValueError(f"{point.name}: {value!r} is no number")
    text = f"{value:.{point.decimals}f}"
    if len(text) > _LONGEST:
        raise ValueError(f"{point.name}: {text} is longer than {_LONGEST} characters")
    return text


def check_value(point: Point, value: Value) -> None:
    """ValueError when the point cannot say the value; None is said with Flag B."""
    if not isinstance(point, HjPoint):
        raise TypeError(f"{point.name} is no point of an HJ 212 station")
    if value is not None:
        text_of(point, value)
