"""Everything that can be said against profiles without a device: the loader's checks and the laws of the library.

The laws: each example is what we would send, reads as it says and encodes back to the same bytes; each point has an
example; a point that goes below zero has one there; each point can be simulated. A draft is held to them too.
"""

from collections.abc import Iterable
from pathlib import Path

from device_profiles.documents import Path_, TomlDocument
from device_profiles.examples import complaints_about, points_without_example, points_without_negative
from device_profiles.loader import LIBRARY, read_profile
from device_profiles.problems import Problems
from device_profiles.profiles import DeviceProfile


def profile_files(paths: Iterable[str | Path] = ()) -> list[Path]:
    """The TOML files in these files and folders, sorted; the library's when none are named."""
    found: list[Path] = []
    for path in [Path(p) for p in paths] or [LIBRARY]:
        found += sorted(path.rglob("*.toml")) if path.is_dir() else [path]
    return found


def lint(paths: Iterable[str | Path], problems: Problems) -> int:
    """Check files and folders; the number of profiles looked at. What is wrong is noted in ``problems``."""
    files = profile_files(paths)
    models: dict[str, Path] = {}
    for path in files:
        profile = lint_file(path, problems)
        if profile is None:
            continue
        first = models.setdefault(profile.model, path)
        if first != path:
            problems.add(str(path), 1, "profile.model", f"{profile.model!r} is also in {first}")
    return len(files)


def lint_file(path: Path, problems: Problems) -> DeviceProfile | None:
    """Check one file; the profile when the loader found nothing wrong with it."""
    document = TomlDocument.load(path, problems)
    profile = None if document is None else read_profile(document, problems)
    if document is None or profile is None:
        return None
    _check_examples(document, profile, problems)
    _check_coverage(document, profile, problems)
    return profile


def _check_examples(document: TomlDocument, profile: DeviceProfile, problems: Problems) -> None:
    for index, example in enumerate(profile.examples):
        for complaint in complaints_about(profile, example):
            where: Path_ = ("examples", index)
            problems.add(document.path, document.line(where), f"examples[{index + 1}]", complaint)


def _check_coverage(document: TomlDocument, profile: DeviceProfile, problems: Problems) -> None:
    lines = {point.name: (profile.protocol, "points", index) for index, point in enumerate(profile.points)}
    missing = points_without_example(profile)
    troubles = [(name, "no example names it") for name in missing]
    troubles += [
        (name, "can go below zero and no example shows it there")
        for name in points_without_negative(profile)
        if name not in missing
    ]
    troubles += [
        (name, "cannot be simulated: [simulate] does not name it") for name in lines if name not in profile.simulate
    ]
    for name, message in troubles:
        problems.add(document.path, document.line(lines[name]), name, message)
