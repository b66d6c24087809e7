"""The Modbus codec held against pymodbus, and against what a bad line does (hostile bytes: test_modbus_fuzz)."""

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu import bit_message as bits
from pymodbus.pdu import register_message as registers

from device_profiles.codecs import modbus_rtu, modbus_tcp
from device_profiles.codecs.modbus_pdu import (
    Read,
    Request,
    WriteMany,
    WriteOne,
    decode_request,
    encode_exception,
    encode_reply,
    encode_request,
    match_reply,
    reply_length,
    reply_size,
    request_length,
)
from device_profiles.codecs.modbus_rtu import RtuExchange, RtuRequestReader
from device_profiles.codecs.modbus_tcp import TcpExchange, TcpRequestReader
from device_profiles.quality import Reason


def _values(function: int, count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 1 if function in (1, 2, 15) else 0xFFFF), min_size=count, max_size=count)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Request, bytes, list[int]]:
    """A request, the data its reply carries, and the values in it."""
    function = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16]))
    address = draw(st.integers(0, 0xF000))
    if function in (5, 6):
        value = draw(st.integers(0, 1 if function == 5 else 0xFFFF))
        return WriteOne(function, address, value), b"", [value]
    count = draw(st.integers(1, {1: 2000, 2: 2000, 3: 125, 4: 125, 15: 1968, 16: 123}[function]))
    values = draw(_values(function, min(count, 24)))
    values = (values * (count // len(values) + 1))[:count]
    data = _packed(values) if function in (1, 2, 15) else b"".join(value.to_bytes(2, "big") for value in values)
    if function < 5:
        return Read(function, address, count), data, values
    return WriteMany(function, address, count, data), b"", values


def _packed(states: list[int]) -> bytes:
    return sum(state << at for at, state in enumerate(states)).to_bytes((len(states) + 7) // 8, "little")


def _pymodbus_request(request: Request, values: list[int]) -> ModbusPDU:
    """The same request, made by pymodbus."""
    address = request.address
    match request:
        case Read(function=1):
            return bits.ReadCoilsRequest(address=address, count=request.count)
        case Read(function=2):
            return bits.ReadDiscreteInputsRequest(address=address, count=request.count)
        case Read(function=3):
            return registers.ReadHoldingRegistersRequest(address=address, count=request.count)
        case Read():
            return registers.ReadInputRegistersRequest(address=address, count=request.count)
        case WriteOne(function=5):
            return bits.WriteSingleCoilRequest(address=address, bits=[bool(values[0])])
        case WriteOne():
            return registers.WriteSingleRegisterRequest(address=address, registers=values)
        case WriteMany(function=15):
            return bits.WriteMultipleCoilsRequest(address=address, bits=[bool(value) for value in values])
        case _:
            return registers.WriteMultipleRegistersRequest(address=address, registers=values)


def _pymodbus_reply(request: Request, values: list[int]) -> ModbusPDU:
    """The reply that pymodbus would give."""
    address, states = request.address, [bool(value) for value in values]
    match request:
        case Read(function=1):
            return bits.ReadCoilsResponse(bits=states)
        case Read(function=2):
            return bits.ReadDiscreteInputsResponse(bits=states)
        case Read(function=3):
            return registers.ReadHoldingRegistersResponse(registers=values)
        case Read():
            return registers.ReadInputRegistersResponse(registers=values)
        case WriteOne(function=5):
            return bits.WriteSingleCoilResponse(address=address, bits=states[:1])
        case WriteOne():
            return registers.WriteSingleRegisterResponse(address=address, registers=values)
        case WriteMany(function=15):
            return bits.WriteMultipleCoilsResponse(address=address, count=request.count)
        case _:
            return registers.WriteMultipleRegistersResponse(address=address, count=request.count)


def _built(framer: FramerRTU | FramerSocket, pdu: ModbusPDU, unit: int, transaction: int = 0) -> bytes:
    pdu.dev_id, pdu.transaction_id = unit, transaction
    return framer.buildFrame(pdu)


UNITS = st.integers(1, 247)


@given(conversations(), UNITS)
def test_rtu_requests_are_those_of_pymodbus(talk: tuple[Request, bytes, list[int]], unit: int) -> None:
    request, _, values = talk
    theirs = _built(FramerRTU(DecodePDU(True)), _pymodbus_request(request, values), unit)
    assert RtuExchange(unit, request).request() == theirs


@given(conversations(), UNITS, st.integers(0, 0xFFFF))
def test_tcp_requests_are_those_of_pymodbus(talk: tuple[Request, bytes, list[int]], unit: int, number: int) -> None:
    request, _, values = talk
    theirs = _built(FramerSocket(DecodePDU(True)), _pymodbus_request(request, values), unit, number)
    assert TcpExchange(unit, request, number).request() == theirs


@given(conversations(), UNITS)
def test_rtu_replies_of_pymodbus_are_read(talk: tuple[Request, bytes, list[int]], unit: int) -> None:
    request, data, values = talk
    theirs = _built(FramerRTU(DecodePDU(False)), _pymodbus_reply(request, values), unit)
    assert modbus_rtu.frame(unit, encode_reply(request, data)) == theirs
    exchange = RtuExchange(unit, request)
    exchange.feed(theirs)
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception, answer.frame) == (data, 0, theirs)
    assert exchange.shape == (request.function, len(theirs))


@given(conversations(), UNITS, st.integers(0, 0xFFFF))
def test_tcp_replies_of_pymodbus_are_read(talk: tuple[Request, bytes, list[int]], unit: int, number: int) -> None:
    request, data, values = talk
    theirs = _built(FramerSocket(DecodePDU(False)), _pymodbus_reply(request, values), unit, number)
    assert modbus_tcp.frame(number, unit, encode_reply(request, data)) == theirs
    exchange = TcpExchange(unit, request, number)
    exchange.feed(theirs)
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception, answer.frame) == (data, 0, theirs)


@given(conversations(), UNITS, st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10, 11]))
def test_exceptions_of_pymodbus_are_read(talk: tuple[Request, bytes, list[int]], unit: int, code: int) -> None:
    request = talk[0]
    theirs = _built(FramerRTU(DecodePDU(False)), ExceptionResponse(request.function, code), unit)
    assert modbus_rtu.frame(unit, encode_exception(request.function, code)) == theirs
    exchange = RtuExchange(unit, request)
    exchange.feed(theirs)
    answer = exchange.take()
    assert answer is not None
    assert (answer.data, answer.exception) == (b"", code)


