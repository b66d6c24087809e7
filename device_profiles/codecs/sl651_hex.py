"""Bodies in HEX/BCD (6.6.3): identifiers of a lead byte and a definition byte, data behind them, no separators.

The definition byte says how long the data are (table 26), never a table: element 39 comes as 23, 1A and 22. What cannot
be read stays in ``rest``; only a body without serial and send time is refused.
"""

from device_profiles.codecs.sl651 import Frame, Sl651Error
from device_profiles.codecs.sl651_body import (
    CLASSED,
    QUERY_ELEMENTS,
    QUERY_PERIOD,
    QUERY_STATE,
    SET_CARD,
    WITH_ELEMENTS,
    Item,
    Message,
    Section,
    check_serial,
    format_time,
    parse_time,
)
from device_profiles.codecs.sl651_elements import (
    ADDRESS,
    BATCH,
    EXTENSION,
    LEVELS,
    PICTURE,
    RAIN,
    STEP,
    TEXT,
    TIME,
    WORD,
)

_HEAD = 8
"""Serial (2) and send time (6)."""

STEP_DEFINE = 0x18
_SLOTS = {RAIN: 12, **dict.fromkeys(LEVELS, 24)}
"""Bytes of the hour's twelve values (table C.1)."""


def read_body(frame: Frame) -> Message:
    """The message in a HEX frame. Sl651Error without serial number and send time."""
    body = frame.body
    if len(body) < _HEAD:
        raise Sl651Error(f"{len(body)} bytes: no serial number and send time")
    reading = _Reading(frame)
    text, picture = reading.run()
    return Message(
        station=frame.station,
        function=frame.function,
        serial=body[0] << 8 | body[1],
        sent=parse_time(body[2:_HEAD].hex()),
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
        ascii=False,
    )


class _Reading:
    """One pass over a body; ``place``: how far it got."""

    def __init__(self, frame: Frame) -> None:
        self._body = frame.body
        self._function = frame.function
        self._down = frame.down
        self.at: int | None = None
        self._station = b""
        self._kind = 0
        self._items: list[Item] = []
        self._done: list[Section] = []
        self.span: tuple[str, str] | None = None
        self.place = _HEAD

    def sections(self) -> tuple[Section, ...]:
        """What was read, by stations."""
        last = Section(items=tuple(self._items), station=self._station, kind=self._kind)
        return (*self._done, last) if last.items or last.station else tuple(self._done)

    def run(self) -> tuple[bytes | None, bytes | None]:
        """Read as far as it can be read; (manual text, picture)."""
        body, size = self._body, len(self._body)
        if self._down and self._function == QUERY_PERIOD and size >= _HEAD + 8:
            hours = body[_HEAD : _HEAD + 8].hex()  # table 44: first and last hour
            self.span = hours[:8], hours[8:]
            self.place += 8
        while self.place + 1 < size:
            lead, define = body[self.place], body[self.place + 1]
            if lead == define == TEXT:  # notes c, d: to the end, whatever its length
                found, self.place = body[self.place + 2 :], size
                return found, None
            if lead == define == PICTURE:
                found, self.place = body[self.place + 2 :], size
                return None, found
            if not self._one(lead, define):
                break
        return None, None

    def _one(self, lead: int, define: int) -> bool:
        """Read one group; False when it cannot be read."""
        if lead == define == TIME:
            return self._time()
        if lead == define == ADDRESS:
            return self._address()
        if self._function not in WITH_ELEMENTS:
            return False
        if lead == STEP and define == STEP_DEFINE:
            return self._series()
        if lead == BATCH:
            return self._put(lead, define, self.place + 2, len(self._body) - self.place - 2)
        head = self._identifier(self.place)
        if head is None:
            return False
        element, define, start = head
        return self._put(element, define, start, 0 if self._asked() else size_of(element, define))

    def _asked(self) -> bool:
        """True in a question: identifiers stand without data (tables 44, 48)."""
        return self._down and self._function in (QUERY_ELEMENTS, QUERY_PERIOD)

    def _time(self) -> bool:
        end = self.place + 7
        if end > len(self._body):
            return False
        self.at = parse_time(self._body[self.place + 2 : end].hex())
        self.place = end
        return True

    def _address(self) -> bool:
        """F1F1, five bytes and, by function, the station's class; a second one begins another station (6.6.2.7)."""
        end = self.place + 7
        if end > len(self._body):
            return False
        if self._station:
            self._done.append(Section(items=tuple(self._items), station=self._station, kind=self._kind))
            self._items = []
        self._station, self._kind = self._body[self.place + 2 : end], 0
        if end < len(self._body) and self._classed(self._body[end]):
            self._kind = self._body[end]
            end += 1
        self.place = end
        return True

    def _classed(self, after: int) -> bool:
        if self._down:
            return False
        # Tables 60 and 70 have no class there; some stations send one all the same.
        return self._function in CLASSED or (self._function in (QUERY_STATE, SET_CARD) and after != WORD)

    def _identifier(self, at: int) -> tuple[int, int, int] | None:
        """(identifier, definition, where its data begin); FF has a second byte (table 26)."""
        body = self._body
        if body[at] != EXTENSION:
            return (body[at], body[at + 1], at + 2) if at + 2 <= len(body) else None
        return (EXTENSION << 8 | body[at + 1], body[at + 2], at + 3) if at + 3 <= len(body) else None

    def _series(self) -> bool:
        """0418, the step, one identifier, and its values to the end (6.6.4.4 b)."""
        start = self.place + 5
        step = self._body[self.place + 2 : start]
        head = self._identifier(start) if start < len(self._body) else None
        if head is None:
            return False
        element, define, first = head
        size = size_of(element, define)
        left = len(self._body) - first
        count = 0 if self._asked() or not size else left // size
        return self._put(element, define, first, count * size, step)

    def _put(self, element: int, define: int, start: int, size: int, step: bytes = b"") -> bool:
        end = start + size
        if end > len(self._body):
            return False
        data = self._body[start:end]
        self._items.append(Item(element=element, define=define, data=data, at=self.at, step=step))
        self.place = end
        return True


