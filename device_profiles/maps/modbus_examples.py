"""A Modbus profile's examples held against our own codec: the same check for ``lint``, the laws and a bug report.

An example is a published frame or a computed one; either way its request must be what we would send, its reply must
decode to the values it names, and encoding those must give the reply's bytes again. Raises nothing.
"""

from device_profiles.codecs.modbus_pdu import ModbusError, Read, decode_request, encode_reply
from device_profiles.codecs.modbus_rtu import RtuExchange, RtuRequestReader, crc16, frame
from device_profiles.examples import compare, encodable
from device_profiles.profiles import READ_FUNCTION, DeviceProfile, Example
from device_profiles.quality import GOOD_CODE
from device_profiles.readings import Value
from device_profiles.spans import BIT_TABLES, compile_span, encode_registers

TABLE_OF = {function: table for table, function in READ_FUNCTION.items()}


def example_read(example: Example) -> tuple[int, Read] | None:
    """(unit, read) that an example's request asks; None when it is no whole, checked RTU read."""
    found = RtuRequestReader().feed(example.request)
    if len(found) != 1 or len(frame(*found[0])) != len(example.request):
        return None
    unit, pdu = found[0]
    try:
        request = decode_request(pdu)
    except ModbusError:
        return None
    return (unit, request) if isinstance(request, Read) else None


def decode_reply(profile: DeviceProfile, read: Read, data: bytes) -> dict[str, tuple[Value, int]]:
    """{point: (value, code)} out of the register (or bit) bytes that answer a read; None where there is no value."""
    decoder = compile_span(profile.modbus.points, TABLE_OF[read.function], read.address, read.count)
    values, codes = decoder.decode(data)
    return {
        point.name: (value if code == GOOD_CODE else None, code)
        for point, value, code in zip(decoder.points, values, codes, strict=True)
    }


def encode_read(profile: DeviceProfile, read: Read, values: dict[str, Value]) -> bytes | None:
    """The register (or bit) bytes a unit with these values would send; None when the read meets a hole in the map."""
    table = TABLE_OF[read.function]
    cells = encode_registers(profile.modbus.points, values)
    wanted = [(table, address) for address in range(read.address, read.address + read.count)]
    if any(cell not in cells for cell in wanted):
        return None
    if table in BIT_TABLES:
        bits = sum(cells[cell] << place for place, cell in enumerate(wanted))
        return bits.to_bytes((read.count + 7) // 8, "little")
    return b"".join(cells[cell].to_bytes(2, "big") for cell in wanted)


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with one example; empty when all is well."""
    asked = example_read(example)
    if asked is None:
        return ["the request is no whole, checked Modbus RTU read" + _right_check(example.request)]
    unit, read = asked
    exchange = RtuExchange(unit, read)
    if exchange.request() != example.request:
        return ["we would not send this request: " + exchange.request().hex(" ").upper()]
    if read.count > profile.modbus.max_block:
        return [f"asks for {read.count} registers at once, max_block is {profile.modbus.max_block}"]
    exchange.feed(example.reply)
    answer = exchange.take(silent=True)
    if answer is None:
        return [f"the reply does not answer the request: {exchange.conclude().word}" + _right_check(example.reply)]
    if answer.exception:
        return [f"the reply is an exception ({answer.exception}): an example needs values"]
    decoded = decode_reply(profile, read, answer.data)
    if set(decoded) != set(example.values):
        return compare(profile, example, decoded)
    return compare(profile, example, decoded) + _backwards(profile, example, unit, read)


def _right_check(data: bytes) -> str:
    """A remark when the frame's check is wrong: vendors' pages are full of such."""
    right = crc16(data[:-2]).to_bytes(2, "little")
    return "" if len(data) < 4 or data[-2:] == right else f" (its check should be {right.hex(' ').upper()})"


def _backwards(profile: DeviceProfile, example: Example, unit: int, read: Read) -> list[str]:
    """The example's values, encoded by the profile read backwards, must be the reply."""
    try:
        data = encode_read(profile, read, encodable(profile, example))
    except ValueError as trouble:
        return [f"cannot be encoded: {trouble}"]
    if data is None:
        return ["reads a register that belongs to no point of the profile"]
    built = frame(unit, encode_reply(read, data))
    return [] if built == example.reply else ["encoding the values gives another reply: " + built.hex(" ").upper()]
