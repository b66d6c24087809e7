"""CoAP messages held against RFC 7252's own examples and against aiocoap, in both directions."""

import aiocoap
import pytest
from aiocoap.message import Message as Theirs
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs import coap
from device_profiles.codecs.coap import ACK, CON, NON, RST, Block, CoapError, Message

TEMPERATURE = coap.path_options("/temperature")

PUBLISHED = [
    # RFC 7252, appendix A, figures 16 and 17: a GET and its piggybacked answer, without and with a token.
    ("40 01 7D 34 BB 74 65 6D 70 65 72 61 74 75 72 65", Message(CON, coap.GET, 0x7D34, b"", TEMPERATURE)),
    ("60 45 7D 34 FF 32 32 2E 33 20 43", Message(ACK, coap.CONTENT, 0x7D34, b"", (), b"22.3 C")),
    ("41 01 7D 35 20 BB 74 65 6D 70 65 72 61 74 75 72 65", Message(CON, coap.GET, 0x7D35, b"\x20", TEMPERATURE)),
    ("61 45 7D 35 20 FF 32 32 2E 33 20 43", Message(ACK, coap.CONTENT, 0x7D35, b"\x20", (), b"22.3 C")),
    # 4.3: a ping, and the reset that answers it.
    ("40 00 00 01", Message(CON, coap.EMPTY, 1)),
    ("70 00 00 01", Message(RST, coap.EMPTY, 1)),
]


@pytest.mark.parametrize(("hexadecimal", "message"), PUBLISHED)
def test_the_rfcs_examples(hexadecimal: str, message: Message) -> None:
    data = bytes.fromhex(hexadecimal)
    assert coap.decode(data) == message
    assert coap.encode(message) == data


NUMBERS = st.sampled_from([1, 3, 4, 6, 8, 11, 12, 14, 15, 17, 20, 23, 27, 28, 60, 258, 2048, 65000])


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Anything with a code but 0.00; options in rising order, as they travel."""
    options = sorted(draw(st.lists(st.tuples(NUMBERS, st.binary(max_size=300)), max_size=8)), key=lambda one: one[0])
    code = draw(st.sampled_from([1, 2, 3, 4, 5, coap.CREATED, coap.CHANGED, coap.CONTENT, coap.NOT_FOUND, 0xA0]))
    kind = draw(st.sampled_from([CON, NON] if code < 32 else [CON, NON, ACK]))
    token, payload = draw(st.binary(max_size=8)), draw(st.binary(max_size=40))
    return Message(kind, code, draw(st.integers(0, 0xFFFF)), token, tuple(options), payload)


@given(messages())
def test_what_is_written_reads_as_it_was(message: Message) -> None:
    assert coap.decode(coap.encode(message)) == message


@given(messages())
def test_aiocoap_reads_what_we_write(message: Message) -> None:
    try:
        theirs = Theirs.decode(coap.encode(message))
    except (aiocoap.error.UnparsableMessage, UnicodeDecodeError):
        return  # it reads text options at once, and a random one is none
    assert (theirs.mtype, theirs.code, theirs.mid, theirs.token) == (
        message.type,
        message.code,
        message.mid,
        message.token,
    )
    assert theirs.payload == message.payload
    assert sorted(int(option.number) for option in theirs.opt.option_list()) == [
        number for number, _ in message.options
    ]


@given(
    st.lists(st.text("abc/-_ ä", min_size=1, max_size=20), max_size=4),
    st.lists(st.text("ab=é", min_size=1, max_size=20), max_size=4),
    st.binary(max_size=8),
    st.binary(max_size=100),
    st.integers(0, 1 << 24),
)
def test_we_read_what_aiocoap_writes(
    path: list[str], query: list[str], token: bytes, payload: bytes, observe: int
) -> None:
    theirs = Theirs(code=aiocoap.POST, payload=payload, _mtype=aiocoap.CON, _mid=77, _token=token)
    theirs.opt.uri_path, theirs.opt.uri_query = tuple(path), tuple(query)
    theirs.opt.observe, theirs.opt.content_format = observe, 11542
    ours = coap.decode(theirs.encode())
    assert (ours.code, ours.mid, ours.token, ours.payload) == (coap.POST, 77, token, payload)
    assert (list(ours.path), ours.texts(coap.URI_QUERY)) == (path, query)
    assert (ours.uint(coap.OBSERVE), ours.uint(coap.CONTENT_FORMAT)) == (observe, 11542)


@pytest.mark.parametrize(
    ("hexadecimal", "mid"),
    [
        ("", None),
        ("40 01 00", None),
        ("80 01 00 01", None),  # 3: another version is silently ignored
        ("49 01 00 01 01 02 03 04 05 06 07 08 09", 1),  # a token of nine bytes
        ("40 01 00 01 FF", 1),  # 3: a marker and no payload
        ("40 00 00 01 FF 41", 1),  # 4.1: an empty message is empty
        ("40 01 00 01 F0", 1),  # 3.1: a reserved delta
        ("40 01 00 01 0F", 1),
        ("40 01 00 01 B5 61", 1),
        ("40 21 00 01", 1),  # a reserved class
        ("60 01 00 01", None),  # an acknowledgement that asks
        ("42 01 00 01 01", 1),
    ],
)
def test_what_is_no_message(hexadecimal: str, mid: int | None) -> None:
    """4.2: a confirmable one is answered with a reset, which needs its number."""
    with pytest.raises(CoapError) as trouble:
        coap.decode(bytes.fromhex(hexadecimal))
    assert trouble.value.mid == mid


@given(st.integers(0, (1 << 20) - 1), st.booleans(), st.sampled_from([16, 32, 64, 128, 256, 512, 1024]))
def test_blocks(number: int, more: bool, size: int) -> None:
    block = Block(number, more, size)
    message = Message(CON, coap.PUT, 1, b"", (coap.block_option(coap.BLOCK1, block),))
    assert coap.read_block(coap.decode(coap.encode(message)), coap.BLOCK1) == block


def test_a_reserved_block_size() -> None:
    """RFC 7959, 2.2: an exponent of 7 is none."""
    with pytest.raises(CoapError):
        coap.read_block(Message(CON, coap.PUT, 1, b"", ((coap.BLOCK1, b"\x07"),)), coap.BLOCK1)
    with pytest.raises(ValueError, match="a block of 17 bytes"):
        coap.block_option(coap.BLOCK1, Block(0, False, 17))


def test_numbers_take_the_fewest_bytes() -> None:
    """RFC 7252, 3.2: zero takes none."""
    assert [coap.uint_bytes(value).hex() for value in (0, 1, 255, 256, 11542)] == ["", "01", "ff", "0100", "2d16"]
