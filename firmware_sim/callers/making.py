"""Callers out of a street's plan; each protocol's talker is found by the key of its profile, only when it is wanted.

Refuses (ValueError) protocols in which we ask, and what the talker refuses.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from device_profiles.clock import Clock
from device_profiles.protocols import ASKED, MODULES
from firmware_sim.callers.call import Manners
from firmware_sim.callers.caller import Caller
from firmware_sim.callers.device import CallingDevice, Notary
from firmware_sim.callers.mishaps import Mishaps
from firmware_sim.callers.runner import Calling
from firmware_sim.callers.seats import Seat
from firmware_sim.callers.talker import Talker
from firmware_sim.physics import Signal
from firmware_sim.ports import HERE
from firmware_sim.street import CallerPlan, ListenerPlan, PolePlan, Street

PROTOCOLS = tuple(key for key in MODULES if key not in ASKED)
"""Keys of the protocols whose devices call."""

TIMEOUT_S = 5.0
RETRIES = 3
"""What a device does whose protocol says nothing about it."""


def module_of(protocol: str) -> ModuleType:
    """The module that speaks `protocol`; ValueError where there is none."""
    if protocol not in PROTOCOLS:
        raise ValueError(f"devices do not call in {protocol!r}")
    try:
        return importlib.import_module(f"firmware_sim.callers.{protocol}")
    except ModuleNotFoundError as missing:
        if missing.name != f"firmware_sim.callers.{protocol}":
            raise
        raise ValueError(f"nobody can speak {protocol} yet") from None


def make_talker(plan: CallerPlan) -> Talker:
    """The caller's end of the conversation; ValueError for an id, options or a secret that its protocol refuses."""
    talker: Talker = module_of(plan.profile.protocol).make_talker(plan.profile, plan.id, plan.secret, plan.options)
    return talker


def make_seats(street: Street) -> list[Seat]:
    """Who calls, in the street's order."""
    return [
        Seat(
            pole=pole.name,
            listener=listener.name,
            id=caller.id,
            device=caller.device,
            profile=caller.profile.model,
            dead=caller.faults.dead,
        )
        for pole, listener, caller in street.callers()
    ]


def make_callers(street: Street, seats: list[Seat], notary: Notary, clock: Clock) -> list[Calling]:
    """Every caller of the street, ready to run; `seats` are theirs, in order."""
    return [
        _caller(street, place, seat, notary, clock) for place, seat in zip(street.callers(), seats, strict=True)
    ]


def _caller(
    street: Street, place: tuple[PolePlan, ListenerPlan, CallerPlan], seat: Seat, notary: Notary, clock: Clock
) -> Calling:
    _, listener, plan = place
    seed, talker, profile = f"{street.seed}/{plan.device}", make_talker(plan), plan.profile
    curves = {
        point.name: Signal(point, profile.simulate.get(point.name), f"{seed}/{point.name}", clock.now())
        for point in profile.points
    }
    device = CallingDevice(seat, talker, curves, Mishaps(plan.faults, seed), notary, clock)
    return Caller(device, manners_of(listener, plan, talker))


def manners_of(listener: ListenerPlan, plan: CallerPlan, talker: Talker) -> Manners:
    """What the street says, else what the protocol's devices do, else what anybody does."""
    timeout_s: float = getattr(talker, "timeout_s", TIMEOUT_S)
    retries: int = getattr(talker, "retries", RETRIES)
    return Manners(
        period=plan.period,
        transport=listener.transport,
        address=(HERE, listener.port),
        timeout_s=timeout_s if plan.timeout_s is None else plan.timeout_s,
        retries=retries if plan.retries is None else plan.retries,
    )
