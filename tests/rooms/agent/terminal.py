"""A real pseudo-terminal with units behind it, served by a thread: what the verbs and `SerialLink` are
tested on."""

from __future__ import annotations

import os
import select
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from device_profiles.codecs import modbus_ascii
from device_profiles.codecs.modbus_rtu import RtuRequestReader, frame
from tests.rooms.agent.wire import CLEAN, FakeUnit


class Terminal:
    """`path` is the port that the agent opens; `hang_up` pulls it out."""

    def __init__(self, units: list[FakeUnit], ascii: bool = False) -> None:
        """`ascii`: they speak Modbus ASCII."""
        self._ascii = ascii
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._units = {unit.address: unit for unit in units}
        self._wake, self._waker = os.pipe()
        self._thread = Thread(target=self._serve, name="terminal")
        self._thread.start()

    def _serve(self) -> None:
        requests = modbus_ascii.AsciiRequestReader() if self._ascii else RtuRequestReader()
        framed = modbus_ascii.frame if self._ascii else frame
        while True:
            readable, _, _ = select.select([self.master, self._wake], [], [])
            if self._wake in readable:
                return
            for address, pdu in requests.feed(os.read(self.master, 1024)):
                unit = self._units.get(address)
                if unit is not None:
                    unit.asked += 1
                    fate = unit.fate(unit.asked)
                    if not fate.silent:
                        os.write(self.master, framed(address, unit.reply(pdu, fate)))

    def hang_up(self) -> None:
        """End the thread and close both ends."""
        if self._thread.is_alive():
            os.write(self._waker, b"x")
            self._thread.join()
            for fd in (self.master, self._slave, self._wake, self._waker):
                os.close(fd)


@contextmanager
def terminal(*units: FakeUnit, ascii: bool = False) -> Iterator[Terminal]:
    """A terminal for the length of a with block."""
    served = Terminal(list(units), ascii)
    try:
        yield served
    finally:
        served.hang_up()


__all__ = ["CLEAN", "FakeUnit", "Terminal", "terminal"]
