"""Devices that post a message of their own over CoAP, at the real door: aiocoap calls, the spool is a real one."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiocoap

from device_profiles.codecs import coap
from device_profiles.codecs.coap import Message
from device_profiles.loader import load_library
from device_profiles.maps.payload import encode_report
from device_profiles.maps.payload_table import PayloadMap
from device_profiles.readings import Lane
from gateway.inspection import read_quarantine
from gateway.listeners.callers import Caller
from gateway.listeners.repeats import LIFETIME_US, Repeats
from tests.rooms.gateway.listeners.desks import NOON, PATIENCE, HandClock, Stand, door, stand

LIBRARY = load_library()
IMEI, PLACE = "861234050123456", "861234050199999"
SMOKE = Caller(id=IMEI, device="smoke-01", profile=LIBRARY["generic-smoke-nb"])
PARKING = Caller(id=PLACE, device="parking-01", profile=LIBRARY["generic-parking-nb"])
GONE = Caller(id="861234050100000", device="smoke-99", profile=SMOKE.profile, disabled=True)
QUIET = {
    "alarm": 0,
    "test": 0,
    "fault": 0,
    "removed": 0,
    "smoke": 0.05,
    "temperature": 21,
    "battery": 3050,
    "rsrp": -98,
}
PLACED = {"occupied": 1, "battery_low": 0, "field": 180, "arrivals": 7, "battery": 3600, "temperature": 12}


def smoke(count: int = 1, message: int = 1, id: str = IMEI, **values: float) -> bytes:
    """A detector's message."""
    assert isinstance(SMOKE.profile.map, PayloadMap)
    return encode_report(SMOKE.profile.map, {**QUIET, **values}, 0, id=id, count=count, message=message)


def parked(count: int = 1, **values: float) -> bytes:
    """A parking sensor's message."""
    assert isinstance(PARKING.profile.map, PayloadMap)
    return encode_report(PARKING.profile.map, {**PLACED, **values}, 0, count=count)


@asynccontextmanager
async def at_the_door(
    folder: Path, unknown: str = "refuse", clock: HandClock | None = None
) -> AsyncIterator[tuple[Stand, int]]:
    callers = [SMOKE, PARKING, GONE]
    async with (
        stand(folder, callers, "payload", transport="coap", unknown=unknown, clock=clock) as desk,
        door(desk) as port,
    ):
        yield desk, port


@asynccontextmanager
async def device() -> AsyncIterator[aiocoap.Context]:
    """aiocoap's client, on a source port of its own."""
    context = await aiocoap.Context.create_client_context(transports=["udp6"])
    try:
        yield context
    finally:
        await context.shutdown()


async def post(context: aiocoap.Context, port: int, path: str, payload: bytes, code: object = aiocoap.POST) -> object:
    """What the gateway answers."""
    request = aiocoap.Message(code=code, uri=f"coap://127.0.0.1:{port}{path}", payload=payload)
    async with asyncio.timeout(PATIENCE):
        return (await context.request(request).response).code


