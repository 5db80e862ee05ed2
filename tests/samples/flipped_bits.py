"""Bits that turn over where SQLite keeps them, as a failing disk or memory turns them over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TypeVar

ValueT = TypeVar("ValueT", bytes, str)


def flipped(value: ValueT) -> ValueT:
    """`value` with one bit of its middle byte or character turned over."""
    middle = len(value) // 2
    if isinstance(value, str):
        return value[:middle] + chr(ord(value[middle]) ^ 1) + value[middle + 1 :]
    return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]


def tamper(path: Path, statement: str, *values: object) -> None:
    """Run `statement` in the file at `path`, where it may call ``flip_bit(value)``; it must change something."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.create_function("flip_bit", 1, flipped)
        assert connection.execute(statement, values).rowcount != 0
