"""The frames of JT/T 808 held against published ones, and against what a bad line does (hostile bytes: jt808_fuzz).

Frames named go-jt808 are from cuteLittleDevil/go-jt808 (protocol/model/reply_test.go, parse_test.go,
protocol/jt808/jt808_test.go), those named SmallChi from SmallChi/JT808 (src/JT808.Protocol.Test/MessageBody).
"""

from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.codecs.jt808 import MAX_BODY, MAX_PIECE, Frame, Reader, check_of, encode, escape, unescape
from device_profiles.codecs.jt808_parts import MOST_MESSAGES, Assembler, Missing, parts_of, split

POSITION_2013 = (
    "7E 02 00 00 3C 04 00 21 68 20 87 1D 0C 00 00 00 00 00 0C 00 C2 01 5B 6C 6E 06 C8 56 98 00 1E 00 00 00 E0 18 09 16"
    "10 35 37 01 04 00 05 4C 7D 01 02 02 00 00 03 02 00 00 25 04 00 00 00 00 2B 04 00 00 00 00 30 01 1D 31 01 0D 97 7E"
)
ESCAPED = (
    "7E0200002612345678901200 7D02 000000010000000200BA7F0E07E4F11C0028003C00001810151010100104000000640202007D01137E"
)
BATCH = (
    "7e0704405d0100000000017299841738ffff000301001c000004000000080006eeb6ad02633df7013800030063200707192359001c00000400"
    "0000080006eeb6ad02633df7013800030063200707192359001c000004000000080006eeb6ad02633df70138000300632007071923590e7e"
)
PUBLISHED = {
    "SmallChi 0x0200Test Test6": (POSITION_2013, Frame(message=0x0200, number="040021682087", serial=7436)),
    "SmallChi 0x0200Test Demo2": (ESCAPED, Frame(message=0x0200, number="123456789012", serial=0x7E)),
    "SmallChi 0x8104Test Test2": (
        "7E8104000001234567890000010D7E",
        Frame(message=0x8104, number="012345678900", serial=1),
    ),
    "go-jt808 heartbeat 2013": (
        "7e000200000123456789017fff0a7e",
        Frame(message=0x0002, number="012345678901", serial=0x7FFF),
    ),
    "go-jt808 heartbeat 2019": (
        "7e000240000100000000017299841738ffff027e",
        Frame(message=0x0002, number="00000000017299841738", serial=0xFFFF, edition=2019),
    ),
    "go-jt808 acknowledgement 2019": (
        "7e8001400501000000000172998417380000ffff000200867e",
        Frame(message=0x8001, number="00000000017299841738", serial=0, edition=2019),
    ),
    "go-jt808 batch 2019": (
        BATCH,
        Frame(message=0x0704, number="00000000017299841738", serial=0xFFFF, edition=2019),
    ),
    "go-jt808 sub-packet": (
        "7E0801200500123456789002DE001A00022808000102537E",
        Frame(message=0x0801, number="001234567890", serial=0x02DE, total=26, part=2),
    ),
    "go-jt808 encrypted": (
        "7E0801040500123456789002DE001A000221757E",
        Frame(message=0x0801, number="001234567890", serial=0x02DE, encryption=1),
    ),
}
each_published = pytest.mark.parametrize(("text", "head"), PUBLISHED.values(), ids=PUBLISHED.keys())

HEARTBEAT = bytes.fromhex("7e000200000123456789017fff0a7e")
NUMBERS = {2013: st.integers(0, 10**12 - 1), 2019: st.integers(0, 10**20 - 1)}


@st.composite
def frames(draw: st.DrawFn, most: int = 80) -> Frame:
    """A frame of either edition; its body likes the two bytes that have to be escaped."""
    edition = draw(st.sampled_from([2013, 2019]))
    total = draw(st.sampled_from([0, 0, 0, 3]))
    bytes_ = st.one_of(st.integers(0, 255), st.sampled_from([0x7D, 0x7E, 0x01, 0x02]))
    return Frame(
        message=draw(st.sampled_from([0x0002, 0x0100, 0x0200, 0x0704, 0x7D7E, 0x8001])),
        number=str(draw(NUMBERS[edition])).zfill(12 if edition == 2013 else 20),
        serial=draw(st.integers(0, 0xFFFF)),
        body=bytes(draw(st.lists(bytes_, max_size=most))),
        edition=edition,
        version=draw(st.integers(0, 255)) if edition == 2019 else 1,
        total=total,
        part=draw(st.integers(1, total)) if total else 0,
        encryption=draw(st.sampled_from([0, 0, 1, 7])),
    )


