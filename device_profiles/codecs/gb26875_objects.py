"""The objects of GB/T 26875.3-2011 units (8.2.1, 8.3): what a system, a part or a transmitter says, what a centre asks.

Times stay the six bytes that were sent (``gb26875.read_time``), texts the bytes that were sent
(``gb26875_units.read_text``). Refuses nothing: how the objects lie in a unit is ``gb26875_units``.
"""

import msgspec

TEXT_BYTES = 31
"""Of a part's description (8.2.1.2)."""


class SystemState(msgspec.Struct, frozen=True):
    """Type 1. ``state``: bits, ``gb26875_words.SYSTEM_BITS``; ``time``: six bytes, none where it was left out."""

    system_type: int
    system_address: int
    state: int
    time: bytes = b""


class PartState(msgspec.Struct, frozen=True):
    """Type 2. ``state``: bits, ``gb26875_words.PART_BITS``; ``text``: GB 18030, 31 bytes, stale ones behind a NUL."""

    system_type: int
    system_address: int
    part_type: int
    part_address: int
    state: int
    text: bytes = bytes(TEXT_BYTES)
    time: bytes = b""


class PartValue(msgspec.Struct, frozen=True):
    """Type 3. ``value``: raw and signed (8.2.1.3); its step is the type's, ``gb26875_words.MEASURES``."""

    system_type: int
    system_address: int
    part_type: int
    part_address: int
    value_type: int
    value: int
    time: bytes = b""


class SystemOperation(msgspec.Struct, frozen=True):
    """Type 4. ``operation``: bits, ``gb26875_words.OPERATION_BITS``."""

    system_type: int
    system_address: int
    operation: int
    operator: int
    time: bytes = b""


class SystemVersion(msgspec.Struct, frozen=True):
    """Type 5."""

    system_type: int
    system_address: int
    major: int
    minor: int


class SystemConfig(msgspec.Struct, frozen=True):
    """Type 6. ``text``: GB 18030, at most 255 bytes."""

    system_type: int
    system_address: int
    text: bytes


class PartConfig(msgspec.Struct, frozen=True):
    """Type 7. ``text``: GB 18030, 31 bytes."""

    system_type: int
    system_address: int
    part_type: int
    part_address: int
    text: bytes = bytes(TEXT_BYTES)


class SystemTime(msgspec.Struct, frozen=True):
    """Type 8: the panel's clock."""

    system_type: int
    system_address: int
    time: bytes


class TransmitterState(msgspec.Struct, frozen=True):
    """Type 21. ``state``: bits, ``gb26875_words.TRANSMITTER_BITS``."""

    state: int
    time: bytes = b""


class TransmitterOperation(msgspec.Struct, frozen=True):
    """Type 24. ``operation``: bits, ``gb26875_words.TRANSMITTER_OPERATION_BITS``."""

    operation: int
    operator: int
    time: bytes = b""


class TransmitterVersion(msgspec.Struct, frozen=True):
    """Type 25."""

    major: int
    minor: int


class TransmitterConfig(msgspec.Struct, frozen=True):
    """Type 26. ``text``: GB 18030, at most 255 bytes."""

    text: bytes


class Clock(msgspec.Struct, frozen=True):
    """Types 28, the transmitter's clock, and 90, the centre's, which it shall take."""

    time: bytes


class ReadSystem(msgspec.Struct, frozen=True):
    """Types 61, 65, 66 and 68: state, version, configuration or clock of a system."""

    system_type: int
    system_address: int


class ReadPart(msgspec.Struct, frozen=True):
    """Types 62, 63 and 67: state, values or configuration of a part (8.3.2.2: without its type)."""

    system_type: int
    system_address: int
    part_address: int


class ReadSystemRecords(msgspec.Struct, frozen=True):
    """Type 64: so many operations of a system since a time."""

    system_type: int
    system_address: int
    count: int
    since: bytes


class ReadTransmitterRecords(msgspec.Struct, frozen=True):
    """Type 84: so many operations of the transmitter since a time."""

    count: int
    since: bytes


class Order(msgspec.Struct, frozen=True):
    """Types 81, 85, 86, 88: read state, version, configuration or clock of the transmitter; 89: initialise it
    (``value`` 0); 91: post check, to be answered by the guard within ``value`` minutes."""

    value: int = 0


Object = (
    SystemState
    | PartState
    | PartValue
    | SystemOperation
    | SystemVersion
    | SystemConfig
    | PartConfig
    | SystemTime
    | TransmitterState
    | TransmitterOperation
    | TransmitterVersion
    | TransmitterConfig
    | Clock
    | ReadSystem
    | ReadPart
    | ReadSystemRecords
    | ReadTransmitterRecords
    | Order
)
