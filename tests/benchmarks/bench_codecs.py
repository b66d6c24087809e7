"""Frames decoded a second and core by every codec, beside the fastest public library for the same protocol if any.

Each protocol's own file (``codec_<protocol>.py``) brings its frames and its peer; a codec without one is not measured.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.benchmarks.processes import Row, say


def run(quick: bool = False) -> list[Row]:
    """The rows of every codec's file, in the order of their names."""
    rows: list[Row] = []
    for path in sorted(Path(__file__).parent.glob("codec_*.py")):
        say(path.stem)
        rows += importlib.import_module(f"tests.benchmarks.{path.stem}").measure(quick)
    return rows
