"""Links on the real thing: a pseudo-terminal and a TCP connection on loopback."""

from __future__ import annotations

import asyncio

from device_profiles.codecs.modbus_pdu import Read
from device_profiles.ledger import Ledger
from device_profiles.quality import Reason
from edge_agent.bus import Bus
from edge_agent.clock import SystemClock
from edge_agent.links import SerialLink, TcpLink, make_link, parse_link_url
from edge_agent.precise_loop import new_loop, run
from edge_agent.questions import Question
from tests.rooms.agent.terminal import terminal
from tests.rooms.agent.wire import FakeUnit

ASK = Question(unit=1, read=Read(3, 7, 3), readings=3, timeout=2.0)


def test_a_serial_link_asks_and_hears() -> None:
    async def main(path: str) -> None:
        bus = Bus(make_link(parse_link_url(f"serial://{path}?baud=115200")), SystemClock(), Ledger())
        assert isinstance(bus.link, SerialLink)
        assert await bus.open()
        for _ in range(20):
            outcome = await bus.exchange(ASK)
            assert outcome.answer is not None and outcome.answer.data == b"\0\7\0\10\0\11"
        bus.close()

    with terminal(FakeUnit(1)) as served:
        run(main(served.path))


def test_a_port_is_taken_by_one_program_only() -> None:
    async def main(path: str) -> None:
        target = parse_link_url(f"serial://{path}?baud=9600")
        first, second = (Bus(make_link(target), SystemClock(), Ledger()) for _ in range(2))
        assert await first.open()
        assert not await second.open()
        assert path in second.trouble
        first.close()
        assert await second.open()
        second.close()

    with terminal() as served:
        run(main(served.path))


def test_a_port_that_hangs_up_is_a_link_down_and_not_an_exception() -> None:
    with terminal() as served:

        async def main() -> None:
            bus = Bus(make_link(parse_link_url(f"serial://{served.path}")), SystemClock(), Ledger())
            assert await bus.open()
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(bus.exchange(Question(unit=1, read=Read(3, 0, 1), readings=1, timeout=30.0)))
                await asyncio.sleep(0)
                served.hang_up()
                outcome = await asking
            assert (outcome.answer, outcome.reason, bus.up) == (None, Reason.LINK_DOWN, False)
            assert (await bus.exchange(ASK)).reason is Reason.LINK_DOWN
            assert not await bus.open()
            bus.close()

        run(main())


def test_a_tcp_link_survives_its_server() -> None:
    async def main() -> None:
        greeted = asyncio.Event()
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            greeted.set()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        bus = Bus(TcpLink(parse_link_url(f"tcp://127.0.0.1:{port}")), SystemClock(), Ledger())
        for _ in range(2):
            greeted.clear()
            assert await bus.open()
            await greeted.wait()
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(bus.exchange(ASK))
                await asyncio.sleep(0)
                writers[-1].transport.abort()
                outcome = await asking
            assert outcome.reason is Reason.LINK_DOWN and not bus.up
        server.close()
        await server.wait_closed()
        assert not await bus.open()
        assert "127.0.0.1" in bus.trouble
        bus.close()

    run(main())


def test_the_precise_loop_waits_to_a_fraction_of_a_millisecond() -> None:
    """Never shorter than asked; and the shortest of several waits shows that nothing is rounded up to a
    whole millisecond."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(20):
            began = loop.time()
            await asyncio.sleep(0.00125)
            waits.append(loop.time() - began)
        return waits

    with asyncio.Runner(loop_factory=new_loop) as runner:
        waits = runner.run(main())
    assert 0.00125 <= min(waits) < 0.002
