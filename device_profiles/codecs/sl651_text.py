"""Bodies in ASCII (6.6.2): names and values with a space behind each, "M" for a value that is missing.

Names are those of table C.1; an extension is its four hex digits. Times, addresses and step codes stand as names too
(TT, ST, DRxnn). What cannot be read stays in ``rest``; only a body without serial and send time is refused.
"""

import re
from collections.abc import Iterator

from device_profiles.codecs.sl651 import Frame, Sl651Error
from device_profiles.codecs.sl651_body import (
    CLASSED,
    QUERY_ELEMENTS,
    QUERY_PERIOD,
    WITH_ELEMENTS,
    Item,
    Message,
    Section,
    check_serial,
    format_time,
    parse_time,
)
from device_profiles.codecs.sl651_elements import BY_NAME, CLASSES, ELEMENTS, EXTENSION, PICTURE, TEXT

_HEAD = 16
"""Serial (4) and send time (12); no space behind them (6.6.2.1)."""

MISSING = b"M"

_EXTENSION = re.compile(r"FF[0-9A-F]{2}\Z")
_STEP = re.compile(r"DR([DHN])(\d\d)\Z")
_NUMBER = re.compile(rb"[+-]?\d+(?:\.\d*)?\Z")
_UNITS = "DHN"
"""Days, hours, minutes: the order of the three BCD bytes in HEX (tables C.2, C.3)."""


def read_body(frame: Frame) -> Message:
    """The message in an ASCII frame. Sl651Error without serial number and send time."""
    body = frame.body
    head = body[:_HEAD].decode("ascii", "replace")
    if len(head) < _HEAD or not re.fullmatch(r"[0-9A-Fa-f]{4}\d{12}", head, re.ASCII):
        raise Sl651Error(f"{head!r}: no serial number and send time")
    reading = _Reading(frame)
    text, picture = reading.run()
    return Message(
        station=frame.station,
        function=frame.function,
        serial=int(head[:4], 16),
        sent=parse_time(head[4:]),
        sections=reading.sections(),
        text=text,
        picture=picture,
        seen=None if picture is None else reading.at,
        span=reading.span,
        rest=body[reading.place :],
        centre=frame.centre,
        password=frame.password,
        down=frame.down,
        end=frame.end,
        packet=frame.packet,
        ascii=True,
    )


class _Reading:
    """One pass over a body; ``place``: how far it got."""

    def __init__(self, frame: Frame) -> None:
        self._body = frame.body
        self._function = frame.function
        self._down = frame.down
        self._station = b""
        self._kind = 0
        self._items: list[Item] = []
        self._done: list[Section] = []
        self.at: int | None = None
        self.span: tuple[str, str] | None = None
        self.place = _HEAD

    def sections(self) -> tuple[Section, ...]:
        """What was read, by stations."""
        last = Section(items=tuple(self._items), station=self._station, kind=self._kind)
        return (*self._done, last) if last.items or last.station else tuple(self._done)

    def run(self) -> tuple[bytes | None, bytes | None]:
        """Read as far as it can be read; (manual text, picture)."""
        if self._down and self._function == QUERY_PERIOD:
            hours = [self._take().decode("ascii", "replace") for _ in range(2)]
            self.span = hours[0], hours[1]
        while self.place < len(self._body):
            start = self.place
            name = self._take().decode("ascii", "replace")
            if name == ELEMENTS[TEXT].name:  # as it is, to the end (6.4.1)
                return self._remainder(), None
            if name == ELEMENTS[PICTURE].name:
                return None, self._remainder()
            if name and not self._one(name):
                self.place = start
                break
        return None, None

    def _remainder(self) -> bytes:
        found, self.place = self._body[self.place :], len(self._body)
        return found

    def _take(self) -> bytes:
        """The next word and the space behind it."""
        end = self._body.find(b" ", self.place)
        end = len(self._body) if end < 0 else end
        word = self._body[self.place : end]
        self.place = min(end + 1, len(self._body))
        return word

    def _peek(self) -> bytes:
        place = self.place
        word = self._take()
        self.place = place
        return word

    def _one(self, name: str) -> bool:
        """Read one group; False when it cannot be read."""
        if name == "TT":
            self.at = parse_time(self._take().decode("ascii", "replace"))
            return True
        if name == "ST":
            return self._address()
        if self._function not in WITH_ELEMENTS:
            return False
        step = _STEP.match(name)
        if step is not None:
            self._series(step[1], step[2])
            return True
        value = b"" if self._asked() or _names(self._peek()) else self._take()
        self._items.append(_item(name, value, self.at))
        return True

    def _asked(self) -> bool:
        return self._down and self._function in (QUERY_ELEMENTS, QUERY_PERIOD)

    def _address(self) -> bool:
        try:
            station = bytes.fromhex(self._peek().decode("ascii", "replace"))
        except ValueError:
            return False
        if len(station) != 5:
            return False
        self._take()
        if self._station:
            self._done.append(Section(items=tuple(self._items), station=self._station, kind=self._kind))
            self._items = []
        self._station, self._kind = station, 0
        letter = self._peek()
        if not self._down and len(letter) == 1 and (self._function in CLASSED or letter.decode("latin1") in CLASSES):
            self._kind = self._take()[0]
        return True

    def _series(self, unit: str, count: str) -> None:
        """DRxnn, the names, then a group of values for each time (6.6.4.4 b to d)."""
        step = bytes(int(count, 16) if unit == one else 0 for one in _UNITS)  # "05" is the BCD byte 05
        names = []
        while self.place < len(self._body) and _names(self._peek()):
            names.append(self._take().decode("ascii"))
        values = [word for word in self._remainder().split(b" ") if word]
        for place, name in enumerate(names):
            self._items.append(_item(name, b" ".join(values[place :: len(names)]), self.at, step))
        if not names:
            self._items.append(_item(f"DR{unit}{count}", b" ".join(values), self.at))


