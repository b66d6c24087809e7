"""HJ 212 frames held against published ones and against what a bad line does (hostile bytes: test_hj212_fuzz)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.hj212 import LIMIT, Frame, Reader, crc16, crc16_swapped, encode, frame
from device_profiles.codecs.hj212_sealed import key_of, open_frame, seal_frame
from device_profiles.codecs.hj212_segment import (
    Hj212Error,
    Segment,
    encode_segment,
    parse_segment,
)
from device_profiles.quality import Reason
from tests.laws import hj212_frames as published

GOOD = published.CLOCK.encode()
OTHER = published.MINUTE.encode()
each_published = pytest.mark.parametrize("data", published.PUBLISHED.values(), ids=published.PUBLISHED.keys())


def bitwise(segment: bytes) -> int:
    """The CRC as the standard's text tells it (2017 Annex A), bit by bit: not the codec's table."""
    register = 0xFFFF
    for byte in segment:
        register = register >> 8 ^ byte
        for _ in range(8):
            out = register & 1
            register >>= 1
            register ^= 0xA001 if out else 0
    return register


def segments(frames: list[Frame]) -> list[bytes]:
    return [one.segment for one in frames]


# --- frames ---------------------------------------------------------------------------------------------------------


@each_published
def test_a_published_frame_whole_and_one_byte_at_a_time(data: bytes) -> None:
    found = Reader().feed(data)
    assert len(found) == 1
    slow, reader = [], Reader()
    for byte in data:
        slow += reader.feed(bytes([byte]))
    assert slow == found
    assert not reader.rejects
    assert reader.held == 0


@each_published
def test_a_published_frame_is_built_again(data: bytes) -> None:
    """But for the tolerated differences: a missing zero, small letters, no CR LF."""
    built = encode(Reader().feed(data)[0])
    length, start = (data[2:5], 5) if data.startswith(b"##453") else (data[2:6], 6)
    assert built == b"##" + length.zfill(4) + data[start:].removesuffix(b"\r\n")[:-4] + built[-6:]
    assert built[-6:-2] == data.removesuffix(b"\r\n")[-4:].upper()


def test_the_check_is_not_that_of_modbus() -> None:
    segment = published.A1.encode()[6:-6]
    assert (crc16(segment), crc16_swapped(segment)) == (0x2200, 0xF4CC)
    assert crc16(published.CLOCK.encode()[6:-6]) == 0x1C80
    assert crc16(b"") == 0xFFFF


@given(st.binary(max_size=300))
def test_the_table_computes_what_the_standard_tells(segment: bytes) -> None:
    assert crc16(segment) == bitwise(segment)


@pytest.mark.parametrize("tail", [b"", b"\r", b"\n", b"\r\n"])
def test_two_glued_frames_with_any_tail(tail: bytes) -> None:
    reader = Reader()
    data = GOOD.rstrip() + tail + OTHER.rstrip() + tail
    assert segments(reader.feed(data)) == [GOOD[6:-6], OTHER[6:-6]]
    assert not reader.rejects
    assert reader.held == 0


@pytest.mark.parametrize("noise", [b"\x00\xff", b"HTTP/1.1 400\r\n", b"#", b"##", b"###", b"##x", b"##0000"])
def test_garbage_before_and_after_is_counted_and_costs_nothing(noise: bytes) -> None:
    reader = Reader()
    assert segments(reader.feed(noise + GOOD + noise) + reader.flush()) == [GOOD[6:-6]]
    assert segments(reader.feed(OTHER) + reader.flush()) == [OTHER[6:-6]]
    assert reader.rejects.size >= 2 * len(noise.strip(b"\r\n")) - 2
    assert reader.held == 0


def test_a_truncated_frame_and_then_a_good_one() -> None:
    reader = Reader()
    assert reader.feed(OTHER[:200]) == []
    assert reader.feed(GOOD) == []  # it may still be the rest of the first
    assert segments(reader.flush()) == [GOOD[6:-6]]
    assert reader.rejects.counts == {"truncated": 1}
    assert reader.rejects.newest[0].data == OTHER[:200]


def test_a_bad_check_hides_no_good_frame() -> None:
    reader = Reader()
    spoilt = GOOD.replace(b"1C80", b"1C81")
    assert segments(reader.feed(spoilt + GOOD)) == [GOOD[6:-6]]
    assert reader.rejects.counts == {"bad_checksum": 1}


def test_a_relay_that_rewrites_the_text_is_not_believed() -> None:
    reader = Reader()
    assert reader.feed(published.REWRITTEN.encode()) == []
    assert reader.rejects.counts == {"bad_checksum": 1}


def test_a_length_that_is_too_long_costs_only_its_own_frame() -> None:
    reader = Reader()
    data = GOOD.replace(b"##0101", b"##0120") + OTHER
    assert segments(reader.feed(data)) == [OTHER[6:-6]]
    assert reader.rejects.counts == {"bad_checksum": 1}


def test_a_length_beyond_the_limit_is_not_waited_for() -> None:
    reader = Reader()
    assert segments(reader.feed(b"##9999QN=1;" + GOOD)) == [GOOD[6:-6]]
    assert reader.rejects.counts == {"oversized": 1}
    assert reader.held == 0


def test_a_frame_inside_a_log_text_is_no_frame() -> None:
    """3020 uploads texts; one may quote a frame."""
    text = Segment(cn="3020", mn="M", body=((("i11001-Info", f"//{GOOD.decode()[:-2]}//".replace("&&", "&")),),))
    reader = Reader()
    assert segments(reader.feed(encode(frame(encode_segment(text))) + GOOD)) == [encode_segment(text), GOOD[6:-6]]


@given(
    st.lists(st.sampled_from(list(published.PUBLISHED.values())), max_size=5), st.lists(st.integers(1, 90), max_size=40)
)
def test_any_pieces_give_the_same_frames(frames: list[bytes], cuts: list[int]) -> None:
    data, reader, found = b"".join(frames), Reader(), []
    for cut in cuts:
        found += reader.feed(data[:cut])
        data = data[cut:]
    found += reader.feed(data) + reader.flush()
    assert [one.crc for one in found] == [Reader().feed(one)[0].crc for one in frames]
    assert not reader.rejects


def test_a_segment_that_no_frame_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="8192"):
        frame(b"x" * (LIMIT + 1))


# --- encrypted frames of 2025 ---------------------------------------------------------------------------------------

EXAMPLES = [(published.A2_PLAIN, published.A2_SEALED), (published.A2_WHOLE_PLAIN, published.A2_WHOLE_SEALED)]


@pytest.mark.parametrize(("plain", "sealed"), EXAMPLES)
def test_the_standards_encrypted_examples(plain: str, sealed: str) -> None:
    """Annex A.2 prints the plaintext's length; what we build counts what is sent (table 2); both are read."""
    opened = Reader().feed(plain.encode())[0]
    ours = seal_frame(opened, published.A2_KEY)
    assert encode(ours)[6:].decode() == sealed[6:]
    assert int(encode(ours)[2:6]) == len(sealed) - 12
    for data in (sealed.encode(), encode(ours)):
        reader, found = Reader(), []
        for byte in data + GOOD:
            found += reader.feed(bytes([byte]))
        assert found == [ours, Reader().feed(GOOD)[0]]
        assert open_frame(found[0], published.A2_KEY) == opened
        assert not reader.rejects


