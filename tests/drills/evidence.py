"""What the simulator wrote down of its answers, what the store holds, and what the two say about each other."""

import json
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from device_profiles.profiles import DeviceProfile
from device_profiles.spans import compile_span

Key = tuple[str, str, float]
"""(device, point, value)."""

TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
SLACK = 500_000
"""µs between the simulator's and the agent's idea of when an answer was whole, on a machine under load."""


@dataclass
class Answers:
    """Every clean answer of the simulator, decoded with the profile; those that came too late to be used apart."""

    count: Counter[Key] = field(default_factory=Counter)
    late: Counter[Key] = field(default_factory=Counter)
    at: dict[Key, list[int]] = field(default_factory=dict)
    pole: dict[str, str] = field(default_factory=dict)

    def add(self, line: dict[str, Any], profile: DeviceProfile) -> None:
        """Take one line of the journal; an answer that nobody read is withdrawn again."""
        step = -1 if line.get("withdrawn") else 1
        decoder = compile_span(profile.modbus.points, TABLES[line["function"]], line["address"], line["count"])
        values, _ = decoder.decode(bytes.fromhex(line["data"]))
        self.pole[line["device"]] = line["pole"]
        for point, value in zip(decoder.points, values, strict=True):
            assert isinstance(value, float)
            key = (line["device"], point.name, value)
            if line["late"]:
                self.late[key] += step
                continue
            self.count[key] += step
            self.at.setdefault(key, []).append(line["at"])


def read_journal(path: Path, profile: DeviceProfile) -> Answers:
    """The journal as answers."""
    answers = Answers()
    for text in path.read_text(encoding="utf-8").splitlines():
        answers.add(json.loads(text), profile)
    return answers


def journal_lines(path: Path) -> int:
    """How many answers the simulator has noted so far."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stored_values(api: str) -> Counter[Key]:
    """Every stored reading of a device that has a value, read through the API page by page; what a program said of
    itself was never on a wire."""
    found: Counter[Key] = Counter()
    with httpx.Client(base_url=api, timeout=60) as client:
        for device in client.get("/api/v1/devices").raise_for_status().json()["devices"]:
            for point in device["points"] if device["profile"] != "kuimen-agent" else []:
                start = 0
                while True:
                    page = _page(client, point["series"], start)
                    found.update(
                        (device["device"], point["point"], value) for value in page["value"] if value is not None
                    )
                    if not page["more"]:
                        break
                    start = page["at"][-1] + 1
    return found


def _page(client: httpx.Client, series: int, start: int) -> dict[str, Any]:
    query = {"series": series, "from": start, "to": 1 << 60, "limit": 50_000}
    page: dict[str, Any] = client.get("/api/v1/history", params=query).raise_for_status().json()
    return page


def declared_gaps(api: str) -> dict[str, list[tuple[int, int]]]:
    """By origin: (begin, end) of every gap that was told, µs."""
    gaps: dict[str, list[tuple[int, int]]] = {}
    told = httpx.get(f"{api}/api/v1/gaps", params={"limit": 10_000}, timeout=60).raise_for_status().json()["gaps"]
    for gap in told:
        gaps.setdefault(gap["origin"], []).append((gap["begin"], gap["end"]))
    return {origin: sorted(spans) for origin, spans in gaps.items()}


def invented(answers: Answers, stored: Counter[Key]) -> list[Key]:
    """Stored values that no device said in time, or more often than it did."""
    return [key for key, n in stored.items() if n > answers.count[key]]


def unaccounted(answers: Answers, stored: Counter[Key], gaps: dict[str, list[tuple[int, int]]]) -> list[Key]:
    """Answered values that are neither stored nor inside a gap that was told."""

    def told(device: str, at: int) -> bool:
        spans = gaps.get(f"{answers.pole[device]}/agent", [])
        nearby = spans[: bisect_right(spans, (at + SLACK, 1 << 62))]
        return any(begin - SLACK <= at <= end + SLACK for begin, end in nearby)

    return [
        key
        for key, n in answers.count.items()
        if stored[key] < n and not any(told(key[0], at) for at in answers.at[key])
    ]
