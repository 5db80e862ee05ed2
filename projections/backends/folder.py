"""The folder of an index: its driver's files in `data`, beside a mark that says what they are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from projections.index.backend import IndexForeign
from schemas.errors import UsageError

MARK = "generation.json"
DATA = "data"

_BLOCK_BYTES = 512
"""What `st_blocks` counts in (POSIX)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderMark:
    """What an index folder holds; one that differs in any of these is foreign.

    Attributes:
        index: ``vector`` or ``keyword``.
        generation: The id the bookkeeping knows it by.
        backend: The technology.
        layout: Everything else that files have to agree in with the code that reads them.
    """

    index: str
    generation: str
    backend: str
    layout: str


@contextmanager
def open_folder(directory: Path, mark: FolderMark, *, create: bool) -> Iterator[Path]:
    """The path of the driver's files in `directory`; to be opened, or if `create` written anew, within the block.

    The mark is removed first and written last, so a folder that was being made when the process died is foreign.

    Raises:
        IndexForeign: the folder is missing, unfinished, or does not hold what `mark` says.
    """
    data = directory / DATA
    if not create:
        check_folder(directory, mark)
        yield data
        return
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK).unlink(missing_ok=True)
    if data.exists():
        shutil.rmtree(data)
    data.mkdir()
    yield data
    _write(directory, mark)


def check_folder(directory: Path, mark: FolderMark) -> None:
    """Raise IndexForeign unless `directory` holds what `mark` says."""
    try:
        found = json.loads((directory / MARK).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise foreign(mark, str(directory), "there is no finished index") from None
    except ValueError as exc:
        raise foreign(mark, str(directory), f"there is an unreadable {MARK}") from exc
    if found != asdict(mark):
        raise foreign(mark, str(directory), f"there is {json.dumps(found, ensure_ascii=False)}")


def allocated_bytes(directory: Path) -> int:
    """Bytes that the files under `directory` take on disk; files with holes count for what is written of them."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(folder) / name).stat().st_blocks * _BLOCK_BYTES
            except FileNotFoundError:
                continue  # a driver replaces files while it is being measured
    return total


def check_ours(found: Mapping[str, Any], name: str, *, kind: str, kinds: str) -> None:
    """Raise UsageError unless the mark `found` in the index or collection `name` is refold's."""
    if "backend" not in found:
        raise UsageError(
            f"the {kind} {name} is not one of refold's",
            op="create index",
            subject=name,
            hint=f"delete it, or set another prefix for refold's {kinds}",
        )


def foreign(mark: FolderMark, subject: str, found: str) -> IndexForeign:
    """The error that says `found` instead of the index `mark` describes."""
    return IndexForeign(
        f"{found} instead of generation {mark.generation} of the {mark.index} index",
        op="open index",
        subject=subject,
        hint=f"refold rebuild {mark.index}",
    )


def _write(directory: Path, mark: FolderMark) -> None:
    unfinished = directory / f"{MARK}.new"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(asdict(mark), file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(directory / MARK)
    for path in (directory, directory.parent):
        _sync_directory(path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
