"""A TOML file that remembers its lines, so that a mistake can be shown where it stands.

``tomllib`` parses; it keeps no positions, so a second, forgiving scan finds the line of each table and key. Where
the scan does not understand a construct it points to the nearest table above: a hint may be coarse, never absent.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from device_profiles.problems import Problems

Path_ = tuple[str | int, ...]
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


class TomlDocument:
    """Parsed data with the line of each table and key."""

    def __init__(self, path: str, data: dict[str, Any], lines: dict[Path_, int]) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def line(self, where: Path_) -> int:
        """The line of a key path such as ("devices", 0, "unit"), or of the nearest table that holds it; 1 at worst."""
        for length in range(len(where), 0, -1):
            found = self._lines.get(where[:length])
            if found:
                return found
        return 1

    @classmethod
    def parse(cls, text: str, path: str, problems: Problems) -> "TomlDocument | None":
        """Parse TOML text; None, with the problem noted, when it is no TOML."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as trouble:
            found = re.search(r"at line (\d+)", str(trouble))
            message = re.sub(r"\s*\(at .*\)", "", str(trouble))
            problems.add(path, int(found[1]) if found else len(text.splitlines()), "", f"not TOML: {message}")
            return None
        return cls(path, data, _scan(text))

    @classmethod
    def load(cls, path: str | Path, problems: Problems) -> "TomlDocument | None":
        """Read and parse a file; None, with the problem noted, when that fails."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            problems.add(str(path), 0, "", "no such file")
        except UnicodeDecodeError as trouble:
            problems.add(str(path), 0, "", f"not UTF-8 text: {trouble.reason} at byte {trouble.start}")
        except OSError as trouble:
            problems.add(str(path), 0, "", f"cannot be read: {trouble.strerror}")
        else:
            return cls.parse(text, str(path), problems)
        return None


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


class _Scan:
    """Walks the lines once; holds where it is in the tree and whether it is inside a multi-line value."""

    def __init__(self) -> None:
        self.lines: dict[Path_, int] = {}
        self.here: Path_ = ()
        self.counts: dict[Path_, int] = {}
        self.quote = ""
        self.depth = 0

    def header(self, opening: str, dotted: str, number: int) -> None:
        path: Path_ = ()
        parts = _parts(dotted)
        for position, part in enumerate(parts):
            path = (*path, part)
            last = position == len(parts) - 1
            if opening == "[[" and last:
                self.lines.setdefault(path, number)
                index = self.counts.get(path, 0)
                self.counts[path] = index + 1
                path = (*path, index)
            elif path in self.counts:
                path = (*path, self.counts[path] - 1)
        self.lines.setdefault(path, number)
        self.here = path

    def key(self, dotted: str, number: int) -> None:
        path = self.here
        for part in _parts(dotted):
            path = (*path, part)
            self.lines.setdefault(path, number)

    def skip_value(self, text: str) -> None:
        """Follow quotes and brackets of a value, so that the lines inside it are not taken for keys."""
        position = 0
        while position < len(text):
            rest = text[position:]
            if self.quote:
                if self.quote[0] == '"' and rest[0] == "\\":
                    position += 2
                    continue
                if rest.startswith(self.quote):
                    position += len(self.quote)
                    self.quote = ""
                    continue
            elif rest[0] in "\"'":
                self.quote = rest[0] * 3 if rest.startswith(rest[0] * 3) else rest[0]
                position += len(self.quote)
                continue
            elif rest[0] == "#":
                break
            else:
                self.depth += (rest[0] in "[{") - (rest[0] in "]}")
            position += 1
        if len(self.quote) == 1:  # a one-line string ends with its line
            self.quote = ""


def _scan(text: str) -> dict[Path_, int]:
    scan = _Scan()
    for number, line in enumerate(text.splitlines(), 1):
        if scan.quote or scan.depth > 0:
            scan.skip_value(line)
        elif header := _HEADER.match(line):
            scan.header(header[1], header[2], number)
        elif key := _KEY.match(line):
            scan.key(key[1], number)
            scan.skip_value(line[key.end() :])
    return scan.lines
