"""A log goes into a folder of containers and comes out in another log as it was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.events import (
    DocumentQueued,
    DocumentRequested,
    DocumentSkipped,
    JobSubmitted,
    Meta,
    OperatorActed,
    PipelineEvent,
    SkipReason,
)
from schemas.ids import EventId, document_id_of, event_id_of
from schemas.positions import Position, TopicPartition
from streams.log import TOPIC_NAMES, Draft, EventLog, ImportUnfinished, Recorded
from streams.logs.memory import MemoryLog
from streams.logs.sqlite.layout import checksum_of
from streams.logs.sqlite.log import SqliteLog
from streams.transfer.log import export_log, import_log
from streams.transfer.manifest import ExportIncomplete

MORNING = datetime(2026, 3, 1, 8, 0, 0, 17, tzinfo=UTC)
DOCUMENTS = 700
"""More than 1,000 events in `documents`, so that a transfer takes more than one batch and one append."""


def fill(log: EventLog) -> None:
    """Requests, answers and a little of everything else, an hour long."""
    drafts: list[Draft] = []
    for number in range(DOCUMENTS):
        document_id = document_id_of(f"folder:handbook/{number}.md")

        def meta(kind: str, sequence: int, number: int = number) -> Meta:
            at = MORNING + timedelta(seconds=5 * number, milliseconds=sequence)
            return Meta(event_id=event_id_of(str(number), kind), occurred_at=at, pipeline_id="r", sequence=sequence)

        asked = DocumentRequested(meta=meta("asked", 0), document_id=document_id, uri=f"ü{number}", content=b"\0\xff")
        queued = DocumentQueued(
            meta=meta("queued", 1),
            document_id=document_id,
            request_id=asked.meta.event_id,
            log_id="the log it stood in",
            topic="requests",
            offset=number,
        )
        skipped = DocumentSkipped(
            meta=meta("skipped", 2),
            document_id=document_id,
            request_id=EventId(asked.meta.event_id),
            reason=SkipReason.EXISTS,
        )
        drafts += [Draft("requests", document_id, asked)]
        drafts += [Draft("documents", document_id, event) for event in (queued, skipped)]
    log.append(None, drafts)
    meta_of_job = Meta(event_id=event_id_of("job", "submitted"), occurred_at=MORNING, pipeline_id="r")
    log.append(None, [Draft("jobs", "job-1", JobSubmitted(meta=meta_of_job, sources=("handbook",)))])
    log.append(None, [Draft("operations", "operator", OperatorActed(meta=meta_of_job, actor="pat"))])


def everything(log: EventLog) -> dict[TopicPartition, list[Recorded]]:
    partitions = [tp for topic in TOPIC_NAMES for tp in log.partitions(topic)]
    runs: dict[TopicPartition, list[Recorded]] = defaultdict(list)
    for batch in log.read(partitions, log.begin(partitions)):
        for record in batch.recorded:
            runs[TopicPartition(record.topic, record.partition)].append(record)
    return runs


def by_key(log: EventLog) -> dict[tuple[str, str], list[PipelineEvent]]:
    events: dict[tuple[str, str], list[PipelineEvent]] = defaultdict(list)
    for run in everything(log).values():
        for record in run:
            events[record.topic, record.key].append(record.event)
    return events


@pytest.fixture
def source() -> MemoryLog:
    log = MemoryLog()
    fill(log)
    return log


def test_from_memory_to_sqlite_to_memory_nothing_changes(source: MemoryLog, tmp_path: Path) -> None:
    exported = export_log(source, tmp_path / "first")
    with closing(SqliteLog(tmp_path / "log.sqlite")) as stored:
        imported = import_log(stored, tmp_path / "first")
        assert everything(stored) == everything(source)
        export_log(stored, tmp_path / "second")
    target = MemoryLog()
    import_log(target, tmp_path / "second")
    assert everything(target) == everything(source)
    assert exported.counts == {"requests": 700, "documents": 1_400, "jobs": 1, "adapters": 0, "operations": 1}
    assert exported.counts == imported.counts
    assert exported.position == imported.position


def test_an_import_has_the_id_of_its_new_log_and_says_where_it_comes_from(source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    target = MemoryLog()
    imported = import_log(target, tmp_path / "export")
    assert imported.log_id == target.log_id != source.log_id
    assert imported.source_log_id == source.log_id


@pytest.mark.parametrize(("source_partitions", "target_partitions"), [(1, 4), (4, 1), (4, 3)])
def test_between_partition_counts_each_key_keeps_its_events_in_their_order_and_their_times(
    source_partitions: int, target_partitions: int, tmp_path: Path
) -> None:
    source, target = MemoryLog(source_partitions), MemoryLog(target_partitions)
    fill(source)
    export_log(source, tmp_path / "export")
    import_log(target, tmp_path / "export")
    assert by_key(target) == by_key(source)
    for topic in ("requests", "documents"):
        assert {tp.partition for tp in everything(target) if tp.topic == topic} == set(range(target_partitions))


def test_an_export_ends_where_the_log_ended_when_it_began(source: MemoryLog, tmp_path: Path) -> None:
    before = everything(source)
    late = before[TopicPartition("operations", 0)][0]
    draft = Draft(late.topic, late.key, late.event)
    export_log(source, tmp_path / "export", progress=lambda _count: source.append(None, [draft]) and None)
    target = MemoryLog()
    import_log(target, tmp_path / "export")
    assert everything(target) == before
    assert everything(source) != before


def test_progress_counts_up_to_everything(source: MemoryLog, tmp_path: Path) -> None:
    exported: list[int] = []
    imported: list[int] = []
    export_log(source, tmp_path / "export", progress=exported.append)
    import_log(MemoryLog(), tmp_path / "export", progress=imported.append)
    for counts in (exported, imported):
        assert counts == sorted(counts)
        assert counts[-1] == 2_102


def test_what_was_trimmed_is_not_exported_and_the_rest_is_numbered_anew(source: MemoryLog, tmp_path: Path) -> None:
    source.trim(Position({TopicPartition("requests", 0): 400}))
    exported = export_log(source, tmp_path / "export")
    target = MemoryLog()
    import_log(target, tmp_path / "export")
    assert exported.counts["requests"] == 300
    kept = everything(source)[TopicPartition("requests", 0)]
    moved = everything(target)[TopicPartition("requests", 0)]
    assert [record.event for record in moved] == [record.event for record in kept]
    assert [record.offset for record in moved] == list(range(300))


def test_records_that_are_no_events_are_counted_and_left_out(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log:
        fill(log)
        with closing(sqlite3.connect(tmp_path / "log.sqlite")) as connection, connection:
            connection.create_function(
                "crc", 2, lambda key, frame: checksum_of(key.encode(), frame)
            )  # as its sender wrote it: no damage of the disk
            no_event = "frame = x'DEADBEEF', crc32 = crc(key, x'DEADBEEF')"
            connection.execute(f'UPDATE requests SET {no_event} WHERE "offset" IN (3, 5)')  # noqa: S608 - ours
        exported = export_log(log, tmp_path / "export")
    assert exported.undecodable_count == 2
    assert exported.counts["requests"] == 698
    target = MemoryLog()
    assert import_log(target, tmp_path / "export").counts == exported.counts


def test_the_manifest_names_every_file_with_its_digest(source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    named = {file["name"] for part in manifest["partitions"] for file in part["files"]}
    assert named == {path.name for path in (tmp_path / "export").glob("*.avro")}
    assert manifest["log_id"] == source.log_id


# What is refused


def test_an_export_into_a_folder_that_holds_something_is_refused(source: MemoryLog, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        export_log(source, tmp_path)
    with pytest.raises(UsageError, match="is not an empty folder"):
        export_log(source, tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_export_that_was_cut_short_is_refused(source: MemoryLog, tmp_path: Path) -> None:
    def cut(count: int) -> None:
        if count > 1_500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_log(source, tmp_path / "export", progress=cut)
    assert any((tmp_path / "export").iterdir())
    target = MemoryLog()
    with pytest.raises(ExportIncomplete, match=r"manifest\.json, which is written last"):
        import_log(target, tmp_path / "export")
    assert everything(target) == {}


@pytest.mark.parametrize("fault", ["flipped byte", "cut off", "missing"])
def test_an_altered_file_is_refused_before_anything_is_imported(fault: str, source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    path = tmp_path / "export" / "operations-0-1.avro"
    content = bytearray(path.read_bytes())
    if fault == "flipped byte":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif fault == "cut off":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    target = MemoryLog()
    with pytest.raises(ExportIncomplete, match=r"missing or altered: operations-0-1\.avro"):
        import_log(target, tmp_path / "export")
    assert everything(target) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "log_id": "x", "partitions": [{}]}', "\0"])
def test_a_manifest_that_does_not_read_back_is_refused(text: str, source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    (tmp_path / "export" / "manifest.json").write_text(text)
    with pytest.raises(ExportIncomplete, match=r"manifest\.json does not read back"):
        import_log(MemoryLog(), tmp_path / "export")


def test_a_manifest_that_lost_a_partition_is_noticed(source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    path = tmp_path / "export" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["partitions"][1]["files"] = []
    path.write_text(json.dumps(manifest))
    with pytest.raises(ExportIncomplete, match="holds 702 events where its manifest promises 2102"):
        import_log(MemoryLog(), tmp_path / "export")


def test_an_export_of_a_newer_format_is_refused(source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    path = tmp_path / "export" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(UsageError, match="has format 2"):
        import_log(MemoryLog(), tmp_path / "export")


def test_an_import_into_a_log_that_holds_events_is_refused(source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    with pytest.raises(UsageError, match="already holds events") as caught:
        import_log(source, tmp_path / "export")
    assert caught.value.hint is not None
    assert "new data folder" in caught.value.hint


def test_an_import_from_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no export"):
        import_log(MemoryLog(), tmp_path / "nowhere")


# Imports that are cut short


def import_and_die(path: Path, directory: Path) -> None:
    def die(count: int) -> None:
        if count > DOCUMENTS:
            os.kill(os.getpid(), signal.SIGKILL)

    import_log(SqliteLog(path), directory, progress=die)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_log_whose_import_was_killed_is_not_opened_until_it_is_imported_anew(
    source: MemoryLog, tmp_path: Path, *, read_only: bool
) -> None:
    export_log(source, tmp_path / "export")
    path = tmp_path / "log.sqlite"
    child = get_context("fork").Process(target=import_and_die, args=(path, tmp_path / "export"))
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    with pytest.raises(ImportUnfinished, match=f"only part of log {source.log_id}") as caught:
        SqliteLog(path, read_only=read_only)
    assert caught.value.hint is not None
    assert f"delete {tmp_path} and import again" in caught.value.hint
    for left in tmp_path.glob("log.*"):
        left.unlink()
    with closing(SqliteLog(path)) as anew:
        import_log(anew, tmp_path / "export")
    with closing(SqliteLog(path)) as imported:
        assert everything(imported) == everything(source)


def test_a_log_whose_import_held_too_little_is_not_opened_either(source: MemoryLog, tmp_path: Path) -> None:
    export_log(source, tmp_path / "export")
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    manifest["partitions"][1]["files"] = []
    (tmp_path / "export" / "manifest.json").write_text(json.dumps(manifest))
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log, pytest.raises(ExportIncomplete):
        import_log(log, tmp_path / "export")
    with pytest.raises(ImportUnfinished):
        SqliteLog(tmp_path / "log.sqlite")


def test_an_import_that_is_refused_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log, pytest.raises(UsageError, match="there is no export"):
        import_log(log, tmp_path / "nowhere")
    with closing(SqliteLog(tmp_path / "log.sqlite")) as log:
        assert everything(log) == {}
