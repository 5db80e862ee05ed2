"""Data folders and exported logs that earlier releases wrote open as before, and say what they said then."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import refold
from streams.stages.fingerprints import StageSettings, version_fingerprint
from tests.commands.cli_here import CliHere
from tests.samples.golden_sources import (
    CREW,
    CREW_SIZE,
    LIBRARY,
    SOURCES,
    change_library,
    golden_sources,
    write_crew,
    write_library,
)

GOLDEN = Path(__file__).parent.parent / "golden"
RELEASES = sorted(path.name.removesuffix(".tar.xz") for path in GOLDEN.glob("folder-*.tar.xz"))

HERONS = f"file://{LIBRARY}/herons.md"
SAILORS = [f"folder:crew/sailor-{number:02}.md" for number in range(1, CREW_SIZE + 1)]
LIVE = {
    HERONS: 2,
    f"file://{LIBRARY}/otters.html": 1,
    f"file://{LIBRARY}/tides.txt": 1,
    "push:long": 1,
    "push:notes/milk": 1,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "darwin", reason="the golden documents lie below /tmp, which is a link there"),
]


@dataclass(frozen=True)
class Released:
    """A golden folder, unpacked where it was written, with its sources beside it."""

    folder: Path
    answers: dict[str, Any]

    @property
    def data(self) -> Path:
        """The data folder as a kill left it."""
        return self.folder / "data"

    @property
    def cli(self) -> CliHere:
        """Today's command line over it."""
        return CliHere(self.data)

    @property
    def exported(self) -> Path:
        """The log that the release exported before the kill."""
        return self.folder / "exported"


