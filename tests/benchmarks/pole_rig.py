"""The whole way, from units to the centre's store, as real processes: broker, ingest, pole; the pole alone on its core.

Refuses nothing: what does not come up in time raises with the end of that process's log.
"""

from __future__ import annotations

import contextlib
import json
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.processes import Child, child, cores, free_port, listening

MODEL = "bench-u16"
POINTS = 100
REPORT_S = 60
FASTEST_PERIOD = 0.1
"""The shortest that a profile may ask for (device_profiles.maps.points)."""


@dataclass(frozen=True)
class Rig:
    """A running pole with everything behind it."""

    pole: Child
    broker: Child
    ingest: Child
    api_port: int
    page_port: int
    centre: Path

    def get(self, path: str) -> Any:
        """A JSON body of ingest's API."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def stored(self) -> int:
        """Readings in the centre's store."""
        return int(self.get("/api/v1/ledger")["intake"]["stored"])


def write_profile(folder: Path, period: float, points: int = POINTS, table: str = "holding") -> Path:
    """A model of `points` u16 registers from 0, each a point of its own; returns its library folder."""
    library = folder / "profiles"
    (library / "urban").mkdir(parents=True, exist_ok=True)
    head = (
        f'[profile]\nmodel = "{MODEL}"\nversion = 1\nvendor = "Kuimen"\ntitle = {{ zh = "基准", en = "Benchmark" }}\n'
        'domain = "urban"\ncomponent = "0118"\nstatus = "draft"\nsources = ["tests/benchmarks/pole_rig.py"]\n\n'
        "[modbus]\nunit = 1\nmax_block = 125\ntimeout_ms = 1000\nlate_ms = 2000\n"
    )
    rows = "".join(
        f'\n[[modbus.points]]\nname = "r{at}"\ntitle = {{ zh = "值", en = "Value" }}\nquantity = "code"\nunit = "1"\n'
        f'table = "{table}"\naddress = {at}\ntype = "u16"\nrange = [0, 65535]\nperiod = {period}\nreport = {REPORT_S}\n'
        for at in range(points)
    )
    simulate = "\n[simulate]\n" + "".join(f'r{at} = {{ kind = "constant", value = {at} }}\n' for at in range(points))
    example = (
        '\n[[examples]]\ntitle = "one register"\nsource = "computed from the map"\n'
        'request = "01 03 00 00 00 01 84 0A"\nreply = "01 03 02 00 07 F9 86"\nvalues = { r0 = 7 }\n'
    )
    (library / "urban" / f"{MODEL}.toml").write_text(head + rows + simulate + example)
    return library


def write_site(folder: Path, library: Path, ports: Sequence[int], broker: int, slower: Sequence[float] = ()) -> Path:
    """A pole with one Modbus TCP link and one unit a port; `slower`: poll periods of the first units, in seconds."""
    site = folder / "site.toml"
    periods = [f"period = {period}\n" for period in slower] + [""] * (len(ports) - len(slower))
    links = "".join(
        f'\n[[links]]\nname = "tcp-{at}"\nurl = "tcp://127.0.0.1:{port}"\n'
        f'\n[[devices]]\nname = "unit-{at:03}"\nprofile = "{MODEL}"\nlink = "tcp-{at}"\nunit = 1\n{period}'
        for at, (port, period) in enumerate(zip(ports, periods, strict=True))
    )
    site.write_text(
        f'[site]\nname = "bench"\nprofiles = ["{library}"]\n\n[gateway]\nsocket = "pole.sock"\n\n'
        f'[gateway.spool]\npath = "spool.db"\n\n[uplink]\nurl = "mqtt://127.0.0.1:{broker}"\n{links}'
    )
    return site


def write_centre(folder: Path, broker: int, api: int, page: int) -> Path:
    """An ingest worker on DuckDB and the live page's server."""
    centre = folder / "centre.toml"
    centre.write_text(
        f'[intake]\nurl = "mqtt://127.0.0.1:{broker}"\n\n[store]\nkind = "duckdb"\npath = "centre.duckdb"\n\n'
        f'[api]\nlisten = "127.0.0.1:{api}"\n\n[dashboards]\nlisten = "127.0.0.1:{page}"\napi = "http://127.0.0.1:{api}"\n'
    )
    return centre


@contextlib.contextmanager
def broker(folder: Path, core: int | None, port: int) -> Iterator[Child]:
    """nats-server with its MQTT listener."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: "bench"\nlisten: "127.0.0.1:-1"\njetstream {{ store_dir: "{folder / "nats"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{port}" }}\n'
    )
    with child("nats", [program, "-c", config], folder, core) as running:
        running.wait_for(lambda: listening(port), "its MQTT port")
        yield running


def kuimen(*words: str | Path) -> list[str | Path]:
    """The front door's command line."""
    return [sys.executable, "-m", "kuimen", *words]


@contextlib.contextmanager
def rig(
    folder: Path, ports: Sequence[int], period: float, points: int = POINTS, slower: Sequence[float] = ()
) -> Iterator[Rig]:
    """Broker, ingest and a pole that polls `ports` every `period` seconds, for the length of a with block."""
    allowed = max(period, FASTEST_PERIOD)
    busy, rest = cores()
    mqtt, api = free_port(), free_port()
    site = write_site(folder, write_profile(folder, allowed, points), ports, mqtt, slower)
    page = free_port()
    centre = write_centre(folder, mqtt, api, page)
    with (
        broker(folder, rest, mqtt) as nats,
        child("ingest", kuimen("ingest", "run", centre), folder, rest) as ingest,
    ):
        ingest.wait_for(lambda: listening(api), "its API")
        command = kuimen("pole", "run", site)
        if period < allowed:
            command = [sys.executable, "-m", "tests.benchmarks.hurried_pole", site, str(period)]
        with child("pole", command, folder, busy) as pole:
            running = Rig(pole, nats, ingest, api, page, centre)
            pole.wait_for(lambda: running.stored() > 0, "the first reading in the centre's store")
            yield running
