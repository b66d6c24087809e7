"""``[uplink.modem]`` of a site file: the NB-IoT modem through which datagrams leave a pole without Ethernet."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from device_profiles.codecs.at_modem import AtError
from device_profiles.codecs.at_modem_answers import ACTIVE_UNITS, PERIODIC_UNITS, write_timer
from device_profiles.tables import Table

KINDS = ("bc95", "bc28", "bc26")
_BAUD = {"bc95": 9600, "bc28": 9600, "bc26": 115200}
"""As these modules leave the factory (BC26 finds the speed by itself)."""


@dataclass(frozen=True, kw_only=True)
class Psm:
    """Power saving (TS 27.007, 7.38), as timer octets: ``periodic`` T3412 extended, ``active`` T3324."""

    periodic: str
    active: str


@dataclass(frozen=True, kw_only=True)
class ModemConfig:
    """One modem. ``apn``: None leaves the modem's own; ``psm``: None switches power saving off; ``edrx``: four binary
    digits (TS 24.008, table 10.5.5.32), None for off.

    ``patience``: seconds that a connection attempt waits for network and socket; ``watch``: between two looks at
    registration and signal.
    """

    port: Path
    kind: str = "bc95"
    baud: int = 9600
    apn: str | None = None
    psm: Psm | None = None
    edrx: str | None = None
    patience: float = 30.0
    watch: float = 60.0


def read_modem(table: Table, host: str) -> ModemConfig | None:
    """The ``[uplink.modem]`` table, None when nothing is written there. ``host``: where the uplink goes."""
    if not table.data:
        return None
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        table.trouble("", f"a modem sends to an IPv4 address, not to {host!r}", 'url = "coap://192.0.2.7"')
    kind = table.choice("kind", KINDS, "bc95")
    apn = table.optional_text("apn")
    if apn is not None and not re.fullmatch(r"[A-Za-z0-9.-]{1,100}", apn):
        table.trouble("apn", f"{apn!r} is no access point's name", 'such as "cmnbiot"')
        apn = None
    config = ModemConfig(
        port=table.path("port"),
        kind=kind,
        baud=table.integer("baud", _BAUD[kind], low=300, high=921_600),
        apn=apn,
        psm=_psm(table.table("psm")),
        edrx=_edrx(table),
        patience=table.number("patience_seconds", 30.0, low=0.1, high=600),
        watch=table.number("watch_seconds", 60.0, low=0.1, high=86_400),
    )
    table.end()
    return config


def _edrx(table: Table) -> str | None:
    value = table.optional_text("edrx")
    if value is not None and not re.fullmatch(r"[01]{4}", value):
        table.trouble("edrx", f"{value!r} must be four binary digits", 'such as "0010" (20.48 s)')
        return None
    return value


def _psm(table: Table) -> Psm | None:
    """``psm = { tau_hours = 12, active_seconds = 20 }``."""
    if not table.data:
        return None
    hours = table.number("tau_hours", 12.0, low=0.001, high=9920)
    active = table.number("active_seconds", 20.0, low=2, high=11_160)
    table.end()
    try:
        return Psm(periodic=write_timer(hours * 3600, PERIODIC_UNITS), active=write_timer(active, ACTIVE_UNITS))
    except AtError as wrong:
        table.trouble("", str(wrong))
        return None
