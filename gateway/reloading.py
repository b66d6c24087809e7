"""A site file that changes while its programs run: read whole at SIGHUP or when it is written, taken over or refused.

A file with a mistake changes nothing: every problem in it is told, and what ran before runs on.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from device_profiles.problems import ConfigError
from device_profiles.tls import changed_at

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often the file is looked at; an editor's half-written file is refused, and the whole one is read next."""

T = TypeVar("T")


async def watch(site: Path, load: Callable[[], T], put: Callable[[T], None]) -> None:
    """Until cancelled: ``load`` at SIGHUP and when ``site`` changes, and ``put`` what it returns. ConfigError: told."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    try:
        before = changed_at([site])
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await asked.wait()
            now = changed_at([site])
            if asked.is_set() or now != before:
                before = now
                asked.clear()
                _take_over(site, load, put)
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _take_over(site: Path, load: Callable[[], T], put: Callable[[T], None]) -> None:
    try:
        put(load())
    except ConfigError as wrong:
        log.error("%s is refused, what ran before runs on:\n%s", site, wrong)
