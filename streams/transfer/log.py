"""A whole log into a folder of Avro containers, and from there into another log of any technology."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

from schemas.codec import Codec
from schemas.containers import Entry, Origin, read_container, write_containers
from schemas.errors import MachineError, UsageError
from schemas.events import DocumentRequested, PipelineEvent
from schemas.positions import Position, TopicPartition
from schemas.registries.memory import MemoryRegistry
from streams.log import TOPIC_NAMES, Draft, EventLog
from streams.transfer.manifest import (
    ExportedPartition,
    ExportIncomplete,
    ExportManifest,
    describe_file,
    read_manifest,
    write_manifest,
)

CHUNK_RECORDS = 1_000
"""What one append of an import carries."""

CHUNK_CONTENT_BYTES = 8 << 20
"""An append ends early here, since requests may carry nearly a megabyte of content each."""


@runtime_checkable
class RemembersImports(Protocol):
    """A log that is not mistaken for a whole one after an import into it was cut short."""

    def importing(self, source_log_id: str) -> AbstractContextManager[None]:
        """Within it the log takes in all of another; should this not end well, it can never be opened again."""


Progress = Callable[[int], None]
"""Called now and then with the number of events transferred so far."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was exported: events per topic, up to the end of the log as it was when the export began.

    `undecodable_count` is of records of `requests` that are no events, which an export leaves out.
    """

    log_id: str
    counts: Mapping[str, int]
    undecodable_count: int
    position: Position
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What was imported: events per topic, from which log into which, and where that ends now."""

    source_log_id: str
    log_id: str
    counts: Mapping[str, int]
    position: Position


def export_log(log: EventLog, directory: Path, *, progress: Progress | None = None) -> ExportSummary:
    """Write every event of `log` up to its end as it is now into `directory`, which must be absent or empty.

    Each partition becomes container files, and ``manifest.json``, written last, names them. The log may grow meanwhile.

    Raises:
        UsageError: `directory` holds something.
        MachineError: it cannot be written.
        LogDamaged: a record does not read back.
        PositionExpired: `requests` was trimmed during the export; export again.
    """
    _make_empty(directory)
    partitions = _all_partitions(log)
    begin, end = log.begin(partitions), log.end(partitions)
    export = _Export(log, directory, progress or _ignore)
    manifest = ExportManifest(log.log_id, [export.partition(tp, begin, end) for tp in partitions])
    write_manifest(directory, manifest)
    return ExportSummary(
        log_id=log.log_id,
        counts=_counts(manifest),
        undecodable_count=sum(part.undecodable_count for part in manifest.partitions),
        position=end,
        size_bytes=sum(file.size_bytes for part in manifest.partitions for file in part.files),
    )


def import_log(log: EventLog, directory: Path, *, progress: Progress | None = None) -> ImportSummary:
    """Append every event of the export in `directory` to `log`, which must be empty and not written by anyone else.

    Events stay as they are, and keep their offsets where the source began at 0, had no holes and as many partitions;
    else they are renumbered, those of a key in their order. A DocumentQueued still names the place of its request in
    the source, under the source's log_id. An import that is cut short leaves part of a log, which refuses to be opened
    if it can (RemembersImports): begin again with a new one.

    Raises:
        UsageError: `log` is not empty, or there is no export of a known format.
        ExportIncomplete: the export was cut short or altered; nothing was imported.
        ContainerDamaged: a file does not read back although it is the one that was written.
    """
    manifest = read_manifest(directory)
    partitions = _all_partitions(log)
    if log.end(partitions):
        raise UsageError(
            f"the log to import into already holds events, up to {log.end(partitions)}",
            op="import",
            subject=str(directory),
            hint="import into a new data folder; if an import was cut short, remove what it left",
        )
    with log.importing(manifest.log_id) if isinstance(log, RemembersImports) else nullcontext():
        count = _append_all(log, manifest, directory, progress or _ignore)
        _check_count(manifest, count, directory)
    return ImportSummary(manifest.log_id, log.log_id, _counts(manifest), log.end(partitions))


