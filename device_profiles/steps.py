"""A step of a measuring sequence as a Modbus request. Pure."""

from device_profiles.codecs.modbus_pdu import Trigger, WriteMany, WriteOne
from device_profiles.profiles import Step

Doing = Trigger | WriteOne | WriteMany


def request_of(step: Step) -> Doing:
    """The request that takes the step. ValueError for a function that takes none."""
    if step.function in (3, 4) and step.empty:
        return Trigger(step.function, step.address, step.count)
    if step.function == 6 and step.value is not None:
        return WriteOne(6, step.address, step.value)
    if step.function == 16:
        data = b"" if step.value is None else step.value.to_bytes(2, "big")
        return WriteMany(16, step.address, len(data) // 2, data)
    raise ValueError(f"function {step.function} takes no step")
