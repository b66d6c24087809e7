"""AT dialogs with a cellular modem, both directions, sans-IO (3GPP TS 27.007; ITU-T V.250, 5: lines, results, echo).

One command at a time. Every line is sorted before it may belong to a reply: an unsolicited line (URC) that falls
inside a reply is handed out as such, and what nobody can place is counted. Refuses to wait: ``abandon`` a reply that
stays out.
"""

from __future__ import annotations

import re

import msgspec

from device_profiles.framing import Rejects
from device_profiles.quality import Reason

MAX_LINE = 4096
"""A datagram of 1,358 bytes, the longest that these modems carry, is 2,716 hex digits and some 50 signs around them."""
MAX_LINES = 64
"""Lines of one reply: AT+NUESTATS has some 20."""
MAX_EVENTS = 256
"""Of one ``feed``: more is babble, and counted."""

# fmt: off
URCS = frozenset({
    "+CEREG", "+CSCON", "+NSONMI", "+NSOCLI", "+NSOSTR", "+NSOCO", "+NPSMR", "+NNMI", "+NSMI", "+NPING",
    "+NPINGERR", "+QLWEVTIND", "+QLWULDATASTATUS", "+QIURC", "+QIOPEN", "+QNBIOTEVENT", "+CTZV", "+CTZEU", "+CTZE",
    "+CPIN", "+CFUN", "+IP"
})
# fmt: on
"""Names of lines that a modem says unasked (Quectel BC95, BC28 and BC26 AT command manuals)."""

ALSO_ASKED = frozenset({"+CEREG", "+CSCON", "+NPSMR", "+CPIN", "+CFUN"})
"""Of these, the ones that also answer a question; see ``_answers``."""
WITH_SETTING = frozenset({"+CEREG", "+CSCON", "+NPSMR"})
"""Of these again, the ones whose answer, and only that, begins with the setting <n> (TS 27.007, 10.1.22)."""

WORDS = frozenset({"SEND OK", "SENDOK", "SEND FAIL", "CLOSE OK", "CLOSEOK", "REBOOTING", "RDY", "NEUL", "APP RDY"})
"""Unasked lines that are words (BC26: QISEND, QICLOSE; all: the end of a start)."""

STARTED = frozenset({"RDY", "NEUL", "APP RDY"})
"""Said when the modem has started: a command under way then is lost with its reply."""
RESTARTED = "restarted"
"""The error of such a command."""

_NAMED = re.compile(r"([+^*#][A-Z][A-Z0-9_]{1,20}) ?: ?(.*)", re.DOTALL)
_START_CAUSE = re.compile(r"(?:REBOOT_CAUSE_|Boot: |Security |Protocol |Apps ).*")


class AtError(ValueError):
    """A line or reply that does not say what it should; the text says why."""


class Urc(msgspec.Struct, frozen=True):
    """A line that came unasked: ``name`` ("+NSONMI", "RDY"), ``text`` behind the colon."""

    name: str
    text: str = ""


class Reply(msgspec.Struct, frozen=True):
    """What came for a command: its lines, and "" or the error's own words ("+CME ERROR: 50", "ERROR")."""

    command: str
    lines: tuple[str, ...] = ()
    error: str = ""

    @property
    def ok(self) -> bool:
        """True for OK."""
        return not self.error

    def named(self, name: str) -> list[str]:
        """Texts of the lines called ``name``, without it."""
        return [text for line in self.lines for found, text in (split_line(line),) if found == name]


def split_line(line: str) -> tuple[str, str]:
    """("+CSQ", "31,99") of any spelling of a named line; ("", line) for one without a name."""
    named = _NAMED.fullmatch(line)
    return (named[1], named[2].strip()) if named else ("", line)


def split_fields(text: str) -> list[str]:
    """Fields between commas, without their quotes; a comma inside quotes does not divide (V.250, 5.4.2.2)."""
    parts = text.split('"')  # every second part stands between quotes
    parts[::2] = [part.replace(",", "\0") for part in parts[::2]]
    return [field.strip() for field in "".join(parts).split("\0")]


