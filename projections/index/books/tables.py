"""The tables of index bookkeeping; every row but a generation's own belongs to one generation."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

from projections.sql.dialects import LARGE_KEY, SORTED_TEXT

INDEX_TABLES = MetaData()

GENERATIONS = Table(
    "generations",
    INDEX_TABLES,
    Column("key", Integer, primary_key=True),
    Column("index_name", Text, nullable=False),
    Column("generation", Text, nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("mapping", Text, nullable=False),
    Column("embedder", Text),
    Column("dim", Integer),
    Column("log_id", Text, nullable=False),  # of the log it is a fold of
    Index("generations_by_name", "index_name", "generation", unique=True),
    # A key never comes back: what a zombie writes under an old one belongs to no generation.
    sqlite_autoincrement=True,
)


def _generation_key() -> Column[int]:
    return Column("generation_key", Integer, ForeignKey(GENERATIONS.c.key, ondelete="CASCADE"), primary_key=True)


POSITIONS = Table(
    "index_positions",
    INDEX_TABLES,
    _generation_key(),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)

MOMENTS = Table(
    "index_moments",
    INDEX_TABLES,
    _generation_key(),
    Column("last_us", BigInteger, nullable=False),  # of the latest switch: see projections/index/books/moments.py
)

SERVED = Table(
    "served",
    INDEX_TABLES,
    _generation_key(),
    Column("document_id", SORTED_TEXT, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("version", BigInteger),  # null: the document is withdrawn
    Column("chunk_count", BigInteger, nullable=False),
    Column("last", Text),  # ServeVersion as JSON: the served one, or the last that was; null if there never was one
    Column("switched_at_us", BigInteger, nullable=False),
    Column("previous_version", BigInteger),
    Column("previous_chunks", Text),  # ArtifactRef as JSON
    Column("previous_switched_at_us", BigInteger),
    sqlite_with_rowid=False,
)

PARKED = Table(
    "parked",
    INDEX_TABLES,
    _generation_key(),
    Column("document_id", SORTED_TEXT, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("change", Text, nullable=False),  # ServeVersion as JSON
    Column("is_awaiting", Boolean, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("hint", Text),
    Column("parked_at_us", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

GARBAGE = Table(
    "garbage",
    INDEX_TABLES,
    Column("key", LARGE_KEY, primary_key=True),
    Column("generation_key", Integer, ForeignKey(GENERATIONS.c.key, ondelete="CASCADE"), nullable=False),
    Column("document_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("ids", LargeBinary, nullable=False),  # 16 bytes each
    Column("since_us", BigInteger, nullable=False),
    Index("garbage_by_version", "generation_key", "document_id", "version"),
    Index("garbage_by_age", "generation_key", "since_us"),
)
