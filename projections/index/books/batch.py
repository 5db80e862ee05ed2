"""What a batch of changes comes to, document by document; pure.

A batch is folded to each document's final version. Where that one is refused, the one before it takes its place, so
that the outcome does not depend on how the log was cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from projections.index.books.garbage import Garbage
from projections.index.books.parked import Parked
from projections.index.books.served import Served
from projections.index.changes import IndexChange, Rewrite, ServeVersion, Withdraw
from projections.index.chunk_ids import packed_ids_of
from schemas.ids import DocumentId

Known = tuple[Mapping[DocumentId, Served], Mapping[DocumentId, Parked]]
"""What an index serves of documents, and what is parked of them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a version could not be written."""

    error_code: str
    message: str
    hint: str | None = None
    is_awaiting: bool = False


@dataclass(slots=True)
class DocumentPart:
    """A document's part of a batch, while it is being applied.

    `chain` holds what is to be applied, in order of sequence: the new changes, preceded by the served and the parked
    version where a rewrite was asked for. The last one that is not refused is what the index goes on with.
    """

    document_id: DocumentId
    served: Served | None
    parked: Parked | None
    chain: Sequence[ServeVersion | Withdraw]
    refusals: dict[int, Refusal] = field(default_factory=dict)

    @property
    def final(self) -> ServeVersion | Withdraw | None:
        """What the index goes on with; None where everything was refused: it stays as it is."""
        return next((change for change in reversed(self.chain) if change.sequence not in self.refusals), None)

    @property
    def latest_version(self) -> ServeVersion | None:
        """The latest version that is not refused, served or not."""
        versions = (change for change in reversed(self.chain) if isinstance(change, ServeVersion))
        return next((version for version in versions if version.sequence not in self.refusals), None)

    @property
    def refused(self) -> ServeVersion | None:
        """The version to park: the latest of all, where that one was refused."""
        latest = self.chain[-1]
        return latest if isinstance(latest, ServeVersion) and latest.sequence in self.refusals else None


@dataclass(frozen=True, slots=True)
class Bookings:
    """The rows that make a batch true: transaction (2)."""

    served: Sequence[Served]
    parked: Sequence[Parked]
    cleared: Sequence[DocumentId]
    garbage: Sequence[Garbage]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch comes to: its documents, without those it holds nothing new for, and those to be written again."""

    parts: Sequence[DocumentPart]
    rewritten: Collection[DocumentId]

    def bookings(self, *, swept: Sequence[Garbage], now_us: int, moment_us: int) -> Bookings:
        """The rows that make it true, switched at `moment_us` of the index; `swept` is garbage found besides."""
        served: list[Served] = []
        parked: list[Parked] = []
        cleared: list[DocumentId] = []
        garbage = list(swept)
        for part in self.parts:
            row, waiting = _served_row(part, moment_us), _parked_row(part, now_us)
            if row is not None:
                served.append(row)
            if waiting is not None:
                parked.append(waiting)
            elif part.parked is not None:
                cleared.append(part.document_id)
            garbage.extend(_garbage_rows(part, now_us))
        return Bookings(served, parked, cleared, garbage)


def batch_of(
    changes: Iterable[IndexChange], known: Callable[[Collection[DocumentId]], Known], *, needs_vectors: bool
) -> Batch:
    """What `changes` come to; those of different documents and topics may come in any order."""
    by_document: dict[DocumentId, list[ServeVersion | Withdraw]] = {}
    rewritten: set[DocumentId] = set()
    for change in changes:
        if isinstance(change, Rewrite):
            rewritten.update(change.document_ids)
        else:
            by_document.setdefault(change.document_id, []).append(change)

    document_ids = {*by_document, *rewritten}
    served, parked = known(document_ids)
    parts = []
    for document_id in document_ids:
        now, waiting = served.get(document_id), parked.get(document_id)
        new = sorted(by_document.get(document_id, ()), key=lambda change: change.sequence)
        chain = _chain(new, now, waiting, is_rewritten=document_id in rewritten)
        if chain:
            refusals = _awaiting(chain) if needs_vectors else {}
            parts.append(DocumentPart(document_id, now, waiting, chain, refusals))
    return Batch(parts, rewritten)


def _chain(
    changes: Sequence[ServeVersion | Withdraw], served: Served | None, parked: Parked | None, *, is_rewritten: bool
) -> Sequence[ServeVersion | Withdraw]:
    known = max(served.sequence if served else 0, parked.change.sequence if parked else 0)
    new = [change for change in changes if change.sequence > known]
    if not is_rewritten:
        return new
    held = [served.live if served else None, parked.change if parked else None]
    again = {change.sequence: change for change in held if change is not None}
    return [*again.values(), *new]


def _awaiting(chain: Sequence[ServeVersion | Withdraw]) -> dict[int, Refusal]:
    waits = Refusal("AwaitingVectors", "this version has no vectors of the index's embedder", is_awaiting=True)
    return {
        change.sequence: waits
        for change in chain
        if isinstance(change, ServeVersion) and change.chunk_count and change.vectors is None
    }


def _served_row(part: DocumentPart, moment_us: int) -> Served | None:
    final, old = part.final, part.served
    if final is None or (old is not None and isinstance(final, ServeVersion) and old.version == final.version):
        return None
    live = old.live if old else None
    return Served(
        document_id=part.document_id,
        sequence=final.sequence,
        version=final.version if isinstance(final, ServeVersion) else None,
        last=part.latest_version or (old.last if old else None),
        switched_at_us=moment_us,
        previous_version=live.version if live else None,
        previous_chunks=live.chunks if live else None,
        previous_switched_at_us=old.switched_at_us if old else None,
    )


def _parked_row(part: DocumentPart, now_us: int) -> Parked | None:
    refused = part.refused
    if refused is None:
        return None
    refusal = part.refusals[refused.sequence]
    return Parked(
        change=refused,
        is_awaiting=refusal.is_awaiting,
        error_code=refusal.error_code,
        message=refusal.message,
        hint=refusal.hint,
        parked_at_us=now_us,
    )


def _garbage_rows(part: DocumentPart, now_us: int) -> Iterable[Garbage]:
    # Whatever may have been written of a version that is neither served nor parked from now on: also of versions that
    # were folded away, because a process that died in this batch may have folded less of it.
    live = part.served.live if part.served else None
    kept = (part.refused, part.final if part.final is not None else live)
    kept_versions = {change.version for change in kept if isinstance(change, ServeVersion)}
    held = [live, part.parked.change if part.parked else None, *part.chain]
    gone = {change.version: change for change in held if isinstance(change, ServeVersion)}
    for version, change in gone.items():
        if version not in kept_versions:
            ids = packed_ids_of(change.document_id, version, change.chunk_count)
            yield Garbage(change.document_id, version, ids, now_us)
