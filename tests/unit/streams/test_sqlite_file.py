"""What every SQLite file of the data folder keeps to."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from schemas.errors import DataFolderDamaged
from streams.sqlite_file import FileKind, SqliteFile

DIARY = FileKind(noun="diary", application_id=7, format=1, layout=("CREATE TABLE days (entry TEXT NOT NULL) STRICT",))


@pytest.fixture
def diary(tmp_path: Path) -> Iterator[SqliteFile]:
    with closing(SqliteFile(tmp_path / "diary.sqlite", DIARY, read_only=False)) as opened:
        yield opened


def write(file: SqliteFile, entry: str) -> None:
    with file.transaction("write") as connection:
        connection.execute("INSERT INTO days VALUES (?)", (entry,))


def entries(file: SqliteFile) -> list[str]:
    with file.reader("read") as connection:
        return [entry for (entry,) in connection.execute("SELECT entry FROM days")]


def test_a_connection_that_read_well_is_used_again_and_one_that_failed_is_closed(diary: SqliteFile) -> None:
    with diary.reader("read") as first:
        pass
    with pytest.raises(DataFolderDamaged, match="no such table"), diary.reader("read") as second:
        second.execute("SELECT * FROM nights")
    assert second is first
    with diary.reader("read") as third:
        assert third is not first
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        first.execute("SELECT 1")


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "opened again"])
def test_a_transaction_is_synced_before_it_is_answered(tmp_path: Path, *, is_new: bool) -> None:
    """FULL is 2 (sqlite.org/pragma.html): with a write-ahead log nothing less survives a power cut."""
    path = tmp_path / "diary.sqlite"
    if not is_new:
        SqliteFile(path, DIARY, read_only=False).close()
    with closing(SqliteFile(path, DIARY, read_only=False)) as file, file.transaction("look") as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_new_file_and_its_first_rows_are_made_together_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "diary.sqlite"

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO days VALUES ('Dear diary')")

    def interrupted(_connection: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SqliteFile(path, DIARY, read_only=False, fill=interrupted)
    for _ in range(2):
        with closing(SqliteFile(path, DIARY, read_only=False, fill=fill)) as diary:
            assert entries(diary) == ["Dear diary"]


def read_as_nobody(path: Path, line: Connection) -> None:
    """In a process that may not write: what is read each time one is asked to."""
    if os.geteuid() == 0:  # root may write everywhere
        os.setuid(65_534)
    with closing(SqliteFile(path, DIARY, read_only=True)) as file:
        while line.recv():
            line.send(entries(file))


def test_who_may_not_write_in_the_folder_sees_what_its_owner_writes_meanwhile() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o755)
        path = Path(folder, "diary.sqlite")
        with closing(SqliteFile(path, DIARY, read_only=False)) as owner:
            write(owner, "Monday")
        here, there = Pipe()
        nobody = get_context("fork").Process(target=read_as_nobody, args=(path, there))
        nobody.start()

        def seen_by_nobody() -> object:
            here.send(True)  # noqa: FBT003 - go on
            assert here.poll(30)
            return here.recv()

        assert seen_by_nobody() == ["Monday"]
        with closing(SqliteFile(path, DIARY, read_only=False)) as owner:
            write(owner, "Tuesday")
            assert seen_by_nobody() == ["Monday", "Tuesday"]
        assert seen_by_nobody() == ["Monday", "Tuesday"]
        here.send(False)  # noqa: FBT003 - that was all
        nobody.join(30)
    assert nobody.exitcode == 0
