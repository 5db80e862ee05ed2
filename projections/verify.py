"""Proves that indexes hold exactly what the log says, or lists what differs; and asks for the repair of that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

from projections.chunk_ids import chunk_ids, id_array, pack, without
from projections.deep_check import DeepFindings, deep_check
from projections.index_backend import IndexBackend, IndexEntry, IndexForeign
from projections.index_home import OpenIndex, rebuild_hint
from projections.index_sweep import all_ids, read_entries
from projections.index_view import IndexView
from projections.latest_versions import LatestVersions
from projections.parked import Parked
from projections.reconcilers.index_contents import (
    Desired,
    IndexDiff,
    KnownVersions,
    desired_of,
    diff,
    known_versions,
    owners_of,
    parked_ids,
)
from schemas.errors import MachineError, RefoldError, UnreachableError, UsageError
from schemas.events import ConsistencyVerified, Meta, RepairRequested
from schemas.ids import ChunkId, DocumentId, event_id_of
from schemas.positions import Position
from streams.artifacts import ArtifactStore
from streams.log import Draft, EventLog

MAX_EXAMPLES = 20
"""Chunks named per index in a report."""

REPAIR_DOCUMENTS = 1_000
"""Documents named in one RepairRequested."""


@dataclass(frozen=True, slots=True)
class Example:
    """A chunk that is not as it should be; `uri` is None where its document is not known to the index."""

    problem: str
    chunk_id: ChunkId
    document_id: DocumentId | None
    uri: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What became of the comparison of one index with the log, at `position`.

    Attributes:
        expected: Chunks it should hold.
        missing: Chunks it does not hold, or that no search shows.
        orphaned: Chunks that no event ever spoke of.
        stale: Chunks of superseded or removed versions that are not about to be deleted.
        corrupt: Chunks whose entry is not what their artifact says; only a deep check finds them.
        foreign: What somebody else put into it; no search shows it.
        parked: Documents whose latest version could not be applied.
        awaiting: Documents whose latest version has no vectors of the index's embedder.
        misserved: Documents that the index believes to be at another version than the log says: only a rebuild helps.
        unreadable: Documents whose artifacts could not be read for a deep check.
        damaged: All documents with missing, orphaned, stale or corrupt chunks.
    """

    generation: str
    position: Position
    expected: int
    missing: int
    orphaned: int
    stale: int
    corrupt: int
    foreign: int
    parked: int
    awaiting: int
    misserved: int
    unreadable: int
    examples: Sequence[Example]
    damaged: Collection[DocumentId]

    @property
    def is_consistent(self) -> bool:
        """Whether the index serves exactly the current version of every live document."""
        return not any(self.counts[name] for name in self.counts if name != "expected")

    @property
    def counts(self) -> Mapping[str, int]:
        """All counts by name."""
        return {
            "expected": self.expected,
            "missing": self.missing,
            "orphaned": self.orphaned,
            "stale": self.stale,
            "corrupt": self.corrupt,
            "foreign": self.foreign,
            "parked": self.parked,
            "awaiting": self.awaiting,
            "misserved": self.misserved,
            "unreadable": self.unreadable,
        }


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The reports of indexes, by name, and why the others could not be compared."""

    indexes: Mapping[str, IndexReport]
    damage: Mapping[str, RefoldError] = field(default_factory=dict)

    @property
    def is_consistent(self) -> bool:
        """Whether all of them are as the log says."""
        return not self.damage and all(report.is_consistent for report in self.indexes.values())


@dataclass(frozen=True, slots=True)
class _Finding:
    problem: str
    document_id: DocumentId | None
    chunk_id: ChunkId


def verify(
    views: Iterable[IndexView[IndexBackend]],
    log: EventLog,
    *,
    artifacts: ArtifactStore,
    scratch: Path,
    deep: bool = False,
) -> VerifyReport:
    """Compare each of `views` with the log up to the position it stands at, while everything goes on.

    An index is compared while it stands still: nothing is applied to it for as long as its ids are read (some 200,000
    a second). Waiting for a moment between two batches instead could last for ever on a busy system. Searches go on.
    A `deep` check reads every entry and every artifact too, and holds each index up for a page of documents at a time.
    Needs about 40 bytes of memory per chunk, and `scratch`, a folder on a disk, for what grows with documents. What is
    wrong with an index that is not open, was not built to its end, or fails while it is read is part of the report.
    """
    reports: dict[str, IndexReport] = {}
    damage: dict[str, RefoldError] = {}
    with _Replay(log, scratch) as replay:
        for view in views:
            try:
                reports[view.name] = _verify_index(view, log, replay, artifacts=artifacts, deep=deep)
            except (IndexForeign, MachineError, UnreachableError, UsageError) as exc:
                damage[view.name] = exc
    return VerifyReport(reports, damage)


def consistency_drafts(report: VerifyReport, *, pipeline_id: str, now: datetime, cause: str) -> list[Draft]:
    """The events that keep `report`, one per index; `cause` is a new random id, for a person asked."""
    return [
        Draft(
            "operations",
            name,
            ConsistencyVerified(
                meta=_meta(ConsistencyVerified, ordinal, pipeline_id=pipeline_id, now=now, cause=cause),
                index=name,
                generation=index.generation,
                position=str(index.position),
                is_consistent=index.is_consistent,
                counts=index.counts,
            ),
        )
        for ordinal, (name, index) in enumerate(report.indexes.items())
    ]


def repair_drafts(report: VerifyReport, *, pipeline_id: str, now: datetime, cause: str) -> list[Draft]:
    """What asks each index to write its damaged documents again and to sweep up the rest; empty if none is damaged.

    `cause` is a new random id. Documents that are misserved are beyond this: their index has to be rebuilt.
    """
    damaged = {name: index.damaged for name, index in report.indexes.items()}
    return rewrite_drafts(damaged, pipeline_id=pipeline_id, now=now, cause=cause)


def rewrite_drafts(
    documents: Mapping[str, Collection[DocumentId]], *, pipeline_id: str, now: datetime, cause: str
) -> list[Draft]:
    """What asks indexes, by name, to write documents again; parked versions among them are tried again."""
    asked = [(name, some) for name, ids in documents.items() for some in _runs(sorted(ids), REPAIR_DOCUMENTS)]
    return [
        Draft(
            "operations",
            name,
            RepairRequested(
                meta=_meta(RepairRequested, ordinal, pipeline_id=pipeline_id, now=now, cause=cause),
                index=name,
                document_ids=document_ids,
            ),
        )
        for ordinal, (name, document_ids) in enumerate(asked)
    ]


class _Replay:
    """The fold of the log that all indexes are compared with, each at its own position."""

    def __init__(self, log: EventLog, scratch: Path) -> None:
        self._log = log
        self._scratch = scratch
        self._latest = LatestVersions(log, scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._latest.close()

    def at(self, position: Position) -> LatestVersions:
        """The latest versions at `position`; read on from where the last ones were, if that is not beyond it."""
        if not position.reaches(self._latest.position):
            self._latest.close()
            self._latest = LatestVersions(self._log, self._scratch)
        self._latest.fold_to(position)
        return self._latest


def _verify_index(
    view: IndexView[IndexBackend], log: EventLog, replay: _Replay, *, artifacts: ArtifactStore, deep: bool
) -> IndexReport:
    replay.at(view.position())  # most of the log, before the index has to stand still
    with view.paused() as opened:
        if not opened.generation.is_live:
            raise UsageError(
                f"the {view.name} index was not built to its end",
                op="verify",
                subject=view.name,
                hint=rebuild_hint(view.name),
            )
        position = opened.books.position()
        latest = replay.at(position)
        parked = opened.books.parked()
        desired = desired_of(
            latest, opened.books.served_versions(), parked={one: p.change.version for one, p in parked.items()}
        )
        difference, strays, foreign = _compare(opened, log, desired, parked=parked, position=position)
    deeper = deep_check(view, latest, artifacts) if deep else DeepFindings()
    theirs = [_Finding("foreign", None, one) for one in foreign]
    findings = [*_missing(difference, latest), *_strays(difference, strays), *_corrupt(deeper), *theirs]
    awaiting = sum(one.is_awaiting for one in parked.values())
    return IndexReport(
        generation=opened.generation.name,
        position=position,
        expected=int(desired.ids.size),
        missing=int(difference.missing.size),
        orphaned=int(difference.orphaned.size),
        stale=int(difference.stale.size),
        corrupt=sum(len(ids) for ids in deeper.corrupt.values()),
        foreign=len(foreign),
        parked=len(parked) - awaiting,
        awaiting=awaiting,
        misserved=len(desired.misserved),
        unreadable=len(deeper.unreadable),
        examples=_examples(view, findings[:MAX_EXAMPLES]),
        damaged={one.document_id for one in findings if one.document_id is not None},
    )


def _compare(
    opened: OpenIndex[IndexBackend],
    log: EventLog,
    desired: Desired,
    *,
    parked: Mapping[DocumentId, Parked],
    position: Position,
) -> tuple[IndexDiff, Sequence[IndexEntry], Sequence[ChunkId]]:
    """What differs, the entries of chunks that should not be there, and the ids of what is not refold's."""
    (actual, foreign), garbage = all_ids(opened.backend), id_array(opened.books.garbage_ids())
    known = KnownVersions(unfinished=parked_ids(parked.values()))
    first = diff(desired, actual, garbage=garbage, known=known)
    if not first.orphaned.size:
        return first, [], foreign
    # What they are can only be told by their entries and by all that the log says of their documents.
    read = list(read_entries(opened.backend, first.orphaned))
    theirs = [one.chunk_id for one in read if one.is_foreign]
    strays = [one for one in read if not one.is_foreign]
    spoken_of = known_versions(log, {one.document_id for one in strays}, position=position)
    ours = without(actual, id_array(pack(theirs)))
    return diff(desired, ours, garbage=garbage, known=known.joined(spoken_of)), strays, [*foreign, *theirs]


