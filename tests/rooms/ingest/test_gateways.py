"""Whether gateways and store agree, and that lag is never taken for a loss."""

import msgspec
import pytest

from device_profiles.ledger import Ledger
from ingest.gateways import Gateways, GatewayState, StateError


def state(at: int, *, stored: int, waiting: int = 0, online: bool = True, given_up: int = 0) -> bytes:
    n = stored + waiting + given_up
    gone = {"quota": given_up} if given_up else {}
    ledger = Ledger(polled=n, good=n, handed=n, spooled=n, stored=stored, waiting=waiting, given_up=gone)
    return msgspec.json.encode({"gateway": "g", "online": online, "at": at, "ledger": ledger, "health": {"x": 1}})


def taken(*messages: tuple[bytes, int]) -> GatewayState:
    """(payload, stored here when it came)…"""
    gateways = Gateways()
    for payload, stored in messages:
        gateways.take("g", payload, stored)
    return gateways.states["g"]


def test_a_receipted_reading_that_is_not_stored_is_a_difference() -> None:
    assert "only 90" in taken((state(1, stored=100), 90)).differences(90)[0]
    assert taken((state(1, stored=100), 100)).differences(100) == []


def test_what_arrived_after_a_state_was_taken_is_no_difference() -> None:
    online = taken((state(1, stored=100), 100), (state(2, stored=200), 200), (state(3, stored=300), 300))
    assert online.differences(5000) == []


def test_more_stored_than_ever_spooled_is_a_difference() -> None:
    messages = [(state(at, stored=100), 150) for at in (1, 2, 3)]
    assert "150 stored here" in taken(*messages).differences(150)[0]


def test_given_up_and_waiting_readings_may_have_been_stored() -> None:
    messages = [(state(at, stored=100, waiting=30, given_up=20), 150) for at in (1, 2, 3)]
    assert taken(*messages).differences(150) == []


def test_a_gateway_that_said_good_bye_is_held_to_the_live_count() -> None:
    assert taken((state(1, stored=100, online=False), 100)).differences(100) == []
    assert taken((state(1, stored=100, online=False), 100)).differences(101) != []


def test_the_last_will_keeps_the_ledger_and_judges_nothing() -> None:
    gone = taken((state(1, stored=100), 100), (b'{"gateway":"g","online":false}', 100))
    assert (gone.online, gone.ledger.stored, gone.final) == (False, 100, False)
    assert gone.differences(1000) == []


def test_an_old_retained_state_starts_over() -> None:
    messages = [(state(at, stored=100), 100) for at in (1, 2)]
    assert taken(*messages, (state(1, stored=50), 150)).differences(150) == []


def test_a_gateways_own_identity_is_checked() -> None:
    broken = msgspec.json.encode({"gateway": "g", "online": True, "at": 1, "ledger": {"polled": 5}})
    assert taken((broken, 0)).differences(0)[0].startswith("g: polled = 5")


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"gateway":"other","online":true}', b'{"gateway":"g","online":1}'])
def test_no_state(payload: bytes) -> None:
    with pytest.raises(StateError):
        Gateways().take("g", payload, 0)
