"""What a comparison of indexes with the log has found."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.errors import RefoldError
from schemas.ids import ChunkId, DocumentId
from schemas.positions import Position


@dataclass(frozen=True, slots=True)
class WrongChunk:
    """A chunk that is not as it should be; `document_id` and `uri` are None where the index does not know them."""

    problem: str
    chunk_id: ChunkId
    document_id: DocumentId | None
    uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What became of the comparison of one index with the log, at `position`.

    Attributes:
        expected: Chunks it should hold.
        missing: Chunks it does not hold, or that no search shows.
        orphaned: Chunks that no event ever spoke of.
        stale: Chunks of superseded or removed versions that are not about to be deleted.
        corrupt: Chunks whose entry is not what their artifact says; only a deep check finds them.
        foreign: What others put into it; no search shows it.
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
    examples: Sequence[WrongChunk]
    damaged: Collection[DocumentId]

    @property
    def is_consistent(self) -> bool:
        """Whether the index serves exactly the current version of every live document."""
        return not any(self.counts[name] for name in self.counts if name != "expected")

    @property
    def counts(self) -> Mapping[str, int]:
        """All counts by name: the fields that are numbers."""
        return {name: value for name in self.__slots__ if isinstance(value := getattr(self, name), int)}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The reports of indexes, by name, and why the others could not be compared."""

    indexes: Mapping[str, IndexReport]
    damage: Mapping[str, RefoldError] = field(default_factory=dict)

    @property
    def is_consistent(self) -> bool:
        """Whether all of them are as the log says."""
        return not self.damage and all(report.is_consistent for report in self.indexes.values())
