"""What is said to the centre over CoAP: batches, manifests and state out, and the receipt is the answer.

Ends with NoAnswer when the centre falls silent, and with Refused when it wants nothing of us.
"""

import asyncio
from collections.abc import Callable

from device_profiles.codecs import coap
from device_profiles.codecs.coap import Message, code_text
from device_profiles.readings import Lane
from gateway.carriage import Carriage, Dispatch
from gateway.coap_client import CoapClient
from gateway.route import Route
from gateway.window import Flight

OCTETS, JSON, CBOR = 42, 50, 60
"""Content-Formats (RFC 7252, 12.3)."""

PASSING = frozenset({coap.INCOMPLETE, coap.TOO_LARGE, coap.UNAVAILABLE})
"""Answers after which the same batch is sent again, later: nothing is lost, and nothing is amiss with the way."""


class Refused(Exception):
    """The centre answers, and does not take what we say."""


class CoapConversation(Carriage):
    """One spell of being heard. The way has no connection: silence ends it."""

    def __init__(self, client: CoapClient, dispatch: Dispatch, route: Route) -> None:
        super().__init__(dispatch, route)
        assert route.config.coap is not None
        self._client = client
        self._most = route.config.coap.nstart
        self._announced = route.announced  # the centre itself has acknowledged them: not said again
        self._carrying: dict[int, tuple[Flight, asyncio.Task[None]]] = {}
        self._announcing: asyncio.Task[None] | None = None

    async def run(self, drained: Callable[[], bool], deadline: Callable[[], float]) -> None:
        """Carry batches until ``drained``; then tell a last state. ``deadline``: monotonic seconds, when to look."""
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell_state())
            while not drained():
                self._wake.clear()
                if self._announcing is None and self._must_tell():
                    self._announcing = group.create_task(self._announce())
                self._send_due(group)
                self._borrow()
                await self._wait(deadline())
            for task in [telling, self._announcing, *(task for _, task in self._carrying.values())]:
                if task is not None:
                    task.cancel()
        await self._put("state", self._state(False), JSON)

    # -- manifests and state -----------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        """Before the first batch, and when the centre asks. Events do not wait for it."""
        try:
            taken = [await self._put("manifest", message, OCTETS) for message in await self._manifests_to_tell()]
            if all(taken):
                self._route.announced = self._announced
            else:
                self._asked = True
        finally:
            self._announcing = None
            self._wake.set()

    async def _tell_state(self) -> None:
        while True:
            await self._put("state", self._state(True), JSON)
            await asyncio.sleep(self._config.state_seconds)

    async def _put(self, kind: str, payload: bytes, content: int) -> bool:
        """True when the centre has it; False when it is to be said again later."""
        answer = await self._client.send(coap.PUT, self._path(kind), payload, content)
        if answer.code != coap.CHANGED and answer.code not in PASSING:
            raise _refusal(kind, answer)
        return answer.code == coap.CHANGED

    def _path(self, kind: str) -> str:
        return f"/v1/{self._gateway}/{kind}"

    # -- batches -----------------------------------------------------------------------------------------------------

    def _next_due(self) -> float:
        if not self._route.active:
            return super()._next_due()
        idle = [f.due for f in self._window.flights() if f.id not in self._carrying and self._has_room(f.lane)]
        return min(idle, default=float("inf"))

    def _has_room(self, lane: Lane) -> bool:
        """Events have places of their own, and do not wait for a manifest."""
        urgent = lane is Lane.EVENT
        if self._announcing is not None and not urgent:
            return False
        under_way = sum((flight.lane is Lane.EVENT) == urgent for flight, _ in self._carrying.values())
        return under_way < self._most

    def _send_due(self, group: asyncio.TaskGroup) -> None:
        for flight in self._due():
            if flight.id not in self._carrying and self._has_room(flight.lane):
                self._leaves(flight)
                self._carrying[flight.id] = flight, group.create_task(self._carry(flight))

    async def _carry(self, flight: Flight) -> None:
        urgent = flight.lane is Lane.EVENT
        try:
            answer = await self._client.send(coap.POST, self._path("batch"), flight.payload, CBOR, urgent)
        finally:
            del self._carrying[flight.id]
        if answer.code == coap.CHANGED:
            self._receipted(answer.payload)
        elif answer.code not in PASSING:
            raise _refusal("batch", answer)
        self._window.later(flight.name, self._clock.monotonic())  # if it is still under way: all else has left
        self._wake.set()


def _refusal(kind: str, answer: Message) -> Refused:
    words = answer.payload.decode("utf-8", "replace")
    return Refused(f"the centre refuses our {kind}: {code_text(answer.code)} {words}".rstrip())
