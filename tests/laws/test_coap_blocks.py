"""Block-wise transfer (RFC 7959, RFC 9175): what goes out in blocks comes in whole, and half of it costs little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import coap
from device_profiles.codecs.coap import BLOCK1, CON, POST, Block, CoapError, Message, Options
from device_profiles.codecs.coap_blocks import (
    REQUEST_TAG,
    RESTARTS,
    Address,
    Assemblies,
    Blocked,
    Upload,
    slice_of,
)

PEER: Address = ("192.0.2.1", 5683)
SIZES = st.sampled_from([16, 32, 64, 128, 256, 512, 1024])
PATH = coap.path_options("/v1/kz-001/batch")


def request(upload: Upload) -> Message:
    """The next message of an upload, through its bytes."""
    return coap.decode(coap.encode(Message(CON, POST, 1, b"t", (*PATH, *upload.options), upload.chunk)))


def answered(assemblies: Assemblies, message: Message, peer: Address = PEER, now: int = 0) -> tuple[Message, bytes]:
    """(the answer, the whole payload when there is one)."""
    try:
        whole, echo = assemblies.take(message, peer, now)
    except Blocked as blocked:
        return Message(coap.ACK, blocked.code, 1, b"t", blocked.options), b""
    return Message(coap.ACK, coap.CHANGED, 1, b"t", echo), whole.payload


def carry(upload: Upload, assemblies: Assemblies, peer: Address = PEER) -> bytes:
    """From one end to the other."""
    while True:
        answer, whole = answered(assemblies, request(upload), peer)
        if upload.take(answer):
            assert answer.code == coap.CHANGED, coap.code_text(answer.code)
            return whole


@given(st.binary(max_size=5_000), SIZES)
def test_a_payload_of_any_length_in_blocks_of_any_size(payload: bytes, size: int) -> None:
    assemblies = Assemblies()
    assert carry(Upload(payload, size, b"tag"), assemblies) == payload
    assert len(assemblies) == 0 and assemblies.abandoned == 0


@given(st.binary(min_size=200, max_size=3_000), st.lists(st.integers(0, 3), min_size=200, max_size=200))
def test_blocks_that_come_again_or_start_anew_change_nothing(payload: bytes, again: list[int]) -> None:
    """A datagram that is said twice takes its own place; a lost beginning is asked for (4.08) a few times."""
    assemblies, upload = Assemblies(), Upload(payload, 16, b"tag")
    for times in again:
        for _ in range(times):
            answered(assemblies, request(upload)) if upload.options and _more(request(upload)) else None
        answer, whole = answered(assemblies, request(upload))
        if upload.take(answer):
            assert whole == payload
            return


def _more(message: Message) -> bool:
    block = coap.read_block(message, BLOCK1)
    return block is not None and block.more


def test_the_other_side_may_wish_for_smaller_blocks() -> None:
    """RFC 7959, figure 8: 128 bytes are offered, 32 wished for; the next block is number 4."""
    payload = bytes(range(256)) * 2
    upload = Upload(payload, 128, b"tag")
    assert coap.read_block(request(upload), BLOCK1) == Block(0, True, 128)
    smaller: Options = (coap.block_option(BLOCK1, Block(0, True, 32)),)
    assert upload.take(Message(coap.ACK, coap.CONTINUE, 1, b"t", smaller)) is False
    assert coap.read_block(request(upload), BLOCK1) == Block(4, True, 32)
    assert upload.chunk == payload[128:160]


def test_too_large_with_a_smaller_size_begins_anew_and_without_one_is_the_end() -> None:
    """RFC 7959, 2.9.3."""
    upload = Upload(bytes(2_000), 1024, b"tag")
    hint: Options = (coap.block_option(BLOCK1, Block(0, False, 64)),)
    assert upload.take(Message(coap.ACK, coap.TOO_LARGE, 1, b"t", hint)) is False
    assert coap.read_block(request(upload), BLOCK1) == Block(0, True, 64)
    assert upload.take(Message(coap.ACK, coap.TOO_LARGE, 1, b"t")) is True


def test_a_beginning_that_is_lost_again_and_again_ends() -> None:
    upload = Upload(bytes(100), 16, b"tag")
    lost = Message(coap.ACK, coap.INCOMPLETE, 1, b"t")
    assert [upload.take(lost) for _ in range(RESTARTS + 1)] == [False] * RESTARTS + [True]


def test_an_answer_that_wants_more_than_there_is_is_nonsense() -> None:
    with pytest.raises(CoapError):
        Upload(b"short", 16, b"tag").take(Message(coap.ACK, coap.CONTINUE, 1, b"t"))


def test_two_transfers_of_one_peer_to_one_resource_are_told_apart_by_their_tags() -> None:
    """RFC 9175, 3.3."""
    assemblies = Assemblies()
    uploads = [Upload(bytes([n]) * 200, 16, bytes([n])) for n in (1, 2)]
    whole: list[bytes] = []
    while uploads:
        for upload in list(uploads):
            assert request(upload).option(REQUEST_TAG) is not None
            answer, payload = answered(assemblies, request(upload))
            if upload.take(answer):
                uploads.remove(upload)
                whole.append(payload)
    assert whole == [b"\x01" * 200, b"\x02" * 200]


def test_half_heard_requests_are_bounded_by_number_by_peer_by_size_and_by_time() -> None:
    assemblies = Assemblies(largest=64, most=8, per_peer=2, patience_us=1_000)
    for n in range(100):
        peer = (f"192.0.2.{n % 10}", n % 3)
        answered(assemblies, request(Upload(bytes(60), 16, bytes([n]))), peer)
        assert len(assemblies) <= 8 and assemblies.held <= 8 * 64
    assert assemblies.abandoned == 92
    for n in range(5):
        answered(assemblies, request(Upload(bytes(60), 16, bytes([n]))), PEER, now=0)
    assert len(assemblies) <= 8
    assemblies.expire(1_001)
    assert len(assemblies) == 0
    upload = Upload(bytes(65), 16, b"tag")
    answer = Message(coap.ACK, coap.CONTINUE, 1)
    while not upload.take(answer):
        answer, _ = answered(assemblies, request(upload), now=2_000)
    assert answer.code == coap.TOO_LARGE and len(assemblies) == 0


def test_a_block_without_its_beginning_holds_nothing() -> None:
    assemblies = Assemblies()
    options = (*PATH, coap.block_option(BLOCK1, Block(7, True, 16)))
    answer, _ = answered(assemblies, Message(CON, POST, 1, b"t", options, bytes(16)))
    assert answer.code == coap.INCOMPLETE and len(assemblies) == 0


@given(st.binary(min_size=1, max_size=3_000), SIZES)
def test_an_answer_in_slices_is_whole(payload: bytes, size: int) -> None:
    found, number = b"", 0
    while True:
        part, option = slice_of(payload, Block(number, False, size))
        block = coap.read_block(Message(coap.ACK, coap.CHANGED, 1, b"", (option,)), coap.BLOCK2)
        assert block is not None and block.number == number and part
        found, number = found + part, number + 1
        if not block.more:
            break
    assert found == payload
    assert slice_of(payload, Block(number, False, size))[0] == b""


@given(st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=40), st.integers(0, 3)), max_size=60))
def test_whatever_comes_nothing_else_is_raised(messages: list[tuple[bytes, bytes, int]]) -> None:
    """Any block option, any length, from any peer."""
    assemblies = Assemblies(largest=256, most=4, per_peer=2, patience_us=10)
    for now, (block, payload, peer) in enumerate(messages):
        answered(assemblies, Message(CON, POST, 1, b"t", (*PATH, (BLOCK1, block)), payload), ("192.0.2.1", peer), now)
        assert len(assemblies) <= 4 and assemblies.held <= 4 * 256
