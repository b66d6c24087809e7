"""Described serial protocols, both directions: probes that answer a fixed request or just talk, in their own frames.

A frame has a start mark or constant bytes, a fixed size, a length field or an end mark, and a check or none; its fields
lie by position, or between separators as printed numbers. What has no check must at least read: a frame with a field
that does not is none. Never raises on bytes from the wire. Source: the profile that describes it.
"""

import zlib
from collections.abc import Mapping

import msgspec

from device_profiles.codecs.payload_fields import PRINTED, Field, encode_raw, encode_value, raw_of, read_raw, value_of
from device_profiles.codecs.payload_layout import Check, Length
from device_profiles.exchange import Answer, Stray, keep_strays
from device_profiles.quality import Reason
from device_profiles.readings import Value

UNIT = "{unit}"
"""In a request, and in an item of a reply: the unit's number. The only placeholder, and no expression."""

LONGEST = 512
NOT_ONE, UNFINISHED, DAMAGED = 0, -1, -2
Told = tuple[Value, Reason]


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value stands: ``field.place`` by position, or ``item`` between separators; ``before`` and ``after`` are
    texts around a printed number, ``nothing`` texts that say that there is none, ``blanks``: spaces in place of leading
    zeros."""

    field: Field
    item: int | None = None
    before: bytes = b""
    after: bytes = b""
    nothing: tuple[bytes, ...] = ()
    blanks: bool = False

    def read(self, data: bytes) -> Told:
        """(value, reason) of the bytes that stand there."""
        text = data.strip(b" \x00")
        if any(text == said.strip() for said in self.nothing):
            return None, Reason.SENSOR_OPEN
        if not self.before and not self.after:
            return value_of(self.field, read_raw(self.field, data))
        if not text.startswith(self.before) or not text.endswith(self.after):
            return None, Reason.BAD_ENCODING
        inner = text[len(self.before) : len(text) - len(self.after)]
        return value_of(self.field, read_raw(self.field, inner))

    def write(self, value: Value) -> bytes:
        """The inverse of ``read``. ValueError when the value cannot be said."""
        width = self.field.size if self.field.place is not None else 0
        if value is None and self.nothing:
            return self.nothing[0].ljust(width)
        if self.field.type != "decimal":
            return self.before + encode_value(self.field, value) + self.after
        room = max(0, width - len(self.before) - len(self.after))
        layout = f"{'' if self.blanks else '0'}{room or ''}.{self.field.digits or 0}f"
        number = format(float(raw_of(self.field, value)), layout).encode()
        if room and len(number) > room:
            raise ValueError(f"{self.field.name}: {value} does not fit {room} characters")
        return self.before + number + self.after


class LineLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A model's frame. ``size``: bytes in all where fixed; ``length``: a field that says it; ``end``: else the mark
    that ends it. ``unit_byte``: where the unit's number stands.

    ``separator`` and ``items``: the texts of a frame that is a list, "" where a point stands. ``mark``: bytes between
    what is checked and the check; ``printed``: the check is written in hexadecimal digits.
    """

    start: bytes = b""
    end: bytes = b""
    size: int | None = None
    length: Length | None = None
    unit_byte: int | None = None
    constants: tuple[tuple[int, bytes], ...] = ()
    separator: bytes = b""
    items: tuple[str, ...] = ()
    check: Check | None = None
    mark: bytes = b""
    printed: bool = False
    spots: tuple[Spot, ...] = ()

    @property
    def anchored(self) -> bool:
        """True when a frame shows where it begins."""
        return bool(self.start or self.constants or self.check)

    @property
    def tail(self) -> int:
        """Bytes of mark, check and end mark."""
        check = 0 if self.check is None else self.check.width * (2 if self.printed else 1)
        return len(self.mark) + check + len(self.end)

    def seal(self, body: bytes) -> bytes:
        """Mark, check and end mark behind a body."""
        check = b"" if self.check is None else self.check.over(body)
        return body + self.mark + (check.hex().upper().encode() if self.printed else check) + self.end

    def body_of(self, frame: bytes) -> bytes:
        """What stands before mark and check."""
        return frame[: len(frame) - self.tail]

    def measure(self, data: bytes | bytearray, start: int) -> int:
        """Bytes of the whole frame that begins there; else NOT_ONE, UNFINISHED or DAMAGED."""
        for place, constant in ((0, self.start), *self.constants):
            held = bytes(data[start + place : start + place + len(constant)])
            if not constant.startswith(held):
                return NOT_ONE
        size = self._size(data, start)
        if size <= 0 or len(data) - start < size:
            return size if size <= 0 else UNFINISHED
        return size if self._sound(bytes(data[start : start + size])) else DAMAGED

    def _size(self, data: bytes | bytearray, start: int) -> int:
        if self.size is not None:
            return self.size
        if self.length is not None:
            field = self.length.field
            place = start + (field.place or 0)
            if len(data) < place + field.width:
                return UNFINISHED
            said = int.from_bytes(data[place : place + field.width], "little" if field.little else "big")
            size = said + self.length.add
            return size if self.tail < size <= LONGEST else DAMAGED
        found = data.find(self.end, start + len(self.start))
        if found < 0:
            return UNFINISHED if len(data) - start < LONGEST else DAMAGED
        return found + len(self.end) - start if found - start < LONGEST else DAMAGED

    def _sound(self, frame: bytes) -> bool:
        if len(frame) < len(self.start) + self.tail or not frame.endswith(self.end):
            return False
        body = self.body_of(frame)
        if self.check is not None:
            sealed = self.seal(body)
            return frame == sealed or (self.printed and frame.upper() == sealed.upper())
        return all(reason is not Reason.BAD_ENCODING for _, reason in self.decode(frame))

    def decode(self, frame: bytes) -> list[Told]:
        """(value, reason) of each spot of a whole frame; BAD_ENCODING where it has none."""
        body = self.body_of(frame)
        items = body[len(self.start) :].split(self.separator) if self.separator else []
        if len(items) != len(self.items):
            return [(None, Reason.BAD_ENCODING) for _ in self.spots]
        for text, item in zip(self.items, items, strict=True):
            if text not in ("", UNIT) and text.encode() != item:
                return [(None, Reason.BAD_ENCODING) for _ in self.spots]
        return [spot.read(self._piece(spot, body, items)) for spot in self.spots]

    def _piece(self, spot: Spot, body: bytes, items: list[bytes]) -> bytes:
        if spot.item is not None:
            return items[spot.item]
        place, width = spot.field.place or 0, spot.field.width
        return body[place : place + width].ljust(width, b"\xff") if len(body) < place + width else body[place:][:width]

    def unit_of(self, frame: bytes) -> str | None:
        """The unit that a frame names; None where it names none."""
        if self.unit_byte is not None:
            return str(frame[self.unit_byte])
        if UNIT not in self.items:
            return None
        items = self.body_of(frame)[len(self.start) :].split(self.separator)
        place = self.items.index(UNIT)
        return items[place].decode("ascii", "replace") if place < len(items) else ""

    def build(self, values: Mapping[str, Value], unit: str) -> bytes:
        """The frame that says these values; the inverse of ``decode``. ValueError for what cannot be said."""
        if self.separator:
            items = [unit.encode() if text == UNIT else text.encode() for text in self.items]
            for spot in self.spots:
                assert spot.item is not None
                items[spot.item] = spot.write(values[spot.field.name])
            return self.seal(self.start + self.separator.join(items))
        ends = [(spot.field.place or 0) + spot.field.width for spot in self.spots]
        ends += [place + len(constant) for place, constant in self.constants]
        body = bytearray(max([len(self.start), *ends, (self.size or 0) - self.tail]))
        for place, constant in ((0, self.start), *self.constants):
            body[place : place + len(constant)] = constant
        for spot in self.spots:
            place, data = spot.field.place or 0, spot.write(values[spot.field.name])
            for at, byte in enumerate(data):
                body[place + at] |= byte  # masked fields share their bytes
        if self.unit_byte is not None:
            body[self.unit_byte] = int(unit)
        if self.length is not None:
            field = self.length.field
            place, said = field.place or 0, len(body) + self.tail - self.length.add
            body[place : place + field.width] = encode_raw(field, said)
        return self.seal(bytes(body))


