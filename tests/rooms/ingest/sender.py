"""What a gateway sends, made by hand for tests: manifests, batches, states, over a real broker or straight in."""

import asyncio
from array import array
from collections.abc import Sequence
from pathlib import Path

import aiomqtt
import msgspec

from device_profiles.envelope import Batch, Columns, encode_batch, pack_body
from device_profiles.ledger import Ledger
from device_profiles.manifests import DeviceEntry, Manifest, SeriesEntry, encode_manifests, make_manifest
from device_profiles.readings import Gap, Lane
from device_profiles.receipts import Outcome, Receipt, Unreadable, decode_receipts
from device_profiles.topics import Topics
from ingest.judging import Arrival
from ingest.memory import Memory
from ingest.pipeline import Pipeline, Plan
from ingest.store_duckdb import DuckdbStore

GATEWAY = "kz-001"
ORIGIN = "kz-001/agent"
EPOCH = 1_795_000_000 << 20
START = 1_795_000_000_000_000
"""µs: November 2026."""

DEVICES = [
    DeviceEntry("kz1-air", "5002360301000001", {"zh": "蚕室", "en": "Silkworm room"}, "agriculture", "renke-louver", 1),
    DeviceEntry("kz1-door", None, {}, "fire", "door", 2),
]
SERIES = [
    SeriesEntry(0, "temperature", {"zh": "气温", "en": "Temperature"}, "air_temperature", "Cel", "number", 60.0),
    SeriesEntry(0, "kelvin", {}, "air_temperature", "K", "number", 60.0),
    SeriesEntry(0, "humidity", {}, "air_humidity", "%", "number", 60.0),
    SeriesEntry(1, "state", {}, "text", "1", "text", 3600.0),
    SeriesEntry(1, "odd", {}, "nobody_knows", "m", "number", 3600.0),
]
TEMPERATURE, KELVIN, HUMIDITY, STATE, ODD = range(5)

Row = tuple[int, int, float, int]
"""(alias, µs after base, value, code)."""


def manifest(origin: str = ORIGIN, series: list[SeriesEntry] = SERIES) -> Manifest:
    """The pole's manifest."""
    return make_manifest(origin, DEVICES, series)


def batch(
    seq: int,
    rows: Sequence[Row] = ((TEMPERATURE, 0, 21.5, 0),),
    *,
    origin: str = ORIGIN,
    epoch: int = EPOCH,
    lane: Lane = Lane.LIVE,
    base: int = START,
    others: Sequence[tuple[int, int, str | int | None, int]] = (),
    gaps: Sequence[Gap] = (),
    manifest_id: int | None = None,
    wide: bool = False,
    count: int | None = None,
) -> bytes:
    """An encoded batch. ``wide``: 32-bit aliases, 64-bit offsets and float32 values instead of the usual columns."""
    aliases, offsets, values, codes = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = Columns(
        array("I" if wide else "H", aliases),
        array("q" if wide else "I", offsets),
        array("f" if wide else "d", values),
        array("B", codes),
        list(others),
        list(gaps),
    )
    body, packed = pack_body(columns)
    return encode_batch(
        Batch(
            origin=origin,
            epoch=epoch,
            seq=seq,
            lane=lane,
            manifest=manifest(origin).id if manifest_id is None else manifest_id,
            base=base,
            count=len(rows) + len(others) if count is None else count,
            body=body,
            packed=packed,
        )
    )


def arrival(payload: bytes, gateway: str = GATEWAY) -> Arrival:
    """The payload as the worker sees it."""
    return Arrival(gateway, f"kuimen/v1/up/0/{gateway}/batch", payload, START)


class Centre:
    """Store, memory and pipeline without a loop or a broker: what a worker does for each micro-batch."""

    def __init__(self, path: Path) -> None:
        self.store = DuckdbStore(path, threads=1)
        self.store.open()
        self.memory = Memory()
        self.pipeline = Pipeline(self.memory)
        self.now = START + 60_000_000

    def register(self, *manifests: Manifest, gateway: str = GATEWAY) -> None:
        """Take manifests over."""
        plan = self.memory.registry.plan(gateway, manifests)
        if plan:
            self.store.register(plan)
            self.memory.register(plan)

    def take(self, *payloads: bytes, gateway: str = GATEWAY) -> Plan:
        """One micro-batch."""
        self.now += 1_000
        plan = self.pipeline.plan([arrival(payload, gateway) for payload in payloads], self.now)
        self.store.commit(plan.commit)
        self.memory.apply(plan)
        return plan

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """What a query says."""
        columns = self.store.query(sql).values()
        return list(zip(*(column.tolist() for column in columns), strict=True))


def outcomes(plan: Plan) -> list[tuple[Outcome, str]]:
    """(outcome, reason) of each message."""
    return [(verdict.outcome, verdict.reason.word) for verdict in plan.verdicts]


class Sender:
    """A gateway on a real broker."""

    def __init__(self, port: int, gateway: str = GATEWAY, qos: int = 0) -> None:
        self.gateway = gateway
        self.qos = qos
        self.topics = Topics()
        self.client = aiomqtt.Client(
            "127.0.0.1", port, identifier=f"sender-{gateway}", protocol=aiomqtt.ProtocolVersion.V311
        )

    async def __aenter__(self) -> "Sender":
        await self.client.__aenter__()
        await self.client.subscribe(self.topics.receipt(self.gateway), qos=self.qos)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.__aexit__(None, None, None)

    async def announce(self, *manifests: Manifest) -> None:
        """Publish manifests, retained."""
        payload = encode_manifests(self.gateway, list(manifests))
        await self.client.publish(self.topics.manifest(self.gateway), payload, qos=self.qos, retain=True)

    async def send(self, payload: bytes, topic: str = "") -> None:
        """Publish a batch, or anything."""
        await self.client.publish(topic or self.topics.batch(self.gateway), payload, qos=self.qos)

    async def state(self, ledger: Ledger, at: int, online: bool = True) -> None:
        """Publish a state, retained."""
        body = {"gateway": self.gateway, "online": online, "at": at, "ledger": ledger, "health": {}}
        await self.client.publish(
            self.topics.state(self.gateway), msgspec.json.encode(body), qos=self.qos, retain=True
        )

    async def receipts(self, batches: int, seconds: float = 20) -> list[Receipt | Unreadable]:
        """The next receipts, at least so many; TimeoutError when they do not come."""
        found: list[Receipt | Unreadable] = []
        async with asyncio.timeout(seconds):
            async for message in self.client.messages:
                named, unreadable = decode_receipts(message.payload)
                found += [*named, *unreadable]
                if len(found) >= batches:
                    break
        return found
