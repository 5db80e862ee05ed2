"""What both indexes keep to, whatever they are made of."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from projections.consistency.verify import verify
from projections.fold.view import PositionConflict
from projections.index.backend import DocumentAttributes, IndexedChunk, IndexForeign
from projections.index.view.steps import OnPoison
from schemas.errors import PoisonError
from schemas.ids import chunk_ids_of, document_id_of
from schemas.positions import Position
from tests.servers.index_backends import BACKENDS, DURABLE_BACKENDS, INDEX_OF, SERVED_BACKENDS, open_store_of
from tests.worlds.index import BOOKS, HashedWords, Index, World, projection_of, texts_of

REPORT = "folder:docs/report.md"
LETTER = "folder:docs/letter.md"

USED_TOGETHER = [
    *(("sqlite", backend) for backend in BACKENDS if backend not in SERVED_BACKENDS),
    *(("postgres", backend) for backend in ("memory", *SERVED_BACKENDS)),
]
"""A database and a backend as an engine puts them together, for what takes too long with all of both."""


@pytest.fixture(params=BOOKS)
def world(request: pytest.FixtureRequest) -> World:
    return World(books=request.param)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def quickly_switching_threads() -> Iterator[None]:
    """Threads take turns every 0.1 ms instead of 5: more interleavings, in less time."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(usual_s)


def open_index(world: World, folder: Path, backend: str, **settings: object) -> Index:
    """The index in `folder`, opened or made."""
    index = Index(world, folder, projection_of(INDEX_OF[backend]), open_store_of(backend), **settings)  # type: ignore[arg-type]
    index.view.open()
    return index


@pytest.fixture
def index(world: World, tmp_path: Path, backend: str) -> Iterator[Index]:
    index = open_index(world, tmp_path, backend)
    yield index
    index.close()


def test_a_document_cut_from_ten_chunks_to_three_has_exactly_three(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 10))
    index.catch_up()
    assert len(index.entries()) == 10

    world.complete(REPORT, texts_of(REPORT, 2, 3))
    index.catch_up()
    index.collect_all()

    assert set(index.entries()) == set(chunk_ids_of(document_id_of(REPORT), 2, 3))
    assert index.served_version(REPORT) == (2, 3)


def test_a_removed_document_has_no_chunks_and_comes_back_as_a_later_version(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 4))
    world.complete(LETTER, texts_of(LETTER, 1, 2))
    index.catch_up()

    world.remove(REPORT)
    index.catch_up()
    assert index.served_version(REPORT) is None
    index.collect_all()
    assert {entry.document_id for entry in index.entries().values()} == {document_id_of(LETTER)}

    world.complete(REPORT, texts_of(REPORT, 2, 1))
    index.catch_up()
    assert index.served_version(REPORT) == (2, 1)


def test_superseded_chunks_stay_until_no_query_can_want_them(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 2))
    index.catch_up()
    world.complete(REPORT, texts_of(REPORT, 2, 3))
    index.catch_up()

    assert index.view.collect_garbage() == 0
    assert len(index.entries()) == 5
    assert index.view.status().counts.garbage == 2

    assert index.collect_all() == 2
    assert len(index.entries()) == 3
    assert index.view.status().counts.garbage == 0


def test_a_batch_writes_only_final_versions_and_sweeps_up_after_the_others(world: World, index: Index) -> None:
    for version in range(1, 6):
        world.complete(REPORT, texts_of(REPORT, version, version))
    world.complete(LETTER, texts_of(LETTER, 1, 2))
    world.remove(LETTER)
    changes = [change for some, _, _ in index.batches(Position()) for change in some]
    index.view.apply(changes, Position(), index.world.log.end(index.world.log.partitions("documents")))

    assert len(index.entries()) == 5
    assert index.served_version(REPORT) == (5, 5)
    # What a process that died in a shorter batch may have written: versions 1 to 4, and the letter.
    assert index.view.status().counts.garbage == 1 + 2 + 3 + 4 + 2


def test_a_document_without_chunks_is_served_as_such(world: World, index: Index) -> None:
    world.complete(REPORT, [])
    index.catch_up()

    assert index.served_version(REPORT) == (1, 0)
    assert index.view.status().counts.awaiting == 0


def test_a_replay_from_zero_changes_nothing(world: World, index: Index) -> None:
    _write_some_history(world)
    index.catch_up()
    index.collect_all()
    entries, counts = index.entries(), index.view.status().counts
    served = index.view.served([document_id_of(REPORT), document_id_of(LETTER)])

    for changes, _, _ in index.batches(Position()):
        index.view.apply(changes, index.view.position(), index.view.position())

    assert index.entries() == entries
    assert index.view.status().counts == counts
    assert index.view.served([document_id_of(REPORT), document_id_of(LETTER)]) == served


