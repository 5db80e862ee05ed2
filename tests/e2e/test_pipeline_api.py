"""The public API as a program uses it: streams with back-pressure, filters, checkpoints, results, search."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import refold
from refold import events
from schemas.errors import MachineError
from schemas.ids import random_id
from streams.planning.plan import PlannedDocument
from streams.planning.planner import Planner
from tests.commands.refold_cli import Cli, age

DOCUMENTS = 60


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(DOCUMENTS):
        (folder / f"{number:03}.txt").write_text(f"Document number {number} speaks of whales.")
    age(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


async def test_run_returns_every_answer_and_a_position_to_read_ones_own_writes(data: Path, docs: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\nbroken")
    age(docs)
    async with refold.open(data) as pipeline:
        result = await pipeline.run([docs])
        assert (result.outcome, len(result.documents), len(result.errors)) == ("PARTIAL", DOCUMENTS, 1)
        assert result.errors[0].uri.endswith("broken.pdf")
        assert result.errors[0].hint
        answer = await pipeline.search("whales", limit=3, wait_for=result.position)
        assert len(answer.hits) == 3
        again = await pipeline.run([docs])
        assert (again.documents, again.errors) == ([], [])


async def test_no_document_starts_while_a_reader_is_behind(data: Path, docs: Path) -> None:
    async with refold.open(data) as pipeline:
        stream = pipeline.stream_events([docs], buffer_size=5)
        await anext(stream)
        log = pipeline._open_engine.parts.log
        documents = log.partitions("documents")
        while log.end(documents).offset(documents[0]) < DOCUMENTS:
            await asyncio.to_thread(log.wait_beyond, documents, log.end(documents), 0.2)
        kinds = [type(r.event) for batch in log.read(documents, refold.Position()) for r in batch.recorded]
        # The requests are taken whatever the reader does; of the documents, none but the first few may start.
        assert kinds.count(events.DocumentQueued) == DOCUMENTS
        assert kinds.count(events.DocumentStarted) <= 5
        rest = [event async for event in stream]
        assert sum(isinstance(event, events.DocumentCompleted) for event in rest) == DOCUMENTS
        assert isinstance(rest[-1], events.JobFinished)


async def test_a_reader_may_wait_for_other_work_inside_its_loop(data: Path, docs: Path, tmp_path: Path) -> None:
    """What holds back a job holds back nothing else: not what its own reader asks for, nor another terminal."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("A letter about dolphins.")
    age(other)
    cli = Cli(data)
    seen = 0
    async with refold.open(data) as pipeline:
        async with asyncio.timeout(120):
            async for event in pipeline.stream_events([docs], buffer_size=5):
                if isinstance(event, events.DocumentCompleted):
                    seen += 1
                if seen == 1:
                    seen += 1  # once; the stream is far behind by then
                    added = await pipeline.add("note", text="A note about seals.")
                    assert added.status == "completed"
                    removed = await pipeline.call("documents remove", documents=["push:note"], request_id="once")
                    assert removed["removed"] == 1
                    assert (await pipeline.run([other])).outcome == "SUCCEEDED"
                    await asyncio.to_thread(cli, "documents", "add", "from-elsewhere", "--text", "Another terminal.")
        assert seen == DOCUMENTS + 1


async def test_a_push_that_is_sent_again_after_its_owner_ended_gets_the_answer_it_has(data: Path) -> None:
    """A terminal whose owner ends sends the same call again, to the next owner or to itself: its answer is old then."""
    call = {"name": "note", "data": base64.b64encode(b"A note about seals.").decode(), "request_id": random_id()}
    async with refold.open(data) as pipeline:
        first = await pipeline.call("documents add", **call)
    async with refold.open(data) as pipeline, asyncio.timeout(60):
        again = await pipeline.call("documents add", **call)
        log = pipeline._open_engine.parts.log
        batches = log.read(log.partitions("documents"), refold.Position())
        answers = [r for batch in batches for r in batch.recorded if isinstance(r.event, events.DocumentCompleted)]
    assert again == first
    assert len(answers) == 1


