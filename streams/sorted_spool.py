"""Lines given back sorted, of any number: memory holds one run of them, the rest lies in a temporary file."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import merge
from pathlib import Path
from typing import Self

from schemas.errors import DiskFull, MachineError

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
