"""What a street's TOML says of faults: of units that are asked and of callers; refuses probabilities that sum up to
more than one, and faults that the wire cannot show."""

from __future__ import annotations

from device_profiles.tables import Table
from firmware_sim.callers.mishaps import CallerFaultPlan
from firmware_sim.faults import EXCEPTION_CODES, FaultPlan

DAY_BACK_S = -86_400.0


def read_faults(table: Table, kind: str) -> FaultPlan:
    """A unit's `faults`; `kind` is its link's ("tcp" has no checksum)."""
    late, exception = table.table("late"), table.table("exception")
    plan = FaultPlan(
        dead=table.flag("dead"),
        silent=_share(table, "silent"),
        late=_probability(late) if table.has("late") else 0.0,
        bad_checksum=_share(table, "bad_checksum"),
        truncated=_share(table, "truncated"),
        exception=_probability(exception) if table.has("exception") else 0.0,
        delay_ms=late.integer("delay_ms", 450, low=1, high=60_000),
        code=exception.integer("code", 4),
    )
    late.end()
    exception.end()
    if plan.bad_checksum and kind == "tcp":
        table.trouble("bad_checksum", "Modbus TCP has no checksum", "use it on an rtu link")
    if plan.code not in EXCEPTION_CODES:
        exception.trouble("code", f"{plan.code} is no exception", "one of: " + ", ".join(map(str, EXCEPTION_CODES)))
    _end(table, plan.total)
    return plan


def read_caller_faults(table: Table, transport: str) -> CallerFaultPlan:
    """A caller's `faults` on its listener's transport."""
    clock = table.table("clock")
    plan = CallerFaultPlan(
        dead=table.flag("dead"),
        silent=_share(table, "silent"),
        duplicate=_share(table, "duplicate"),
        bad_checksum=_share(table, "bad_checksum"),
        truncated=_share(table, "truncated"),
        drop=_share(table, "drop"),
        rebind=_share(table, "rebind"),
        noise=_share(table, "noise"),
        clock=_probability(clock) if table.has("clock") else 0.0,
        clock_s=clock.number("seconds", DAY_BACK_S),
    )
    clock.end()
    if plan.rebind and transport == "tcp":
        table.trouble("rebind", "a TCP connection does not survive a new port", "use drop, or a udp listener")
    _end(table, plan.total)
    return plan


def _end(table: Table, total: float) -> None:
    if total > 1:
        table.trouble("", f"the probabilities sum up to {total:g}, more than 1")
    table.end()


def _share(table: Table, name: str) -> float:
    """`name = { probability = 0.1 }` where nothing else can be said."""
    if not table.has(name):
        return 0.0
    fault = table.table(name)
    share = _probability(fault)
    fault.end()
    return share


def _probability(table: Table) -> float:
    return table.number("probability", low=0, high=1)
