"""The one bounded poll of these tests: on threads and processes that offer no event to wait for."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Look until it holds; AssertionError with `what` when it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.005)