class LineReader:
    """Cuts a byte stream into lines at CR, LF, or both; empty ones are none. Bounded: an endless line is dropped."""

    def __init__(self, rejects: Rejects) -> None:
        self._rejects = rejects
        self._buffer = bytearray()
        self._skipping = False

    @property
    def held(self) -> int:
        """Bytes of the line that has not ended."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[str]:
        """The lines that are now whole, as text; bytes that are no text are taken off and counted."""
        found: list[str] = []
        *whole, rest = re.split(rb"[\r\n]", data)
        for piece in whole:
            self._take(piece)
            if not self._skipping and self._buffer and (line := self._read(bytes(self._buffer))):
                found.append(line)
            self._buffer.clear()
            self._skipping = False
        self._take(rest)
        return found

    def flush(self) -> None:
        """The stream is over: what was begun is no line."""
        self._rejects.add(Reason.TRUNCATED, self._buffer)
        self._buffer.clear()

    def _take(self, piece: bytes) -> None:
        if self._skipping or len(self._buffer) + len(piece) > MAX_LINE:
            self._rejects.add(Reason.OVERSIZED, bytes(self._buffer) + piece)
            self._buffer.clear()
            self._skipping = True
            return
        self._buffer += piece

    def _read(self, raw: bytes) -> str:
        """A wake-up or a changed speed leaves bytes before a line; inside one they spoil it."""
        core = re.sub(rb"\A[^\x20-\x7e]+|[^\x20-\x7e]+\Z", b"", raw)
        if len(core) < len(raw):
            self._rejects.add(Reason.NOISE, raw if not core else raw.replace(core, b"", 1))
        if re.search(rb"[^\x20-\x7e]", core):
            self._rejects.add(Reason.MALFORMED, core)
            return ""
        return core.decode("ascii").strip()


class Dialog:
    """Our half: ``ask`` gives the bytes of a command, ``feed`` its ``Reply`` and every ``Urc``, as they came."""

    def __init__(self) -> None:
        self.rejects = Rejects()
        self.echoes = 0
        self._reader = LineReader(self.rejects)
        self._command = ""
        self._wants = ""
        self._lines: list[str] = []
        self._echo_expected = False

    @property
    def pending(self) -> str:
        """The command that waits for its reply, "" for none."""
        return self._command

    @property
    def held(self) -> int:
        """Signs held: the line that has not ended and the reply's lines so far."""
        return self._reader.held + sum(map(len, self._lines))

    def ask(self, command: str, wants: str = "") -> bytes:
        """The bytes to send; AtError while another waits. ``wants``: only a reply with a line of that name counts: that
        is how to find the way back after a reply that never came, or came late."""
        if self._command:
            raise AtError(f"{self._command} still waits for its reply")
        if not command.startswith("AT") or not command.isascii() or not command.isprintable():
            raise AtError(f"{command!r} is no command")
        self._command, self._wants, self._lines, self._echo_expected = command, wants, [], True
        return command.encode() + b"\r"  # V.250, 5.2.1: CR ends a command; LF would be a second, empty one

    def abandon(self) -> None:
        """Nobody waits for the reply any more; its lines so far, and late ones, are counted."""
        for line in self._lines:
            self.rejects.add(Reason.LATE, line.encode())
        self._command, self._lines = "", []

    def feed(self, data: bytes) -> list[Reply | Urc]:
        """Replies and unasked lines that are now whole. Never raises."""
        found: list[Reply | Urc] = []
        for line in self._reader.feed(data):
            event = self._sort(line)
            if event is not None and len(found) >= MAX_EVENTS:
                self.rejects.add(Reason.OVERSIZED, line.encode())
            elif event is not None:
                if isinstance(event, Urc) and event.name in STARTED:
                    found += self._restarted()
                found.append(event)
        return found

    def flush(self) -> None:
        """The port is closed: what was begun is counted."""
        self._reader.flush()
        self.abandon()

    def _sort(self, line: str) -> Reply | Urc | None:
        if self._command and self._echo_expected and line == self._command:
            self._echo_expected = False
            self.echoes += 1
            return None
        if line == "OK" or line == "ERROR" or line.startswith(("+CME ERROR", "+CMS ERROR")):
            return self._end("" if line == "OK" else line)
        urc = self._unasked(line)
        if urc is not None and urc.name in WITH_SETTING and _begins_with_setting(urc.text):
            self.rejects.add(Reason.LATE, line.encode())  # an answer to a question that nobody asks any more
            return None
        if urc is not None:
            return urc
        if not self._command:
            self.rejects.add(Reason.NOISE, line.encode())
        elif len(self._lines) >= MAX_LINES:
            self.rejects.add(Reason.OVERSIZED, line.encode())
        else:
            self._lines.append(line)
        return None

    def _unasked(self, line: str) -> Urc | None:
        if line.upper() in WORDS:
            return Urc(line.upper())
        if _START_CAUSE.fullmatch(line):
            return Urc("BOOT", line)
        name, text = split_line(line)
        if not name:
            return None
        if self._command[2:].startswith(name) and not self._command[2 + len(name) : 3 + len(name)].isalnum():
            return None if name not in URCS or _answers(name, text, self._command) else Urc(name, text)
        return Urc(name, text)  # another's name: a URC that no table knows is none the less no part of this reply

    def _restarted(self) -> list[Reply | Urc]:
        """A modem that starts anew forgets what it was asked; the OK behind "Neul" answers only a wanted restart."""
        if not self._command or self._command.startswith(("AT+NRB", "AT+QRST")):
            return []
        reply = Reply(self._command, tuple(self._lines), RESTARTED)
        self._command, self._lines = "", []
        return [reply]

    def _end(self, error: str) -> Reply | None:
        if not self._command:
            self.rejects.add(Reason.LATE, (error or "OK").encode())
            return None
        if self._wants and not error and not any(split_line(line)[0] == self._wants for line in self._lines):
            for line in [*self._lines, "OK"]:
                self.rejects.add(Reason.LATE, line.encode())
            self._lines = []
            return None
        reply = Reply(self._command, tuple(self._lines), error)
        self._command, self._lines = "", []
        return reply


