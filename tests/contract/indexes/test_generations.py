"""What the rows of generations promise to many processes that begin, promote and write at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from projections.backends.folder import FolderGenerations
from projections.backends.memory.vectors import FlatVectorBackend
from projections.fold.view import GenerationGone
from projections.index.books.batch import Bookings
from projections.index.books.books import IndexBooks
from projections.index.books.generations import Generation, Generations
from projections.index.books.tables import POSITIONS
from projections.index.changes import VectorIndex
from projections.index.view.home import IndexHome
from schemas.errors import MachineError
from schemas.positions import Position, TopicPartition
from tests.worlds.index import BOOKS, HashedWords

SPEC = VectorIndex(embedder=HashedWords.name, dim=HashedWords.dim).spec
NOTHING = Bookings([], [], [], [])
FIRST = Position({TopicPartition("documents", 0): 1})
PATIENCE_S = 60.0


@pytest.fixture(params=BOOKS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    engine = BOOKS[request.param](tmp_path)
    yield engine
    engine.dispose()


def position_rows(engine: Engine) -> int:
    """How many there are, of whatever generation."""
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(POSITIONS)).scalar_one())


def begun(generations: Generations) -> Generation:
    """A new generation in place of the one before."""
    with generations.locked(SPEC.name) as locked:
        return locked.begin(SPEC, log_id="log-a")


def test_what_is_written_to_a_generation_that_is_gone_is_refused(engine: Engine) -> None:
    generations = Generations(engine)
    gone = begun(generations)
    begun(generations)

    with pytest.raises(GenerationGone, match="g1 of the vector index is gone"):
        IndexBooks(engine, gone).commit(lambda _: NOTHING, now_us=1, expected=Position(), at=FIRST)
    with pytest.raises(GenerationGone):
        IndexBooks(engine, gone).commit(
            lambda _: NOTHING, now_us=1, expected=Position(), at=Position()
        )  # nothing moves
    with pytest.raises(GenerationGone):
        generations.promote(gone)
    assert position_rows(engine) == 0


def test_a_generation_does_not_go_while_something_is_written_to_it(engine: Engine) -> None:
    generations = Generations(engine)
    generation = begun(generations)
    happened: list[str] = []

    def begin() -> None:
        begun(generations)
        happened.append("begun")

    beginning = threading.Thread(target=begin)

    def meanwhile() -> None:
        beginning.start()
        wait_for_a_waiting_transaction(engine)
        happened.append("committed")

    IndexBooks(engine, generation).commit(
        lambda _: NOTHING, now_us=1, expected=Position(), at=FIRST, before_end=meanwhile
    )
    beginning.join(PATIENCE_S)

    assert happened == ["committed", "begun"]
    assert position_rows(engine) == 0
    current = generations.current(SPEC.name)
    assert current is not None
    assert current.name == "g2"


def wait_for_a_waiting_transaction(engine: Engine) -> None:
    """On PostgreSQL, until it says that another transaction waits for a lock; SQLite does not tell of any."""
    if engine.dialect.name != "postgresql":
        return
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        for _ in range(100_000):
            if connection.exec_driver_sql(waits).scalar_one():
                return
    pytest.fail("nobody waits")


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)  # SQLite has one writer at a time
def test_a_promotion_does_not_wait_for_what_is_being_written(engine: Engine) -> None:
    generations = Generations(engine)
    generation = begun(generations)

    def promote() -> None:
        generations.promote(generation)

    IndexBooks(engine, generation).commit(
        lambda _: NOTHING, now_us=1, expected=Position(), at=FIRST, before_end=promote
    )

    current = generations.current(SPEC.name)
    assert current is not None
    assert current.is_live


def test_many_that_begin_at_once_begin_one_after_the_other(engine: Engine) -> None:
    start = threading.Barrier(4)

    def begin(_: int) -> str:
        generations = Generations(engine)
        start.wait()
        return begun(generations).name

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(begin, range(4))) == ["g1", "g2", "g3", "g4"]


def test_a_generation_whose_index_cannot_be_made_leaves_no_row(engine: Engine, tmp_path: Path) -> None:
    def full(directory: Path, generation: str, *, create: bool) -> FlatVectorBackend:
        if is_full:
            raise MachineError("the disk is full")
        return FlatVectorBackend(directory, generation, create=create, dim=HashedWords.dim)

    store = FolderGenerations(tmp_path / "vector", full)
    home = IndexHome(SPEC, log_id="log-a", store=store, database=engine)
    is_full = True
    with pytest.raises(MachineError):
        home.open()
    assert home.current() is None

    is_full = False
    first = home.open()
    assert (first.is_first, first.generation.name, first.generation.is_live) == (True, "g1", True)
    is_full = True
    with pytest.raises(MachineError):
        home.renewed()
    assert home.current() == first.generation
