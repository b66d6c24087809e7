"""The data segment of HJ 212 (6.3): ``QN=…;ST=…;CN=…;PW=…;MN=…;Flag=…;[PNUM=…;PNO=…;][RF=1;]CP=&&…&&``, both ways.

Lenient where the field is: any order, empty or missing values, a ``;`` too many, keys that no standard knows. Refused
(``Hj212Error``) is only what cannot be told apart: a segment without a command number.
"""

import re
from datetime import datetime, timedelta

import msgspec

CHINA = timedelta(hours=8)
"""Device time is China Standard Time, UTC+8 all year (6.3.3: QN and DataTime are local time)."""

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_OPEN = "CP=&&"
_CLOSE = "&&"

Pair = tuple[str, str]
"""One attribute: ("w01018-Rtd", "36.91")."""

Item = tuple[Pair, ...]
"""The attributes of one item, which ``,`` separates."""


class Hj212Error(ValueError):
    """A whole frame whose segment cannot be used; the text says why."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One message. Empty texts and None stand for what is not there; ``body`` holds CP item by item, in order.

    ``qn``: an opaque number, 17 digits by the standard. ``others``: header keys that no edition knows.
    """

    cn: str
    qn: str = ""
    st: str = ""
    pw: str = ""
    mn: str = ""
    flag: int | None = None
    pnum: int | None = None
    pno: int | None = None
    backfill: bool = False
    body: tuple[Item, ...] = ()
    others: dict[str, str] = {}

    @property
    def version(self) -> int:
        """The edition by its Flag (6.3.3, bits V5 to V0): 0 is 2005, 1 is 2017, 2 is 2025; 0 without a Flag."""
        return (self.flag or 0) >> 2

    @property
    def wants_ack(self) -> bool:
        """Bit A: an answer is due. Without a Flag (2005) none is."""
        return bool((self.flag or 0) & 1)

    def value(self, name: str) -> str | None:
        """The first attribute of that name in CP, None where there is none."""
        for item in self.body:
            for key, text in item:
                if key == name:
                    return text
        return None


def flag_of(version: int, ack: bool = False, parts: bool = False) -> int:
    """The Flag of an edition (0: 2005, 1: 2017, 2: 2025) with bits D (sub-packets) and A (answer wanted) (6.3.3)."""
    return version << 2 | parts << 1 | ack


def parse_segment(segment: bytes) -> Segment:
    """A message out of a frame's plaintext segment. Hj212Error when it has no CN."""
    text = _text(segment)
    head, opened, rest = text.partition(_OPEN)
    inside, _, behind = rest.rpartition(_CLOSE)
    fields = _head_fields(head if opened else text.removesuffix(_CLOSE))
    if behind:
        fields |= _head_fields(behind)  # a logger that writes keys behind CP
    cn = fields.pop("CN", "")
    if not cn:
        raise Hj212Error("the segment has no CN")
    return Segment(
        cn=cn,
        qn=fields.pop("QN", ""),
        st=fields.pop("ST", ""),
        pw=fields.pop("PW", ""),
        mn=fields.pop("MN", ""),
        flag=_number(fields.pop("Flag", "")),
        pnum=_number(fields.pop("PNUM", "")),
        pno=_number(fields.pop("PNO", "")),
        backfill=fields.pop("RF", "") == "1",  # 2025, 6.3.3 table 3: there is no RF=0
        body=parse_body(inside),
        others=fields,
    )


def encode_segment(segment: Segment) -> bytes:
    """The plaintext segment in the standard's order (6.3.3 table 3); ValueError for an attribute that would not come
    back: one with a separator in it."""
    head = [f"{key}={text}" for key, text in (("QN", segment.qn), ("ST", segment.st)) if text]
    head.append(f"CN={segment.cn}")
    head += [f"{key}={text}" for key, text in (("PW", segment.pw), ("MN", segment.mn)) if text]
    numbers = (("Flag", segment.flag), ("PNUM", segment.pnum), ("PNO", segment.pno))
    head += [f"{key}={number}" for key, number in numbers if number is not None]
    head += [f"{key}={text}" for key, text in segment.others.items()]
    if segment.backfill:
        head.append("RF=1")
    if any(";" in field or "&&" in field for field in head):
        raise ValueError(f"a separator inside the header: {';'.join(head)!r}")
    return f"{';'.join(head)};{_OPEN}{encode_body(segment.body)}{_CLOSE}".encode()


