"""Reading the records of a log file, a page at a time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

from schemas.blanks import blank_of
from schemas.codec import Codec, UnreadableEvent
from schemas.errors import RefoldError
from schemas.positions import Position, TopicPartition
from streams.log import TOPIC_NAMES, Recorded, Undecodable, damaged, expired
from streams.logs.sqlite.layout import checksum_of
from streams.logs.sqlite.marks import read_marks
from streams.sqlite_file import SqliteFile

MAX_PAGE_RECORDS = 1_000
MAX_PAGE_BYTES = 8 << 20
"""A page ends early here: a thousand requests that carry their content would be 900 MB."""

_SELECT = {
    topic: f"""
        SELECT "offset", CAST(ifnull("key", '') AS BLOB), crc32, CAST(ifnull(frame, '') AS BLOB) FROM {topic}
        WHERE "offset" >= ? AND "offset" < ? ORDER BY "offset"
    """  # noqa: S608 - topics are constants; the casts are for damaged rows, which keep no types
    for topic in TOPIC_NAMES
}

_BlankRecorded = blank_of(Recorded)

_Row = tuple[int, bytes, int, bytes]


@dataclass(slots=True)
class Page:
    """Records in a row up to `end_offset`, and what keeps the next one from being read, if anything does."""

    end_offset: int
    recorded: list[Recorded] = field(default_factory=list)
    undecodable: list[Undecodable] = field(default_factory=list)
    failure: RefoldError | None = None


def read_page(file: SqliteFile, codec: Codec, *, tp: TopicPartition, offsets: range) -> Page:
    """As many of the records at `offsets`, of which there is at least one, as make a page."""
    page = Page(offsets.start)
    rows, page.failure = _read_rows(file, tp, offsets[:MAX_PAGE_RECORDS])
    if not rows and page.failure is None:
        page.failure = _gap(file, tp, page.end_offset)
    for row in rows:
        if row[0] != page.end_offset:
            page.failure = _gap(file, tp, page.end_offset)
            break
        try:
            page.recorded.append(_recorded(tp, row, codec))
        except UnreadableEvent as exc:
            if tp.topic != "requests":
                page.failure = damaged(tp, page.end_offset, str(exc))
                break
            page.undecodable.append(_undecodable(tp, row, str(exc)))
        except RefoldError as exc:
            page.failure = exc
            break
        page.end_offset += 1
    return page


def _read_rows(file: SqliteFile, tp: TopicPartition, offsets: range) -> tuple[list[_Row], RefoldError | None]:
    """The rows at `offsets` up to the byte limit, and the error that cut them short."""
    rows: list[_Row] = []
    size_bytes = 0
    try:
        with (
            file.reader("read") as connection,
            closing(connection.execute(_SELECT[tp.topic], (offsets.start, offsets.stop))) as cursor,
        ):
            for row in cursor:
                rows.append(row)
                size_bytes += len(row[3])
                if size_bytes >= MAX_PAGE_BYTES:
                    break
    except RefoldError as exc:
        exc.position = str(Position({tp: offsets.start + len(rows)}))
        return rows, exc
    return rows, None


def _recorded(tp: TopicPartition, row: _Row, codec: Codec) -> Recorded:
    """The record of `row`; raises as `Codec.decode` does.

    Raises:
        LogDamaged: the bytes are not those that were written; of a request too, that is no sender's fault.
    """
    offset, key, checksum, frame = row
    if checksum_of(key, frame) != checksum:
        raise damaged(tp, offset, "the stored bytes are not those that were written")
    record = _BlankRecorded()
    record.topic, record.partition = tp
    record.offset = offset
    record.key = key.decode()
    record.event = codec.decode(frame)
    record.sha256 = sha256(frame).hexdigest() if tp.topic == "requests" else ""
    record.__class__ = Recorded
    return cast("Recorded", record)


def _undecodable(tp: TopicPartition, row: _Row, error: str) -> Undecodable:
    offset, key, _, frame = row
    return Undecodable(tp.topic, tp.partition, offset, key, sha256(frame).hexdigest(), error)


def _gap(file: SqliteFile, tp: TopicPartition, offset: int) -> RefoldError:
    begin_offset = read_marks(file)[tp.topic].begin_offset
    if offset < begin_offset:  # trimmed while it was being read
        return expired(tp, offset, begin_offset=begin_offset)
    return damaged(tp, offset, "it is missing")
