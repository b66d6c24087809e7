"""Retransmissions by CoAP's own numbering: the same message id, token and words within EXCHANGE_LIFETIME.

A message id comes round, and many modems begin with the same one after each sleep; so what was said 247 s ago is no
longer the same message (RFC 7252, 4.5 and 4.8.2), and its key differs.
"""

import hashlib
from collections import OrderedDict

LIFETIME_US = 247_000_000
"""EXCHANGE_LIFETIME of RFC 7252, 4.8.2."""

MOST = 65_536
"""Messages remembered, some 150 bytes each; with more in 247 s the oldest are told apart by the clock alone."""


class Repeats:
    """Keys by which a gateway knows a message again, also after a restart within the same 247 s."""

    def __init__(self) -> None:
        self._first: OrderedDict[bytes, int] = OrderedDict()

    def key(self, id: str, number: bytes, said: bytes, now: int) -> bytes:
        """The message's key. ``number``: its message id and token; ``now``: UTC µs."""
        digest = hashlib.blake2b(b"%b\0%b\0%b" % (id.encode(), number.hex().encode(), said), digest_size=12).digest()
        first = self._first.get(digest)
        if first is None or not 0 <= now - first < LIFETIME_US:
            first = now
            self._first.pop(digest, None)
            self._first[digest] = now
            self._forget(now)
        return digest + (first // LIFETIME_US).to_bytes(6, "big", signed=True)

    def _forget(self, now: int) -> None:
        while self._first and (len(self._first) > MOST or self._is_old(now)):
            self._first.popitem(last=False)

    def _is_old(self, now: int) -> bool:
        oldest = next(iter(self._first.values()))
        return not 0 <= now - oldest < LIFETIME_US
