"""What is wrong with something the operator wrote: all of it at once, with file, line and the nearest right name."""

import difflib
from collections.abc import Iterable

import msgspec


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake. ``line`` counts from 1, 0 when it concerns the file as a whole; ``hint`` may be empty."""

    file: str
    line: int
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.where}: " if self.where else ""
        return f"{place}: {subject}{self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(Exception):
    """The operator is mistaken: carries *every* problem found; printed without a traceback, exit 1."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """Collects problems of one check, over several files if need be."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, file: str, line: int, where: str, message: str, hint: str = "") -> None:
        """Note one mistake and go on checking."""
        self.found.append(Problem(file, line, where, message, hint))

    def raise_if_any(self) -> None:
        """ConfigError with everything noted so far; nothing when nothing was."""
        if self.found:
            raise ConfigError(self.found)


def nearest(name: str, choices: Iterable[str]) -> str:
    """A hint for a misspelt name: ``did you mean 'x'?``, or the list when it is short, or nothing."""
    known = sorted(set(choices))
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if 0 < len(known) <= 12:
        return "one of: " + ", ".join(known)
    return ""
