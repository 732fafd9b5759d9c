"""Prometheus and promtool for tests, out of Debian's package ``prometheus``, fetched and unpacked without root.

No package registry of a language has them. apt checks the package's signature with the system's own keys. Nothing is
installed: two files are kept in ``.tools/``.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import MissingTool

PACKAGE = "prometheus"
_CACHE = Path(__file__).parents[1] / ".tools"
_PATIENCE = 100.0
"""Seconds that one command may take; fetching and unpacking take a few."""


def promtool() -> Path:
    """The path of promtool. Raises MissingTool."""
    return _tool("promtool")


def prometheus() -> Path:
    """The path of Prometheus. Raises MissingTool."""
    return _tool("prometheus")


def _tool(name: str) -> Path:
    path = _CACHE / f"debian-{PACKAGE}" / name
    if not path.exists():
        with _alone():
            # Another test process may have fetched it meanwhile.
            if not path.exists():
                _fetch(path.parent)
    return path


@contextmanager
def _alone() -> Iterator[None]:
    """Lets one test process in at a time: the package is large. The system frees the lock when the process ends."""
    _CACHE.mkdir(exist_ok=True)
    with (_CACHE / f"debian-{PACKAGE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Failed(Exception):
    """A command failed; the message is what it said."""


def _fetch(folder: Path) -> None:
    try:
        _unpack(folder)
    except (_Failed, OSError) as error:
        raise MissingTool(
            f"promtool and prometheus come out of Debian's package {PACKAGE}, which is not to be had here: {error} "
            f"(or put the two into {folder})"
        ) from None


def _unpack(folder: Path) -> None:
    # The scratch folder is beside the final one, so that a rename puts the whole there at once.
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as name:
        scratch = Path(name)
        package = _download(scratch)
        _run(scratch, "dpkg-deb", "-x", str(package), "unpacked")
        ready = scratch / "ready"
        ready.mkdir()
        for program in ("promtool", "prometheus"):
            (scratch / "unpacked/usr/bin" / program).rename(ready / program)
        if folder.exists():
            shutil.rmtree(folder)  # a program is missing from it
        ready.rename(folder)


def _download(scratch: Path) -> Path:
    """Downloads the package: with the system's lists, or, where they are missing or old, with new ones in here."""
    try:
        _run(scratch, "apt-get", "download", PACKAGE)
    except _Failed:
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (scratch / folder).mkdir(parents=True)
        ours = [f"-oDir::State::lists={scratch}/state/lists/", f"-oDir::Cache={scratch}/cache/"]
        # An update may fail for one source while another has the package.
        _run(scratch, "apt-get", *ours, "update", must=False)
        _run(scratch, "apt-get", *ours, "download", PACKAGE)
    return next(scratch.glob("*.deb"))


def _run(folder: Path, *command: str, must: bool = True) -> None:
    # As root, apt would change to a user who may not write here.
    options = ["-oAPT::Sandbox::User=", "-oAcquire::Retries=2"] if command[0] == "apt-get" else []
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    env |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    args = [command[0], *options, *command[1:]]
    try:
        ran = subprocess.run(args, cwd=folder, env=env, capture_output=True, text=True, timeout=_PATIENCE)
    except FileNotFoundError:
        raise _Failed(f"there is no {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise _Failed(f"{command[0]} did not end within {_PATIENCE:g} s") from None
    if must and ran.returncode:
        lines = [line for line in ran.stderr.splitlines() if line.startswith("E:")] or ran.stderr.splitlines()
        raise _Failed(f"{command[0]} failed: {lines[0] if lines else 'it does not say why'}")
