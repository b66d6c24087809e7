"""kill -9 of a gateway, again and again, while devices of five protocols call it: nothing that was acknowledged to a
device is lost, nothing is stored twice, nothing is invented. KILLS=500 for a long run; SEED=… repeats the moments.
"""

import asyncio
import os
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from firmware_sim.callers import caller
from firmware_sim.clock import SystemClock
from gateway.config import load_config
from gateway.inspection import read_ledger
from tests.drills.calling import KINDS, Street, judge, names_of, stored_keys, write_site
from tests.drills.programs import Program, kuimen
from tests.parts import free_port, mosquitto
from tests.proxies import TcpProxy, tcp_link
from tests.rooms.gateway.doubles import Centre

KILLS = int(os.environ.get("KILLS", "20"))
BEHIND = 30
"""Reports that a device may have put by at a kill: it repeats an old one after them; a gateway knows the last 64."""

STREAMS = [kind.protocol for kind in KINDS if kind.transport == "tcp"]


async def kill_it_often(
    street: Street, links: list[TcpProxy], gateway: Program, spool: Path, chance: random.Random
) -> None:
    """At moments that acknowledgements decide: after a few more of them, or when one has left that nobody hears."""
    await street.all_heard()
    for number in range(1, KILLS + 1):
        moment = street.acks + chance.randint(1, 8)
        await street.until(
            lambda moment=moment: street.acks >= moment and street.behind() <= BEHIND,  # type: ignore[misc]  # binds this turn's
            "acknowledgements",
        )
        unheard = chance.sample(links, chance.randint(0, 2))
        for link in unheard:
            link.hold(answers_only=True)
        for link in unheard:
            await link.until(lambda link=link: link.held > 0, "an answer")  # type: ignore[misc]  # binds this turn's
        gateway.kill()
        for link in unheard:
            link.cut()
            link.release()
        assert read_ledger(spool).differences() == []
        gateway.start()
        if number % 10 == 0:
            print(f"{number} of {KILLS} kills, {street.acks} acknowledgements", flush=True)
    await street.all_heard()


def test_no_kill_loses_or_doubles_what_a_device_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Devices that stay away for long fill in what they kept before they repeat what was lost: see the gateway's README.
    monkeypatch.setattr(caller, "LONGEST_PAUSE_S", 0.4)
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"SEED={seed}")
    ports = {kind.protocol: free_port() for kind in KINDS}

    async def main() -> None:
        async with (
            Centre(broker.port).listening() as centre,
            AsyncExitStack() as leaving,
            asyncio.TaskGroup() as group,
        ):
            links = {p: await leaving.enter_async_context(tcp_link(ports[p])) for p in STREAMS}
            addresses = ports | {protocol: link.port for protocol, link in links.items()}
            street, enough = Street(addresses, SystemClock(), seed=seed), asyncio.Event()
            gateway.start()
            calling = group.create_task(street.run(enough))
            await kill_it_often(street, list(links.values()), gateway, spool, random.Random(seed))
            enough.set()
            await calling
            assert await asyncio.to_thread(gateway.stop) == 0, gateway.tail()
            ledger = read_ledger(spool)
            assert ledger.differences() == []
            assert (ledger.waiting, ledger.rejected, ledger.given_up) == (0, {}, {})
            judge(street, stored_keys(list(centre.stored.values()), names_of(centre.manifests.values())))
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
