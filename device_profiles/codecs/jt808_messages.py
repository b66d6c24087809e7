"""What is said over JT/T 808 beside positions: acknowledgements, registration, authentication, parameters, media.

Builds and reads bodies in both directions, 2011, 2013 and 2019; when to send which is the session's business.
"""

import msgspec

from device_profiles.codecs.jt808 import Frame
from device_profiles.codecs.jt808_position import BASE, Jt808Error, Position, encode_position, parse_position

TERMINAL_ACK, HEARTBEAT, LOG_OUT = 0x0001, 0x0002, 0x0003
REGISTER, AUTHENTICATE, PARAMETERS = 0x0100, 0x0102, 0x0104
POSITION, BATCH, MEDIA = 0x0200, 0x0704, 0x0801
PLATFORM_ACK, SEND_AGAIN = 0x8001, 0x8003
REGISTERED, SET_PARAMETERS, ASK_PARAMETERS, MEDIA_ACK = 0x8100, 0x8103, 0x8104, 0x8800

OK, FAILED, WRONG, UNSUPPORTED, ALARM_CONFIRMED = range(5)
"""Results of a general acknowledgement (2013 tables 4 and 5); the last is the platform's alone."""

VEHICLE_KNOWN, NO_VEHICLE, TERMINAL_KNOWN, NO_TERMINAL = range(1, 5)
"""Why a registration is refused (2013 table 8)."""

ANSWERS = frozenset({TERMINAL_ACK, PARAMETERS, 0x0107, 0x0201, 0x0302, 0x0500, 0x0700, 0x0802, 0x0805})
"""Messages of a terminal that answer one of ours: never to be acknowledged."""

HEARTBEAT_SECONDS, SERVER, TCP_PORT, REPORT_SECONDS = 0x0001, 0x0013, 0x0018, 0x0029
OVERSPEED_KMH, OVERSPEED_SECONDS = 0x0055, 0x0056
"""Parameters (2013 table 12) that a platform usually sets."""

_NUMBERS = {0x0001: 4, 0x0018: 4, 0x0029: 4, 0x0055: 4, 0x0056: 4}


class Ack(msgspec.Struct, frozen=True):
    """0001 and 8001: the ``serial`` and ``message`` id of what is acknowledged, and the ``result``."""

    serial: int
    message: int
    result: int = OK


def encode_ack(ack: Ack) -> bytes:
    """Five bytes (2013, 8.1 and 8.2)."""
    return ack.serial.to_bytes(2, "big") + ack.message.to_bytes(2, "big") + bytes([ack.result])


