"""The listeners of a street's pole and who calls them, out of its TOML.

Refuses callers whose protocol is not their listener's, options that their talker does not know, and damaged frames
where nobody could notice the damage.
"""

from __future__ import annotations

from collections.abc import Mapping

from device_profiles.problems import nearest
from device_profiles.profiles import DeviceProfile, Point
from device_profiles.tables import Table
from firmware_sim.callers.making import PROTOCOLS, make_talker
from firmware_sim.physics import Signal
from firmware_sim.street import CallerPlan, ListenerPlan, Option
from firmware_sim.street_faults import read_caller_faults

TRANSPORTS = {
    "hj212": ("tcp",),
    "gb26875": ("tcp",),
    "sl651": ("tcp", "udp"),
    "jt808": ("tcp", "udp"),
    "lwm2m": ("coap",),
    "payload": ("udp", "coap"),
}
"""What a gateway listens on for each protocol, the usual one first."""
POLICIES = ("refuse", "quarantine")
UNCHECKED = ("payload", "lwm2m")
"""Protocols whose frames carry no check of their own, unless their talker says so (`checked`)."""
NOON = 1_790_000_000_000_000
"""A moment (UTC µs) at which a caller is made to speak once, to see that it can."""
Library = Mapping[str, DeviceProfile]


def read_listener(table: Table, library: Library, seen: dict[str, str]) -> ListenerPlan:
    """One `[[poles.listeners]]` row; `seen`: devices so far and where they stand."""
    protocol = table.choice("protocol", PROTOCOLS)
    transports = TRANSPORTS.get(protocol, ("tcp",))
    transport = table.choice("transport", transports, transports[0])
    callers = tuple(
        _caller(caller, library, seen, protocol, transport) for caller in table.tables("callers")
    )
    if not callers:
        table.trouble("", "nobody calls this listener")
    for index, (caller, row) in enumerate(zip(callers, table.tables("callers"), strict=True)):
        if caller.id in [other.id for other in callers[:index]]:
            row.trouble("id", f"{caller.id!r} calls here already")
    plan = ListenerPlan(
        name=table.text("name"),
        protocol=protocol,
        transport=transport,
        port=table.integer("port", 0, low=0, high=65_535),
        unknown=table.choice("unknown", POLICIES, "refuse"),
        options=_options(table.table("options")),
        secret=_secret(table),
        callers=callers,
    )
    table.end()
    return plan


def _caller(table: Table, library: Library, seen: dict[str, str], protocol: str, transport: str) -> CallerPlan:
    device, model = table.text("device"), table.text("profile")
    if device in seen:
        table.trouble("device", f"{device!r} is taken by {seen[device]}")
    seen.setdefault(device, table.name)
    profile = library.get(model)
    if profile is None and model:
        table.trouble("profile", f"there is no profile {model!r}", nearest(model, library))
    elif profile is not None and profile.protocol != protocol:
        table.trouble("profile", f"{model} speaks {profile.protocol}, its listener {protocol}")
    elif profile is not None and getattr(profile.map, "transport", transport) != transport:
        table.trouble("profile", f"{model} calls over {getattr(profile.map, 'transport', '')}, not {transport}")
    stand_in = profile or next(iter(library.values()))  # so that checking goes on
    plan = CallerPlan(
        id=table.text("id"),
        device=device,
        profile=stand_in,
        period=table.number("period", _period(stand_in), low=1, high=8_640_000),
        code=table.optional_text("code"),
        title=table.title(),
        timeout_s=_seconds(table, "timeout_ms"),
        retries=table.integer("retries", 3, low=0, high=100) if table.has("retries") else None,
        options=_options(table.table("options")),
        secret=_secret(table),
        faults=read_caller_faults(table.table("faults"), transport),
    )
    if profile is not None and profile.protocol == protocol and plan.id:
        _check_talker(table, plan, transport)
        check_physics(table, profile)
    table.end()
    return plan


def _period(profile: DeviceProfile) -> float:
    return max(1.0, min((point.period for point in profile.points), default=60.0))


def _seconds(table: Table, name: str) -> float | None:
    return table.integer(name, low=1, high=3_600_000) / 1000 if table.has(name) else None


def _options(table: Table) -> dict[str, Option]:
    """Plain values only: what they mean is the talker's or the listener's business."""
    options: dict[str, Option] = {}
    for name, value in table.data.items():
        if isinstance(value, str | int | float):
            options[name] = value
        else:
            table.trouble(name, "must be a text, a number, true or false")
    return options


def _secret(table: Table) -> str | None:
    """A simulated device's own secret: plain, because it guards nothing, or a reference as in a site file."""
    if isinstance(table.data.get("secret"), dict):
        return table.secret("secret")
    return table.optional_text("secret")


def _check_talker(table: Table, plan: CallerPlan, transport: str) -> None:
    try:
        talker = make_talker(plan)
        values = {point.name: _curve(plan.profile, point).at(NOON) for point in plan.profile.points}
        getattr(talker, "reports", talker.report)(values, NOON)
    except ValueError as trouble:
        table.trouble("", f"{plan.profile.model} cannot call: {trouble}")
        return
    checked: bool = getattr(talker, "checked", plan.profile.protocol not in UNCHECKED)
    damaged = [name for name in ("bad_checksum", "truncated") if getattr(plan.faults, name)]
    if damaged and transport != "tcp" and not checked:
        table.trouble("faults", f"these datagrams have no checksum: {damaged[0]} could go unnoticed", "leave it out")


def _curve(profile: DeviceProfile, point: Point) -> Signal:
    return Signal(point, profile.simulate.get(point.name), "", NOON)


def check_physics(table: Table, profile: DeviceProfile) -> None:
    """Note what the profile's physics would say and its wire cannot."""
    for point in profile.points:
        try:
            _curve(profile, point).check(profile.protocol)
        except ValueError as trouble:
            table.trouble("profile", f"{profile.model} cannot be simulated: {trouble}")