# --- published frames -----------------------------------------------------------------------------------------------


@each_published
def test_published_frames_are_read_and_built(text: str, head: Frame) -> None:
    data = bytes.fromhex(text)
    (frame,) = Reader().feed(data)
    for name in ("message", "number", "serial", "edition", "total", "part", "encryption", "odd"):
        assert getattr(frame, name) == getattr(head, name), name
    assert encode(frame) == data


@pytest.mark.parametrize(
    "text",
    [
        "7e010020",  # go-jt808: not whole
        "7e01017e",  # go-jt808: shorter than any header
        "7E0801200500123456789002DE001A00022808000102547E",  # go-jt808: wrong check
        "7E0801200500123456789002DE001A000228080001517E",  # go-jt808: right check, a byte less than the header says
        "7e0100002c0123454a7e",  # go-jt808: half a header
        "7E 02 00 00 33 11 22 33 44 55 66 22 B8 00 00 00 01 00 00 00 02 00 BA 7F 0E 07 E4 F1 1C 00 28 00 3C 00 00 18 07"
        "15 10 10 10 01 04 00 00 00 64 02 02 00 37 42 7E",  # SmallChi 0x0200Test Test5, comment: 51 declared, 38 there
    ],
)
def test_published_nonsense_is_refused_and_counted(text: str) -> None:
    reader = Reader()
    assert reader.feed(bytes.fromhex(text)) + reader.flush() == []
    assert reader.rejects
    (frame,) = reader.feed(HEARTBEAT)
    assert frame.serial == 0x7FFF


def test_a_wrong_length_under_a_right_check_is_taken_where_it_is_tolerated() -> None:
    text = "7E0200003311223344556622B8000000010000000200BA7F0E07E4F11C0028003C000018071510101001040000006402020037427E"
    (frame,) = Reader(lenient=True).feed(bytes.fromhex(text))
    assert (frame.odd, len(frame.body), frame.number) == (True, 38, "112233445566")


def test_a_check_byte_that_nobody_escaped() -> None:
    """go-jt808, "tolerated": the check is 7D, and stands before the mark as it is; the same with 7E."""
    (frame,) = Reader().feed(bytes.fromhex("7e0002000000000000067900007d7e"))
    assert frame.number == "000000000679"
    beats = (encode(Frame(message=2, number="013800138000", serial=serial)) for serial in range(0x100))
    whole = next(beat for beat in beats if beat.endswith(b"\x7d\x02\x7e"))  # 7D 02 stands for a check of 7E
    (frame, behind) = Reader().feed(whole[:-3] + b"\x7e\x7e" + HEARTBEAT)
    assert encode(frame) == whole
    assert encode(behind) == HEARTBEAT


def test_bit_14_lies_and_the_length_tells() -> None:
    """A 2019 header without bit 14, and a 2013 header with it: the declared body length decides."""
    new = bytearray(bytes.fromhex("000200000100000000017299841738ffff"))
    old = bytearray(bytes.fromhex("0002400001234567890100ff"))
    for data, edition in ((new, 2019), (old, 2013)):
        (frame,) = Reader().feed(b"\x7e" + escape(bytes(data) + bytes([check_of(data)])) + b"\x7e")
        assert (frame.edition, frame.message, frame.body) == (edition, 2, b"")


# --- escapes and checks ---------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([0x7D, 0x7E, 0x01, 0x02, 0x00]), max_size=40).map(bytes))
def test_escaping_is_undone(data: bytes) -> None:
    escaped = escape(data)
    assert b"\x7e" not in escaped
    assert unescape(escaped) == data


@given(st.binary(max_size=300))
def test_the_check_is_the_xor_of_all_bytes(data: bytes) -> None:
    assert check_of(data) == reduce(xor, data, 0)


@given(st.binary(max_size=20), st.integers(0, 255).filter(lambda byte: byte not in (1, 2)), st.binary(max_size=20))
def test_a_bad_escape_is_refused_and_the_next_frame_read(before: bytes, byte: int, after: bytes) -> None:
    piece = escape(before) + bytes([0x7D, byte]) + escape(after)
    reader = Reader()
    got = reader.feed(b"\x7e" + piece + b"\x7e" + HEARTBEAT)
    assert [encode(frame) for frame in got] == [HEARTBEAT]
    assert reader.rejects


