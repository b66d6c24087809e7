"""A register point's value as a Modbus write, and whether what is read back is what was written. Pure.

Coils go by function 5, single registers by 6, longer values by 16 (MODBUS Application Protocol V1.1b3, 6.5, 6.6, 6.12).
A masked point shares its register: the other bits are read first and written back as they were.
"""

from device_profiles.codecs.modbus_pdu import Read, WriteMany, WriteOne
from device_profiles.profiles import READ_FUNCTION, RegisterPoint
from device_profiles.registers import byte_positions, encode_value
from device_profiles.spans import BIT_TABLES

Write = WriteOne | WriteMany


def read_of(point: RegisterPoint) -> Read:
    """The read of this point and nothing else."""
    return Read(READ_FUNCTION[point.table], point.address, point.registers)


def needs_reading(point: RegisterPoint) -> bool:
    """True when the register holds bits of others."""
    return point.mask is not None


def wanted_data(point: RegisterPoint, value: float, before: bytes = b"") -> bytes:
    """What a read of the point answers once ``value`` is there. ``before``: what it answered, for a masked point.

    ValueError when the value does not fit.
    """
    if point.table in BIT_TABLES:
        return bytes([int(value != 0)])
    data = encode_value(point, value)
    if point.mask is None:
        return data
    mask = mask_bytes(point)
    return bytes(old & ~bit & 0xFF | new for old, new, bit in zip(before, data, mask, strict=True))


def mask_bytes(point: RegisterPoint) -> bytes:
    """The point's mask as it lies over the register bytes on the wire; all ones where it has none."""
    size = 2 * point.registers
    if point.mask is None:
        return b"\xff" * size
    big = point.mask.to_bytes(size, "big")
    wire = bytearray(size)
    for position, at in enumerate(byte_positions(point.order, size)):
        wire[at] = big[position]
    return bytes(wire)


def write_of(point: RegisterPoint, data: bytes, many: bool = False) -> Write:
    """The request that makes a read of the point answer ``data``; ``many``: for a unit that knows only 15 and 16."""
    if point.table in BIT_TABLES:
        return WriteMany(15, point.address, 1, data[:1]) if many else WriteOne(5, point.address, data[0] & 1)
    if len(data) == 2 and not many:
        return WriteOne(6, point.address, int.from_bytes(data, "big"))
    return WriteMany(16, point.address, len(data) // 2, data)


def agrees(point: RegisterPoint, wanted: bytes, found: bytes) -> bool:
    """True when what was read back is what was written, as far as it is the point's own."""
    if point.table in BIT_TABLES:
        return len(found) > 0 and wanted[0] & 1 == found[0] & 1
    mask = mask_bytes(point)
    return len(found) == len(wanted) and all(
        (one ^ other) & bit == 0 for one, other, bit in zip(wanted, found, mask, strict=True)
    )
