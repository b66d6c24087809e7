"""kill -9 of the gateway alone, again and again under load: its agent lives on, offers again, and nobody notices."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

from device_profiles.handover import HandoverReceipt
from gateway.config import load_config
from gateway.inspection import read_ledger
from tests.parts import mosquitto, wait_until
from tests.rooms.gateway.doubles import Agent, Centre

ROOT = Path(__file__).resolve().parents[3]
KILLS = 5
BATCHES_A_LIFE = 40

SITE_FILE = """
[site]
name = "kz-001"
[gateway]
socket = "g.sock"
[uplink]
url = "{url}"
resend_seconds = 0.5
"""


class Stubborn(Agent):
    """An agent that keeps what has no receipt, and hands it over again on the next connection."""

    window: deque[tuple[int, bytes]]
    taken = 0

    async def live(self, batches: int) -> None:
        """Offer the old window again, then new batches, at most 8 without a receipt, until so many are taken."""
        await self.connect()
        for _, payload in self.window:
            self.send(payload)
        target = self.taken + batches
        while self.taken < target:
            while len(self.window) < 8:
                self.window.append((self.seq + 1, self.next_batch()))
                self.send(self.window[-1][1])
            message = await self.hear()
            if not isinstance(message, HandoverReceipt):
                return
            assert message.accepted and message.seq == self.window[0][0]
            self.window.popleft()
            self.taken += 1


def start(site: Path, log: Path = Path(os.devnull)) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "kuimen.py", "gateway", "run", str(site)]
    with log.open("ab") as told:
        process = subprocess.Popen(command, cwd=ROOT, stderr=told)
    wait_until(lambda: answers(site), "the gateway answers")
    return process


def answers(site: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(site.with_name("g.sock")))
        except OSError:
            return False
    return True


def test_a_gateway_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    with mosquitto(tmp_path / "broker") as broker:
        site.write_text(SITE_FILE.format(url=broker.url))
        config = load_config(site)
        agent = Stubborn(config)
        agent.window = deque()

        async def main() -> None:
            async with Centre(broker.port).listening() as centre:
                for _ in range(KILLS):
                    process = start(site)
                    await agent.live(BATCHES_A_LIFE)
                    process.kill()
                    process.wait()
                    await agent.close()
                    assert read_ledger(config.spool.path).differences() == []
                process = start(site)
                try:
                    await agent.live(BATCHES_A_LIFE)
                    while agent.window:
                        await agent.receipts(1)
                        agent.window.popleft()
                    await agent.part()
                    ledger = await centre.until_settled(agent.handed)
                finally:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait() == 0
                assert centre.readings() == agent.handed == ledger.stored + ledger.duplicate

        asyncio.run(main())
    assert read_ledger(config.spool.path).waiting == 0
