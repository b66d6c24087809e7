"""LwM2M clients at the real door: the client is aiocoap, as a server with observable resources."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiocoap
import aiocoap.resource
import msgspec
import pytest

from device_profiles.codecs.lwm2m import LINK, SENML_JSON, TLV
from device_profiles.codecs.lwm2m_tlv import Path as Path_
from device_profiles.codecs.lwm2m_tlv import Scalar, encode_tlv
from device_profiles.commands import Command, encode_commands
from device_profiles.readings import Lane
from device_profiles.reports import Reported
from gateway import command_rows
from gateway.command_rows import CommandRow
from gateway.listeners.lwm2m_asking import Asleep, Refused
from tests.parts import free_port
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE
from tests.rooms.gateway.listeners.lwm2m_door import AIR, BIN, CALLERS, SECOND, Door, at_the_door

# --- a client of aiocoap's --------------------------------------------------------------------------------------------


class Instance(aiocoap.resource.ObservableResource):  # type: ignore[misc]  # aiocoap publishes no types
    """/3435/0: read and observed in TLV, written with PUT."""

    def __init__(self) -> None:
        super().__init__()
        self.fill = 42.5
        self.written: list[bytes] = []
        self.attributes: tuple[str, ...] = ()

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        values: dict[Path_, Scalar] = {(3435, 0, 2): self.fill, (3435, 0, 3): 51, (3435, 0, 5): self.fill > 90}
        return aiocoap.Message(payload=encode_tlv(values, (3435, 0)), content_format=TLV)

    async def render_put(self, request: aiocoap.Message) -> aiocoap.Message:
        self.attributes = request.opt.uri_query
        return aiocoap.Message(code=aiocoap.CHANGED)

    def set(self, fill: float) -> None:
        self.fill = fill
        self.updated_state()


class Height(aiocoap.resource.Resource):  # type: ignore[misc]  # aiocoap publishes no types
    """/3435/0/1, which may be written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.stuck: int | None = None
        self.refuses = False

    async def render_put(self, request: aiocoap.Message) -> aiocoap.Message:
        if self.refuses:
            return aiocoap.Message(code=aiocoap.METHOD_NOT_ALLOWED)
        self.written.append(request.payload)
        return aiocoap.Message(code=aiocoap.CHANGED)

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        told = self.written[-1]
        if self.stuck is not None:
            told = encode_tlv({(3435, 0, 1): self.stuck}, (3435, 0))
        return aiocoap.Message(payload=told, content_format=TLV)


class Peer:
    """A client on aiocoap: its resources, and its registration."""

    def __init__(self, context: aiocoap.Context, port: int) -> None:
        self.context = context
        self.port = port
        self.bin, self.height = Instance(), Height()
        site = aiocoap.resource.Site()
        site.add_resource(["3435", "0"], self.bin)
        site.add_resource(["3435", "0", "1"], self.height)
        context.serversite = site
        self.location = ""

    async def ask(self, code: Any, path: str, payload: bytes = b"", format: int | None = None) -> aiocoap.Message:
        request = aiocoap.Message(code=code, uri=f"coap://127.0.0.1:{self.port}{path}", payload=payload)
        if format is not None:
            request.opt.content_format = format
        async with asyncio.timeout(PATIENCE):
            return await self.context.request(request).response

    async def register(self, endpoint: str = BIN, query: str = "lt=3600&lwm2m=1.0&b=UQ") -> aiocoap.Message:
        links = b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</3435/0>'
        answer = await self.ask(aiocoap.POST, f"/rd?ep={endpoint}&{query}", links, LINK)
        self.location = "/" + "/".join(answer.opt.location_path)
        return answer


@asynccontextmanager
async def aiocoap_client(port: int) -> AsyncIterator[Peer]:
    context = await aiocoap.Context.create_server_context(
        None, bind=("127.0.0.1", free_port()), transports=["simplesocketserver"]
    )
    try:
        yield Peer(context, port)
    finally:
        await context.shutdown()


async def test_register_observe_notify(tmp_path: Path) -> None:
    """LwM2M 1.0.2, 5.3.1 and 5.5: registered, its attributes written, observed, and each change is on disk."""
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        answer = await peer.register()
        assert answer.code == aiocoap.CREATED
        assert peer.location.startswith("/rd/")
        await door.until(lambda: door.desk.desk.counts.reports == 1, "the first value, out of the observation's answer")
        assert (door.values()["fill"], door.values()["full"]) == (42.5, 0)
        assert set(peer.bin.attributes) == {"pmin=60", "pmax=3600"}
        peer.bin.set(96.0)
        await door.until(lambda: door.desk.desk.counts.reports == 2, "a notification")
        assert (door.values()["fill"], door.values()["full"]) == (96.0, 1)
        assert [one.lane for one in door.desk.stored()][-1] is Lane.EVENT
    door.desk.ledger()  # it balances


