"""The power fails at random moments: nothing that the spool acknowledged is lost, and the same cuts do hurt others.

The file system under the programs forgets every byte that was not synced (forgetful_disk says what it may keep).
CUTS=long for 500 cuts; POWER_SEED=… repeats the moments and the survivals of a run that failed.
"""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiomqtt
import pytest

from tests.drills.forgetful_fs import mounted
from tests.drills.power_rig import Tally, cut_spool, cut_sqlite, new_platter
from tests.parts import Broker, binary, free_port

CUTS = 500 if os.environ.get("CUTS") == "long" else int(os.environ.get("CUTS", "60"))
SEED = os.environ.get("POWER_SEED") or secrets.token_hex(4)
CHAINS = 2
"""Chains of cuts side by side: as many as the smallest machine has cores."""

MESSAGES = 200
TOPIC = "drill/power"


@pytest.fixture(scope="module", autouse=True)
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where no FUSE file system can be mounted, and fails there when CI=true."""
    folder = tmp_path_factory.mktemp("fuse")
    (folder / "mount").mkdir()
    try:
        with mounted(folder / "mount", new_platter(folder), SEED):
            (folder / "mount" / "tried").write_bytes(b"it works")
    except OSError as trouble:
        message = f"no power was cut: no FUSE file system can be mounted here (it needs root and /dev/fuse): {trouble}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def in_chains(folder: Path, run: Callable[[Path, str, int], Tally]) -> Tally:
    """Share the cuts among the chains, each with files of its own."""
    print(f"POWER_SEED={SEED}")
    total = Tally()
    with ThreadPoolExecutor(CHAINS) as pool:
        shares = [CUTS // CHAINS + (number < CUTS % CHAINS) for number in range(CHAINS)]
        runs = [pool.submit(run, folder / str(n), f"{SEED}/{n}", share) for n, share in enumerate(shares)]
        for each in runs:
            total.add(each.result())
    return total


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Tally:
    """The cuts to the real spool."""
    return in_chains(tmp_path_factory.mktemp("ours"), cut_spool)


def test_nothing_acknowledged_is_lost_at_a_power_cut(ours: Tally) -> None:
    print(f"{ours.cuts} power cuts to the spool: {ours.acked:,} batches acknowledged, {ours.lost} of them lost")
    assert ours.faults == []
    assert ours.lost == 0
    assert ours.cuts == CUTS and ours.acked > 10 * CUTS, "cuts before anything was acknowledged prove nothing"


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_same_cuts_hurt_who_does_not_sync(synchronous: str, tmp_path: Path) -> None:
    """The harness bites: SQLite in WAL mode with the syncs left out."""
    found = in_chains(tmp_path, lambda folder, seed, cuts: cut_sqlite(folder, seed, cuts, synchronous))
    print(f"{found.cuts} power cuts to SQLite, WAL, synchronous={synchronous}: {found.acked:,} acknowledged rows,"
          f" {found.lost:,} of them lost")  # fmt: skip
    assert found.lost > 0


def test_the_same_cuts_do_not_hurt_who_does(tmp_path: Path) -> None:
    """No harsher than SQLite's own promise: WAL with synchronous=FULL, a handful of cuts."""
    found = cut_sqlite(tmp_path, SEED, 10, "FULL")
    print(f"{found.cuts} power cuts to SQLite, WAL, synchronous=FULL: {found.acked:,} rows, {found.lost} lost")
    assert found.lost == 0


# -- Mosquitto, beside ours ------------------------------------------------------------------------------------------


def a_mosquitto(folder: Path, number: int) -> Broker:
    """A real one with its persistence on the forgetful disk, and everything else about it as it comes."""
    program, port = binary("mosquitto", "/usr/sbin/mosquitto"), free_port()
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        f"persistence true\npersistence_location {folder / 'mount'}/\n"
    )
    return Broker(f"mosquitto-{number}", [program, "-c", str(config)], port, folder / "mosquitto.log")


async def publish(port: int) -> int:
    """Acknowledged QoS 1 messages for a subscriber with a persistent session that is away."""
    async with aiomqtt.Client("127.0.0.1", port, identifier="away", clean_session=False) as subscriber:
        await subscriber.subscribe(TOPIC, qos=1)
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for number in range(MESSAGES):
            await client.publish(TOPIC, str(number), qos=1)  # returns at the PUBACK
    return MESSAGES


async def collect(port: int) -> int:
    """What the subscriber gets when it is back; a last message tells that there is no more."""
    found: set[str] = set()
    async with aiomqtt.Client("127.0.0.1", port, identifier="away", clean_session=False) as subscriber:
        await subscriber.subscribe(TOPIC, qos=1)
        await subscriber.publish(TOPIC, "end", qos=1)
        async for message in subscriber.messages:
            if message.payload == b"end":
                break
            found.add(str(message.payload))
    return len(found)


def test_a_broker_with_its_default_persistence_beside_ours(ours: Tally, tmp_path: Path) -> None:
    platter, mount = new_platter(tmp_path), tmp_path / "mount"
    mount.mkdir()
    broker = a_mosquitto(tmp_path, 1)
    with mounted(mount, platter, SEED) as disk:
        try:
            broker.start()
            acked = asyncio.run(publish(broker.port))
            disk.terminate()  # the power cut
            assert disk.wait(60) == 0
        finally:
            broker.kill()
    broker = a_mosquitto(tmp_path, 2)
    with mounted(mount, platter, SEED):
        try:
            broker.start()
            left = asyncio.run(collect(broker.port))
        finally:
            broker.kill()
    print(f"power cut, acknowledged and lost: Mosquitto with its default persistence {acked - left} of {acked} messages"
          f" in 1 cut; our spool {ours.lost} of {ours.acked:,} batches in {ours.cuts} cuts")  # fmt: skip
    assert 0 <= left <= acked
