"""A full spool on its way out, real gateway to real ingest: readings a second over CoAP and MQTT, and bytes a reading.

The gateway alone on its core, everything else on the other. Counted is what the centre has stored, each reading once;
bytes are counted on the path itself, with 28 for each datagram's IP and UDP header.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
import urllib.request
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.pole_rig import broker, kuimen
from tests.benchmarks.processes import ROOT, Child, Row, child, cores, free_port, listening, row, say, wait_until
from tests.proxies import udp_link

if TYPE_CHECKING:
    from gateway.books import Arrival

GATEWAY, ORIGIN = "bench", "bench/agent"
POINTS = 100
SIZES = (100, 20)
"""Readings a batch: a pole's usual ones, and few devices that report at once."""
HEADERS = 28
"""IPv4 and UDP, without options."""
PATIENCE_S = 300.0


def arrivals(size: int, count: int) -> tuple[list[Arrival], bytes]:
    """(batches of `size` changing values, the manifest that explains them)."""
    import random

    import msgspec

    from device_profiles.envelope import Batch, Columns, encode_batch, pack_body
    from device_profiles.ledger import Ledger
    from device_profiles.manifests import DeviceEntry, SeriesEntry, encode_manifests, make_manifest
    from device_profiles.readings import Lane
    from gateway.books import Arrival

    devices = [DeviceEntry(f"d{n}", None, {}, "environment", "bench-air", 1) for n in range(10)]
    series = [SeriesEntry(n // 10, f"p{n % 10}", {}, "air_temperature", "Cel", "number", 60.0) for n in range(POINTS)]
    manifest, chance, found = make_manifest(ORIGIN, devices, series), random.Random(1), []
    now = int(time.time() * 1e6)
    for seq in range(1, count + 1):
        columns = Columns(
            array("H", [(seq * size + n) % POINTS for n in range(size)]),
            array("H", sorted(chance.randrange(60_000) for _ in range(size))),
            array("f", [round(chance.gauss(20, 5), 1) for _ in range(size)]),
            array("B", bytes(size)),
            tick=1000,
        )
        body, packed = pack_body(columns)
        name = {"origin": ORIGIN, "epoch": 1, "seq": seq, "lane": Lane.LIVE, "manifest": manifest.id, "count": size}
        payload = encode_batch(Batch(**name, base=now, body=body, packed=packed))  # type: ignore[arg-type]  # one dict, many types
        ledger = msgspec.json.encode(Ledger(polled=seq * size, good=seq * size, handed=seq * size))
        found.append(Arrival(**name, at=now, payload=payload, ledger=ledger))  # type: ignore[arg-type]  # as above
    return found, encode_manifests(ORIGIN, [manifest])


async def fill(path: Path, size: int, count: int) -> None:
    """Put batches into a spool file."""
    from device_profiles.manifests import decode_manifests
    from gateway.clock import SystemClock
    from gateway.config import SpoolConfig
    from gateway.spool import Spool

    batches, manifest = arrivals(size, count)
    spool = Spool(SpoolConfig(path=path), GATEWAY, SystemClock())
    await spool.load()
    await spool.hello(ORIGIN, 1, batches[0].at)
    await spool.keep_manifest(ORIGIN, decode_manifests(manifest)[1][0].id, manifest)
    await asyncio.gather(*(spool.append(batch) for batch in batches))
    await spool.close()


def stored(api: int) -> int:
    """Readings that the centre has stored."""
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{api}/api/v1/ledger", timeout=30) as got,
    ):
        return int(json.loads(got.read())["intake"]["stored"])
    return 0


def write_site(folder: Path, uplink: str) -> Path:
    """A gateway on the spool in this folder."""
    site = folder / "site.toml"
    site.write_text(
        f'[site]\nname = "{GATEWAY}"\n[gateway]\nsocket = "pole.sock"\n[gateway.spool]\npath = "spool.db"\n'
        f"[uplink]\n{uplink}\n"
    )
    return site


@contextlib.contextmanager
def centre(folder: Path) -> Iterator[tuple[int, int, int]]:
    """(port of the broker, of the CoAP door, of the API) of a broker and an ingest worker."""
    mqtt, udp, api = free_port(), free_port(), free_port()
    file = folder / "centre.toml"
    file.write_text(
        f'[intake]\nurl = "mqtt://127.0.0.1:{mqtt}"\n[intake.coap]\nlisten = "127.0.0.1:{udp}"\n'
        f'[store]\npath = "centre.duckdb"\n[api]\nlisten = "127.0.0.1:{api}"\n'
    )
    rest = cores()[1]
    with (
        broker(folder, rest, mqtt),
        child("ingest", kuimen("ingest", "run", file), folder, rest) as ingest,
    ):
        ingest.wait_for(lambda: listening(api), "its API")
        yield mqtt, udp, api


def drained(gateway: Child, api: int, readings: int) -> tuple[float, float]:
    """(readings a second from the first that is seen stored to the last, CPU seconds of the gateway meanwhile)."""
    wait_until(lambda: gateway.alive() and stored(api) > 0, "the first reading", PATIENCE_S)
    first, began, busy = stored(api), time.monotonic(), gateway.cpu_seconds()
    wait_until(lambda: gateway.alive() and stored(api) >= readings, "the last reading", PATIENCE_S)
    return (readings - first) / (time.monotonic() - began), gateway.cpu_seconds() - busy


def throughput(kind: str, size: int, count: int, nstart: int = 0) -> list[Row]:
    """One full spool, emptied."""
    with tempfile.TemporaryDirectory(prefix="bench-uplink-", dir=ROOT / "run") as name:
        folder = Path(name)
        asyncio.run(fill(folder / "spool.db", size, count))
        with centre(folder) as (mqtt, udp, api):
            ways = {
                "coap": f'url = "coap://127.0.0.1:{udp}"\nnstart = {nstart}',
                "mqtt": f'url = "mqtt://127.0.0.1:{mqtt}"',
            }
            site = write_site(folder, ways[kind])
            with child("gateway", kuimen("gateway", "run", site), folder, cores()[0]) as gateway:
                rate, busy = drained(gateway, api, size * count)
    what = f"uplink over {kind.upper().replace('COAP', f'CoAP, nstart {nstart}')}, {size} readings a batch"
    say(f"{what}: {rate:,.0f} readings/s")
    return [row(what, rate, "readings/s"), row(f"{what}: gateway CPU", busy / count * 1e6, "µs a batch")]


async def _path_bytes(folder: Path, udp: int, api: int, readings: int) -> int:
    """Bytes on the path, both ways, until all is stored."""
    total = 0

    def count(inward: bool, data: bytes) -> bool:
        nonlocal total
        total += len(data) + HEADERS
        return True

    async with udp_link(udp) as wire:
        wire.passes = count
        site = write_site(folder, f'url = "coap://127.0.0.1:{wire.port}"\nstate_seconds = 86400')
        with contextlib.ExitStack() as stack:
            gateway = stack.enter_context(child("gateway", kuimen("gateway", "run", site), folder, cores()[0]))
            await asyncio.to_thread(
                wait_until, lambda: gateway.alive() and stored(api) >= readings, "the last reading", PATIENCE_S
            )
            found = total
            await asyncio.to_thread(stack.close)
    return found


def bytes_a_reading(size: int, count: int) -> Row:
    """What a reading costs on the path: blocks, acknowledgements, receipts, one manifest, one state."""
    with tempfile.TemporaryDirectory(prefix="bench-uplink-", dir=ROOT / "run") as name:
        folder = Path(name)
        asyncio.run(fill(folder / "spool.db", size, count))
        with centre(folder) as (_, udp, api):
            total = asyncio.run(_path_bytes(folder, udp, api, size * count))
    return row(
        f"uplink over CoAP: bytes a reading on the path, {size} readings a batch", total / (size * count), "bytes"
    )


def run(quick: bool = False) -> list[Row]:
    """Both ways, two batch sizes; what one reading weighs."""
    (ROOT / "run").mkdir(exist_ok=True)
    count = 300 if quick else 2_000
    rows: list[Row] = []
    for size in SIZES:
        for nstart in (1, 4, 16):
            rows += throughput("coap", size, count // (4 if nstart == 1 else 1), nstart)
        rows += throughput("mqtt", size, count)
        rows.append(bytes_a_reading(size, 300))
    return rows
