"""An index that is damaged says so and takes nothing else down; the command its hint names puts it right."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import qdrant_edge

import refold
from projections.fold.panics import Panicked
from projections.index.backend import IndexedChunk, KeywordBackend
from refold.embedded.wiring import KEYWORD_BACKEND
from refold.engine.engine import INDEXES, SQL_VIEWS
from schemas.errors import DiskFull, RefoldError
from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import Cli, age

WORDS = ("kestrel", "heron", "dipper")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for word in WORDS:
        (folder / f"{word}.md").write_text(f"# Birds\n\nA {word} by the river.\n")
    age(folder)
    return folder


@pytest.fixture
def cli(tmp_path: Path, docs: Path) -> Cli:
    CliHere(tmp_path / "data")("ingest", str(docs))
    return Cli(tmp_path / "data")  # what is damaged may take a process with it


def wipe(data: Path, index: str) -> None:
    shutil.rmtree(data / "indexes" / index)


def tear_the_files(data: Path, index: str) -> None:
    for path in (data / "indexes" / index).glob("*/data/**/*"):
        if path.is_file():
            path.write_text("{")


def make_the_driver_panic(data: Path, index: str) -> None:
    (path,) = (data / "indexes" / index).glob("*/data/segments/*/vector_storage/deleted/status.dat")
    path.write_bytes(b"0123456789")


def name_another_embedder(data: Path, index: str) -> None:
    with sqlite3.connect(data / "views" / "indexes.sqlite") as books:
        books.execute("UPDATE generations SET embedder = 'another' WHERE index_name = ?", (index,))
    books.close()


def leave_unwritten(data: Path, index: str) -> None:
    """As an earlier release left a rebuild that was killed, in a corpus that has lost an artifact."""
    with sqlite3.connect(data / "views" / "indexes.sqlite") as books:
        (key,) = books.execute("SELECT key FROM generations WHERE index_name = ?", (index,)).fetchone()
        books.execute("DELETE FROM served WHERE generation_key = ?", (key,))
        books.execute("DELETE FROM index_positions WHERE generation_key = ?", (key,))
        books.execute("UPDATE generations SET is_live = 0 WHERE key = ?", (key,))
    books.close()
    with sqlite3.connect(data / "artifacts" / "packed.sqlite") as artifacts:
        artifacts.execute("DELETE FROM blobs")
    artifacts.close()


Damage = Callable[[Path, str], None]
DAMAGES = [
    ("vector", wipe),
    ("keyword", wipe),
    ("keyword", tear_the_files),
    ("vector", make_the_driver_panic),
    ("vector", name_another_embedder),
]


def other_than(index: str) -> str:
    return "keyword" if index == "vector" else "vector"


IN_ORDER = [("open", None), ("behind", None)]
"""A new owner may be asked before it has read what the last command wrote."""


def state_of(cli: Cli, index: str) -> tuple[str, str | None]:
    told = {one["name"]: one for one in cli("status", "--json").json["projections"]}
    return told[index]["state"], told[index].get("hint")


@pytest.mark.parametrize(("index", "damage"), DAMAGES)
def test_a_damaged_index_takes_nothing_else_down_and_is_put_right_by_its_hint(
    cli: Cli, docs: Path, tmp_path: Path, index: str, damage: Damage
) -> None:
    damage(cli.data, index)
    other = other_than(index)

    state, hint = state_of(cli, index)
    assert state == "damaged"
    assert hint is not None
    assert f"refold rebuild {index}" in hint
    assert state_of(cli, other) in IN_ORDER

    refused = cli("search", "heron", "--mode", index, exit_code=None)
    assert refused.exit_code in (2, 4)
    assert f"refold rebuild {index}" in refused.stderr
    hybrid = cli("search", "heron river", "--json").json
    assert hybrid["hits"][0]["uri"] == (docs / "heron.md").as_uri()
    assert [(one["index"], one["hint"]) for one in hybrid["unavailable"]] == [(index, hint)]
    assert set(hybrid["positions"]) == {other}
    assert f"refold rebuild {index}" in cli("search", "heron").stderr
    assert cli("search", "heron", "--mode", other, "--json").json["unavailable"] == []

    verified = cli("verify", "--json", exit_code=1).json
    assert (verified["consistent"], list(verified["indexes"])) == (False, [other])
    assert [one["index"] for one in verified["unavailable"]] == [index]
    assert len(cli("documents", "list", "--json").json["documents"]) == len(WORDS)
    cli("jobs", "list")
    cli("log", "export", str(tmp_path / "exported"))
    (docs / "wren.md").write_text("A wren in the hedge.")
    age(docs)
    assert index in cli("ingest", str(docs), exit_code=None).stderr
    found = cli("search", "wren hedge", "--mode", other, "--json").json["hits"]
    assert found[0]["uri"] == (docs / "wren.md").as_uri()

    rebuilt = cli("rebuild", index, "--json").json["rebuilt"][index]
    assert rebuilt["documents"] == len(WORDS) + 1
    assert cli("verify", "--deep", "--json").json["consistent"]
    assert state_of(cli, index) in IN_ORDER
    assert cli("search", "heron", "--json").json["unavailable"] == []


async def test_a_driver_that_panics_while_it_is_written_ends_the_wait_and_not_the_engine(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicException(BaseException):
        """As the binding's own, which cannot be made here."""

    def panic(self: KeywordBackend, chunks: list[IndexedChunk]) -> None:
        del self, chunks
        raise PanicException("index out of bounds: the len is 1 but the index is 1")

    with monkeypatch.context() as panicking:
        panicking.setattr(KEYWORD_BACKEND, "upsert", panic)
        async with refold.open(cli.data) as pipeline:
            with pytest.raises(Panicked) as caught:
                await pipeline.add("snipe", text="A snipe in the reeds.")
            assert caught.value.hint == "refold rebuild keyword"
            (told,) = [one for one in (await pipeline.call("status"))["projections"] if one["name"] == "keyword"]
            assert (told["state"], told["hint"]) == ("damaged", "refold rebuild keyword")
            answer = await pipeline.search("snipe reeds")
            assert answer.hits[0].uri == "push:snipe"
            assert list(answer.unavailable) == ["keyword"]
            with pytest.raises(Panicked):
                await pipeline.search("snipe", mode="keyword")
            panicking.undo()
            assert (await pipeline.call("rebuild", what="keyword"))["rebuilt"]["keyword"]["documents"] == len(WORDS) + 1
            assert (await pipeline.add("crake", text="A crake in the reeds.")).status == "completed"
            assert (await pipeline.search("crake", mode="keyword")).hits[0].uri == "push:crake"
            assert (await pipeline.call("verify", deep=True))["consistent"]


