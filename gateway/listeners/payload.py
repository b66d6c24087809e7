"""Devices that send a message of their own, as a datagram or as a CoAP request: what it means stands in the profile.

Who calls is said by the message (or its URI), never by the address. A CoAP request is answered 2.04, a datagram with
the acknowledgement that the profile describes, when its readings are on disk; a refusal is silence.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

import msgspec

from device_profiles.codecs import coap
from device_profiles.codecs.payload import Codec, build_ack, compile_layout
from device_profiles.codecs.payload_layout import Parsed, PayloadError
from device_profiles.framing import Rejects
from device_profiles.maps.payload import decode_report, fits_path, id_of
from device_profiles.maps.payload_table import PayloadMap
from device_profiles.quality import Reason
from device_profiles.tables import Table
from gateway.listeners.callers import Caller
from gateway.listeners.coap import Address, Answer, Endpoint, Party, peer_text
from gateway.listeners.desk import Desk, Fate
from gateway.listeners.repeats import Repeats

TRANSPORTS = ("udp", "coap")


class Options(msgspec.Struct, frozen=True):
    """A ``[[listeners]]`` row of this protocol has no keys of its own."""


def read_options(table: Table) -> Options:
    """Nothing to read."""
    return Options()


class Model(msgspec.Struct, frozen=True):
    """A message that some caller's profile describes."""

    map: PayloadMap
    codec: Codec


class Understood(msgspec.Struct, frozen=True):
    """A message of a known caller."""

    caller: Caller
    model: Model
    parsed: Parsed


class Reader:
    """Tells whose message it is, among all models that may call; one for each desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.repeats = Repeats()
        self._rejects = Rejects()
        self._roll: object = None
        self._models: dict[str, Model] = {}

    def _known(self) -> dict[str, Model]:
        """Every model that may call, by name; made anew when the site has other callers."""
        if self._roll is self._desk.originators:
            return self._models
        found: dict[str, Model] = {}
        for caller in self._desk.callers():
            map_ = caller.profile.map
            if caller.profile.model not in found and isinstance(map_, PayloadMap):
                found[caller.profile.model] = Model(map_, compile_layout(map_.layout))
        self._roll, self._models = self._desk.originators, found
        return found

    def has_path(self, path: tuple[str, ...]) -> bool:
        """True when some model posts there."""
        return any(model.map.transport == "coap" and fits_path(model.map, path) for model in self._known().values())

    def understand(self, data: bytes, peer: str, request: coap.Message | None = None) -> Understood | Reason:
        """The message, or why there is none, which is accounted for. An identity decides between models alike."""
        transport = "udp" if request is None else "coap"
        stranger, trouble = "", Reason.MALFORMED
        for name, model in self._known().items():
            if model.map.transport != transport or (request is not None and not fits_path(model.map, request.path)):
                continue
            try:
                parsed = model.codec.parse(data)
            except PayloadError as wrong:
                trouble = wrong.reason
                continue
            id_ = id_of(model.map, parsed, request)
            caller = self._desk.find(id_)
            if caller is not None and caller.profile.model == name:
                return Understood(caller, model, parsed)
            stranger = stranger or id_
        if stranger:
            self._desk.turn_away(stranger, peer, data)
            return Reason.UNKNOWN_DEVICE
        self._rejects.add(trouble, data or b"\x00")
        self._desk.reject(peer, self._rejects)
        return trouble


_READERS: WeakKeyDictionary[Desk, Reader] = WeakKeyDictionary()
"""A session lives as long as an address, a reader as long as its desk."""


def reader_of(desk: Desk) -> Reader:
    """The desk's reader, made at the first message."""
    reader = _READERS.get(desk)
    if reader is None:
        reader = _READERS[desk] = Reader(desk)
    return reader


class Session:
    """One address's datagrams; each is a message of its own."""

    def __init__(self, desk: Desk, peer: str, send: Callable[[bytes], None]) -> None:
        self._desk = desk
        self._peer = peer
        self._send = send
        self._reader = reader_of(desk)

    async def feed(self, data: bytes) -> None:
        """One datagram."""
        found = self._reader.understand(data, self._peer)
        if isinstance(found, Reason):
            return
        self._desk.heard(found.caller, self._peer)
        layout = found.model.map.layout
        report = decode_report(found.model.map, found.parsed, repeats=bool(layout.ack))
        fate = await self._desk.take(found.caller, report)
        ack = build_ack(layout, found.parsed)
        if ack and fate is not Fate.REFUSED:
            self._send(ack)

    def closed(self) -> None:
        """A datagram is whole or nothing: nothing is left."""


class _Posts(Party):
    """The resources that devices post to."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reader = reader_of(desk)

    async def on_request(self, message: coap.Message, addr: Address) -> Answer | None:
        """2.04 when it is on disk; 4.03 for a stranger, 4.00 for what does not read."""
        if not self._reader.has_path(message.path):
            return Answer(coap.NOT_FOUND)
        if message.code not in (coap.POST, coap.PUT):
            return Answer(coap.NOT_ALLOWED)
        peer = peer_text(addr)
        found = self._reader.understand(message.payload, peer, message)
        if isinstance(found, Reason):
            return Answer(coap.FORBIDDEN if found is Reason.UNKNOWN_DEVICE else coap.BAD_REQUEST)
        self._desk.heard(found.caller, peer)
        key = b""
        if not found.parsed.numbered:
            number = message.mid.to_bytes(2, "big") + message.token
            key = self._reader.repeats.key(found.caller.id, number, message.payload, self._desk.now())
        report = decode_report(found.model.map, found.parsed, key, repeats=message.type == coap.CON)
        if await self._desk.take(found.caller, report) is Fate.REFUSED:
            return None
        return Answer(coap.CHANGED, build_ack(found.model.map.layout, found.parsed))


async def serve(desk: Desk, host: str, port: int, ready: asyncio.Event, stop: asyncio.Event) -> None:
    """CoAP until ``stop``. OSError when the address cannot be had."""
    await Endpoint(desk, _Posts(desk)).serve(host, port, ready, stop)
