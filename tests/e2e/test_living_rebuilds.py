"""Rebuilds in an owner that goes on meanwhile: nobody else meets more than a wait."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import refold
from projections.index.books.latest_versions import LatestVersions
from projections.sql.store import ViewStore
from refold.control.address import calling_path
from refold.control.messages import Call, decode, encode
from refold.settings.settings import load_settings
from schemas.errors import RefoldError
from schemas.events import GenerationCreated, GenerationDropped, GenerationPromoted
from schemas.positions import Position
from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import Cli

PATIENCE_S = 60.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A corpus of three documents."""
    cli = CliHere(tmp_path / "data")
    for word in ("kestrel", "heron", "dipper"):
        cli("documents", "add", word, "--text", f"A {word} by the river.")
    return cli.data


class HeldFold:
    """Rebuilds wait at their beginning until they are let go."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self.goes_on = threading.Event()

    @contextmanager
    def holding(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        fold_to = LatestVersions.fold_to

        def held(latest: LatestVersions, *arguments: object, **options: object) -> None:
            self.is_reached.set()
            assert self.goes_on.wait(PATIENCE_S)
            fold_to(latest, *arguments, **options)  # type: ignore[arg-type] - passed on as they came

        with monkeypatch.context() as patched:
            patched.setattr(LatestVersions, "fold_to", held)
            try:
                yield
            finally:
                self.goes_on.set()


def runner_threads() -> list[str]:
    """The threads that follow the log."""
    return sorted(one.name for one in threading.enumerate() if one.name.startswith("projection-"))


def leave_unwritten(data: Path, index: str) -> None:
    """As an earlier release left a rebuild that was killed."""
    with sqlite3.connect(data / "views" / "indexes.sqlite") as books:
        books.execute("UPDATE generations SET is_live = 0 WHERE index_name = ?", (index,))
    books.close()


async def test_work_goes_on_while_an_index_is_rebuilt(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldFold()
    with held.holding(monkeypatch):
        async with refold.open(data) as pipeline:
            rebuilding = asyncio.create_task(pipeline.call("rebuild", what="keyword"))
            assert await asyncio.to_thread(held.is_reached.wait, PATIENCE_S)
            told = {one["name"]: one["state"] for one in (await pipeline.call("status"))["projections"]}
            assert (told["keyword"], told["vector"] in ("open", "behind")) == ("being_written", True)
            assert (await pipeline.add("wren", text="A wren in the hedge.")).status == "completed"
            assert (await pipeline.search("wren", mode="keyword")).hits[0].uri == "push:wren"
            assert len((await pipeline.search("river", mode="keyword")).hits) == 3
            held.goes_on.set()
            assert (await rebuilding)["rebuilt"]["keyword"]["documents"] == 4
            assert (await pipeline.search("wren", mode="keyword")).hits[0].uri == "push:wren"
            assert (await pipeline.add("snipe", text="A snipe in the reeds.")).status == "completed"
            assert (await pipeline.search("snipe", mode="keyword")).hits[0].uri == "push:snipe"
            assert (await pipeline.call("verify", deep=True))["consistent"]


async def test_rebuilds_that_are_asked_for_at_once_come_one_after_the_other(data: Path) -> None:
    async with refold.open(data) as pipeline:
        before = runner_threads()
        answers = await asyncio.gather(*(pipeline.call("rebuild", what="keyword") for _ in range(3)))
        assert sorted(one["rebuilt"]["keyword"]["generation"] for one in answers) == ["g2", "g3", "g4"]
        assert runner_threads() == before
        assert (await pipeline.call("verify", deep=True))["consistent"]
        log = pipeline._open_engine.parts.log
        told = [r.event for b in log.read(log.partitions("operations"), Position()) for r in b.recorded]
    of_keyword = [
        (type(one).__name__.removeprefix("Generation"), one.generation)
        for one in told
        if isinstance(one, GenerationCreated | GenerationPromoted | GenerationDropped) and one.index == "keyword"
    ]
    assert of_keyword == [
        ("Created", "g1"),
        ("Promoted", "g1"),
        *(
            event
            for number in (2, 3, 4)
            for event in (("Created", f"g{number}"), ("Promoted", f"g{number}"), ("Dropped", f"g{number - 1}"))
        ),
    ]
    assert runner_threads() == []


async def test_the_rebuild_of_a_view_brings_back_what_followed_the_log_with_it(data: Path) -> None:
    with sqlite3.connect(data / "views" / "manifest.sqlite") as view:
        view.execute("UPDATE sql_positions SET next_offset = next_offset + 100")
    view.close()
    async with refold.open(data) as pipeline:
        with pytest.raises(RefoldError) as caught:
            await pipeline.call("documents list")
        assert caught.value.hint is not None
        assert caught.value.hint.endswith("to go on with the log as it is: refold rebuild all")
        await pipeline.call("rebuild", what="all")
        assert len((await pipeline.call("documents list"))["documents"]) == 3
        assert (await pipeline.add("wren", text="A wren in the hedge.")).status == "completed"


async def test_an_owner_answers_others_while_it_writes_an_index_that_was_left_unwritten(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_unwritten(data, "keyword")
    held, other = HeldFold(), Cli(data)
    with held.holding(monkeypatch):
        async with refold.open(data) as pipeline:
            assert await asyncio.to_thread(held.is_reached.wait, PATIENCE_S)
            status = (await asyncio.to_thread(other, "status", "--json")).json
            (told,) = [one for one in status["projections"] if one["name"] == "keyword"]
            assert told["state"] == "being_written"
            found = (await asyncio.to_thread(other, "search", "heron", "--json")).json
            assert found["hits"][0]["uri"] == "push:heron"
            assert [one["index"] for one in found["unavailable"]] == ["keyword"]
            adding = asyncio.create_task(pipeline.add("wren", text="A wren in the hedge."))
            held.goes_on.set()
            assert (await adding).status == "completed"
            assert (await pipeline.search("wren", mode="keyword")).hits[0].uri == "push:wren"
            assert (await pipeline.call("verify", deep=True))["consistent"]


async def test_an_owner_is_there_for_others_while_it_builds_a_view_of_an_earlier_release(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(data / "views" / "jobs.sqlite") as view:
        view.execute("UPDATE sql_views SET version = version - 1")
    view.close()
    is_building, goes_on = threading.Event(), threading.Event()
    build_beside = ViewStore.build_beside

    def held(store: ViewStore[Any]) -> ViewStore[Any]:
        is_building.set()
        assert goes_on.wait(PATIENCE_S)
        return build_beside(store)

    monkeypatch.setattr(ViewStore, "build_beside", held)

    async def own() -> None:
        async with refold.open(data) as pipeline:
            assert "jobs" in await pipeline.call("jobs list")
            await asyncio.to_thread(is_answered.wait, PATIENCE_S)

    is_answered = threading.Event()
    owning = asyncio.ensure_future(own())
    assert await asyncio.to_thread(is_building.wait, PATIENCE_S)
    settings = load_settings({"data": data})
    call = Call(command="jobs list", settings_fingerprint=settings.fingerprint)
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(calling_path(data)))  # somebody is there
        connection.sendall(encode(asdict(call)))
        goes_on.set()
        line = await asyncio.to_thread(connection.makefile("rb").readline)
    is_answered.set()
    await owning
    assert "jobs" in decode(line)["result"]