def _answers(name: str, text: str, command: str) -> bool:
    """Whether a line that may be either answers the question that waits."""
    if name not in ALSO_ASKED or not command.endswith("?"):
        return False
    return name not in WITH_SETTING or _begins_with_setting(text)


def _begins_with_setting(text: str) -> bool:
    """True of +CEREG: <n>,<stat>…, where the second field is a plain number too; unasked it is +CEREG: <stat>[,<tac>…],
    and a bare <tac> has four digits."""
    second = text.split(",")[1].strip() if "," in text else ""
    return second.isdigit() and len(second) <= 2


class Command(msgspec.Struct, frozen=True):
    """A command as the modem hears it: "+NSOST" with fields, or a question ("+CEREG?": ``asks``)."""

    name: str
    fields: tuple[str, ...] = ()
    asks: bool = False
    line: str = ""


class CommandReader:
    """The modem's half: cuts what it hears into commands; what is none is counted."""

    def __init__(self) -> None:
        self.rejects = Rejects()
        self._reader = LineReader(self.rejects)

    @property
    def held(self) -> int:
        """Bytes of the command that has not ended."""
        return self._reader.held

    def feed(self, data: bytes) -> list[Command]:
        """The commands that are now whole. Never raises."""
        found: list[Command] = []
        for line in self._reader.feed(data):
            match = re.fullmatch(r"(?i:AT)([+&]?[A-Za-z]*[0-9]*)(?:(\?)|=(.*))?", line)
            if match is None:
                self.rejects.add(Reason.NOISE, line.encode())
            else:
                fields = tuple(split_fields(match[3])) if match[3] is not None else ()
                found.append(Command(match[1].upper(), fields, bool(match[2]), line))
        return found


def encode_line(text: str) -> bytes:
    """A line as a modem says it: CR LF around it (V.250, 5.7.1)."""
    return b"\r\n" + text.encode("ascii") + b"\r\n"
