"""Modbus protocol data units, both directions (MODBUS Application Protocol Specification V1.1b3, clause 6).

Functions 1 to 6, 15 and 16, and exceptions. A request is a small frozen struct; its reply's length is known
beforehand, which is what frames are cut by. Wrong bytes raise ``ModbusError`` and nothing else.
"""

import struct

import msgspec

MAX_BITS = 2000
MAX_REGISTERS = 125
MAX_WRITE_BITS = 1968
MAX_WRITE_REGISTERS = 123

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4
ACKNOWLEDGE, DEVICE_BUSY, PARITY, GATEWAY_PATH, GATEWAY_SILENT = 5, 6, 8, 10, 11
"""Exception codes (V1.1b3, 7)."""

READS_BITS = (1, 2)
READS_REGISTERS = (3, 4)
WRITES_ONE = (5, 6)
WRITES_MANY = (15, 16)

_HEAD = struct.Struct(">BHH")


class ModbusError(Exception):
    """The bytes are no such PDU; ``code`` is the exception that a server would answer with."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


class Read(msgspec.Struct, frozen=True):
    """Functions 1 to 4: ``count`` bits or registers from ``address`` (0-based)."""

    function: int
    address: int
    count: int

    @property
    def data_bytes(self) -> int:
        """Payload bytes of the normal reply."""
        return (self.count + 7) // 8 if self.function in READS_BITS else 2 * self.count


class Trigger(msgspec.Struct, frozen=True):
    """Functions 3 and 4 used as a button: asked like a read, it does something, and its reply has the byte count 0.

    Out of the standard but used (Yosemitech 0x2500 starts, 0x2E00 stops measuring). A server cannot tell it from a
    ``Read`` by its bytes.
    """

    function: int
    address: int
    count: int = 1


class WriteOne(msgspec.Struct, frozen=True):
    """Functions 5 and 6: one coil (0 or 1) or one register."""

    function: int
    address: int
    value: int


class WriteMany(msgspec.Struct, frozen=True):
    """Functions 15 and 16: ``data`` as on the wire. A count of 0 is out of the standard but used (Yosemitech
    0x1C00)."""

    function: int
    address: int
    count: int
    data: bytes


Request = Read | Trigger | WriteOne | WriteMany


def reply_size(request: Request) -> int:
    """Bytes of the normal reply's PDU."""
    if isinstance(request, Trigger):
        return 2
    return 2 + request.data_bytes if isinstance(request, Read) else 5


def encode_request(request: Request) -> bytes:
    """The request's PDU. ValueError for counts or addresses outside the standard's bounds."""
    if not 0 <= request.address <= 0xFFFF:
        raise ValueError(f"address {request.address}")
    if isinstance(request, (Read, Trigger)):
        limit = MAX_BITS if request.function in READS_BITS else MAX_REGISTERS
        if not 1 <= request.count <= limit or request.address + request.count > 0x10000:
            raise ValueError(f"{request.count} from {request.address}: outside 1 to {limit}, or beyond address 65535")
        return _HEAD.pack(request.function, request.address, request.count)
    if isinstance(request, WriteOne):
        value = (0xFF00 if request.value else 0) if request.function == 5 else request.value
        if not 0 <= value <= 0xFFFF:
            raise ValueError(f"value {request.value}")
        return _HEAD.pack(request.function, request.address, value)
    if len(request.data) != _write_bytes(request.function, request.count):
        raise ValueError(f"{len(request.data)} bytes of data for {request.count} values")
    return _HEAD.pack(request.function, request.address, request.count) + bytes([len(request.data)]) + request.data


def _write_bytes(function: int, count: int) -> int:
    return (count + 7) // 8 if function == 15 else 2 * count


def decode_request(pdu: bytes) -> Request:
    """The server's half: read a request's PDU. ModbusError with the exception code to answer."""
    if not pdu:
        raise ModbusError(ILLEGAL_FUNCTION, "empty PDU")
    function = pdu[0]
    if function not in READS_BITS + READS_REGISTERS + WRITES_ONE + WRITES_MANY:
        raise ModbusError(ILLEGAL_FUNCTION, f"function {function}")
    if len(pdu) < _HEAD.size:
        raise ModbusError(ILLEGAL_VALUE, f"{len(pdu)} bytes")
    _, address, word = _HEAD.unpack_from(pdu)
    if function in WRITES_MANY:
        data = pdu[6:]
        if len(pdu) < 6 or pdu[5] != len(data) or len(data) != _write_bytes(function, word):
            raise ModbusError(ILLEGAL_VALUE, "byte count and quantity disagree")
        return WriteMany(function, address, word, data)
    if len(pdu) != _HEAD.size:
        raise ModbusError(ILLEGAL_VALUE, f"{len(pdu)} bytes, expected {_HEAD.size}")
    if function in WRITES_ONE:
        if function == 5 and word not in (0, 0xFF00):
            raise ModbusError(ILLEGAL_VALUE, f"coil value {word:04X}")
        return WriteOne(function, address, int(word == 0xFF00) if function == 5 else word)
    if not 1 <= word <= (MAX_BITS if function in READS_BITS else MAX_REGISTERS):
        raise ModbusError(ILLEGAL_VALUE, f"quantity {word}")
    return Read(function, address, word)


def encode_reply(request: Request, data: bytes = b"") -> bytes:
    """The server's half: the normal reply's PDU; ``data`` are a read's register or bit bytes."""
    if isinstance(request, Read):
        return bytes([request.function, len(data)]) + data
    if isinstance(request, Trigger):
        return bytes([request.function, 0])
    return encode_request(request)[:5]


def encode_exception(function: int, code: int) -> bytes:
    """The server's half: an exception's PDU."""
    return bytes([function | 0x80, code])


def match_reply(request: Request, pdu: bytes) -> tuple[bytes, int] | None:
    """(data, exception code) when the PDU answers this very request, else None.

    Function, byte count and (for writes) the echoed address and quantity must be what was asked: that is what
    tells an answer from a late one to another question.
    """
    if len(pdu) == 2 and pdu[0] == request.function | 0x80:
        return (b"", pdu[1]) if pdu[1] else None  # code 0 is no exception (V1.1b3, 7) and no success
    if len(pdu) != reply_size(request) or pdu[0] != request.function:
        return None
    if isinstance(request, Read):
        return (pdu[2:], 0) if pdu[1] == request.data_bytes else None
    if isinstance(request, Trigger):
        return (b"", 0) if pdu[1] == 0 else None
    return (b"", 0) if pdu == encode_request(request)[:5] else None


def reply_length(head: bytes) -> int | None:
    """Bytes of the reply PDU that starts with ``head``: None while undecided, 0 when no reply starts so."""
    if not head:
        return None
    function = head[0]
    if function & 0x80:
        return 2
    if function in READS_BITS + READS_REGISTERS:
        return None if len(head) < 2 else 2 + head[1]
    return 5 if function in WRITES_ONE + WRITES_MANY else 0


def request_length(head: bytes) -> int | None:
    """Bytes of the request PDU that starts with ``head``: None while undecided, 0 when no request starts so."""
    if not head:
        return None
    if head[0] in WRITES_MANY:
        return None if len(head) < 6 else 6 + head[5]
    return 5 if head[0] in READS_BITS + READS_REGISTERS + WRITES_ONE else 0
