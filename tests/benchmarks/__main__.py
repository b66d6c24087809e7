"""`make bench`: every figure beside its target, in one table, with the machine it came from.

    python -m tests.benchmarks [--quick] [--json FILE] [NAME …]

NAME is one of BENCHES; all of them without one (peer only where PEERS=1). A figure that misses its target is marked
and the exit code is 1: figures are looked at by people, never asserted in the tests.
"""

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

BENCHES = ("wire", "bus", "ingest", "latency", "agent", "codecs", "spool", "sessions", "coap", "uplink", "peer")
Row = dict[str, Any]


def machine() -> str:
    """What the figures were measured on."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpus if "model name" in line]
    model = models[0] if models else platform.machine()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    python = f"CPython {platform.python_version()}"
    return f"{os.cpu_count()} × {model}, {memory:.0f} GB, Linux {platform.release()}, {python}"


def verdict(row: Row) -> str:
    """met, missed, or nothing where there is no target."""
    return {True: "met", False: "MISSED", None: ""}[row.get("ok")]


def figure(value: Any) -> str:
    """A figure with three or so digits that count."""
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def print_table(rows: list[Row]) -> None:
    """Markdown, so that it can be quoted as it is."""
    print("| what | measured | target | |")
    print("|---|---|---|---|")
    for row in rows:
        measured = f"{figure(row['value'])} {row.get('unit', '')}".strip()
        print(f"| {row['name']} | {measured} | {row.get('target') or ''} | {verdict(row)} |")


def main() -> int:
    """Run the benches that were asked for; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it runs, not to quote")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHES)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    names = chosen.names or [name for name in BENCHES if name != "peer" or os.environ.get("PEERS") == "1"]
    rows: list[Row] = []
    for name in names:
        began = time.monotonic()
        print(f"— {name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"tests.benchmarks.bench_{name}").run(quick=chosen.quick)
        print(f"— {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"\nMeasured {time.strftime('%Y-%m-%d')} on {machine()}\n")
    print_table(rows)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1))
    return int(any(row.get("ok") is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
