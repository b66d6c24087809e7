"""kill -9 of pole, ingest and broker at random moments under load: nothing acknowledged is lost, nothing is stored
twice, nothing is invented, and the ledger's identity holds. KILLS=1000 for a long run."""

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from device_profiles.loader import load_library
from tests.drills.evidence import (
    declared_gaps,
    invented,
    journal_lines,
    read_journal,
    stored_values,
    unaccounted,
)
from tests.drills.programs import Program, ask, kuimen, wait_until
from tests.parts import Broker, free_port, nats_server

KILLS = int(os.environ.get("KILLS", "20"))
POLES = ("drill-1", "drill-2")
PROFILES = Path(__file__).parent / "profiles"


def street_file(folder: Path) -> Path:
    """Two poles, each with three units on a fast line and one on Modbus TCP; one unit answers late now and then."""
    text = f'[street]\nname = "drill"\nseed = 7\nprofiles = ["{PROFILES}"]\n'
    for pole in POLES:
        text += f'\n[[poles]]\nname = "{pole}"\n'
        text += '\n[[poles.links]]\nname = "line"\nkind = "rtu"\nbaud = 115200\nturnaround_ms = 2\n'
        for unit in (1, 2, 3):
            late = "faults = { late = { probability = 0.02, delay_ms = 450 } }\n" if unit == 3 else ""
            text += f'[[poles.links.units]]\nunit = {unit}\ndevice = "{pole}-rtu{unit}"\n'
            text += f'profile = "drill-counter"\n{late}'
        text += '\n[[poles.links]]\nname = "tcp"\nkind = "tcp"\n'
        text += f'[[poles.links.units]]\nunit = 1\ndevice = "{pole}-tcp1"\nprofile = "drill-counter"\n'
    path = folder / "drill.toml"
    path.write_text(text)
    return path


class DrillStreet:
    """The programs of one street, and how each shows that it works."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder = folder
        self.broker = broker
        self.kills: Counter[str] = Counter()
        self.journal = folder / "journal.jsonl"
        api = f"127.0.0.1:{free_port()}"
        self.api = f"http://{api}"
        street = street_file(folder)
        ask("sim", "sites", street, "--dir", folder, "--mqtt", broker.url, "--api", api)
        for pole in POLES:  # the last broker or ingest was killed a moment before the end: re-sending takes its time
            site = self.site(pole).read_text().replace("[uplink]\n", "[uplink]\ndrain_seconds = 50\n")
            self.site(pole).write_text(site)
        self.sim = self._program("sim", kuimen("sim", "run", street, "--dir", folder, "--journal"))
        self.ingest = self._program("ingest", kuimen("ingest", "run", folder / "centre.toml"))
        self.poles = {pole: self._program(pole, kuimen("pole", "run", self.site(pole))) for pole in POLES}

    def _program(self, name: str, arguments: list[str]) -> Program:
        return Program(name, arguments, self.folder / f"{name}.log")

    def site(self, pole: str) -> Path:
        """A pole's site file."""
        return self.folder / pole / "site.toml"

    @property
    def programs(self) -> list[Program]:
        """All of ours, in the order of starting."""
        return [self.sim, self.ingest, *self.poles.values()]

    def answered(self) -> int:
        """Answers that the simulator has noted."""
        return journal_lines(self.journal)

    def has_answered(self, number: int) -> bool:
        """True once that many answers are noted."""
        return self.answered() >= number

    def ingest_works(self) -> bool:
        """True when its API answers."""
        try:
            return httpx.get(f"{self.api}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def pole_works(self, pole: str) -> Callable[[], bool]:
        """True once a device of the pole has answered again."""
        before = self.answers_of(pole)
        return lambda: self.answers_of(pole) > before + 2

    def answers_of(self, pole: str) -> int:
        """Answers that a pole has been given."""
        return self.journal.read_bytes().count(f'"pole": "{pole}"'.encode()) if self.journal.exists() else 0

    def waiting(self, pole: str) -> int:
        """Readings in a pole's spool, read from its file."""
        ledger = json.loads(ask("gateway", "ledger", self.site(pole), "--json"))
        return int(ledger.get("ledger", ledger)["waiting"])


@pytest.fixture
def street(tmp_path: Path) -> Iterator[DrillStreet]:
    with ExitStack() as leaving:
        drill = DrillStreet(tmp_path, leaving.enter_context(nats_server(tmp_path / "broker")))
        for program in drill.programs:
            leaving.callback(program.end)
            program.start()
        yield drill


def kill_and_start(street: DrillStreet, target: str, chance: random.Random) -> None:
    """kill -9 one program and start it again. Mostly it is waited for; now and then the next dies while it starts."""
    street.kills[target] += 1
    if target == "broker":
        street.broker.kill()
        street.broker.start()
        return
    pole = chance.choice(POLES)
    program = street.ingest if target == "ingest" else street.poles[pole]
    works = street.ingest_works if target == "ingest" else street.pole_works(pole)
    program.kill()
    program.start()
    if target == "pole" or chance.random() < 0.7:
        wait_until(works, f"{program.name} works again after its kill")


def killing_spree(street: DrillStreet, chance: random.Random) -> None:
    """Kill each of the three kinds KILLS times, at moments that answers on the wire decide."""
    targets = ["pole", "ingest", "broker"] * KILLS
    chance.shuffle(targets)
    for number, target in enumerate(targets, 1):
        moment = street.answered() + chance.randint(1, 60)
        wait_until(partial(street.has_answered, moment), "answers on the wire")
        kill_and_start(street, target, chance)
        if number % 10 == 0:
            print(f"{number} of {len(targets)} kills, {street.answered()} answers", flush=True)


def test_kill_9_loses_nothing_and_doubles_nothing(street: DrillStreet) -> None:
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    wait_until(street.ingest_works, f"ingest: {street.ingest.tail()}")
    for pole in POLES:
        wait_until(street.pole_works(pole), f"{pole}: {street.poles[pole].tail()}")

    killing_spree(street, random.Random(seed))
    for pole in POLES:
        wait_until(street.pole_works(pole), f"{pole}: {street.poles[pole].tail()}")
    wait_until(street.ingest_works, f"ingest: {street.ingest.tail()}")

    for pole in POLES:
        assert street.poles[pole].stop() == 0, street.poles[pole].tail()
    assert street.sim.stop() == 0, street.sim.tail()
    left = {pole: street.waiting(pole) for pole in POLES}
    assert not any(left.values()), f"still in the spools: {left}"

    answers = read_journal(street.journal, load_library([PROFILES])["drill-counter"])
    stored = stored_values(street.api)
    ledger = httpx.get(f"{street.api}/api/v1/ledger", timeout=60).json()
    print(f"{sum(answers.count.values())} readings answered in time, {sum(stored.values())} stored")
    assert not invented(answers, stored)[:5]
    assert not unaccounted(answers, stored, declared_gaps(street.api))[:5]
    assert sum(stored.values()) > 0.5 * sum(answers.count.values()), "gaps must not swallow the drill"
    assert ledger["differences"] == []
    assert street.ingest.stop() == 0, street.ingest.tail()
    assert street.kills == {"pole": KILLS, "ingest": KILLS, "broker": KILLS}
