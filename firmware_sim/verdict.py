"""The judgement at the end of a run: ledger, simulator and store must tell the same story.

Refuses tolerance: one reading too many or too few is a difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from device_profiles.ledger import Ledger


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    holds: bool
    text: str

    def __str__(self) -> str:
        return f"{'holds ' if self.holds else 'FAILS '} {self.text}"


def total_of(body: Mapping[str, Any]) -> Ledger:
    """The summed ledger in the body of `GET /api/v1/ledger`; msgspec.ValidationError for what is none."""
    return msgspec.convert(body["total"], Ledger)


def judge(body: Mapping[str, Any], witness: Mapping[str, Any], rows: int, poles: int) -> list[Finding]:
    """Every line that must hold; `rows` is the store's own count of readings, `poles` how many must have reported."""
    total = total_of(body)
    answered = _answered(witness["totals"]) + _answered(witness["calls"])
    differences = list(body["differences"])
    findings = [
        Finding(not differences, "every identity of the ledger" + "".join(f"; {line}" for line in differences)),
        Finding(len(body["gateways"]) == poles, f"{len(body['gateways'])} of {poles} gateways have reported"),
        Finding(total.waiting == 0, f"nothing waits on a pole: {total.waiting:,}"),
        Finding(total.polled > 0, f"readings were polled: {total.polled:,}"),
        Finding(
            answered == total.answered,
            f"the simulator answered {answered:,} readings, the poles received {total.answered:,}"
            + _by_pole(body, witness),
        ),
    ]
    findings += _calls(witness)
    stored, told = body["intake"]["stored"], total.stored + total.duplicate
    text = f"the store holds {rows:,} readings, ingest stored {stored:,}, the gateways were told {told:,}"
    return [*findings, Finding(rows == stored == told, text)]


def _answered(counts: Mapping[str, Any]) -> int:
    return int(counts["answered_readings"] + counts["late_readings"])


def _calls(witness: Mapping[str, Any]) -> list[Finding]:
    """Whether every caller that lives was acked; nothing to say on a street without callers."""
    living = [caller for caller in witness["callers"] if not caller["dead"]]
    unheard = [str(caller["device"]) for caller in living if not caller["acked"]]
    if not living:
        return []
    text = f"{len(living) - len(unheard)} of {len(living)} callers were acknowledged"
    strange = witness["calls"]["strange"]
    return [
        Finding(not unheard, text + "".join(f"; not {device}" for device in unheard)),
        Finding(not strange, f"no ack answered nothing: {strange:,}"),
    ]


def _by_pole(body: Mapping[str, Any], witness: Mapping[str, Any]) -> str:
    """Which poles disagree with the simulator, in words; empty when none does."""
    received = {row["gateway"]: msgspec.convert(row["ledger"], Ledger).answered for row in body["gateways"]}
    answered = dict.fromkeys(received, 0)
    for unit in [*witness["units"], *witness["callers"]]:
        answered[unit["pole"]] = answered.get(unit["pole"], 0) + _answered(unit)
    return "".join(
        f"; {pole}: {answered[pole]:,} against {received.get(pole, 0):,}"
        for pole in answered
        if answered[pole] != received.get(pole, 0)
    )
