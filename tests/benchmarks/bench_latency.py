"""From the last byte of a unit's reply to the event on the live page's stream, through every real process.

The units of this benchmark number their replies: each answer's registers carry a number that no other answer carries,
and the page's server-sent events show when it arrives. Refuses to judge by fewer than 100 samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.benchmarks.processes import Row, child, cores, listening, row, say

TARGET_MS = 250.0
FEWEST = 100
PERIODS = (0.23, 0.29, 0.31, 0.37, 0.41, 0.43, 0.47, 0.53)
"""Seconds between two polls of each unit: no common measure, so that replies fall anywhere between two commits."""
REQUEST = 12
"""Bytes of a Modbus TCP read: header 7, function, address, count (Modbus messaging on TCP V1.0b, 4.1)."""


class NumberedUnits:
    """Modbus TCP units whose every reply carries a number of its own, and when it was written."""

    def __init__(self) -> None:
        self.written: dict[int, float] = {}
        self._number = 0

    @contextlib.asynccontextmanager
    async def serve(self, count: int) -> AsyncIterator[list[int]]:
        """Serve `count` units, one port each, for the length of the block."""
        async with contextlib.AsyncExitStack() as stack:
            servers = [await asyncio.start_server(self._converse, "127.0.0.1", 0) for _ in range(count)]
            for server in servers:
                await stack.enter_async_context(server)
            yield [server.sockets[0].getsockname()[1] for server in servers]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError), contextlib.closing(writer):
            while True:
                request = await reader.readexactly(REQUEST)
                self._number += 1
                count = int.from_bytes(request[10:12], "big")
                values = self._number.to_bytes(2, "big") * count
                head = request[:4] + (3 + len(values)).to_bytes(2, "big") + request[6:8]
                writer.write(head + bytes((len(values),)) + values)
                self.written[self._number] = time.monotonic()


async def follow(url: str, units: NumberedUnits, samples: int, seconds: float) -> list[float]:
    """Seconds from reply to event of `samples` readings, in order of arrival; fewer when `seconds` are over."""
    import httpx

    delays: list[float] = []
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=None) as client,
            client.stream("GET", url) as page,
        ):
            units.written.clear()  # what was said before anybody listened
            async for line in page.aiter_lines():
                arrived = time.monotonic()
                if not line.startswith("data:") or '"rows":[[' not in line:
                    continue
                for fields in json.loads(line[5:])["rows"]:
                    written = units.written.pop(int(fields[1] or 0), None)
                    if written is not None:
                        delays.append(arrived - written)
                if len(delays) >= samples:
                    return delays
    return delays


async def measure(samples: int) -> list[float]:
    """Delays in seconds through pole, broker, ingest and the page's server."""
    from tests.benchmarks.pole_rig import kuimen, rig

    units = NumberedUnits()
    async with units.serve(len(PERIODS)) as ports:
        with tempfile.TemporaryDirectory(prefix="kuimen-bench-") as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            # The rig waits with its own eyes on processes: in a thread, because this loop serves the units meanwhile.
            running = await asyncio.to_thread(
                lambda: stack.enter_context(rig(folder, ports, PERIODS[0], points=1, slower=PERIODS))
            )
            page = stack.enter_context(
                child("dashboards", kuimen("dashboards", "run", running.centre), folder, cores()[1])
            )
            await asyncio.to_thread(page.wait_for, lambda: listening(running.page_port), "its port")
            url = f"http://127.0.0.1:{running.page_port}/api/v1/changes"
            try:
                return await follow(url, units, samples, seconds=samples / 10 + 20)
            finally:
                await asyncio.to_thread(stack.close)


def run(quick: bool = False) -> list[Row]:
    """The median and the 99th percentile."""
    samples = 300 if quick else 900
    say(f"latency: {samples} readings from reply to page")
    delays = sorted(asyncio.run(measure(samples)))
    if len(delays) < FEWEST:
        raise RuntimeError(f"only {len(delays)} readings arrived on the page's stream")
    median, worst = delays[len(delays) // 2] * 1000, delays[int(len(delays) * 0.99)] * 1000
    say(f"latency: {len(delays)} samples, p50 {median:.0f} ms, p99 {worst:.0f} ms, most {delays[-1] * 1000:.0f} ms")
    return [
        row("latency: reply to page, p99", worst, "ms", f"<= {TARGET_MS:g}", worst <= TARGET_MS),
        row("latency: reply to page, p50", median, "ms"),
    ]