def test_a_wrong_key_is_noticed() -> None:
    sealed = Reader().feed(published.A2_SEALED.encode())[0]
    with pytest.raises(Hj212Error, match="wrong key"):
        open_frame(sealed, b"1" * 16)
    assert parse_segment(sealed.segment).mn == "010000A8900016F000169DC0"  # the head is in clear: it names the key


@given(st.text(st.sampled_from("abcdefgh0123456789=.-"), max_size=950))
def test_what_is_sealed_is_opened(body: str) -> None:
    plain = frame(f"QN=1;CN=2011;MN=A;CP=&&{body}&&".encode())
    sealed = seal_frame(plain, published.A2_KEY)
    assert sealed.sealed is (len(body) >= 16)
    assert open_frame(sealed, published.A2_KEY) == plain
    assert Reader().feed(encode(sealed)) == [sealed]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{0xE4,0x3E,zz}x&&2200", "malformed"),
        ("{0xE4,0x3E}twenty bytes in clear&&2200", "malformed"),
        ("{0xE4,0x3E}&&22OO", "malformed"),
        ("{" + "0xE4," * 2000 + "0x00}&&2200", "oversized"),
        ("{" + "0xE4," * 2000, "oversized"),
    ],
)
def test_what_looks_encrypted_and_is_not(broken: str, reason: str) -> None:
    reader = Reader()
    data = b"##0120QN=1;CN=2011;MN=A;CP=&&" + broken.encode() + b"\r\n"
    assert segments(reader.feed(data + GOOD) + reader.flush()) == [GOOD[6:-6]]
    assert reason in reader.rejects.counts


def test_half_a_block_is_refused() -> None:
    with pytest.raises(Hj212Error, match="whole number of blocks"):
        open_frame(Frame(b"CN=1;CP=&&{0xE4,0x3E}&&", 0, sealed=True), published.A2_KEY)


def test_keys_are_sixteen_characters_or_thirty_two_digits() -> None:
    assert key_of("0" * 16) == published.A2_KEY
    assert key_of("30" * 16) == published.A2_KEY
    for wrong in ("", "short", "g" * 32, "夔" * 16):
        with pytest.raises(ValueError, match="SM4 key"):
            key_of(wrong)


def test_reasons_of_rejects_are_known() -> None:
    reader = Reader()
    reader.feed(b"noise##x##9999Q" + published.REWRITTEN.encode() + OTHER[:50])
    reader.flush()
    words = {Reason.NOISE, Reason.MALFORMED, Reason.OVERSIZED, Reason.BAD_CHECKSUM, Reason.TRUNCATED}
    assert set(reader.rejects.counts) == {reason.word for reason in words}
