"""A profile's examples held against its protocol's own codec, and what all protocols share in doing so.

An example is a published frame or a computed one; decoding it must give the values it names, and encoding those must
give its bytes again. Raises nothing.
"""

import math
from collections.abc import Mapping

from device_profiles.profiles import DeviceProfile, Example, Point, RegisterPoint
from device_profiles.protocols import module_of
from device_profiles.quality import GOOD_CODE, split_code
from device_profiles.quantities import QUANTITIES, to_canonical
from device_profiles.readings import Value

SIGNED_TYPES = ("i16", "i32", "i64", "f32", "f64", "sm16", "i16_over_10000")


def complaints_about(profile: DeviceProfile, example: Example) -> list[str]:
    """What is wrong with one example; empty when all is well."""
    return module_of(profile.protocol).complaints_about(profile, example)


def compare(profile: DeviceProfile, example: Example, decoded: Mapping[str, tuple[Value, int]]) -> list[str]:
    """What differs between the values that an example names and those decoded, {point: (value or None, code)}."""
    if set(decoded) != set(example.values):
        return [f"{name} is not in the reply" for name in example.values if name not in decoded] + [
            f"{name} is in the reply and has no value in the example" for name in decoded if name not in example.values
        ]
    found = []
    for name, (value, code) in decoded.items():
        point, wanted = profile.point(name), example.values[name]
        got: Value = value if code == GOOD_CODE else split_code(code)[1].word
        if got != wanted:
            found.append(f"{name} reads {got!r}, the example says {wanted!r}")
        elif isinstance(value, (int, float)) and not is_plausible(point, value):
            found.append(f"{name} = {value:g} {point.unit} is outside its range")
    return found


def encodable(profile: DeviceProfile, example: Example) -> dict[str, Value]:
    """The example's values as an encoder takes them: None where the example names a reason instead of a value."""
    return {
        name: None if isinstance(wanted, str) and not profile.point(name).text else wanted
        for name, wanted in example.values.items()
    }


def is_plausible(point: Point, value: float) -> bool:
    """True when a value (in the point's unit) lies in the point's range and in what its quantity can be at all."""
    if not math.isfinite(value):
        return False
    quantity = QUANTITIES[point.quantity]
    scale, offset = to_canonical(point.quantity, point.unit)
    low, high = point.range or (-math.inf, math.inf)
    return low <= value <= high and quantity.low <= value * scale + offset <= quantity.high


def goes_below_zero(point: Point) -> bool:
    """True when a negative value is possible: by the range, or without one by what the wire and quantity can say."""
    if point.text:
        return False
    if point.range is not None:
        return point.range[0] < 0
    if isinstance(point, RegisterPoint):
        return point.type != "bit" and (point.type in SIGNED_TYPES or point.scale < 0 or point.offset < 0)
    scale, offset = to_canonical(point.quantity, point.unit)
    return (QUANTITIES[point.quantity].low - offset) / scale < 0


def points_without_negative(profile: DeviceProfile) -> list[str]:
    """Points that can go below zero and have no example there: the place where look-alike sensors differ most."""
    shown = {
        name
        for example in profile.examples
        for name, value in example.values.items()
        if isinstance(value, (int, float)) and value < 0
    }
    return [point.name for point in profile.points if goes_below_zero(point) and point.name not in shown]


def points_without_example(profile: DeviceProfile) -> list[str]:
    """Points that no example names."""
    shown = {name for example in profile.examples for name in example.values}
    return [point.name for point in profile.points if point.name not in shown]