async def test_filters_combine_and_a_transformer_gives_what_is_wanted(data: Path, docs: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\nbroken")
    wanted = refold.errors_only | (refold.progress_only & ~refold.kinds(events.BatchProgress))
    async with refold.open(data) as pipeline:
        names = [
            name
            async for name in pipeline.stream_events(
                [docs], event_filter=wanted, event_transformer=lambda event: type(event).__name__
            )
        ]
    assert sorted(names) == ["DocumentFailed", "JobFinished", "JobPlanned", "JobSubmitted"]


async def test_a_reader_that_left_resumes_from_its_checkpoint_without_gap_or_repetition(data: Path, docs: Path) -> None:
    before: list[str] = []
    checkpoint = ""
    async with refold.open(data) as pipeline:
        stream = pipeline.stream_events([docs], buffer_size=20, progress_interval=5, checkpoint_interval=10)
        async for event in stream:
            if isinstance(event, events.DocumentCompleted):
                before.append(event.document_id)
            if isinstance(event, events.BatchProgress) and event.checkpoint and len(before) >= 20:
                checkpoint = event.checkpoint
                break
        await stream.aclose()
    async with refold.open(data) as pipeline:
        after = [
            event.document_id
            async for event in pipeline.stream_events([docs], resume_from=checkpoint)
            if isinstance(event, events.DocumentCompleted)
        ]
    assert len(before) + len(after) == DOCUMENTS
    assert len({*before, *after}) == DOCUMENTS


async def test_a_stream_whose_scan_breaks_off_is_told_why(
    data: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Planner.plan

    def breaking_off(self: Planner, *arguments: Any) -> Iterator[Sequence[PlannedDocument]]:
        yield from itertools.islice(whole(self, *arguments), 1)
        raise MachineError("the disk went away")

    monkeypatch.setattr(Planner, "plan", breaking_off)
    async with refold.open(data) as pipeline:
        with pytest.raises(refold.RefoldError, match="the disk went away"):
            async for _ in pipeline.stream_events([docs]):
                pass


async def test_nothing_is_left_of_a_job_that_ended_before_the_checkpoint(data: Path, docs: Path) -> None:
    async with refold.open(data) as pipeline:
        result = await pipeline.run([docs])
        assert [event async for event in pipeline.stream_events([docs], resume_from=result.position)] == []


async def test_a_stream_goes_on_with_the_job_that_was_left_and_tells_it_from_its_beginning(
    data: Path, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refold.engine.job_events.BACK_EVENTS", 7)  # the beginning is many times as far back
    async with refold.open(data) as pipeline:
        first = pipeline.stream_events([docs], buffer_size=5)
        async for event in first:
            if isinstance(event, events.DocumentCompleted):
                break
        await first.aclose()
    (docs / "000.txt").write_text("Document number 0 speaks of bread now.")
    async with refold.open(data) as pipeline:
        told = [event async for event in pipeline.stream_events([docs], buffer_size=5)]
    job_ids = list(dict.fromkeys(event.meta.job_id for event in told))
    assert (len(job_ids), job_ids[0]) == (2, event.meta.job_id)
    for job_id, completed in zip(job_ids, (DOCUMENTS, 1), strict=True):
        of_job = [type(event) for event in told if event.meta.job_id == job_id]
        assert of_job.count(events.JobSubmitted) == of_job.count(events.JobFinished) == 1
        assert of_job[-1] is events.JobFinished
        assert of_job.count(events.DocumentQueued) == of_job.count(events.DocumentCompleted) == completed


async def test_a_job_that_is_cancelled_while_an_ingest_goes_on_with_it_is_not_asked_for_anew(
    data: Path, docs: Path
) -> None:
    async with refold.open(data) as pipeline:
        first = pipeline.stream_events([docs], buffer_size=5)
        job_id = (await anext(first)).meta.job_id
        await first.aclose()
    async with refold.open(data) as pipeline:
        told = []
        async for event in pipeline.stream_events([docs], buffer_size=5):
            if not told:
                await pipeline.call("jobs cancel", job=job_id)
            told.append(event)
    assert {event.meta.job_id for event in told} == {job_id}
    assert isinstance(told[-1], events.JobFinished)
    assert str(told[-1].outcome) == "CANCELLED"


async def test_a_reader_may_ask_for_what_its_own_stream_is_at(data: Path, docs: Path) -> None:
    """To go on with a job whose reader waits here would be to wait for oneself."""
    async with refold.open(data) as pipeline, asyncio.timeout(120):
        stream = pipeline.stream_events([docs], buffer_size=5)
        own = (await anext(stream)).meta.job_id
        result = await pipeline.run([docs])
        assert (result.outcome, result.resumed) == ("SUCCEEDED", [])
        assert result.job_id != own
        rest = [event async for event in stream]
    assert rest[-1].meta.job_id == own


async def test_results_come_one_by_one(data: Path, docs: Path) -> None:
    async with refold.open(data) as pipeline:
        results = [result async for result in pipeline.iter_results([docs], priority="critical")]
        assert {(result.status, result.version, result.chunks) for result in results} == {("completed", 1, 1)}
        (docs / "000.txt").unlink()
        (docs / "001.txt").write_text("Document number 1 speaks of bread now.")
        changed = {r.uri[-7:]: (r.status, r.version) async for r in pipeline.iter_results([docs])}
    assert changed == {"000.txt": ("removed", 1), "001.txt": ("completed", 2)}


async def test_pushed_text_and_bytes_are_searchable_when_add_returns(data: Path) -> None:
    async with refold.open(data) as pipeline:
        text = await pipeline.add("greeting", text="hello whales", metadata={"lang": "en"})
        page = await pipeline.add("page", data=b"<title>Whales</title><p>They sing.</p>")
        assert (text.status, page.status) == ("completed", "completed")
        assert (await pipeline.add("greeting", text="hello whales", metadata={"lang": "en"})).status == "unchanged"
        found = await pipeline.search("hello", mode="keyword", filters=["metadata.lang=en"])
        assert [hit.uri for hit in found.hits] == ["push:greeting"]
        with pytest.raises(refold.RefoldError, match="either text or data"):
            await pipeline.add("both", text="a", data=b"a")


async def test_an_option_nobody_knows_and_a_source_that_is_not_there_are_refused(data: Path) -> None:
    async with refold.open(data) as pipeline:
        with pytest.raises(refold.RefoldError, match="colour"):
            await pipeline.run(["."], colour="red")
        with pytest.raises(refold.RefoldError, match="sources are a list"):
            await pipeline.run("docs")
        with pytest.raises(refold.RefoldError, match="no-such-folder"):
            await pipeline.run(["no-such-folder"])


async def test_commands_are_called_without_the_ids_that_the_command_line_makes(data: Path, docs: Path) -> None:
    async with refold.open(data) as pipeline:
        assert (await pipeline.call("ingest", sources=[str(docs)]))["completed"] == DOCUMENTS
        added = await pipeline.call("documents add", name="tea", data=base64.b64encode(b"tea").decode())
        assert added["answer"] == "completed"
        assert (await pipeline.call("documents remove", documents=["push:tea"]))["removed"] == 1
        for command, lacking in {"ingest": "sources", "search": "query", "documents show": "document"}.items():
            with pytest.raises(refold.RefoldError, match=f"{command} needs {lacking}"):
                await pipeline.call(command)
