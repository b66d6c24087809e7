"""What a fresh machine gets: a pole that stays small, and a wheel that holds the page and the library."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_ON_A_POLE = {"fastapi", "numpy", "duckdb", "pydantic", "pyroaring", "uvicorn", "pymodbus", "rich"}
POLE_MEGABYTES = 15

LOADED = """
import importlib, pkgutil, sys
import device_profiles, edge_agent, gateway, kuimen
for room in (device_profiles, edge_agent, gateway):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
print(" ".join(sorted(name for name in sys.modules if "." not in name)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as a release would be."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    return next(folder.glob("kuimen-*.whl"))


@pytest.fixture(scope="module")
def pole(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A virtual environment with nothing but kuimen[pole]."""
    folder = tmp_path_factory.mktemp("pole")
    venv.create(folder, with_pip=True)
    pins = ["-c", str(ROOT / "constraints.txt")]
    command = [str(folder / "bin/pip"), "install", "-q", "--no-compile", *pins, f"kuimen[pole] @ {wheel.as_uri()}"]
    subprocess.run(command, check=True, timeout=300)
    return folder


def test_the_wheel_holds_the_page_and_the_library(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"kuimen.py", "dashboards/static/index.html", "device_profiles/batch.cddl"} <= names
    assert [name for name in names if name.startswith("dashboards/static/assets/") and name.endswith(".js")]
    library = (ROOT / "device_profiles/library").rglob("*.toml")
    assert {str(path.relative_to(ROOT)) for path in library} <= names
    assert not [name for name in names if "node_modules" in name or name.startswith("tests/")]


def test_a_pole_installs_no_centre(pole: Path) -> None:
    listed = subprocess.run(
        [str(pole / "bin/pip"), "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    names = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    assert not names & NOT_ON_A_POLE


def test_a_pole_stays_small(pole: Path) -> None:
    packages = next((pole / "lib").glob("python3*/site-packages"))
    ours = [path for path in packages.rglob("*") if path.is_file() and not _of_the_installer(path, packages)]
    size = sum(path.stat().st_size for path in ours if "__pycache__" not in path.parts)
    assert size <= POLE_MEGABYTES * 1_000_000, f"{size / 1e6:.1f} MB"


def _of_the_installer(path: Path, packages: Path) -> bool:
    return path.relative_to(packages).parts[0].startswith(("pip", "setuptools", "_distutils", "distutils", "pkg_res"))


def test_a_pole_loads_without_the_centre(pole: Path) -> None:
    done = subprocess.run([str(pole / "bin/python"), "-c", LOADED], capture_output=True, text=True, cwd=pole)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & NOT_ON_A_POLE


def test_a_missing_extra_is_named(pole: Path) -> None:
    (pole / "centre.toml").write_text("")
    line = [str(pole / "bin/kuimen"), "ingest", "run", "centre.toml"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=pole)
    assert done.returncode == 1
    assert "kuimen[centre]" in done.stderr and "Traceback" not in done.stderr
