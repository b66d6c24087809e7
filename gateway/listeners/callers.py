"""Who may call: a device's own identity (IMEI, MN, station, terminal number, endpoint name), never its address.

Frozen data; refuses to know connections.
"""

import msgspec

from device_profiles.manifests import DeviceEntry, SeriesEntry, Title
from device_profiles.profiles import DeviceProfile


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """One installed device that calls. ``id``: as its protocol says it; ``device``: its name in the city.

    ``secret``: password, key or authentication code, as the protocol has one; ``report``: seconds between two reports
    where this one reports more seldom than its profile says. A ``disabled`` one is turned away like a stranger.
    """

    id: str
    device: str
    profile: DeviceProfile
    code: str | None = None
    title: Title = {}
    disabled: bool = False
    secret: str | None = None
    report: float | None = None

    def __repr__(self) -> str:  # a secret is never printed
        return f"Caller({self.id!r}, device={self.device!r}, profile={self.profile.model!r})"


def device_entry(caller: Caller) -> DeviceEntry:
    """The caller as a manifest announces it."""
    profile = caller.profile
    title = caller.title or profile.title
    return DeviceEntry(caller.device, caller.code, title, profile.domain, profile.model, profile.version)


def series_entries(caller: Caller, place: int) -> list[SeriesEntry]:
    """Its series in the order of the profile's points; ``place``: the caller's index among the manifest's devices."""
    return [
        SeriesEntry(
            place,
            point.name,
            point.title,
            point.quantity,
            point.unit,
            "text" if point.text else "number",
            max(point.report, point.period, caller.report or 0.0),
        )
        for point in caller.profile.points
    ]
