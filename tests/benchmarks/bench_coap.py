"""CoAP POSTs a second that a real gateway process answers after the spool's fsync, and what 50,000 endpoints that have
called cost it; beside it aiocoap's own server, which only answers, on the same core and from the same load.

There is no broker: the spool only fills. Refuses to count what the ledger does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from device_profiles.codecs import coap
from gateway.inspection import read_ledger
from tests.benchmarks.bench_sessions import STARTING_S, aside
from tests.benchmarks.pole_rig import kuimen
from tests.benchmarks.processes import ROOT, Child, Row, child, cores, free_port, row, say

ENDPOINTS = 50_000
MODEL = "generic-parking-nb"
READINGS = 6
"""Values in one message of that model."""
WINDOWS = (1, 64, 512)
"""POSTs on their way at once."""

PEER = """
import asyncio, sys, aiocoap, aiocoap.resource
class Posts(aiocoap.resource.Resource, aiocoap.resource.PathCapable):
    async def render_post(self, request):
        return aiocoap.Message(code=aiocoap.CHANGED)
async def main():
    site = aiocoap.resource.Site()
    site.add_resource(["parking"], Posts())
    bind, transports = ("127.0.0.1", int(sys.argv[1])), ["simplesocketserver"]
    await aiocoap.Context.create_server_context(site, bind=bind, transports=transports)
    await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


def imei(n: int) -> str:
    """The n-th endpoint."""
    return f"86{n:013d}"


def write_site(folder: Path, endpoints: int, port: int) -> Path:
    """A gateway with one door for CoAP."""
    rows = "".join(f"{imei(n)},parking-{n},{MODEL}\n" for n in range(endpoints))
    (folder / "endpoints.csv").write_text("id,name,profile\n" + rows)
    site = folder / "site.toml"
    site.write_text(
        '[site]\nname = "bench"\n\n[gateway]\nsocket = "pole.sock"\n\n[gateway.spool]\npath = "spool.db"\n'
        f'quota_mb = 4096\n\n[uplink]\nurl = "mqtt://127.0.0.1:{free_port()}"\n'
        f'\n[[listeners]]\nname = "parking"\nprotocol = "payload"\nlisten = "coap://127.0.0.1:{port}"\n'
        'callers = "endpoints.csv"\n'
    )
    return site


class Load(asyncio.DatagramProtocol):
    """Keeps ``window`` POSTs on their way, each from another endpoint, and hears the answers."""

    def __init__(self, endpoints: int, window: int, enough: int, first: int) -> None:
        self.answered = 0
        self.done = asyncio.Event()
        self.waits: list[float] = []
        self._endpoints, self._window, self._enough = endpoints, window, first + enough
        self._next = self._first = first
        self._waiting: dict[int, float] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Fill the window."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        for _ in range(self._window):
            self._post()

    def _post(self) -> None:
        if self._next >= self._enough:
            return
        n, self._next = self._next, self._next + 1
        mid = n & 0xFFFF
        self._waiting[mid] = time.perf_counter()
        self._transport.sendto(frame(n, self._endpoints))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """An answer: the next one."""
        sent = self._waiting.pop(data[2] << 8 | data[3], None)
        if sent is None or data[1] != coap.CHANGED:
            return
        self.waits.append(time.perf_counter() - sent)
        self.answered += 1
        if self.answered == self._enough - self._first:
            self.done.set()
        self._post()


def frame(n: int, endpoints: int) -> bytes:
    """The n-th POST: a confirmable one of ten bytes."""
    mid, count = n & 0xFFFF, n // endpoints & 0xFFFF
    head = b"\x42\x02" + mid.to_bytes(2, "big") * 2
    path = b"\xb7parking\x0d\x02" + imei(n % endpoints).encode()
    payload = count.to_bytes(2, "big") + b"\x01\x00\xb4" + (n & 0xFFFF).to_bytes(2, "big") + b"\x0e\x48\x0c"
    return head + path + b"\xff" + payload


async def posted(port: int, endpoints: int, window: int, count: int, first: int) -> tuple[float, list[float]]:
    """(seconds for ``count`` answered POSTs, seconds that each took)."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    transport, load = await loop.create_datagram_endpoint(
        lambda: Load(endpoints, window, count, first), remote_addr=("127.0.0.1", port)
    )
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    try:
        async with asyncio.timeout(120):
            await load.done.wait()
    finally:
        transport.close()
    return time.perf_counter() - began, load.waits


def answers(port: int) -> bool:
    """True when a CoAP server resets a ping there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(0.2)
        end.connect(("127.0.0.1", port))
        try:
            end.send(coap.encode(coap.Message(coap.CON, coap.EMPTY, 1)))
            return bool(end.recv(16))
        except OSError:
            return False


@contextlib.contextmanager
def gateway(folder: Path, endpoints: int) -> Iterator[tuple[Child, int]]:
    """The process, pinned to its core, and its port."""
    port = free_port()
    site = write_site(folder, endpoints, port)
    with child("gateway", kuimen("gateway", "run", site), folder, cores()[0]) as running:
        running.wait_for(lambda: answers(port), "its door", STARTING_S)
        yield running, port


def measured(running: Child, port: int, endpoints: int, counts: dict[int, int]) -> tuple[list[Row], int]:
    """(rows, POSTs answered)."""
    rows: list[Row] = []
    sent = 0
    for window, count in counts.items():
        busy = running.cpu_seconds()
        took, waits = asyncio.run(posted(port, endpoints, window, count, sent))
        sent += count
        name = "one at a time" if window == 1 else f"{window} at once"
        say(f"coap: {count:,} POSTs {name} in {took:.1f} s")
        rows.append(row(f"CoAP POSTs answered after fsync, {name}", count / took, "1/s"))
        rows.append(row(f"CPU for each, {name}", (running.cpu_seconds() - busy) / count * 1e6, "µs"))
        rows.append(row(f"time to the answer, {name}, 99 %", sorted(waits)[int(len(waits) * 0.99)] * 1000, "ms"))
    return rows, sent


def peers(folder: Path, count: int) -> list[Row]:
    """aiocoap's own server under the same load; it stores nothing."""
    port = free_port()
    with child("aiocoap", [sys.executable, "-c", PEER, str(port)], folder, cores()[0]) as running:
        running.wait_for(lambda: answers(port), "its door", 60.0)
        took, _ = asyncio.run(posted(port, 1000, 64, count, 0))
    return [row("aiocoap's server, which only answers, 64 at once", count / took, "1/s")]


def run(quick: bool = False) -> list[Row]:
    """POSTs a second, then memory once every endpoint has called."""
    endpoints = 2_000 if quick else ENDPOINTS
    counts = {
        window: (200 if window == 1 else 2_000) if quick else (2_000 if window == 1 else 30_000) for window in WINDOWS
    }
    place = ROOT / "run"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-coap-", dir=place) as name, aside():
        folder = Path(name)
        with gateway(folder, endpoints) as (running, port):
            known = running.rss_mb()
            rows, sent = measured(running, port, endpoints, counts)
            heard = running.rss_mb()
        ledger = read_ledger(folder / "spool.db")
        if ledger.differences() or ledger.spooled != sent * READINGS:
            raise RuntimeError(f"{sent * READINGS} readings were answered, {ledger.spooled} are spooled")
        rows += [
            row(f"gateway: resident with {endpoints:,} known CoAP endpoints", known, "MB"),
            row(f"gateway: resident after {sent:,} POSTs from all of them", heard, "MB"),
        ]
        return rows + peers(folder, 1_000 if quick else 10_000)
