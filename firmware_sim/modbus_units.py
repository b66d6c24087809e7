"""The units of one RS-485 line as pymodbus serves them: framer, PDU and data store of its server, without its loop.

What `pymodbus.server.requesthandler` does with a frame is done here in the line's own thread, because an event loop
rounds to a millisecond and a socket in between costs more than a character at 115200 baud. Refuses units that are
not there: they stay silent, as on a real line.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer.base import FramerBase
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.simulator import SimDevice
from pymodbus.simulator.simcore import SimCore

from firmware_sim.questions import Question

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
    reply = ExceptionResponse(question.function, ExcCodes(code), question.unit, transaction)
    return framer.buildFrame(reply)


class ModbusUnits:
    """Frames in, frames out."""

    def __init__(self, devices: list[SimDevice]) -> None:
        self.framer = FramerRTU(DecodePDU(True))
        self._store = SimCore(devices)
        self._known = {device.id for device in devices}

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