@pytest.fixture(params=RELEASES)
def released(request: pytest.FixtureRequest) -> Iterator[Released]:
    with golden_sources():
        write_library()
        change_library()
        write_crew(CREW)
        folder = SOURCES / "made"
        with tarfile.open(GOLDEN / f"{request.param}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        yield Released(folder, json.loads((folder / "answers.json").read_text()))


def documents_of(cli: CliHere) -> dict[str, dict[str, Any]]:
    listed = cli("documents", "list", "--limit", "1000", "--json").json["documents"]
    return {document["uri"]: document for document in listed}


def without_crew(documents: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {uri: document for uri, document in documents.items() if not uri.startswith("folder:crew/")}


def shared(now: Any, then: Any) -> Any:
    """What is said now of all that was said then: later releases may say more."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {key: shared(now.get(key), value) for key, value in then.items()}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [shared(*pair) for pair in zip(now, then, strict=True)]
    return now


def is_outdated(cli: CliHere, uri: str) -> bool:
    """Whether today's stages would make another version of a file, since the version of a stage was raised."""
    shown = cli("documents", "show", uri, "--json").json
    content_hash, media_type = shown["content_hash"], shown["media_type"]
    today = version_fingerprint(StageSettings(), content_hash=content_hash, media_type=media_type, metadata={})
    return bool(shown["fingerprint"] != today)


def live(documents: dict[str, dict[str, Any]]) -> dict[str, int]:
    return {uri: document["version"] for uri, document in documents.items() if document["is_live"]}


def test_there_is_a_golden_folder_of_the_first_release() -> None:
    assert "folder-a020b48" in RELEASES


def test_a_golden_folder_was_left_by_a_kill_in_the_middle(released: Released) -> None:
    assert (released.data / "log.sqlite-wal").stat().st_size > 0
    with closing(sqlite3.connect(released.data / "log.sqlite")) as log:
        (offset,) = log.execute("SELECT begin_offset FROM topics WHERE topic = 'requests'").fetchone()
    assert offset == 21
    counted = released.cli("log", "stat", "--json").json["topics"]["documents"]
    assert 6 <= counted["DocumentCompleted"] - 7 < CREW_SIZE


def test_documents_histories_and_jobs_are_as_they_were(released: Released) -> None:
    then = released.answers
    documents = documents_of(released.cli)
    before = {document["uri"]: document for document in then["documents"]["documents"]}
    assert shared(without_crew(documents), before) == before
    assert {uri: version for uri, version in live(documents).items() if uri not in SAILORS} == LIVE
    assert Counter(document["status"] for document in before.values()) == {
        "live": 5,
        "failed": 1,
        "removed": 1,
        "absent": 12,
    }
    history = released.cli("documents", "history", HERONS, "--json").json
    assert shared(history, then["history"]) == then["history"]
    failure = released.cli("documents", "show", f"file://{LIBRARY}/broken.pdf", "--json").json
    assert (failure["error_code"], failure["stage"]) == ("damaged_document", "PARSE")
    jobs = {job["job_id"]: job for job in released.cli("jobs", "list", "--json").json["jobs"]}
    ended = {job["job_id"]: job for job in then["jobs"]["jobs"]}
    assert shared({job: jobs[job] for job in ended}, ended) == ended
    assert len(jobs) == len(ended) + 1


def test_a_search_finds_what_it_found(released: Released) -> None:
    for mode, query in (("keyword", "shallow water"), ("vector", "a bird that waits for fish")):
        hits = released.cli("search", query, "--mode", mode, "--limit", "1", "--json").json["hits"]
        (then,) = released.answers[mode]["hits"]
        assert [(hit["chunk_id"], hit["uri"], hit["version"]) for hit in hits] == [(then["chunk_id"], HERONS, 2)]
        assert hits[0]["text"] == then["text"]
    (milk,) = released.cli("search", "milk", "--filter", "metadata.team=kitchen", "--json").json["hits"]
    assert milk["uri"] == "push:notes/milk"


def test_the_interrupted_ingest_goes_on_and_nothing_is_done_twice(released: Released) -> None:
    cli = released.cli
    before = cli("log", "stat", "--json").json["topics"]["documents"]
    answer = cli("ingest", str(CREW), "--as", "crew", "--json").json
    assert (answer["outcome"], answer["searchable"]) == ("SUCCEEDED", True)
    documents = documents_of(cli)
    assert live(documents) == {**LIVE, **dict.fromkeys(SAILORS, 1)}
    after = cli("log", "stat", "--json").json["topics"]["documents"]
    assert after["DocumentCompleted"] == 7 + CREW_SIZE
    assert after["DocumentQueued"] == 21 + CREW_SIZE
    assert before["DocumentCompleted"] < after["DocumentCompleted"]
    assert all(job["status"] == "finished" for job in cli("jobs", "list", "--json").json["jobs"])
    outdated = [uri for uri in LIVE if uri.startswith(f"file://{LIBRARY}/") and is_outdated(cli, uri)]
    again = cli("ingest", str(LIBRARY), "--json", exit_code=None).json
    # A failed file is tried again once any parser is new, and fails as before.
    assert (again["completed"], again["unchanged"] + again["failed"]) == (len(outdated), 4 - len(outdated)), again
    assert cli("verify", "--deep", "--json").json["consistent"]


def test_everything_can_be_rebuilt_from_its_log(released: Released) -> None:
    cli = released.cli
    cli("ingest", str(CREW), "--as", "crew")
    before = documents_of(cli)
    rebuilt = cli("rebuild", "all", "--json").json["rebuilt"]
    assert {(one["parser_calls"], one["embedder_calls"]) for one in rebuilt.values()} == {(0, 0)}
    assert documents_of(cli) == before
    assert cli("verify", "--deep", "--json").json["consistent"]
    assert cli("search", "keeps watch", "--mode", "keyword", "--limit", "50", "--json").json["hits"][CREW_SIZE - 1]


def test_a_group_of_subscribers_goes_on_where_it_was(released: Released) -> None:
    async def first() -> refold.Delivery:
        async with refold.open(released.data) as pipeline:
            return await anext(aiter(pipeline.subscribe(["documents"], group="mirror")))

    assert str(asyncio.run(first()).position) == "documents:0=4"


def test_its_exported_log_can_be_imported(released: Released, tmp_path: Path) -> None:
    cli = CliHere(tmp_path / "imported")
    cli("log", "import", str(released.exported), "--artifacts", str(released.data / "artifacts"))
    cli("rebuild", "all")
    before = {document["uri"]: document for document in released.answers["documents"]["documents"]}
    assert shared(documents_of(cli), before) == before
    assert cli("verify", "--deep", "--json").json["consistent"]
    hits = cli("search", "shallow water", "--mode", "keyword", "--json").json["hits"]
    assert [hit["uri"] for hit in hits] == [HERONS]
    topics, then = cli("log", "stat", "--json").json["topics"], released.answers["log"]["topics"]
    assert (topics["documents"], topics["jobs"]) == (then["documents"], then["jobs"])
