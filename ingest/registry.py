"""Which devices and points there are: manifests become alias tables, series numbers and conversions.

A series is (origin, device, point, quantity, kind): a new title or a new unit of the point keeps it, another
quantity is another series, because values before and after could not be compared. Knows only what the store
has committed.
"""

import logging
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from device_profiles.manifests import DeviceEntry, Manifest, SeriesEntry, make_manifest
from device_profiles.quantities import QUANTITIES, UnitError, to_canonical

log = logging.getLogger(__name__)

SeriesKey = tuple[str, str, str, str, str, str]
"""(origin, device, point, quantity, kind, unit of the stored values)."""


class Series(msgspec.Struct, frozen=True):
    """One point of one device, numbered from 0 without holes."""

    id: int
    key: SeriesKey

    @property
    def origin(self) -> str:
        """The agent or gateway that reports it."""
        return self.key[0]

    @property
    def device(self) -> str:
        """The device's name at its origin."""
        return self.key[1]

    @property
    def unit(self) -> str:
        """UCUM, of the stored values: the quantity's canonical unit wherever we know the quantity."""
        return self.key[5]


class Aliases(NamedTuple):
    """Flat tables over all manifests: ``series[start + alias]`` is a series number, its conversion beside it."""

    series: npt.NDArray[np.int32]
    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]


class Known(msgspec.Struct, frozen=True):
    """A manifest that is registered. Its aliases start at ``start`` in the flat tables."""

    manifest: Manifest
    gateway: str
    series: list[int]
    start: int
    converts: bool


class Registration(msgspec.Struct):
    """Manifests to be stored before they count: what ``Registry.plan`` found to be new."""

    gateway: str
    manifests: list[Manifest] = []
    series: list[Series] = []

    def __bool__(self) -> bool:
        return bool(self.manifests)


class Registry:
    """Devices, series and manifests."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.manifests: dict[int, Known] = {}
        self.current: dict[str, tuple[int, int]] = {}
        """origin → (epoch, manifest id) of its newest batch; epoch 0 when there was only a manifest."""
        self._ids: dict[SeriesKey, int] = {}
        self._aliases = Aliases(np.zeros(0, np.int32), np.zeros(0), np.zeros(0))
        self._unmerged: list[Aliases] = []
        self._length = 0

    def aliases(self) -> Aliases:
        """The flat tables of all manifests; merged here, so that loading ten thousand manifests copies once."""
        if self._unmerged:
            parts = [self._aliases, *self._unmerged]
            self._aliases = Aliases(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
            self._unmerged = []
        return self._aliases

    def known(self, origin: str, manifest: int) -> Known | None:
        """The manifest that a batch of ``origin`` refers to; None: ask for it."""
        known = self.manifests.get(manifest)
        return known if known is not None and known.manifest.origin == origin else None

    def plan(self, gateway: str, manifests: Iterable[Manifest]) -> Registration:
        """What is new in a gateway's manifests. ValueError for one whose id is not that of its content."""
        plan = Registration(gateway)
        ids: dict[SeriesKey, int] = {}
        for manifest in {manifest.id: manifest for manifest in manifests}.values():
            if manifest.id in self.manifests:
                continue
            if make_manifest(manifest.origin, manifest.devices, manifest.series).id != manifest.id:
                raise ValueError(f"manifest {manifest.id} of {manifest.origin} does not match its content")
            plan.manifests.append(manifest)
            for entry in manifest.series:
                key = _key(manifest, entry)
                if key not in self._ids and key not in ids:
                    ids[key] = len(self.series) + len(ids)
                    plan.series.append(Series(ids[key], key))
        return plan

    def apply(self, plan: Registration) -> None:
        """The store has the registration: use it."""
        for series in plan.series:
            self.load_series(series)
        for manifest in plan.manifests:
            self.load_manifest(plan.gateway, manifest)

    def load_series(self, series: Series) -> None:
        """Add a stored series; numbers come without holes."""
        if series.id != len(self.series):
            raise ValueError(f"series {series.id} where {len(self.series)} was expected")
        self.series.append(series)
        self._ids[series.key] = series.id

    def load_manifest(self, gateway: str, manifest: Manifest) -> None:
        """Add a stored manifest whose series are known."""
        ids = [self._ids[_key(manifest, entry)] for entry in manifest.series]
        factors = [_conversion(manifest.origin, entry) for entry in manifest.series]
        converts = any(factor != (1.0, 0.0) for factor in factors)
        self.manifests[manifest.id] = Known(manifest, gateway, ids, self._length, converts)
        scale, offset = np.array(factors, np.float64).reshape(-1, 2).T
        self._unmerged.append(Aliases(np.array(ids, np.int32), scale, offset))
        self._length += len(ids)
        if self.current.get(manifest.origin, (0, 0))[0] == 0:
            self.current[manifest.origin] = (0, manifest.id)

    def find(self, name: str) -> list[tuple[Known, int]]:
        """Where devices of this name are: the current manifest of an origin, and the place in its list."""
        current = (self.manifests.get(manifest) for _, manifest in self.current.values())
        return [
            (known, place)
            for known in current
            if known is not None
            for place, device in enumerate(known.manifest.devices)
            if device.name == name
        ]

    def devices(self) -> Iterable[tuple[Known, DeviceEntry, list[tuple[int, SeriesEntry]]]]:
        """Every device of each origin's current manifest, with its series."""
        for _, manifest_id in self.current.values():
            known = self.manifests.get(manifest_id)
            if known is None:
                continue
            points: list[list[tuple[int, SeriesEntry]]] = [[] for _ in known.manifest.devices]
            for number, entry in zip(known.series, known.manifest.series, strict=True):
                points[entry.device].append((number, entry))
            for device, its in zip(known.manifest.devices, points, strict=True):
                yield known, device, its


def _key(manifest: Manifest, entry: SeriesEntry) -> SeriesKey:
    device = manifest.devices[entry.device].name
    return manifest.origin, device, entry.point, entry.quantity, entry.kind, _unit(entry)


def _unit(entry: SeriesEntry) -> str:
    try:
        to_canonical(entry.quantity, entry.unit)
    except UnitError:
        return entry.unit
    return QUANTITIES[entry.quantity].unit


def _conversion(origin: str, entry: SeriesEntry) -> tuple[float, float]:
    if entry.kind == "text":
        return 1.0, 0.0
    try:
        return to_canonical(entry.quantity, entry.unit)
    except UnitError as trouble:
        # A pole may know a quantity that we do not: its values are kept in their own unit, and shown with it.
        log.warning("%s: %s is stored in its own unit: %s", origin, entry.point, trouble)
        return 1.0, 0.0
