"""An NB-IoT modem that is not there: BC95, BC28 or BC26 on a pseudo-terminal, its datagrams real UDP on loopback.

It speaks the commands of ``device_profiles.codecs.at_modem`` from the other side, and misbehaves when told to. Refuses
to send anywhere but to the loopback interface.
"""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import msgspec

from device_profiles.codecs.at_modem import Command, CommandReader, encode_line
from firmware_sim.terminal import Terminal

HERE = "127.0.0.1"
SOCKETS = 7
IMEI = "868334034330125"


class ModemFaults(msgspec.Struct):
    """What goes wrong.

    ``urc_inside``: an unsolicited line falls inside every reply; ``pieces``: bytes a write at most; ``lose_up``,
    ``lose_down``: every nth datagram is lost; ``hung``: sockets refuse until the next restart; ``mute``: no answers;
    ``unsent``: datagrams are accepted and never leave, and the modem says so; ``noise`` comes before all that it says.
    """

    echo: bool = False
    urc_inside: bool = False
    pieces: int = 4096
    lose_up: int = 0
    lose_down: int = 0
    hung: bool = False
    mute: bool = False
    unsent: bool = False
    noise: bytes = b""


class _Socket(asyncio.DatagramProtocol):
    """One UDP socket of the modem, and what came and was not read yet."""

    def __init__(self, modem: SimulatedModem, number: int) -> None:
        self.modem, self.number = modem, number
        self.waiting: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.transport: asyncio.DatagramTransport
        self.place = (HERE, 0)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """From the loop."""
        self.modem.came(self, data, addr)


