"""The folders of an index: generations side by side, each with the files of its driver and a mark that names them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic

from projections.backends.server_calls import one_line
from projections.fold.panics import error_of, is_panic
from projections.index.backend import IndexForeign
from projections.index.generation_store import BackendT_co
from schemas.durable import sync_path
from schemas.errors import DataFolderDamaged, DiskFull, MachineError, RefoldError, UsageError

_NO_SPACE = ("No space left on device", f"os error {errno.ENOSPC}", f"os error {errno.EDQUOT}", "quota exceeded")
"""What drivers say when the disk is full: so far how Rust spells ENOSPC and EDQUOT, for they keep only the text."""


@contextmanager
def mapped_driver_errors(op: str, index: str, directory: Path) -> Iterator[None]:
    """Raise what the driver of the `index` (``vector`` or ``keyword``) in `directory` raises as an error of refold's.

    Raises:
        DiskFull: there is no space left.
        DataFolderDamaged: the index cannot be opened.
        Panicked: the driver met a fault of its own.
        MachineError: anything else.
    """
    try:
        yield
    except RefoldError:
        raise
    except Exception as exc:  # both drivers raise bare Exception, ValueError and RuntimeError for all they meet
        raise _error(exc, op, index, str(directory)) from exc
    except BaseException as exc:
        if not is_panic(exc):
            raise
        raise error_of(exc, op=op, subject=f"the {index} index", hint=f"refold rebuild {index}") from exc


def _error(exc: Exception, op: str, index: str, subject: str) -> MachineError:
    said = f"the {index} index: {one_line(exc)}"
    if any(text in said for text in _NO_SPACE):
        return DiskFull(said, op=op, subject=subject, hint="free some space and start again")
    if op == "open index":
        return DataFolderDamaged(said, op=op, subject=subject, hint=f"refold rebuild {index}")
    return MachineError(said, op=op, subject=subject, hint=f"refold doctor, or else refold rebuild {index}")


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
    """The path of the driver's files in `directory`; opened, or if `create` written from scratch, within the block.

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
        sync_path(path)


class FolderGenerations(Generic[BackendT_co]):
    """Generations in folders of `directory`, which is theirs alone.

    `open_backend`, a backend's class or the like, is called with the folder and the name of a generation, and `create`
    as the port's `open`, whose errors it raises.
    """

    def __init__(self, directory: Path, open_backend: Callable[..., BackendT_co]) -> None:
        self.location = str(directory)
        self._directory = directory
        self._open_backend = open_backend

    def open(self, generation: str, *, create: bool) -> BackendT_co:
        """The index in the folder of `generation`; see the port."""
        return self._open_backend(self._directory / generation, generation, create=create)

    def drop_others(self, spared: str | None) -> None:
        """Delete every folder but that of `spared`.

        Raises:
            MachineError: that cannot be done.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            for folder in self._directory.iterdir():
                if folder.name != spared:
                    shutil.rmtree(folder)
        except OSError as exc:
            raise MachineError(
                f"{self._directory}: {exc.strerror}",
                op="open index",
                subject=self.location,
                hint="make the data folder writable",
            ) from exc

    def point_alias(self, generation: str) -> None:
        """Nothing: only the owner of the data folder reads them."""
