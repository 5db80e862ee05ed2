"""The file of an index's bookkeeping; what is written in it: tests/contract/indexes/test_index_views.py."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from projections.index.books.books import open_index_database


def test_what_an_index_serves_is_synced_before_what_it_superseded_is_deleted(tmp_path: Path) -> None:
    """FULL is 2 (sqlite.org/pragma.html): a power cut takes back no commit, of whichever connection."""
    engine = open_index_database(tmp_path / "indexes.sqlite")
    with closing(engine.raw_connection()) as first, closing(engine.raw_connection()) as second:
        for connection in (first, second):
            cursor = connection.cursor()
            assert cursor.execute("PRAGMA synchronous").fetchone() == (2,)
            assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    engine.dispose()
