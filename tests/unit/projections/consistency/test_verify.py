"""Verify finds what differs between an index and the log, and asks for the repair of exactly that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from projections.consistency.events import consistency_drafts, repair_drafts
from projections.consistency.report import IndexReport
from projections.consistency.verify import verify
from projections.index.backend import DocumentAttributes, IndexedChunk
from projections.index.books.tables import SERVED
from schemas.events import ConsistencyVerified, RepairRequested
from schemas.ids import ChunkId, chunk_id_of, chunk_ids_of, document_id_of, random_id
from tests.servers.index_backends import FORGETFUL_BACKENDS, INDEX_OF, open_store_of
from tests.worlds.index import BOOKS, HashedWords, Index, World, projection_of, texts_of

REPORT = "folder:docs/report.md"
LETTER = "folder:docs/letter.md"
GONE = "folder:docs/gone.md"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(params=BOOKS)
def world(request: pytest.FixtureRequest) -> World:
    world = World(books=request.param)
    world.complete(REPORT, texts_of(REPORT, 1, 4))
    world.complete(REPORT, texts_of(REPORT, 2, 6))
    world.complete(LETTER, texts_of(LETTER, 1, 3))
    world.complete(GONE, texts_of(GONE, 1, 2))
    world.remove(GONE)
    return world


@pytest.fixture(params=FORGETFUL_BACKENDS)
def index(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Index]:
    index = Index(world, tmp_path, projection_of(INDEX_OF[request.param]), open_store_of(request.param))
    index.view.open()
    index.catch_up()
    yield index
    index.close()


def check(index: Index, *, deep: bool = False) -> IndexReport:
    return verify(
        [index.view], index.world.log, artifacts=index.world.artifacts, scratch=index.directory.parent, deep=deep
    ).indexes[index.view.name]


def troubles(report: IndexReport) -> dict[str, int]:
    return {name: count for name, count in report.counts.items() if count and name != "expected"}


def repair(index: Index, report: IndexReport) -> None:
    """Ask through the log for the repair of what `report` found, and let the index do it."""
    whole = verify([index.view], index.world.log, artifacts=index.world.artifacts, scratch=index.directory.parent)
    drafts = repair_drafts(
        replace(whole, indexes={index.view.name: report}), pipeline_id="r", now=NOW, cause=random_id()
    )
    index.world.log.append(None, drafts)
    index.catch_up()


def chunk_of(uri: str, *, version: int, ordinal: int, text: str, chunk_id: ChunkId | None = None) -> IndexedChunk:
    document_id = document_id_of(uri)
    return IndexedChunk(
        chunk_id=chunk_id or chunk_id_of(document_id, version, ordinal),
        document_id=document_id,
        version=version,
        ordinal=ordinal,
        text=text,
        text_hash="0" * 64,
        attributes=DocumentAttributes(uri=uri),
        vector=HashedWords().embed([text])[0],
    )


def tamper(index: Index, *, upsert: list[IndexedChunk] | None = None, delete: list[ChunkId] | None = None) -> None:
    """Change what is in the index behind its back."""
    has_vectors = index.projection.spec.dim is not None
    with index.view.paused() as opened:
        opened.backend.upsert([chunk if has_vectors else replace(chunk, vector=None) for chunk in upsert or []])
        opened.backend.delete(delete or [])
        opened.backend.flush()


@pytest.mark.parametrize("deep", [False, True])
def test_an_index_that_holds_what_the_log_says_is_consistent(index: Index, deep: bool) -> None:  # noqa: FBT001 - a case
    report = check(index, deep=deep)

    assert report.is_consistent
    assert report.expected == 9
    assert report.position == index.view.position()
    assert report.examples == []


def test_an_index_that_is_behind_is_compared_at_the_position_it_stands_at(world: World, index: Index) -> None:
    position = index.view.position()
    world.complete(REPORT, texts_of(REPORT, 3, 1))

    report = check(index)
    assert report.is_consistent
    assert report.position == position


def test_garbage_is_neither_stale_nor_orphaned(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 3, 1))
    index.catch_up()
    assert index.view.status().counts.garbage

    assert check(index).is_consistent


def test_a_missing_chunk_is_named_and_repaired(index: Index) -> None:
    before, lost = index.entries(), chunk_ids_of(document_id_of(REPORT), 2, 6)[3]
    tamper(index, delete=[lost])

    report = check(index)
    assert troubles(report) == {"missing": 1}
    (example,) = report.examples
    assert (example.problem, example.chunk_id, example.uri) == ("missing", lost, REPORT)
    assert report.damaged == {document_id_of(REPORT)}

    repair(index, report)
    assert check(index, deep=True).is_consistent
    assert index.collect_all() == 6 + 2 - 2  # the first version of the report and what was removed, as without repair
    assert index.entries().keys() == before.keys() - set(chunk_ids_of(document_id_of(REPORT), 1, 4)) - set(
        chunk_ids_of(document_id_of(GONE), 1, 2)
    )


@pytest.mark.parametrize(
    ("uri", "version", "problem"),
    [
        pytest.param(REPORT, 1, "stale", id="a superseded version"),
        pytest.param(GONE, 1, "stale", id="a removed document"),
        pytest.param(REPORT, 9, "orphaned", id="a version that never was"),
        pytest.param("folder:docs/never.md", 1, "orphaned", id="a document that never was"),
    ],
)
def test_what_should_not_be_there_is_told_apart_and_swept_up(
    index: Index, uri: str, version: int, problem: str
) -> None:
    index.collect_all()
    before = index.entries()
    tamper(index, upsert=[chunk_of(uri, version=version, ordinal=0, text="left behind")])

    report = check(index)
    assert troubles(report) == {problem: 1}
    assert [(one.problem, one.document_id) for one in report.examples] == [(problem, document_id_of(uri))]

    repair(index, report)
    assert check(index).is_consistent
    index.collect_all()
    assert index.entries() == before


def test_what_is_about_to_be_applied_is_no_orphan(world: World, index: Index) -> None:
    world.complete(LETTER, texts_of(LETTER, 2, 1))
    tamper(index, upsert=[chunk_of(LETTER, version=2, ordinal=0, text="written by a process that died")])

    assert check(index).is_consistent


def test_a_corrupt_chunk_is_found_by_a_deep_check_only_and_repaired(index: Index) -> None:
    tamper(index, upsert=[chunk_of(LETTER, version=1, ordinal=2, text="not what the letter says")])
    assert check(index).is_consistent

    report = check(index, deep=True)
    assert troubles(report) == {"corrupt": 1}
    assert report.damaged == {document_id_of(LETTER)}

    repair(index, report)
    assert check(index, deep=True).is_consistent


def test_a_chunk_under_the_id_of_another_is_corrupt(index: Index) -> None:
    taken = chunk_id_of(document_id_of(LETTER), 1, 2)
    tamper(index, upsert=[chunk_of(REPORT, version=2, ordinal=1, text="in the wrong place", chunk_id=taken)])

    report = check(index, deep=True)
    assert troubles(report) == {"corrupt": 1}
    assert report.damaged == {document_id_of(LETTER)}


def test_a_document_whose_artifacts_are_lost_cannot_be_checked_deeply(world: World, index: Index) -> None:
    stored = world.store(texts_of("folder:docs/lost.md", 1, 2))
    world.complete("folder:docs/lost.md", [], stored=stored)
    index.catch_up()
    world.artifacts.delete([stored.chunks])

    assert check(index).is_consistent
    assert troubles(check(index, deep=True)) == {"unreadable": 1}


def test_parked_and_awaiting_documents_are_counted_and_their_old_versions_expected(world: World, index: Index) -> None:
    lost = world.store(texts_of(REPORT, 3, 5))
    world.artifacts.delete([lost.chunks])
    world.complete(REPORT, [], stored=lost)
    world.complete(LETTER, texts_of(LETTER, 2, 1), embedder="another embedder")
    index.catch_up()

    report = check(index)
    if index.projection.spec.embedder is None:
        assert troubles(report) == {"parked": 1}
        assert report.expected == 6 + 1
    else:
        assert troubles(report) == {"parked": 1, "awaiting": 1}
        assert report.expected == 6 + 3


def test_what_was_written_of_a_parked_version_is_no_orphan(world: World, index: Index) -> None:
    lost = world.store(texts_of(REPORT, 3, 5))
    world.artifacts.delete([lost.chunks])
    world.complete(REPORT, [], stored=lost)
    index.catch_up()
    tamper(index, upsert=[chunk_of(REPORT, version=3, ordinal=0, text="before it was refused")])

    assert troubles(check(index)) == {"parked": 1}


def test_a_document_that_the_index_believes_to_be_at_another_version_needs_a_rebuild(index: Index) -> None:
    with index.view.paused(), index._engine.begin() as connection:
        connection.execute(SERVED.update().where(SERVED.c.document_id == document_id_of(LETTER)).values(version=7))

    report = check(index)
    assert troubles(report) == {"misserved": 1, "missing": 3}


def test_an_index_that_was_not_built_to_its_end_is_not_compared(index: Index) -> None:
    index.begin_anew()

    report = verify([index.view], index.world.log, artifacts=index.world.artifacts, scratch=index.directory.parent)
    assert (report.is_consistent, report.indexes) == (False, {})
    assert report.damage[index.view.name].hint == f"refold rebuild {index.view.name}"


def test_a_report_is_kept_as_an_event_per_index(index: Index) -> None:
    tamper(index, delete=[chunk_id_of(document_id_of(LETTER), 1, 0)])
    report = verify([index.view], index.world.log, artifacts=index.world.artifacts, scratch=index.directory.parent)

    (draft,) = consistency_drafts(report, pipeline_id="run-2", now=NOW, cause=random_id())

    assert isinstance(draft.event, ConsistencyVerified)
    assert not draft.event.is_consistent
    assert draft.event.counts["missing"] == 1
    assert draft.event.position == str(index.view.position())
    index.world.log.append(None, [draft])


def test_repairs_are_asked_for_a_thousand_documents_at_a_time(index: Index) -> None:
    report = verify([index.view], index.world.log, artifacts=index.world.artifacts, scratch=index.directory.parent)
    assert repair_drafts(report, pipeline_id="run-2", now=NOW, cause=random_id()) == []

    many = [document_id_of(f"folder:docs/{number}") for number in range(2_001)]
    damaged = replace(report.indexes[index.view.name], damaged=many)
    drafts = repair_drafts(
        replace(report, indexes={index.view.name: damaged}), pipeline_id="run-2", now=NOW, cause=random_id()
    )

    asked = [draft.event for draft in drafts if isinstance(draft.event, RepairRequested)]
    assert [len(event.document_ids) for event in asked] == [1_000, 1_000, 1]
    assert {one for event in asked for one in event.document_ids} == set(many)
    assert len({event.meta.event_id for event in asked}) == 3
