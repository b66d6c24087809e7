"""One way out as the choice between two sees it: whether it carries, since when it is in doubt, what happened on it."""

import asyncio

import msgspec

from gateway.modem import Modem
from gateway.uplink_config import UplinkConfig


class UplinkCounts(msgspec.Struct):
    """What happened on a way since the gateway started; batches, not readings."""

    connected: bool = False
    connects: int = 0
    sent: int = 0
    resent: int = 0
    receipts: int = 0
    late_receipts: int = 0
    malformed_receipts: int = 0
    asked_later: int = 0


class Route:
    """A way out. ``active``: the batches leave here; ``wake``: something happened that concerns it.

    Times are monotonic seconds. A receipt is the only proof that a way leads to the centre: a broker may take every
    batch while nobody listens behind it.
    """

    def __init__(self, config: UplinkConfig, counts: UplinkCounts, now: float, active: bool) -> None:
        self.config = config
        self.modem = Modem(config.coap.modem) if config.coap and config.coap.modem else None
        self.counts = counts
        self.active = active
        self.wake = asyncio.Event()
        self.changed = asyncio.Event()
        self.announced = -1
        """The spool's turn whose manifests the centre itself has acknowledged, where it does."""
        self._down_since: float | None = now
        self._unanswered_since: float | None = None
        self._proved = False

    def health(self) -> dict[str, object]:
        """Counts, and the modem's where there is one."""
        modem = {} if self.modem is None else {"modem": msgspec.structs.asdict(self.modem.health)}
        return msgspec.structs.asdict(self.counts) | modem

    @property
    def doubted_since(self) -> float | None:
        """Since when it has not been connected, or had no receipt for what was sent; None: it is well."""
        times = [since for since in (self._down_since, self._unanswered_since) if since is not None]
        return min(times, default=None)

    @property
    def proved(self) -> bool:
        """A receipt has come since ``distrust``."""
        return self._proved

    def distrust(self) -> None:
        """Another way carries from now on, until a receipt comes here."""
        self._proved = False

    def opened(self) -> None:
        """Connected."""
        self.counts.connected = True
        self.counts.connects += 1
        self._down_since = None
        self.changed.set()

    def closed(self, now: float) -> None:
        """No longer connected; a second time changes nothing."""
        self.counts.connected = self._proved = False
        if self._down_since is None:
            self._down_since = now
            self.changed.set()

    def sent(self, now: float) -> None:
        """A batch has left."""
        self.counts.sent += 1
        if self._unanswered_since is None:
            self._unanswered_since = now
            self.changed.set()

    def heard(self) -> None:
        """A receipt has come."""
        self._unanswered_since = None
        if not self._proved:
            self._proved = True
            self.changed.set()