def is_printed(field: Field) -> bool:
    """True for a number in characters."""
    return field.type in PRINTED


def same_unit(asked: str, named: str | None) -> bool:
    """True when a frame of ``named`` may answer a question to ``asked``: 01 is 1."""
    return named is None or named == asked or (named.isdecimal() and int(named) == int(asked))


class LineReader:
    """Cuts a byte stream into whole frames of one layout; bounded, never raises."""

    def __init__(self, layout: LineLayout) -> None:
        self.buffer = bytearray()
        self.damaged = False
        self._layout = layout

    def next(self) -> tuple[int, int]:
        """(bytes before it, bytes of it) of the first whole frame; (bytes that are of no use, 0) when there is none."""
        layout, buffer = self._layout, self.buffer
        if not layout.anchored and layout.end:
            return self._next_line()
        anchor = next(((p, c) for p, c in ((0, layout.start), *layout.constants) if c), (0, b""))
        at, waits = 0, -1
        while at < len(buffer):
            at = self._begin(at, anchor)
            size = layout.measure(buffer, at) if at < len(buffer) else NOT_ONE
            if size > 0:
                return at, size
            self.damaged |= size == DAMAGED
            if size == UNFINISHED and waits < 0:
                waits = at
                break
            at += 1
        return (waits if waits >= 0 else len(buffer)), 0

    def _begin(self, at: int, anchor: tuple[int, bytes]) -> int:
        """The next place where a frame may begin, also one whose anchor is only half there."""
        place, mark = anchor
        if not mark:
            return at
        found = self.buffer.find(mark, at + place)
        if found >= 0:
            return found - place
        held = len(self.buffer)
        return max(at, held - place - len(mark) + 1)

    def _next_line(self) -> tuple[int, int]:
        """Without a start mark a frame is all that lies between two end marks."""
        layout, at = self._layout, 0
        while (found := self.buffer.find(layout.end, at)) >= 0:
            end = found + len(layout.end)
            if layout.measure(self.buffer[:end], at) == end - at:
                return at, end - at
            self.damaged = True
            at = end
        return at, 0


