"""Writes an index anew from the log and its artifacts; nothing is parsed or embedded for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from projections.generations import Generation, number_of
from projections.index_backend import IndexBackend
from projections.index_changes import IndexChange, Rewrite, ServeVersion
from projections.index_view import IndexView, OnPoison
from projections.latest_versions import LatestVersions
from projections.projection import Projection
from schemas.events import GenerationCreated, GenerationDropped, GenerationPromoted, Meta
from schemas.ids import event_id_of
from schemas.positions import Position
from streams.log import Draft, EventLog

BATCH_CHUNKS = 5_000
"""Chunks applied together: enough that a backend's commit is a small part of the time."""

BATCH_DOCUMENTS = 2_000
"""Documents applied together, where they have few chunks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What a rebuild has written. Parsers and embedders are out of its reach; the zeros are said, not counted."""

    generation: str
    documents: int
    chunks: int
    seconds: float
    parser_calls: int = 0
    embedder_calls: int = 0


@dataclass(frozen=True, slots=True)
class _Step:
    """Changes, folded to final versions, and the position after them."""

    changes: list[IndexChange]
    at: Position


def rebuild_index(
    view: IndexView[IndexBackend],
    projection: Projection[IndexChange],
    log: EventLog,
    *,
    pipeline_id: str,
    clock: Callable[[], datetime],
    on_progress: Callable[[int], None] | None = None,
) -> RebuildReport:
    """Empty the index of `view`, which need not be open, and write it again up to the end of the log.

    Nothing else may apply changes to `view` meanwhile, and what does so afterwards must ask it for its position.
    `on_progress` is told how many documents were applied, batch by batch.

    Raises:
        PoisonError: a version cannot be written; the generation stays unfinished.
    """
    began = clock()
    view.renew()
    return _build(view, projection, log, began=began, pipeline_id=pipeline_id, clock=clock, on_progress=on_progress)


def finish_rebuild(
    view: IndexView[IndexBackend],
    projection: Projection[IndexChange],
    log: EventLog,
    *,
    pipeline_id: str,
    clock: Callable[[], datetime],
    on_progress: Callable[[int], None] | None = None,
) -> RebuildReport:
    """Go on with a rebuild that was cut short, where it stands: for an open `view` whose generation is not live.

    Otherwise as `rebuild_index`.
    """
    began = clock()
    return _build(view, projection, log, began=began, pipeline_id=pipeline_id, clock=clock, on_progress=on_progress)


def created_draft(generation: Generation, *, pipeline_id: str, now: datetime) -> Draft:
    """The event that says that `generation` begins; its id is the same however often it is written."""
    created = GenerationCreated(
        meta=_meta(generation, GenerationCreated, pipeline_id=pipeline_id, now=now),
        index=generation.spec.name,
        generation=generation.name,
        embedder=generation.spec.embedder,
        dim=generation.spec.dim,
        mapping=generation.spec.mapping,
    )
    return Draft("operations", generation.spec.name, created)


def promoted_drafts(generation: Generation, *, pipeline_id: str, now: datetime) -> list[Draft]:
    """The events that say that `generation` answers searches from now on, and that the one before it is gone."""
    number = number_of(generation.name)
    previous = f"g{number - 1}" if number > 1 else None
    promoted = GenerationPromoted(
        meta=_meta(generation, GenerationPromoted, pipeline_id=pipeline_id, now=now),
        index=generation.spec.name,
        generation=generation.name,
        previous=previous,
    )
    drafts = [Draft("operations", generation.spec.name, promoted)]
    if previous is not None:
        dropped = GenerationDropped(
            meta=_meta(generation, GenerationDropped, pipeline_id=pipeline_id, now=now),
            index=generation.spec.name,
            generation=previous,
        )
        drafts.append(Draft("operations", generation.spec.name, dropped))
    return drafts


def _build(
    view: IndexView[IndexBackend],
    projection: Projection[IndexChange],
    log: EventLog,
    *,
    began: datetime,
    pipeline_id: str,
    clock: Callable[[], datetime],
    on_progress: Callable[[int], None] | None,
) -> RebuildReport:
    log.append(None, [created_draft(view.generation, pipeline_id=pipeline_id, now=clock())])
    done = 0
    with LatestVersions(log) as latest:
        for step in _steps(projection, log, latest, after=view.position()):
            view.apply(step.changes, view.position(), step.at, on_poison=OnPoison.STOP)
            done += len(step.changes)
            if on_progress is not None:
                on_progress(done)
    view.promote()
    log.append(None, promoted_drafts(view.generation, pipeline_id=pipeline_id, now=clock()))
    status = view.status()
    return RebuildReport(
        generation=status.generation.name,
        documents=status.counts.documents,
        chunks=status.counts.chunks,
        seconds=(clock() - began).total_seconds(),
    )


def _steps(
    projection: Projection[IndexChange], log: EventLog, latest: LatestVersions, *, after: Position
) -> Iterator[_Step]:
    # Only final versions are written; a repair that was asked for before is none of this generation's.
    partitions = [tp for topic in projection.topics for tp in log.partitions(topic)]
    until = log.end(partitions)
    latest.fold_to(until)
    step = _Step([], after)
    for batch in log.read(partitions, after, until):
        changes = [change for recorded in batch.recorded for change in projection.changes(recorded)]
        step = _Step([*step.changes, *_final(changes, latest)], batch.next_position)
        if _is_full(step.changes):
            yield step
            step = _Step([], step.at)
    if step.changes or step.at != after:
        yield step


def _final(changes: list[IndexChange], latest: LatestVersions) -> list[IndexChange]:
    of_documents = [change for change in changes if not isinstance(change, Rewrite)]
    final = latest.final_sequences({change.document_id for change in of_documents})
    return [change for change in of_documents if change.sequence == final[change.document_id]]


def _is_full(changes: list[IndexChange]) -> bool:
    chunks = sum(change.chunk_count for change in changes if isinstance(change, ServeVersion))
    return chunks >= BATCH_CHUNKS or len(changes) >= BATCH_DOCUMENTS


def _meta(generation: Generation, kind: type, *, pipeline_id: str, now: datetime) -> Meta:
    cause = f"{generation.spec.name}/{generation.name}"
    return Meta(event_id=event_id_of(cause, kind.__name__), occurred_at=now, pipeline_id=pipeline_id)
