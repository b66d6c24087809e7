"""Simulated devices that call a gateway, what they were acknowledged, and what the centre and the spool hold of it.

What a report means is read out of the bytes that left the device, with the profile's own decoder; so the drills judge
the gateway, not the devices' rounding.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from device_profiles.clock import Clock
from device_profiles.codecs import gb26875, hj212, jt808, sl651
from device_profiles.codecs.hj212_segment import parse_segment
from device_profiles.codecs.payload import compile_layout
from device_profiles.codecs.sl651_messages import parse_message
from device_profiles.envelope import Batch, unpack_body
from device_profiles.loader import load_library
from device_profiles.manifests import Manifest
from device_profiles.maps import gb26875 as gb26875_map
from device_profiles.maps import hj212 as hj212_map
from device_profiles.maps import jt808 as jt808_map
from device_profiles.maps import payload as payload_map
from device_profiles.maps import sl651 as sl651_map
from device_profiles.profiles import DeviceProfile
from device_profiles.readings import Value
from device_profiles.reports import Report
from firmware_sim.callers.call import Manners
from firmware_sim.callers.caller import Caller
from firmware_sim.callers.device import CallingDevice
from firmware_sim.callers.making import module_of
from firmware_sim.callers.mishaps import CallerFaultPlan, Mishaps
from firmware_sim.callers.seats import Seat, Sent
from firmware_sim.callers.talker import Heard, Talker
from firmware_sim.physics import Signal

Key = tuple[str, str, int, Value]
"""(device, point, at in µs, value): no device of a drill says it twice."""

LIBRARY = load_library()


class Kind(msgspec.Struct, frozen=True):
    """Devices of one protocol: the listener's ``transport``, the ``ids`` that call, and further keys of their rows."""

    protocol: str
    transport: str
    model: str
    ids: tuple[str, ...]
    listener: str = ""
    options: Mapping[str, object] = {}


KINDS = (
    Kind("hj212", "tcp", "hj212-surface-water", ("500236000021000000000001", "500236000021000000000002")),
    Kind("gb26875", "tcp", "generic-uitd", ("000000000001", "000000000002"), options={"refresh": 1}),
    Kind("sl651", "tcp", "sl651-rain-river", ("0060001001", "0060001002")),
    Kind("jt808", "tcp", "jt808-vehicle-2013", ("013800000001", "013800000002"), 'secret = { file = "secret" }\n'),
    Kind("payload", "udp", "generic-cover-nb", ("861234050123456", "861234050123457")),
)


def site_text(broker: int, ports: Mapping[str, int], uplink: str = "") -> str:
    """The site file of a gateway with a listener for each kind; ``ports`` by protocol."""
    text = '[site]\nname = "kz-001"\n[gateway]\nsocket = "g.sock"\n[gateway.spool]\npath = "spool.db"\n'
    text += f'[uplink]\nurl = "mqtt://127.0.0.1:{broker}"\nresend_seconds = 1.0\ndrain_seconds = 30\n{uplink}'
    for kind in KINDS:
        text += f'[[listeners]]\nname = "{kind.protocol}"\nprotocol = "{kind.protocol}"\n{kind.listener}'
        text += f'listen = "{kind.transport}://127.0.0.1:{ports[kind.protocol]}"\n'
        for place, id_ in enumerate(kind.ids, 1):
            text += f'[[callers]]\nlistener = "{kind.protocol}"\nid = "{id_}"\n'
            text += f'name = "{kind.protocol}-{place}"\nprofile = "{kind.model}"\n'
    return text


def write_site(folder: Path, broker: int, ports: Mapping[str, int], uplink: str = "") -> Path:
    """That site file, with the secret that it names."""
    (folder / "secret").write_text("drill")
    path = folder / "site.toml"
    path.write_text(site_text(broker, ports, uplink))
    return path


# --- what a device's bytes say --------------------------------------------------------------------------------------


def _hj212(profile: DeviceProfile, data: bytes) -> Iterator[Report]:
    for whole in hj212.Reader().feed(data):
        yield hj212_map.decode_report(_map(profile), parse_segment(whole.segment))


