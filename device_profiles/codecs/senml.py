"""SenML packs (RFC 8428), JSON and CBOR, both directions: read, resolve, encode.

Refuses what the RFC refuses (``SenmlError``): a version we do not know, a label that must be understood and is not,
two values in one record, duplicate labels, wrong types. Sans-IO: "now", which relative times need, is an argument.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

import cbor2
import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

VERSION = 10
"""The version of RFC 8428 (4.4); lower ones were drafts and read the same."""

RELATIVE = 1 << 28
"""4.5.3: a time below 2**28 counts from now, any other is Unix time."""

MOST_RECORDS = 4096
"""Of one pack; what comes over a narrow band has a dozen."""

Scalar = float | int | str | bool | bytes


class SenmlError(ValueError):
    """The bytes are no SenML pack, or one that we must not accept."""


class Resolved(msgspec.Struct, frozen=True, gc=False):
    """A record with its base fields applied (4.6). ``time``: Unix seconds; None where the record says nothing at all.

    ``value`` is None in a record that asks (LwM2M's composite read) or that carries a sum only.
    """

    name: str
    value: Scalar | None = None
    unit: str = ""
    time: float | None = None
    sum: float | None = None
    update: float | None = None


Number = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | float
"""What takes more than 64 bits is a float here, as it is for everybody else."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One record as written; ``vd`` is base64url text, in a pack of CBOR too.

    ``vlo`` is LwM2M's object link (LwM2M TS 1.1, 7.4.4).
    """

    bver: Number | UnsetType = UNSET
    bn: str | UnsetType = UNSET
    bt: Number | UnsetType = UNSET
    bu: str | UnsetType = UNSET
    bv: Number | UnsetType = UNSET
    bs: Number | UnsetType = UNSET
    n: str | UnsetType = UNSET
    u: str | UnsetType = UNSET
    v: Number | UnsetType = UNSET
    vs: str | UnsetType = UNSET
    vb: bool | UnsetType = UNSET
    vd: str | UnsetType = UNSET
    vlo: str | UnsetType = UNSET
    s: Number | UnsetType = UNSET
    t: Number | UnsetType = UNSET
    ut: Number | UnsetType = UNSET


_CBOR_LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""RFC 8428, 6, table 4."""

_CBOR_NUMBERS = {label: number for number, label in _CBOR_LABELS.items()}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*\Z")  # 4.5.1
_PATH = re.compile(r"/[0-9/]*\Z")  # LwM2M TS 1.1, 7.4.4: names are paths
_DECODER = msgspec.json.Decoder(list[Record])
_ENCODER = msgspec.json.Encoder()


def parse_json(data: bytes) -> list[Record]:
    """The records of a JSON pack (clause 5). SenmlError when it is none."""
    try:
        records = _DECODER.decode(data)
        # A label written twice is lost on the way: then saying the records again takes fewer colons than were read.
        # With a backslash a colon may be written in another way: then the slow way decides.
        plain = b"\\" not in data and _ENCODER.encode(records).count(b":") == data.count(b":")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        plain = False  # perhaps labels that we do not know; perhaps no pack at all
    return _checked(records if plain else _read_slowly(data))


def _read_slowly(data: bytes) -> list[Record]:
    """The same with the standard library, which shows every pair of an object."""
    try:
        pack = json.loads(
            data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_number, parse_int=_whole
        )
    except (ValueError, RecursionError) as trouble:
        raise SenmlError(f"no JSON: {trouble}") from None
    return _typed(pack)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a label stands twice in one record")
    return record


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond a double")
    return value


def _whole(text: str) -> float:
    """A whole number, a float beyond 64 bits."""
    value = int(text) if len(text) < 21 else _number(text)
    return value if abs(value) < 1 << 63 else _number(text)


def _typed(pack: object) -> list[Record]:
    """Records out of plain data: unknown labels are passed over, those that must be understood are not (4.4)."""
    if not isinstance(pack, list) or not all(isinstance(record, dict) for record in pack):
        raise SenmlError("no array of records")  # 4
    known = Record.__struct_fields__
    for record in pack:
        for label in record:
            if label not in known and label.endswith("_"):
                raise SenmlError(f"{label} must be understood and is not")
    try:
        return msgspec.convert(
            [{label: value for label, value in record.items() if label in known} for record in pack], list[Record]
        )
    except (msgspec.ValidationError, OverflowError) as trouble:
        raise SenmlError(str(trouble)) from None


def parse_cbor(data: bytes) -> list[Record]:
    """The records of a CBOR pack (clause 6). SenmlError when it is none."""
    try:
        pack = cbor2.loads(data, max_depth=16, allow_duplicate_keys=False)
    except (cbor2.CBORDecodeError, ValueError, TypeError, EOFError, OverflowError, RecursionError) as trouble:
        raise SenmlError(f"no CBOR: {trouble}") from None
    if not isinstance(pack, list) or not all(isinstance(record, dict) for record in pack):
        raise SenmlError("no array of maps")
    return _checked(_typed([{_cbor_label(key): _cbor_value(key, record[key]) for key in record} for record in pack]))


def _cbor_label(key: object) -> str:
    """Integers are for the registered labels; text is for all others (clause 6)."""
    if isinstance(key, int) and not isinstance(key, bool):
        return _CBOR_LABELS.get(key, f"#{key}")
    if not isinstance(key, str) or key in _CBOR_NUMBERS:
        raise SenmlError(f"a label {key!r}")
    return key


def _cbor_value(key: object, value: object) -> object:
    if isinstance(value, Decimal) or (isinstance(value, int) and abs(value) >= 1 << 63):
        try:
            value = float(value)  # a decimal fraction, tag 4 (clause 6), or a big number, tags 2 and 3
        except OverflowError:
            raise SenmlError("a number beyond a double") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise SenmlError(f"{value} is no measurement")
    if key == 8:  # data
        if not isinstance(value, bytes):
            raise SenmlError("data that is no byte string")
        return _to_base64(value)
    return value


def _checked(records: list[Record]) -> list[Record]:
    """What holds for the pack as a whole."""
    if len(records) > MOST_RECORDS:
        raise SenmlError(f"{len(records)} records; {MOST_RECORDS} at most")
    version: float | UnsetType = UNSET
    for record in records:
        if record.bver is not UNSET:
            if version is not UNSET and version != record.bver:
                raise SenmlError("more than one version in one pack")  # 4.1
            version = record.bver
    if version is not UNSET and (version > VERSION or version < 0 or version != int(version)):
        raise SenmlError(f"version {version}; {VERSION} is known")  # 4.4
    return records


GOOD_NAMES: dict[bool, set[str]] = {False: set(), True: set()}
"""Names found well-formed, of SenML and of LwM2M: a device says the same few for ever."""

_MOST_GOOD = 65_536


def check_name(name: str, lwm2m: bool) -> None:
    """4.5.1, and into GOOD_NAMES. SenmlError for a name with other characters, or for none at all."""
    if not (_PATH if lwm2m else _NAME).match(name):
        raise SenmlError(f"a name {name!r}")
    if len(GOOD_NAMES[lwm2m]) < _MOST_GOOD and len(name) < 128:
        GOOD_NAMES[lwm2m].add(name)


class _Standing:
    """The base fields as they hold for the record in hand (4.1); each stays until it is replaced."""

    __slots__ = ("name", "plain", "sum", "time", "unit", "value")

    def __init__(self) -> None:
        self.name = self.unit = ""
        self.time: float | None = None
        self.value: float | None = None
        self.sum: float | None = None
        self.plain = True

    def take(self, record: Record) -> None:
        """Replace what this record says anew."""
        self.name = self.name if record.bn is UNSET else record.bn
        self.unit = self.unit if record.bu is UNSET else record.bu
        self.time = self.time if record.bt is UNSET else record.bt
        self.value = self.value if record.bv is UNSET else record.bv
        self.sum = self.sum if record.bs is UNSET else record.bs
        self.plain = self.value is None and self.sum is None


def resolve(records: Iterable[Record], now: float, lwm2m: bool = False) -> list[Resolved]:
    """The records with their base fields applied, in order of time (4.6). SenmlError for what has no sense.

    ``now``: Unix seconds, for relative times. ``lwm2m``: names are paths, and a record may have a name only.
    """
    base, found, none, good = _Standing(), [], UNSET, GOOD_NAMES[lwm2m]
    last, ordered = -math.inf, True
    for record in records:
        bver, bn, bt, bu, bv, bs, n, u, value, vs, vb, vd, vlo, total, t, ut = astuple(record)
        if not (bn is bt is bu is bv is bs is bver is none):
            base.take(record)
            if n is u is value is vs is vb is vd is vlo is total is t is ut is none:
                continue  # base fields only (RFC 8428, 5.1.3): nothing is measured
        name = base.name if n is none else base.name + n
        if name not in good:
            check_name(name, lwm2m)
        if value is none or not base.plain or not (vs is vb is vd is vlo is total is none):
            value, total = _told(record, base, name, lwm2m)
        else:
            total = None
        time = base.time if t is none else t if base.time is None else base.time + t
        if time is not None and time < RELATIVE:
            time += now  # 4.5.3: after the addition
        ordered = ordered and (now if time is None else time) >= last
        last = now if time is None else time
        found.append(Resolved(name, value, base.unit if u is none else u, time, total, None if ut is none else ut))
    return found if ordered else sorted(found, key=lambda one: now if one.time is None else one.time)


def _told(record: Record, base: _Standing, name: str, lwm2m: bool) -> tuple[Scalar | None, float | None]:
    """(value, sum) of a record that is more than a number."""
    value, total = _value_of(record, base.value), None if record.s is UNSET else record.s
    if base.sum is not None:
        total = base.sum + (total or 0)
    if value is None and total is None and not lwm2m:
        raise SenmlError(f"{name} has no value")  # 4.2
    return value, total


def _value_of(record: Record, base: float | None) -> Scalar | None:
    """The one value of a record. SenmlError for more than one (4.2)."""
    told = record.v
    if record.vs is UNSET and record.vb is UNSET and record.vd is UNSET and record.vlo is UNSET:
        if base is None:
            return None if told is UNSET else told
        return base if told is UNSET else base + told
    values = [value for value in (told, record.vs, record.vb, record.vd, record.vlo) if value is not UNSET]
    if len(values) > 1:
        raise SenmlError("more than one value in one record")
    return _from_base64(record.vd) if record.vd is not UNSET else values[0]


def _from_base64(text: str) -> bytes:
    """4.3: base64url without padding. The other alphabet and padding are met in the field and read, too."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    if not re.fullmatch(r"[A-Za-z0-9_-]*", plain):
        raise SenmlError("data that is no base64url")
    try:
        return base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error:
        raise SenmlError("data that is no base64url") from None


def records_of(resolved: Iterable[Resolved], base_name: str = "", base_time: float | None = None) -> list[Record]:
    """Records that resolve to these, names and times told from a base in the first one.

    ValueError for a name that does not begin with the base, and for a time before 1978, which would be relative.
    """
    records: list[Record] = []
    for one in resolved:
        if not one.name.startswith(base_name):
            raise ValueError(f"{one.name!r} does not begin with {base_name!r}")
        first = not records
        told: dict[str, Any] = {
            "bn": base_name if first and base_name else UNSET,
            "bt": base_time if first and base_time is not None else UNSET,
            "n": one.name[len(base_name) :] or UNSET,
            "u": one.unit or UNSET,
            "s": UNSET if one.sum is None else one.sum,
            "t": _time(one, base_time),
            "ut": UNSET if one.update is None else one.update,
        }
        if one.value is not None:
            label = _label(one.value)
            told[label] = _to_base64(one.value) if isinstance(one.value, bytes) else one.value
        records.append(Record(**told))
    return records


def _time(one: Resolved, base: float | None) -> float | UnsetType:
    if one.time is None:
        if base is not None:
            raise ValueError(f"{one.name} has no time and the pack has a base time")
        return UNSET
    if one.time < RELATIVE:
        raise ValueError(f"{one.name}: {one.time} would be read as relative")
    return one.time - base if base is not None and one.time != base else one.time if base is None else UNSET


def _label(value: Scalar) -> str:
    if isinstance(value, bool):
        return "vb"
    if isinstance(value, str):
        return "vs"
    if isinstance(value, bytes):
        return "vd"
    if not math.isfinite(value):
        raise ValueError("SenML says no NaN and no infinity")  # clause 5
    return "v"


def encode_json(records: Iterable[Record]) -> bytes:
    """The records as a JSON pack (clause 5)."""
    return _ENCODER.encode(list(records))


def _to_base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def encode_cbor(records: Iterable[Record]) -> bytes:
    """The records as a CBOR pack (clause 6): integer labels, definite lengths."""
    pack = []
    for record in records:
        told = {name: getattr(record, name) for name in record.__struct_fields__}
        if record.vd is not UNSET:
            told["vd"] = _from_base64(record.vd)
        pack.append({_CBOR_NUMBERS.get(name, name): value for name, value in told.items() if value is not UNSET})
    return cbor2.dumps(pack)
