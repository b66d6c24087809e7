"""A small street for the scripted API: two poles, a few devices in every state that the page knows."""

from typing import Any

from tests.rooms.dashboards.upstream import SECOND, Json, Upstream

AIR_TEMPERATURE, HUMIDITY, WATER_LEVEL, LAMP_POWER, SOIL_PH, NEVER_SEEN, FIRMWARE, NOISE = range(8)


def point(series: int, name: str, zh: str, en: str, unit: str, period_s: float, kind: str = "number") -> Json:
    """One entry of a device's `points`."""
    return {
        "series": series,
        "point": name,
        "title": {"zh": zh, "en": en},
        "quantity": name,
        "unit": unit,
        "kind": kind,
        "period_s": period_s,
    }


def device(name: str, zh: str, en: str, gateway: str, points: list[Json], code: str | None = None) -> Json:
    """One entry of `devices`."""
    return {
        "device": name,
        "code": code,
        "title": {"zh": zh, "en": en},
        "domain": "environment",
        "profile": "acme-model",
        "version": "1",
        "gateway": gateway,
        "origin": f"{gateway}/agent",
        "points": points,
    }


def ledger(at: int, waiting: int = 12, differences: tuple[str, ...] = ()) -> Json:
    """A ledger of 3,214 readings; both gateways spoke last at ``at``."""
    total: dict[str, Any] = {
        **{"polled": 3214, "good": 3180, "uncertain": 4, "bad": {"timeout": 30}, "unchanged": 200, "pending": 0},
        **{"discarded": {"late": 3}, "handed": 3014, "spooled": 3014, "refused": {}, "duplicate": 2},
        **{"stored": 3000 - waiting + 12, "rejected": {}, "given_up": {}, "waiting": waiting},
    }
    states = [
        {"gateway": name, "online": name == "kz-001", "at": at, "ledger": total} for name in ("kz-001", "kz-002")
    ]
    return {
        "intake": {
            **{"arrived": 3002, "stored": 3000, "duplicate": 2, "rejected": {}, "later": {"unknown_manifest": 5}},
            "malformed": {},
        },
        "gateways": states,
        "total": total,
        "differences": list(differences),
    }


def lay_out(upstream: Upstream) -> None:
    """Fill the double with the street as it is at `upstream.now`."""
    now = upstream.now
    upstream.devices = [
        device("kz1-air", "蚕室温湿度", "Silkworm room air", "kz-001", code="5002360301000001", points=[
            point(AIR_TEMPERATURE, "air_temperature", "空气温度", "Air temperature", "Cel", 2),
            point(HUMIDITY, "relative_humidity", "相对湿度", "Relative humidity", "%", 2),
        ]),
        device("kz1-lamp", "单灯控制器", "Lamp controller", "kz-001", points=[
            point(LAMP_POWER, "active_power", "有功功率", "Active power", "W", 2),
            point(FIRMWARE, "firmware", "固件版本", "Firmware", "1", 3600, "text"),
        ]),
        device("kz2-level", "排水井液位", "Manhole level", "kz-002", points=[
            point(WATER_LEVEL, "level", "液位", "Level", "m", 2),
            point(NOISE, "noise", "噪声", "Noise", "dB(A)", 2),
        ]),
        device("kz2-soil", "土壤探头", "Soil probe", "kz-002", points=[
            point(SOIL_PH, "ph", "酸碱度", "pH", "[pH]", 60),
            point(NEVER_SEEN, "salinity", "盐分", "Salinity", "mg/L", 60),
        ]),
    ]  # fmt: skip
    upstream.rows = {
        AIR_TEMPERATURE: [AIR_TEMPERATURE, 25.299999237, now - SECOND, "good", "none"],
        HUMIDITY: [HUMIDITY, 61.5, now - SECOND, "good", "none"],
        LAMP_POWER: [LAMP_POWER, None, now - SECOND, "bad", "timeout"],
        FIRMWARE: [FIRMWARE, "2.4.1", now - 60 * SECOND, "good", "none"],
        WATER_LEVEL: [WATER_LEVEL, 1.25, now - SECOND, "good", "none"],
        NOISE: [NOISE, 48.2, now - SECOND, "uncertain", "out_of_range"],
        SOIL_PH: [SOIL_PH, 6.8, now - 400 * SECOND, "good", "none"],
    }
    upstream.ledger = ledger(now)
    upstream.history = {AIR_TEMPERATURE: broken_line(now)}


def broken_line(now: int) -> Json:
    """Ten minutes at 2 s: a declared gap of two minutes, a hole nobody declared, one BAD reading, one uncertain."""
    at = [now - (600 - 2 * i) * SECOND for i in range(300)]
    declared = (now - 400 * SECOND, now - 280 * SECOND)
    hole = (now - 200 * SECOND, now - 170 * SECOND)
    at = [t for t in at if not any(begin < t < end for begin, end in (declared, hole))]
    body: Json = {
        "series": AIR_TEMPERATURE,
        "unit": "Cel",
        "at": at,
        "value": [25 + ((t - now) // SECOND % 60) / 60 for t in at],
        "quality": ["good"] * len(at),
        "reason": ["none"] * len(at),
        "gaps": [{"begin": declared[0], "end": declared[1], "reason": "originator_killed", "readings": None}],
        "more": False,
    }
    bad, doubtful = len(at) - 20, len(at) - 40
    body["value"][bad], body["quality"][bad], body["reason"][bad] = None, "bad", "bad_checksum"
    body["quality"][doubtful], body["reason"][doubtful] = "uncertain", "out_of_range"
    return body
