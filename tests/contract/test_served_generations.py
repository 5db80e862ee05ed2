"""What stores of generations on servers promise: old ones go, strangers stay, an alias stands on the live one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest
from index_backends import SERVED_BACKENDS, on_opensearch, on_qdrant
from index_chunks import chunks_of
from index_worlds import BOOKS, Index, World, projection_of, texts_of
from opensearchpy import OpenSearch
from qdrant_client import QdrantClient, models

from projections.backends.keyword.opensearch_generations import OpenSearchGenerations
from projections.backends.vector.qdrant_generations import QdrantGenerations
from projections.generation_store import GenerationStore
from projections.index_backend import IndexForeign
from projections.view import GenerationGone

REPORT = "folder:docs/report.md"


class Server(Protocol):
    """A server as somebody else sees it who knows no refold."""

    alias: str

    def store(self) -> GenerationStore[Any]:
        """The store of the generations there."""

    def names(self) -> set[str]:
        """Of all collections or indexes that begin like those of this test."""

    def make(self, name: str) -> None:
        """Make an empty collection or index that bears no mark."""

    def drop(self, name: str) -> None:
        """Delete a collection or index."""

    def alias_stands_on(self) -> set[str]:
        """What the alias names."""

    def point(self, alias: str, name: str) -> None:
        """Have another alias name something."""

    def count(self, name: str) -> int:
        """How many chunks are found by a name or an alias."""


class OpenSearchServer:
    """OpenSearch."""

    def __init__(self, folder: Path) -> None:
        self._where = on_opensearch(folder)
        self._client = OpenSearch([self._where["url"]])
        self.alias = f"{self._where['prefix']}-keyword"

    def store(self) -> OpenSearchGenerations:
        return OpenSearchGenerations(**self._where)

    def names(self) -> set[str]:
        return set(self._client.indices.get(index=f"{self._where['prefix']}*"))

    def make(self, name: str) -> None:
        self._client.indices.create(index=name)

    def drop(self, name: str) -> None:
        self._client.indices.delete(index=name)

    def alias_stands_on(self) -> set[str]:
        found = self._client.indices.get_alias(index=f"{self._where['prefix']}*")
        return {name for name, index in found.items() if self.alias in index["aliases"]}

    def point(self, alias: str, name: str) -> None:
        self._client.indices.put_alias(index=name, name=alias)

    def count(self, name: str) -> int:
        return int(self._client.count(index=name)["count"])


class QdrantServer:
    """Qdrant."""

    def __init__(self, folder: Path) -> None:
        self._where = on_qdrant(folder)
        self._client = QdrantClient(self._where["url"], check_compatibility=False)
        self.alias = f"{self._where['prefix']}-vector"

    def store(self) -> QdrantGenerations:
        return QdrantGenerations(**self._where)

    def names(self) -> set[str]:
        names = {one.name for one in self._client.get_collections().collections}
        return {name for name in names if name.startswith(self._where["prefix"])}

    def make(self, name: str) -> None:
        vectors = models.VectorParams(size=self._where["dim"], distance=models.Distance.DOT)
        self._client.create_collection(name, vectors_config=vectors)

    def drop(self, name: str) -> None:
        self._client.delete_collection(name)

    def alias_stands_on(self) -> set[str]:
        return {one.collection_name for one in self._client.get_aliases().aliases if one.alias_name == self.alias}

    def point(self, alias: str, name: str) -> None:
        create = models.CreateAlias(collection_name=name, alias_name=alias)
        self._client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])

    def count(self, name: str) -> int:
        return self._client.count(name).count


@pytest.fixture(params=SERVED_BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def index_name(name: str) -> str:
    return "keyword" if name == "opensearch" else "vector"


@pytest.fixture
def server(name: str, tmp_path: Path) -> Iterator[Server]:
    kinds: dict[str, Callable[[Path], Server]] = {"opensearch": OpenSearchServer}
    server = kinds.get(name, QdrantServer)(tmp_path)
    yield server
    for left in server.names():
        server.drop(left)


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

    index.view.renew()
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
    successor.view.renew()

    with pytest.raises(IndexForeign):
        zombie.view.apply(*batch)
    assert server.names() == {f"{server.alias}-g2"}

    with pytest.raises(GenerationGone):
        zombie.view.apply([], *batch[1:])  # where nothing is to be written, it is the rows that tell
    for index in (zombie, successor):
        index.view.close()