# --- what a line does to frames -------------------------------------------------------------------------------------


@given(frames())
def test_what_is_built_is_read(frame: Frame) -> None:
    reader = Reader()
    assert reader.feed(encode(frame)) == [frame]
    assert not reader.rejects
    assert reader.held == 0


@given(frames())
def test_one_byte_at_a_time(frame: Frame) -> None:
    """A 7D at the end of a read is half an escape pair, no error."""
    reader = Reader()
    got = [one for byte in encode(frame) for one in reader.feed(bytes([byte]))]
    assert got == [frame]
    assert not reader.rejects


@given(st.lists(frames(), min_size=2, max_size=5), st.booleans())
def test_glued_frames(several: list[Frame], shared: bool) -> None:
    """Each with marks of its own, or two frames with one mark between them."""
    encoded = [encode(frame) for frame in several]
    stream = b"\x7e" + b"\x7e".join(one[1:-1] for one in encoded) + b"\x7e" if shared else b"".join(encoded)
    reader = Reader()
    assert reader.feed(stream) == several
    assert not reader.rejects


@given(frames(), st.binary(min_size=1, max_size=60), st.binary(max_size=60), st.integers(0, 200))
def test_garbage_before_and_after(frame: Frame, before: bytes, after: bytes, cut: int) -> None:
    reader = Reader()
    stream = before + encode(frame) + after
    got = reader.feed(stream[:cut]) + reader.feed(stream[cut:]) + reader.flush()
    assert frame in got
    assert reader.held == 0
    pieces = [piece for piece in (before + b"\x7e" + after).split(b"\x7e") if piece]
    assert sum(reader.rejects.counts.values()) + len(got) == 1 + len(pieces)


@given(frames(), frames(), st.integers(1, 10_000))
def test_a_truncated_frame_costs_only_itself(cut_off: Frame, good: Frame, cut: int) -> None:
    whole = encode(cut_off)
    stump = whole[: 1 + cut % (len(whole) - 4)]  # at least a byte of the body or head, with the check, is missing
    reader = Reader()
    got = reader.feed(stump + encode(good))
    assert got == [good]
    assert bool(reader.rejects) == (len(stump) > 1)


@given(frames(), st.data())
def test_one_turned_bit_is_never_taken(frame: Frame, data: st.DataObject) -> None:
    """Also where the bit breaks an escape pair and the XOR stays right: then the length is wrong."""
    damaged = bytearray(encode(frame))
    place = data.draw(st.integers(1, len(damaged) - 2))
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    reader = Reader()
    assert reader.feed(bytes(damaged)) == []
    assert reader.rejects
    assert reader.feed(encode(frame)) == [frame]


def test_a_broken_escape_pair_that_the_xor_does_not_notice() -> None:
    """7D 02 (7E) with its lowest bit turned is 7C 02, and 7C ^ 02 is 7E again: only the length tells."""
    frame = Frame(message=2, number="013800138000", serial=0x7E00, body=b"")
    damaged = encode(frame).replace(b"\x7d\x02", b"\x7c\x02")
    assert check_of(damaged[1:-1]) == 0
    reader = Reader()
    assert reader.feed(damaged) == []
    assert reader.rejects.counts == {"malformed": 1}


def test_a_declared_length_that_is_too_long_waits_for_nothing() -> None:
    """The next mark ends it, whatever it declared."""
    head = bytes.fromhex("0200 03FF 012345678901 0000")
    reader = Reader()
    assert reader.feed(b"\x7e" + head + bytes(20) + HEARTBEAT) != []
    assert reader.rejects.counts == {"truncated": 1}


def test_a_stream_without_marks_holds_a_bounded_buffer() -> None:
    reader = Reader()
    for _ in range(100):
        assert reader.feed(bytes(1000)) == []
        assert reader.held <= MAX_PIECE
    assert reader.feed(HEARTBEAT) != []
    assert set(reader.rejects.counts) == {"noise"}
    assert reader.rejects.size == 100_000


def test_a_frame_without_an_end_is_given_up() -> None:
    reader = Reader()
    assert reader.feed(b"\x7e" + bytes(3000)) == []
    assert reader.feed(bytes(100) + HEARTBEAT) != []
    assert reader.rejects.counts == {"oversized": 2}