def parse_body(text: str) -> tuple[Item, ...]:
    """CP item by item (6.3.4): ``;`` between items, ``,`` between attributes, neither inside a ``//…//`` log text.

    A bare attribute (``Flag=N`` behind a ``;``) joins the item before it, whose attribute it is.
    """
    items: list[Item] = []
    for part in _split(text, ";"):
        pairs = tuple(_pair(attribute) for attribute in _split(part, ",") if attribute)
        if pairs and items and len(pairs) == 1 and pairs[0][0] in _BARE:
            items[-1] += pairs
        elif pairs:
            items.append(pairs)
    return tuple(items)


_BARE = frozenset({"Flag", "EFlag"})


def encode_body(body: tuple[Item, ...]) -> str:
    """CP's text without its ``&&``; ValueError for an attribute that holds a separator outside ``//…//``."""
    for item in body:
        for name, text in item:
            quoted = text.startswith("//") and text.endswith("//") and len(text) > 3 and "//" not in text[2:-2]
            if not name or any(mark in name for mark in _MARKS) or "=" in name:
                raise ValueError(f"no name of an attribute: {name!r}")
            if "&&" in text or "\r" in text or "\n" in text or (not quoted and any(mark in text for mark in _MARKS)):
                raise ValueError(f"{name}: {text!r} holds a separator")
    return ";".join(",".join(f"{name}={text}" for name, text in item) for item in body)


_MARKS = (",", ";", "&&", "//")


def parse_time(text: str) -> int | None:
    """DataTime, SampleTime, SystemTime …: 14 digits yyyyMMddHHmmss, or more with fractions of a second (17 in 2017 and
    2025), or fewer down to the day, all China Standard Time → UTC µs; None for what is no date."""
    if not text.isascii() or not text.isdigit() or len(text) not in _TIME_LENGTHS:
        return None
    whole = text[:14].ljust(14, "0")
    try:
        local = datetime(
            int(whole[:4]), int(whole[4:6]), int(whole[6:8]), int(whole[8:10]), int(whole[10:12]), int(whole[12:])
        )
    except ValueError:
        return None
    return (local - CHINA - _EPOCH) // _MICROSECOND + int(text[14:].ljust(6, "0"))


_TIME_LENGTHS = frozenset((8, 10, 12, *range(14, 21)))


def format_time(at: int, milliseconds: bool = False) -> str:
    """UTC µs as 14 digits of China Standard Time, or as 17 with milliseconds (QN)."""
    local = _EPOCH + CHINA + timedelta(microseconds=at)
    seconds = local.strftime("%Y%m%d%H%M%S")
    return f"{seconds}{local.microsecond // 1000:03d}" if milliseconds else seconds


def _text(segment: bytes) -> str:
    """UTF-8, which only log texts need (6.3.1); GB 18030 from loggers that never heard of it."""
    try:
        return segment.decode()
    except UnicodeDecodeError:
        return segment.decode("gb18030", "replace")


def _head_fields(text: str) -> dict[str, str]:
    fields = {}
    for field in text.split(";"):
        name, equals, value = field.partition("=")
        if equals:
            fields[name.strip()] = value.strip()
    return fields


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None


_QUOTED = re.compile(r"//.*?//", re.DOTALL)


def _split(text: str, mark: str) -> list[str]:
    if "//" not in text:
        return text.split(mark)
    hidden = _QUOTED.sub(lambda found: "\0" * len(found[0]), text)
    parts, start = [], 0
    for piece in hidden.split(mark):
        parts.append(text[start : start + len(piece)])
        start += len(piece) + 1
    return parts


def _pair(attribute: str) -> Pair:
    name, _, value = attribute.partition("=")
    return name.strip(), value.strip()
