"""The units of one RS-485 line as pymodbus serves them: framer, PDU and data store of its server, without its loop.

What `pymodbus.server.requesthandler` does with a frame is done here in the line's own thread, because an event loop
rounds to a millisecond and a socket in between costs more than a character at 115200 baud. Refuses units that are
not there: they stay silent, as on a real line.
"""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer.base import FramerBase
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.simulator import SimDevice
from pymodbus.simulator.simcore import SimCore

from device_profiles.profiles import LineSettings
from firmware_sim.questions import RTU_HEAD, Asked, Question, is_answer_to, parse, payload

CHECKSUM = 2
AS_DELIVERED = LineSettings()
T = TypeVar("T")


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits (pymodbus' data store is async in name only)."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("pymodbus' data store wanted to wait")


def exception_frame(framer: FramerBase, question: Question, code: int, transaction: int = 0) -> bytes:
    """The exception reply that pymodbus would send to `question`."""
    assert isinstance(question.unit, int)
    reply = ExceptionResponse(question.function, ExcCodes(code), question.unit, transaction)
    return framer.buildFrame(reply)


class ModbusUnits:
    """Frames in, frames out; see `line_servers.LineServer`."""

    def __init__(self, devices: list[SimDevice], line: LineSettings = AS_DELIVERED) -> None:
        self.line = line
        self._held = b""
        self.framer = FramerRTU(DecodePDU(True))
        self._store = SimCore(devices)
        self._known = {device.id for device in devices}

    def hear(self, data: bytes) -> list[Asked]:
        """Let pymodbus find the questions in the bytes held; what it refuses is noise."""
        self._held += data
        found: list[Asked] = []
        while self._held:
            try:
                used, request = self.decode(self._held)
            except ValueError:
                used, request = len(self._held), None
            if not used:
                break
            frame, self._held = self._held[:used], self._held[used:]
            question = parse(frame, RTU_HEAD)
            if request is not None and question is not None:
                found.append(self._asked(question, self.answer(request) or b""))
        return found

    def _asked(self, question: Question, reply: bytes) -> Asked:
        clean = is_answer_to(question, reply, RTU_HEAD)
        data = payload(reply, RTU_HEAD, CHECKSUM) if clean and question.reads else b""
        refuse = partial(exception_frame, self.framer, question)
        return Asked(question, reply, refuse, data, refused=bool(reply) and not clean)

    def silence(self) -> None:
        """Nothing more will come of what is held."""
        self._held = b""

    def decode(self, data: bytes) -> tuple[int, ModbusPDU | None]:
        """(bytes used up, the request or None): used without a request is noise, nothing used is "wait for more".

        ValueError for a sound frame whose content pymodbus refuses to decode.
        """
        try:
            used, request = self.framer.handleFrame(data, 0, 0)
        except ModbusIOException as trouble:
            raise ValueError(str(trouble)) from trouble
        if request is not None and request.isError():
            raise ValueError("an exception reply is no request")
        return used, request

    def answer(self, request: ModbusPDU) -> bytes | None:
        """The reply frame, or None where nobody has that address."""
        if request.dev_id not in self._known:
            return None
        store: Any = self._store  # typed as the older server context throughout pymodbus' PDUs
        reply = _at_once(request.datastore_update(store, request.dev_id))
        reply.dev_id = request.dev_id
        return self.framer.buildFrame(reply)
