"""What is the same on every wire to the centre: what to send next, what a receipt means, when to tell manifests.

Only a final receipt lets the spool delete. How it is said is in ``conversation`` (MQTT) and ``coap_conversation``.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from device_profiles.clock import Clock
from device_profiles.envelope import EnvelopeError, decode_batch, encode_batch
from device_profiles.quality import Reason
from device_profiles.readings import Lane
from device_profiles.receipts import Outcome, Receipt, decode_receipts
from gateway.announcing import manifest_messages
from gateway.route import Route
from gateway.spool import Spool
from gateway.taps import Taps
from gateway.window import Flight, Window
from gateway.writer import WriteFailed

log = logging.getLogger(__name__)

MANIFEST_SECONDS = 1.0
"""At most one announcement of manifests in this time, however often the centre asks for them."""


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """What outlives a connection and all ways share. ``state``: the bytes to tell, given whether we are online."""

    gateway: str
    spool: Spool
    clock: Clock
    taps: Taps
    window: Window
    state: Callable[[bool], bytes]
    commanded: Callable[[bytes], None]
    """Is told each message for this gateway's devices."""


class Carriage:
    """The part of a conversation with the centre that does not depend on the wire. Ends with the connection."""

    def __init__(self, dispatch: Dispatch, route: Route) -> None:
        self._route = route
        self._config = route.config
        self._counts = route.counts
        self._wake = route.wake
        self._commanded = dispatch.commanded
        self._gateway = dispatch.gateway
        self._spool = dispatch.spool
        self._clock = dispatch.clock
        self._taps = dispatch.taps
        self._state = dispatch.state
        self._window = dispatch.window
        self._announced = -1
        self._announced_at = float("-inf")
        self._asked = False
        self._probed_at = float("-inf")

    # -- when ------------------------------------------------------------------------------------------------------

    async def _wait(self, deadline: float) -> None:
        """Until something happens, or a batch is due, or it is time to stop draining."""
        times = [deadline, self._next_due()]
        if self._asked:
            times.append(self._announced_at + MANIFEST_SECONDS)
        until = min(times)
        seconds = None if until == float("inf") else max(0.0, until - self._clock.monotonic())
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _next_due(self) -> float:
        """When there is something to send again; infinity when nothing is under way."""
        if self._route.active:
            return self._window.next_due() or float("inf")
        return self._probed_at + self._config.resend_seconds if len(self._window) else float("inf")

    # -- out ---------------------------------------------------------------------------------------------------------

    def _must_tell(self) -> bool:
        """True when there are new manifests or when the centre asked, but not in a torrent."""
        fresh = self._spool.view.turn != self._announced
        if fresh and not self._asked:
            return True
        return (fresh or self._asked) and self._clock.monotonic() >= self._announced_at + MANIFEST_SECONDS

    async def _manifests_to_tell(self) -> list[bytes]:
        """The messages when ``_must_tell``; none while the disk cannot be read: that is tried again."""
        if not self._must_tell():
            return []
        turn, self._announced_at = self._spool.view.turn, self._clock.monotonic()
        try:
            kept = await self._spool.manifests()
        except WriteFailed:
            self._asked = True
            return []
        self._announced, self._asked = turn, False
        return list(manifest_messages(self._gateway, kept))

    def _late(self) -> int:
        """Live batches from before this time (µs) leave as backlog."""
        return self._clock.now() - int(self._config.late_seconds * 1e6)

    def _borrow(self) -> None:
        """Ask for what there is room for: at once when more waits than is under way, else with the next commit."""
        wish = self._window.wish(self._late()) if self._route.active else None
        if wish is not None:
            self._spool.want(wish, now=self._spool.view.batches > len(self._window))

    def _due(self) -> list[Flight]:
        """What to send now, events first. A way that does not carry is tried with one batch now and then."""
        now = self._clock.monotonic()
        if self._route.active:
            return self._window.due(now)
        oldest = next(iter(self._window.flights()), None)
        if oldest is None or now < self._probed_at + self._config.resend_seconds:
            return []
        self._probed_at = now
        return [oldest]

    def _leaves(self, flight: Flight) -> None:
        """Note that a batch is sent now, and relabel it when it is late."""
        now = self._clock.monotonic()
        self._route.sent(now)
        if self._route.active:
            _relabel(flight, self._late())
            self._counts.resent += flight.attempts > 0
            self._window.sent(flight, now)

    # -- in ----------------------------------------------------------------------------------------------------------

    def _receipted(self, payload: bytes) -> None:
        """A receipt message."""
        try:
            receipts, unreadable = decode_receipts(payload)
        except EnvelopeError as trouble:
            self._counts.malformed_receipts += 1
            log.warning("uplink: receipts that cannot be read: %s", trouble)
            return
        for mark in unreadable:
            name = self._window.by_digest(mark.digest)
            if name is not None:
                receipts.append(Receipt(*name, Outcome.REJECTED, mark.reason))
        self._route.heard()
        self._settle(receipts)

    def _settle(self, receipts: list[Receipt]) -> None:
        fates: dict[int, tuple[Outcome, Reason]] = {}
        now = self._clock.monotonic()
        for receipt in receipts:
            self._counts.receipts += 1
            if not receipt.outcome.final:
                self._try_later(receipt, now)
            elif flight := self._window.final(receipt.name, now):
                fates[flight.id] = (receipt.outcome, receipt.reason)
                self._show(receipt, flight, now)
            else:
                self._counts.late_receipts += 1
        if fates:
            self._spool.settle(fates)
        self._wake.set()

    def _try_later(self, receipt: Receipt, now: float) -> None:
        self._counts.asked_later += 1
        self._window.later(receipt.name, now)
        if receipt.reason is Reason.UNKNOWN_MANIFEST:
            self._asked = True

    def _show(self, receipt: Receipt, flight: Flight, now: float) -> None:
        if self._taps:
            self._taps.offer(
                "receipt",
                name=receipt.name,
                outcome=receipt.outcome.name.lower(),
                reason=receipt.reason.word,
                readings=flight.readings,
                attempts=flight.attempts,
                milliseconds=round((now - (flight.first_sent or now)) * 1000, 1),
            )


def _relabel(flight: Flight, late: int) -> None:
    """Live data that leaves late says so in its lane; the batch keeps its name and body."""
    if flight.lane is Lane.LIVE and flight.at < late:
        flight.lane = Lane.BACKLOG
    if flight.lane is Lane.BACKLOG:
        batch = decode_batch(flight.payload)
        if batch.lane is not Lane.BACKLOG:
            flight.payload = encode_batch(msgspec.structs.replace(batch, lane=Lane.BACKLOG))
