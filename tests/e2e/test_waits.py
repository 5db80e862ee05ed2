"""Done means searchable: what is told, and when, of documents that are parked, failed, queued or not there yet."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import refold
from projections.index.backend import IndexedChunk
from refold.commands.requests import request
from refold.embedded.wiring import KEYWORD_BACKEND
from schemas.errors import PoisonError
from schemas.events import Action
from schemas.ids import random_id
from streams.log import Draft
from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import age

REFUSED = "unindexable"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyword index whose driver refuses chunks with one word: their documents are parked there."""
    upsert = KEYWORD_BACKEND.upsert

    def refuse(self: Any, chunks: Sequence[IndexedChunk]) -> None:
        if any(REFUSED in chunk.text for chunk in chunks):
            raise PoisonError("the driver refuses it", op="upsert")
        upsert(self, chunks)

    monkeypatch.setattr(KEYWORD_BACKEND, "upsert", refuse)


@pytest.fixture
async def pipeline(tmp_path: Path) -> AsyncIterator[refold.Pipeline]:
    async with refold.open(tmp_path / "data", settings={"lock_wait_s": 0.0}) as opened:
        yield opened


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.md").write_text("whales sing")
    (folder / "parked.md").write_text(f"whales are {REFUSED}")
    age(folder)
    return folder


@pytest.mark.usefixtures("refusing")
async def test_nothing_says_completed_of_a_document_that_is_parked(pipeline: refold.Pipeline, docs: Path) -> None:
    added = await pipeline.add("a", text=REFUSED)
    assert (added.status, added.version, added.message) == ("parked", 1, "the driver refuses it")
    assert (await pipeline.add("a", text=REFUSED)).status == "parked"  # unchanged, and as far from being found
    data = base64.b64encode(REFUSED.encode()).decode()
    told = await pipeline.call("documents add", name="b", data=data, request_id=random_id())
    assert (told["answer"], told["message"]) == ("parked", "the driver refuses it")
    result = await pipeline.run([docs])
    assert [document.uri[-7:] for document in result.documents] == ["good.md"]
    assert [(error.uri[-9:], error.status) for error in result.errors] == [("parked.md", "parked")]
    assert not result.searchable
    assert (await pipeline.add("a", text="whales after all")).status == "completed"


@pytest.mark.usefixtures("refusing")
async def test_a_search_tells_what_is_parked_where_it_waited_for_a_position(
    pipeline: refold.Pipeline, docs: Path
) -> None:
    result = await pipeline.run([docs])
    parked = {result.errors[0].document_id}
    assert set((await pipeline.search("whales", wait_for=result.position)).parked) == parked
    assert set((await pipeline.search("whales", mode="vector", wait_for=result.position)).parked) == set()
    with pytest.raises(refold.RefoldError, match="is parked: the driver refuses it"):
        await pipeline.search("whales", wait_for=result.errors[0].uri)
    with pytest.raises(refold.RefoldError, match=r"1 documents of .* are parked"):
        await pipeline.search("whales", wait_for=result.job_id)
    assert (await pipeline.search("whales", wait_for=result.documents[0].uri)).hits


async def test_what_cannot_come_is_an_error_at_once(pipeline: refold.Pipeline, docs: Path) -> None:
    await pipeline.run([docs])
    for position in ("documents:7=3", "documents:0=100000"):
        with pytest.raises(refold.RefoldError, match="there is no position"):
            await pipeline.search("whales", wait_for=position)
    for name in ("push:nobody", "nothing:0=1", "documents:0=x"):
        with pytest.raises(refold.RefoldError, match="no position, no job, and no document"):
            await pipeline.search("whales", wait_for=name)


async def test_a_document_whose_name_looks_like_a_position_is_a_document(pipeline: refold.Pipeline) -> None:
    await pipeline.add("a=b", text="whales between signs")
    await pipeline.add("0=1", text="whales counted")
    for name in ("push:a=b", "push:a%3Db", "push:0=1"):
        assert (await pipeline.search("whales", wait_for=name)).hits


