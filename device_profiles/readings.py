"""One value of one point at one instant, and its opposite: readings that are known not to exist."""

from enum import IntEnum, unique

import msgspec

from device_profiles.quality import Quality, Reason

Value = float | int | str | bool | None


@unique
class Lane(IntEnum):
    """Order of leaving a spool: events at once, live next, backlog without delaying or starving."""

    EVENT = 0
    LIVE = 1
    BACKLOG = 2

    @property
    def word(self) -> str:
        """The word used in JSON and tables."""
        return self.name.lower()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What people see of a value: the columnar path never builds one.

    ``at`` is the time at the device, UTC µs. A BAD reading carries None: never a zero, never the last value.
    """

    device: str
    point: str
    value: Value
    at: int
    quality: Quality = Quality.GOOD
    reason: Reason = Reason.NONE

    def __post_init__(self) -> None:
        if self.quality is Quality.BAD and self.value is not None:
            raise ValueError(f"{self.device}.{self.point}: a BAD reading carries no value, got {self.value!r}")


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Readings known not to exist, and why. ``readings`` is None where nobody can know how many.

    ``first_seq``/``last_seq`` name the batches given up where they had been numbered. ``begin``/``end``: UTC µs.
    ``devices`` is empty when the gap concerns all devices of the origin.
    """

    origin: str
    epoch: int
    reason: Reason
    begin: int
    end: int
    readings: int | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    devices: tuple[str, ...] = ()
