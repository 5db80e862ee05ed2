"""What is missing, damaged or tight on this machine and in the data folder, found without changing anything."""

from __future__ import annotations

import importlib.metadata
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

from refold.doctor.result import Checked
from refold.engine.data_folder import DataFolder, Ownership
from refold.settings.settings import Settings
from schemas.compatibility import check as check_schemas
from schemas.errors import RefoldError
from streams.logs.sqlite.log import SqliteLog

LOW_DISK_BYTES = 1024**3
"""Less free space than this is worth a warning: an ingest of a few thousand documents may need it."""

MINIMUM_PYTHON = (3, 11)
MINIMUM_SQLITE = (3, 35, 0)
"""RETURNING and upserts of more than one target."""

LIBRARIES = ("fastavro", "kreuzberg", "qdrant-edge-py", "tantivy", "wordllama")


def examine(settings: Settings) -> list[Checked]:
    """All checks, in the order a person would make them: of the data folder, or of the servers of a cluster."""
    if settings.engine == "cluster":
        from refold.doctor.cluster import examine_cluster  # noqa: PLC0415 - the machinery of a cluster

        return [*_machine(), *examine_cluster(settings.cluster), _schemas()]
    return [*_machine(), *_folder(DataFolder(settings.data)), _schemas()]


def _machine() -> Iterator[Checked]:
    version = sys.version_info[:3]
    yield Checked(
        "python", version >= MINIMUM_PYTHON, ".".join(map(str, version)), _unless(version >= MINIMUM_PYTHON, "3.11+")
    )
    is_new = sqlite3.sqlite_version_info >= MINIMUM_SQLITE
    yield Checked("sqlite", is_new, sqlite3.sqlite_version, _unless(is_new, "use a Python with SQLite 3.35 or newer"))
    for name in LIBRARIES:
        try:
            yield Checked(name, is_good=True, found=importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Checked(name, is_good=False, found="not installed", hint="pip install refold")


def _folder(folder: DataFolder) -> Iterator[Checked]:
    place = next(p for p in (folder.path.absolute(), *folder.path.absolute().parents) if p.exists())
    free_bytes = shutil.disk_usage(place).free
    is_roomy = free_bytes >= LOW_DISK_BYTES
    yield Checked("free disk", is_roomy, f"{free_bytes // 2**20:,} MiB", _unless(is_roomy, "free some space"))
    if not folder.exists():
        yield Checked("data folder", is_good=True, found=f"{folder.path}: not made yet")
        return
    try:
        folder.create()
        yield Checked("data folder", is_good=True, found=str(folder.path))
        yield from _log(folder.log)
    except RefoldError as error:
        yield Checked("data folder", is_good=False, found=str(error), hint=error.hint)
    pid = Ownership(folder).owner_pid()
    yield Checked("owner", is_good=True, found=f"process {pid}" if pid else "none")


def _log(path: Path) -> Iterator[Checked]:
    if not path.exists():
        yield Checked("log", is_good=True, found="empty")
        return
    log = SqliteLog(path, read_only=True)
    try:
        counts = log.end([tp for topic in ("documents", "requests", "jobs") for tp in log.partitions(topic)])
        yield Checked("log", is_good=True, found=str(counts) or "empty")
    finally:
        log.close()


def _schemas() -> Checked:
    problems = check_schemas()
    first = problems[0] if problems else None
    return Checked("schemas", not problems, first.message if first else "compatible", first.hint if first else None)


def _unless(is_good: bool, hint: str) -> str | None:  # noqa: FBT001 - reads as a sentence
    return None if is_good else hint
