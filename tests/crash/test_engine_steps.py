"""The whole engine is stopped at each numbered step of the slot's commit and of both indexes, and started again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from projections.consistency.verify import verify
from refold.engine.engine import Engine
from streams.transfer.log import export_log
from tests.crash.check_export import check
from tests.crash.faulty_engine import EXIT_CODE, PARTS, FaultAt, engine_of, ingest, live_and_die

SENTENCE = "What was written first is what the indexes have to show. "
LONG_AGO_S = 1_700_000_000

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.crash.faulty_engine"])  # so that a child starts in milliseconds

TIMES = {"slot": (1, 2), "vector": (1,), "keyword": (1,)}
"""When a step is reached first; the slot takes requests in one commit and answers them in the next."""

POINTS = [(part, point, times) for part, points in PARTS.items() for point in points for times in TIMES[part]]


def write(path: Path, text: str, *, at_s: int) -> None:
    path.write_text(text)
    os.utime(path, (at_s, at_s))


def first(folder: Path) -> Path:
    docs = folder / "docs"
    docs.mkdir()
    write(docs / "report.md", "# Report\n\n" + SENTENCE * 160, at_s=LONG_AGO_S)
    write(docs / "letter.txt", "Dear reader, " + SENTENCE * 3, at_s=LONG_AGO_S)
    write(docs / "gone.txt", "Soon it is gone. " + SENTENCE * 30, at_s=LONG_AGO_S)
    write(docs / "stays.html", f"<title>Stays</title><p>{SENTENCE * 5}</p>", at_s=LONG_AGO_S)
    return docs


def then(folder: Path) -> Path:
    docs = folder / "docs"
    write(docs / "report.md", "# Report, in short\n\n" + SENTENCE * 45, at_s=LONG_AGO_S + 60)
    write(docs / "letter.txt", "Dear writer, " + SENTENCE * 3, at_s=LONG_AGO_S + 60)
    write(docs / "new.txt", "Something new: " + SENTENCE * 25, at_s=LONG_AGO_S + 60)
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no pdf")
    os.utime(docs / "broken.pdf", (LONG_AGO_S, LONG_AGO_S))
    (docs / "gone.txt").unlink()
    return docs


@dataclass(frozen=True)
class EndState:
    """All that must not depend on where a process died."""

    documents: object
    indexes: Mapping[str, object]
    is_consistent: bool
    problems: object


def end_state(engine: Engine, scratch: Path) -> EndState:
    views = engine.parts.views
    engine.wait_for(engine.end())
    for index in views.indexes.values():
        while index.status().counts.garbage:
            index.collect_garbage()
    report = verify(
        views.indexes.values(), engine.parts.log, artifacts=engine.parts.artifacts, scratch=scratch, deep=True
    )
    export_log(engine.parts.log, scratch / "export")
    documents = [
        (d.uri, d.status, d.version, d.fingerprint, d.chunk_count, d.failure.error_code if d.failure else None)
        for d in views.manifest.documents(limit=100)
    ]
    return EndState(
        documents=documents,
        indexes={name: sorted(index.scan(), key=lambda entry: entry.chunk_id) for name, index in views.indexes.items()},
        is_consistent=report.is_consistent,
        problems=check(scratch / "export", once=False)["problems"],
    )


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> EndState:
    folder = tmp_path_factory.mktemp("straight")
    with engine_of(folder / "data") as engine:
        ingest(engine, first(folder), job_id="first")
        answer = ingest(engine, then(folder), job_id="then")
        assert {name: answer[name] for name in ("completed", "failed", "removed")} == {
            "completed": 3,
            "failed": 1,
            "removed": 1,
        }
        return end_state(engine, folder)


@pytest.mark.parametrize(("part", "point", "times"), POINTS)
def test_stopped_at_a_step_and_started_again_the_engine_comes_to_the_same_end(
    straight: EndState, part: str, point: str, times: int, tmp_path: Path
) -> None:
    process = FORKS.Process(target=live_and_die, args=(tmp_path, first, then, FaultAt(part, point, times=times)))
    process.start()
    process.join(120)
    assert process.exitcode == EXIT_CODE
    with engine_of(tmp_path / "data") as engine:
        ingest(engine, tmp_path / "docs", job_id="again")
        assert end_state(engine, tmp_path) == straight
