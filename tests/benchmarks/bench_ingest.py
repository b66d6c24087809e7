"""Readings a second on one core, from CBOR bytes to the DuckDB commit on disk.

One process pinned to one core, DuckDB with one thread, everything the worker does for a micro-batch in a row:
decode, acceptance, pipeline, commit, memory. MQTT is not in it (the client costs 30 to 75 µs a message).
Judge the ratio.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from device_profiles.envelope import Batch, Columns, encode_batch, pack_body
from device_profiles.manifests import DeviceEntry, Manifest, SeriesEntry, make_manifest
from device_profiles.readings import Lane
from ingest.inbox import PACK_BYTES, PACK_MESSAGES
from ingest.judging import Arrival
from ingest.memory import Memory
from ingest.pipeline import Pipeline
from ingest.rows import Commit
from ingest.store_duckdb import DuckdbStore

TARGETS = {500: 1_000_000, 20: 150_000}
GATEWAYS = 20
POINTS = 500
START = 1_795_000_000_000_000


def street_manifest(gateway: str) -> Manifest:
    """A pole of 50 devices with 10 points each; every tenth point is in kelvin and has to be converted."""
    devices = [DeviceEntry(f"d{n}", None, {}, "environment", "bench-air", 1) for n in range(50)]
    series = [
        SeriesEntry(n // 10, f"p{n % 10}", {}, "air_temperature", "K" if n % 10 == 0 else "Cel", "number", 60.0)
        for n in range(POINTS)
    ]
    return make_manifest(f"{gateway}/agent", devices, series)


def load(batch_size: int, readings: int) -> tuple[list[Manifest], list[Arrival]]:
    """Encoded batches as gateways send them, gateways interleaved: half the values drift, some are BAD."""
    rng = np.random.default_rng(500236)
    manifests = [street_manifest(f"kz-{n:03d}") for n in range(GATEWAYS)]
    arrivals = []
    for number in range(readings // batch_size):
        gateway, turn = number % GATEWAYS, number // GATEWAYS
        aliases = (np.arange(batch_size) + turn * batch_size) % POINTS
        codes = np.where(rng.random(batch_size) < 0.01, 0x81, 0).astype(np.uint8)
        values = np.where(codes > 0, np.nan, np.round(rng.normal(20, 3, batch_size), 1))
        columns = Columns(
            array("H", aliases.tolist()),
            array("I", np.sort(rng.integers(0, 1_000_000, batch_size)).tolist()),
            array("d", values.tolist()),
            array("B", codes.tolist()),
        )
        body, packed = pack_body(columns)
        batch = Batch(
            origin=manifests[gateway].origin,
            epoch=1 << 50,
            seq=turn + 1,
            lane=Lane.LIVE,
            manifest=manifests[gateway].id,
            base=START + turn * 1_000_000,
            count=batch_size,
            body=body,
            packed=packed,
        )
        arrivals.append(Arrival(f"kz-{gateway:03d}", "", encode_batch(batch), START))
    return manifests, arrivals


def packs(arrivals: list[Arrival]) -> list[list[Arrival]]:
    """Micro-batches under the same bounds as ingest.inbox."""
    found: list[list[Arrival]] = [[]]
    size = 0
    for arrival in arrivals:
        if len(found[-1]) >= PACK_MESSAGES or size >= PACK_BYTES:
            found.append([])
            size = 0
        found[-1].append(arrival)
        size += len(arrival.payload)
    return found


def measure(batch_size: int, readings: int, folder: Path) -> dict[str, float]:
    """One run over a fresh file; seconds by stage and readings a second over all of it."""
    manifests, arrivals = load(batch_size, readings)
    store = DuckdbStore(folder / f"bench-{batch_size}.duckdb", threads=1)
    store.open()
    memory = Memory()
    for manifest in manifests:
        plan = memory.registry.plan(manifest.origin.split("/")[0], [manifest])
        store.register(plan)
        memory.register(plan)
    pipeline = Pipeline(memory)
    store.commit(Commit(START))
    stages = {"plan": 0.0, "commit": 0.0, "apply": 0.0}
    cpu = time.process_time()
    for number, pack in enumerate(packs(arrivals)):
        began = time.perf_counter()
        micro = pipeline.plan(pack, START + 60_000_000 + number)
        planned = time.perf_counter()
        store.commit(micro.commit)
        committed = time.perf_counter()
        memory.apply(micro)
        stages["plan"] += planned - began
        stages["commit"] += committed - planned
        stages["apply"] += time.perf_counter() - committed
    cpu = time.process_time() - cpu
    stored = store.query("SELECT count(*) AS n FROM readings")["n"][0]
    store.close()
    if stored != sum(tally.readings for tally in memory.accounts.tallies.values()):
        raise AssertionError(f"{stored} readings in the store")
    seconds = sum(stages.values())
    return stages | {"rate": stored / seconds, "cpu_rate": stored / cpu, "batches": len(arrivals)}


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Rows of name, value, unit, target, ok, ratio; medians of three runs."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    rows: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="kuimen-bench-", dir=Path.cwd()) as folder:
            for batch_size, target in TARGETS.items():
                readings = (500_000 if quick else 3_000_000) if batch_size == 500 else (100_000 if quick else 600_000)
                runs = []
                for turn in range(1 if quick else 3):
                    place = Path(folder) / str(turn)
                    place.mkdir(exist_ok=True)
                    runs.append(measure(batch_size, readings, place))
                rows.append(_row(batch_size, target, runs))
    finally:
        os.sched_setaffinity(0, allowed)
    return rows


def _row(batch_size: int, target: int, runs: list[dict[str, float]]) -> dict[str, Any]:
    rate = statistics.median(one["rate"] for one in runs)
    stages = {stage: round(runs[-1][stage] / runs[-1]["batches"] * 1e6, 1) for stage in ("plan", "commit", "apply")}
    return {
        "name": f"ingest, {batch_size} readings a batch, one core",
        "value": round(rate),
        "unit": "readings/s",
        "target": f">= {target:,}",
        "ok": rate >= target,
        "ratio": round(rate / target, 2),
        "a_cpu_second": round(statistics.median(one["cpu_rate"] for one in runs)),
        "stages_us_a_batch": stages,
    }


def main() -> None:
    """Print the rows, one JSON object a line with --json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for row in run(arguments.quick):
        if arguments.json:
            print(json.dumps(row))
        else:
            print(f"{row['name']}: {row['value']:,} {row['unit']}, {row['ratio']:.2f} × the target ({row['target']})")
            print(f"    {row['a_cpu_second']:,} a CPU second; µs a batch: {row['stages_us_a_batch']}")


if __name__ == "__main__":
    main()