async def test_a_document_that_failed_is_told(pipeline: refold.Pipeline, docs: Path) -> None:
    (docs / "torn.pdf").write_bytes(b"%PDF-1.7\nbroken")
    result = await pipeline.run([docs])
    with pytest.raises(refold.RefoldError, match=r"torn\.pdf failed: "):
        await pipeline.search("whales", wait_for=result.errors[0].uri)


async def test_a_document_that_is_queued_is_waited_for(pipeline: refold.Pipeline, docs: Path) -> None:
    # The request is in the log when the job is planned; whether it was taken in by then is for the wait to find out.
    for number in range(200):
        (docs / f"{number:03}.md").write_text(f"queued{number:03} beside whales")
    age(docs)
    planned = await pipeline.call("ingest", sources=[str(docs)], job_id=random_id(), wait=False)
    wanted = (docs / "199.md").as_uri()
    answer = await pipeline.search("queued199", mode="keyword", wait_for=wanted)
    assert [hit.uri for hit in answer.hits] == [wanted]
    assert len((await pipeline.search("whales", limit=300, wait_for=planned["job_id"])).hits) == 202


async def test_a_new_version_is_waited_for_though_an_old_one_is_live(pipeline: refold.Pipeline, docs: Path) -> None:
    await pipeline.run([docs])
    (docs / "good.md").write_text("dolphins click")
    await pipeline.call("ingest", sources=[str(docs)], job_id=random_id(), wait=False)
    answer = await pipeline.search("dolphins", mode="keyword", wait_for=(docs / "good.md").as_uri())
    assert len(answer.hits) == 1


async def test_what_waits_for_a_paused_job_is_told_at_once(pipeline: refold.Pipeline, docs: Path) -> None:
    stream = pipeline.stream_events([docs], buffer_size=1)  # a reader that does not read: nothing of the job starts
    submitted = await anext(stream)
    await pipeline.call("jobs pause", job=str(submitted.meta.job_id))
    with pytest.raises(refold.RefoldError, match="its job is paused"):
        await pipeline.search("whales", wait_for=str(submitted.meta.job_id))
    await stream.aclose()


async def test_a_wait_ends_when_its_caller_leaves(pipeline: refold.Pipeline, docs: Path) -> None:
    stream = pipeline.stream_events([docs], buffer_size=1)
    submitted = await anext(stream)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await pipeline.search("whales", wait_for=str(submitted.meta.job_id))
    await stream.aclose()  # the fixture closes the pipeline, and the loop its threads: neither waits for ten minutes


def test_the_first_search_of_a_new_owner_waits_for_indexes_that_are_behind(tmp_path: Path, docs: Path) -> None:
    cli = CliHere(tmp_path / "data")
    cli("ingest", str(docs))
    old = tmp_path / "old"
    shutil.copytree(cli.data, old)
    for number in range(100):
        (docs / f"{number:03}.md").write_text(f"latecomer{number:03}")
    cli("ingest", str(docs))
    for part in ("indexes", "views"):  # as after a kill between the log's append and the indexes' commit
        for path in [cli.data / part] if part == "indexes" else cli.data.glob("views/indexes.sqlite*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(old / "indexes", cli.data / "indexes")
    for path in old.glob("views/indexes.sqlite*"):
        shutil.copy(path, cli.data / "views")
    found: dict[str, Any] = cli("search", "latecomer077", "--mode", "keyword", "--json").json
    assert [Path(hit["uri"]).name for hit in found["hits"]] == ["077.md"]
    assert found["behind"] == {}


async def test_a_request_that_nobody_has_taken_in_yet_is_waited_for(pipeline: refold.Pipeline) -> None:
    engine = pipeline._open_engine  # nobody works on the folder: what was asked for lies in the log
    asked = request(engine, "push:early", request_id=random_id(), action=Action.INGEST, content=b"whales at dawn")
    engine.parts.log.append(None, [Draft("requests", asked.document_id, asked)])
    answer = await pipeline.search("dawn", mode="keyword", wait_for="push:early")
    assert [hit.uri for hit in answer.hits] == ["push:early"]