@given(conversations(), UNITS)
def test_the_servers_half_reads_what_the_clients_half_sends(talk: tuple[Request, bytes, list[int]], unit: int) -> None:
    request = talk[0]
    pdu = encode_request(request)
    assert decode_request(pdu) == request
    assert request_length(pdu) == len(pdu)
    assert [unit, pdu] == list(RtuRequestReader().feed(modbus_rtu.frame(unit, pdu))[0])
    assert TcpRequestReader().feed(modbus_tcp.frame(7, unit, pdu)) == [(7, unit, pdu)]


@given(conversations())
def test_reply_lengths_are_known_beforehand(talk: tuple[Request, bytes, list[int]]) -> None:
    request, data, _ = talk
    pdu = encode_reply(request, data)
    assert len(pdu) == reply_size(request) == reply_length(pdu)
    assert match_reply(request, pdu) == (data, 0)


# --- what a line does to frames -------------------------------------------------------------------------------------


def _feed_in_pieces(exchange: RtuExchange | TcpExchange, data: bytes, cuts: list[int]) -> None:
    at = 0
    for cut in [*sorted(set(cuts)), len(data)]:
        exchange.feed(data[at:cut])
        exchange.take()
        at = max(at, cut)


@given(conversations(), UNITS)
def test_one_byte_at_a_time(talk: tuple[Request, bytes, list[int]], unit: int) -> None:
    request, data, _ = talk
    reply = modbus_rtu.frame(unit, encode_reply(request, data))
    exchange = RtuExchange(unit, request)
    for byte in reply[:-1]:
        exchange.feed(bytes([byte]))
        assert exchange.take() is None
        assert exchange.started
    exchange.feed(reply[-1:])
    answer = exchange.take()
    assert answer is not None
    assert answer.data == data
    assert exchange.strays == []


@given(conversations(), UNITS)
def test_one_byte_at_a_time_over_tcp(talk: tuple[Request, bytes, list[int]], unit: int) -> None:
    request, data, _ = talk
    exchange = TcpExchange(unit, request, 513)
    reply = modbus_tcp.frame(513, unit, encode_reply(request, data))
    for byte in reply[:-1]:
        exchange.feed(bytes([byte]))
        assert exchange.take() is None
    exchange.feed(reply[-1:])
    answer = exchange.take()
    assert answer is not None
    assert answer.data == data


@given(
    conversations(), UNITS, st.binary(max_size=20), st.binary(max_size=20), st.lists(st.integers(0, 300), max_size=6)
)
def test_garbage_before_and_after(
    talk: tuple[Request, bytes, list[int]], unit: int, before: bytes, after: bytes, cuts: list[int]
) -> None:
    """The answer is found behind any noise that is no checked frame of the same shape itself."""
    request, data, _ = talk
    reply = modbus_rtu.frame(unit, encode_reply(request, data))
    exchange = RtuExchange(unit, request)
    _feed_in_pieces(exchange, before + reply + after, cuts)
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.data == data or answer.exception
    told = b"".join(stray.data for stray in exchange.strays)
    assert told + answer.frame + exchange.rest == before + reply + after