class Wire:
    """A bare socket, for what no library would send."""

    def __init__(self, port: int) -> None:
        self._end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._end.setblocking(False)
        self._end.connect(("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def heard(self) -> Message:
        async with asyncio.timeout(PATIENCE):
            return coap.decode(await asyncio.get_running_loop().sock_recv(self._end, 2048))

    async def asked(self, message: Message) -> Message:
        """Send a message and wait for what comes back."""
        await self.send(coap.encode(message))
        return await self.heard()

    def close(self) -> None:
        self._end.close()


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    opened = Wire(port)
    try:
        yield opened
    finally:
        opened.close()


def a_post(mid: int, payload: bytes, path: str = "/smoke", token: bytes = b"\x01", kind: int = coap.CON) -> Message:
    return Message(kind, coap.POST, mid, token, coap.path_options(path), payload)


async def test_a_post_is_answered_when_it_is_on_disk(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device() as client:
        assert await post(client, port, "/smoke", smoke(temperature=23)) == aiocoap.CHANGED
        values = desk.values("smoke-01")  # read from the file, right after the answer
        assert (values["temperature"], values["smoke"], values["alarm"]) == (23, 0.05, 0)
    desk.ledger()  # it balances


async def test_an_alarm_goes_into_the_event_lane(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device() as client:
        assert await post(client, port, "/smoke", smoke(1, 2, alarm=1), aiocoap.PUT) == aiocoap.CHANGED
        assert {one.lane for one in desk.stored()} == {Lane.EVENT}


async def test_the_identity_may_lie_in_the_path(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device() as client:
        assert await post(client, port, f"/parking/{PLACE}", parked(arrivals=53)) == aiocoap.CHANGED
        assert desk.values("parking-01")["arrivals"] == 53
        assert await post(client, port, "/parking/861234050188888", parked()) == aiocoap.FORBIDDEN
        assert await post(client, port, "/parking", parked()) == aiocoap.NOT_FOUND


async def test_strangers_and_nonsense_are_refused_by_name(tmp_path: Path) -> None:
    async with at_the_door(tmp_path, unknown="quarantine") as (desk, port), device() as client:
        stranger = smoke(id="861234050177777")
        assert await post(client, port, "/smoke", stranger) == aiocoap.FORBIDDEN
        assert await post(client, port, "/smoke", smoke(id=GONE.id)) == aiocoap.FORBIDDEN
        assert await post(client, port, "/smoke", smoke()[:-1] + b"\x00") == aiocoap.BAD_REQUEST
        assert await post(client, port, "/elsewhere", smoke()) == aiocoap.NOT_FOUND
        assert await post(client, port, "/smoke", b"", aiocoap.GET) == aiocoap.METHOD_NOT_ALLOWED
        assert desk.stored() == []
        counts = desk.desk.counts
        assert (counts.turned_away, counts.rejected, counts.bugs) == (2, {"bad_checksum": 1}, 0)
    kept = {(row.id, row.data) for row in read_quarantine(desk.path, 5)}
    assert ("861234050177777", stranger.hex(" ").upper()) in kept


async def test_a_retransmission_is_answered_again_and_stored_once(tmp_path: Path) -> None:
    """The same message id from a new source port, as after a NAT's rebind: still the same device and message."""
    async with at_the_door(tmp_path) as (desk, port):
        for _ in range(3):
            async with wire(port) as end:
                answer = await end.asked(a_post(7, smoke(count=5)))
                assert (answer.type, answer.code, answer.mid, answer.token) == (coap.ACK, coap.CHANGED, 7, b"\x01")
        assert len(desk.stored()) == len(QUIET)
        assert (desk.desk.counts.reports, desk.desk.counts.repeated) == (1, 2)
        assert desk.desk.sessions()[0]["moves"] == 2


async def test_a_message_without_a_counter_is_known_by_its_number_for_247_seconds() -> None:
    """RFC 7252, 4.8.2: later the same number is another message; many modems begin at the same one after each sleep."""
    repeats = Repeats()
    first = repeats.key("a", b"\x00\x07", b"said", NOON)
    assert repeats.key("a", b"\x00\x07", b"said", NOON + LIFETIME_US - 1) == first
    assert repeats.key("b", b"\x00\x07", b"said", NOON) != first
    assert repeats.key("a", b"\x00\x08", b"said", NOON) != first
    assert repeats.key("a", b"\x00\x07", b"other", NOON) != first
    assert repeats.key("a", b"\x00\x07", b"said", NOON + LIFETIME_US) != first
    restarted = Repeats()  # a gateway that has forgotten everything gives the same key within the same 247 s
    begin = NOON - NOON % LIFETIME_US
    assert Repeats().key("a", b"\x00\x07", b"said", begin) == restarted.key(
        "a", b"\x00\x07", b"said", begin + 200_000_000
    )


async def test_a_restarted_gateway_knows_what_it_took(tmp_path: Path) -> None:
    clock = HandClock()
    for _ in range(2):
        async with at_the_door(tmp_path, clock=clock) as (desk, port), wire(port) as end:
            assert (await end.asked(a_post(7, smoke(count=5)))).code == coap.CHANGED
    assert len(desk.stored()) == len(QUIET)


async def test_what_wants_no_acknowledgement_gets_an_answer_of_its_own(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), wire(port) as end:
        answer = await end.asked(a_post(9, smoke(), kind=coap.NON))
        assert (answer.type, answer.code, answer.token) == (coap.NON, coap.CHANGED, b"\x01")
        assert len(desk.stored()) == len(QUIET)


async def test_the_message_layer(tmp_path: Path) -> None:
    """RFC 7252: a ping and a confirmable message that is none get a reset; unknown critical options get 4.02."""
    async with at_the_door(tmp_path) as (desk, port), wire(port) as end:
        ping = await end.asked(Message(coap.CON, coap.EMPTY, 1))  # 4.3
        assert (ping.type, ping.code, ping.mid) == (coap.RST, coap.EMPTY, 1)
        await end.send(bytes.fromhex("49 02 00 02"))  # a token of nine bytes (3)
        reset = await end.heard()
        assert (reset.type, reset.mid) == (coap.RST, 2)
        await end.send(bytes.fromhex("00 01 02"))  # shorter than a header: ignored
        strange = Message(coap.CON, coap.POST, 3, b"", (*coap.path_options("/smoke"), (9, b"")), smoke())
        assert (await end.asked(strange)).code == coap.BAD_OPTION  # 5.4.1
        stray = Message(coap.CON, coap.CONTENT, 4, b"\x77", (), b"")  # a response that nobody asked for
        assert (await end.asked(stray)).type == coap.RST
        assert desk.desk.counts.rejected == {"malformed": 2}


async def test_a_request_in_blocks_is_put_together(tmp_path: Path) -> None:
    """RFC 7959, 2.5: 2.31 for each block but the last; aiocoap cuts a long payload by itself."""
    async with at_the_door(tmp_path) as (desk, port), wire(port) as end:
        payload = smoke(temperature=30)
        answers = []
        for number in range(2):
            part = payload[16 * number : 16 * number + 16]
            block = coap.block_option(coap.BLOCK1, coap.Block(number, number == 0, 16))
            message = Message(coap.CON, coap.POST, 20 + number, b"\x05", (*coap.path_options("/smoke"), block), part)
            answers.append((await end.asked(message)).code)
        assert answers == [coap.CONTINUE, coap.CHANGED]
        assert desk.values("smoke-01")["temperature"] == 30
        late = Message(coap.CON, coap.POST, 30, b"", (*coap.path_options("/smoke"), block), b"x")
        assert (await end.asked(late)).code == coap.INCOMPLETE  # 2.9.2: its beginning is missing
    async with at_the_door(tmp_path) as (desk, port), device() as client:
        assert await post(client, port, "/smoke", bytes(3000)) == aiocoap.BAD_REQUEST
        assert await post(client, port, "/smoke", bytes(20_000)) == aiocoap.REQUEST_ENTITY_TOO_LARGE


async def test_a_full_disk_is_silence(tmp_path: Path) -> None:
    """What is not on disk is not acknowledged: the device says it again, and then it is."""
    async with at_the_door(tmp_path) as (desk, port), wire(port) as end:
        await desk.spool.close()
        await end.send(coap.encode(a_post(7, smoke(count=5))))
        ping = await end.asked(Message(coap.CON, coap.EMPTY, 1))
        assert ping.type == coap.RST
        assert desk.stored() == []
    async with at_the_door(tmp_path) as (desk, port), wire(port) as end:
        assert (await end.asked(a_post(7, smoke(count=5)))).code == coap.CHANGED


async def test_many_at_once_share_commits(tmp_path: Path) -> None:
    async with at_the_door(tmp_path) as (desk, port), device() as client:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(post(client, port, f"/parking/{PLACE}", parked(n))) for n in range(100)]
        assert {task.result() for task in tasks} == {aiocoap.CHANGED}
        assert len(desk.stored()) == 100 * len(PLACED)
