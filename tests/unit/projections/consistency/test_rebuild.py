"""An index is written anew from the log and its artifacts, and holds the same as before."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from projections.consistency.rebuild import RebuildReport, finish_rebuild, rebuild_index
from projections.consistency.verify import verify
from projections.index.backend import IndexForeign
from projections.index.books.tables import GENERATIONS
from projections.index.view.view import IndexView
from schemas.errors import PoisonError, UsageError
from schemas.events import GenerationCreated, GenerationDropped, GenerationPromoted
from schemas.ids import document_id_of
from schemas.positions import Position
from tests.servers.index_backends import DURABLE_BACKENDS, INDEX_OF, open_store_of
from tests.worlds.index import BOOKS, Index, World, lose_books, projection_of, texts_of

REPORT = "folder:docs/report.md"
LETTER = "folder:docs/letter.md"


@pytest.fixture(params=BOOKS)
def world(request: pytest.FixtureRequest) -> World:
    world = World(books=request.param)
    for number in range(20):
        uri = f"folder:docs/{number}.md"
        for version in range(1, number % 3 + 2):
            world.complete(uri, texts_of(uri, version, number % 5))
        if number % 4 == 0:
            world.remove(uri)
    world.complete(REPORT, texts_of(REPORT, 1, 4))
    return world


@pytest.fixture(params=DURABLE_BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def make(world: World, folder: Path, backend: str) -> Index:
    return Index(world, folder, projection_of(INDEX_OF[backend]), open_store_of(backend))


@pytest.fixture
def index(world: World, tmp_path: Path, backend: str) -> Iterator[Index]:
    index = make(world, tmp_path, backend)
    index.view.open()
    index.catch_up()
    yield index
    index.close()


def rebuild(index: Index, *, on_progress: Callable[[int], None] | None = None) -> RebuildReport:
    return written_by(rebuild_index, index, on_progress)


def finish(index: Index, *, on_progress: Callable[[int], None] | None = None) -> RebuildReport:
    return written_by(finish_rebuild, index, on_progress)


def written_by(
    write: Callable[..., RebuildReport], index: Index, on_progress: Callable[[int], None] | None
) -> RebuildReport:
    return write(
        index.view,
        index.projection,
        index.world.log,
        scratch=index.directory.parent,
        pipeline_id="run-2",
        clock=index.world.clock,
        on_progress=on_progress,
    )


def is_consistent(index: Index) -> bool:
    return verify(
        [index.view], index.world.log, artifacts=index.world.artifacts, scratch=index.directory.parent, deep=True
    ).is_consistent


def test_a_rebuilt_index_holds_the_same_under_a_new_generation(world: World, index: Index) -> None:
    index.collect_all()
    entries, counts = index.entries(), index.view.status().counts

    report = rebuild(index)

    assert index.entries() == entries
    assert index.view.status().counts == counts
    assert (report.generation, report.documents, report.chunks) == ("g2", counts.documents, len(entries))
    assert (report.parser_calls, report.embedder_calls) == (0, 0)
    assert report.seconds > 0
    assert index.view.position().reaches(world.log.end(world.log.partitions("documents")))
    assert [folder.name for folder in index.directory.iterdir()] == ["g2"]


def test_only_live_versions_are_written(index: Index) -> None:
    index.collect_all()
    live = len(index.entries())

    rebuild(index)

    assert index.view.status().chunks == live
    assert index.view.status().counts.garbage == 0


def test_a_wiped_index_is_rebuilt_and_goes_on(world: World, index: Index, tmp_path: Path, backend: str) -> None:
    index.collect_all()
    entries = index.entries()
    index.close()
    shutil.rmtree(index.directory)
    index = make(world, tmp_path, backend)
    with pytest.raises(IndexForeign):
        index.view.open()

    rebuild(index)
    assert index.entries() == entries

    world.complete(LETTER, texts_of(LETTER, 1, 2))
    index.catch_up()
    assert index.served_chunks(LETTER) == 2
    assert is_consistent(index)
    index.close()


def test_lost_bookkeeping_starts_an_index_anew(world: World, index: Index, tmp_path: Path, backend: str) -> None:
    index.collect_all()
    entries = index.entries()
    index.close()
    lose_books(world, tmp_path)

    index = make(world, tmp_path, backend)
    index.view.open()
    assert index.entries() == {}
    index.catch_up()
    index.collect_all()
    assert index.entries() == entries
    index.close()


def test_generations_are_told_in_the_log_once(world: World, index: Index) -> None:
    rebuild(index)

    operations = world.log.partitions("operations")
    events = [recorded.event for batch in world.log.read(operations, Position()) for recorded in batch.recorded]
    created, promoted, dropped = events
    assert isinstance(created, GenerationCreated)
    assert (created.index, created.generation, created.dim) == (index.view.name, "g2", index.projection.spec.dim)
    assert isinstance(promoted, GenerationPromoted)
    assert (promoted.generation, promoted.previous) == ("g2", "g1")
    assert isinstance(dropped, GenerationDropped)
    assert dropped.generation == "g1"


class Stopped(BaseException):
    """What happens to a process, or to a library beneath it."""


def stopped_after(batches: int) -> Callable[[int], None]:
    """Lets a rebuild go on for that many batches."""
    done = 0

    def stop(_: int) -> None:
        nonlocal done
        done += 1
        if done > batches:
            raise Stopped

    return stop


@pytest.mark.parametrize("batches_done", [0, 1])
def test_a_rebuild_that_ends_early_leaves_what_was_served(
    world: World, index: Index, batches_done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.collect_all()
    entries = index.entries()
    monkeypatch.setattr("projections.consistency.rebuild.BATCH_DOCUMENTS", 5)

    with pytest.raises(Stopped):
        rebuild(index, on_progress=stopped_after(batches_done))

    assert (index.view.generation.name, index.view.generation.is_live) == ("g1", True)
    assert index.entries() == entries
    assert [folder.name for folder in index.directory.iterdir()] == ["g1"]
    world.complete(LETTER, texts_of(LETTER, 1, 2))
    index.catch_up()
    assert is_consistent(index)
    assert rebuild(index).generation == "g2"
    assert is_consistent(index)


@pytest.mark.parametrize("batches_done", [0, 1])
def test_what_a_killed_rebuild_has_written_is_dropped_at_the_next_opening(
    world: World, index: Index, tmp_path: Path, backend: str, batches_done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.collect_all()
    entries = index.entries()
    monkeypatch.setattr("projections.consistency.rebuild.BATCH_DOCUMENTS", 5)
    with monkeypatch.context() as killed:
        killed.setattr(IndexView, "drop", lambda *_: None)
        with pytest.raises(Stopped):
            rebuild(index, on_progress=stopped_after(batches_done))
    index.close()
    assert {folder.name for folder in index.directory.iterdir()} == {"g1", "g2"}

    index = make(world, tmp_path, backend)
    assert not index.view.open()
    assert (index.view.generation.name, index.view.generation.is_live) == ("g1", True)
    assert [folder.name for folder in index.directory.iterdir()] == ["g1"]
    with index._engine.connect() as connection:
        assert list(connection.execute(select(GENERATIONS.c.generation)).scalars()) == ["g1"]
    assert index.entries() == entries
    assert is_consistent(index)
    index.close()


def test_what_is_served_is_found_all_through_a_rebuild_and_goes_on(
    world: World, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.consistency.rebuild.BATCH_DOCUMENTS", 5)
    found: list[bool] = []

    def look(_: int) -> None:
        if not found:  # an update comes while the rebuild is under way, and is applied to what is served
            world.complete(LETTER, texts_of(LETTER, 1, 2))
            index.catch_up()
        found.append({document_id_of(LETTER), document_id_of(REPORT)} <= set(index.find("letter report", limit=100)))

    report = rebuild(index, on_progress=look)

    assert len(found) > 1
    assert all(found)
    assert (report.generation, index.view.generation.name) == ("g2", "g2")
    assert {document_id_of(LETTER), document_id_of(REPORT)} <= set(index.find("letter report", limit=100))
    assert is_consistent(index)


def test_an_index_is_never_sent_back_by_a_rebuild(world: World, index: Index) -> None:
    before: list[Position] = []

    def write_once(_: int) -> None:
        if not before:  # the rebuild has read the log by then
            world.complete(LETTER, texts_of(LETTER, 1, 2))
            index.catch_up()
            before.append(index.view.position())

    rebuild(index, on_progress=write_once)
    assert index.view.position().reaches(before[0])
    assert index.served_version(LETTER) == (1, 2)


@pytest.mark.parametrize("batches_done", [0, 1])
def test_a_generation_that_others_began_is_finished_where_it_stands(
    world: World, index: Index, tmp_path: Path, backend: str, batches_done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.collect_all()
    entries = index.entries()
    monkeypatch.setattr("projections.consistency.rebuild.BATCH_DOCUMENTS", 5)
    index.begin_anew()
    with pytest.raises(Stopped):
        finish(index, on_progress=stopped_after(batches_done))
    index.close()

    index = make(world, tmp_path, backend)
    index.view.open()
    assert index.view.generation.name == "g2"
    report = finish(index)

    assert report.generation == "g2"
    assert index.view.generation.is_live
    assert index.entries() == entries
    assert is_consistent(index)
    index.close()


def test_a_rebuild_that_died_before_the_folder_was_whole_begins_again(
    world: World, index: Index, tmp_path: Path, backend: str
) -> None:
    index.collect_all()
    entries = index.entries()
    index.begin_anew()
    index.close()
    shutil.rmtree(index.directory / "g2")
    (index.directory / "g2").mkdir()

    index = make(world, tmp_path, backend)
    index.view.open()
    finish(index)

    assert index.entries() == entries
    index.close()


def test_a_rebuild_stops_at_a_version_that_cannot_be_written(world: World, index: Index) -> None:
    lost = world.store(texts_of(LETTER, 1, 2))
    world.complete(LETTER, [], stored=lost)
    world.artifacts.delete([lost.chunks])

    with pytest.raises(PoisonError, match=document_id_of(LETTER)):
        rebuild(index)
    assert (index.view.generation.name, index.view.generation.is_live) == ("g1", True)


def test_an_index_written_with_another_embedder_is_refused(world: World, tmp_path: Path) -> None:
    index = make(world, tmp_path, "qdrant_edge")
    index.view.open()
    index.close()
    projection = projection_of("vector")
    projection.spec = type(projection.spec)(name="vector", mapping="cosine", embedder="another", dim=8)

    with pytest.raises(UsageError, match=r"hashed-words.*another"):
        Index(world, tmp_path, projection, open_store_of("qdrant_edge")).view.open()
