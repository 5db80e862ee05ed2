"""The end of a SQLite log in a file beside it: what tells that the disk has lost the log's last events.

SQLite drops what follows a damaged frame of its WAL without a word, and an older copy of a log reads as well as a
newer one. The file is written after each commit, before that is answered, and never synced: a process that dies has
written it, and after a power cut it may be older than the log, which is synced, but never newer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from schemas.ids import random_id
from streams.log import TOPIC_NAMES, LogDamaged
from streams.logs.sqlite.layout import damaged_row, open_log_file, read_log_id
from streams.logs.sqlite.marks import can_be
from streams.sqlite_file import SqliteFile

RECORD_BYTES = 512
"""Room for an id and five offsets of any size; written at once, in one sector."""

_CASES = " ".join(f"WHEN '{topic}' THEN (SELECT max(\"offset\") FROM {topic})" for topic in TOPIC_NAMES)  # noqa: S608 - topics are constants
_TAILS = f"SELECT topic, begin_offset, end_offset, CASE topic {_CASES} END FROM topics"  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where the log `log_id` ended, by topic."""

    log_id: str
    end_offsets: Mapping[str, int]


class EndFile:
    """Keeps the end of the log `log_id`, whose file is `log`. One thread at a time uses it.

    It is only a witness: where it cannot be written, what it said before stays, and the log goes on.
    """

    def __init__(self, log: Path, log_id: str) -> None:
        self._path = end_path(log)
        self._log_id = log_id
        self._fd: int | None = None

    def keep(self, end_offsets: Mapping[str, int]) -> None:
        """The log ends at `end_offsets`, durably, which names every topic."""
        with suppress(OSError):
            if self._fd is None:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, _record(self._log_id, end_offsets), 0)

    def close(self) -> None:
        """Let go of the file; idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def end_path(log: Path) -> Path:
    """The file beside the log `log`."""
    return log.with_suffix(".end")


def read_end(log: Path) -> LogEnd | None:
    """What stands beside the log `log`; None if nothing does, or nothing that was written whole."""
    try:
        record = end_path(log).read_bytes()[:RECORD_BYTES]
        checksum, log_id, offsets = record.decode("ascii").rstrip().split(" ")
        if checksum != _checksum(f"{log_id} {offsets}"):
            return None
        pairs = [pair.split("=") for pair in offsets.split(",")]
        return LogEnd(log_id, {topic: int(offset) for topic, offset in pairs})
    except (OSError, ValueError):
        return None


def lost_events(log: Path) -> Mapping[str, int]:
    """How many events of each topic `log` should hold and does not; empty if it holds all, or nothing tells.

    The log's files are left as they are, so that nothing more goes than is gone.

    Raises:
        LogDamaged: what the log holds is not what it says of itself.
        RefoldError: as `SqliteFile` does.
    """
    end = read_end(log)  # before the log is looked at: whoever appends meanwhile moves the log first
    if end is None or not any(end.end_offsets.values()):
        return {}
    if _is_empty(log):
        return _some(end.end_offsets)
    with closing(open_log_file(log, read_only=True, new_id=random_id)) as file:
        log_id, held = read_log_id(file), _held(file)
    if log_id != end.log_id:
        return _some(end.end_offsets)
    return _some({topic: offset - held.get(topic, 0) for topic, offset in end.end_offsets.items()})


def refuse_lost_events(log: Path) -> None:
    """Return if `log` holds all it should.

    Raises:
        LogDamaged: it does not.
    """
    lost = lost_events(log)
    if lost:
        raise LogDamaged(
            f"{log} has lost its last events, which were acknowledged: {told_losses(lost)}",
            op="open log",
            subject=str(log),
            hint="restore it from a backup; to go on without them, or with an older log: refold rebuild all",
        )


def told_losses(lost: Mapping[str, int]) -> str:
    """What was lost, for people."""
    return ", ".join(f"{count} of {topic}" for topic, count in sorted(lost.items()))


def _held(file: SqliteFile) -> Mapping[str, int]:
    """Where each topic ends, if its last record is there."""
    with file.reader("open log") as connection:
        rows = connection.execute(_TAILS).fetchall()  # one statement, so one moment
    if {topic for topic, *_ in rows} != set(TOPIC_NAMES) or not all(can_be(begin, end) for _, begin, end, _ in rows):
        raise damaged_row(file, "topics")
    for topic, begin_offset, end_offset, last_offset in rows:
        if last_offset != (end_offset - 1 if end_offset > begin_offset else None):
            raise damaged_row(file, topic)
    return {topic: end_offset for topic, _, end_offset, _ in rows}


def _some(counts: Mapping[str, int]) -> Mapping[str, int]:
    return {topic: count for topic, count in counts.items() if count > 0}


def _is_empty(log: Path) -> bool:
    """Whether no log is there; one that is being made has its pages in the WAL."""
    return not any(path.exists() and path.stat().st_size for path in (log, log.with_name(f"{log.name}-wal")))


def _record(log_id: str, end_offsets: Mapping[str, int]) -> bytes:
    offsets = ",".join([f"{topic}={offset}" for topic, offset in end_offsets.items()])
    said = f"{log_id} {offsets}"
    return f"{_checksum(said)} {said}".ljust(RECORD_BYTES - 1).encode() + b"\n"


def _checksum(said: str) -> str:
    return f"{crc32(said.encode()):08x}"
