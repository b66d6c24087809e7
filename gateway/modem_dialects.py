"""The commands for sockets, signal and restart in two dialects: BC95 and BC28 (NSO…), and BC26 (QI…).

Sources: Quectel BC95-G, BC28 and BC26 AT command manuals as quoted in public drivers; TS 27.007 for the rest.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol, TypeVar

import msgspec

from device_profiles.codecs import at_modem_answers as answers
from device_profiles.codecs.at_modem import AtError, Urc, split_fields
from gateway.datagrams import Place
from gateway.modem_line import ModemLine, ModemTrouble

Said = TypeVar("Said")
Answer = TypeVar("Answer")

LONGEST = 1358
"""Bytes of a datagram that NSOST takes and NSORF gives at once (BC95-G, BC28)."""
LONGEST_QI = 512
"""Of QISENDEX in hex (BC26: 512 bytes; newer firmware more)."""


class News(msgspec.Struct, frozen=True):
    """What an unsolicited line means for sockets. ``what``: "opened", "arrived", "closed", "sent" or
    "not sent"."""

    what: str
    socket: int


class Dialect(Protocol):
    """One family's way to say it. Everything raises ModemTrouble when the modem refuses or talks nonsense."""

    restart: str
    longest: int

    def settings(self) -> list[str]:
        """Commands after each start; a modem may refuse any of them."""
        ...

    async def open(self, line: ModemLine, place: Place) -> tuple[int, bool]:
        """A new UDP socket, and whether it is open; if not, a line of its own tells."""
        ...

    async def send(self, line: ModemLine, socket: int, place: Place, data: bytes) -> bool:
        """Hand a datagram over. True: that it has left will be told in a line of its own."""
        ...

    def read(self, line: ModemLine, socket: int) -> AsyncIterator[tuple[Place | None, bytes]]:
        """All datagrams that wait, with their sender where the modem names it."""
        ...

    async def close(self, line: ModemLine, socket: int) -> None:
        """Close; harmless when it is not open."""
        ...

    async def signal(self, line: ModemLine) -> answers.Signal:
        """What the radio says now."""
        ...

    def news(self, urc: Urc) -> News | None:
        """What a line says about sockets; None for other lines, and for one that says nothing clear."""
        ...


class Neul:
    """BC95 and BC28. ``numbered`` (BC28): a sequence number goes with each datagram, and +NSOSTR tells its fate."""

    restart = "AT+NRB"
    longest = LONGEST

    def __init__(self, numbered: bool) -> None:
        self._numbered = numbered
        self._sequence = 0

    def settings(self) -> list[str]:
        """See ``Dialect``. NSONMI=1: say that data came, and how many, not the data.

        Sockets of an earlier life of this program are closed: a modem has seven.
        """
        return [*(["AT+NSONMI=1"] if self._numbered else []), *(f"AT+NSOCL={number}" for number in range(7))]

    async def open(self, line: ModemLine, place: Place) -> tuple[int, bool]:
        """See ``Dialect``: protocol 17 is UDP, port 0 any, 1 wants +NSONMI."""
        reply = await line.demand("AT+NSOCR=DGRAM,17,0,1")
        return _said(answers.parse_socket, reply.lines), True

    async def send(self, line: ModemLine, socket: int, place: Place, data: bytes) -> bool:
        """See ``Dialect``: the length counts bytes, the data are hex."""
        text = f"AT+NSOST={socket},{place[0]},{place[1]},{len(data)},{data.hex().upper()}"
        if self._numbered:
            self._sequence = self._sequence % 255 + 1
            text += f",{self._sequence}"
        reply = await line.demand(text, 10.0)
        if _said(answers.parse_sent, reply.lines) != (socket, len(data)):
            raise ModemTrouble(f"AT+NSOST took {reply.lines}, not {len(data)} bytes")
        return self._numbered

    async def read(self, line: ModemLine, socket: int) -> AsyncIterator[tuple[Place | None, bytes]]:
        """See ``Dialect``: until nothing remains, for +NSONMI is said once only."""
        while True:
            reply = await line.demand(f"AT+NSORF={socket},{LONGEST}")
            got = _said(answers.parse_received, reply.lines)
            if got is None:
                return
            yield (got.ip, got.port), got.data
            if got.remaining == 0:
                return

    async def close(self, line: ModemLine, socket: int) -> None:
        """See ``Dialect``."""
        await line.command(f"AT+NSOCL={socket}")

    async def signal(self, line: ModemLine) -> answers.Signal:
        """See ``Dialect``."""
        reply = await line.command("AT+NUESTATS")
        return answers.parse_nuestats(reply.lines)

    def news(self, urc: Urc) -> News | None:
        """See ``Dialect``."""
        try:
            if urc.name == "+NSONMI":
                return News("arrived", answers.parse_numbers(urc.text, 1)[0])
            if urc.name == "+NSOCLI":
                return News("closed", answers.parse_numbers(urc.text, 1)[0])
            if urc.name == "+NSOSTR":
                socket, _, state = answers.parse_numbers(urc.text, 3)
                return News("sent" if state == 1 else "not sent", socket)
        except AtError:
            return None
        return None