def test_bookkeeping_that_does_not_open_is_the_trouble_of_the_indexes_alone(cli: Cli) -> None:
    books = cli.data / "views" / "indexes.sqlite"
    books.write_bytes(b"not a database at all" * 500)
    told = {one["name"]: one["state"] for one in cli("status", "--json").json["projections"]}
    assert (told["vector"], told["keyword"]) == ("damaged", "damaged")
    assert set(told) == {*SQL_VIEWS, *INDEXES}
    assert len(cli("documents", "list", "--json").json["documents"]) == len(WORDS)
    assert "delete" in cli("search", "heron", exit_code=4).stderr
    assert not cli("verify", "--json", exit_code=1).json["consistent"]

    for path in books.parent.glob("indexes.sqlite*"):
        path.unlink()
    assert cli("search", "heron", "--json").json["unavailable"] == []
    assert cli("verify", "--deep", "--json").json["consistent"]


async def test_an_index_that_has_no_room_to_be_opened_leaves_the_other_one(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise RuntimeError("Service runtime error: IO Error: No space left on device (os error 28)")

    with monkeypatch.context() as full:
        full.setattr(qdrant_edge.EdgeShard, "load", no_room)
        async with refold.open(cli.data) as pipeline:
            assert len((await pipeline.search("heron", mode="keyword")).hits) == 1
            answer = await pipeline.search("heron")
            assert (len(answer.hits), list(answer.unavailable)) == (1, ["vector"])
            with pytest.raises(DiskFull) as caught:
                await pipeline.search("heron", mode="vector")
            assert "free some space" in str(caught.value.hint)
    async with refold.open(cli.data) as pipeline:
        assert (await pipeline.search("heron", mode="vector")).unavailable == {}


async def test_an_index_that_has_no_room_to_go_on_answers_with_what_it_holds(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise DiskFull("there is no room", hint="free some space")

    monkeypatch.setattr(KEYWORD_BACKEND, "upsert", no_room)
    async with refold.open(cli.data) as pipeline:
        with pytest.raises(DiskFull):
            await pipeline.add("wren", text="A wren in the hedge.")
        (told,) = [one for one in (await pipeline.call("status"))["projections"] if one["name"] == "keyword"]
        assert (told["state"], told["hint"]) == ("behind", "free some space")
        assert len((await pipeline.search("heron", mode="keyword")).hits) == 1
    async with refold.open(cli.data) as pipeline:
        answer = await pipeline.search("heron", mode="keyword")
        assert len(answer.hits) == 1
        assert answer.behind["keyword"] > 0


async def test_both_indexes_may_be_damaged_and_are_put_right_in_the_same_process(cli: Cli) -> None:
    wipe(cli.data, "vector")
    wipe(cli.data, "keyword")
    async with refold.open(cli.data) as pipeline:
        with pytest.raises(RefoldError):
            await pipeline.search("heron")
        assert (await pipeline.call("verify"))["consistent"] is False
        await pipeline.call("rebuild", what="all")
        assert (await pipeline.call("verify", deep=True))["consistent"]
        assert (await pipeline.search("heron")).unavailable == {}


def test_an_index_that_cannot_be_written_to_its_end_stays_damaged_and_the_rest_goes_on(cli: Cli, docs: Path) -> None:
    leave_unwritten(cli.data, "keyword")
    answer = cli("rebuild", "keyword", exit_code=None)
    assert answer.exit_code != 0
    assert "--force" in answer.stderr
    assert state_of(cli, "keyword")[0] in ("being_written", "damaged")
    assert state_of(cli, "vector") in IN_ORDER
    cli("documents", "list")
    cli("ingest", str(docs), "--force", exit_code=None)
    cli("rebuild", "keyword")
    assert cli("verify", "--deep", "--json").json["consistent"]
