"""What may outgrow memory and need not outlive its process: tables on disk, a set of ids, lines in order."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from heapq import merge
from pathlib import Path
from typing import Self

from schemas.errors import DiskFull, MachineError
from schemas.sqlite_files import mapped_sqlite_errors

CACHE_KIB = 8 * 1024
"""Memory per table; about 100,000 ids stay off the disk."""

_SETTINGS = ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", f"cache_size = -{CACHE_KIB}")


def open_scratch(folder: Path) -> sqlite3.Connection:
    """An empty private SQLite database in `folder`, which vanishes when it is closed or its process dies.

    Raises:
        MachineError: `folder` cannot be written to. DiskFull: it has no space left.
    """
    try:
        descriptor, path = tempfile.mkstemp(prefix="scratch-", suffix=".sqlite", dir=folder)
    except OSError as exc:
        raise MachineError(
            f"temporary tables cannot be kept: {exc}", op="plan", subject=str(folder), hint="check who may write there"
        ) from exc
    os.close(descriptor)
    with mapped_sqlite_errors("plan", folder):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        # One transaction, never committed, and nothing to recover: pages reach the disk only when the cache is full.
        connection.execute("BEGIN EXCLUSIVE")
    Path(path).unlink()
    return connection


MAX_IDS_PER_CALL = 1_000
"""Well below the number of variables that SQLite takes in one statement."""


class IdSet:
    """Ids that were added, each once; open it in a ``with``."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._table = open_scratch(scratch)
        self._table.execute("CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._table.close()

    def __len__(self) -> int:
        return self._count

    def add(self, ids: Sequence[str]) -> set[str]:
        """Those of `ids` (at most `MAX_IDS_PER_CALL`) that were not in the set before."""
        with mapped_sqlite_errors("plan", self._scratch):
            new = set(ids)
            if self._count:
                marks = ",".join("?" * len(ids))
                with closing(self._table.execute(f"SELECT id FROM ids WHERE id IN ({marks})", ids)) as rows:  # noqa: S608 - only marks
                    new.difference_update(row[0] for row in rows)
            self._table.executemany("INSERT INTO ids VALUES (?)", ((one,) for one in new))
        self._count += len(new)
        return new


RUN_LINES = 50_000
"""About 10 MB of ids and uris; a million documents make 20 runs to merge."""

_READ_BYTES = 64 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}


class SortedSpool:
    """Lines of text without line ends, to be added first and then iterated, as often as one likes.

    Its file vanishes when it is closed or its process dies; open it in a ``with``.

    Raises:
        MachineError: the folder cannot be written to. DiskFull: it has no space left.
    """

    def __init__(self, folder: Path, *, run_lines: int = RUN_LINES) -> None:
        self._folder = folder
        self._run_lines = run_lines
        self._tail: list[str] = []
        self._runs: list[tuple[int, int]] = []
        with self._mapped_os_errors():
            self._file = tempfile.TemporaryFile(dir=folder, prefix="spool-", buffering=0)  # noqa: SIM115 - see __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def add(self, lines: Iterable[str]) -> None:
        """Add `lines`, in any order."""
        self._tail.extend(lines)
        if len(self._tail) >= self._run_lines:
            self._write_run()

    def __iter__(self) -> Iterator[str]:
        """All lines, sorted."""
        self._tail.sort()
        return (
            merge(*(self._run(start, end) for start, end in self._runs), self._tail) if self._runs else iter(self._tail)
        )

    def _write_run(self) -> None:
        self._tail.sort()
        start = self._runs[-1][1] if self._runs else 0
        run = "".join(f"{line}\n" for line in self._tail).encode()
        with self._mapped_os_errors():
            written = 0
            while written < len(run):
                written += os.pwrite(self._file.fileno(), run[written:], start + written)
        self._runs.append((start, start + len(run)))
        self._tail = []

    def _run(self, start: int, end: int) -> Iterator[str]:
        rest = b""
        while start < end:
            with self._mapped_os_errors():
                piece = os.pread(self._file.fileno(), min(_READ_BYTES, end - start), start)
            start += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            yield from map(bytes.decode, lines)

    @contextmanager
    def _mapped_os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            error = DiskFull if exc.errno in _FULL else MachineError
            raise error(
                f"temporary files cannot be kept: {exc.strerror or exc}",
                op="plan",
                subject=str(self._folder),
                hint="check its space and who may write there",
            ) from exc
