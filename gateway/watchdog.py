"""Telling systemd that we are ready, that the event loop still turns, and that we are stopping (sd_notify(3)).

Silent where nobody asks: without NOTIFY_SOCKET in the environment nothing is sent. Refuses to say that it lives from
anywhere but the event loop: a loop that hangs must be found out.
"""

import asyncio
import os
import socket

READY, STOPPING, ALIVE = b"READY=1", b"STOPPING=1", b"WATCHDOG=1"

SHARE = 3
"""Times in WATCHDOG_USEC that we say so: sd_watchdog_enabled(3) asks for at least two."""


def notify(message: bytes) -> None:
    """Send one message to systemd; nothing where it did not ask for any."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    place = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(message, place)
        except OSError:
            return  # systemd is being restarted: the next message finds it


async def keep_alive() -> None:
    """Say READY, then that the loop turns, until cancelled; then say STOPPING."""
    notify(READY)
    interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / SHARE
    try:
        while True:
            if interval:
                notify(ALIVE)
            await asyncio.sleep(interval or 3600.0)
    finally:
        notify(STOPPING)
