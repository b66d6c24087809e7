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
    Number,
    Resolved,
    SenmlError,
    check_name,
    parse_json,
    resolve,
)


class _Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A record that is a name and a number, perhaps with a unit and a time: what most are after the first."""

    n: str
    v: Number
    t: Number | UnsetType = UNSET
    u: str | UnsetType = UNSET


_DECODER = msgspec.json.Decoder(list[_Plain])
_TIME = attrgetter("time")


def read_json(data: bytes, now: float, lwm2m: bool = False) -> list[Resolved]:
    """``resolve(parse_json(data), now, lwm2m)``, faster where all records after the first are plain.

    ``now``: Unix seconds, for relative times. ``lwm2m``: names are paths. SenmlError as from those.
    """
    found = read_plain(data, now, lwm2m)
    return resolve(parse_json(data), now, lwm2m) if found is None else found


def read_plain(data: bytes, now: float, lwm2m: bool) -> list[Resolved] | None:
    """The same for a pack with a base name and time whose records after the first are plain.

    None: unusual, to be read with care. SenmlError for a name that is none.
    """
    first, comma, rest = data.partition(b"},")
    if not comma or b"\\" in data:
        return None
    try:  # both halves are arrays with something in them: then so is the whole, with the records of both
        plain, heads = _DECODER.decode(b"[" + rest), parse_json(first + b"}]")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, SenmlError):
        return None
    if len(heads) != 1 or not 0 < len(plain) < MOST_RECORDS:
        return None
    head, none, good = heads[0], UNSET, GOOD_NAMES[lwm2m]
    start, begin, standing = head.bt, head.bn, head.bu
    if start is none or begin is none or head.bv is not none or head.bs is not none:
        return None
    standing, found, labels = "" if standing is none else standing, resolve(heads, now, lwm2m), 2 * len(plain)
    for record in plain:
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
    if rest.count(b":") != labels:
        return None  # a label written twice, or a colon inside of a text
    found.sort(key=_TIME)
    return found
