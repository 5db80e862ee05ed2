"""What a driver's exceptions become."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from projections.sql import databases
from projections.sql.databases import open_sqlite
from projections.sql.faults import POSTGRES_FAULTS, SQLITE_FAULTS, mapped_sql_errors, postgres_fault
from schemas.errors import DataFolderDamaged, DiskFull, FatalError, MachineError, TransientError

OUR_OWN_FAULTS = {
    "SQLITE_OK",
    "SQLITE_ERROR",
    "SQLITE_INTERNAL",
    "SQLITE_ABORT",
    "SQLITE_INTERRUPT",
    "SQLITE_NOTFOUND",
    "SQLITE_EMPTY",
    "SQLITE_SCHEMA",
    "SQLITE_CONSTRAINT",
    "SQLITE_MISMATCH",
    "SQLITE_MISUSE",
    "SQLITE_FORMAT",
    "SQLITE_RANGE",
    "SQLITE_NOTICE",
    "SQLITE_WARNING",
    "SQLITE_ROW",
    "SQLITE_DONE",
}
"""Result codes that only a mistake in refold can bring about; they become FatalError."""

OUR_OWN_STATES = {
    *("00", "01", "02", "03", "09", "0A", "0F", "0Z", "10", "20", "21", "22", "23", "24", "25", "26", "27", "2B", "2D"),
    *("2F", "34", "38", "39", "3B", "42", "44", "HV", "P0", "XX"),
}
"""Classes of SQLSTATEs that only a mistake in refold, or in what PostgreSQL is made of, can bring about."""

MAX_PRIMARY_CODE = 0xFF


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_sqlite(tmp_path / "view.sqlite")
    with opened.begin() as connection:
        connection.execute(text("CREATE TABLE facts (fact TEXT)"))
    yield opened
    opened.dispose()


def test_every_result_code_of_sqlite_has_a_meaning() -> None:
    not_result_codes = ("SQLITE_CREATE_", "SQLITE_DROP_", "SQLITE_LIMIT_")
    codes = {
        name: getattr(sqlite3, name)
        for name in dir(sqlite3)
        if name.startswith("SQLITE_") and not name.startswith(not_result_codes)
    }
    results = {name: code for name, code in codes.items() if code in SQLITE_FAULTS and code <= MAX_PRIMARY_CODE}
    known = {"BUSY", "LOCKED", "FULL", "CORRUPT", "NOTADB", "READONLY", "CANTOPEN", "PERM", "AUTH", "IOERR", "NOMEM"}
    assert {f"SQLITE_{name}" for name in known} <= set(results)
    primary = set(range(1, 29)) | {100, 101}
    unmapped = primary - set(SQLITE_FAULTS) - {codes[name] for name in OUR_OWN_FAULTS}
    assert not unmapped


def test_every_class_of_sqlstates_has_a_meaning() -> None:
    states = {
        error.sqlstate
        for error in vars(psycopg.errors).values()
        if isinstance(error, type) and issubclass(error, psycopg.Error) and error.sqlstate is not None
    }
    assert len(states) > 200
    unmapped = {state for state in states if postgres_fault(state, is_operational=True) is None}
    assert {state[:2] for state in unmapped} <= OUR_OWN_STATES
    assert not {key for key in POSTGRES_FAULTS if len(key) == 2} & OUR_OWN_STATES
    assert {key for key in POSTGRES_FAULTS if len(key) == 5} <= states


def test_what_may_pass_on_a_server_is_tried_again() -> None:
    passing = [
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.QueryCanceled,
        psycopg.errors.AdminShutdown,
        psycopg.errors.CannotConnectNow,
        psycopg.errors.TooManyConnections,
        psycopg.OperationalError,  # the server cannot be reached, or went away
    ]
    for error in passing:
        with pytest.raises(TransientError), mapped_sql_errors("write", "manifest"):
            raise OperationalError("SELECT 1", {}, error("it is so"))
    with pytest.raises(FatalError, match="a value too long"), mapped_sql_errors("write", "manifest"):
        raise DBAPIError("SELECT 1", {}, psycopg.errors.StringDataRightTruncation("a value too long"))


def test_a_full_disk_is_said_to_be_full(engine: Engine) -> None:
    many = [{"fact": "x" * 4_000}] * 100
    with engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 3"))
        with pytest.raises(DiskFull) as caught, mapped_sql_errors("write", "manifest"):
            connection.execute(text("INSERT INTO facts VALUES (:fact)"), many)
    assert (caught.value.op, caught.value.subject) == ("write", "manifest")
    assert caught.value.hint


def test_a_damaged_page_is_damage(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO facts VALUES (:fact)"), [{"fact": "x" * 3_000}] * 50)
    engine.dispose()
    path = tmp_path / "view.sqlite"
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 12] = b"\xff" * (4096 * 11)
    path.write_bytes(content)
    with pytest.raises(DataFolderDamaged), mapped_sql_errors("read", "manifest"), engine.begin() as connection:
        connection.execute(text("SELECT count(*) FROM facts")).all()


def test_a_writer_that_waited_too_long_may_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_S", 0.01)
    engine = open_sqlite(tmp_path / "view.sqlite")
    with sqlite3.connect(tmp_path / "view.sqlite", isolation_level=None) as other:
        other.execute("CREATE TABLE facts (fact TEXT)")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError), mapped_sql_errors("write", "manifest"), engine.begin() as connection:
            connection.execute(text("INSERT INTO facts VALUES ('late')"))
        other.execute("ROLLBACK")
    other.close()
    engine.dispose()


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "none" / "view.sqlite")
    with pytest.raises(MachineError) as caught, mapped_sql_errors("open", "manifest"), engine.begin():
        pass
    assert "check that the data folder exists" in str(caught.value.hint)


def test_a_mistake_of_ours_is_fatal(engine: Engine) -> None:
    with (
        pytest.raises(FatalError, match="no such table"),
        mapped_sql_errors("read", "manifest"),
        engine.begin() as connection,
    ):
        connection.execute(text("SELECT * FROM rumours"))


def test_a_path_with_any_characters_can_be_opened(tmp_path: Path) -> None:
    folder = tmp_path / "50% of a? #folder ä"
    folder.mkdir()
    engine = open_sqlite(folder / "view.sqlite")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE facts (fact TEXT)"))
    engine.dispose()
    assert (folder / "view.sqlite").exists()
