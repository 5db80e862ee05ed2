"""What stores of generations on servers promise: old ones go, strangers stay, an alias stands on the live one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from projections.fold.view import GenerationGone
from projections.index.backend import IndexForeign
from tests.servers.index import Server, index_server
from tests.servers.index_backends import INDEX_OF, SERVED_BACKENDS
from tests.worlds.index import BOOKS, Index, World, projection_of, texts_of
from tests.worlds.index_chunks import chunks_of

REPORT = "folder:docs/report.md"


@pytest.fixture(params=SERVED_BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def index_name(name: str) -> str:
    return INDEX_OF[name]


@pytest.fixture
def server(name: str, tmp_path: Path) -> Iterator[Server]:
    with index_server(name, tmp_path) as server:
        yield server


def make(server: Server, **counts: int) -> None:
    """Write generations of as many chunks."""
    for generation, count in counts.items():
        backend = server.store().open(generation, create=True)
        backend.upsert(chunks_of(REPORT, count))
        backend.close()


def test_every_generation_but_the_spared_one_is_dropped(server: Server) -> None:
    make(server, g1=1, g2=2, g11=1)

    server.store().drop_others("g2")

    assert server.names() == {f"{server.alias}-g2"}
    server.store().drop_others("g2")
    server.store().drop_others(None)
    assert server.names() == set()


def test_what_is_only_called_like_a_generation_or_only_bears_a_mark_stays(server: Server) -> None:
    make(server, g1=1, old=1)
    strangers = {f"{server.alias}-{end}" for end in ("g2", "g3x", "g", "notes", "g4-keyword-g5")} | {
        f"{server.alias}s-g6"
    }
    for stranger in strangers:
        server.make(stranger)

    server.store().drop_others(None)

    assert server.names() == strangers | {f"{server.alias}-old"}


def test_the_alias_stands_on_one_generation_and_moves_in_a_step(server: Server) -> None:
    make(server, g1=1, g2=2)

    server.store().point_alias("g1")
    assert server.alias_stands_on() == {f"{server.alias}-g1"}
    assert server.count(server.alias) == 1
    for _ in range(2):
        server.store().point_alias("g2")
        assert server.alias_stands_on() == {f"{server.alias}-g2"}
        assert server.count(server.alias) == 2


def test_aliases_of_others_stay_where_they_are(server: Server) -> None:
    make(server, g1=1, g2=2)
    server.point(f"{server.alias}-mine", f"{server.alias}-g1")

    server.store().point_alias("g2")

    assert server.count(f"{server.alias}-mine") == 1


def test_an_alias_is_not_pointed_at_a_generation_that_is_not_there(server: Server) -> None:
    make(server, g1=1)
    server.store().point_alias("g1")

    with pytest.raises(IndexForeign):
        server.store().point_alias("g2")

    assert server.alias_stands_on() == {f"{server.alias}-g1"}


@pytest.fixture(params=BOOKS)
def world(request: pytest.FixtureRequest) -> World:
    return World(books=request.param)


def open_index(world: World, folder: Path, index: str, server: Server) -> Index:
    """The index as one of several processes has it open."""
    opened = Index(world, folder, projection_of(index), lambda _: server.store())
    opened.view.open()
    return opened


def test_the_alias_follows_the_row_that_says_what_is_live(
    world: World, tmp_path: Path, index_name: str, server: Server
) -> None:
    index = open_index(world, tmp_path, index_name, server)
    world.complete(REPORT, texts_of(REPORT, 1, 3))
    index.catch_up()
    assert server.alias_stands_on() == {f"{server.alias}-g1"}
    assert server.count(server.alias) == 3

    index.begin_anew()
    assert server.names() == {f"{server.alias}-g2"}
    assert server.alias_stands_on() == set()  # it is being built

    index.catch_up()
    index.view.promote()
    assert server.alias_stands_on() == {f"{server.alias}-g2"}
    assert server.count(server.alias) == 3
    index.close()


def test_what_a_dying_process_left_on_the_server_is_put_right_at_the_next_opening(
    world: World, tmp_path: Path, index_name: str, server: Server
) -> None:
    open_index(world, tmp_path, index_name, server).close()
    make(server, g3=1, g7=1)
    server.store().point_alias("g7")

    open_index(world, tmp_path, index_name, server).close()

    assert server.names() == {f"{server.alias}-g1"}
    assert server.alias_stands_on() == {f"{server.alias}-g1"}


def test_an_index_whose_generation_is_gone_from_the_server_says_how_to_rebuild_it(
    world: World, tmp_path: Path, index_name: str, server: Server
) -> None:
    open_index(world, tmp_path, index_name, server).close()
    server.drop(f"{server.alias}-g1")

    with pytest.raises(IndexForeign) as raised:
        open_index(world, tmp_path, index_name, server)

    assert raised.value.hint == f"refold rebuild {index_name}"


def test_of_many_that_open_an_index_at_once_one_makes_it_and_all_have_the_same(
    world: World, tmp_path: Path, index_name: str, server: Server
) -> None:
    world.complete(REPORT, texts_of(REPORT, 1, 3))
    indexes = [Index(world, tmp_path, projection_of(index_name), lambda _: server.store()) for _ in range(4)]
    start = threading.Barrier(len(indexes))

    def open_and_write(index: Index) -> bool:
        start.wait()
        is_first: bool = index.view.open()
        if is_first:
            index.catch_up()
        return is_first

    with ThreadPoolExecutor(len(indexes)) as pool:
        made = list(pool.map(open_and_write, indexes))

    assert sorted(made) == [False, False, False, True]
    assert [index.view.generation for index in indexes] == [indexes[0].view.generation] * 4
    assert [index.served_chunks(REPORT) for index in indexes] == [3] * 4
    for index in indexes:
        index.close()


def test_a_zombie_cannot_write_to_a_generation_that_is_gone(
    world: World, tmp_path: Path, index_name: str, server: Server
) -> None:
    zombie, successor = (open_index(world, tmp_path, index_name, server) for _ in range(2))
    world.complete(REPORT, texts_of(REPORT, 1, 3))
    (batch,) = zombie.batches(zombie.view.position())
    successor.begin_anew()

    with pytest.raises(IndexForeign):
        zombie.view.apply(*batch)
    assert server.names() == {f"{server.alias}-g2"}

    with pytest.raises(GenerationGone):
        zombie.view.apply([], *batch[1:])  # where nothing is to be written, it is the rows that tell
    for index in (zombie, successor):
        index.view.close()