def size_of(element: int, define: int) -> int:
    """Bytes of one value: the definition's high five bits (table 26).

    The twelve values of an hour have a size that no other definition can mean: Fujian's stations say 5C for C0.
    """
    size = define >> 3
    slots = _SLOTS.get(element)
    if slots is not None and (define & 7 or size == 0 or size % (slots // 12)):
        return slots
    return size


def write_body(message: Message) -> bytes:
    """The body of a message in HEX. ValueError for what cannot be said."""
    body = bytearray(check_serial(message.serial).to_bytes(2, "big") + bytes.fromhex(format_time(message.sent)))
    if message.span is not None:
        body += bytes.fromhex("".join(message.span))
    last: int | None = None
    for section in message.sections:
        if section.station:
            body += bytes((ADDRESS, ADDRESS)) + section.station + (bytes([section.kind]) if section.kind else b"")
        for item in section.items:
            if item.at is not None and item.at != last:
                body += _time_bytes(item.at)
                last = item.at
            body += _item_bytes(item)
    if message.seen is not None and message.seen != last:
        body += _time_bytes(message.seen)
    if message.text is not None:
        body += bytes((TEXT, TEXT)) + message.text
    if message.picture is not None:
        body += bytes((PICTURE, PICTURE)) + message.picture
    return bytes(body + message.rest)


def _time_bytes(at: int) -> bytes:
    return bytes((TIME, TIME)) + bytes.fromhex(format_time(at, 10))


def _item_bytes(item: Item) -> bytes:
    if not item.element or not 0 <= item.define <= 0xFF:
        raise ValueError(f"{item.name or item.element!r} has no identifier in HEX")
    step = bytes((STEP, STEP_DEFINE)) + item.step if item.step else b""
    size = 2 if item.element >> 8 else 1
    return step + item.element.to_bytes(size, "big") + bytes([item.define]) + item.data
