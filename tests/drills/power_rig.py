"""One power cut after the other: a child writes on a forgetful file system until it forgets, then its files are judged.

A ``Life`` is one boot: mount, work, cut, kill. What survived (the platter) is where the next one begins. The judge
looks at a copy of the platter, so that nothing but the workload itself ever repairs it.
"""

import random
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import msgspec

from device_profiles.ledger import Ledger
from gateway.inspection import read_ledger
from gateway.schema import open_for_reading
from tests.drills.forgetful_fs import mounted
from tests.drills.power_workload import AGENT, COUNT, arrival
from tests.drills.programs import ROOT, wait_until

LIVES_OF_A_FILE = 8
"""Cuts that one file goes through before a fresh one is begun."""

Name = tuple[int, int]


class Tally(msgspec.Struct):
    """What became of a number of cuts. ``faults``: what the judge found, in words."""

    cuts: int = 0
    acked: int = 0
    lost: int = 0
    faults: list[str] = []

    def add(self, other: "Tally") -> None:
        """Count another's in."""
        self.cuts += other.cuts
        self.acked += other.acked
        self.lost += other.lost
        self.faults += other.faults


class Report:
    """What the workload said it was told; see power_workload for the words."""

    def __init__(self) -> None:
        self.said: dict[str, set[Name]] = defaultdict(set)

    def read(self, path: Path) -> int:
        """Take one life's lines in: how many acknowledgements were new."""
        before = len(self.said["acked"])
        for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
            if line.endswith("\n"):  # the last line may be cut by the kill
                word, epoch, seq = line.split()
                self.said[word].add((int(epoch), int(seq)))
        return len(self.said["acked"]) - before

    def last(self, epoch: int) -> int:
        """The newest acknowledged number of an epoch."""
        return max((seq for each, seq in self.said["acked"] if each == epoch), default=0)


def moment(chance: random.Random) -> int:
    """In which changing operation the power fails: while the file is made or recovered, or somewhere in the work."""
    return chance.randint(1, chance.choice([60, 1_500, 1_500, 8_000]))


def live(folder: Path, seed: str, cut: int, workload: list[str]) -> tuple[Path, str]:
    """One life on ``folder/platter``: (the report's path, what the workload complained about)."""
    mount, report, errors = folder / "mount", folder / "report", folder / "errors"
    mount.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    kind, *rest = workload
    command = [sys.executable, "-m", "tests.drills.power_workload", kind, str(mount / "pole" / "spool.db"), str(report)]
    with mounted(mount, folder / "platter", seed, cut) as disk, errors.open("wb") as log:
        work = subprocess.Popen([*command, *rest], cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: disk.poll() is not None or work.poll() is not None, "the power fails")
            wait_until(lambda: disk.poll() is not None, f"the power fails; before it: {errors.read_text()}")
        finally:
            work.kill()
            work.wait()
        assert disk.returncode == 0, f"the file system itself failed: {disk.returncode}"
    return report, errors.read_text()


def judge(platter: Path, copy: Path, report: Report) -> tuple[int, list[str]]:
    """(acknowledged batches that are gone, everything that is wrong) in the spool that a cut left behind."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(platter, copy)
    path, said = copy / "pole" / "spool.db", report.said
    if not _is_spool(path):
        return len(said["acked"] - said["settling"]), ["no spool is left"] if said["acked"] else []
    connection = open_for_reading(path)
    try:
        found = connection.execute(
            "SELECT s.epoch, b.seq, p.payload FROM batches b JOIN streams s ON s.id = b.stream"
            " JOIN payloads p USING (id) WHERE s.origin = ?",
            (AGENT,),
        ).fetchall()
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
        (rows,) = connection.execute("SELECT COUNT(*) FROM batches").fetchone()
        (payloads,) = connection.execute("SELECT COUNT(*) FROM payloads").fetchone()
    finally:
        connection.close()
    there = {(epoch, seq) for epoch, seq, _ in found}
    lost = said["acked"] - said["settling"] - there
    ledger = read_ledger(path)
    complaints = {
        "acknowledged and gone": sorted(lost),
        "never offered": sorted(there - said["offered"]),
        "settled and back": sorted(there & said["settled"]),
        "twice": len(found) - len(there),
        "changed": [n for *n, payload in found if bytes(payload) != arrival(n[0], n[1]).payload],
        "integrity": "" if sound == "ok" else sound,
        "rows without bytes": rows - payloads,
        "ledger": ledger.differences(),
        "counted": _miscounted(ledger, report),
    }
    return len(lost), [f"{what}: {which}" for what, which in complaints.items() if which]


def _is_spool(path: Path) -> bool:
    """False while its tables are not there: the power failed as the file was made."""
    if not path.exists():
        return False
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def _miscounted(ledger: Ledger, report: Report) -> str:
    """What was spooled lies between what was acknowledged and what was offered; the same for what was stored."""
    said = report.said
    for word, count, least, most in (
        ("spooled", ledger.spooled, "acked", "offered"),
        ("stored", ledger.stored, "settled", "settling"),
    ):
        if not len(said[least]) * COUNT <= count <= len(said[most]) * COUNT:
            return f"{word} {count}, not between {len(said[least]) * COUNT} and {len(said[most]) * COUNT}"
    return ""


def cut_spool(folder: Path, seed: str, cuts: int) -> Tally:
    """So many power cuts to the real spool; a file sees several, and its agent starts anew now and then."""
    chance, tally, report, epoch = random.Random(seed), Tally(), Report(), 1
    for number in range(cuts):
        if number % LIVES_OF_A_FILE == 0:
            new_platter(folder)
            report, epoch = Report(), 1
        elif chance.random() < 0.3:
            epoch += 1
        place, at = f"{seed}/{number}", moment(chance)
        path, errors = live(folder, place, at, ["spool", place, str(epoch), str(report.last(epoch) + 1)])
        tally.cuts += 1
        tally.acked += report.read(path)
        lost, wrong = judge(folder / "platter", folder / "copy", report)
        tally.lost += lost
        tally.faults += [f"cut {place} in operation {at}: {each}; {errors[-600:]}" for each in wrong]
        if wrong:
            shutil.copytree(folder / "platter", folder / f"fault-{number}")
            new_platter(folder)
            report, epoch = Report(), 1
    return tally


def cut_sqlite(folder: Path, seed: str, cuts: int, synchronous: str) -> Tally:
    """So many power cuts to a bare table, each one's file fresh."""
    chance, tally = random.Random(seed), Tally()
    for number in range(cuts):
        (new_platter(folder) / "pole").mkdir()
        report = Report()
        path, _ = live(folder, f"{seed}/{number}", moment(chance), ["sqlite", synchronous, "1"])
        tally.cuts += 1
        tally.acked += report.read(path)
        there = _rows_in(folder / "platter" / "pole" / "spool.db")
        tally.lost += len({seq for _, seq in report.said["acked"]} - there)
    return tally


def _rows_in(path: Path) -> set[int]:
    """The rows that can be read; none in a file that is gone, empty or damaged."""
    if not path.exists():
        return set()
    connection = sqlite3.connect(path)
    try:
        return {seq for (seq,) in connection.execute("SELECT seq FROM rows")}
    except sqlite3.DatabaseError:
        return set()
    finally:
        connection.close()


def new_platter(folder: Path) -> Path:
    """An empty disk."""
    shutil.rmtree(folder / "platter", ignore_errors=True)
    (folder / "platter").mkdir(parents=True)
    return folder / "platter"
