"""What the gateways say of themselves, and whether it agrees with what is stored here.

A state is older than the centre's live counters, so not every difference is one. What is always true is
checked always:

    gateway.stored + duplicate  <=  readings stored here, now

because a receipt goes out after the commit. The other bound,

    readings stored here, then  <=  gateway.stored + duplicate + waiting + given_up

is checked against the count noted two states earlier: what was stored by then had left the spool's intake
before this state was taken. Only a gateway that said good-bye (offline, by its own word and not by its will)
is held against the live count. ``given_up`` is on the right because a receipt may be lost and its batch given
up later. A state taken before the last one judged (an old retained one) is not judged.
"""

import msgspec

from device_profiles.ledger import Ledger


class StateError(ValueError):
    """The message is no gateway state."""


class StateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``up/{shard}/{gateway}/state``, retained. The last will has neither ``at`` (µs) nor ledger."""

    gateway: str
    online: bool
    at: int = 0
    ledger: Ledger | None = None
    health: dict[str, object] = {}


class GatewayState(msgspec.Struct, kw_only=True):
    """The last ledger of one gateway. ``marks``: readings stored here when its last two states came, oldest first."""

    gateway: str
    online: bool = False
    at: int = 0
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    health: dict[str, object] = {}
    final: bool = False
    ceiling: int | None = None
    marks: list[int] = []

    def differences(self, stored: int) -> list[str]:
        """Violated identities in words. ``stored``: readings of this gateway in the store now."""
        found = [f"{self.gateway}: {line}" for line in self.ledger.differences()]
        receipted = self.ledger.stored + self.ledger.duplicate
        if receipted > stored:
            found.append(
                f"{self.gateway}: stored + duplicate = {receipted:,} at the gateway but only {stored:,} are stored here"
            )
        then = stored if self.final else self.ceiling
        at_most = receipted + self.ledger.waiting + sum(self.ledger.given_up.values())
        if then is not None and then > at_most:
            found.append(
                f"{self.gateway}: {then:,} stored here but stored + duplicate + waiting + given_up = {at_most:,}"
                " at the gateway"
            )
        return found


class Gateways:
    """Every gateway that was heard of."""

    def __init__(self) -> None:
        self.states: dict[str, GatewayState] = {}

    def take(self, gateway: str, payload: bytes, stored: int) -> None:
        """Take over a state message; StateError when it is none. ``stored``: as in ``GatewayState.differences``."""
        try:
            message = msgspec.json.decode(payload, type=StateMessage)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as trouble:
            raise StateError(str(trouble)) from None
        if message.gateway != gateway:
            raise StateError(f"{gateway} sent the state of {message.gateway}")
        state = self.states.setdefault(gateway, GatewayState(gateway=gateway))
        state.online = message.online
        if message.ledger is None:  # the last will: the ledger that we have stays, and is as old as it was
            return
        if message.at > state.at:
            state.ceiling = state.marks[0] if len(state.marks) == 2 else None
            state.marks = [*state.marks[-1:], stored]
        elif message.at < state.at:  # an old retained message, or a clock set back: start over
            state.ceiling = None
            state.marks = []
        state.at, state.ledger, state.health = message.at, message.ledger, message.health
        state.final = not message.online

    def total(self) -> Ledger:
        """All gateways' ledgers together."""
        total = Ledger()
        for state in self.states.values():
            total = total.plus(state.ledger)
        return total

    def load(self, payload: bytes) -> None:
        """Take over a state that was written down; its marks are of another life."""
        state = msgspec.json.decode(payload, type=GatewayState)
        state.marks = []
        state.ceiling, state.online = None, False
        self.states[state.gateway] = state