class SerialExchange:
    """One question, or one listening where the request is empty; see ``exchange.Exchange``. ``Answer.data`` is the
    whole frame."""

    def __init__(self, layout: LineLayout, unit: str, request: bytes) -> None:
        self.unit = unit
        self.shape = shape_of(layout)
        self.strays: list[Stray] = []
        self._layout = layout
        self._request = request
        self._reader = LineReader(layout)
        self._answer: Answer | None = None
        self._strangers = False
        # Who just talks is met in the middle of a word: without a start mark the first end only says where one begins.
        self._adrift = not request and not layout.anchored

    def request(self) -> bytes:
        """The question as it goes on the wire; empty for a probe that talks by itself."""
        return self._request

    def next_request(self) -> bytes:
        """A described protocol has one answer a question."""
        return b""

    @property
    def started(self) -> bool:
        """True while bytes are held that may still become the answer."""
        return bool(self._reader.buffer)

    @property
    def rest(self) -> bytes:
        """Bytes held and not judged."""
        return bytes(self._reader.buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire."""
        self._reader.buffer += data
        if len(self._reader.buffer) > 4 * LONGEST:
            self.take()
            self._set_aside(max(0, len(self._reader.buffer) - 4 * LONGEST))

    def take(self, silent: bool = False) -> Answer | None:
        """The answer once whole, sound and of the unit asked. ``silent``: look behind a candidate that never became
        whole."""
        if self._adrift:
            found = self._reader.buffer.find(self._layout.end)
            if found < 0:
                return None
            self._adrift = False
            self._set_aside(found + len(self._layout.end))
        while self._answer is None:
            before, size = self._reader.next()
            if not size and (not silent or before >= len(self._reader.buffer) or not self._layout.anchored):
                self._set_aside(before)
                break
            if not size:
                self._set_aside(before + 1)  # nothing more will come: a frame may still begin inside the unfinished one
                continue
            self._set_aside(before)
            self._judge(size)
        return self._answer

    def _judge(self, size: int) -> None:
        frame = bytes(self._reader.buffer[:size])
        echo = bool(self._request) and frame == self._request
        if not echo and same_unit(self.unit, self._layout.unit_of(frame)):
            del self._reader.buffer[:size]
            self._answer = Answer(frame, 0, frame)
            return
        self._strangers |= not echo
        keep_strays(self.strays, [Stray(Reason.ECHO if echo else Reason.WRONG_UNIT, frame)])
        del self._reader.buffer[:size]

    def _set_aside(self, count: int) -> None:
        if count:
            data = bytes(self._reader.buffer[:count])
            keep_strays(self.strays, [Stray(Reason.ECHO if data == self._request else Reason.NOISE, data)])
            del self._reader.buffer[:count]

    def conclude(self) -> Reason:
        """Why there is no answer, judged by what did arrive."""
        if self._reader.damaged:
            return Reason.BAD_CHECKSUM if self._layout.check is not None else Reason.MALFORMED
        if self._reader.buffer:
            return Reason.TRUNCATED
        if self._strangers:
            return Reason.WRONG_UNIT
        return Reason.NOISE if any(stray.reason is Reason.NOISE for stray in self.strays) else Reason.TIMEOUT


def shape_of(layout: LineLayout) -> tuple[int, ...]:
    """What tells answers apart: a described model has one shape of its own."""
    return (zlib.crc32(repr(layout).encode()),)
