"""Reading a TOML table field by field, so that every mistake in it is found in one go.

Each method takes a key, notes what is wrong with it and returns a value of the right type all the same (the
default), so that checking goes on; ``end()`` reports keys that nobody asked for. Nothing is raised here:
``Problems.raise_if_any`` does that.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from device_profiles.documents import Path_, TomlDocument
from device_profiles.problems import Problems, nearest

SITE_TABLES = frozenset({"site", "agent", "gateway", "uplink", "links", "devices", "listeners", "callers"})
"""Top-level tables of a pole's site.toml; each room reads its own and leaves the others alone."""

CENTRE_TABLES = frozenset({"intake", "store", "api", "dashboards"})
"""Top-level tables of a centre.toml."""

_MISSING: Any = object()


def check_top_level(document: TomlDocument, known: Collection[str], problems: Problems) -> None:
    """Report top-level tables that no room knows."""
    for key in document.data:
        if key not in known:
            problems.add(document.path, document.line((key,)), key, "unknown table", nearest(key, known))


class Table:
    """One TOML table being read."""

    def __init__(self, document: TomlDocument, where: Path_, problems: Problems) -> None:
        self.document = document
        self.where = where
        self.problems = problems
        self._asked: set[str] = set()
        data: Any = document.data
        for part in where:
            if isinstance(data, dict):
                data = data.get(str(part), {})
            else:
                data = data[part] if isinstance(part, int) and isinstance(data, list) and part < len(data) else {}
        if not isinstance(data, dict):
            problems.add(document.path, document.line(where), self.name, "must be a table")
            data = {}
        self.data: dict[str, Any] = data

    @property
    def name(self) -> str:
        """The table's dotted name as people say it: ``devices[2]``."""
        text = ""
        for part in self.where:
            text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
        return text

    def line(self, key: str = "") -> int:
        """The line of a key, or of the table."""
        return self.document.line((*self.where, key) if key else self.where)

    def trouble(self, key: str, message: str, hint: str = "") -> None:
        """Note a mistake in one key (or, with an empty key, in the table)."""
        where = f"{self.name}.{key}" if key and self.name else key or self.name
        self.problems.add(self.document.path, self.line(key), where, message, hint)

    def has(self, key: str) -> bool:
        """True when the key is written; counts as asked for."""
        self._asked.add(key)
        return key in self.data

    def _take(self, key: str, default: Any, types: tuple[type, ...], wanted: str) -> Any:
        self._asked.add(key)
        if key not in self.data:
            if default is _MISSING:
                self.trouble(key, "is missing")
            return None if default is _MISSING else default
        value = self.data[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            self.trouble(key, f"must be {wanted}, not {value!r}")
            return None if default is _MISSING else default
        return value

    def text(self, key: str, default: str = _MISSING) -> str:
        """A string; without a default it must be there (and "" comes back when it is not)."""
        return self._take(key, default, (str,), "a text") or ""

    def optional_text(self, key: str) -> str | None:
        """A string, or None."""
        value = self._take(key, None, (str,), "a text")
        return value if isinstance(value, str) else None

    def integer(self, key: str, default: int = _MISSING, low: int | None = None, high: int | None = None) -> int:
        """A whole number within bounds."""
        value = self._take(key, default, (int,), "a whole number")
        return int(self._bounded(key, value, default, low, high))

    def number(
        self, key: str, default: float = _MISSING, low: float | None = None, high: float | None = None
    ) -> float:
        """A number within bounds."""
        value = self._take(key, default, (int, float), "a number")
        return float(self._bounded(key, value, default, low, high))

    def optional_number(self, key: str, low: float | None = None, high: float | None = None) -> float | None:
        """A number within bounds, or None when it is not written."""
        if not self.has(key):
            return None
        return self.number(key, low=low, high=high)

    def _bounded(self, key: str, value: Any, default: Any, low: float | None, high: float | None) -> Any:
        fallback = 0 if default is _MISSING else default
        if value is None:
            return fallback
        if (low is not None and value < low) or (high is not None and value > high):
            limits = [("≥", low), ("≤", high)]
            bounds = " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
            self.trouble(key, f"must be {bounds}, not {value}")
            return fallback
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        return bool(self._take(key, default, (bool,), "true or false"))

    def choice(self, key: str, choices: Sequence[str], default: str = _MISSING) -> str:
        """One of several words; a wrong one is answered with the nearest."""
        value = self.text(key, default)
        if value and value not in choices:
            self.trouble(key, f"unknown {key} {value!r}", nearest(value, choices))
            return choices[0] if default is _MISSING else default
        return value

    def texts(self, key: str, default: Sequence[str] = ()) -> list[str]:
        """A list of strings."""
        value = self._take(key, list(default), (list,), "a list of texts")
        if any(not isinstance(item, str) for item in value):
            self.trouble(key, "must be a list of texts")
            return list(default)
        return list(value)

    def numbers(self, key: str, default: Sequence[float] = (), count: int | None = None) -> list[float]:
        """A list of numbers, of a given length if one is named."""
        value = self._take(key, list(default), (list,), "a list of numbers")
        if any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in value):
            self.trouble(key, "must be a list of numbers")
            return list(default)
        if count is not None and value and len(value) != count:
            self.trouble(key, f"must hold {count} numbers, not {len(value)}")
            return list(default)
        return list(value)

    def title(self, key: str = "title") -> dict[str, str]:
        """Texts by language: { zh = "…", en = "…" }; empty when not written."""
        value = self._take(key, {}, (dict,), '{ zh = "…", en = "…" }')
        if any(not isinstance(text, str) for text in value.values()):
            self.trouble(key, "each language's text must be a text")
            return {}
        return dict(value)

    def secret(self, key: str) -> str | None:
        """A secret by reference only, { env = "NAME" } or { file = "path" }; None when not written."""
        value = self._take(key, None, (dict,), 'a reference: { env = "NAME" } or { file = "path" }')
        if value is None:
            return None
        if set(value) == {"env"} and isinstance(value["env"], str):
            found = os.environ.get(value["env"])
            if found is None:
                self.trouble(key, f"the environment has no {value['env']}")
            return found
        if set(value) == {"file"} and isinstance(value["file"], str):
            path = Path(self.document.path).parent / value["file"]
            try:
                return path.read_text(encoding="utf-8").strip()
            except OSError as trouble:
                self.trouble(key, f"{path} cannot be read: {trouble.strerror}")
                return None
        self.trouble(key, 'must be { env = "NAME" } or { file = "path" }')
        return None

    def path(self, key: str, default: str = _MISSING) -> Path:
        """A path, resolved against the file's own folder."""
        return Path(self.document.path).parent / self.text(key, default)

    def table(self, key: str) -> "Table":
        """A table inside this one; an empty one when it is not written."""
        self._asked.add(key)
        return Table(self.document, (*self.where, key), self.problems)

    def tables(self, key: str) -> list["Table"]:
        """An array of tables."""
        value = self._take(key, [], (list,), f"an array of tables: [[{key}]]")
        return [Table(self.document, (*self.where, key, index), self.problems) for index in range(len(value))]

    def end(self) -> None:
        """Report every key that was written and not asked for."""
        for key in self.data:
            if key not in self._asked:
                self.trouble(key, "unknown key", nearest(key, self._asked))
