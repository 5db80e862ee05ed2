"""ops/Dockerfile, as far as it can be checked without an engine: what it copies is there, and what it runs works."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import refold

ROOT = Path(__file__).parents[2]
FILE = ROOT / "ops" / "Dockerfile"
KNOWN = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "HEALTHCHECK"}
BUILD_TIMEOUT_S = 900


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, in order."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    whole = re.sub(r" *\\\n *", " ", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in whole.splitlines() if line.strip()]


INSTRUCTIONS = instructions()


def of_kind(kind: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == kind]


def copied() -> list[str]:
    """What is copied from the context."""
    return [source for rest in of_kind("COPY") if not rest.startswith("--from") for source in shlex.split(rest)[:-1]]


def test_it_is_made_of_instructions_that_there_are_in_two_pinned_stages() -> None:
    assert {name for name, _ in INSTRUCTIONS} == KNOWN
    bases = of_kind("FROM")
    assert [base.partition(" ")[0] for base in bases] == ["python:3.11-slim-bookworm"] * 2
    assert of_kind("HEALTHCHECK") == ["NONE"]  # docker-compose.yml has them: each command is well in its own way
    assert of_kind("ENTRYPOINT") == ['["refold"]']


def test_it_ends_as_a_user_that_is_not_root() -> None:
    (user,) = of_kind("USER")
    assert 0 not in [int(number) for number in user.split(":")]
    assert [name for name, _ in INSTRUCTIONS].index("USER") > max(
        number for number, (name, _) in enumerate(INSTRUCTIONS) if name in {"RUN", "COPY"}
    )


def test_what_it_copies_is_there_and_let_through() -> None:
    build = pytest.importorskip("docker.utils.build", reason="needs the docker package of testcontainers")
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    ignored = build.PatternMatcher(patterns)
    for source in copied():
        files = [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*.py"))
        assert files
        assert [file for file in files if ignored.matches(str(file.relative_to(ROOT)))] == []
    assert ignored.matches("tests/conftest.py")
    assert ignored.matches(".git/config")
    assert ignored.matches("refold/__pycache__/settings.pyc")


def test_it_copies_all_packages_and_installs_every_extra_of_a_cluster() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages < set(copied())
    installed = re.search(r"\$\{wheel\}\[(.*?)\]", FILE.read_text())
    assert installed is not None
    assert set(installed[1].split(",")) == set(project["project"]["optional-dependencies"]) - {"dev", "otel"}


@pytest.mark.slow
@pytest.mark.timeout(2 * BUILD_TIMEOUT_S)
def test_what_its_first_stage_runs_works_in_a_folder_with_nothing_else(tmp_path: Path) -> None:
    source, home = tmp_path / "source", tmp_path / "opt"
    source.mkdir()
    home.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    first = INSTRUCTIONS[: [n for n, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM"][1]]
    for command in (rest for name, rest in first if name == "RUN"):
        moved = command.replace("/wheels", str(tmp_path / "wheels")).replace("/opt/", f"{home}/")
        ran = subprocess.run(
            ["/bin/sh", "-ec", moved],
            cwd=source,
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_TIMEOUT_S,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        assert ran.returncode == 0, ran.stdout[-2_000:] + ran.stderr[-2_000:]
    assert ran.stdout.splitlines()[-1] == refold.__version__
