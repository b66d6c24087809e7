"""What one message of a calling device says, whatever its protocol: values, their times, and how to know it again."""

import msgspec

from device_profiles.quality import Quality, Reason
from device_profiles.readings import Lane, Value


class Reported(msgspec.Struct, frozen=True):
    """One value of one point. ``at``: UTC µs at the device, None where the device did not say."""

    point: str
    value: Value
    at: int | None = None
    quality: Quality = Quality.GOOD
    reason: Reason = Reason.NONE

    def __post_init__(self) -> None:
        if self.quality is Quality.BAD and self.value is not None:
            raise ValueError(f"{self.point}: a BAD reading carries no value, got {self.value!r}")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One message's readings.

    ``key``: the protocol's own number of the message, by which a retransmission is known; empty where it has none.
    ``unmapped``: what the device said and no point of its profile names: counted, shown, never passed over in silence.
    ``repeats``: the device says it again until it is acknowledged; where it does not, a refusal is a loss.
    """

    readings: tuple[Reported, ...]
    key: bytes = b""
    lane: Lane = Lane.LIVE
    unmapped: dict[str, str] = {}
    repeats: bool = True
