"""A progress bar on stderr when that is a terminal, and nothing at all when it is not. `rich` is loaded
only then."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Call it once for each step; use it as a context."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            try:
                from rich.console import Console
                from rich.progress import Progress as Bar
            except ModuleNotFoundError:
                return self  # a pole need not have it
            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("", total=self._total)
            self._bar.start()
        return self

    def __call__(self, who: str, more: int = 0) -> None:
        """One more address is being asked; or, with `more`, there are so many more to ask than was thought."""
        self._total += more
        if self._bar is not None:
            self._bar.update(self._task, advance=not more, total=self._total, description=who)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
