"""A batch on the wire: one CBOR map with a columnar body (RFC 8949; typed arrays of RFC 8746).

The header is small and readable without touching the body, so a gateway spools and re-labels what it never unpacks.
The body hands its columns out as memoryviews: no NumPy here, no copy there. ``batch.cddl`` describes the format and a
test holds it against real bytes. Hostile bytes raise ``EnvelopeError`` and nothing else; sizes are bounded.
"""

import io
import sys
import zlib
from array import array
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union, cast

import cbor2
import msgspec

from device_profiles.commands import CommandResult, result_of_row, result_row
from device_profiles.quality import Reason
from device_profiles.readings import Gap, Lane
from device_profiles.topics import ORIGIN_NAME

VERSION = 1
MAX_BATCH_BYTES = 900_000
"""Below the 1 MB payload limit that nats-server has by default (``max_payload``), topic and headers included."""

MILLISECOND = 1000
"""The one coarse step of time offsets, µs: a character at 9600 baud takes longer."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""What a body may inflate to: fifty times our largest batch, and no room for a bomb."""

Column = Union["memoryview[Any]", "array[Any]"]

# RFC 8746, table 1: little-endian tags of the element types that we write.
_TAGS = {"B": 64, "H": 69, "I": 70, "q": 79, "f": 85, "d": 86}
_FORMATS = {tag: code for code, tag in _TAGS.items()}


class EnvelopeError(Exception):
    """The bytes are not a batch that we read. ``reason`` is MALFORMED, OVERSIZED or UNKNOWN_VERSION."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A named batch with its body still packed. ``base``: UTC µs; ``count``: readings, gaps not counted."""

    origin: str
    epoch: int
    seq: int
    lane: Lane
    manifest: int
    base: int
    count: int
    body: bytes
    packed: bool = False

    @property
    def name(self) -> tuple[str, int, int]:
        """(origin, epoch, seq): given by the originator, kept to the end."""
        return self.origin, self.epoch, self.seq


class Columns(msgspec.Struct):
    """A batch's readings, column by column, all of one length.

    ``aliases``: u2 or u4, index into the manifest's series; ``offsets``: u2, u4 or i8, steps of ``tick`` µs after
    the batch's base (``tick``: 1, or MILLISECOND where the offsets are u2 or u4);
    ``values``: f8 or f4, NaN where the code says BAD; ``codes``: u1, quality and reason (quality.split_code).
    ``others``: (alias, offset in µs, value, code) of text, booleans and integers beyond 2**53. ``gaps``: what is
    known lost. ``results``: what became of commands; they are no readings and are not counted.
    """

    aliases: Column
    offsets: Column
    values: Column
    codes: Column
    others: list[tuple[int, int, str | int | None, int]] = []
    gaps: list[Gap] = []
    tick: int = 1
    results: list[CommandResult] = []


def encode_batch(batch: Batch) -> bytes:
    """The batch as it goes on the wire."""
    return cbor2.dumps(
        {
            0: VERSION,
            1: batch.origin,
            2: batch.epoch,
            3: batch.seq,
            4: int(batch.lane),
            5: batch.manifest,
            6: batch.base,
            7: batch.count,
            8: batch.body,
            9: int(batch.packed),
        }
    )


