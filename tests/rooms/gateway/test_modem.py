"""Datagrams through a simulated NB-IoT modem on a real pseudo-terminal, both ways, whatever the modem does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from firmware_sim.modem import IMEI, ModemFaults, SimulatedModem
from gateway.datagrams import Datagrams
from gateway.modem import Modem
from gateway.modem_config import ModemConfig, Psm

KINDS = ("bc95", "bc28", "bc26")
SECONDS = 20.0


async def until(holds: Callable[[], bool], what: str) -> None:
    """Poll until something holds."""
    try:
        async with asyncio.timeout(SECONDS):
            while not holds():  # noqa: ASYNC110 - what is waited for lies in another program's state
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"not within {SECONDS} s: {what}")


class Echo(asyncio.DatagramProtocol):
    """A server that sends back what it gets, turned round."""

    transport: asyncio.DatagramTransport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data[::-1], addr)


class Ear(asyncio.DatagramProtocol):
    """What a client hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.troubles: list[str] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)

    def error_received(self, trouble: Exception) -> None:
        self.troubles.append(str(trouble))


@asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, echo = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    echo.transport = transport
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.abort()


@asynccontextmanager
async def keeping(config: ModemConfig) -> AsyncIterator[Modem]:
    modem = Modem(config)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(modem.run())
        try:
            yield modem
        finally:
            task.cancel()


def make_config(folder: Path, kind: str = "bc95", patience: float = SECONDS) -> ModemConfig:
    return ModemConfig(port=folder / "modem", kind=kind, patience=patience, watch=0.2)


@asynccontextmanager
async def scene(
    folder: Path,
    kind: str = "bc95",
    faults: ModemFaults | None = None,
    network: bool = True,
    patience: float = SECONDS,
) -> AsyncIterator[tuple[tuple[str, int], SimulatedModem, Modem]]:
    """An echo server's address, a simulated modem, and what keeps it."""
    config = make_config(folder, kind, patience)
    async with (
        echo_server() as place,
        SimulatedModem(config.port, kind, network, faults) as box,
        keeping(config) as modem,
    ):
        yield place, box, modem


async def ask(way: Datagrams, ear: Ear, data: bytes) -> None:
    """Send until the answer is there: datagrams may be lost."""
    for _ in range(100):
        way.sendto(data)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                while data[::-1] not in ear.heard:  # noqa: ASYNC110 - see until
                    await asyncio.sleep(0.005)
                return
    pytest.fail(f"no answer to {data!r}")