def test_the_outcome_does_not_depend_on_how_the_log_is_cut(world: World, tmp_path: Path, backend: str) -> None:
    _write_some_history(world)
    broken = world.store(["a version whose chunks are lost"])
    world.artifacts.delete([broken.chunks])
    world.complete(REPORT, ["lost"], stored=broken)
    world.complete(LETTER, ["lost as well"], stored=broken)
    world.complete(LETTER, texts_of(LETTER, 9, 2))

    at_once = open_index(world, tmp_path / "at once", backend)
    changes = [change for some, _, _ in at_once.batches(Position()) for change in some]
    at_once.view.apply(changes, Position(), world.log.end(world.log.partitions("documents")))
    one_by_one = open_index(world, tmp_path / "one by one", backend)
    for number, change in enumerate(changes, start=1):
        position = world.log.partitions("documents")[0]
        one_by_one.view.apply([change], one_by_one.view.position(), Position({position: number}))

    for index in (at_once, one_by_one):
        index.collect_all()
    assert at_once.entries() == one_by_one.entries()
    assert at_once.view.status().counts == one_by_one.view.status().counts
    assert at_once.served_version(REPORT) == one_by_one.served_version(REPORT) == (3, 6)
    assert at_once.view.parked().keys() == one_by_one.view.parked().keys() == {document_id_of(REPORT)}
    at_once.close()
    one_by_one.close()


def test_the_position_moves_by_compare_and_set(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 1))
    (batch,) = index.batches(Position())
    index.view.apply(*batch)

    with pytest.raises(PositionConflict):
        index.view.apply(*batch)
    assert index.view.position() == batch[2]


def test_a_version_whose_artifacts_are_lost_is_parked_and_the_old_one_stays(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 2))
    index.catch_up()
    lost = world.store(texts_of(REPORT, 2, 3))
    world.artifacts.delete([lost.chunks])
    world.complete(REPORT, [], stored=lost)
    world.complete(LETTER, texts_of(LETTER, 1, 1))
    index.catch_up()

    assert index.served_version(REPORT) == (1, 2)
    assert index.served_chunks(REPORT) == 2
    assert index.served_version(LETTER) == (1, 1)
    parked = index.view.parked()[document_id_of(REPORT)]
    assert (parked.change.version, parked.error_code, parked.is_awaiting) == (2, "ArtifactMissing", False)
    assert index.view.status().counts.parked == 1


@pytest.mark.parametrize("next_event", ["completed", "removed"])
def test_what_comes_after_a_parked_version_applies_and_clears_it(world: World, index: Index, next_event: str) -> None:
    lost = world.store(texts_of(REPORT, 1, 3))
    world.artifacts.delete([lost.chunks])
    world.complete(REPORT, [], stored=lost)
    index.catch_up()
    assert index.view.status().counts.parked == 1

    if next_event == "completed":
        world.complete(REPORT, texts_of(REPORT, 2, 2))
    else:
        world.remove(REPORT)
    index.catch_up()

    counts = index.view.status().counts
    assert (counts.parked, counts.garbage) == (0, 3)
    assert index.served_version(REPORT) == ((2, 2) if next_event == "completed" else None)


def test_a_parked_version_is_served_once_its_artifacts_are_back_and_a_repair_is_asked_for(
    world: World, index: Index
) -> None:
    texts = texts_of(REPORT, 1, 3)
    lost = world.store(texts)
    world.artifacts.delete([lost.chunks])
    world.complete(REPORT, texts, stored=lost)
    index.catch_up()

    world.ask_repair(index.view.name, [REPORT])
    index.catch_up()
    assert index.view.status().counts.parked == 1
    world.store(texts)
    world.ask_repair(index.view.name, [REPORT])
    index.catch_up()

    assert index.served_version(REPORT) == (1, 3)
    assert index.served_chunks(REPORT) == 3
    assert index.view.status().counts.parked == 0
    assert index.collect_all() == 0


def test_artifacts_that_are_not_what_the_event_says_are_parked(world: World, index: Index) -> None:
    stored = world.store(texts_of(REPORT, 1, 3))
    world.complete(REPORT, [], stored=type(stored)(stored.chunks, stored.vectors, 4))
    torn = world.artifacts.put([b"no container of chunks"])[0]
    world.complete(LETTER, [], stored=type(stored)(torn, stored.vectors, 3))
    index.catch_up()

    codes = {document_id: parked.error_code for document_id, parked in index.view.parked().items()}
    assert codes == {document_id_of(REPORT): "ContentsMismatch", document_id_of(LETTER): "UnreadableContents"}