@given(st.integers(1, 12), frames())
def test_flush_judges_the_rest(cut: int, frame: Frame) -> None:
    reader = Reader()
    reader.feed(encode(frame)[:-cut])
    reader.flush()
    assert reader.held == 0
    assert reader.rejects.counts == {"truncated": 1}
    assert reader.feed(encode(frame)) == [frame]


@pytest.mark.parametrize(
    "frame",
    [
        Frame(message=2, number="1234567890123", serial=0),
        Frame(message=2, number="12345678901G", serial=0),
        Frame(message=2, number="1", serial=0, body=bytes(MAX_BODY + 1)),
        Frame(message=2, number="1", serial=0, edition=2027),
    ],
)
def test_what_no_header_says_is_refused(frame: Frame) -> None:
    with pytest.raises(ValueError, match=r"digits|bytes|hexadecimal|edition"):
        encode(frame)


# --- sub-packets ----------------------------------------------------------------------------------------------------


def _large(serial: int = 0xFFFE, size: int = 2500) -> Frame:
    return Frame(message=0x0704, number="013800138000", serial=serial, body=bytes(n % 251 for n in range(size)))


@given(st.permutations(range(5)), st.integers(0, 0xFFFF))
def test_sub_packets_in_any_order_make_the_message(order: list[int], serial: int) -> None:
    whole = _large(serial)
    parts = split(whole, 600)
    assert [part.serial for part in parts] == [(serial + n) & 0xFFFF for n in range(5)]
    assembler = Assembler()
    results = [assembler.add(parts[place]) for place in order]
    assert isinstance(results[-1], Frame)
    assert (results[-1].body, results[-1].serial, results[-1].total) == (whole.body, serial, 5)
    assert not any(isinstance(result, Frame) for result in results[:-1])
    assert assembler.held == 0


def test_missing_packets_are_asked_for_and_sent_again() -> None:
    parts = split(_large(), 600)
    assembler = Assembler()
    for part in (parts[0], parts[3]):
        assert assembler.add(part) is None
    missing = assembler.add(parts[4])
    assert missing == Missing(0xFFFE, (2, 3))
    again = parts_of({part.part: part for part in parts}, missing)
    assert assembler.add(again[0]) is None
    whole = assembler.add(again[1])
    assert isinstance(whole, Frame)
    assert whole.body == _large().body


def test_a_packet_that_comes_twice_counts_once() -> None:
    parts = split(_large(), 600)
    assembler = Assembler()
    for part in (*parts[:4], *parts[:4]):
        assert assembler.add(part) is None
    assert isinstance(assembler.add(parts[4]), Frame)


def test_the_missing_are_asked_for_a_few_times_only() -> None:
    parts = split(_large(), 600)
    assembler = Assembler()
    asked = [assembler.add(parts[4]) for _ in range(20)]
    assert sum(one is not None for one in asked) == 3


def test_what_is_never_finished_costs_a_bounded_amount() -> None:
    assembler = Assembler()
    for serial in range(0, 60_000, 100):
        for part in split(_large(serial), 600)[:4]:
            assembler.add(part)
        assert assembler.held <= MOST_MESSAGES * 2400
    assert assembler.rejects.counts["truncated"] == (600 - MOST_MESSAGES) * 4
    assembler.drop()
    assert assembler.held == 0
    assert assembler.rejects.counts["truncated"] == 2400


def test_one_message_that_is_too_large_is_given_up() -> None:
    assembler = Assembler()
    for number in range(1, 1000):
        part = Frame(
            message=0x0801, number="013800138000", serial=number - 1, body=bytes(1023), total=65535, part=number
        )
        assert not isinstance(assembler.add(part), Frame)
        assert assembler.held < 300_000
    assert "oversized" in assembler.rejects.counts


def test_a_packet_beyond_its_total_is_refused() -> None:
    assembler = Assembler()
    for part in (0, 4):
        frame = Frame(message=0x0704, number="013800138000", serial=9, body=b"x", total=3, part=part)
        assert assembler.add(frame) is None
    assert assembler.rejects.counts == {"malformed": 2}


def test_bit_13_without_packets_is_no_sub_packet() -> None:
    """Found by the fuzzer: a total of 0 and a number all the same."""
    data = bytes.fromhex("0002200001380013800000070000 0002")
    (frame,) = Reader().feed(b"\x7e" + escape(data + bytes([check_of(data)])) + b"\x7e")
    assert (frame.total, frame.part) == (0, 0)
    assert Assembler().add(frame) is frame
