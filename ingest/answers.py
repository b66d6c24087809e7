"""The bodies of the API: JSON bytes prepared by msgspec from columns, never through a framework's serialiser."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from device_profiles.quality import Reason
from ingest.gateways import Gateways, GatewayState
from ingest.latest import NEVER
from ingest.memory import Memory
from ingest.registry import Series
from ingest.rows import Float64, LatestRows
from ingest.words import QUALITY_WORDS, REASON_WORDS

encode = msgspec.json.Encoder().encode


def plain(values: Float64) -> list[float | None]:
    """Numbers for JSON: None where there is none."""
    found: list[float | None] = values.tolist()
    for position in np.nonzero(np.isnan(values))[0].tolist():
        found[position] = None
    return found


def latest_rows(rows: LatestRows) -> list[tuple[Any, ...]]:
    """[[series, value or None, at, quality, reason], …]."""
    values: list[Any] = plain(rows.value)
    series: list[int] = rows.series.tolist()
    if rows.texts:
        values = [rows.texts.get(number, value) for number, value in zip(series, values, strict=True)]
    codes: list[int] = rows.code.tolist()
    quality, reason = [QUALITY_WORDS[code] for code in codes], [REASON_WORDS[code] for code in codes]
    return list(zip(series, values, rows.at.tolist(), quality, reason, strict=True))


def rows_body(now: int, rows: LatestRows) -> bytes:
    """Body of /api/v1/latest, and data of the readings event."""
    return encode({"now": now, "rows": latest_rows(rows)})


def devices_body(now: int, memory: Memory) -> bytes:
    """Body of /api/v1/devices."""
    devices = []
    for known, entry, points in memory.registry.devices():
        devices.append(
            {
                "device": entry.name,
                "code": entry.code,
                "title": entry.title,
                "domain": entry.domain,
                "profile": entry.profile,
                "version": entry.version,
                "gateway": known.gateway,
                "origin": known.manifest.origin,
                "points": [_point(memory, number, point) for number, point in points],
            }
        )
    return encode({"now": now, "devices": devices})


def _point(memory: Memory, number: int, point: Any) -> dict[str, Any]:
    latest = memory.latest
    seen = bool(latest.rank[number] != NEVER)
    value = float(latest.value[number])
    code = int(latest.code[number])
    return {
        "series": number,
        "point": point.point,
        "title": point.title,
        "quantity": point.quantity,
        "unit": memory.registry.series[number].unit,
        "kind": point.kind,
        "period_s": point.period_s,
        "value": latest.texts.get(number, None if np.isnan(value) else value) if seen else None,
        "at": int(latest.at[number]) if seen else None,
        "quality": QUALITY_WORDS[code] if seen else None,
        "reason": REASON_WORDS[code] if seen else "none",
    }


def ledger_answer(
    now: int, memory: Memory, gateways: Gateways, running: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Body of /api/v1/ledger. Counts are readings, those under "batches" batches.

    ``running``: how the intake itself does, where a worker runs (ingest.service).
    """
    accounts = memory.accounts
    intake = accounts.summary("readings")
    intake["malformed"] = accounts.malformed()
    intake["batches"] = accounts.summary("batches")
    intake["running"] = running
    states = sorted(gateways.states.values(), key=lambda state: state.gateway)
    differences = [line for state in states for line in state.differences(accounts.stored(state.gateway))]
    return {
        "now": now,
        "intake": intake,
        "gateways": [_gateway(state, accounts.stored(state.gateway)) for state in states],
        "total": gateways.total(),
        "differences": differences,
    }


def _gateway(state: GatewayState, stored: int) -> dict[str, Any]:
    return {
        "gateway": state.gateway,
        "online": state.online,
        "at": state.at,
        "ledger": state.ledger,
        "health": state.health,
        "stored_here": stored,
    }


def history_body(series: Series, columns: dict[str, Any], gaps: dict[str, Any], page: int) -> bytes:
    """Body of /api/v1/history out of the store's columns, of which the first ``page`` rows are given."""
    count = min(len(columns["at_us"]), page)
    value: list[Any] = plain(np.ma.filled(columns["value"].astype(np.float64), np.nan)[:count])
    texts: list[Any] = columns["text"][:count].tolist()
    codes: list[int] = columns["code"][:count].tolist()
    return encode(
        {
            "series": series.id,
            "unit": series.unit,
            "at": columns["at_us"][:count].tolist(),
            "value": [v if t is None else t for v, t in zip(value, texts, strict=True)],
            "quality": [QUALITY_WORDS[code] for code in codes],
            "reason": [REASON_WORDS[code] for code in codes],
            "gaps": [
                {"begin": begin, "end": end, "reason": word, "readings": readings}
                for begin, end, word, readings in zip(
                    gaps["begin_us"].tolist(),
                    gaps["end_us"].tolist(),
                    _words(gaps["reason"].tolist()),
                    gaps["readings"].tolist(),
                    strict=True,
                )
            ],
            "more": len(columns["at_us"]) > page,
        }
    )


def gaps_answer(columns: dict[str, Any]) -> dict[str, Any]:
    """Body of /api/v1/gaps out of the store's columns."""
    names = ["origin", "epoch", "begin", "end", "readings", "reason", "devices"]
    lists = [columns[name].tolist() for name in ("origin", "epoch", "begin_us", "end_us", "readings")]
    lists += [_words(columns["reason"].tolist()), [list(devices) for devices in columns["devices"].tolist()]]
    return {"gaps": [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]}


def _words(reasons: Iterable[int]) -> list[str]:
    return [Reason(number).word for number in reasons]
