"""LwM2M 1.0 and 1.1 clients register here and are observed; their notifications and Sends are acknowledged from disk.

Who calls is the endpoint's name, proved by the location of a registration or the token of an observation, never by an
address. Refuses (4.03) endpoints that the site does not name. Without DTLS a name proves nothing against an attacker.
"""

import asyncio
import logging
import secrets

import msgspec

from device_profiles.codecs import coap
from device_profiles.codecs.coap import Message, Options
from device_profiles.codecs.coap_blocks import whole_payload
from device_profiles.codecs.lwm2m import Content, Lwm2mError, parse_registration, path_text
from device_profiles.codecs.lwm2m_tlv import Path
from device_profiles.framing import Rejects
from device_profiles.maps.lwm2m import Lwm2mMap, decode_report
from device_profiles.quality import Reason
from device_profiles.tables import Table
from gateway.listeners.callers import Caller
from gateway.listeners.coap import Address, Answer, Endpoint, NoAnswer, Party, peer_text
from gateway.listeners.desk import Desk, Fate
from gateway.listeners.lwm2m_asking import Asker
from gateway.listeners.lwm2m_clients import Client, Clients
from gateway.listeners.repeats import Repeats

log = logging.getLogger(__name__)

TRANSPORTS = ("coap",)

SHORTEST_LIFETIME_S = 60


class ListenerOptions(msgspec.Struct, frozen=True):
    """``ack_timeout_s``: before a question is sent again. ``fixed_addresses``: no NAT between here and the devices."""

    ack_timeout_s: float = 10.0
    fixed_addresses: bool = False


def read_options(table: Table) -> ListenerOptions:
    """The keys of a ``[[listeners]]`` row of this protocol."""
    return ListenerOptions(
        ack_timeout_s=table.number("ack_timeout_s", 10.0, low=0.05, high=60.0),
        fixed_addresses=table.flag("fixed_addresses"),
    )