def decode_batch(data: bytes) -> Batch:
    """Read the header, leave the body packed. EnvelopeError for anything that is not such a batch."""
    if len(data) > MAX_BATCH_BYTES:
        raise EnvelopeError(Reason.OVERSIZED, f"{len(data)} bytes, at most {MAX_BATCH_BYTES}")
    fields = load_cbor(data)
    if not isinstance(fields, dict):
        raise EnvelopeError(Reason.MALFORMED, "not a CBOR map")
    if fields.get(0) != VERSION:
        raise EnvelopeError(Reason.UNKNOWN_VERSION, f"version {fields.get(0)!r}, expected {VERSION}")
    origin, body = fields.get(1), fields.get(8)
    if not isinstance(origin, str) or not ORIGIN_NAME.match(origin):
        raise EnvelopeError(Reason.MALFORMED, "origin is not a name")
    if not isinstance(body, bytes):
        raise EnvelopeError(Reason.MALFORMED, "body is not a byte string")
    return Batch(
        origin=origin,
        epoch=_whole(fields, 2, 1 << 53),
        seq=_whole(fields, 3, 1 << 32, low=1),
        lane=Lane(_whole(fields, 4, 3)),
        manifest=_whole(fields, 5, 1 << 63),
        base=_whole(fields, 6, 1 << 62, low=-(1 << 62)),
        count=_whole(fields, 7, 1 << 24),
        body=body,
        packed=bool(_whole(fields, 9, 2)),
    )


def pack_body(columns: Columns, level: int = 1) -> tuple[bytes, bool]:
    """(body, packed): the columns as bytes, deflated when that is smaller. ``level`` 0 never deflates."""
    fields: dict[int, object] = {
        0: _typed(columns.aliases),
        1: _typed(columns.offsets),
        2: _typed(columns.values),
        3: _typed(columns.codes),
    }
    if columns.others:
        fields[4] = [list(other) for other in columns.others]
    if columns.gaps:
        fields[5] = [_gap_row(gap) for gap in columns.gaps]
    if columns.tick != 1:
        fields[6] = columns.tick
    if columns.results:
        fields[7] = [result_row(result) for result in columns.results]
    body = cbor2.dumps(fields)
    if level:
        deflated = zlib.compress(body, level)
        if len(deflated) < len(body):
            return deflated, True
    return body, False


def unpack_body(batch: Batch, limit: int = MAX_BODY_BYTES) -> Columns:
    """The columns of a batch, as memoryviews over its bytes. EnvelopeError when lengths or types disagree."""
    fields = load_cbor(inflate(batch.body, limit) if batch.packed else batch.body)
    if not isinstance(fields, dict):
        raise EnvelopeError(Reason.MALFORMED, "body is not a CBOR map")
    columns = Columns(
        _view(fields.get(0), "HI"), _view(fields.get(1), "HIq"), _view(fields.get(2), "df"), _view(fields.get(3), "B")
    )
    columns.others = _rows(fields.get(4, []), _other)
    columns.gaps = _rows(fields.get(5, []), _gap)
    columns.tick = _tick(fields.get(6, 1), columns.offsets)
    columns.results = _rows(fields.get(7, []), result_of_row)
    lengths = {len(columns.aliases), len(columns.offsets), len(columns.values), len(columns.codes)}
    if len(lengths) != 1 or lengths.pop() + len(columns.others) != batch.count:
        raise EnvelopeError(Reason.MALFORMED, "columns differ in length, or from the header's count")
    return columns


def load_cbor(data: bytes) -> Any:
    """Decode one CBOR item and refuse anything behind it; EnvelopeError(MALFORMED) for all that goes wrong."""
    stream = io.BytesIO(data)
    try:
        item = cbor2.load(stream)
    except Exception as trouble:  # noqa: BLE001 - cbor2 lets ValueError, OverflowError, RecursionError… through on hostile input
        raise EnvelopeError(Reason.MALFORMED, f"not CBOR: {trouble}") from None
    if stream.tell() != len(data):  # cbor2.loads would pass over it
        raise EnvelopeError(Reason.MALFORMED, f"{len(data) - stream.tell()} bytes follow the CBOR item")
    return item


def _whole(fields: dict[Any, Any], key: int, high: int, low: int = 0) -> int:
    value = fields.get(key)
    if type(value) is not int or not low <= value < high:
        raise EnvelopeError(Reason.MALFORMED, f"field {key} is no integer in [{low}, {high})")
    return value