def test_a_rebuild_stops_where_live_goes_on(world: World, index: Index) -> None:
    lost = world.store(texts_of(REPORT, 1, 3))
    world.artifacts.delete([lost.chunks])
    world.complete(REPORT, [], stored=lost)

    with pytest.raises(PoisonError, match=document_id_of(REPORT)):
        index.catch_up(on_poison=OnPoison.STOP)
    assert index.view.position() == Position()


def test_only_the_version_that_the_backend_refuses_is_parked(world: World, index: Index) -> None:
    uris = [f"folder:docs/{number}.md" for number in range(20)]
    for uri in uris:
        world.complete(uri, texts_of(uri, 1, 3))
    refused = document_id_of(uris[13])
    with index.view.paused() as opened:
        upsert = opened.backend.upsert

        def picky(chunks: list[IndexedChunk]) -> None:
            if any(chunk.document_id == refused for chunk in chunks):
                raise PoisonError("unlucky number")
            upsert(chunks)

        opened.backend.upsert = picky  # type: ignore[method-assign, assignment]
    index.catch_up()

    assert index.view.parked().keys() == {refused}
    assert sum(index.served_chunks(uri) or 0 for uri in uris) == 19 * 3


def test_a_repair_writes_lost_chunks_again_and_sweeps_up_what_nobody_serves(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 4))
    world.complete(LETTER, texts_of(LETTER, 1, 2))
    index.catch_up()
    before = index.entries()
    with index.view.paused() as opened:
        lost = chunk_ids_of(document_id_of(REPORT), 1, 4)[1]
        stray = _stray_chunk(LETTER, version=7, dim=index.projection.spec.dim)
        opened.backend.delete([lost])
        opened.backend.upsert([stray])
        opened.backend.flush()
    assert index.entries().keys() == before.keys() - {lost} | {stray.chunk_id}

    world.ask_repair(index.view.name, [REPORT, LETTER])
    index.catch_up()
    index.collect_all()

    assert index.entries() == before


def test_garbage_that_comes_to_be_served_is_spared(world: World, index: Index) -> None:
    world.complete(LETTER, texts_of(LETTER, 1, 1))
    index.catch_up()
    with index.view.paused() as opened:  # a process died after it wrote version 2
        opened.backend.upsert([_stray_chunk(LETTER, version=2, dim=index.projection.spec.dim)])
        opened.backend.flush()
    world.ask_repair(index.view.name, [LETTER])
    index.catch_up()
    assert index.view.status().counts.garbage == 1

    world.complete(LETTER, texts_of(LETTER, 2, 1))
    index.catch_up()
    index.collect_all()

    assert index.served_chunks(LETTER) == 1
    assert len(index.entries()) == 1


def test_another_index_is_not_repaired(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 4))
    index.catch_up()
    with index.view.paused() as opened:
        opened.backend.delete(chunk_ids_of(document_id_of(REPORT), 1, 4))
        opened.backend.flush()

    world.ask_repair("another", [REPORT])
    index.catch_up()

    assert index.entries() == {}


@pytest.mark.parametrize("backend", DURABLE_BACKENDS)
def test_what_was_applied_is_there_after_reopening(world: World, tmp_path: Path, backend: str) -> None:
    index = open_index(world, tmp_path, backend)
    _write_some_history(world)
    index.catch_up()
    entries, status = index.entries(), index.view.status()
    index.close()

    index = open_index(world, tmp_path, backend)
    assert index.entries() == entries
    assert index.view.status().counts == status.counts
    assert index.view.position() == status.position
    assert index.view.generation.name == "g1"
    index.close()


@pytest.mark.parametrize("backend", DURABLE_BACKENDS)
@pytest.mark.parametrize("damage", ["wiped", "emptied", "swapped"])
def test_a_wiped_or_foreign_folder_is_noticed(world: World, tmp_path: Path, backend: str, damage: str) -> None:
    index = open_index(world, tmp_path / "mine", backend)
    world.complete(REPORT, texts_of(REPORT, 1, 4))
    index.catch_up()
    index.close()
    folder = index.directory / "g1"
    shutil.rmtree(folder)
    if damage == "emptied":
        folder.mkdir()
    elif damage == "swapped":
        other = open_index(world, tmp_path / "other", backend)
        other.begin_anew()
        other.close()
        shutil.copytree(other.directory / "g2", folder)

    with pytest.raises(IndexForeign) as caught:
        open_index(world, tmp_path / "mine", backend)
    assert caught.value.hint == f"refold rebuild {index.view.name}"