class _Export:
    """An export in progress."""

    def __init__(self, log: EventLog, directory: Path, progress: Progress) -> None:
        self._log = log
        self._directory = directory
        self._progress = progress
        self._codec = Codec(MemoryRegistry())
        self._count = 0
        self._undecodable_count = 0

    def partition(self, tp: TopicPartition, begin: Position, end: Position) -> ExportedPartition:
        """Write the containers of `tp`."""
        count_before, undecodable_before = self._count, self._undecodable_count
        origin = Origin(self._log.log_id, tp.topic, tp.partition)
        paths = write_containers(self._directory, self._entries(tp, begin, end), origin=origin, codec=self._codec)
        return ExportedPartition(
            topic=tp.topic,
            partition=tp.partition,
            begin_offset=begin.offset(tp),
            end_offset=end.offset(tp),
            count=self._count - count_before,
            undecodable_count=self._undecodable_count - undecodable_before,
            files=[describe_file(path) for path in paths],
        )

    def _entries(self, tp: TopicPartition, begin: Position, end: Position) -> Iterator[tuple[int, str, PipelineEvent]]:
        for batch in self._log.read([tp], begin, end):
            yield from ((record.offset, record.key, record.event) for record in batch.recorded)
            self._count += len(batch.recorded)
            self._undecodable_count += len(batch.undecodable)
            self._progress(self._count)


def _append_all(log: EventLog, manifest: ExportManifest, directory: Path, progress: Progress) -> int:
    """Append what the export in `directory` holds; how many events that is."""
    count = 0
    for topic in TOPIC_NAMES:
        for chunk in _chunks(_merged(manifest, topic, directory)):
            log.append(None, [Draft(topic, entry.key, entry.event) for entry in chunk])
            count += len(chunk)
            progress(count)
    return count


def _merged(manifest: ExportManifest, topic: str, directory: Path) -> Iterator[Entry]:
    """The entries of all partitions of `topic` in the order of time, each partition's in its own.

    Time does not go back within a partition, so a log of fewer partitions need not change it to keep that so.
    """
    codec = Codec(MemoryRegistry())
    runs = [
        chain.from_iterable(read_container(directory / file.name, codec=codec) for file in part.files)
        for part in manifest.partitions
        if part.topic == topic
    ]
    return heapq.merge(*runs, key=lambda entry: entry.event.meta.occurred_at)


def _chunks(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    content_bytes = 0
    for entry in entries:
        chunk.append(entry)
        if isinstance(entry.event, DocumentRequested):
            content_bytes += len(entry.event.content or b"")
        if len(chunk) == CHUNK_RECORDS or content_bytes >= CHUNK_CONTENT_BYTES:
            yield chunk
            chunk, content_bytes = [], 0
    if chunk:
        yield chunk


def _check_count(manifest: ExportManifest, count: int, directory: Path) -> None:
    promised = sum(part.count for part in manifest.partitions)
    if count != promised:
        raise ExportIncomplete(
            f"the export in {directory} holds {count} events where its manifest promises {promised}",
            op="import",
            subject=str(directory),
            hint="remove what was imported, and export the log again",
        )


def _counts(manifest: ExportManifest) -> dict[str, int]:
    return {topic: sum(part.count for part in manifest.partitions if part.topic == topic) for topic in TOPIC_NAMES}


def _all_partitions(log: EventLog) -> list[TopicPartition]:
    return [tp for topic in TOPIC_NAMES for tp in log.partitions(topic)]


def _make_empty(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        is_empty = not any(directory.iterdir())
    except FileExistsError:
        is_empty = False
    except OSError as exc:
        raise MachineError(f"{directory} cannot be written: {exc}", op="export", subject=str(directory)) from exc
    if not is_empty:
        raise UsageError(
            f"{directory} is not an empty folder", op="export", subject=str(directory), hint="name a new folder"
        )


def _ignore(_count: int) -> None:
    """Report no progress."""
