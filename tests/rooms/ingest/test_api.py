"""The HTTP API of a running worker, as dashboards and people use it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from device_profiles.ledger import Ledger
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Gap
from ingest.client import follow
from ingest.config import CentreConfig, load_config
from tests.parts import nats_server
from tests.rooms.ingest.running import aget, answer, worker, write_centre
from tests.rooms.ingest.sender import (
    DEVICES,
    EPOCH,
    GATEWAY,
    HUMIDITY,
    KELVIN,
    ORIGIN,
    SERIES,
    START,
    STATE,
    TEMPERATURE,
    Sender,
    batch,
    manifest,
)

OPEN = code_of(Quality.BAD, Reason.SENSOR_OPEN)


async def _fill(sender: Sender) -> None:
    await sender.announce(manifest())
    rows = [(TEMPERATURE, n, 20.0 + n, 0) for n in range(5)] + [(KELVIN, 0, 293.15, 64), (HUMIDITY, 0, 0.0, OPEN)]
    gap = Gap(origin=ORIGIN, epoch=EPOCH, reason=Reason.DISK_FULL, begin=START, end=START + 10, readings=7)
    other = Gap(
        origin=ORIGIN, epoch=EPOCH, reason=Reason.QUOTA, begin=START + 20, end=START + 30, devices=("kz1-door",)
    )
    await sender.send(batch(1, rows, others=[(STATE, 3, "开", 0)], gaps=[gap, other]))
    await sender.receipts(1)


def test_devices_latest_history_gaps(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        config = load_config(write_centre(tmp_path, port))
        async with worker(config), Sender(port) as sender:
            await _fill(sender)
            _devices_are_told(await aget(config, "/api/v1/devices"))
            latest = {row[0]: row[1:] for row in (await aget(config, "/api/v1/latest"))["rows"]}
            assert latest == {
                TEMPERATURE: [24.0, START + 4, "good", "none"],
                KELVIN: [pytest.approx(20.0), START, "uncertain", "none"],
                HUMIDITY: [None, START, "bad", "sensor_open"],
                STATE: ["开", START + 3, "good", "none"],
            }
            await _history_is_told(config)
            gaps = (await aget(config, "/api/v1/gaps?limit=1"))["gaps"]
            assert gaps == [
                {
                    "origin": ORIGIN,
                    "epoch": EPOCH,
                    "begin": START + 20,
                    "end": START + 30,
                    "readings": None,
                    "reason": "quota",
                    "devices": ["kz1-door"],
                }
            ]

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(body(broker.port))


def _devices_are_told(devices: Any) -> None:
    assert devices["now"] > START / 2
    air, door = devices["devices"]
    points = air.pop("points")
    assert air == {
        "device": "kz1-air",
        "code": DEVICES[0].code,
        "title": DEVICES[0].title,
        "domain": "agriculture",
        "profile": "renke-louver",
        "version": 1,
        "gateway": GATEWAY,
        "origin": ORIGIN,
    }
    assert points[1]["unit"] == "Cel"
    assert points[2] == {
        "series": HUMIDITY,
        "point": "humidity",
        "title": {},
        "quantity": "air_humidity",
        "unit": "%",
        "kind": "number",
        "period_s": 60.0,
        "value": None,
        "at": START,
        "quality": "bad",
        "reason": "sensor_open",
    }
    never = door["points"][1]
    assert (never["value"], never["at"], never["quality"], never["reason"]) == (None, None, None, "none")
    assert [point["point"] for point in points + door["points"]] == [series.point for series in SERIES]


async def _history_is_told(config: CentreConfig) -> None:
    page = await aget(config, f"/api/v1/history?series=0&from={START}&to={START + 60}&limit=3")
    gap = {"begin": START, "end": START + 10, "reason": "disk_full", "readings": 7}
    assert page == {
        "series": 0,
        "unit": "Cel",
        "at": [START, START + 1, START + 2],
        "value": [20.0, 21.0, 22.0],
        "quality": ["good"] * 3,
        "reason": ["none"] * 3,
        "gaps": [gap],
        "more": True,
    }
    rest = await aget(config, f"/api/v1/history?series=0&from={page['at'][-1] + 1}&to={START + 60}&limit=3")
    assert (rest["value"], rest["more"]) == ([23.0, 24.0], False)
    text = await aget(config, f"/api/v1/history?series={STATE}&from={START}&to={START + 60}")
    assert (text["value"], [gap["reason"] for gap in text["gaps"]]) == (["开"], ["disk_full", "quota"])
    bad = await aget(config, f"/api/v1/history?series={HUMIDITY}&from={START}&to={START + 60}")
    assert (bad["value"], bad["reason"]) == ([None], ["sensor_open"])


MISTAKES = {
    "/api/v1/history": (400, "series"),
    "/api/v1/history?series=x": (400, "series"),
    "/api/v1/history?series=-1": (400, "series"),
    "/api/v1/history?series=99": (404, "series 99"),
    "/api/v1/history?series=0&from=9&to=8": (400, "from"),
    "/api/v1/history?series=0&from=now": (400, "from"),
    "/api/v1/history?series=0&to=99999999999999999999": (400, "to"),
    "/api/v1/history?series=0&limit=0": (400, "limit"),
    "/api/v1/gaps?limit=1000000": (400, "limit"),
    "/api/v1/nothing": (404, "Not Found"),
}


def test_mistaken_requests_are_answered_with_problem_details(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        config = load_config(write_centre(tmp_path, port))
        async with worker(config), Sender(port) as sender:
            await _fill(sender)
            for path, (status, word) in MISTAKES.items():
                found, problem = await asyncio.to_thread(answer, config, path)
                assert (found, problem["status"], problem["type"]) == (status, status, "about:blank"), path
                assert word in problem["detail"], path
            both = await asyncio.to_thread(answer, config, "/api/v1/history?series=x&limit=0")
            assert len(both[1]["errors"]) == 2

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(body(broker.port))


def test_changes_follow_each_commit_in_order(tmp_path: Path) -> None:
    def listen(config: CentreConfig, ready: asyncio.Event, loop: asyncio.AbstractEventLoop) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        for name, data in follow(config):
            if name == "ledger" and not ready.is_set():
                loop.call_soon_threadsafe(ready.set)
            if name != "ledger":
                found.append((name, data))
        return found

    async def body(port: int) -> None:
        config = load_config(write_centre(tmp_path, port))
        async with worker(config) as stop, Sender(port) as sender:
            ready = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                loop = asyncio.get_running_loop()
                listening = group.create_task(asyncio.to_thread(listen, config, ready, loop))
                await ready.wait()  # the first ledger event: the stream is open
                await sender.announce(manifest())
                for seq in range(1, 6):
                    await sender.send(batch(seq, [(TEMPERATURE, seq, float(seq), 0)]))
                    await sender.receipts(1)
                await sender.send(batch(6, [(TEMPERATURE, 0, 99.0, 0)]))
                await sender.receipts(1)
                stop.set()
            events = listening.result()
        assert events[0] == ("devices", {})
        rows = [row for name, data in events if name == "readings" for row in data["rows"]]
        assert rows == [[0, float(n), START + n, "good", "none"] for n in range(1, 6)], "older readings are no change"

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(body(broker.port))


def test_the_ledger_tells_differences(tmp_path: Path) -> None:
    async def body(port: int) -> None:
        config = load_config(write_centre(tmp_path, port))
        async with worker(config), Sender(port) as sender:
            await _fill(sender)
            n = 8
            await sender.state(Ledger(polled=n, good=n, handed=n, spooled=n, stored=n), START, online=False)
            await sender.send(batch(1))
            await sender.receipts(1)
            ledger = await aget(config, "/api/v1/ledger")
            while not ledger["gateways"]:
                ledger = await aget(config, "/api/v1/ledger")
            assert ledger["differences"] == []
            assert ledger["total"] == msgspec.to_builtins(
                Ledger(polled=n, good=n, handed=n, spooled=n, stored=n)
            )
            await sender.state(Ledger(polled=9, good=9, handed=9, spooled=9, stored=9), START + 1, online=False)
            while not ledger["differences"]:
                ledger = await aget(config, "/api/v1/ledger")
            assert json.dumps(ledger["differences"]).count("only 8 are stored here") == 1

    with nats_server(tmp_path / "broker") as broker:
        asyncio.run(body(broker.port))
