"""Fixtures of the ingest tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rooms.ingest.sender import Centre, manifest


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    """Store, memory and pipeline with the pole's manifest registered."""
    centre = Centre(tmp_path / "centre.duckdb")
    centre.register(manifest())
    yield centre
    centre.store.close()