def _missing(difference: IndexDiff, latest: LatestVersions) -> Iterable[_Finding]:
    if not difference.missing.size:
        return
    for document_id, ids in owners_of(difference.missing, latest).items():
        yield from (_Finding("missing", document_id, one) for one in chunk_ids(ids))


def _strays(difference: IndexDiff, strays: Sequence[IndexEntry]) -> Iterable[_Finding]:
    owners = {entry.chunk_id: entry.document_id for entry in strays}
    for problem, ids in (("orphaned", difference.orphaned), ("stale", difference.stale)):
        yield from (_Finding(problem, owners.get(one), one) for one in chunk_ids(ids))


def _corrupt(deeper: DeepFindings) -> Iterable[_Finding]:
    for document_id, ids in deeper.corrupt.items():
        yield from (_Finding("corrupt", document_id, one) for one in ids)


def _examples(view: IndexView[IndexBackend], findings: Sequence[_Finding]) -> Sequence[Example]:
    served = view.served({one.document_id for one in findings if one.document_id is not None})
    uris = {one: row.last.attributes.uri for one, row in served.items() if row.last is not None}
    return [
        Example(one.problem, one.chunk_id, one.document_id, uris.get(one.document_id) if one.document_id else None)
        for one in findings
    ]


def _meta(kind: type, ordinal: int, *, pipeline_id: str, now: datetime, cause: str) -> Meta:
    return Meta(event_id=event_id_of(cause, kind.__name__, ordinal), occurred_at=now, pipeline_id=pipeline_id)


def _runs(document_ids: Sequence[DocumentId], size: int) -> Iterable[Sequence[DocumentId]]:
    return (document_ids[start : start + size] for start in range(0, len(document_ids), size))