class Server(Party):
    """One listener's clients. ``group``: whose tasks ask them; they end with it."""

    def __init__(self, desk: Desk, group: asyncio.TaskGroup) -> None:
        self._desk = desk
        assert isinstance(desk.options, ListenerOptions)  # read_options made them
        self._options = desk.options
        self.clients = Clients(desk.name, desk.callers())
        self.endpoint = Endpoint(desk, self, self._options.ack_timeout_s)
        self.asker = Asker(desk, self.endpoint, self.clients, group, self._answered)
        self._repeats = Repeats()
        self._rejects = Rejects()

    # --- what clients say -------------------------------------------------------------------------------------------

    async def on_request(self, message: Message, addr: Address) -> Answer | None:
        """The registration interface (LwM2M 1.0.2, 5.3) and Send (1.1, 6.4.5)."""
        path = message.path
        if path == ("dp",):
            return await self._sent(message, addr) if message.code == coap.POST else Answer(coap.NOT_ALLOWED)
        if path[:1] != ("rd",) or len(path) > 2:
            return Answer(coap.NOT_FOUND)
        if len(path) == 1:
            return self._register(message, addr) if message.code == coap.POST else Answer(coap.NOT_ALLOWED)
        client = self._served(self.clients.at_location(path[1], self._desk.now()))
        if client is None:
            return Answer(coap.NOT_FOUND)  # 5.3.2: then it registers again
        if message.code == coap.DELETE:
            self.clients.remove(client)
            self.asker.forget(client.caller)
            return Answer(coap.DELETED)
        return self._update(client, message, addr) if message.code == coap.POST else Answer(coap.NOT_ALLOWED)

    def _register(self, message: Message, addr: Address) -> Answer:
        peer = peer_text(addr)
        try:
            said = parse_registration(message)
        except Lwm2mError:
            self._reject(message, peer)
            return Answer(coap.BAD_REQUEST)
        caller = self._desk.find(said.endpoint)
        if caller is None or not isinstance(caller.profile.map, Lwm2mMap):
            self._desk.turn_away(said.endpoint, peer, message.payload)
            return Answer(coap.FORBIDDEN)
        client = self.clients.register(caller, said, addr, self._desk.now())
        client.pending = set(client.map.observed)
        self._desk.heard(caller, peer)
        self.asker.observe(client)
        location: Options = ((coap.LOCATION_PATH, b"rd"), (coap.LOCATION_PATH, client.location.encode()))
        return Answer(coap.CREATED, options=location, once=True)

    def _served(self, client: Client | None) -> Client | None:
        """The client, unless the site has removed or disabled it since it registered."""
        if client is not None and self._desk.find(client.caller.id) is None:
            self.clients.remove(client)
            self.asker.forget(client.caller)
            return None
        return client

    def _update(self, client: Client, message: Message, addr: Address) -> Answer:
        """5.3.2: another lifetime, another address, other objects; all of them may be left out."""
        lifetime = message.query.get("lt", str(client.lifetime))
        if not lifetime.isdecimal() or len(lifetime) > 10:
            return Answer(coap.BAD_REQUEST)
        client.lifetime = max(int(lifetime), SHORTEST_LIFETIME_S)
        if "b" in message.query:
            client.queue = "Q" in message.query["b"]
        self._heard(client, addr)
        if client.pending:
            self.asker.observe(client)
        return Answer(coap.CHANGED)

    def _heard(self, client: Client, addr: Address) -> None:
        self.clients.prove(client, addr, self._desk.now())
        self._desk.heard(client.caller, peer_text(addr))
        self.asker.deliver(client)

    def _reject(self, message: Message, peer: str) -> None:
        self._rejects.add(Reason.MALFORMED, message.payload or coap.encode(message))
        self._desk.reject(peer, self._rejects)

    async def _sent(self, message: Message, addr: Address) -> Answer | None:
        """A Send names no endpoint: it is whose address it is, where that was proved a short while ago."""
        client = self._served(self.clients.at_address(addr, self._desk.now(), self._options.fixed_addresses))
        if client is None:
            return Answer(coap.NOT_FOUND)  # 1.1, 6.4.5: to be answered by a registration or an update
        self._heard(client, addr)
        fate = await self._take(client.caller, (), message, message.payload, addr, message.type == coap.CON)
        if fate is None:
            return Answer(coap.BAD_REQUEST)
        return None if fate is Fate.REFUSED else Answer(coap.CHANGED)

    def owns(self, token: bytes) -> bool:
        """True for the tokens of observations."""
        return self.clients.observed(token) is not None

    async def on_notice(self, message: Message, addr: Address) -> bool | None:
        """A notification, from whatever address: its token says whose it is and what it is about."""
        observed = self.clients.observed(message.token)
        caller = None if observed is None else self._desk.find(observed.id)
        if observed is None or caller is None:
            return False
        client = self.clients.find(observed.id, self._desk.now())
        if client is not None:
            self._heard(client, addr)
        else:
            self._desk.heard(caller, peer_text(addr))
        if message.code != coap.CONTENT:
            if client is not None:
                client.pending.add(observed.path)  # RFC 7641, 4.2: an error ends it; asked for anew at the next update
            return True
        payload = await self._whole(observed.path, message, addr)
        if payload is None:
            return None
        fate = await self._take(caller, observed.path, message, payload, addr, message.type == coap.CON)
        return None if fate is Fate.REFUSED else True

    async def _take(
        self, caller: Caller, base: Path, message: Message, payload: bytes, addr: Address, repeats: bool
    ) -> Fate | None:
        """Take what a message tells; None, accounted for, when it does not read."""
        map_ = caller.profile.map
        assert isinstance(map_, Lwm2mMap)  # the site file admits no other profile to this listener
        number = message.mid.to_bytes(2, "big") + message.token
        content = Content(
            base=base,
            format=message.uint(coap.CONTENT_FORMAT),
            payload=payload,
            key=self._repeats.key(caller.id, number, payload, self._desk.now()),
            now=self._desk.now() / 1e6,
            repeats=repeats,
        )
        try:
            report = decode_report(map_, content)
        except Lwm2mError as trouble:
            log.info("%s: %s of %s does not read: %s", self._desk.name, path_text(base), caller.device, trouble)
            self._reject(message, peer_text(addr))
            return None
        if not report.readings and not report.unmapped:
            return Fate.TAKEN  # an instance that has measured nothing yet
        return await self._desk.take(caller, report)

    async def _answered(self, client: Client, path: Path, message: Message) -> None:
        """An answer to a question of ours: its client is awake, and its values are readings like all others."""
        self.clients.prove(client, client.addr, self._desk.now())
        self._desk.heard(client.caller, peer_text(client.addr))
        await self._take(client.caller, path, message, message.payload, client.addr, repeats=False)

    async def _whole(self, path: Path, message: Message, addr: Address) -> bytes | None:
        """The payload; what did not fit the first block is fetched (RFC 7959, 3.4)."""
        if message.option(coap.BLOCK2) is None:
            return message.payload

        async def fetch(options: Options) -> Message:
            wanted = (*coap.path_options(path_text(path)), *options)
            return await self.endpoint.ask(coap.GET, addr, secrets.token_bytes(4), wanted)

        try:
            return await whole_payload(message, fetch)
        except NoAnswer:
            return None


async def serve(desk: Desk, host: str, port: int, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """LwM2M over CoAP until ``stop``. OSError when the address cannot be had."""
    async with asyncio.TaskGroup() as group:
        server = Server(desk, group)
        sweeping = group.create_task(server.asker.run())
        try:
            await server.endpoint.serve(host, port, ready, stop)
        finally:
            sweeping.cancel()
            server.asker.stop()
