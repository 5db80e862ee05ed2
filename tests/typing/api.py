"""The public API as a reader uses it; only type-checked, by `mypy tests/typing`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import assert_type

import refold
from schemas.ids import JobId


async def ingest_and_read_the_answers(folder: Path) -> None:
    async with refold.open(
        folder / "data", config=folder / "refold.yaml", settings={"chunking": {"size": 500}}
    ) as pipeline:
        assert_type(pipeline, refold.Pipeline)

        result = await pipeline.run([folder, "notes/*.md"], mode="update_only", force=True, priority="critical")
        assert_type(result, refold.PipelineResult)
        assert_type(result.documents, Sequence[refold.DocumentResult])
        assert_type(result.counts, Mapping[str, int])
        assert_type(result.position, str)
        assert_type(result.searchable, bool)
        assert_type(result.resumed, Sequence[JobId])

        async for answer in pipeline.iter_results(["docs/"], limit=10):
            assert_type(answer, refold.DocumentResult)
            assert_type(answer.hint, str | None)

        assert_type(
            await pipeline.add("notes", text="Remember the milk.", metadata={"team": "kitchen"}), refold.DocumentResult
        )
        await pipeline.add("scan.pdf", data=b"%PDF-", priority="batch")


async def stream_events(pipeline: refold.Pipeline, checkpoint: refold.Position | None) -> None:
    async for event in pipeline.stream_events(["docs/"], buffer_size=10, resume_from=checkpoint):
        assert_type(event, refold.events.PipelineEvent)
        match event:
            case refold.events.DocumentCompleted():
                assert_type(event.version, int)
            case refold.events.DocumentFailed(is_final=True):
                assert_type(event.error_class, refold.events.ErrorClass)
            case refold.events.BatchProgress():
                assert_type(event.checkpoint, str)
            case _:
                pass


async def stream_something_else(pipeline: refold.Pipeline) -> None:
    lines: AsyncIterator[str] = pipeline.stream_events(["docs/"], event_transformer=one_line)
    async for line in lines:
        assert_type(line, str)


def one_line(event: refold.events.PipelineEvent) -> str:
    return f"{event.meta.occurred_at:%H:%M:%S} {type(event).__name__}"


def choose_events() -> refold.EventFilter:
    both = refold.errors_only | refold.progress_only
    assert_type(both, refold.EventFilter)
    assert_type(both & refold.kinds(refold.events.DocumentFailed, refold.events.JobFinished), refold.EventFilter)
    return ~both & (lambda event: event.meta.job_id is not None)


async def search(pipeline: refold.Pipeline) -> None:
    by_object = refold.Filters(media_type="text/html", metadata={"team": "kitchen"})
    answer = await pipeline.search("what happens on backpressure?", mode="hybrid", limit=3, filters=by_object)
    assert_type(answer, refold.SearchAnswer)
    assert_type(answer.hits, Sequence[refold.Hit])
    assert_type(answer.behind, Mapping[str, int])
    assert_type(answer.positions, Mapping[str, refold.Position])
    for hit in answer.hits:
        assert_type(hit.page, int | None)
        assert_type(hit.score, float)

    await pipeline.search("milk", filters=["metadata.team=kitchen"], wait_for="push:notes")


async def tell_what_went_wrong(pipeline: refold.Pipeline) -> str | None:
    try:
        await pipeline.call("verify", deep=True)
    except refold.RefoldError as error:
        return error.hint
    return None
