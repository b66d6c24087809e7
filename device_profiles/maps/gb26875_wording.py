"""Objects of GB/T 26875.3-2011 in words, and values put back into them: the two ends of a point that is a whole state.

A description is language-neutral and can be read back: ``1.1/40.131082 fire+fault 会议室烟感`` is system type 1,
address 1, part type 40, part address 131082, its set bits (``clear`` where none is), and the panel's own text.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from device_profiles.codecs.gb26875 import CHINA
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
from device_profiles.codecs.gb26875_units import read_text, write_text
from device_profiles.codecs.gb26875_words import PART_BITS, SYSTEM_BITS, Word, bit_keys
from device_profiles.maps.gb26875_points import FirePoint, encode_value
from device_profiles.readings import Value

CLEAR = "clear"

_DESCRIPTION = re.compile(r"\S+ (?P<bits>\S+)(?: (?P<text>.+))?\Z", re.DOTALL)
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})\Z", re.ASCII)


def subject(unit: int, one: Object) -> str:
    """What an object is about: the type of its unit, its system and its part."""
    words = [str(unit)]
    if hasattr(one, "system_type"):
        words.append(_place(one))
    if isinstance(one, PartValue):
        words.append(f"value {one.value_type}")
    return " ".join(words)


def _place(one: object) -> str:
    place = f"{getattr(one, 'system_type', '')}.{getattr(one, 'system_address', '')}"
    if hasattr(one, "part_address"):
        place += f"/{getattr(one, 'part_type', '')}.{one.part_address}"
    return place


def describe(one: Object, at: int | None) -> str:
    """What an object says, as a text."""
    if isinstance(one, PartState):
        return f"{_place(one)} {_bits(one.state, PART_BITS)} {read_text(one.text)}".rstrip()
    if isinstance(one, SystemState):
        return f"{_place(one)} {_bits(one.state, SYSTEM_BITS)}"
    if isinstance(one, PartValue):
        return str(one.value)
    text = getattr(one, "text", None)
    if isinstance(text, bytes):
        return read_text(text)
    if at is not None:
        return (datetime(1970, 1, 1) + timedelta(microseconds=at) + CHINA).isoformat()
    return " ".join(str(field) for field in msgspec.structs.astuple(one))


def _bits(state: int, bits: tuple[Word, ...]) -> str:
    return "+".join(bit_keys(state, bits)) or CLEAR


def refill(one: Object, said: Sequence[tuple[FirePoint, Value]]) -> Object:
    """The object with what it says replaced; ``said``: its points and their values, those that say most first.

    What no point says becomes 0. ValueError for a value that does not fit.
    """
    if isinstance(one, PartState | SystemState | TransmitterState):
        return _refill_state(one, said)
    if isinstance(one, SystemOperation | TransmitterOperation):
        whole = [encode_value(point, value) for point, value in said if point.bit is None]
        return msgspec.structs.replace(one, operation=_gather(said), operator=whole[0] if whole else one.operator)
    if isinstance(one, PartValue):
        return msgspec.structs.replace(one, value=encode_value(*said[0]) if said else 0)
    if isinstance(one, SystemVersion | TransmitterVersion):
        found = _VERSION.match(str(said[0][1])) if said else None
        major, minor = (int(part) for part in found.groups()) if found else (0, 0)
        return msgspec.structs.replace(one, major=major, minor=minor)
    return one


def _refill_state(one: PartState | SystemState | TransmitterState, said: Sequence[tuple[FirePoint, Value]]) -> Object:
    state = _gather(said)
    for point, value in said:
        if point.bit is None and not isinstance(one, TransmitterState):
            words = _DESCRIPTION.match(str(value))
            if words is None:
                raise ValueError(f"{point.name}: {value!r} describes no state")
            state |= _state_of(words["bits"], PART_BITS if isinstance(one, PartState) else SYSTEM_BITS)
            if isinstance(one, PartState) and (words["text"] or "") != read_text(one.text):
                one = msgspec.structs.replace(one, text=write_text(words["text"] or ""))
            break
    return msgspec.structs.replace(one, state=state)


def _gather(said: Sequence[tuple[FirePoint, Value]]) -> int:
    """The bits that are set; of two points for one bit, the one that says most about where it is."""
    bits: dict[int, int] = {}
    for point, value in said:
        if point.bit is not None:
            bits.setdefault(point.bit, encode_value(point, value))
    return sum(value << bit for bit, value in bits.items())


def _state_of(text: str, bits: tuple[Word, ...]) -> int:
    places = {word.key: place for place, word in enumerate(bits)} | {f"bit{place}": place for place in range(16)}
    state = 0
    for word in text.split("+"):
        if word != CLEAR:
            if word not in places:
                raise ValueError(f"{word!r} is no bit of a state")
            state |= 1 << places[word]
    return state
