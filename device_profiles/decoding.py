"""Frames a person brings, decoded: a request and its reply become registers, or with a profile values.

Refuses (``DecodingError``, one sentence for the person) what is no Modbus, what does not answer the request, and a
reply without its request: it would not say which registers it carries.
"""

import msgspec

from device_profiles.codecs import modbus_rtu, modbus_tcp
from device_profiles.codecs.modbus_pdu import ModbusError, Read, Request, decode_request, request_length
from device_profiles.exchange import Answer
from device_profiles.maps.modbus_examples import TABLE_OF, decode_reply
from device_profiles.profiles import DeviceProfile
from device_profiles.quality import Quality, Reason, split_code
from device_profiles.readings import Value

_MBAP_HEAD = 6  # transaction, protocol, length; the length counts what follows (V1.0b, 3.1.3)


class DecodingError(Exception):
    """The bytes cannot be decoded; the text says why."""


class Row(msgspec.Struct, frozen=True):
    """One register, bit or value: ``raw`` hexadecimal, ``text`` as a person reads it."""

    name: str
    value: Value
    unit: str = ""
    quality: str = ""
    reason: str = ""
    raw: str = ""

    @property
    def text(self) -> str:
        """The value as shown; a dash where there is none."""
        return "–" if self.value is None else str(self.value)


class Decoded(msgspec.Struct, frozen=True):
    """What was asked and what came back."""

    unit: int | str
    asked: str
    exception: int
    rows: list[Row]


def split_rtu(data: bytes) -> tuple[bytes, bytes]:
    """(request, reply) out of the bytes of both. DecodingError when the first is no whole request."""
    length = request_length(data[1:8])
    if not length:
        raise DecodingError("the first bytes are no Modbus request: give the request first, then the reply")
    return data[: length + 3], data[length + 3 :]


def split_tcp(data: bytes) -> tuple[bytes, bytes]:
    """(request, reply) out of the bytes of both, by the first one's MBAP length."""
    end = _MBAP_HEAD + int.from_bytes(data[4:6], "big")
    return data[:end], data[end:]


def decode_rtu(request: bytes, reply: bytes, profile: DeviceProfile | None = None) -> Decoded:
    """Decode an RTU reply. DecodingError when either frame is wrong."""
    found = modbus_rtu.RtuRequestReader().feed(request)
    if len(found) != 1:
        body, check = request[:-2], request[-2:]
        right = modbus_rtu.crc16(body).to_bytes(2, "little")
        raise DecodingError(f"the request's check is {check.hex(' ').upper()}, it should be {right.hex(' ').upper()}")
    unit, pdu = found[0]
    asked = _request(pdu)
    exchange = modbus_rtu.RtuExchange(unit, asked)
    exchange.feed(reply)
    return _decoded(unit, asked, exchange.take(silent=True), exchange.conclude(), profile)


def decode_tcp(request: bytes, reply: bytes, profile: DeviceProfile | None = None) -> Decoded:
    """Decode a Modbus TCP reply. DecodingError when either frame is wrong."""
    found = modbus_tcp.TcpRequestReader().feed(request)
    if len(found) != 1:
        raise DecodingError("the first bytes are no Modbus TCP request: give the request first, then the reply")
    transaction, unit, pdu = found[0]
    asked = _request(pdu)
    exchange = modbus_tcp.TcpExchange(unit, asked, transaction)
    exchange.feed(reply)
    return _decoded(unit, asked, exchange.take(), exchange.conclude(), profile)


def _request(pdu: bytes) -> Request:
    try:
        return decode_request(pdu)
    except ModbusError as trouble:
        raise DecodingError(f"the request is not one we know: {trouble}") from None


def _decoded(
    unit: int, asked: Request, answer: Answer | None, reason: Reason, profile: DeviceProfile | None
) -> Decoded:
    if answer is None:
        missing = reason is Reason.TIMEOUT
        raise DecodingError("the reply is missing" if missing else f"the reply does not answer this: {reason.word}")
    what = f"function {asked.function}, address {asked.address}"
    if not isinstance(asked, Read):
        return Decoded(unit, what + ", written" * (not answer.exception), answer.exception, [])
    what += f", {asked.count} {TABLE_OF[asked.function]}"
    if answer.exception:
        return Decoded(unit, what, answer.exception, [])
    rows = _registers(asked, answer.data) if profile is None else _values(profile, asked, answer.data)
    return Decoded(unit, what, 0, rows)


def _registers(asked: Read, data: bytes) -> list[Row]:
    if asked.function in (1, 2):
        return [Row(str(asked.address + at), data[at // 8] >> at % 8 & 1) for at in range(asked.count)]
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    return [
        Row(str(asked.address + place), int.from_bytes(word, "big"), raw=word.hex().upper())
        for place, word in enumerate(words)
    ]


def _values(profile: DeviceProfile, asked: Read, data: bytes) -> list[Row]:
    rows = []
    for name, (value, code) in decode_reply(profile, asked, data).items():
        quality, reason = split_code(code)
        shown = reason.word if quality is not Quality.GOOD else ""
        rows.append(Row(name, value, profile.point(name).unit, quality.word, shown))
    if not rows:
        raise DecodingError(f"no point of {profile.model} lies in what was read")
    return rows
