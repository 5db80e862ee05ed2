"""An index against the log, chunk by chunk: what is missing, and what should not be there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from projections.index.books.latest_versions import LatestVersion
from projections.index.books.parked import Parked
from projections.index.chunk_ids import ID_BYTES, IdArray, id_array, packed_ids_of, within, without
from schemas.events import DocumentCompleted
from schemas.ids import DocumentId
from schemas.positions import Position, TopicPartition
from streams.log import EventLog

NO_IDS: IdArray = np.empty(0, f"S{ID_BYTES}")


@dataclass(frozen=True, slots=True)
class Desired:
    """The chunks an index should hold and serve.

    Attributes:
        ids: Of all of them.
        unserved: Those of documents whose served row names another version than the log, so that no search shows them.
        misserved: These documents; only a rebuild helps, because a repair writes what the served row says.
    """

    ids: IdArray
    unserved: IdArray
    misserved: Collection[DocumentId]


@dataclass(frozen=True, slots=True)
class IndexDiff:
    """What has to be done to an index, as ids; nothing where it is as it should be.

    Attributes:
        missing: Chunks of the log that are not there, or that no search shows.
        orphaned: Chunks that are there and that no event of the log ever spoke of.
        stale: Chunks of versions that were superseded or removed, and that are not in garbage any more.
    """

    missing: IdArray
    orphaned: IdArray
    stale: IdArray

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.missing.size or self.orphaned.size or self.stale.size)


@dataclass(frozen=True, slots=True)
class KnownVersions:
    """Ids of chunks that events speak of but that should not be there now.

    `superseded` are of versions that were replaced or removed; `unfinished` are of versions that are about to be
    applied or that were parked: they may have been written in part.
    """

    superseded: IdArray = field(default_factory=lambda: NO_IDS)
    unfinished: IdArray = field(default_factory=lambda: NO_IDS)

    def joined(self, other: KnownVersions) -> KnownVersions:
        """Both together."""
        return KnownVersions(
            np.union1d(self.superseded, other.superseded), np.union1d(self.unfinished, other.unfinished)
        )


def diff(desired: Desired, actual: IdArray, *, garbage: IdArray, known: KnownVersions) -> IndexDiff:
    """What `actual` lacks of `desired` and holds beyond it; `garbage` is on its way out and counts as neither."""
    lacking = without(desired.ids, without(actual, desired.unserved))
    beyond = without(without(without(actual, desired.ids), garbage), known.unfinished)
    return IndexDiff(
        missing=lacking, orphaned=without(beyond, known.superseded), stale=within(beyond, known.superseded)
    )


def desired_of(
    latest: Iterable[LatestVersion], served: Iterable[LatestVersion], *, parked: Mapping[DocumentId, int]
) -> Desired:
    """What an index should hold: the latest versions by the log, but what is served still where that one is `parked`.

    `latest` and `served` are ordered by document_id, each document once.
    """
    ids, unserved = bytearray(), bytearray()
    misserved: list[DocumentId] = []
    for of_log, of_index in _side_by_side(latest, served):
        is_parked = of_log is not None and of_log.version == parked.get(of_log.document_id, 0)
        wanted = of_index if is_parked else of_log
        packed = _packed(wanted)
        ids += packed
        if not _agree(wanted, of_index):
            unserved += packed
            misserved.append(_either(of_log, of_index))
    return Desired(id_array(ids), id_array(unserved), misserved)


def parked_ids(parked: Iterable[Parked]) -> IdArray:
    """The chunks that may have been written of parked versions."""
    changes = [one.change for one in parked]
    return id_array(b"".join(packed_ids_of(one.document_id, one.version, one.chunk_count) for one in changes))


def owners_of(ids: IdArray, versions: Iterable[LatestVersion]) -> Mapping[DocumentId, IdArray]:
    """The documents among `versions` that `ids` belong to."""
    owners = {}
    for version in versions:
        theirs = within(ids, id_array(_packed(version)))
        if theirs.size:
            owners[version.document_id] = theirs
    return owners


def known_versions(log: EventLog, document_ids: Collection[DocumentId], *, position: Position) -> KnownVersions:
    """All versions of `document_ids` that the log speaks of; those beyond `position` are unfinished."""
    superseded, unfinished = bytearray(), bytearray()
    for batch in log.read(log.partitions("documents"), Position()):
        for recorded in batch.recorded:
            event = recorded.event
            if not isinstance(event, DocumentCompleted) or event.document_id not in document_ids:
                continue
            is_applied = recorded.offset < position.offset(TopicPartition(recorded.topic, recorded.partition))
            kept = superseded if is_applied else unfinished
            kept += packed_ids_of(event.document_id, event.version, event.chunk_count)
    return KnownVersions(id_array(superseded), id_array(unfinished))


def _side_by_side(
    left: Iterable[LatestVersion], right: Iterable[LatestVersion]
) -> Iterator[tuple[LatestVersion | None, LatestVersion | None]]:
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.document_id < other.document_id):
            yield one, None
            one = next(lefts, None)
        elif one is None or other.document_id < one.document_id:
            yield None, other
            other = next(rights, None)
        else:
            yield one, other
            one, other = next(lefts, None), next(rights, None)


def _packed(version: LatestVersion | None) -> bytes:
    if version is None or version.version is None:
        return b""
    return packed_ids_of(version.document_id, version.version, version.chunk_count)


def _agree(wanted: LatestVersion | None, served: LatestVersion | None) -> bool:
    return (wanted.version if wanted else None) == (served.version if served else None)


def _either(one: LatestVersion | None, other: LatestVersion | None) -> DocumentId:
    found = one or other
    assert found is not None  # noqa: S101 - they are walked side by side: one is there
    return found.document_id