def _gb26875(profile: DeviceProfile, data: bytes) -> Iterator[Report]:
    for whole in gb26875.Reader().feed(data):
        yield gb26875_map.decode_report(_map(profile), whole)


def _sl651(profile: DeviceProfile, data: bytes) -> Iterator[Report]:
    for whole in sl651.Reader().feed(data):
        yield sl651_map.decode_report(_map(profile), parse_message(whole))


def _jt808(profile: DeviceProfile, data: bytes) -> Iterator[Report]:
    for whole in jt808.Reader().feed(data):
        yield jt808_map.decode_report(_map(profile), whole)


def _payload(profile: DeviceProfile, data: bytes) -> Iterator[Report]:
    map_ = _map(profile)
    yield payload_map.decode_report(map_, compile_layout(map_.layout).parse(data))


def _map(profile: DeviceProfile) -> Any:
    return profile.map


_SAYS: dict[str, Callable[[DeviceProfile, bytes], Iterator[Report]]] = {
    "hj212": _hj212,
    "gb26875": _gb26875,
    "sl651": _sl651,
    "jt808": _jt808,
    "payload": _payload,
}


class Recorder:
    """A talker that writes down what its first copies say; the talker itself is the simulator's own."""

    def __init__(self, talker: Talker, profile: DeviceProfile, device: str) -> None:
        self._talker, self._profile, self._device = talker, profile, device
        self.said: dict[bytes, list[Key]] = {}
        """By the report's bytes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._talker, name)

    def greet(self) -> list[bytes]:
        """As the talker does."""
        return self._talker.greet()

    def report(self, values: dict[str, Value], at: int) -> tuple[bytes, bytes]:
        """As the talker does, noted."""
        key, data = self._talker.report(values, at)
        self.note(data)
        return key, data

    def again(self, key: bytes) -> bytes:
        """As the talker does."""
        return self._talker.again(key)

    def hear(self, data: bytes) -> Heard:
        """As the talker does."""
        return self._talker.hear(data)

    def note(self, data: bytes) -> None:
        """Decode a message that is made now."""
        readings = [one for report in _SAYS[self._profile.protocol](self._profile, data) for one in report.readings]
        assert readings, f"{self._device} says nothing"
        self.said[data] = [(self._device, one.point, one.at or 0, one.value) for one in readings]


class Parted(Recorder):
    """The same for a talker that makes several messages at once."""

    def reports(self, values: dict[str, Value], at: int) -> list[tuple[bytes, bytes]]:
        """As the talker does, noted."""
        found: list[tuple[bytes, bytes]] = self._talker.reports(values, at)  # type: ignore[attr-defined]  # that is why it is this class
        for _, data in found:
            self.note(data)
        return found


class Street:
    """All devices of a drill, and what they were told. ``addresses``: where each protocol's devices call."""

    def __init__(
        self, addresses: Mapping[str, int], clock: Clock, *, period: float = 0.3, timeout_s: float = 0.4, seed: int = 0
    ) -> None:
        self.acked: list[Key] = []
        self.acks = 0
        self.callers: list[Caller] = []
        self._recorders: list[Recorder] = []
        self._by_device: dict[str, Recorder] = {}
        self._news = asyncio.Event()
        for kind in KINDS:
            if kind.protocol in addresses:
                for place, id_ in enumerate(kind.ids, 1):
                    self._add(kind, f"{kind.protocol}-{place}", id_, addresses, clock, (period, timeout_s, seed))

    def _add(
        self, kind: Kind, name: str, id_: str, addresses: Mapping[str, int], clock: Clock, how: tuple[float, float, int]
    ) -> None:
        profile, (period, timeout_s, seed) = LIBRARY[kind.model], how
        talker = module_of(kind.protocol).make_talker(profile, id_, None, kind.options)
        recorder = (Parted if hasattr(talker, "reports") else Recorder)(talker, profile, name)
        seat = Seat(pole="kz-001", listener=kind.protocol, id=id_, device=name, profile=kind.model)
        curves = {
            point.name: Signal(point, profile.simulate.get(point.name), f"{seed}/{name}/{point.name}", clock.now())
            for point in profile.points
        }
        mishaps = Mishaps(CallerFaultPlan(), f"{seed}/{name}")
        device = CallingDevice(seat, recorder, curves, mishaps, self, clock)
        manners = Manners(
            period=period, transport=kind.transport, address=("127.0.0.1", addresses[kind.protocol]),
            timeout_s=timeout_s, retries=2,
        )  # fmt: skip
        self._recorders.append(recorder)
        self._by_device[name] = recorder
        self.callers.append(Caller(device, manners))

    def acknowledged(self, seat: Seat, sent: Sent) -> None:
        """The platform says that it has this report."""
        self.acks += 1
        self.acked += self._by_device[seat.device].said[sent.data] if sent.acks == 1 else []
        self._news.set()

    async def until(self, holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
        """Wait for acknowledgements until something holds."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"never: {what}; {self.summary()}") from None

    async def all_heard(self, more: int = 1) -> None:
        """Until every device has been acknowledged so many reports more."""
        before = {caller.seat.device: caller.seat.counts.acked for caller in self.callers}
        await self.until(
            lambda: all(c.seat.counts.acked >= before[c.seat.device] + more for c in self.callers),
            "every device is heard",
        )

    def behind(self) -> int:
        """Reports that the device with most of them has not been told of."""
        return max(caller.seat.counts.waiting for caller in self.callers)

    def summary(self) -> dict[str, tuple[int, int]]:
        """(reports made, acknowledged) by device."""
        return {c.seat.device: (c.seat.counts.reports, c.seat.counts.acked) for c in self.callers}

    def said(self) -> Counter[Key]:
        """Every reading of every report that was made."""
        return Counter(key for recorder in self._recorders for keys in recorder.said.values() for key in keys)

    async def run(self, enough: asyncio.Event) -> None:
        """All devices, until it is enough."""
        async with asyncio.TaskGroup() as group:
            for caller in self.callers:
                group.create_task(caller.run(enough))


# --- what is stored -------------------------------------------------------------------------------------------------


def stored_keys(batches: list[Batch], names: Mapping[int, list[tuple[str, str]]]) -> Counter[Key]:
    """Every reading in these batches; ``names``: (device, point) by alias, by manifest."""
    found: Counter[Key] = Counter()
    for batch in batches:
        columns, series = unpack_body(batch), names.get(batch.manifest, [])
        for alias, step, number in zip(columns.aliases, columns.offsets, columns.values, strict=True):
            found[(*series[alias], batch.base + step * columns.tick, None if number != number else number)] += 1
        for alias, offset, other, _ in columns.others:
            found[(*series[alias], batch.base + offset, other)] += 1
    return found


def names_of(manifests: Iterable[Manifest]) -> dict[int, list[tuple[str, str]]]:
    """(device, point) by alias, by manifest."""
    return {m.id: [(m.devices[series.device].name, series.point) for series in m.series] for m in manifests}


def judge(street: Street, stored: Counter[Key]) -> None:
    """Nothing acknowledged is lost, nothing is stored twice, nothing was invented."""
    said = normal(street.said())
    kept = normal(stored)
    acked = normal(Counter(street.acked))
    doubled = [key for key, number in kept.items() if number > said[key] > 0]
    invented = [key for key in kept if key not in said]
    lost = [key for key in acked if key not in kept]
    print(f"{said.total()} readings said, {acked.total()} acknowledged, {kept.total()} stored; {street.summary()}")
    assert not lost[:5], f"{len(lost)} acknowledged readings are lost: {lost[:5]}"
    assert not doubled[:5], f"{len(doubled)} readings are stored twice: {doubled[:5]}"
    assert not invented[:5], f"{len(invented)} readings were invented: {invented[:5]}"
    assert acked.total(), "nothing was acknowledged: nothing was tested"


def normal(keys: Counter[Key]) -> Counter[Key]:
    """As the wire has them: whole numbers as floats, times in whole milliseconds."""
    found: Counter[Key] = Counter()
    for (device, point, at, value), number in keys.items():
        same = value if value is None or isinstance(value, str) else float(value)
        found[device, point, at // 1000 * 1000, same] += number
    return found
