"""Writes an index from scratch, from the log and its artifacts; nothing is parsed or embedded for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from projections.fold.follower import Follower, Joining
from projections.fold.projection import Projection
from projections.index.backend import IndexBackend, IndexEntry
from projections.index.books.generations import Generation, number_of
from projections.index.books.latest_versions import LatestVersions
from projections.index.changes import IndexChange, Rewrite
from projections.index.view.steps import OnPoison
from projections.index.view.view import IndexView
from schemas.errors import RefoldError
from schemas.events import GenerationCreated, GenerationDropped, GenerationPromoted, Meta
from schemas.ids import event_id_of
from schemas.positions import Position
from streams.log import Draft, EventLog, Recorded

BATCH_DOCUMENTS = 1_000
"""Documents applied together: enough that a backend's commit is a small part of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """What a rebuild has written. It cannot call parsers or embedders, so both counts are always 0."""

    generation: str
    documents: int
    chunks: int
    seconds: float
    parser_calls: int = 0
    embedder_calls: int = 0


def rebuild_index(
    view: IndexView[IndexBackend],
    projection: Projection[IndexChange],
    log: EventLog,
    *,
    scratch: Path,
    pipeline_id: str,
    clock: Callable[[], datetime],
    on_progress: Callable[[int], None] | None = None,
) -> RebuildReport:
    """Write the index of `view`, which need not be open, again up to the end of the log, and serve that.

    What is served goes on beside it, and is dropped once the new generation stands; after an error it is all there is.
    What applies changes to `view` meets a PositionConflict at the end, and begins again where it stands then, as a
    runner does. What grows with documents is kept in `scratch`, a folder on a disk. `on_progress` is called with the
    number of documents applied, batch by batch.

    Raises:
        PoisonError: a version cannot be written.
    """
    began, previous = clock(), view.served_generation()
    beside = view.beside()
    try:
        log.append(None, [created_draft(beside.generation, pipeline_id=pipeline_id, now=clock())])
        with LatestVersions(log, scratch) as latest:
            writing = _Writing(beside, projection, log, latest, on_progress)
            writing.to_the_end()
            view.swap_in(beside, last=writing.to_the_end)
    except BaseException:
        with suppress(RefoldError):  # what cannot be dropped now is at the next opening
            view.drop(beside)
        raise
    log.append(None, promoted_drafts(view.generation, previous=previous, pipeline_id=pipeline_id, now=clock()))
    return _report(view, seconds=(clock() - began).total_seconds())


def finish_rebuild(
    view: IndexView[IndexBackend],
    projection: Projection[IndexChange],
    log: EventLog,
    *,
    scratch: Path,
    pipeline_id: str,
    clock: Callable[[], datetime],
    on_progress: Callable[[int], None] | None = None,
    went_on: Callable[[], object] = lambda: None,
) -> RebuildReport:
    """Write the generation of `view`, which is open and not live, to its end, from where it stands, in its place.

    `went_on` is called whenever something was read or applied. Otherwise as `rebuild_index`.
    """
    began = clock()
    with view.paused(), LatestVersions(log, scratch) as latest:
        log.append(None, [created_draft(view.generation, pipeline_id=pipeline_id, now=clock())])
        _Writing(view, projection, log, latest, on_progress, went_on=went_on).to_the_end()
        view.promote()
        previous = one_before(view.generation)
        log.append(None, promoted_drafts(view.generation, previous=previous, pipeline_id=pipeline_id, now=clock()))
    return _report(view, seconds=(clock() - began).total_seconds())


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


def news_of(generation: Generation, *, pipeline_id: str, now: datetime) -> list[Draft]:
    """The events of a generation that the log has none of yet: it began, and replaced the one before."""
    return [
        created_draft(generation, pipeline_id=pipeline_id, now=now),
        *promoted_drafts(generation, previous=one_before(generation), pipeline_id=pipeline_id, now=now),
    ]


def promoted_drafts(generation: Generation, *, previous: str | None, pipeline_id: str, now: datetime) -> list[Draft]:
    """The events that say that `generation` answers searches from now on, and that the `previous` one is gone."""
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


def one_before(generation: Generation) -> str | None:
    """The name of the generation that `generation` took the place of; None for the first."""
    number = number_of(generation.name)
    return f"g{number - 1}" if number > 1 else None


def _report(view: IndexView[IndexBackend], *, seconds: float) -> RebuildReport:
    status = view.status()
    return RebuildReport(
        generation=status.generation.name,
        documents=status.counts.documents,
        chunks=status.counts.chunks,
        seconds=seconds,
    )


class _Writing:
    """Writes what the log holds into a view, as often as it is asked to."""

    def __init__(
        self,
        view: IndexView[IndexBackend],
        projection: Projection[IndexChange],
        log: EventLog,
        latest: LatestVersions,
        on_progress: Callable[[int], None] | None,
        *,
        went_on: Callable[[], object] = lambda: None,
    ) -> None:
        joining = Joining(max_changes=BATCH_DOCUMENTS)
        self._log = log
        self._latest = latest
        self._went_on = went_on
        self._follower = Follower(log, _Final(projection, latest), _Stopping(view, on_progress), joining=joining)

    def to_the_end(self) -> None:
        """Write what there is by now."""
        self._latest.fold_to(self._log.end(self._log.partitions("documents")), went_on=self._went_on)
        self._follower.catch_up(went_on=self._went_on)


class _Final:
    """The changes of a projection without those that a later one makes void: only live versions are written.

    Repairs are left out too: what they ask for is done by writing everything.
    """

    def __init__(self, projection: Projection[IndexChange], latest: LatestVersions) -> None:
        self.name = projection.name
        self.version = projection.version
        self.topics = projection.topics
        self._projection = projection
        self._latest = latest

    def changes(self, recorded: Recorded) -> Sequence[IndexChange]:
        """What of `recorded` is still true at the end."""
        return [
            change
            for change in self._projection.changes(recorded)
            if not isinstance(change, Rewrite) and change.sequence >= self._latest.sequence(change.document_id)
        ]


class _Stopping:
    """A view that parks nothing, and reports how many documents it has applied."""

    def __init__(self, view: IndexView[IndexBackend], on_progress: Callable[[int], None] | None) -> None:
        self._view = view
        self._on_progress = on_progress
        self._count = 0

    def position(self) -> Position:
        """How far the log is in it."""
        return self._view.position()

    def apply(self, changes: Sequence[IndexChange], expected: Position, at: Position) -> None:
        """Apply `changes`; PoisonError where the view would park."""
        self._view.apply(changes, expected, at, on_poison=OnPoison.STOP)
        self._count += len(changes)
        if self._on_progress is not None:
            self._on_progress(self._count)

    def scan(self) -> Iterator[IndexEntry]:
        """What is really there."""
        return self._view.scan()


def _meta(generation: Generation, kind: type, *, pipeline_id: str, now: datetime) -> Meta:
    cause = f"{generation.spec.name}/{generation.name}"
    return Meta(event_id=event_id_of(cause, kind.__name__), occurred_at=now, pipeline_id=pipeline_id)
