"""Ways from a gateway to a real ingest worker, for tests: CoAP behind a bad path, MQTT with CoAP in reserve."""

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.config import GatewayConfig, UplinkConfig
from gateway.inspection import read_ledger
from gateway.uplink_config import CoapOptions
from ingest.config import CentreConfig
from ingest.service import load_config
from ingest.store_duckdb import DuckdbStore
from tests.parts import free_port, mosquitto
from tests.proxies import UdpProxy, udp_link
from tests.rooms.gateway.doubles import PATIENCE, make_config
from tests.rooms.ingest.running import aget, worker, write_centre

QUICK = CoapOptions(ack_seconds=0.1, retransmissions=8)


def over_coap(folder: Path, port: int, options: CoapOptions = QUICK, **more: Any) -> GatewayConfig:
    """A gateway whose only way out is CoAP."""
    config = make_config(folder, **more)
    uplink = dataclasses.replace(config.uplink, port=port, coap=options)
    return dataclasses.replace(config, uplink=uplink)


async def told(centre: CentreConfig, holds: Callable[[Any], object], what: str) -> Any:
    """The centre's ledger as soon as something of it holds."""
    ledger: Any = None
    try:
        async with asyncio.timeout(PATIENCE * 2):
            while not holds(ledger := await aget(centre, "/api/v1/ledger")):  # noqa: ASYNC110 - another thread answers
                await asyncio.sleep(0.02)  # polls a worker through its API, bounded above
    except TimeoutError:
        raise AssertionError(f"never: {what}; {ledger}") from None
    return ledger


def settled(spooled: int) -> Callable[[Any], bool]:
    """The gateway says that so much was spooled and nothing waits."""

    def holds(ledger: Any) -> bool:
        found = [state["ledger"] for state in ledger["gateways"]]
        return bool(found) and found[0]["spooled"] == spooled and found[0]["waiting"] == 0

    return holds


def check_stored(centre: CentreConfig, batches: int, readings: int) -> None:
    """What is in the store's file, each batch once."""
    store = DuckdbStore(centre.store.path, threads=1)
    store.open()
    try:
        found = store.query("SELECT count(*) AS n, count(DISTINCT (origin, epoch, seq)) AS d FROM batches")
        assert (found["n"][0], found["d"][0]) == (batches, batches)
        assert store.query("SELECT count(*) AS n FROM readings")["n"][0] == readings
    finally:
        store.close()


def check_spool(config: GatewayConfig, readings: int) -> None:
    """The gateway's own account."""
    ledger = read_ledger(config.spool.path)
    assert ledger.differences() == [] and ledger.waiting == 0
    assert ledger.stored + ledger.duplicate == readings


@asynccontextmanager
async def street(folder: Path, seed: int = 1, trouble: float = 0.0) -> AsyncIterator[tuple[CentreConfig, UdpProxy]]:
    """A worker without a broker, and a path to its CoAP door: this part of all datagrams is lost, and as much is said
    twice, and overtaken."""
    port = free_port()
    centre = load_config(write_centre(folder, free_port(), coap_port=port))
    async with worker(centre, broker=False), udp_link(port, random.Random(seed)) as wire:
        wire.lose = wire.double = wire.overtake = trouble
        yield centre, wire


@asynccontextmanager
async def two_ways(folder: Path, after: float) -> AsyncIterator[tuple[GatewayConfig, CentreConfig, Any]]:
    """MQTT first, CoAP when that is shut."""
    with mosquitto(folder / "broker") as broker:
        port = free_port()
        centre = load_config(write_centre(folder, broker.port, coap_port=port))
        config = make_config(folder, broker.port, resend=0.3)
        fallback = UplinkConfig(port=port, coap=QUICK, state_seconds=0.1, resend_seconds=0.3)
        uplink = dataclasses.replace(config.uplink, fallback=fallback, after_seconds=after)
        async with worker(centre):
            yield dataclasses.replace(config, uplink=uplink), centre, broker


def uses(url: str) -> Callable[[Any], bool]:
    """The gateway says that it sends there."""

    def holds(ledger: Any) -> bool:
        return any(state["health"].get("uplink", {}).get("url") == url for state in ledger["gateways"])

    return holds


def carries(which: str) -> Callable[[Any], bool]:
    """The gateway says that this way is in use."""

    def holds(ledger: Any) -> bool:
        return any(state["health"].get("uplink", {}).get("in_use") == which for state in ledger["gateways"])

    return holds
