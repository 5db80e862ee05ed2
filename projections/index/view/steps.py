"""How changes get into an index, and superseded chunks out of it, so that a search never misses a version.

A batch of changes, folded to each document's final version, is applied in this order:

(1) the new chunks are upserted and flushed: durable and visible to search, but not served, so no search shows them;
(2) one SQL transaction: served rows, the superseded versions' ids in garbage, parked versions, the position;
(3) garbage is deleted by id, once it is older than the longest query.

So a search at the same time finds the old version or the new one, never neither: what it found is shown if it was
served at any moment of the query. Stopped anywhere and started again, the same batch leads to the same end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from projections.index.backend import IndexBackend
from projections.index.books.batch import DocumentPart, Refusal, batch_of
from projections.index.books.garbage import Garbage
from projections.index.changes import IndexChange, IndexSpec, ServeVersion
from projections.index.chunk_ids import unpack
from projections.index.view.home import OpenIndex
from projections.index.view.sweep import stray_chunks
from projections.index.view.writer import IndexWriter
from projections.sql.values import micros_of
from schemas.errors import PoisonError
from schemas.ids import DocumentId
from schemas.positions import Position
from streams.artifacts import ArtifactStore

STEPS = (
    "1 upserted",
    "1 flushed",
    "2 written",
    "2 committed",
    "3 deleted",
    "3 flushed",
    "3 forgotten",
)
"""Where a fault can be put: after each part of the numbered steps."""

Fault = Callable[[str], None]
"""Called with each of STEPS; a crash test raises there."""


class OnPoison(Enum):
    """What to do with a version that can never be written: go on without it, or stop."""

    PARK = "park"
    STOP = "stop"


def no_fault(step: str) -> None:
    """Nothing goes wrong at `step`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSteps:
    """Applies batches to an open index, and deletes its garbage; one call at a time. Fields: see `IndexView`."""

    spec: IndexSpec
    artifacts: ArtifactStore
    clock: Callable[[], datetime]
    longest_query_s: float
    fault: Fault
    before_writing: Callable[[], None]

    def apply(
        self,
        index: OpenIndex[Any],
        changes: Sequence[IndexChange],
        expected: Position,
        at: Position,
        *,
        on_poison: OnPoison,
    ) -> None:
        """Steps (1) and (2); see `IndexView.apply`."""
        self.before_writing()
        if changes:
            index.backend.check_mark()
        batch = batch_of(changes, index.books.known, needs_vectors=self.spec.embedder is not None)
        swept = self._swept(index, batch.rewritten) if batch.rewritten else []

        # (1) the new chunks, until they are durable and visible
        is_written = self._write(index.backend, batch.parts, on_poison)
        self.fault("1 upserted")
        if is_written:
            index.backend.flush()
        self.fault("1 flushed")

        # (2) what makes them served, in one transaction with the position
        now_us = self._now_us()
        index.books.commit(
            lambda moment_us: batch.bookings(swept=swept, now_us=now_us, moment_us=moment_us),
            now_us=now_us,
            expected=expected,
            at=at,
            before_end=lambda: self.fault("2 written"),
        )
        self.fault("2 committed")

    def collect_garbage(self, index: OpenIndex[Any]) -> int:
        """Step (3); see `IndexView.collect_garbage`."""
        due = index.books.due_garbage(self._now_us() - int(self.longest_query_s * 1_000_000))
        if not due.keys:
            return 0
        self.before_writing()
        index.backend.check_mark()
        ids = unpack(due.ids)

        # (3) deleted first, forgotten afterwards: stopped in between, they are deleted again, which is no error
        index.backend.delete(ids)
        self.fault("3 deleted")
        index.backend.flush()
        self.fault("3 flushed")
        index.books.forget_garbage(due)
        self.fault("3 forgotten")
        index.backend.vacuum()
        return len(ids)

    def _now_us(self) -> int:
        return micros_of(self.clock())

    def _swept(self, index: OpenIndex[Any], document_ids: Collection[DocumentId]) -> list[Garbage]:
        return stray_chunks(index.backend, index.books, document_ids, now_us=self._now_us())

    def _write(self, backend: IndexBackend, parts: Sequence[DocumentPart], on_poison: OnPoison) -> bool:
        """Write the final versions, and where one is refused the one before it; whether anything was there to write."""
        writer = IndexWriter(backend, self.artifacts, dim=self.spec.dim)
        pending = {part.document_id: part for part in parts}
        is_written = False
        while pending:
            versions = [final for part in pending.values() if isinstance(final := part.final, ServeVersion)]
            is_written |= bool(versions)
            refusals = writer.write(versions)
            if refusals and on_poison is OnPoison.STOP:
                raise self._poison(refusals)
            pending = {document_id: pending[document_id] for document_id in refusals}
            for document_id, part in pending.items():
                assert part.final is not None  # noqa: S101 - only a written version can be refused
                part.refusals[part.final.sequence] = refusals[document_id]
        return is_written

    def _poison(self, refusals: Mapping[DocumentId, Refusal]) -> PoisonError:
        document_id, refusal = next(iter(refusals.items()))
        return PoisonError(
            f"{len(refusals)} documents cannot be written, such as {document_id}: {refusal.message}",
            op=f"write {self.spec.name} index",
            subject=document_id,
            hint=refusal.hint,
        )