class SimulatedModem:
    """A modem at ``path``. Enter it to be there; ``faults`` may be changed at any time. Counts what passed."""

    def __init__(self, path: Path, kind: str = "bc95", network: bool = True, faults: ModemFaults | None = None) -> None:
        self.kind, self.network = kind, network
        self.faults = faults or ModemFaults()
        self.heard: list[str] = []
        self.up = self.down = self.restarts = 0
        self._path = path
        self._reader = CommandReader()
        self._sockets: dict[int, _Socket] = {}

    async def __aenter__(self) -> SimulatedModem:
        self._terminal = Terminal(self._path, 9600)
        asyncio.get_running_loop().add_reader(self._terminal.master, self._readable)
        self._commands: asyncio.Queue[Command] = asyncio.Queue(64)  # more than any program asks without waiting
        self._group = await asyncio.TaskGroup().__aenter__()
        self._task = self._group.create_task(self._work())
        return self

    async def __aexit__(self, *trouble: object) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal.master)
        self._task.cancel()
        await self._group.__aexit__(None, None, None)
        self._forget()
        self._terminal.close()

    # -- what a test does to it --------------------------------------------------------------------------------------

    def set_network(self, there: bool) -> None:
        """The network comes or goes; the modem says so."""
        self.network = there
        self._say(f"+CEREG:{1 if there else 2}")
        if not there:
            self.close_sockets()

    def close_sockets(self) -> None:
        """The network closes every socket; the modem says so."""
        numbers = list(self._sockets)
        self._forget()
        for number in numbers:
            self._say(f'+QIURC: "closed",{number}' if self.kind == "bc26" else f"+NSOCLI:{number}")

    def restart(self) -> None:
        """It starts anew, wanted or not; a hung socket layer is well again."""
        self.restarts += 1
        self.faults.hung = False
        self._forget()
        if self.kind == "bc26":
            self._say("RDY", "+CFUN: 1", "+CPIN: READY")
        else:
            self._say("REBOOT_CAUSE_APPLICATION_AT", "Neul", "OK")

    def _forget(self) -> None:
        for socket in self._sockets.values():
            socket.transport.abort()
        self._sockets.clear()

    # -- the serial line ---------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            data = self._terminal.read()
        except OSError:
            return
        for command in self._reader.feed(data):
            self.heard.append(command.line)
            del self.heard[:-1000]
            if not self.faults.mute and not self._commands.full():
                self._commands.put_nowait(command)

    def _say(self, *lines: str) -> None:
        self._write(b"".join(map(encode_line, lines)))

    def _write(self, data: bytes) -> None:
        data = self.faults.noise + data
        for at in range(0, len(data), self.faults.pieces):
            self._terminal.write(data[at : at + self.faults.pieces])

    async def _work(self) -> None:
        while True:
            command = await self._commands.get()
            if self.faults.echo:
                self._write(command.line.encode() + b"\r")
            lines = await self._answer(command)
            if self.faults.urc_inside:
                lines.insert(len(lines) // 2, "+CSCON:1")
            self._say(*lines)
            self._after(command, lines)

    async def _answer(self, command: Command) -> list[str]:
        """The lines of a reply, with its result."""
        fixed = {
            "+CFUN?": ["+CFUN:1", "OK"],
            "+CGSN": [f"+CGSN:{IMEI}", "OK"],
            "+CEREG?": [f"+CEREG:0,{1 if self.network else 2}", "OK"],
            "+CGATT?": [f"+CGATT:{int(self.network)}", "OK"],
            "+CSQ": [f"+CSQ:{18 if self.network else 99},99", "OK"],
            "+NUESTATS": self._statistics(),
            "+QENG": ['+QENG: 0,2507,2,146,"772F253",-90,-8,-83,16,5,"785F",0,140,3', "OK"],
            "+NRB": ["REBOOTING"],
        }
        if command.name + "?" * command.asks in fixed:
            return fixed[command.name + "?" * command.asks]
        if command.name.startswith(("+NSO", "+QI")) and command.name not in ("+NSONMI", "+QICFG"):
            return await self._socket_command(command)
        return ["OK"]

    def _statistics(self) -> list[str]:
        if not self.network:
            return ["Signal power:-32768", "SNR:-32768", "ECL:255", "OK"]
        if self.kind == "bc28":
            figures = (("Signal power", -856), ("SNR", 42), ("RSRQ", -108), ("ECL", 1))
            return [*(f'NUESTATS: "RADIO","{name}",{value}' for name, value in figures), "OK"]
        return ["Signal power:-856", "Total power:-789", "SNR:42", "RSRQ:-108", "ECL:1", "OK"]

    def _after(self, command: Command, lines: list[str]) -> None:
        """Lines that come when the reply is out."""
        if command.name in ("+NRB", "+QRST"):
            self.restart()
        if "OK" not in lines or self.faults.hung:
            return
        fate = not self.faults.unsent
        if command.name == "+NSOST" and len(command.fields) > 5:
            self._say(f"+NSOSTR:{command.fields[0]},{command.fields[5]},{int(fate)}")
        elif command.name == "+QISENDEX":
            self._say("SEND OK" if fate else "SEND FAIL")
        elif command.name == "+QIOPEN":
            self._say(f"+QIOPEN: {command.fields[1]},0")

    # -- sockets -----------------------------------------------------------------------------------------------------

    async def _socket_command(self, command: Command) -> list[str]:
        if self.faults.hung:
            return ["+CME ERROR: 50"]
        if command.name in ("+NSOCR", "+QIOPEN"):
            return await self._open(command)
        number = int(command.fields[0])
        socket = self._sockets.get(number)
        if command.name in ("+NSOCL", "+QICLOSE"):
            self._sockets.pop(number, None)
            if socket is not None:
                socket.transport.abort()
            return ["OK"] if socket else ["ERROR"]
        if socket is None:
            return ["ERROR"]
        if command.name == "+NSORF":
            return self._read(socket, int(command.fields[1]))
        if command.name == "+QIRD":
            return self._read_qi(socket)
        if command.name == "+NSOST":
            return self._send(socket, (command.fields[1], int(command.fields[2])), command.fields[3:5])
        return self._send(socket, socket.place, command.fields[1:3]) if command.name == "+QISENDEX" else ["ERROR"]

    async def _open(self, command: Command) -> list[str]:
        free = [number for number in range(SOCKETS) if number not in self._sockets]
        if not free or not self.network:
            return ["ERROR"]
        socket = _Socket(self, free[0])
        loop = asyncio.get_running_loop()
        socket.transport, _ = await loop.create_datagram_endpoint(lambda: socket, local_addr=(HERE, 0))
        self._sockets[free[0]] = socket
        if command.name == "+QIOPEN":
            socket.place = (command.fields[3], int(command.fields[4]))
            return ["OK"]
        return [str(free[0]), "OK"]

    def _send(self, socket: _Socket, place: tuple[str, int], what: tuple[str, ...]) -> list[str]:
        data = bytes.fromhex(what[1])
        if len(data) != int(what[0]) or place[0] != HERE:
            return ["ERROR"]
        self.up += 1
        lost = self.faults.unsent or not self.network or (self.faults.lose_up and self.up % self.faults.lose_up == 0)
        if not lost:
            socket.transport.sendto(data, place)
        return ["OK"] if self.kind == "bc26" else [f"{socket.number},{len(data)}", "OK"]

    def came(self, socket: _Socket, data: bytes, addr: tuple[str, int]) -> None:
        """A datagram for one of its sockets."""
        self.down += 1
        if self.faults.lose_down and self.down % self.faults.lose_down == 0:
            return
        first = not socket.waiting
        socket.waiting.append((data, addr))
        if first:  # said once, until it is read
            self._say('+QIURC: "recv",0' if self.kind == "bc26" else f"+NSONMI:{socket.number},{len(data)}")

    def _read(self, socket: _Socket, most: int) -> list[str]:
        if not socket.waiting:
            return ["OK"]
        data, (ip, port) = socket.waiting.popleft()
        left = sum(len(rest) for rest, _ in socket.waiting)
        return [f"{socket.number},{ip},{port},{len(data[:most])},{data[:most].hex().upper()},{left}", "OK"]

    def _read_qi(self, socket: _Socket) -> list[str]:
        if not socket.waiting:
            return ["+QIRD: 0", "OK"]
        data, _ = socket.waiting.popleft()
        return [f"+QIRD: {len(data)}", data.hex().upper(), "OK"]
