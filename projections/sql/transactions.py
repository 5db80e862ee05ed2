"""Transactions on a database, with errors of refold's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from projections.sql.dialects import READS, WRITES
from projections.sql.faults import mapped_sql_errors


@contextmanager
def reading(database: Engine, subject: str, *, op: str = "read") -> Iterator[Connection]:
    """A transaction that reads one snapshot."""
    with mapped_sql_errors(op, subject), database.connect() as connection:
        options = READS[connection.dialect.name]
        if options:
            connection.execution_options(**options)
        yield connection  # the first statement begins the transaction, leaving ends it


@contextmanager
def writing(database: Engine, subject: str, *, op: str = "write") -> Iterator[Connection]:
    """A transaction that writes; committed where the block ends without an error."""
    with (
        mapped_sql_errors(op, subject),
        database.connect().execution_options(**WRITES) as connection,
        connection.begin(),
    ):
        yield connection
