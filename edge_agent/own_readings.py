"""What the agent says of itself: one more device of its manifest, reported once a minute like any other.

Each link's bus in use, and of each unit the round trip, what it answered and what failed, by reason. They are good
readings that no device answered: the ledger keeps them apart as `own`. Refuses to report what was not measured: a unit
that answered nothing has no round trip.
"""

from __future__ import annotations

import asyncio
import math
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from device_profiles.clock import Clock
from device_profiles.manifests import DeviceEntry, SeriesEntry
from device_profiles.quality import GOOD_CODE, Reason
from edge_agent.clock import stamp
from edge_agent.config import AgentConfig, DeviceConfig, own_name
from edge_agent.outbox import Outbox
from edge_agent.usage import LinkUsage, UnitUsage

#: Seconds between two reports.
PERIOD = 60.0
#: Longest seconds between two reports of a count that does not change: most reasons never occur.
COUNT_PERIOD = 600.0
#: The reasons that have a count of their own; what fails for another one is in the total only.
TOLD_REASONS = {
    Reason.TIMEOUT: ("无应答", "no answer in time"),
    Reason.BAD_CHECKSUM: ("校验错误", "bad checksum"),
    Reason.TRUNCATED: ("应答不完整", "broken off"),
    Reason.EXCEPTION: ("设备拒绝", "refused by the device"),
    Reason.LINK_DOWN: ("线路断开", "link down"),
}
_MODEL, _VERSION, _DOMAIN = "kuimen-agent", 1, "urban"
_TITLE = {"zh": "采集程序", "en": "Collector"}
#: A point's name has at most 63 characters (maps/points.py); the longest ending, `_bad_checksum`, has 13.
_LONGEST = 48

Names = dict[str, str]
"""The beginning of a point's name, by the link's or device's own name."""


def own_device(config: AgentConfig) -> DeviceEntry:
    """The agent as a device of its manifest."""
    return DeviceEntry(own_name(config.site), None, _TITLE, _DOMAIN, _MODEL, _VERSION)


def own_series(config: AgentConfig, index: int) -> list[SeriesEntry]:
    """Its series, when it is the manifest's `index`-th device."""
    found = []
    for link, name in point_names(link.name for link in config.links).items():
        title = {"zh": f"{link} 总线占用率", "en": f"{link}: bus in use"}
        found.append(SeriesEntry(index, f"{name}_busy", title, "utilisation", "%", "number", PERIOD))
    for unit, name in point_names(device.name for device in config.devices).items():
        title = {"zh": f"{unit} 往返时间", "en": f"{unit}: round trip"}
        found.append(SeriesEntry(index, f"{name}_round_trip", title, "duration", "ms", "number", PERIOD))
        for ending, (zh, en) in _COUNTS.items():
            title = {"zh": f"{unit} {zh}", "en": f"{unit}: {en}"}
            found.append(SeriesEntry(index, f"{name}_{ending}", title, "event_count", "1", "number", COUNT_PERIOD))
    return found


_COUNTS = {
    "answered": ("应答次数", "questions answered"),
    "failed": ("失败次数", "questions failed"),
    "late": ("迟到应答", "late answers"),
    **{reason.word: words for reason, words in TOLD_REASONS.items()},
}


def point_names(names: Iterable[str]) -> Names:
    """Small letters, digits and underscores for each name; where that makes two alike, or too long, a sum tells them
    apart."""
    plain = {name: _squeezed(name) for name in names}
    often = Counter(plain.values())
    return {
        name: short if often[short] == 1 and len(short) <= _LONGEST else f"{short[: _LONGEST - 9]}_{_sum(name)}"
        for name, short in plain.items()
    }


def _squeezed(name: str) -> str:
    short = re.sub(r"[^a-z0-9_]", "_", name.lower())
    return short if re.match(r"[a-z]", short) else f"n{short}"


def _sum(name: str) -> str:
    return f"{zlib.crc32(name.encode()):08x}"


class OwnReadings:
    """The agent's counters, kept by name through a change of the site file, and their way out."""

    def __init__(
        self, config: AgentConfig, aliases: Mapping[tuple[str, str], int], outbox: Outbox, clock: Clock
    ) -> None:
        self._config = config
        self._aliases = aliases
        self._outbox = outbox
        self._clock = clock
        self._links: dict[str, LinkUsage] = {}
        self._units: dict[str, UnitUsage] = {}
        self._told: dict[int, tuple[float, float]] = {}

    def usage_of(self, link: str, devices: Sequence[DeviceConfig]) -> LinkUsage:
        """Where the bus of a link with these devices writes down what it is used for."""
        usage = self._links.setdefault(link, LinkUsage(self._clock.monotonic()))
        usage.units = {device.unit: self._units.setdefault(device.name, UnitUsage()) for device in devices}
        return usage

    def renew(self, config: AgentConfig, aliases: Mapping[tuple[str, str], int]) -> None:
        """Another site file is in force: what is gone is forgotten, what stays goes on counting."""
        self._config, self._aliases = config, aliases
        links, units = {link.name for link in config.links}, {device.name for device in config.devices}
        self._links = {name: usage for name, usage in self._links.items() if name in links}
        self._units = {name: usage for name, usage in self._units.items() if name in units}

    async def run(self) -> None:
        """Report each minute until cancelled."""
        due = self._clock.monotonic() + PERIOD
        while True:
            await asyncio.sleep(due - self._clock.monotonic())
            self.report()
            due = max(due, self._clock.monotonic() - PERIOD) + PERIOD

    def report(self) -> None:
        """Take the readings of the time since the last report; nothing where the site file says so."""
        if not self._config.own_readings:
            return
        now, name = self._clock.monotonic(), own_name(self._config.site)
        rows = [(self._aliases[name, point], value) for point, value in [*self._shares(now), *self._round_trips()]]
        for point, value in self._counts():
            alias = self._aliases[name, point]
            before, when = self._told.get(alias, (math.nan, -math.inf))
            if value != before or now >= when + COUNT_PERIOD - PERIOD / 2:
                self._told[alias] = value, now
                rows.append((alias, value))
        if not rows:
            return
        rows.sort()
        ledger = self._outbox.ledger
        ledger.polled += len(rows)
        ledger.good += len(rows)
        ledger.own += len(rows)
        aliases, values = array("H", [alias for alias, _ in rows]), array("d", [value for _, value in rows])
        self._outbox.add(stamp(self._clock), aliases, values, bytes((GOOD_CODE,)) * len(rows))

    def _shares(self, now: float) -> Iterable[tuple[str, float]]:
        names = point_names(link.name for link in self._config.links)
        for link, usage in self._links.items():
            share = usage.take_share(now)
            if share is not None:
                yield f"{names[link]}_busy", round(100 * share, 2)

    def _round_trips(self) -> Iterable[tuple[str, float]]:
        for name, usage in self._named():
            seconds = usage.take_round_trip()
            if seconds is not None:
                yield f"{name}_round_trip", round(1000 * seconds, 1)

    def _counts(self) -> Iterable[tuple[str, float]]:
        for name, usage in self._named():
            yield f"{name}_answered", float(usage.answered)
            yield f"{name}_failed", float(sum(usage.failed.values()))
            yield f"{name}_late", float(usage.late)
            for reason in TOLD_REASONS:
                yield f"{name}_{reason.word}", float(usage.failed.get(reason.word, 0))

    def _named(self) -> list[tuple[str, UnitUsage]]:
        names = point_names(device.name for device in self._config.devices)
        return [(names[device], usage) for device, usage in self._units.items()]
