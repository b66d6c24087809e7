"""kill -9 of a gateway, again and again, while devices of five protocols call it: nothing that a device was acknowledged
is lost, nothing is stored twice, nothing is invented. KILLS=500 for a long run; SEED=… repeats the moments.
"""

import asyncio
import os
import random
from pathlib import Path

from firmware_sim.clock import SystemClock
from gateway.config import load_config
from gateway.inspection import read_ledger
from tests.drills.calling import KINDS, Street, judge, names_in, stored_keys, waiting_batches, write_site
from tests.drills.programs import Program, kuimen
from tests.parts import free_port, mosquitto
from tests.rooms.gateway.doubles import Centre

KILLS = int(os.environ.get("KILLS", "20"))


async def kill_it_often(street: Street, gateway: Program, spool: Path, chance: random.Random) -> None:
    """At moments that acknowledgements decide: after a few more of them, mostly when everybody is back."""
    await street.all_heard()
    for number in range(1, KILLS + 1):
        moment = street.acks + chance.randint(1, 40)
        await street.until(lambda moment=moment: street.acks >= moment, "acknowledgements")  # type: ignore[misc]  # binds this turn's
        gateway.kill()
        assert read_ledger(spool).differences() == []
        gateway.start()
        if chance.random() < 0.2:
            await street.all_heard()
        if number % 10 == 0:
            print(f"{number} of {KILLS} kills, {street.acks} acknowledgements", flush=True)
    await street.all_heard()


def test_no_kill_loses_or_doubles_what_a_device_was_acknowledged(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    ports = {kind.protocol: free_port() for kind in KINDS}

    async def main() -> None:
        async with Centre(broker.port).listening() as centre, asyncio.TaskGroup() as group:
            street, enough = Street(ports, SystemClock(), seed=seed), asyncio.Event()
            gateway.start()
            calling = group.create_task(street.run(enough))
            await kill_it_often(street, gateway, spool, random.Random(seed))
            enough.set()
            await calling
            assert await asyncio.to_thread(gateway.stop) == 0, gateway.tail()
            ledger = read_ledger(spool)
            assert ledger.differences() == []
            assert (ledger.waiting, ledger.rejected, ledger.given_up) == (0, {}, {})
            assert not waiting_batches(spool)
            named = names_in([]) | {
                m.id: [(m.devices[s.device].name, s.point) for s in m.series] for m in centre.manifests.values()
            }
            judge(street, stored_keys(list(centre.stored.values()), named))
            assert sum(batch.count for batch in centre.stored.values()) <= ledger.spooled
            assert ledger.spooled == ledger.stored + ledger.duplicate

    with mosquitto(tmp_path / "broker") as broker:
        site = write_site(tmp_path, broker.port, ports)
        spool = load_config(site).spool.path
        gateway = Program("gateway", kuimen("gateway", "run", site), tmp_path / "gateway.log")
        try:
            asyncio.run(main())
        finally:
            gateway.end()
        assert gateway.kills == KILLS
