"""SenML JSON read and resolved at once, fast for the packs that devices send most.

No second meaning: what is taken here reads as ``senml`` reads it, all else goes there. Held by tests/laws.
"""

from operator import attrgetter

import msgspec
from msgspec import UNSET, UnsetType

from device_profiles.codecs.senml import (
    GOOD_NAMES,
    MOST_RECORDS,
    RELATIVE,
    VERSION,
    Number,
    Resolved,
    check_name,
    parse_json,
    resolve,
)


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A record that is a name and a number, perhaps with a unit and a time: what most are after the first."""

    n: str
    v: Number
    t: Number | UnsetType = UNSET
    u: str | UnsetType = UNSET


class _First(_Plain, frozen=True, kw_only=True):
    """The same that tells a base name and a base time, too."""

    bn: str
    bt: Number
    bu: str | UnsetType = UNSET
    bver: Number | UnsetType = UNSET


_FIRST = msgspec.json.Decoder(tuple[_First])
_REST = msgspec.json.Decoder(list[_Plain])
_VERSIONS = frozenset(range(VERSION + 1))  # RFC 8428, 4.4
_TIME = attrgetter("time")


def read_json(data: bytes, now: float, lwm2m: bool = False) -> list[Resolved]:
    """``resolve(parse_json(data), now, lwm2m)``, faster where all records are plain.

    ``now``: Unix seconds, for relative times. ``lwm2m``: names are paths. SenmlError as from those.
    """
    found = read_plain(data, now, lwm2m)
    return resolve(parse_json(data), now, lwm2m) if found is None else found


def read_plain(data: bytes, now: float, lwm2m: bool) -> list[Resolved] | None:
    """The same for a pack with a base name and time, of plain records.

    None: unusual, to be read with care. SenmlError for a name that is none.
    """
    first, comma, rest = data.partition(b"},")
    if not comma or b"\\" in data:
        return None
    try:  # both halves are arrays with something in them: then so is the whole, with the records of both
        plain, (head,) = _REST.decode(b"[" + rest), _FIRST.decode(first + b"}]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    none, good, start, begin, labels = UNSET, GOOD_NAMES[lwm2m], head.bt, head.bn, 2 * len(plain) + 4
    if not 0 < len(plain) < MOST_RECORDS or not (head.bver is none or head.bver in _VERSIONS):
        return None
    labels += (head.bu is not none) + (head.bver is not none)
    standing, found = "" if head.bu is none else head.bu, []
    for record in (head, *plain):
        t, unit, name = record.t, record.u, begin + record.n
        if name not in good:
            check_name(name, lwm2m)
        if unit is none:
            unit = standing
        else:
            labels += 1
        if t is none:
            time = start
        else:
            labels += 1
            time = start + t
        found.append(Resolved(name, record.v, unit, time if time >= RELATIVE else time + now))  # 4.5.3
    if data.count(b":") != labels + begin.count(":"):
        return None  # a label written twice, or a colon inside of another text
    found.sort(key=_TIME)
    return found
