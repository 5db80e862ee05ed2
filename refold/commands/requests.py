"""Asking for single documents, and waiting for the answers."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from refold.control.messages import Interrupted
from refold.engine.engine import Engine
from schemas.errors import UsageError
from schemas.events import Action, Answer, ArtifactRef, DocumentRequested, Meta, Priority, is_answer
from schemas.ids import EventId, document_id_of
from schemas.positions import Position
from streams.documents.request_contract import MAX_CONTENT_BYTES, MAX_QUOTED, broken_rule
from streams.log import Draft

WAIT_S = 0.5


def request(
    engine: Engine,
    uri: str,
    *,
    request_id: str,
    action: Action,
    adapter: str = "push",
    priority: Priority = Priority.NORMAL,
    metadata: Mapping[str, str] | None = None,
    content: bytes | None = None,
) -> DocumentRequested:
    """A request as the log takes it; a large content is in the artifact store by now."""
    content_ref: ArtifactRef | None = None
    if content is not None and len(content) > MAX_CONTENT_BYTES:
        content_ref = engine.parts.artifacts.put([content])[0]
        engine.parts.artifacts.sync()
        content = None
    return DocumentRequested(
        meta=Meta(event_id=EventId(request_id), occurred_at=engine.parts.clock(), pipeline_id=engine.parts.pipeline_id),
        document_id=document_id_of(uri),
        uri=uri,
        adapter=adapter,
        action=action,
        priority=priority,
        metadata=dict(metadata or {}),
        content=content,
        content_ref=content_ref,
    )


def ask(engine: Engine, requests: Collection[DocumentRequested], stop: threading.Event) -> Mapping[EventId, Answer]:
    """The final answer of each of `requests`, which are appended here; asking again with the same id is harmless.

    Raises:
        Interrupted: `stop` came first.
        UsageError: one of `requests` would be rejected.
        RefoldError: what stopped the engine.
    """
    for asked in requests:
        problem = broken_rule(asked)
        if problem is not None:
            raise UsageError(problem, op="request", subject=asked.uri[:MAX_QUOTED])
    log = engine.parts.log
    engine.wait_for(engine.end(), ["manifest"])
    is_old = bool(taken_requests(engine, requests))  # the same call again, after its owner ended
    begin = Position() if is_old else log.end(log.partitions("documents"))
    log.append(None, [Draft("requests", r.document_id, r) for r in requests])
    engine.work()
    return answers_of(engine, {r.meta.event_id for r in requests}, begin, stop)


def taken_requests(engine: Engine, requests: Collection[DocumentRequested]) -> set[EventId]:
    """The ids of those of `requests` that the manifest knows as taken for their documents, answered or not."""
    manifest = engine.parts.views.manifest
    asked = {(r.document_id, r.meta.event_id) for r in requests}
    known = manifest.known_requests([request_id for _, request_id in asked])
    return {request_id for _, request_id in asked & known}


def answers_of(
    engine: Engine, wanted: set[EventId], position: Position, stop: threading.Event
) -> Mapping[EventId, Answer]:
    """The final answers to the requests `wanted`, which come after `position`.

    Raises:
        Interrupted: `stop` came first.
        RefoldError: what stopped the engine.
    """
    log, partitions = engine.parts.log, engine.parts.log.partitions("documents")
    answers: dict[EventId, Answer] = {}
    while True:
        for batch in log.read(partitions, position):
            for recorded in batch.recorded:
                event = recorded.event
                if is_answer(event) and event.request_id in wanted:
                    answers[event.request_id] = event
            position = position.joined(batch.next_position)
        if len(answers) == len(wanted):
            return answers
        engine.check()
        if stop.is_set():
            raise Interrupted(op="wait", hint="see: refold documents list")
        log.wait_beyond(partitions, position, WAIT_S)
