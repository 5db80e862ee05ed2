"""Attempts: what is known is taken, what is missing runs, and every document comes to an outcome."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Never

import pytest

from schemas.errors import DataFolderDamaged
from schemas.events import Finding, Stage
from streams.attempts.pool import StagePool
from streams.slot.attempt import VectorsProduced
from streams.source import Content
from streams.sources.local.files import Files
from streams.stages.contents import decode_chunks, decode_text, decode_vectors
from streams.stages.embed import load_embedder
from streams.stages.fingerprints import DEFAULT_EMBEDDER, StageSettings, version_fingerprint
from tests.samples.documents import pdf
from tests.worlds.attempt import REINDEX, AttemptWorld, completed, make_pool, reports_of

STAGES = [Stage.FETCH, Stage.PARSE, Stage.CHUNK, Stage.EMBED]
PARAGRAPHS = [
    f"Paragraph {number}. " + f"Something about the number {number} is said here. " * 18 for number in range(9)
]


@pytest.fixture(scope="module")
def pool() -> Iterator[StagePool]:
    pool = make_pool()
    yield pool
    pool.close()


@pytest.fixture
def world(tmp_path: Path, pool: StagePool) -> AttemptWorld:
    return AttemptWorld(tmp_path, pool)


async def test_a_new_document_gets_everything(world: AttemptWorld) -> None:
    world.write("guide.md", "# The Guide\n\nDon't panic.\n")
    produced = await world.produced("guide.md", metadata={"author": "Douglas"})
    assert [report.stage for report in produced.stages] == STAGES
    assert not any(report.cached for report in produced.stages)
    assert produced.title == "The Guide"
    assert produced.media_type == "text/markdown"
    assert produced.chunk_count == 1
    assert decode_text(world.artifacts.get(produced.text)) == "# The Guide\n\nDon't panic.\n"
    (chunk,) = decode_chunks(world.artifacts.get(produced.chunks))
    (vectors,) = produced.vectors
    rows = decode_vectors(world.artifacts.get(vectors.ref), vectors.dim)
    assert rows.tolist() == load_embedder(DEFAULT_EMBEDDER).embed([chunk.text]).tolist()
    assert produced.fingerprint == version_fingerprint(
        StageSettings(),
        content_hash=produced.content_hash,
        media_type="text/markdown",
        metadata={"author": "Douglas"},
    )
    assert world.calls == (1, 1)


async def test_each_report_names_the_output_before_it(world: AttemptWorld) -> None:
    world.write("a.txt", "some words")
    produced = await world.produced("a.txt")
    reports = reports_of(produced)
    assert reports[Stage.PARSE].input_hash == produced.content_hash
    assert reports[Stage.CHUNK].input_hash == produced.text.sha256
    assert reports[Stage.EMBED].input_hash == produced.chunks.sha256
    assert reports[Stage.FETCH].output is None
    assert reports[Stage.EMBED].counts == {"embedded": 1, "reused": 0}


async def test_an_empty_document_is_completed_without_chunks(world: AttemptWorld) -> None:
    world.write("empty.pdf", "")
    produced = await world.produced("empty.pdf")
    assert produced.chunk_count == 0
    assert decode_chunks(world.artifacts.get(produced.chunks)) == []
    assert produced.vectors[0].ref.size_bytes == 0


async def test_what_reads_as_before_is_unchanged_unless_forced(world: AttemptWorld) -> None:
    world.write("a.txt", "the same words")
    live = completed(await world.produced("a.txt"))
    world.write("a.txt", "the same words")
    assert await world.is_unchanged("a.txt", live=live)
    assert not await world.is_unchanged("a.txt", live=live, metadata={"author": "new"})
    assert world.calls == (1, 1)
    forced = await world.produced("a.txt", live=live, force=True)
    assert not any(report.cached for report in forced.stages)
    assert reports_of(forced)[Stage.EMBED].counts == {"embedded": 1, "reused": 0}
    assert world.calls == (2, 2)


async def test_the_same_content_elsewhere_costs_no_parser_and_no_embedder(world: AttemptWorld) -> None:
    world.write("one.md", "# Twins\n\nWe are the same.")
    first = await world.produced("one.md")
    world.write("two.md", "# Twins\n\nWe are the same.")
    second = await world.produced("two.md")
    assert [report.cached for report in second.stages] == [False, True, True, True]
    assert (second.text, second.chunks, second.vectors) == (first.text, first.chunks, first.vectors)
    assert (second.title, second.chunk_count) == (first.title, first.chunk_count) == ("Twins", 1)
    assert world.calls == (1, 1)


async def test_a_new_chunk_size_parses_nothing(world: AttemptWorld, tmp_path: Path) -> None:
    world.write("report.pdf", pdf(["page one of many words", "page two of many words"], title="Report"))
    first = await world.produced("report.pdf")
    assert world.calls == (1, 1)
    smaller = make_pool(StageSettings(chunk_size=12, chunk_overlap=0), processes=1)
    later = AttemptWorld(tmp_path, smaller, before=world)
    try:
        second = await later.produced("report.pdf", live=completed(first))
    finally:
        await later.attempts.close()
    assert [report.cached for report in second.stages] == [False, True, False, False]
    assert second.text == first.text
    assert second.title == first.title == "Report"
    chunks = decode_chunks(world.artifacts.get(second.chunks))
    assert len(chunks) == second.chunk_count > first.chunk_count
    assert {chunk.page for chunk in chunks} == {1, 2}
    assert later.calls == (0, 1)


async def test_chunks_that_stayed_keep_their_vectors(world: AttemptWorld) -> None:
    world.write("long.txt", "\n\n".join(PARAGRAPHS))
    first = await world.produced("long.txt")
    world.write("long.txt", "\n\n".join([*PARAGRAPHS[:4], "Something else entirely.", *PARAGRAPHS[4:]]))
    second = await world.produced("long.txt", live=completed(first))
    counts = reports_of(second)[Stage.EMBED].counts
    assert counts["reused"] + counts["embedded"] == second.chunk_count
    assert 0 < counts["embedded"] < counts["reused"]
    vectors = decode_vectors(world.artifacts.get(second.vectors[0].ref), second.vectors[0].dim)
    chunks = decode_chunks(world.artifacts.get(second.chunks))
    expected = load_embedder(DEFAULT_EMBEDDER).embed([chunk.text for chunk in chunks])
    assert vectors.tolist() == expected.tolist()


async def test_vectors_of_another_embedder_version_are_not_kept(world: AttemptWorld) -> None:
    world.write("long.txt", "\n\n".join(PARAGRAPHS))
    live = completed(await world.produced("long.txt"))
    stages = [replace(r, fingerprint="older") if r.stage is Stage.EMBED else r for r in live.stages]
    world.write("long.txt", "\n\n".join(PARAGRAPHS[1:]))
    second = await world.produced("long.txt", live=replace(live, stages=stages))
    assert reports_of(second)[Stage.EMBED].counts["reused"] == 0


async def test_a_result_whose_artifact_is_gone_is_not_known(world: AttemptWorld) -> None:
    world.write("a.txt", "some words")
    first = await world.produced("a.txt")
    world.artifacts.delete([first.chunks])
    second = await world.produced("a.txt")
    assert [report.cached for report in second.stages] == [False, True, False, False]
    assert second.chunks == first.chunks
    assert world.artifacts.get(second.chunks)


@pytest.mark.parametrize("stage", [Stage.PARSE, Stage.CHUNK, Stage.EMBED])
async def test_a_result_whose_artifact_is_damaged_is_not_known_and_is_healed(world: AttemptWorld, stage: Stage) -> None:
    world.write("a.md", "# Title\n\nsome words")
    first = await world.produced("a.md")
    damaged = reports_of(first)[stage].output
    assert damaged is not None
    world.harm(damaged)
    second = await world.produced("a.md")
    assert [report.cached for report in second.stages[1:]] == [at < STAGES.index(stage) for at in range(1, 4)]
    assert (second.text, second.chunks, second.vectors) == (first.text, first.chunks, first.vectors)
    assert second.title == "Title"
    assert world.artifacts.get(damaged)


@pytest.mark.parametrize("of_chunks", [False, True], ids=["vectors", "chunks"])
async def test_an_update_of_a_version_whose_kept_vectors_are_damaged_embeds_everything(
    world: AttemptWorld, *, of_chunks: bool
) -> None:
    world.write("long.txt", "\n\n".join(PARAGRAPHS))
    live = completed(await world.produced("long.txt"))
    assert live.chunks is not None
    world.harm(live.chunks if of_chunks else live.vectors[0].ref)
    world.write("long.txt", "\n\n".join([*PARAGRAPHS, "One more."]))
    second = await world.produced("long.txt", live=live)
    assert reports_of(second)[Stage.EMBED].counts == {"embedded": second.chunk_count, "reused": 0}
    chunks = decode_chunks(world.artifacts.get(second.chunks))
    vectors = decode_vectors(world.artifacts.get(second.vectors[0].ref), second.vectors[0].dim)
    expected = load_embedder(DEFAULT_EMBEDDER).embed([chunk.text for chunk in chunks])
    assert vectors.tolist() == expected.tolist()


async def test_vectors_that_do_not_belong_to_their_chunks_are_not_kept(world: AttemptWorld) -> None:
    world.write("short.txt", "one chunk")
    world.write("long.txt", "\n\n".join(PARAGRAPHS))
    short, live = await world.produced("short.txt"), completed(await world.produced("long.txt"))
    world.write("long.txt", "\n\n".join(PARAGRAPHS[1:]))
    second = await world.produced("long.txt", live=replace(live, vectors=short.vectors))
    assert reports_of(second)[Stage.EMBED].counts["reused"] == 0


@pytest.mark.parametrize("counts", [{"chunks": 7}, {}], ids=["wrong", "lost"])
async def test_a_known_number_of_chunks_that_cannot_be_is_found_out(
    world: AttemptWorld, counts: Mapping[str, int]
) -> None:
    world.write("a.txt", "some words")
    first = await world.produced("a.txt")
    world.results.remember([replace(reports_of(first)[Stage.CHUNK], counts=counts)])
    second = await world.produced("a.txt")
    assert second.chunk_count == first.chunk_count == 1
    assert not any(report.cached for report in second.stages)


async def test_a_row_of_known_results_that_does_not_read_is_a_miss(
    world: AttemptWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("a.txt", "some words")
    first = await world.produced("a.txt")
    for error in (DataFolderDamaged(), json.JSONDecodeError("no value", "x", 0), KeyError("output")):
        with monkeypatch.context() as patched:
            patched.setattr(world.results, "known", raising(error))
            assert (await world.produced("a.txt")).vectors == first.vectors


def raising(error: Exception) -> Callable[[object], Never]:
    def known(_keys: object) -> Never:
        raise error

    return known


async def test_without_the_cache_everything_runs_again(tmp_path: Path, pool: StagePool) -> None:
    world = AttemptWorld(tmp_path, pool, uses_cache=False)
    world.write("a.txt", "some words")
    first = await world.produced("a.txt")
    second = await world.produced("a.txt")
    assert not any(report.cached for report in second.stages)
    assert (first.text, first.chunks, first.vectors) == (second.text, second.chunks, second.vectors)
    assert world.calls == (2, 2)


async def test_pushed_content_comes_from_the_store(world: AttemptWorld) -> None:
    (ref,) = world.artifacts.put([b"pushed words"])
    produced = await world.produced("note.md", uri="push:note.md", adapter="", finding=None, content_ref=ref)
    assert produced.media_type == "text/markdown"
    assert reports_of(produced)[Stage.FETCH].output == ref
    assert decode_text(world.artifacts.get(produced.text)) == "pushed words"


async def test_the_finding_of_a_version_is_what_the_source_looked_like_when_it_was_read(world: AttemptWorld) -> None:
    world.write("a.txt", "old")
    request = world.request("a.txt")
    world.write("a.txt", "new and longer")
    produced = await world.produced("a.txt", finding=request.finding)
    assert isinstance(produced.finding, Finding)
    assert produced.finding.size_bytes == len("new and longer")


async def test_reindexing_embeds_the_live_chunks(world: AttemptWorld) -> None:
    world.write("a.txt", "some words")
    first = await world.produced("a.txt")
    again = await world.outcome("a.txt", live=completed(first), **REINDEX)
    assert isinstance(again, VectorsProduced)
    assert again.vectors == first.vectors[0]
    assert world.calls == (1, 1)
    forced = await world.outcome("a.txt", live=completed(first), force=True, **REINDEX)
    assert isinstance(forced, VectorsProduced)
    assert world.calls == (1, 2)


async def test_parameters_name_every_stage(world: AttemptWorld) -> None:
    assert set(world.attempts.parameters) == {"fetch", "parse", "chunk", "embed", "limits"}


class PatientReader(Files):
    """Reads a document when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()

    def read(self, finding: Finding, *, limit_bytes: int | None = None) -> Content:
        self.begun.set()
        assert self.may_go_on.wait(60)
        return super().read(finding, limit_bytes=limit_bytes)


async def test_a_cancelled_attempt_is_over_only_when_its_thread_is(tmp_path: Path, pool: StagePool) -> None:
    reader = PatientReader()
    world = AttemptWorld(tmp_path, pool, readers={"folder": reader})
    running = asyncio.create_task(world.outcome(world.write("slow.txt", "Slowly.")))
    assert await asyncio.to_thread(reader.begun.wait, 60)
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not running.done()
    reader.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
