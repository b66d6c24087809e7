"""A site file that changes under way, with a real gateway process: what it changes is in force, what it does not change
is not touched, and a file with a mistake is refused whole."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_profiles.codecs.hj212 import Reader, encode, frame
from device_profiles.codecs.hj212_segment import Segment, encode_segment, parse_segment
from device_profiles.loader import load_library
from device_profiles.maps.hj212 import encode_report
from device_profiles.maps.hj212_points import HjMap
from gateway.inspection import read_ledger
from tests.parts import Broker, free_port, mosquitto, wait_until
from tests.rooms.gateway.test_kill import start

PATIENCE = 20.0
LIBRARY = load_library()
FIRST, SECOND = "500236000021000000000001", "500236000021000000000002"


def site_text(broker: Broker, port: int, *stations: str, extra: str = "") -> str:
    callers = "".join(
        f'[[callers]]\nlistener = "hj"\nid = "{mn}"\nname = "wq-{place}"\nprofile = "hj212-surface-water"\n'
        for place, mn in enumerate(stations, 1)
    )
    return (
        f'[site]\nname = "kz-001"\n[gateway]\nsocket = "g.sock"\n[gateway.spool]\npath = "spool.db"\n'
        f'[uplink]\nurl = "{broker.url}"\n'
        f'[[listeners]]\nname = "hj"\nprotocol = "hj212"\nlisten = "tcp://127.0.0.1:{port}"\n{callers}{extra}'
    )


@contextmanager
def running(site: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = start(site, log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


class Station:
    """A connection to the door that stays."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._cut = reader, writer, Reader()
        self._turn = 0

    async def report(self, mn: str) -> bool:
        """Send a report as station ``mn``; True when it was acknowledged, False when a heartbeat's was first."""
        self._turn += 1
        qn = f"202611212200000{self._turn:02}"
        station = LIBRARY["hj212-surface-water"].map
        assert isinstance(station, HjMap)
        data = encode_report(station, {"ph": 7.2}, 1_795_262_400_000_000, qn=qn, mn=mn)
        beat = Segment(cn="9015", qn=f"beat{self._turn}", st="21", pw="123456", mn=FIRST, flag=9)
        for message in (data, beat):
            self._writer.write(encode(frame(encode_segment(message))))
        acknowledged = False
        async with asyncio.timeout(PATIENCE):
            while True:
                for whole in self._cut.feed(await self._reader.read(4096)):
                    answer = parse_segment(whole.segment)
                    if answer.qn == qn and answer.cn == "9014":
                        acknowledged = True
                    if answer.qn == f"beat{self._turn}":
                        return acknowledged

    def close(self) -> None:
        self._writer.close()


def test_a_new_caller_is_known_and_the_connection_of_an_old_one_stays(tmp_path: Path) -> None:
    site, log, port = tmp_path / "site.toml", tmp_path / "gateway.log", free_port()

    def said(text: str) -> bool:
        return text in log.read_text()

    async def story(process: "subprocess.Popen[bytes]", broker: Broker) -> None:
        station = Station(*await asyncio.open_connection("127.0.0.1", port))
        assert await station.report(FIRST)
        assert not await station.report(SECOND)
        site.write_text(site_text(broker, port, FIRST, SECOND))
        process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: said("the new site file is in force"), "the new file is in force")
        assert await station.report(SECOND)  # on the connection that was there before
        assert await station.report(FIRST)
        site.write_text(site_text(broker, port, FIRST, extra='[[callers]]\nlistener = "jh"\nid = "3"\n'))
        process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(wait_until, lambda: said("is refused"), "the wrong file is refused")
        assert said("there is no listener 'jh'"), log.read_text()
        assert await station.report(SECOND)
        station.close()

    with mosquitto(tmp_path / "broker") as broker:
        site.write_text(site_text(broker, port, FIRST))
        with running(site, log) as process:
            wait_until(lambda: (tmp_path / "g.sock").exists(), "the gateway runs")
            asyncio.run(story(process, broker))
    ledger = read_ledger(tmp_path / "spool.db")
    assert ledger.differences() == []
    assert ledger.good == 4


def test_a_file_that_is_only_written_is_read_too_and_a_listener_may_move(tmp_path: Path) -> None:
    site, log, ports = tmp_path / "site.toml", tmp_path / "gateway.log", (free_port(), free_port())

    async def story(broker: Broker) -> None:
        station = Station(*await asyncio.open_connection("127.0.0.1", ports[0]))
        assert await station.report(FIRST)
        site.write_text(site_text(broker, ports[1], FIRST))
        told = "the new site file is in force"
        await asyncio.to_thread(wait_until, lambda: told in log.read_text(), told)
        station.close()
        moved = Station(*await asyncio.open_connection("127.0.0.1", ports[1]))
        assert await moved.report(FIRST)
        moved.close()

    with mosquitto(tmp_path / "broker") as broker:
        site.write_text(site_text(broker, ports[0], FIRST))
        with running(site, log):
            wait_until(lambda: (tmp_path / "g.sock").exists(), "the gateway runs")
            asyncio.run(story(broker))
    assert read_ledger(tmp_path / "spool.db").differences() == []
