"""Modbus TCP frames, both directions (MODBUS Messaging on TCP/IP V1.0b, 3.1.3): MBAP header and PDU, no check.

The transaction number is what tells an answer from a late one: an old number is set aside, never taken.
"""

import struct

from device_profiles.codecs.modbus_pdu import Request, encode_request, match_reply, reply_size
from device_profiles.exchange import Answer, Stray, keep_strays
from device_profiles.quality import Reason

_MBAP = struct.Struct(">HHHB")
MAX_LENGTH = 254
"""Unit and PDU: anything longer is no Modbus, and must not be waited for."""


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """MBAP header and PDU."""
    return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu


class TcpExchange:
    """One question on a Modbus TCP connection; see ``exchange.Exchange``. ``transaction``: 0 to 65535."""

    def __init__(self, unit: int, request: Request, transaction: int) -> None:
        self.unit = unit
        self.shape = (request.function, reply_size(request) + _MBAP.size)
        self.strays: list[Stray] = []
        self.broken = False
        """True when the stream is no Modbus TCP any more: only a new connection helps."""
        self._request = request
        self._transaction = transaction
        self._frame = frame(transaction, unit, encode_request(request))
        self._buffer = bytearray()
        self._answer: Answer | None = None
        self._wrong_unit = False

    def request(self) -> bytes:
        """The question as it goes on the wire."""
        return self._frame

    def next_request(self) -> bytes:
        """Modbus has one answer a question."""
        return b""

    @property
    def started(self) -> bool:
        """True while bytes are held that may still become the answer."""
        return bool(self._buffer)

    @property
    def rest(self) -> bytes:
        """Bytes held and not judged: the start of a later frame."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection; after ``broken`` they are noise."""
        if self.broken:
            keep_strays(self.strays, [Stray(Reason.NOISE, bytes(data))])
        else:
            self._buffer += data

    def take(self, silent: bool = False) -> Answer | None:
        """The answer once it is whole. ``silent`` changes nothing: TCP keeps its order."""
        buffer = self._buffer
        while self._answer is None and len(buffer) >= _MBAP.size:
            transaction, protocol, length, unit = _MBAP.unpack_from(buffer)
            if protocol != 0 or not 2 <= length <= MAX_LENGTH:
                self.broken = True
                keep_strays(self.strays, [Stray(Reason.NOISE, bytes(buffer))])
                buffer.clear()
                return None
            end = _MBAP.size - 1 + length
            if len(buffer) < end:
                return None
            whole = bytes(buffer[:end])
            del buffer[:end]
            self._judge(transaction, unit, whole)
        return self._answer

    def _judge(self, transaction: int, unit: int, whole: bytes) -> None:
        pdu = whole[_MBAP.size :]
        matched = match_reply(self._request, pdu)
        if transaction == self._transaction and unit == self.unit and matched is not None:
            self._answer = Answer(matched[0], matched[1], whole)
            return
        self._wrong_unit = self._wrong_unit or (transaction == self._transaction and unit != self.unit)
        reason = Reason.WRONG_UNIT if transaction == self._transaction else Reason.LATE
        keep_strays(self.strays, [Stray(reason, whole, unit, (pdu[0], len(whole)))])

    def conclude(self) -> Reason:
        """Why there is no answer."""
        if self.broken:
            return Reason.MALFORMED
        if self._buffer:
            return Reason.TRUNCATED
        return Reason.WRONG_UNIT if self._wrong_unit else Reason.TIMEOUT


class TcpRequestReader:
    """The server's half: cuts a byte stream into (transaction, unit, PDU). ``broken`` when it is no Modbus TCP."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.broken = False

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The requests that are now whole."""
        found: list[tuple[int, int, bytes]] = []
        if self.broken:
            return found
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _MBAP.size:
            transaction, protocol, length, unit = _MBAP.unpack_from(buffer)
            if protocol != 0 or not 2 <= length <= MAX_LENGTH:
                self.broken = True
                buffer.clear()
                break
            end = _MBAP.size - 1 + length
            if len(buffer) < end:
                break
            found.append((transaction, unit, bytes(buffer[_MBAP.size : end])))
            del buffer[:end]
        return found