def parse_ack(body: bytes) -> Ack:
    """The inverse; Jt808Error when it is shorter."""
    if len(body) < 5:
        raise Jt808Error(f"a general acknowledgement has 5 bytes, here are {len(body)}")
    return Ack(int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big"), body[4])


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """0100. ``edition``: 2011, 2013 or 2019, told by the lengths of maker, model and terminal id."""

    edition: int = 2013
    province: int = 0
    city: int = 0
    maker: str = ""
    model: str = ""
    terminal: str = ""
    colour: int = 0
    plate: str = ""


_REGISTRATION = {2011: (5, 8, 7), 2013: (5, 20, 7), 2019: (11, 30, 30)}
"""Bytes of maker, model and terminal id (2011, 2013 table 6, 2019 table 6)."""


def parse_registration(frame: Frame) -> Registration:
    """0100 of any edition. A 2013 header carries 2011's or 2013's body; the latter has at least 37 bytes (with a plate,
    or an empty one). Jt808Error when it is none of them."""
    body = frame.body
    edition = frame.edition
    if edition == 2013 and len(body) < 4 + sum(_REGISTRATION[2013]) + 1:
        edition = 2011
    widths = _REGISTRATION[edition]
    if len(body) < 4 + sum(widths) + 1:
        raise Jt808Error(f"a registration of {edition} has {5 + sum(widths)} bytes and a plate, here are {len(body)}")
    texts = []
    at = 4
    for width in widths:
        texts.append(_text(body[at : at + width]))
        at += width
    return Registration(
        edition=edition,
        province=int.from_bytes(body[:2], "big"),
        city=int.from_bytes(body[2:4], "big"),
        maker=texts[0],
        model=texts[1],
        terminal=texts[2],
        colour=body[at],
        plate=_text(body[at + 1 :]),
    )


def encode_registration(registration: Registration) -> bytes:
    """The inverse: texts padded with NUL behind; ValueError for one that is too long."""
    r = registration
    fields = zip((r.maker, r.model, r.terminal), _REGISTRATION[r.edition], strict=True)
    head = r.province.to_bytes(2, "big") + r.city.to_bytes(2, "big")
    return head + b"".join(_padded(text, width) for text, width in fields) + bytes([r.colour]) + r.plate.encode("gbk")


class Registered(msgspec.Struct, frozen=True):
    """8100: the ``serial`` of the 0100, the ``result``, and the authentication ``code`` where the result is OK."""

    serial: int
    result: int = OK
    code: str = ""


def encode_registered(registered: Registered) -> bytes:
    """The code is said only to whom it is given (2013 table 8)."""
    code = registered.code.encode("gbk") if registered.result == OK else b""
    return registered.serial.to_bytes(2, "big") + bytes([registered.result]) + code


def parse_registered(body: bytes) -> Registered:
    """The inverse; Jt808Error when it is shorter than 3 bytes."""
    if len(body) < 3:
        raise Jt808Error(f"an answer to a registration has 3 bytes or more, here are {len(body)}")
    return Registered(int.from_bytes(body[:2], "big"), body[2], _text(body[3:]) if body[2] == OK else "")


class Authentication(msgspec.Struct, frozen=True):
    """0102: the code, and from 2019 on IMEI and software version."""

    code: str
    imei: str = ""
    software: str = ""


def parse_authentication(frame: Frame) -> Authentication:
    """0102. 2013: the body is the code (8.6). 2019: length, code, IMEI 15, software 20; a terminal of 2019 that sends
    the bare code all the same is understood. Jt808Error when there is no code."""
    body = frame.body
    if not body:
        raise Jt808Error("an authentication without a code")
    if frame.edition == 2019 and len(body) >= 1 + body[0] + 15:
        behind = 1 + body[0]
        imei, software = body[behind : behind + 15], body[behind + 15 : behind + 35]
        return Authentication(_text(body[1:behind]), _text(imei), _text(software))
    return Authentication(_text(body))


def encode_authentication(authentication: Authentication, edition: int = 2013) -> bytes:
    """The inverse; ValueError for what is too long."""
    code = authentication.code.encode("gbk")
    if edition != 2019:
        return code
    if len(code) > 0xFF:
        raise ValueError("an authentication code of 2019 has at most 255 bytes")
    return bytes([len(code)]) + code + _padded(authentication.imei, 15) + _padded(authentication.software, 20)


def encode_send_again(serial: int, parts: tuple[int, ...], edition: int = 2013) -> bytes:
    """8003: the first packet's serial, how many packets (2013, 8.3: one byte; 2019: two), their numbers."""
    count = len(parts).to_bytes(2 if edition == 2019 else 1, "big")
    return serial.to_bytes(2, "big") + count + b"".join(part.to_bytes(2, "big") for part in parts)


def parse_send_again(body: bytes, edition: int = 2013) -> tuple[int, tuple[int, ...]]:
    """The inverse; Jt808Error when numbers are missing."""
    start = 4 if edition == 2019 else 3
    end = start + 2 * int.from_bytes(body[2:start], "big")
    if len(body) < max(start, end):
        raise Jt808Error("a request to send again is shorter than it says")
    numbers = (int.from_bytes(body[at : at + 2], "big") for at in range(start, end, 2))
    return int.from_bytes(body[:2], "big"), tuple(numbers)


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """0801: what a camera or microphone took. ``kind``: 0 picture, 1 sound, 2 film; ``position`` is None in 2011."""

    id: int
    kind: int
    coding: int
    event: int
    channel: int
    position: Position | None = None
    data: bytes = b""


def parse_media(body: bytes, edition: int = 2013) -> Media:
    """0801 put together (8.55 table 87): a head of 8 bytes, since 2013 a position of 28, the data. Jt808Error when
    it is shorter."""
    head = 8 if edition == 2011 else 8 + BASE
    if len(body) < head:
        raise Jt808Error(f"a media upload has a head of {head} bytes, here are {len(body)}")
    return Media(
        id=int.from_bytes(body[:4], "big"),
        kind=body[4],
        coding=body[5],
        event=body[6],
        channel=body[7],
        position=parse_position(body[8:head]) if head > 8 else None,
        data=body[head:],
    )


def encode_media(media: Media) -> bytes:
    """The inverse; ValueError for what does not fit."""
    head = media.id.to_bytes(4, "big") + bytes((media.kind, media.coding, media.event, media.channel))
    place = b"" if media.position is None else encode_position(msgspec.structs.replace(media.position, extras=()))
    return head + place + media.data


def encode_media_ack(id: int, missing: tuple[int, ...] = ()) -> bytes:
    """8800: all is there, or these packets are not (8.56; nothing behind the id when none is missing)."""
    again = bytes([len(missing)]) + b"".join(part.to_bytes(2, "big") for part in missing) if missing else b""
    return id.to_bytes(4, "big") + again


def parse_media_ack(body: bytes) -> tuple[int, tuple[int, ...]]:
    """The inverse; Jt808Error when numbers are missing."""
    count = body[4] if len(body) > 4 else 0
    if len(body) < 4 or (count and len(body) < 5 + 2 * count):
        raise Jt808Error("an acknowledgement of media is shorter than it says")
    numbers = (int.from_bytes(body[at : at + 2], "big") for at in range(5, 5 + 2 * count, 2))
    return int.from_bytes(body[:4], "big"), tuple(numbers)


def encode_parameters(parameters: dict[int, int | str | bytes]) -> bytes:
    """8103: a count, then id 4, length 1, value (8.8 table 11). Numbers of ids that we know are DWORDs."""
    rows = []
    for number, value in parameters.items():
        if isinstance(value, int):
            value = value.to_bytes(_NUMBERS.get(number, 4), "big")
        elif isinstance(value, str):
            value = value.encode("gbk")
        rows.append(number.to_bytes(4, "big") + bytes([len(value)]) + value)
    return bytes([len(rows)]) + b"".join(rows)


def parse_parameters(body: bytes) -> dict[int, bytes]:
    """The rows of an 8103, raw by id; Jt808Error when one runs over the end. For 0104 cut its first 2 bytes off."""
    found: dict[int, bytes] = {}
    at = 1
    while at < len(body):
        behind = at + 5 + (body[at + 4] if at + 4 < len(body) else 1)
        if behind > len(body):
            raise Jt808Error("a parameter runs over the end")
        found[int.from_bytes(body[at : at + 4], "big")] = body[at + 5 : behind]
        at = behind
    return found


def answer(asked: Frame, message: int, body: bytes, serial: int) -> Frame:
    """A frame to the terminal that sent ``asked``, in its edition and under its number."""
    return Frame(
        message=message, number=asked.number, serial=serial, body=body, edition=asked.edition, version=asked.version
    )


def _text(data: bytes) -> str:
    """GBK text without its padding; what is no GBK is kept visible."""
    return data.strip(b"\0 ").decode("gbk", "backslashreplace")


def _padded(text: str, width: int) -> bytes:
    data = text.encode("gbk")
    if len(data) > width:
        raise ValueError(f"{text!r} is longer than {width} bytes")
    return data.ljust(width, b"\0")
