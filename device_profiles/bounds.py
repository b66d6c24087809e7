"""May this be written to that point? The profile's ``writable`` range, the point's kind, and what its wire can say."""

from device_profiles.profiles import DeviceProfile, Point, RegisterPoint
from device_profiles.protocols import module_of


def refusal_of(profile: DeviceProfile, name: str, value: float) -> str:
    """Why ``value`` (in the point's unit) must not be written to the point called ``name``; "" when it may be."""
    try:
        point = profile.point(name)
    except KeyError:
        return f"a {profile.model} has no point {name!r}"
    bounds = point.writable
    if bounds is None or point.text:
        return f"{name} of a {profile.model} cannot be written"
    if not bounds.low <= value <= bounds.high:
        return f"{value:g} is outside {bounds.low:g} to {bounds.high:g} {point.unit}"
    if is_switch(point) and value not in (0, 1):
        return f"{name} is a switch: 0 or 1, not {value:g}"
    try:
        module_of(profile.protocol).check_value(point, value)
    except ValueError as trouble:
        return str(trouble)
    return ""


def is_switch(point: Point) -> bool:
    """True for a point that knows only on and off: nothing in between may be rounded to either."""
    return point.quantity == "state" or (isinstance(point, RegisterPoint) and point.type == "bit")