async def test_update_and_leave(tmp_path: Path) -> None:
    """5.3.2 and 5.3.3; an unknown location is 4.04, and the client registers again."""
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        await peer.register()
        assert (await peer.ask(aiocoap.POST, f"{peer.location}?lt=600")).code == aiocoap.CHANGED
        client = door.server.clients.find(BIN, door.clock.now())
        assert client is not None
        assert client.lifetime == 600
        assert (await peer.ask(aiocoap.POST, "/rd/nowhere")).code == aiocoap.NOT_FOUND
        assert (await peer.ask(aiocoap.DELETE, peer.location)).code == aiocoap.DELETED
        assert (await peer.ask(aiocoap.POST, peer.location)).code == aiocoap.NOT_FOUND
        assert len(door.server.clients) == 0


async def test_who_may_register(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        assert (await peer.register("somebody")).code == aiocoap.FORBIDDEN
        assert (await peer.register("gone")).code == aiocoap.FORBIDDEN
        assert (await peer.ask(aiocoap.POST, "/rd?lt=60")).code == aiocoap.BAD_REQUEST
        assert (await peer.ask(aiocoap.POST, "/bs?ep=x")).code == aiocoap.NOT_FOUND
        assert (await peer.ask(aiocoap.GET, "/rd")).code == aiocoap.METHOD_NOT_ALLOWED
        assert door.desk.desk.counts.turned_away == 2


async def test_a_new_registration_replaces_the_old_and_is_observed_again(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as door:
        async with aiocoap_client(door.port) as peer:
            await peer.register()
            await door.until(lambda: door.desk.desk.counts.reports == 1)
            old = peer.location
        async with aiocoap_client(door.port) as peer:  # rebooted: another port, and no observation
            await peer.register()
            await door.until(lambda: door.desk.desk.counts.reports == 2)
            assert (await peer.ask(aiocoap.POST, old)).code == aiocoap.NOT_FOUND
            peer.bin.set(50.0)
            await door.until(lambda: door.desk.desk.counts.reports == 3)
            assert door.values()["fill"] == 50.0
        assert len(door.server.clients) == 1


async def test_a_lifetime_runs_out(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        await peer.register(query="lt=60&lwm2m=1.0&b=U")
        door.clock.at += 61 * SECOND
        assert (await peer.ask(aiocoap.POST, peer.location)).code == aiocoap.NOT_FOUND


async def test_reading_and_writing(tmp_path: Path) -> None:
    """5.4: a read's value goes the way of all readings; a write stays within the profile's bounds."""
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        await peer.register()
        await door.until(lambda: door.desk.desk.counts.reports == 1)
        await door.server.asker.write(BIN, "height", 120)
        assert peer.height.written == [encode_tlv({(3435, 0, 1): 120}, (3435, 0))]
        with pytest.raises(ValueError, match="may not be written"):
            await door.server.asker.write(BIN, "height", 301)
        with pytest.raises(ValueError, match="may not be written"):
            await door.server.asker.write(BIN, "fill", 1)
        with pytest.raises(Refused, match=r"4\.04"):
            await door.server.asker.execute(BIN, (3435, 0, 9))
        assert (await door.server.asker.read(BIN, "height")) == Reported("height", 120)


async def test_a_client_in_queue_mode_is_left_asleep(tmp_path: Path) -> None:
    """1.0.2, 8.3.2: nothing is sent later than 93 s after its last message."""
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        with pytest.raises(Asleep):
            await door.server.asker.write(BIN, "height", 120)
        await peer.register()
        await door.until(lambda: door.desk.desk.counts.reports == 1)
        door.clock.at += 94 * SECOND
        with pytest.raises(Asleep):
            await door.server.asker.write(BIN, "height", 120)
        await peer.ask(aiocoap.POST, peer.location)
        await door.server.asker.write(BIN, "height", 120)
        assert len(peer.height.written) == 1


async def test_send(tmp_path: Path) -> None:
    """1.1, 6.4.5: POST /dp in SenML; it names nobody, so the address must have been proved a short while ago."""
    told = b'[{"bn":"/","n":"3303/0/5700","v":21.25},{"n":"3304/0/5700","v":55.5},{"n":"3/0/9","v":80}]'
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        assert (await peer.ask(aiocoap.POST, "/dp", told, SENML_JSON)).code == aiocoap.NOT_FOUND
        await peer.register(AIR, "lt=3600&lwm2m=1.1&b=U&Q")
        assert (await peer.ask(aiocoap.POST, "/dp", told, SENML_JSON)).code == aiocoap.CHANGED
        assert door.values("air-01") == {"temperature": 21.25, "humidity": 55.5}
        assert door.desk.desk.counts.unmapped == {"/3/0/9": 1}
        assert (await peer.ask(aiocoap.POST, "/dp", b"[{", SENML_JSON)).code == aiocoap.BAD_REQUEST
        door.clock.at += 121 * SECOND  # a NAT may have given the address to another by now (RFC 4787, REQ-5)
        assert (await peer.ask(aiocoap.POST, "/dp", told, SENML_JSON)).code == aiocoap.NOT_FOUND


# --- the mailbox ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def commanded(door: Door, *commands: Command) -> AsyncIterator[None]:
    """The gateway's commands at work, with these from the centre."""
    mailbox = door.desk.desk._commands
    async with asyncio.TaskGroup() as group:
        running = group.create_task(mailbox.run())
        mailbox.arrived(encode_commands(commands, door.clock.at))
        await door.until(lambda: door.desk.desk.has_mail(CALLERS[0]), "the command waits")
        yield
        running.cancel()


async def results(door: Door, number: int) -> list[tuple[str, str, float | None, str]]:
    """Digit, outcome, value and text of the commands that are settled, once there are so many."""
    connection = door.desk.spool

    async def settled() -> list[CommandRow]:
        rows = await connection.ask(lambda store: command_rows.newest(store.books.connection, 100))
        return [row for row in rows if row.result is not None]

    async with asyncio.timeout(PATIENCE):
        while len(found := await settled()) < number:
            await asyncio.to_thread(lambda: None)
    said = [row.result for row in found if row.result is not None]
    return sorted((one.id[0], one.outcome.word, one.value, one.text) for one in said)


def order(digit: str, value: float, point: str = "height") -> Command:
    return Command(digit * 32, "bin-01", point, value, NOON, NOON + 3600 * SECOND, "test")


async def test_a_command_waits_for_the_next_message(tmp_path: Path) -> None:
    """In queue mode it is given when the device is heard, written once, read back, and told."""
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        await peer.register()
        await door.until(lambda: door.desk.desk.counts.reports == 1)
        door.clock.at += 94 * SECOND
        async with commanded(door, order("a", 120)):
            assert peer.height.written == []
            await peer.ask(aiocoap.POST, peer.location)
            assert await results(door, 1) == [("a", "done", 120.0, "")]
        assert peer.height.written == [encode_tlv({(3435, 0, 1): 120}, (3435, 0))]
        assert door.desk.desk.counts.reports == 2  # what was read back is a reading, too


async def test_a_command_that_is_refused_or_reads_otherwise(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        await peer.register()
        await door.until(lambda: door.desk.desk.counts.reports == 1)
        peer.height.stuck = 7
        async with commanded(door, order("a", 120)):
            await peer.ask(aiocoap.POST, peer.location)
            assert await results(door, 1) == [("a", "failed", 7.0, "it reads 7 cm after the write")]
        peer.height.refuses = True
        async with commanded(door, order("b", 121)):
            await peer.ask(aiocoap.POST, peer.location)
            assert ("b", "failed", None, "the device refuses: 4.05") in await results(door, 2)


async def test_other_callers_at_the_same_door(tmp_path: Path) -> None:
    """A site file that changes: who is gone is not served any more, and nothing breaks."""
    async with at_the_door(tmp_path) as door, aiocoap_client(door.port) as peer:
        await peer.register()
        await door.until(lambda: door.desk.desk.counts.reports == 1)
        door.desk.desk.renew(msgspec.structs.replace(door.desk.config, callers=tuple(CALLERS[1:])))
        await door.until(lambda: door.desk.desk.find(BIN) is None)
        assert (await peer.ask(aiocoap.POST, peer.location)).code == aiocoap.NOT_FOUND
        assert (await peer.register()).code == aiocoap.FORBIDDEN
        assert door.desk.desk.counts.bugs == 0
