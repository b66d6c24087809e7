"""The wire between an agent and its gateway: length-prefixed messages over a local stream, read sans-IO.

A frame is its length (4 bytes, big-endian) and one CBOR array whose first item is the kind. The gateway answers each
batch with a ``HandoverReceipt`` after its disk has it; until then the agent keeps it. Bounded, and hostile bytes raise
``HandoverError`` only.
"""

import struct

import cbor2
import msgspec

from device_profiles.envelope import MAX_BATCH_BYTES, EnvelopeError, load_cbor
from device_profiles.quality import Reason

MAX_FRAME = MAX_BATCH_BYTES + 65_536
"""The largest batch, and room for the ledger snapshot beside it."""

_LENGTH = struct.Struct(">I")


class HandoverError(Exception):
    """The peer does not speak this protocol; the session ends."""


class _Message(msgspec.Struct, frozen=True, array_like=True):
    pass


class Hello(_Message, frozen=True):
    """An originator introduces itself: a new ``epoch`` at each of its starts; ``at`` UTC µs."""

    origin: str
    epoch: int
    at: int


class ManifestMessage(_Message, frozen=True):
    """The originator's manifest (manifests.encode_manifests with the originator's name as gateway)."""

    payload: bytes


class BatchMessage(_Message, frozen=True):
    """A batch (envelope.encode_batch) and the agent's ledger (JSON) as it stood when the batch was sealed."""

    payload: bytes
    ledger: bytes


class Bye(_Message, frozen=True):
    """The epoch ends cleanly: nothing is left in the originator's memory. ``ledger``: its last word (JSON)."""

    origin: str
    epoch: int
    ledger: bytes = b""


class Ask(_Message, frozen=True):
    """A question of a tool: "ledger", "spool" or "tap" (answers go on until the connection closes)."""

    what: str


class Answer(_Message, frozen=True):
    """A reply to ``Ask`` (JSON)."""

    payload: bytes


class HandoverReceipt(_Message, frozen=True):
    """``accepted``: the batch is on disk. Otherwise it was refused for ``reason`` and the agent still owns it."""

    origin: str
    epoch: int
    seq: int
    accepted: bool
    reason: Reason = Reason.NONE


class Trouble(_Message, frozen=True):
    """The gateway could not make sense of what it was sent; in words for a log."""

    text: str


class CommandMessage(_Message, frozen=True):
    """The gateway hands the agent a command (commands.encode_command) that may be begun for ``left`` seconds more.

    It may come again after a loss of the connection; an agent executes an id once. Relative, because a box may not know
    the time.
    """

    payload: bytes
    left: float


class ResultMessage(_Message, frozen=True):
    """What became of a command (commands.encode_result). Said again after a loss of the connection."""

    payload: bytes


Message = (
    Hello
    | ManifestMessage
    | BatchMessage
    | Bye
    | Ask
    | Answer
    | HandoverReceipt
    | Trouble
    | CommandMessage
    | ResultMessage
)
_KINDS: list[type[Message]] = [
    Hello,
    ManifestMessage,
    BatchMessage,
    Bye,
    Ask,
    Answer,
    HandoverReceipt,
    Trouble,
    CommandMessage,
    ResultMessage,
]
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def encode(message: Message) -> bytes:
    """One frame."""
    fields = [getattr(message, name) for name in message.__struct_fields__]
    plain = [int(field) if isinstance(field, Reason) else field for field in fields]
    body = cbor2.dumps([_NUMBERS[type(message)], *plain])
    return _LENGTH.pack(len(body)) + body


class Reader:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are now whole. HandoverError when the stream cannot be one of ours."""
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_FRAME:
                raise HandoverError(f"a frame of {length} bytes, at most {MAX_FRAME}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(_decode(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return messages


def _decode(body: bytes) -> Message:
    try:
        fields = load_cbor(body)
    except EnvelopeError as trouble:
        raise HandoverError(str(trouble)) from None
    if not isinstance(fields, list) or not fields or type(fields[0]) is not int or not 0 <= fields[0] < len(_KINDS):
        raise HandoverError("not a message of this protocol")
    try:
        return msgspec.convert(fields[1:], _KINDS[fields[0]])
    except msgspec.ValidationError as trouble:
        raise HandoverError(f"a {_KINDS[fields[0]].__name__} with wrong fields: {trouble}") from None