FAULTS = {
    "none": ModemFaults(),
    "echo": ModemFaults(echo=True),
    "urc inside": ModemFaults(urc_inside=True, echo=True),
    "pieces": ModemFaults(pieces=3, urc_inside=True),
    "noise": ModemFaults(noise=b"\xff\x00"),
    "loss": ModemFaults(lose_up=3, lose_down=4),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trouble", FAULTS)
def test_datagrams_pass_both_ways(tmp_path: Path, kind: str, trouble: str) -> None:
    payloads = [bytes([number]) * 2 + bytes(range(number % 200)) for number in range(10, 200, 12)]

    async def main() -> None:
        faults = FAULTS[trouble]
        async with scene(tmp_path, kind, faults=faults) as (place, box, modem):
            ear = Ear()
            way = await modem.connect(ear, place)
            for payload in payloads:
                await ask(way, ear, payload)
            health = modem.health
            await until(lambda: health.rsrp_dbm is not None, "the signal is known")
            assert health.sent == box.up and health.received == len(ear.heard)
            assert health.imei == IMEI and health.registration == "home" and health.state == "open"
            assert health.restarts == 0
            assert set(ear.heard) == {payload[::-1] for payload in payloads}

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_down_is_read_to_the_last_datagram(tmp_path: Path, kind: str) -> None:
    """+NSONMI is said once for many: the modem is asked until nothing remains."""

    async def main() -> None:
        async with scene(tmp_path, kind) as (place, _, modem):
            ear = Ear()
            way = await modem.connect(ear, place)
            for number in range(30):
                way.sendto(bytes([number, 0x0D, 0x0A]))  # CR and LF are data here
            await until(lambda: len(ear.heard) == 30, "30 answers")
            assert ear.heard == [bytes([0x0A, 0x0D, number]) for number in range(30)]

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_socket_is_opened_again(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with scene(tmp_path, kind) as (place, box, modem):
            ear = Ear()
            way = await modem.connect(ear, place)
            await ask(way, ear, b"before")
            box.close_sockets()
            await ask(way, ear, b"after")
            assert modem.health.sockets >= 2 and modem.health.restarts == 0

    asyncio.run(main())


def test_no_network_is_waited_for_and_never_restarts_the_modem(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path, network=False, patience=0.5) as (place, box, modem):
            for _ in range(3):
                with pytest.raises(OSError, match=r"no network \(searching\)|starting"):
                    await modem.connect(Ear(), place)
            box.set_network(True)
            await until(lambda: modem.health.registration == "home", "registered")
            ear = Ear()
            way = await modem.connect(ear, place)
            await ask(way, ear, b"hello")
            box.set_network(False)
            await until(lambda: modem.health.state == "searching", "the network is gone")
            box.set_network(True)
            again = await modem.connect(ear, place)
            await ask(again, ear, b"again")
            assert modem.health.restarts == box.restarts == 0
            assert not any("NRB" in line for line in box.heard)

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_hung_socket_layer_is_restarted_once(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        faults = ModemFaults(hung=True)
        async with scene(tmp_path, kind, faults=faults) as (place, box, modem):
            ear = Ear()
            way = await modem.connect(ear, place)
            await ask(way, ear, b"hello")
            assert modem.health.restarts == box.restarts == 1
            faults.hung = True  # a second time within a minute: it is left alone
            box.close_sockets()
            heard = len(box.heard)
            await until(lambda: len(box.heard) > heard + 8, "it is tried again")
            assert box.restarts == 1

    asyncio.run(main())


async def in_vain(modem: Modem, place: tuple[str, int]) -> None:
    """A client that sends and hears nothing."""
    way = await modem.connect(Ear(), place)
    way.sendto(b"anybody?")
    await until(lambda: way.sent, "sent")
    way.abort()


def test_a_modem_that_takes_all_and_lets_nothing_through_is_restarted_once(tmp_path: Path) -> None:
    async def main() -> None:
        faults = ModemFaults(lose_up=1)
        async with scene(tmp_path, faults=faults) as (place, box, modem):
            for _ in range(13):  # more than twice as often as it takes: the second pause is ten minutes
                await in_vain(modem, place)
            assert box.restarts == modem.health.restarts == 1
            faults.lose_up = 0
            ear = Ear()
            way = await modem.connect(ear, place)
            await ask(way, ear, b"hello")

    asyncio.run(main())


def test_datagrams_that_do_not_leave_are_told_from_accepted_ones(tmp_path: Path) -> None:
    """BC28: OK is only accepted; +NSOSTR says what became of it."""

    async def main() -> None:
        faults = ModemFaults(unsent=True)
        async with scene(tmp_path, "bc28", faults=faults) as (place, _, modem):
            ear = Ear()
            way = await modem.connect(ear, place)
            way.sendto(b"one")
            way.sendto(b"two")
            await until(lambda: modem.health.unsent == 2, "both are known not to have left")
            assert modem.health.sent == 2 and modem.health.reported == 0
            faults.unsent = False
            await ask(way, ear, b"three")
            assert modem.health.reported >= 1

    asyncio.run(main())


def test_a_modem_that_starts_anew_by_itself_is_set_up_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as (place, box, modem):
            ear = Ear()
            way = await modem.connect(ear, place)
            await ask(way, ear, b"before")
            box.restart()
            await ask(way, ear, b"after")
            assert modem.health.starts == 2 and modem.health.restarts == 0
            assert any("anew" in text for text in ear.troubles)

    asyncio.run(main())


def test_a_silent_or_missing_modem_is_said_in_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping(make_config(tmp_path, patience=0.3)) as modem:
            with pytest.raises(OSError, match="modem"):
                await modem.connect(Ear(), ("127.0.0.1", 9))
            assert "could not open port" in modem.health.trouble

    asyncio.run(main())


def test_what_the_site_file_wants_is_said_to_the_modem(tmp_path: Path) -> None:
    async def main() -> None:
        psm = Psm(periodic="00110010", active="00001010")
        config = ModemConfig(port=tmp_path / "modem", apn="cmnbiot", psm=psm, edrx="0010")
        async with SimulatedModem(tmp_path / "modem") as box, keeping(config) as modem:
            await until(lambda: modem.health.state == "registered", "registered")
            assert 'AT+CGDCONT=1,"IP","cmnbiot"' in box.heard
            assert 'AT+CPSMS=1,,,"00110010","00001010"' in box.heard
            assert 'AT+CEDRXS=1,5,"0010"' in box.heard

    asyncio.run(main())
