"""Registered LwM2M clients, and which notification is whose: by token, so that a new address changes nothing.

A token is made from the endpoint's name and the path, so an observation goes on over a restart of the gateway: what
the device notifies meanwhile is still its own. Refuses to know how messages travel.
"""

import hashlib
import secrets
from collections.abc import Iterable

import msgspec

from device_profiles.codecs.lwm2m import AWAKE_S, Registration
from device_profiles.codecs.lwm2m_tlv import Path
from device_profiles.maps.lwm2m import Lwm2mMap
from gateway.listeners.callers import Caller
from gateway.listeners.coap import Address

MAPPED_US = 120_000_000
"""A NAT keeps a mapping for two minutes at least (RFC 4787, REQ-5): so long an address is whose it was."""

SECOND = 1_000_000


class Client(msgspec.Struct, eq=False):
    """One registration. ``proved``: when its address was last seen with a token or a location of its own (UTC µs)."""

    caller: Caller
    location: str
    addr: Address
    lifetime: int
    queue: bool
    paths: frozenset[Path]
    proved: int
    pending: set[Path] = msgspec.field(default_factory=set)

    def lives(self, now: int) -> bool:
        """True until its lifetime has run out."""
        return now - self.proved <= self.lifetime * SECOND

    def listens(self, now: int) -> bool:
        """True while a question may be put: a client in queue mode sleeps soon after each of its messages."""
        return self.lives(now) and (not self.queue or now - self.proved <= AWAKE_S * SECOND)

    @property
    def map(self) -> Lwm2mMap:
        """The profile's map."""
        found = self.caller.profile.map
        assert isinstance(found, Lwm2mMap)  # the site file admits no other profile to this listener
        return found

    def offers(self, path: Path) -> bool:
        """True when the registration names the path's instance or object, or names nothing at all."""
        return not self.paths or path[:2] in self.paths or path[:1] in self.paths


class Observed(msgspec.Struct, frozen=True):
    """What a token stands for."""

    id: str
    path: Path


class Clients:
    """All registrations of one listener, and the tokens of all that may be observed."""

    def __init__(self, name: str, callers: Iterable[Caller]) -> None:
        """``name``: the listener's; tokens of two listeners differ."""
        self._name = name
        self._by_id: dict[str, Client] = {}
        self._by_location: dict[str, Client] = {}
        self._by_addr: dict[Address, Client] = {}
        self._tokens: dict[bytes, Observed] = {}
        paths: dict[str, tuple[Path, ...]] = {}
        for caller in callers:
            map_ = caller.profile.map
            if isinstance(map_, Lwm2mMap):
                if caller.profile.model not in paths:
                    paths[caller.profile.model] = map_.observed
                self._expect(caller, paths[caller.profile.model])

    def _expect(self, caller: Caller, paths: Iterable[Path]) -> None:
        for path in paths:
            self._tokens[self.token(caller.id, path)] = Observed(caller.id, path)

    def token(self, id: str, path: Path) -> bytes:
        """Eight bytes that are always the same for this endpoint and path (RFC 7252, 5.3.1: 8 at most)."""
        return hashlib.blake2b(repr((self._name, id, path)).encode(), digest_size=8).digest()

    def observed(self, token: bytes) -> Observed | None:
        """What a notification with this token is about; None when we never asked for it."""
        return self._tokens.get(token)

    def register(self, caller: Caller, said: Registration, addr: Address, now: int) -> Client:
        """A new registration; the endpoint's old one is gone (LwM2M 1.0.2, 5.3.1)."""
        self.remove(self._by_id.get(caller.id))
        client = Client(caller, secrets.token_hex(4), addr, said.lifetime, said.queue, said.paths, now)
        self._by_id[caller.id] = self._by_location[client.location] = client
        self._expect(
            caller, client.map.observed
        )  # the site may have got it, or another profile for it, since the start
        self.prove(client, addr, now)
        return client

    def find(self, id: str, now: int) -> Client | None:
        """The living registration of an endpoint."""
        return self._living(self._by_id.get(id), now)

    def at_location(self, location: str, now: int) -> Client | None:
        """The living registration of that name."""
        return self._living(self._by_location.get(location), now)

    def at_address(self, addr: Address, now: int, fixed: bool = False) -> Client | None:
        """Who proved to be there a short while ago; ``fixed``: in a network without NAT, any time before."""
        client = self._living(self._by_addr.get(addr), now)
        if client is None or (not fixed and now - client.proved > MAPPED_US):
            return None
        return client

    def prove(self, client: Client, addr: Address, now: int) -> None:
        """The client is at this address now: it has said something that only it can say."""
        if self._by_addr.get(client.addr) is client:
            del self._by_addr[client.addr]
        client.addr, client.proved = addr, now
        self._by_addr[addr] = client

    def all(self) -> list[Client]:
        """Every registration, those that have run out too."""
        return list(self._by_id.values())

    def remove(self, client: Client | None) -> None:
        """The registration is over."""
        if client is None:
            return
        self._by_location.pop(client.location, None)
        if self._by_id.get(client.caller.id) is client:
            del self._by_id[client.caller.id]
        if self._by_addr.get(client.addr) is client:
            del self._by_addr[client.addr]

    def _living(self, client: Client | None, now: int) -> Client | None:
        if client is not None and not client.lives(now):
            self.remove(client)
            return None
        return client

    def __len__(self) -> int:
        return len(self._by_id)
