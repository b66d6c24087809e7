"""The words a profile's ``[simulate]`` table may use; what they mean over time is the simulator's business.

Refuses a kind or a parameter it does not know, and a behaviour that leaves the point's range: a simulated unit must
never say what the real one cannot.
"""

import msgspec

from device_profiles.problems import nearest
from device_profiles.profiles import Physics, Point
from device_profiles.tables import Table


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a kind. ``many``: a list of numbers. ``above_zero``: must be more than zero."""

    required: bool = True
    many: bool = False
    above_zero: bool = False


KINDS: dict[str, dict[str, Parameter]] = {
    # value, always
    "constant": {"value": Parameter()},
    # mean ± swing as a sine of period_s seconds; noise: half-width of what is added at random
    "wave": {
        "mean": Parameter(),
        "swing": Parameter(),
        "period_s": Parameter(above_zero=True),
        "noise": Parameter(required=False),
    },
    # wanders from start by about step a second, never outside low to high
    "walk": {"start": Parameter(), "step": Parameter(above_zero=True), "low": Parameter(), "high": Parameter()},
    # start + rate_per_s × seconds, rolling over where the point's registers end
    "counter": {"start": Parameter(), "rate_per_s": Parameter(above_zero=True)},
    # each of values in turn, hold_s seconds each
    "steps": {"values": Parameter(many=True), "hold_s": Parameter(above_zero=True)},
}
"""Kinds of behaviour and their parameters, all in the point's own unit and in seconds."""


def read_physics(table: Table, point: Point) -> Physics | None:
    """Physics out of one row of ``[simulate]``; None, with every mistake noted, when the kind is missing or unknown."""
    kind = table.text("kind")
    if kind not in KINDS:
        if kind:
            table.trouble("kind", f"unknown kind {kind!r}", nearest(kind, KINDS))
        return None  # without a kind nobody knows which parameters are right
    parameters: dict[str, float | list[float]] = {}
    for name, parameter in KINDS[kind].items():
        if not table.has(name):
            if parameter.required:
                table.trouble(name, f"is missing: {kind} needs " + ", ".join(_required(kind)))
        elif parameter.many:
            parameters[name] = table.numbers(name)
            if not parameters[name]:
                table.trouble(name, "must hold at least one number")
        else:
            parameters[name] = table.number(name)
            if parameter.above_zero and not table.number(name) > 0:
                table.trouble(name, "must be more than 0")
    table.end()
    physics = Physics(kind=kind, parameters=parameters)
    _check_range(table, point, physics)
    return physics


def extent(physics: Physics) -> tuple[float, float] | None:
    """(lowest, highest) without noise, in the point's unit; None where unbounded or where a parameter is missing."""
    got = {name: value for name, value in physics.parameters.items() if not isinstance(value, list)}
    try:
        match physics.kind:
            case "constant":
                return got["value"], got["value"]
            case "wave":
                return got["mean"] - abs(got["swing"]), got["mean"] + abs(got["swing"])
            case "walk":
                return got["low"], got["high"]
            case "steps":
                values = physics.parameters["values"]
                return (min(values), max(values)) if isinstance(values, list) and values else None
    except KeyError:
        return None
    return None


def _required(kind: str) -> list[str]:
    return [name for name, parameter in KINDS[kind].items() if parameter.required]


def _check_range(table: Table, point: Point, physics: Physics) -> None:
    spread = extent(physics)
    if spread is None:
        return
    low, high = spread
    if low > high:
        table.trouble("low", f"low {low:g} is above high {high:g}")
    start = physics.parameters.get("start")
    if physics.kind == "walk" and isinstance(start, (int, float)) and not low <= start <= high:
        table.trouble("start", f"starts at {start:g}, outside its own {low:g} to {high:g}")
    if point.range is not None and not point.range[0] <= low <= high <= point.range[1]:
        table.trouble(
            "", f"reaches {low:g} to {high:g}, beyond the point's range {point.range[0]:g} to {point.range[1]:g}"
        )
