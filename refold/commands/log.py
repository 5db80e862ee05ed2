"""The log: tail, stat, export, import."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refold.commands.event_json import recorded_json
from refold.commands.status import size_bytes_of
from refold.control.messages import Emit, Json
from refold.engine.engine import Engine
from schemas.errors import UsageError
from schemas.events import TOPICS
from schemas.positions import Position, TopicPartition
from streams.log import Recorded
from streams.transfer.artifacts import CopiedArtifacts, copy_artifacts
from streams.transfer.log import export_log, import_log

FOLLOW_S = 0.5


def tail(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Emit the latest events, or those after a position; with `follow`, go on until the caller leaves."""
    partitions = _partitions(engine, arguments.get("topics") or [])
    log, end = engine.parts.log, engine.parts.log.end(partitions)
    if arguments.get("after"):
        position = Position.parse(str(arguments["after"]))
    else:
        position = Position({tp: max(0, end.offset(tp) - int(arguments.get("lines", 10))) for tp in partitions})
        position = position.joined(log.begin(partitions))
    while True:
        for recorded in _in_time_order(engine, partitions, position):
            emit(recorded_json(recorded))
            at = Position({TopicPartition(recorded.topic, recorded.partition): recorded.offset + 1})
            position = position.joined(at)
        if not arguments.get("follow") or stop.is_set():
            return {"position": str(position)}
        engine.check()
        log.wait_beyond(partitions, position, FOLLOW_S)


def stat(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """How many events of each kind the log holds."""
    del arguments, emit, stop
    log = engine.parts.log
    counts: dict[str, Counter[str]] = {topic: Counter() for topic in TOPICS}
    for topic, kinds in counts.items():
        partitions = log.partitions(topic)
        for batch in log.read(partitions, log.begin(partitions)):
            kinds.update(type(recorded.event).__name__ for recorded in batch.recorded)
            kinds["(undecodable)"] += len(batch.undecodable)
    return {
        "log_id": log.log_id,
        "size_bytes": size_bytes_of(engine.parts.location.folder),
        "position": str(engine.end()),
        "topics": {topic: {kind: n for kind, n in sorted(kinds.items()) if n} for topic, kinds in counts.items()},
    }


def export(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Write the log as Avro object container files."""
    del emit, stop
    return _told(asdict(export_log(engine.parts.log, Path(str(arguments["directory"])))))


def import_(engine: Engine, arguments: Mapping[str, Any], emit: Emit, stop: threading.Event) -> Json:
    """Read an exported log into this empty one, and the artifacts it refers to."""
    del emit, stop
    artifacts = CopiedArtifacts(0, 0)
    if arguments.get("artifacts"):
        artifacts = copy_artifacts(str(arguments["artifacts"]), engine.parts.artifacts, clock=engine.parts.clock)
    summary = import_log(engine.parts.log, Path(str(arguments["directory"])))
    return {**_told(asdict(summary)), "artifacts_copied": artifacts.copied, "artifacts_damaged": artifacts.damaged}


def _partitions(engine: Engine, topics: Sequence[str]) -> list[TopicPartition]:
    for topic in topics:
        if topic not in TOPICS:
            known = ", ".join(TOPICS)
            raise UsageError(f"there is no topic {topic!r}", op="log tail", hint=f"choose one of: {known}")
    return [tp for topic in topics or TOPICS for tp in engine.parts.log.partitions(topic)]


def _in_time_order(engine: Engine, partitions: Sequence[TopicPartition], position: Position) -> Iterator[Recorded]:
    """What lies after `position` now, merged by time."""
    runs = [deque(r for b in engine.parts.log.read([tp], position) for r in b.recorded) for tp in partitions]
    waiting = [run for run in runs if run]
    while waiting:
        first = min(waiting, key=lambda run: run[0].event.meta.occurred_at)
        yield first.popleft()
        waiting = [run for run in waiting if run]


def _told(values: Mapping[str, Any]) -> Json:
    return {
        name: value if isinstance(value, int | float | dict | list) else str(value) for name, value in values.items()
    }
