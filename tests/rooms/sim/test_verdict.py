"""One reading too many or too few anywhere is a difference."""

from typing import Any

import pytest

from firmware_sim.verdict import judge

TOTAL = {
    "polled": 120,
    "good": 100,
    "bad": {"timeout": 15, "sensor_open": 5},
    "unchanged": 20,
    "handed": 100,
    "discarded": {"late": 3},
    "spooled": 100,
    "stored": 96,
    "duplicate": 4,
}
ANSWERED = 100 + 5 + 3
CALLED = 20


def _body(**changes: Any) -> dict[str, Any]:
    body = {
        "intake": {"stored": 100},
        "gateways": [{"gateway": "a", "ledger": TOTAL}, {"gateway": "b", "ledger": {}}],
        "total": TOTAL,
        "differences": [],
    }
    return {**body, **changes}


def _witness(on_time: int = ANSWERED - 3, late: int = 3, **changes: Any) -> dict[str, Any]:
    """A unit and a caller; CALLED of the answers are the caller's."""
    unit = {"answered_readings": on_time - CALLED, "late_readings": late}
    caller = {"answered_readings": CALLED - 2, "late_readings": 2, "acked": 5, "strange": 0}
    return {
        "totals": unit,
        "units": [{"pole": "a", **unit}],
        "calls": {**caller, **changes},
        "callers": [{"pole": "a", "device": "hj-1", "dead": False, **caller, **changes}],
    }


def _fails(*arguments: Any) -> list[str]:
    return [str(finding) for finding in judge(*arguments) if not finding.holds]


def test_what_agrees_holds() -> None:
    assert _fails(_body(), _witness(), 100, 2) == []


@pytest.mark.parametrize(
    ("body", "witness", "rows", "words"),
    [
        (_body(), _witness(on_time=ANSWERED - 2), 100, "received 108; a: 109 against 108"),
        (_body(), _witness(late=2), 100, "the simulator answered 107"),
        (_body(), _witness(), 99, "the store holds 99"),
        (_body(intake={"stored": 101}), _witness(), 100, "ingest stored 101"),
        (_body(differences=["handed = 1 but"]), _witness(), 100, "handed = 1 but"),
        (_body(total={**TOTAL, "waiting": 1}), _witness(), 100, "nothing waits on a pole: 1"),
        (_body(gateways=[{"gateway": "a", "ledger": TOTAL}]), _witness(), 100, "1 of 2 gateways"),
        (_body(), _witness(acked=0), 100, "0 of 1 callers were acknowledged; not hj-1"),
        (_body(), _witness(strange=2), 100, "no ack answered nothing: 2"),
    ],
)
def test_what_disagrees_is_said(body: dict[str, Any], witness: dict[str, Any], rows: int, words: str) -> None:
    failures = _fails(body, witness, rows, 2)
    assert len(failures) == 1
    assert words in failures[0]
