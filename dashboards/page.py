"""The built page, held in memory: some hundred kilobytes, read once.

Only files that the build wrote can be asked for, by their exact names; no path of a request ever reaches the
file system, so there is nothing to traverse.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from device_profiles.problems import ConfigError, Problem

STATIC = Path(__file__).parent / "static"
HOW_TO_BUILD = "build it with: python dashboards/build_web.py"
_WORTH_PACKING = 1000
"""Bytes; a smaller file fits one packet either way."""


@dataclass(frozen=True)
class Asset:
    """One file. ``packed``: its gzip form, None where that is no smaller.
    ``lasting``: its name holds its content's hash."""

    body: bytes
    packed: bytes | None
    media_type: str
    etag: str
    lasting: bool


def load_page(folder: Path = STATIC) -> dict[str, Asset]:
    """Every file of the page by its URL path ("/" is index.html); ConfigError when the page is not built."""
    if not (folder / "index.html").is_file():
        raise ConfigError([Problem(str(folder), 0, "", "the live page is not built", HOW_TO_BUILD)])
    page = {
        "/" + path.relative_to(folder).as_posix(): _asset(path, path.parent.name == "assets")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    page["/"] = page.pop("/index.html")
    return page


def _asset(path: Path, lasting: bool) -> Asset:
    body = path.read_bytes()
    packed = gzip.compress(body, 9, mtime=0) if len(body) >= _WORTH_PACKING else body
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind.endswith(("javascript", "json", "+xml"))
    return Asset(
        body=body,
        packed=packed if len(packed) < len(body) else None,
        media_type=f"{kind}; charset=utf-8" if text else kind,
        etag=f'"{hashlib.sha256(body).hexdigest()[:20]}"',
        lasting=lasting,
    )
