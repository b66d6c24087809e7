"""A pseudo-terminal in place of an RS-485 adapter: the simulator holds the master side, the pole opens `path`.

Refuses to go away while the pole restarts: a slave descriptor stays open here. Linux keeps no parity on a
pseudo-terminal (it clears PARENB), so only the speed tells whether master and unit understand each other.
"""

from __future__ import annotations

import os
import termios
import tty
from array import array
from fcntl import ioctl
from pathlib import Path

OUTPUT_SPEED = 5
"""Index in the list of `termios.tcgetattr`."""
READ_AT_ONCE = 1024
"""Four of the longest frames: a master that sends more without waiting is not a Modbus master."""
SPEEDS = {
    getattr(termios, f"B{baud}"): baud for baud in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}
"""What `termios` calls the usual speeds."""


class Terminal:
    """An open pair in raw mode at the line's speed, its slave linked at `path`. OSError when that cannot be had."""

    def __init__(self, path: Path, baud: int) -> None:
        self.path = path
        self.master, self._slave = os.openpty()
        speed: int | None = getattr(termios, f"B{baud}", None)
        tty.setraw(self._slave)
        if speed is not None:
            settings = termios.tcgetattr(self._slave)
            settings[OUTPUT_SPEED - 1] = settings[OUTPUT_SPEED] = speed
            termios.tcsetattr(self._slave, termios.TCSANOW, settings)
        os.set_blocking(self.master, False)
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(self._slave))

    def read(self) -> bytes:
        """What the pole has written and nobody read yet."""
        return os.read(self.master, READ_AT_ONCE)

    def write(self, data: bytes) -> bool:
        """True when all of `data` went in; a pole that reads nothing for long loses bytes, as on a wire."""
        try:
            return os.write(self.master, data) == len(data)
        except BlockingIOError:
            return False

    def speed(self) -> int:
        """The speed that the pole has set, in baud; 0 for one that is not usual."""
        return SPEEDS.get(termios.tcgetattr(self._slave)[OUTPUT_SPEED], 0)

    def unread(self) -> int:
        """Bytes that went towards the pole and that it has not read."""
        lying = array("i", [0])
        ioctl(self._slave, termios.FIONREAD, lying)
        return lying[0]

    def close(self) -> None:
        """Remove the link and both ends."""
        self.path.unlink(missing_ok=True)
        os.close(self.master)
        os.close(self._slave)
