"""What LwM2M clients are asked: to be observed, to be read and written, and what waits for them in the mailbox.

Refuses to ask a client that sleeps: it is asked after its next message. A write is told as done only when it was read
back equal.
"""

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Coroutine

from device_profiles.codecs import coap
from device_profiles.codecs.coap import Message, Options
from device_profiles.codecs.lwm2m import FORMATS, Content, Lwm2mError, encode_content, path_text
from device_profiles.codecs.lwm2m_tlv import Path, Scalar
from device_profiles.commands import Command, CommandOutcome, CommandResult, no_value
from device_profiles.maps.lwm2m import Lwm2mMap, Lwm2mPoint, decode_report, to_scalar, to_value
from device_profiles.quality import Quality, Reason, code_of
from device_profiles.readings import Value
from device_profiles.reports import Reported
from gateway.listeners.callers import Caller
from gateway.listeners.coap import Endpoint, NoAnswer
from gateway.listeners.desk import Desk
from gateway.listeners.lwm2m_clients import Client, Clients

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0
"""How often clients that listen all the time are looked at for mail; the others are at each of their messages."""

Take = Callable[[Client, Path, Message], Awaitable[None]]
"""An answer's values go the way of all readings."""


class Asleep(Exception):
    """The client is not registered, or sleeps: it can be reached after its next message."""


class Refused(Exception):
    """The client answers with an error; ``code``: as CoAP says it."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(coap.code_text(code))


class Asker:
    """Puts questions to clients, in tasks of ``group``; ``run`` looks after the mail."""

    def __init__(self, desk: Desk, endpoint: Endpoint, clients: Clients, group: asyncio.TaskGroup, take: Take) -> None:
        self._desk = desk
        self._endpoint = endpoint
        self._clients = clients
        self._group = group
        self._take = take
        self._observing: dict[str, asyncio.Task[None]] = {}
        self._delivering: dict[str, asyncio.Task[None]] = {}

    @property
    def busy(self) -> bool:
        """True while somebody is being asked."""
        return bool(self._observing or self._delivering)

    async def run(self) -> None:
        """Look after the mail of clients that listen, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for client in self._clients.all():
                self.deliver(client)

    def stop(self) -> None:
        """No more questions."""
        for task in [*self._observing.values(), *self._delivering.values()]:
            task.cancel()

    async def _guarded(self, client: Client, asking: Coroutine[None, None, None]) -> None:
        """The boundary round one client's questions (DESIGN: errors): a bug ends these, and no others."""
        try:
            await asking
        except Exception:
            self._desk.counts.bugs += 1
            log.exception("%s: asking %s met a bug", self._desk.name, client.caller.device)

    # --- observations -----------------------------------------------------------------------------------------------

    def observe(self, client: Client) -> None:
        """Observe what is not observed yet, beginning when the answer in hand has left."""
        self.forget(client.caller)
        task = self._group.create_task(self._guarded(client, self._observe(client)))
        self._observing[client.caller.id] = task
        task.add_done_callback(lambda done: _ended(self._observing, client.caller.id, done))

    def forget(self, caller: Caller) -> None:
        """Its registration is gone or replaced."""
        task = self._observing.pop(caller.id, None)
        if task is not None:
            task.cancel()

    async def _observe(self, client: Client) -> None:
        """Every instance or resource that the profile has points in, one after the other (RFC 7252, 4.7)."""
        name, device = self._desk.name, client.caller.device
        try:
            for path in [path for path in client.map.observed if path in client.pending]:
                if not client.offers(path):
                    log.info("%s: %s has no %s", name, device, path_text(path))
                    continue
                if client.map.attributes:
                    await self._write_attributes(client, path)
                token = self._clients.token(client.caller.id, path)
                answer = await self._endpoint.ask(coap.GET, client.addr, token, _observing(client.map, path))
                if answer.code == coap.CONTENT and answer.option(coap.OBSERVE) is not None:
                    client.pending.discard(path)
                else:
                    said = coap.code_text(answer.code)
                    log.info("%s: %s: %s is not observed: %s", name, device, path_text(path), said)
        except NoAnswer as trouble:
            log.info("%s: %s does not answer: %s", name, device, trouble)

    async def _write_attributes(self, client: Client, path: Path) -> None:
        """pmin and pmax (1.0.2, 5.1.2) from the profile's periods; who knows none is observed all the same."""
        points = [point for point in client.map.points if point.where[: len(path)] == path]
        slowest = client.caller.report or min(point.report for point in points)
        fastest = min(min(point.period for point in points), slowest)
        query = (f"pmin={round(fastest)}", f"pmax={round(slowest)}")
        await self.ask(coap.PUT, client, coap.path_options(path_text(path), query))

    # --- reading and writing ----------------------------------------------------------------------------------------

    async def ask(self, code: int, client: Client, options: Options, payload: bytes = b"") -> Message:
        """The answer of a client, wherever it is now. NoAnswer when there is none."""
        return await self._endpoint.ask(code, client.addr, secrets.token_bytes(4), options, payload)

    def _awake(self, id: str) -> Client:
        client = self._clients.find(id, self._desk.now())
        if client is None or self._desk.find(id) is None or not client.listens(self._desk.now()):
            raise Asleep(id)
        return client

    async def read(self, id: str, name: str) -> Reported | None:
        """Read a point now; None when the answer does not name it. Asleep, NoAnswer or Refused where it cannot be.

        What it reads goes the way of all readings, too.
        """
        client = self._awake(id)
        point = _point(client.map, name)
        options = (*coap.path_options(point.path), *_accept(client.map))
        answer = await self.ask(coap.GET, client, options)
        if answer.code != coap.CONTENT:
            raise Refused(answer.code)
        await self._take(client, point.where, answer)
        return _said(client.map, point, answer)

    async def write(self, id: str, name: str, value: Value) -> None:
        """Write a point (5.4.3). ValueError for a value that it cannot say; Asleep, NoAnswer, Refused as for read."""
        client = self._awake(id)
        point = _point(client.map, name)
        bounds = point.writable
        if bounds is None or not isinstance(value, (int, float)) or not bounds.low <= value <= bounds.high:
            raise ValueError(f"{name}: {value!r} may not be written")
        scalar: dict[Path, Scalar] = {point.where: to_scalar(point, value)}
        payload = encode_content(scalar, point.where, FORMATS["tlv"], client.map.kinds)
        options = (*coap.path_options(point.path), (coap.CONTENT_FORMAT, coap.uint_bytes(FORMATS["tlv"])))
        answer = await self.ask(coap.PUT, client, options, payload)
        if answer.code != coap.CHANGED:
            raise Refused(answer.code)

    async def execute(self, id: str, path: Path, arguments: bytes = b"") -> None:
        """Start an executable resource (5.4.5). Asleep, NoAnswer, Refused as for read."""
        client = self._awake(id)
        answer = await self.ask(coap.POST, client, coap.path_options(path_text(path)), arguments)
        if answer.code != coap.CHANGED:
            raise Refused(answer.code)

    # --- the mailbox ------------------------------------------------------------------------------------------------

    def deliver(self, client: Client) -> None:
        """It listens: give it what waits for it."""
        id_ = client.caller.id
        if (
            id_ in self._delivering
            or self._desk.find(id_) is None
            or not self._desk.has_mail(client.caller)
            or not client.listens(self._desk.now())
        ):
            return
        task = self._group.create_task(self._guarded(client, self._deliver(client)))
        self._delivering[id_] = task
        task.add_done_callback(lambda done: _ended(self._delivering, id_, done))

    async def _deliver(self, client: Client) -> None:
        for command in await self._desk.mail(client.caller):
            await self._desk.settle(await self._obey(client, command))

    async def _obey(self, client: Client, command: Command) -> CommandResult:
        """Write, read back, compare."""
        now, id = self._desk.now, client.caller.id
        try:
            await self.write(id, command.point, command.value)
        except Asleep:
            return no_value(command.id, now(), CommandOutcome.FAILED, Reason.EXPIRED, "not sent: it fell asleep")
        except Refused as refused:
            said = f"the device refuses: {refused}"
            return no_value(command.id, now(), CommandOutcome.FAILED, Reason.EXCEPTION, said)
        except NoAnswer as trouble:
            return no_value(command.id, now(), CommandOutcome.UNKNOWN, Reason.TIMEOUT, f"written, and {trouble}")
        try:
            read = await self.read(id, command.point)
        except (Asleep, NoAnswer, Refused) as trouble:
            said = f"written, and not read back: {trouble}"
            return no_value(command.id, now(), CommandOutcome.UNKNOWN, Reason.TIMEOUT, said)
        return _compared(command, _point(client.map, command.point), read, now())


