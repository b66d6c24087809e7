"""The n-th write of the spool fails, for every n, until a run passes without a fault (the SQLite way).

strace makes one system call of a real process fail; the process goes on as a gateway would, and its journal is held
against the file that it leaves: what was acknowledged is there exactly once, and the ledger's identity holds.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway.inspection import read_ledger
from gateway.schema import open_for_reading
from tests.drills.spool_workload import BATCHES, READINGS
from tests.parts import binary

ROOT = Path(__file__).resolve().parents[2]
CALLS = ["pwrite64", "fdatasync", "fsync", "ftruncate"]
MOST = 400
"""More faults than the workload has calls of one kind: a run that never passes is a failure, not a hang."""


@pytest.fixture(scope="module")
def strace() -> str:
    program = binary("strace")
    tried = subprocess.run([program, "-qq", "-o", "/dev/null", "true"], capture_output=True)
    if tried.returncode:
        pytest.skip(f"ptrace is not permitted here, no fault was injected: {tried.stderr.decode()}")
    return program


def one_run(strace: str, folder: Path, call: str, fault: str, when: str) -> tuple[bool, list[str], str]:
    """(did the fault strike, journal lines, stderr) of one workload with its ``when``-th ``call`` failing."""
    folder.mkdir()
    trace = folder / "trace"
    inject = f"inject={call}:error={fault}:when={when}"
    command = [strace, "-f", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", f"trace={call}", "-e", inject]
    program = [sys.executable, "-m", "tests.drills.spool_workload", str(folder / "spool.db")]
    done = subprocess.run([*command, *program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    journal = done.stdout.splitlines()
    if done.returncode:
        journal.append(f"exit {done.returncode}")
    return "(INJECTED)" in trace.read_text(), journal, done.stderr


def judge(path: Path, journal: list[str], story: str) -> None:
    """Hold the journal against the file."""
    acked = [int(line.split()[1]) for line in journal if line.startswith("acked")]
    settled = {int(line.split()[1]) for line in journal if line.startswith("settled")}
    connection = open_for_reading(path)
    there = Counter(seq for (seq,) in connection.execute("SELECT seq FROM batches"))
    payloads = connection.execute("SELECT COUNT(*) FROM payloads").fetchone()[0]
    sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
    connection.close()
    assert sound == "ok", story
    assert sorted(acked) == list(range(1, BATCHES + 1)), story
    assert there == Counter(seq for seq in acked if seq not in settled), story
    assert payloads == sum(there.values()), story
    ledger = read_ledger(path)
    assert ledger.differences() == [], story
    assert (ledger.spooled, ledger.stored) == (BATCHES * READINGS, len(settled) * READINGS), story


def faults(strace: str, folder: Path, call: str, fault: str) -> Iterator[int]:
    """Run with the first, second, third … call failing, judging each, until no fault strikes."""
    for number in count(1):
        assert number < MOST
        place = folder / f"{call}-{fault}-{number}"
        struck, journal, errors = one_run(strace, place, call, fault, str(number))
        story = f"{call} {number} failed with {fault}: {journal}\n{errors}"
        judge(place / "spool.db", journal, story)
        if not struck:
            return
        yield number


@pytest.mark.parametrize(("call", "fault"), [("pwrite64", "ENOSPC"), ("fdatasync", "EIO"), ("ftruncate", "ENOSPC")])
def test_the_nth_call_fails(strace: str, tmp_path: Path, call: str, fault: str) -> None:
    struck = list(faults(strace, tmp_path, call, fault))
    print(f"{call}: {len(struck)} runs with one fault, then one without")
    assert struck, f"the spool makes no {call}: nothing was tested"


def test_a_disk_stays_full_for_a_while(strace: str, tmp_path: Path) -> None:
    """Ten writes in a row fail, beginning ever later: several transactions are refused, then all is taken."""
    for first in count(1, 7):
        assert first < MOST
        place = tmp_path / str(first)
        struck, journal, errors = one_run(strace, place, "pwrite64", "ENOSPC", f"{first}..{first + 9}")
        judge(place / "spool.db", journal, f"writes {first} to {first + 9} failed: {journal}\n{errors}")
        if not struck:
            return