@pytest.mark.parametrize("backend", DURABLE_BACKENDS)
def test_a_folder_that_is_wiped_behind_its_writer_is_noticed_at_the_next_turn(
    world: World, tmp_path: Path, backend: str
) -> None:
    index = open_index(world, tmp_path, backend)
    world.complete(REPORT, texts_of(REPORT, 1, 4))
    index.catch_up()
    before = index.view.position()
    shutil.rmtree(index.directory / "g1")
    world.complete(REPORT, texts_of(REPORT, 2, 4))

    with pytest.raises(IndexForeign) as caught:
        index.catch_up()

    assert caught.value.hint == f"refold rebuild {index.view.name}"
    assert index.view.position() == before


def test_the_first_generation_is_made_at_the_first_opening(world: World, tmp_path: Path, backend: str) -> None:
    index = Index(world, tmp_path, projection_of(INDEX_OF[backend]), open_store_of(backend))

    assert index.view.open()
    assert (index.view.generation.name, index.view.generation.is_live) == ("g1", True)
    if backend in DURABLE_BACKENDS:
        assert not index.view.open()
    index.close()


def test_an_index_that_is_not_open_says_how_to_rebuild_it(world: World, tmp_path: Path, backend: str) -> None:
    index = open_index(world, tmp_path, backend)
    index.close()

    with pytest.raises(IndexForeign) as caught:
        index.view.position()
    assert caught.value.hint == f"refold rebuild {index.view.name}"


@pytest.mark.parametrize(("world", "backend"), USED_TOGETHER, indirect=["world"])
@pytest.mark.usefixtures("quickly_switching_threads")
def test_during_200_updates_a_document_is_never_missing(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 2))
    world.complete(LETTER, texts_of(LETTER, 1, 2))
    index.catch_up()
    is_done = threading.Event()
    missed, asked = [], 0

    def ask_on() -> None:
        nonlocal asked
        while not is_done.is_set() or not asked:
            asked += 1
            if document_id_of(REPORT) not in index.find("report", limit=3):
                missed.append(asked)

    asking = threading.Thread(target=ask_on)
    asking.start()
    for version in range(2, 202):
        world.complete(REPORT, texts_of(REPORT, version, 2))
        index.catch_up()
        if version % 20 == 0:
            index.collect_all()
    is_done.set()
    asking.join()

    assert asked > 0
    assert missed == []
    assert index.served_version(REPORT) == (201, 2)


@pytest.mark.usefixtures("quickly_switching_threads")
def test_an_index_is_found_consistent_at_any_moment_while_it_is_written(
    world: World, index: Index, tmp_path: Path
) -> None:
    uris = [f"folder:docs/{number}.md" for number in range(5)]
    is_done = threading.Event()

    def write() -> None:
        for version in range(1, 16):
            for uri in uris:
                world.complete(uri, texts_of(uri, version, version % 3))
            index.catch_up()
            index.collect_all()
        is_done.set()

    writing = threading.Thread(target=write)
    writing.start()
    reports = [verify([index.view], world.log, artifacts=world.artifacts, scratch=tmp_path)]
    while not is_done.is_set():
        reports.append(verify([index.view], world.log, artifacts=world.artifacts, scratch=tmp_path, deep=True))
    writing.join()

    assert [report for report in reports if not report.is_consistent] == []


def test_an_index_is_swapped_only_when_running_searches_have_left(world: World, index: Index) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 2))
    index.catch_up()
    beside = index.view.beside()
    happened: list[str] = []

    def swap() -> None:
        index.view.swap_in(beside, last=lambda: None)
        happened.append("swapped")

    swapping = threading.Thread(target=swap)
    with index.view.searching() as opened:
        swapping.start()
        while not index.view._gate._is_closed:
            pass  # until it waits for this search
        shown = opened.books.standings([document_id_of(REPORT)])[document_id_of(REPORT)]
        happened.append(f"{opened.backend.count()} chunks seen of version {shown.version}")
    swapping.join()

    assert happened == ["2 chunks seen of version 1", "swapped"]
    assert index.entries() == {}


def _write_some_history(world: World) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 10))
    world.complete(LETTER, texts_of(LETTER, 1, 3))
    world.complete(REPORT, texts_of(REPORT, 2, 3))
    world.remove(LETTER)
    world.complete(REPORT, texts_of(REPORT, 3, 6))


def _stray_chunk(uri: str, *, version: int, dim: int | None) -> IndexedChunk:
    document_id = document_id_of(uri)
    (text,) = texts_of(uri, version, 1)
    return IndexedChunk(
        chunk_id=chunk_ids_of(document_id, version, 1)[0],
        document_id=document_id,
        version=version,
        ordinal=0,
        text=text,
        text_hash="0" * 64,
        attributes=DocumentAttributes(uri=uri),
        vector=HashedWords().embed([text])[0] if dim else None,
    )
