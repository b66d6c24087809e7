"""Commands end to end: a lamp on a real line is dimmed exactly once for each command, though the messages between
centre and pole are lost and doubled, and though the pole is killed. KILLS=100 for a long run.

The lamp is served by the test itself on a pseudo-terminal, so its own list of writes is the witness.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest

from device_profiles.codecs.modbus_pdu import WriteOne
from tests.drills.programs import Program, ask, kuimen, wait_until
from tests.parts import free_port, nats_server
from tests.rooms.agent.lamps import Lamp
from tests.rooms.agent.terminal import Terminal

PROFILES = Path(__file__).parent / "profiles"
KILLS = int(os.environ.get("KILLS", "6"))
LOST, DOUBLED = 0.3, 0.3
"""Of the messages between the two trees of the broker."""


class Place:
    """One lamp on one pole with its centre, as processes."""

    def __init__(self, folder: Path, port: int, pole_root: str, leaving: ExitStack) -> None:
        self.lamp = Lamp(1)
        terminal = Terminal([self.lamp])
        leaving.callback(terminal.hang_up)
        api = f"127.0.0.1:{free_port()}"
        self.api = f"http://{api}"
        self.centre, self.site = folder / "centre.toml", folder / "site.toml"
        self.centre.write_text(f'[intake]\nurl = "mqtt://127.0.0.1:{port}"\n[api]\nlisten = "{api}"\n')
        self.site.write_text(
            f'[site]\nname = "p1"\nprofiles = ["{PROFILES}"]\n[uplink]\nurl = "mqtt://127.0.0.1:{port}"\n'
            f'root = "{pole_root}"\nresend_seconds = 0.5\n'
            '[gateway]\nsocket = "p1.sock"\n[gateway.spool]\npath = "p1.db"\n'
            f'[[links]]\nname = "line"\nurl = "serial://{terminal.path}?baud=115200"\n'
            '[[devices]]\nname = "lamp-1"\nprofile = "drill-lamp"\nlink = "line"\nunit = 1\n'
        )
        self.ingest = Program("ingest", kuimen("ingest", "run", self.centre), folder / "ingest.log")
        self.pole = Program("pole", kuimen("pole", "run", self.site), folder / "pole.log")
        for program in (self.ingest, self.pole):
            leaving.callback(program.end)

    def get(self, path: str) -> Any:
        try:
            return httpx.get(f"{self.api}/api/v1/{path}", timeout=10).json()
        except httpx.TransportError:
            return {}

    def start(self) -> None:
        """Until the centre knows the lamp."""
        self.ingest.start()
        self.pole.start()
        wait_until(lambda: bool(self.get("devices").get("devices")), f"the lamp is known: {self.pole.tail()}")

    def dim(self, level: float, seconds: float = 60.0) -> str:
        """Give a command; its id."""
        body = {"device": "lamp-1", "point": "level", "value": level, "expires_s": seconds, "by": "drill"}
        answer = httpx.post(f"{self.api}/api/v1/commands", json=body, timeout=10)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def commands(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("commands?limit=1000").get("commands", [])
        return found

    def settled(self, number: int) -> bool:
        """True once so many commands have their result."""
        return sum(one["result"] is not None for one in self.commands()) == number

    def written(self) -> Counter[float]:
        """How often each level was written to the lamp."""
        return Counter(write.value / 100 for write in self.lamp.writes if isinstance(write, WriteOne))

    def judge(self) -> Counter[str]:
        """Every command against the lamp's own word; how many came to which end."""
        written = self.written()
        for one in self.commands():
            times = written[one["value"]]
            assert times <= 1, f"written {times} times: {one}"
            assert one["status"] != "done" or (times == 1 and one["result"]["value"] == one["value"]), one
            assert one["status"] not in ("expired", "refused") or times == 0, f"claims not to be written: {one}"
        ledger = self.get("ledger")
        assert ledger["differences"] == [], ledger["differences"]
        return Counter(one["status"] for one in self.commands())