def _names(word: bytes) -> bool:
    """True for a word that is a name, not a value."""
    text = word.decode("ascii", "replace")
    return text != "M" and not _NUMBER.match(word) and (text in BY_NAME or bool(_EXTENSION.match(text)))


def _item(name: str, value: bytes, at: int | None, step: bytes = b"") -> Item:
    known = BY_NAME.get(name) or BY_NAME.get(name.upper())
    if known is not None:
        return Item(element=known.id, data=value, at=at, step=step)
    if _EXTENSION.match(name.upper()):
        return Item(element=int(name, 16), data=value, at=at, step=step)
    return Item(element=0, data=value, at=at, step=step, name=name)


def write_body(message: Message) -> bytes:
    """The body of a message in ASCII. ValueError for what cannot be said."""
    words = list(_words(message))
    head = f"{check_serial(message.serial):04X}{format_time(message.sent)}".encode()
    body = head + b"".join(word + b" " for word in words)
    if message.text is not None:
        body += ELEMENTS[TEXT].name.encode() + b" " + message.text
    if message.picture is not None:
        body += ELEMENTS[PICTURE].name.encode() + b" " + message.picture
    return body + message.rest


def _words(message: Message) -> Iterator[bytes]:
    if message.span is not None:
        yield from (hour.encode() for hour in message.span)
    last: int | None = None
    for section in message.sections:
        if section.station:
            yield from (b"ST", section.station.hex().upper().encode())
            if section.kind:
                yield bytes([section.kind])
        for item in section.items:
            if item.at is not None and item.at != last:
                yield from (b"TT", format_time(item.at, 10).encode())
                last = item.at
            if item.step:
                yield _step_word(item.step)
            yield name_of(item).encode()
            if item.data:
                yield item.data
    if message.seen is not None and message.seen != last:
        yield from (b"TT", format_time(message.seen, 10).encode())


def _step_word(step: bytes) -> bytes:
    """The step code of three BCD bytes; all zero is DRH00, of which hours are made (table C.1, note g)."""
    for unit, count in zip(_UNITS, step, strict=True):
        if count:
            return b"DR%c%02X" % (unit.encode(), count)
    return b"DRH00"


def name_of(item: Item) -> str:
    """An element's name in ASCII. ValueError when it has none."""
    known = ELEMENTS.get(item.element)
    if known is not None:
        return known.name
    if item.element >> 8 == EXTENSION:
        return f"{item.element:04X}"
    if item.name and not item.element:
        return item.name
    raise ValueError(f"element {item.element:02X} has no name in ASCII")