def _compared(command: Command, point: Lwm2mPoint, read: Reported | None, now: int) -> CommandResult:
    """DONE when it reads as it was written (a whole number rounded), to the digits of a float of four bytes."""
    value = None if read is None else read.value
    if not isinstance(value, (int, float)):
        reason = Reason.MISSING if read is None else read.reason
        return no_value(command.id, now, CommandOutcome.UNKNOWN, reason, "written, and it reads no value")
    written, _ = to_value(point, to_scalar(point, command.value))
    equal = isinstance(written, (int, float)) and math.isclose(value, written, rel_tol=1e-6, abs_tol=1e-9)
    outcome = CommandOutcome.DONE if equal else CommandOutcome.FAILED
    said = "" if equal else f"it reads {value:g} {point.unit} after the write"
    return CommandResult(command.id, now, outcome, float(value), code_of(Quality.GOOD), said)


def _said(map_: Lwm2mMap, point: Lwm2mPoint, answer: Message) -> Reported | None:
    """What an answer says about a point; None when it does not name it, or does not read."""
    content = Content(base=point.where, format=answer.uint(coap.CONTENT_FORMAT), payload=answer.payload)
    try:
        report = decode_report(map_, content)
    except Lwm2mError:
        return None
    return next((reading for reading in report.readings if reading.point == point.name), None)


def _ended(tasks: dict[str, asyncio.Task[None]], id: str, task: asyncio.Task[None]) -> None:
    if tasks.get(id) is task:
        del tasks[id]


def _accept(map_: Lwm2mMap) -> Options:
    return ((coap.ACCEPT, coap.uint_bytes(FORMATS[map_.format])),) if map_.format else ()


def _observing(map_: Lwm2mMap, path: Path) -> Options:
    """GET with Observe = 0, an empty option (RFC 7641, 2)."""
    return ((coap.OBSERVE, b""), *coap.path_options(path_text(path)), *_accept(map_))


def _point(map_: Lwm2mMap, name: str) -> Lwm2mPoint:
    return next(point for point in map_.points if point.name == name)