@contextmanager
def place(folder: Path, pole_root: str = "kuimen/v1") -> Iterator[tuple[Place, int]]:
    with ExitStack() as leaving:
        broker = leaving.enter_context(nats_server(folder / "broker"))
        yield Place(folder, broker.port, pole_root, leaving), broker.port


@asynccontextmanager
async def forgetful_bridge(port: int, chance: random.Random, seen: Counter[str]) -> AsyncIterator[None]:
    """Carries messages between the centre's tree and the pole's, loses some and doubles others; states get through."""

    async def carry(source: str, target: str, ready: asyncio.Event) -> None:
        async with aiomqtt.Client("127.0.0.1", port, identifier=f"bridge-{target}".replace("/", "-")) as client:
            await client.subscribe(f"{source}/#")
            ready.set()
            async for message in client.messages:
                topic = target + str(message.topic)[len(source.rpartition("/")[0]) :]
                kind = topic.rpartition("/")[2]
                drawn = 1.0 if kind in ("state", "manifest") else chance.random()
                copies = 0 if drawn < LOST else 2 if drawn < LOST + DOUBLED else 1
                seen[f"{kind} x{copies}"] += 1
                for _ in range(copies):
                    await client.publish(topic, message.payload, retain=kind in ("state", "manifest"))

    up, down = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        carrying = [
            group.create_task(carry("pole/v1/up", "kuimen/v1", up)),
            group.create_task(carry("kuimen/v1/down", "pole/v1", down)),
        ]
        await up.wait()
        await down.wait()
        yield
        for task in carrying:
            while not task.done():  # asyncio.wait_for, in which aiomqtt publishes, may lose one (Python 3.11)
                task.cancel()
                await asyncio.wait([task], timeout=0.2)


def test_a_lamp_is_dimmed_once_though_messages_are_lost_and_doubled(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    seen: Counter[str] = Counter()

    async def main(it: Place, port: int) -> None:
        async with forgetful_bridge(port, random.Random(seed), seen):
            await asyncio.to_thread(it.start)
            for n in range(12):
                await asyncio.to_thread(it.dim, 20 + n)
            await asyncio.to_thread(wait_until, lambda: it.settled(12), "12 results")

    with place(tmp_path, "pole/v1") as (it, port):
        asyncio.run(main(it, port))
        assert it.judge() == {"done": 12}
        assert sorted(it.written()) == [20.0 + n for n in range(12)]
        table = json.loads(ask("gateway", "commands", it.site, "--json", "--count", "100"))
        assert Counter(row["outcome"] for row in table) == {"done": 12}
        assert it.pole.stop() == 0, it.pole.tail()
        assert it.ingest.stop() == 0, it.ingest.tail()
    print(dict(seen))
    assert seen["command x0"] and seen["command x2"], "commands were lost and doubled"


@pytest.mark.parametrize("target", ["pole", "ingest"])
def test_kill_9_never_executes_twice_and_never_claims(target: str, tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("SEED", "7")))
    with place(tmp_path) as (it, _):
        it.start()
        program = it.pole if target == "pole" else it.ingest
        given = 0
        for _ in range(KILLS):
            moment = len(it.lamp.writes) + chance.randrange(4)  # between the first and the last write
            for _ in range(4):
                it.dim(10 + given / 100, 20.0)
                given += 1
            wait_until(lambda: len(it.lamp.writes) >= moment, "writes on the wire")  # noqa: B023 - waited for at once
            program.kill()
            program.start()
            if target == "ingest":
                wait_until(lambda: bool(it.commands()), f"ingest is back: {it.ingest.tail()}")
        wait_until(lambda: it.settled(given), f"{given} results")
        ends = it.judge()
        print(dict(ends))
        assert ends["done"] > 0 and set(ends) <= {"done", "unknown"}, ends
        assert target == "pole" or ends == {"done": given}
