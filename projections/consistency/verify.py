"""Proves that indexes hold exactly what the log says, or lists what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from projections.consistency.deep_check import DeepFindings, deep_check
from projections.consistency.diff import (
    Desired,
    IndexDiff,
    KnownVersions,
    desired_of,
    diff,
    known_versions,
    owners_of,
    parked_ids,
)
from projections.consistency.report import IndexReport, VerifyReport, WrongChunk
from projections.index.backend import IndexBackend, IndexEntry, IndexForeign
from projections.index.books.latest_versions import LatestVersions
from projections.index.books.parked import Parked
from projections.index.chunk_ids import chunk_ids, id_array, pack, without
from projections.index.view.home import OpenIndex, rebuild_hint
from projections.index.view.sweep import all_ids, read_entries
from projections.index.view.view import IndexView
from schemas.errors import MachineError, RefoldError, UnreachableError, UsageError
from schemas.ids import ChunkId, DocumentId
from schemas.positions import Position
from streams.artifacts import ArtifactStore
from streams.log import EventLog

MAX_EXAMPLES = 20
"""Chunks named per index in a report."""


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

    # While nothing is applied: what it should hold at its position, and what is there.
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

    # While it goes on: what only its entries show.
    deeper = deep_check(view, latest, artifacts) if deep else DeepFindings()
    wrong = list(_wrong_chunks(difference, latest, strays, deeper, foreign))
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
        examples=_examples(view, wrong[:MAX_EXAMPLES]),
        damaged={one.document_id for one in wrong if one.document_id is not None},
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
    # Only their entries, and all that the log says of their documents, show what they are.
    read = list(read_entries(opened.backend, first.orphaned))
    theirs = [one.chunk_id for one in read if one.is_foreign]
    strays = [one for one in read if not one.is_foreign]
    spoken_of = known_versions(log, {one.document_id for one in strays}, position=position)
    ours = without(actual, id_array(pack(theirs)))
    return diff(desired, ours, garbage=garbage, known=known.joined(spoken_of)), strays, [*foreign, *theirs]


def _wrong_chunks(
    difference: IndexDiff,
    latest: LatestVersions,
    strays: Sequence[IndexEntry],
    deeper: DeepFindings,
    foreign: Sequence[ChunkId],
) -> Iterator[WrongChunk]:
    if difference.missing.size:
        for document_id, ids in owners_of(difference.missing, latest).items():
            yield from (WrongChunk("missing", one, document_id) for one in chunk_ids(ids))
    owners = {entry.chunk_id: entry.document_id for entry in strays}
    for problem, ids in (("orphaned", difference.orphaned), ("stale", difference.stale)):
        yield from (WrongChunk(problem, one, owners.get(one)) for one in chunk_ids(ids))
    for document_id, corrupt in deeper.corrupt.items():
        yield from (WrongChunk("corrupt", one, document_id) for one in corrupt)
    yield from (WrongChunk("foreign", one, None) for one in foreign)


def _examples(view: IndexView[IndexBackend], wrong: Sequence[WrongChunk]) -> Sequence[WrongChunk]:
    served = view.served({one.document_id for one in wrong if one.document_id is not None})
    uris = {one: row.last.attributes.uri for one, row in served.items() if row.last is not None}
    return [replace(one, uri=uris.get(one.document_id)) if one.document_id else one for one in wrong]