class Qi:
    """BC26: one socket, number 0 in context 1, everything in hex."""

    restart = "AT+QRST=1"
    longest = LONGEST_QI

    def settings(self) -> list[str]:
        """See ``Dialect``: sent and received data in hex, so that no byte of theirs is ever taken for a line."""
        return ['AT+QICFG="dataformat",1,1']

    async def open(self, line: ModemLine, place: Place) -> tuple[int, bool]:
        """See ``Dialect``: mode 0 keeps what comes until it is asked for; +QIOPEN tells the result later."""
        await self.close(line, 0)  # of an earlier life: 563 otherwise
        await line.demand(f'AT+QIOPEN=1,0,"UDP","{place[0]}",{place[1]},0,0')
        return 0, False

    async def send(self, line: ModemLine, socket: int, place: Place, data: bytes) -> bool:
        """See ``Dialect``: SEND OK or SEND FAIL follows."""
        await line.demand(f"AT+QISENDEX={socket},{len(data)},{data.hex().upper()}", 10.0)
        return True

    async def read(self, line: ModemLine, socket: int) -> AsyncIterator[tuple[Place | None, bytes]]:
        """See ``Dialect``: until +QIRD: 0."""
        while True:
            reply = await line.demand(f"AT+QIRD={socket},{LONGEST_QI}")
            got = _said(answers.parse_read, reply.lines)
            if got is None:
                return
            yield None, got[0]  # a connected socket: the modem lets nobody else through

    async def close(self, line: ModemLine, socket: int) -> None:
        """See ``Dialect``."""
        await line.command(f"AT+QICLOSE={socket}")

    async def signal(self, line: ModemLine) -> answers.Signal:
        """See ``Dialect``."""
        reply = await line.command("AT+QENG=0")
        for text in reply.named("+QENG"):
            return _said(answers.parse_qeng, text)
        return answers.Signal()

    def news(self, urc: Urc) -> News | None:
        """See ``Dialect``."""
        if urc.name in ("SEND OK", "SENDOK"):
            return News("sent", 0)
        if urc.name == "SEND FAIL":
            return News("not sent", 0)
        fields = split_fields(urc.text)
        if urc.name == "+QIURC":
            return News("arrived", 0) if fields[0] == "recv" else News("closed", 0) if fields[0] != "dnsgip" else None
        if urc.name == "+QIOPEN":
            return News("opened" if fields[1:2] == ["0"] else "closed", 0)
        return None


def make_dialect(kind: str) -> Dialect:
    """The dialect of a kind of modem."""
    return Qi() if kind == "bc26" else Neul(numbered=kind == "bc28")


def _said(parse: Callable[[Said], Answer], said: Said) -> Answer:
    try:
        return parse(said)
    except AtError as wrong:
        raise ModemTrouble(str(wrong)) from None
