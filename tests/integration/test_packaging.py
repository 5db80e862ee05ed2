from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "streams", "projections", "refold")
PACKAGED = ("*.py", "*.avsc", "RELEASED", "topics.yaml", "py.typed")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command far from the source tree; what it said is shown when it fails."""
    ran = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(map(str, command))}\n{ran.stdout}{ran.stderr}"
    return ran


def packaged_files() -> list[str]:
    """Every module, schema and type marker of the tree."""
    found = (path for package in PACKAGES for name in PACKAGED for path in (ROOT / package).rglob(name))
    return sorted(str(path.relative_to(ROOT)) for path in found)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel made from it; built from a copy, so that nothing old in the tree gets in."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    built = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, source, cwd=built)
    return built


@pytest.fixture(scope="module")
def installed(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment with the wheel in it; its dependencies are borrowed from this one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    wheel = next(distributions.glob("*.whl"))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    site = next((home / "lib").glob("python*/site-packages"))
    # Folders named in a .pth file are searched, but their own .pth files are not: an editable install stays out.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib") + "\n")
    return home / "bin"


def test_the_wheel_holds_every_module_schema_and_type_marker_and_nothing_else(distributions: Path) -> None:
    names = zipfile.ZipFile(next(distributions.glob("*.whl"))).namelist()
    assert sorted(name for name in names if ".dist-info/" not in name) == packaged_files()


def test_the_sdist_holds_what_the_wheel_is_made_of(distributions: Path) -> None:
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", *packaged_files()} - names == set()


def test_the_installed_wheel_does_not_need_the_source_tree(installed: Path, tmp_path: Path) -> None:
    where = "import refold, schemas.registry as r; print(refold.__file__, r.__file__)"
    homes = run(installed / "python", "-c", where, cwd=tmp_path).stdout.split()
    assert [Path(home).is_relative_to(installed.parent) for home in homes] == [True, True]
    assert "ingest" in run(installed / "refold", "--help", cwd=tmp_path).stdout
    run(installed / "refold", "schema", "check", cwd=tmp_path)


def test_the_installed_wheel_ingests_and_finds_a_document(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "wheel.md").write_text("# Wheels\n\nA cartwright makes carriages.\n")
    run(installed / "refold", "ingest", "docs", cwd=tmp_path)
    assert "cartwright" in run(installed / "refold", "search", "who makes carriages?", cwd=tmp_path).stdout