def _typed(column: Column) -> cbor2.CBORTag:
    view = memoryview(column)
    if sys.byteorder == "big" and view.itemsize > 1:  # the wire is little-endian; so are all our targets
        swapped = array(view.format, view.tobytes())
        swapped.byteswap()
        view = memoryview(swapped)
    return cbor2.CBORTag(_TAGS[view.format], view.tobytes())


def _view(item: object, formats: str) -> Column:
    if not isinstance(item, cbor2.CBORTag) or not isinstance(item.value, bytes):
        raise EnvelopeError(Reason.MALFORMED, "a column is not a typed array")
    code = _FORMATS.get(item.tag)
    if code is None or code not in formats:
        raise EnvelopeError(Reason.MALFORMED, f"a column has the unexpected tag {item.tag}")
    try:
        view: Column = memoryview(item.value).cast(cast("Literal['B']", code))
    except TypeError:
        raise EnvelopeError(Reason.MALFORMED, "a column is cut inside an element") from None
    if sys.byteorder == "big" and view.itemsize > 1:
        swapped = array(code, view.tobytes())
        swapped.byteswap()
        return swapped
    return view


def _tick(tick: object, offsets: Column) -> int:
    if tick == 1 and type(tick) is int:
        return 1
    if tick != MILLISECOND or type(tick) is not int or memoryview(offsets).itemsize > 4:
        raise EnvelopeError(Reason.MALFORMED, f"steps of {tick!r} µs, or in offsets too wide for steps")
    return MILLISECOND


def inflate(body: bytes, limit: int) -> bytes:
    """Undo a deflate, to at most ``limit`` bytes. EnvelopeError: OVERSIZED beyond it, MALFORMED for anything else."""
    machine = zlib.decompressobj()
    try:
        data = machine.decompress(body, limit)
    except zlib.error as trouble:
        raise EnvelopeError(Reason.MALFORMED, f"not deflated: {trouble}") from None
    if machine.unconsumed_tail:
        raise EnvelopeError(Reason.OVERSIZED, f"it inflates beyond {limit} bytes")
    if not machine.eof or machine.unused_data:
        raise EnvelopeError(Reason.MALFORMED, "the deflated body is cut, or something follows it")
    return data


_Row = TypeVar("_Row")


def _rows(items: object, read: Callable[[Any], _Row]) -> list[_Row]:
    if not isinstance(items, list):
        raise EnvelopeError(Reason.MALFORMED, "rows are not an array")
    try:
        return [read(item) for item in items]
    except (ValueError, TypeError):
        raise EnvelopeError(Reason.MALFORMED, "a row has the wrong form") from None


def _other(row: Any) -> tuple[int, int, str | int | None, int]:
    alias, offset, value, code = row
    whole = type(alias) is int and type(offset) is int and type(code) is int
    if not whole or not 0 <= alias < 1 << 32 or not 0 <= code < 256 or abs(offset) >= 1 << 62:
        raise ValueError
    if value is not None and not isinstance(value, (str, int)):
        raise ValueError
    return alias, offset, value, code


def _gap_row(gap: Gap) -> list[object]:
    return [
        gap.origin,
        gap.epoch,
        int(gap.reason),
        gap.begin,
        gap.end,
        gap.readings,
        gap.first_seq,
        gap.last_seq,
        list(gap.devices),
    ]


def _gap(row: Any) -> Gap:
    origin, epoch, reason, begin, end, readings, first_seq, last_seq, devices = row
    whole = all(type(n) is int and abs(n) < 1 << 62 for n in (epoch, reason, begin, end))
    optional = all(n is None or (type(n) is int and 0 <= n < 1 << 53) for n in (readings, first_seq, last_seq))
    texts = isinstance(origin, str) and isinstance(devices, list) and all(isinstance(d, str) for d in devices)
    if not (whole and optional and texts):
        raise ValueError
    return Gap(
        origin=origin,
        epoch=epoch,
        reason=Reason(reason),
        begin=begin,
        end=end,
        readings=readings,
        first_seq=first_seq,
        last_seq=last_seq,
        devices=tuple(devices),
    )
