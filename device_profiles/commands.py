"""A command to a device, and what came of it: typed, bounded, expiring, and written as JSON, both directions.

A command is told by its id: whoever has seen an id never executes it again. Hostile bytes raise ``CommandError`` only.
"""

import math
import re
from collections.abc import Iterable, Sequence
from enum import IntEnum, unique
from typing import Any, TypeVar

import msgspec

from device_profiles.quality import GOOD_CODE, Quality, Reason, code_of, split_code

VERSION = 1

MAX_MESSAGE = 65_536
"""Bytes of one message: some hundred commands."""

MAX_LIFETIME = 7 * 24 * 3600 * 1_000_000
"""µs between issue and expiry: a sleepy device may wake once a week."""

MAX_NAME, MAX_BY, MAX_TEXT = 64, 64, 200
"""Characters of a device's or a point's name, of whoever gave the command, and of what is said about its result."""

COMMAND_ID = re.compile(r"[0-9a-f]{32}\Z")

_MICROSECONDS = 1 << 62


class CommandError(ValueError):
    """The bytes are no message of this protocol, or a field is out of its bounds."""


@unique
class CommandOutcome(IntEnum):
    """What became of a command. Numbers are part of the wire format: add at the end.

    DONE: written, and read back equal. REFUSED: not sent to the device, for it may not be. EXPIRED: not sent in time.
    FAILED: tried, and the device said no, said nothing, or reads otherwise. UNKNOWN: sent, and whether it was executed
    cannot be said; it is never executed a second time, and never claimed.
    """

    DONE = 0
    REFUSED = 1
    EXPIRED = 2
    FAILED = 3
    UNKNOWN = 4

    @property
    def word(self) -> str:
        """The word used in JSON and tables."""
        return self.name.lower()


class Command(msgspec.Struct, frozen=True, array_like=True):
    """``value`` in the point's own unit; ``issued`` and ``expires``: UTC µs at the centre; ``by``: who gave it."""

    id: str
    device: str
    point: str
    value: float
    issued: int
    expires: int
    by: str = ""

    def __post_init__(self) -> None:
        _check_id(self.id)
        if not 1 <= len(self.device) <= MAX_NAME or not 1 <= len(self.point) <= MAX_NAME:
            raise ValueError("device and point are 1 to 64 characters")
        if not (self.device + self.point + self.by).isprintable():
            raise ValueError("a name that cannot be printed")
        if not math.isfinite(self.value):
            raise ValueError("the value is no number")
        if len(self.by) > MAX_BY:
            raise ValueError(f"more than {MAX_BY} characters of a name")
        if not -_MICROSECONDS < self.issued < self.expires < _MICROSECONDS:
            raise ValueError("it expires before it is issued")
        if self.expires - self.issued > MAX_LIFETIME:
            raise ValueError("it lives for longer than a week")


class CommandResult(msgspec.Struct, frozen=True, array_like=True):
    """What became of the command ``id``, at ``at`` (UTC µs, at the pole).

    ``value``: what the point read afterwards, in its own unit, None where it was not read; ``code``: that value's
    quality and reason, or the reason why there is none (``quality.code_of``); ``text``: in words, for a person.
    """

    id: str
    at: int
    outcome: CommandOutcome
    value: float | None = None
    code: int = GOOD_CODE
    text: str = ""

    def __post_init__(self) -> None:
        _check_id(self.id)
        if abs(self.at) >= _MICROSECONDS:
            raise ValueError("a time beyond all times")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError("the value is no number")
        quality, _ = split_code(self.code)
        if (quality is Quality.BAD) is not (self.value is None):
            raise ValueError("a BAD result carries no value, any other carries one")
        if len(self.text) > MAX_TEXT:
            raise ValueError(f"more than {MAX_TEXT} characters of text")

    @property
    def reason(self) -> Reason:
        """Why the value, or the outcome, is what it is."""
        return split_code(self.code)[1]

    @property
    def quality(self) -> Quality:
        """Of the value that was read back."""
        return split_code(self.code)[0]


def no_value(command: str, at: int, outcome: CommandOutcome, reason: Reason, text: str) -> CommandResult:
    """The result of a command after which nothing was read; ``text`` is cut to its bounds."""
    return CommandResult(command, at, outcome, None, code_of(Quality.BAD, reason), text[:MAX_TEXT])


class _Commands(msgspec.Struct, frozen=True, array_like=True):
    version: int
    sent: int
    commands: list[Command]


def encode_commands(commands: Iterable[Command], sent: int) -> bytes:
    """One message to a gateway. ``sent``: UTC µs at the centre, so that a pole without the time knows what is left."""
    return msgspec.json.encode(_Commands(VERSION, sent, list(commands)))


def decode_commands(data: bytes) -> tuple[int, list[Command]]:
    """(sent, commands). CommandError for anything that is no such message."""
    message = _decoded(data, _Commands)
    if message.version != VERSION:
        raise CommandError(f"commands of version {message.version}, expected {VERSION}")
    if abs(message.sent) >= _MICROSECONDS:
        raise CommandError("a time beyond all times")
    return message.sent, message.commands


def encode_command(command: Command) -> bytes:
    """One command, for the hand-over to an agent and for the spool."""
    return msgspec.json.encode(command)


def decode_command(data: bytes) -> Command:
    """The inverse of ``encode_command``; CommandError."""
    return _decoded(data, Command)


def encode_result(result: CommandResult) -> bytes:
    """One result, for the hand-over from an agent and for the spool."""
    return msgspec.json.encode(result)


def decode_result(data: bytes) -> CommandResult:
    """The inverse of ``encode_result``; CommandError."""
    return _decoded(data, CommandResult)


def result_row(result: CommandResult) -> list[object]:
    """A result as it travels in a batch (``batch.cddl``)."""
    return [result.id, result.at, int(result.outcome), result.value, result.code, result.text]


def result_of_row(row: Sequence[Any]) -> CommandResult:
    """The inverse of ``result_row``; ValueError or TypeError for anything else."""
    id_, at, outcome, value, code, text = row
    whole = type(at) is int and type(outcome) is int and type(code) is int and 0 <= code < 256
    if not whole or not isinstance(id_, str) or not isinstance(text, str) or type(value) not in (float, type(None)):
        raise ValueError("a result with fields of other types")
    return CommandResult(id_, at, CommandOutcome(outcome), value, code, text)


def _check_id(text: str) -> None:
    if not COMMAND_ID.match(text):
        raise ValueError("an id is 32 small hexadecimal digits")


_T = TypeVar("_T")


def _decoded(data: bytes, kind: type[_T]) -> _T:
    if len(data) > MAX_MESSAGE:
        raise CommandError(f"{len(data)} bytes, at most {MAX_MESSAGE}")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as trouble:
        raise CommandError(str(trouble)) from None