@given(conversations(), UNITS, UNITS)
def test_a_reply_glued_behind_anothers(talk: tuple[Request, bytes, list[int]], unit: int, other: int) -> None:
    """Another unit's late reply in front is set aside whole and named."""
    if unit == other:
        return
    request, data, _ = talk
    reply = modbus_rtu.frame(unit, encode_reply(request, data))
    late = modbus_rtu.frame(other, encode_reply(request, data))
    exchange = RtuExchange(unit, request)
    exchange.feed(late + reply)
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.frame == reply
    assert [(stray.reason, stray.unit, stray.shape) for stray in exchange.strays] == [
        (Reason.LATE, other, exchange.shape)
    ]


@given(conversations(), UNITS, st.integers(0, 10_000))
def test_a_truncated_reply_is_no_answer(talk: tuple[Request, bytes, list[int]], unit: int, cut: int) -> None:
    request, data, _ = talk
    reply = modbus_rtu.frame(unit, encode_reply(request, data))
    kept = reply[: cut % len(reply)]
    exchange = RtuExchange(unit, request)
    exchange.feed(kept)
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is (Reason.TRUNCATED if kept else Reason.TIMEOUT)


@given(conversations(), UNITS, st.integers(0, 10_000), st.integers(1, 255))
def test_one_wrong_byte_is_no_answer(talk: tuple[Request, bytes, list[int]], unit: int, place: int, flip: int) -> None:
    """CRC-16 catches every error burst of up to 16 bits (V1.02, 6.2.2): one byte changed is never taken."""
    request, data, _ = talk
    reply = bytearray(modbus_rtu.frame(unit, encode_reply(request, data)))
    reply[place % len(reply)] ^= flip
    exchange = RtuExchange(unit, request)
    exchange.feed(bytes(reply))
    assert exchange.take(silent=True) is None
    assert exchange.conclude() in (
        Reason.BAD_CHECKSUM,
        Reason.TRUNCATED,
        Reason.NOISE,
        Reason.TIMEOUT,
        Reason.WRONG_UNIT,
    )


def test_an_exception_with_the_code_zero_is_no_success() -> None:
    """Found by the fuzzer: it passed for a normal reply without data."""
    nonsense = modbus_rtu.frame(1, bytes([0x83, 0]))
    good = bytes.fromhex("01 03 04 01 D7 00 D6 CA 69")
    exchange = RtuExchange(1, Read(3, 0, 2))
    exchange.feed(nonsense)
    assert exchange.take(silent=True) is None
    exchange.feed(good)
    answer = exchange.take()
    assert answer is not None
    assert answer.frame == good
    over_tcp = TcpExchange(1, Read(3, 0, 2), 9)
    over_tcp.feed(modbus_tcp.frame(9, 1, bytes([0x83, 0])))
    assert over_tcp.take() is None
    assert [stray.data[-2:] for stray in over_tcp.strays] == [bytes([0x83, 0])]


def test_a_bad_checksum_is_called_so() -> None:
    exchange = RtuExchange(1, Read(3, 0, 2))
    exchange.feed(bytes.fromhex("01 03 04 01 D7 00 D6 CA 68"))
    assert exchange.take(silent=True) is None
    assert exchange.conclude() is Reason.BAD_CHECKSUM


def test_a_good_frame_may_start_inside_a_bad_one() -> None:
    good = bytes.fromhex("01 03 04 01 D7 00 D6 CA 69")
    exchange = RtuExchange(1, Read(3, 0, 2))
    exchange.feed(good[:5] + good)
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.frame == good


@given(conversations(), UNITS)
def test_an_echo_is_told_apart(talk: tuple[Request, bytes, list[int]], unit: int) -> None:
    request, data, _ = talk
    exchange = RtuExchange(unit, request, echo=True)
    reply = modbus_rtu.frame(unit, encode_reply(request, data))
    for byte in exchange.request() + reply:
        exchange.feed(bytes([byte]))
    answer = exchange.take(silent=True)
    assert answer is not None
    assert answer.frame == reply
    assert [stray.reason for stray in exchange.strays] == [Reason.ECHO]


@given(conversations(), UNITS, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_an_old_transaction_is_never_taken(
    talk: tuple[Request, bytes, list[int]], unit: int, now: int, then: int
) -> None:
    if now == then:
        return
    request, data, _ = talk
    exchange = TcpExchange(unit, request, now)
    exchange.feed(modbus_tcp.frame(then, unit, encode_reply(request, data)))
    assert exchange.take() is None
    assert [stray.reason for stray in exchange.strays] == [Reason.LATE]
    exchange.feed(modbus_tcp.frame(now, unit, encode_reply(request, data)))
    assert exchange.take() is not None


def test_quantity_zero_can_be_said() -> None:
    """Yosemitech's 0x1C00 starts a measurement with function 16 and nothing to write."""
    request = WriteMany(16, 0x1C00, 0, b"")
    pdu = bytes.fromhex("10 1C 00 00 00 00")
    assert encode_request(request) == pdu
    assert decode_request(encode_request(request)) == request
