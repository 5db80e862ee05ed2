"""A set of ids of any size: memory stays bounded, the rest lies in a temporary table."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

from schemas.sqlite_files import mapped_sqlite_errors
from streams.scratch import open_scratch

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
