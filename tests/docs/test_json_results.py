"""Runs every command with --json and holds the keys it prints against `ops/json-results.md`, both ways."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from refold.cli.app import app
from refold.cli.output import print_error
from refold.embedded.wiring import KEYWORD_BACKEND
from refold.engine.assembly import now
from refold.engine.data_folder import DataFolder
from refold.settings.settings import Settings
from schemas.errors import RefoldError
from schemas.events import DocumentCompleted, DocumentQueued, JobSubmitted, Meta, PipelineEvent
from schemas.ids import EventId, JobId, chunk_id_of, document_id_of, random_id
from schemas.positions import Position
from streams.artifact_stores.local import LocalArtifacts
from streams.documents.uris import file_uri
from streams.log import Draft, SlotNumber
from streams.logs.sqlite.end import EndFile, read_end
from streams.logs.sqlite.log import SqliteLog
from streams.logs.topic_plan import TOPICS_FILE
from tests.commands.command_line import command_names
from tests.commands.markdown_blocks import ROOT, code
from tests.servers.kafka_corpora import kafka_corpora
from tests.servers.registry import RegistryServer

PAGE = ROOT / "ops" / "json-results.md"
NOTES = "push:notes"
OPEN = "push:open"
MARKDOWN = "# Good\n\nEvery index is a fold of one log.\n"

Shown = dict[str, list[dict[str, Any]]]


class Corpus:
    """A data folder with something of everything, a command line into it, and what that printed, by command."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.docs = home / "docs"
        self.docs.mkdir()
        self.shown: Shown = defaultdict(list)
        for name, content in {
            "good.md": MARKDOWN,
            "left.md": "# Left\n\nGone soon.\n",
            "torn.pdf": "%PDF-1.7\n",
        }.items():
            (self.docs / name).write_text(content)
            os.utime(self.docs / name, (time.time() - 3600,) * 2)

    def run(self, command: str, *arguments: str, data: str = "data", heading: str | None = None) -> dict[str, Any]:
        """The last object that a command prints with --json; all of them are kept."""
        where = [] if command.startswith(("schema", "topics", "dev")) else ["--data", str(self.home / data)]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                app([*command.split(), *arguments, "--json", *where], standalone_mode=False)
            except RefoldError as error:
                print_error(error, as_json=True)
        objects: list[dict[str, Any]] = [json.loads(line) for line in out.getvalue().splitlines()]
        self.shown[heading or f"refold {command}"] += objects
        return objects[-1]

    def append(self, *events: tuple[str, str, PipelineEvent]) -> None:
        """Write events (topic, key, event) to the log, as another process would have."""
        log = SqliteLog(self.home / "data" / "log.sqlite")
        log.own(SlotNumber(0))
        log.append(SlotNumber(0), [Draft(*event) for event in events])
        log.close()

    def lose_a_chunk(self) -> None:
        """Take a chunk out of the keyword index behind its back, and see what is told of that."""
        (folder,) = (self.home / "data" / "indexes" / "keyword").iterdir()
        backend = KEYWORD_BACKEND(folder, folder.name, create=False)
        backend.delete([chunk_id_of(document_id_of(NOTES), 1, 0)])
        backend.flush()
        backend.close()
        self.run("verify")

    def lose_an_index(self) -> None:
        """Take the whole of it away, and see what is told of that."""
        shutil.rmtree(self.home / "data" / "indexes" / "keyword")
        self.run("search", "fold of one log")
        self.run("verify")

    def lose_an_event(self) -> None:
        """Let the log lack its last event: its end that is kept is one further."""
        path = self.home / "data" / "log.sqlite"
        end = read_end(path)
        assert end is not None
        end_file = EndFile(path, end.log_id)
        end_file.keep({**end.end_offsets, "documents": end.end_offsets["documents"] + 1})
        end_file.close()
        self.run("status", heading="Errors")

    def lose_a_text(self) -> None:
        """Take the artifact of a live document's chunks away, and see what a search tells of that."""
        folder = DataFolder(self.home / "data")
        with closing(SqliteLog(folder.log)) as log, closing(LocalArtifacts(folder.artifacts, clock=now)) as artifacts:
            for batch in log.read(log.partitions("documents"), Position()):
                for event in [recorded.event for recorded in batch.recorded]:
                    if isinstance(event, DocumentCompleted) and event.uri == NOTES and event.chunks:
                        artifacts.delete([event.chunks])
        self.run("search", "remember the milk, a fold of one log")


def meta(sequence: int = 0, job_id: JobId | None = None) -> Meta:
    return Meta(
        event_id=EventId(random_id()),
        occurred_at=datetime.now(UTC),
        pipeline_id="a test",
        job_id=job_id,
        sequence=sequence,
    )


def submitted(job_id: JobId, folder: Path) -> tuple[str, str, PipelineEvent]:
    """A job that somebody began and did not plan."""
    return "jobs", job_id, JobSubmitted(meta=meta(job_id=job_id), sources=[file_uri(f"{folder}/")])


def queued(uri: str, sequence: int) -> tuple[str, str, PipelineEvent]:
    """A request that was taken and that nobody works on."""
    document_id, request_id = document_id_of(uri), EventId(random_id())
    event = DocumentQueued(meta=meta(sequence), document_id=document_id, request_id=request_id, uri=uri, offset=100)
    return "documents", document_id, event


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """What all commands print, by the heading of their section."""
    corpus = Corpus(tmp_path_factory.mktemp("corpus"))
    run, docs = corpus.run, str(corpus.docs)

    run("plan", docs)
    job = run("ingest", docs)["job_id"]
    run("documents add", "notes", "--text", "Remember the milk.", "--metadata", "team=kitchen")
    run("search", "fold of one log")
    run("jobs list")
    run("jobs show", job)
    (corpus.docs / "left.md").unlink()
    run("ingest", docs)
    run("documents list", "--limit", "2")
    run("documents show", NOTES)
    run("documents show", f"{docs}/torn.pdf")
    run("documents history", NOTES)
    run("verify", "--deep")
    run("log tail", "--lines", "2")
    run("log stat")
    run("log export", str(corpus.home / "exported"))
    run("log import", str(corpus.home / "exported"), "--artifacts", f"{corpus.home}/data/artifacts", data="other")
    run("cache stats")
    run("doctor")
    run("config show")
    run("config check")
    run("schema check")
    (corpus.home / "schemas").mkdir()
    run("schema check", "--directory", str(corpus.home / "schemas"))
    registry = RegistryServer().start()
    run("schema register", "--registry", registry.url, "--prefix", "refold.library.")
    registry.stop()
    run("schema asyncapi")
    (corpus.home / "topics.yaml").write_text("topics: {jobs: {partitions: 2}}")
    run("topics check", "--file", str(corpus.home / "topics.yaml"))
    for command in ("dev status", "dev env", "dev down"):
        run(command, "--dir", str(corpus.home / "stack"))
    run("search", "nothing", "--filter", "nonsense", heading="Errors")

    cancelled, paused = JobId(random_id()), JobId(random_id())
    corpus.append(submitted(cancelled, corpus.docs))
    run("jobs cancel", cancelled)
    corpus.append(submitted(paused, corpus.docs))
    run("jobs pause", paused)
    run("jobs resume", paused)

    for lose in (corpus.lose_a_chunk, corpus.lose_an_index, corpus.lose_an_event):
        lose()
    run("rebuild", "all")
    history = corpus.shown["refold documents history"][-1]["events"]
    corpus.append(queued(NOTES, len(history) + 1), queued(OPEN, 1))
    run("documents show", NOTES)
    run("status")
    corpus.lose_a_text()
    run("documents remove", f"{docs}/good.md", f"{docs}/good.md")
    return corpus.shown


def keys_of(value: object, told: set[str], at: str = "") -> Iterator[str]:
    """The keys of a result as the page writes them: ``[]`` for each of a list, ``*`` where the page has one."""
    if at in told or not isinstance(value, dict | list):
        yield at
    elif isinstance(value, list):
        for item in value:
            yield from keys_of(item, told, f"{at}[]")
    else:
        for key, item in value.items():
            named, any_key = f"{at}.{key}".lstrip("."), f"{at}.*"
            is_named = any(re.match(rf"{re.escape(named)}(?![^.\[])", one) for one in told)
            is_any = any(one.startswith(any_key) for one in told)
            yield from keys_of(item, told, any_key if is_any and not is_named else named)


def sections() -> dict[str, str]:
    """What stands under each heading."""
    chapters = [chapter.partition("\n") for chapter in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]]
    told: dict[str, str] = {}
    for heading, _, text in chapters:
        first, *others = heading.split(", ")
        group = first.rpartition(" ")[0]
        told |= dict.fromkeys([first, *(f"{group} {other}" for other in others)], text)
    return told


def told_keys(heading: str) -> set[str]:
    """The keys that a section tells, with those of the section it refers to."""
    text = sections()[heading]
    own = {key for line in text.splitlines() if line.startswith("| `") for key in code(line.split(" | ")[0])}
    inherited = re.match(r"\s*The keys of a (job|document) in `(refold \w+ list)`", text)
    if inherited is None:
        return own
    prefix = f"{inherited[1]}s[]."
    return own | {key.removeprefix(prefix) for key in told_keys(inherited[2]) if key.startswith(prefix)}


ABSENT_HERE = {"refold status": {"documents.absent"}}
"""Counts that are left out where they are none, and that no command here brings about."""

NEEDS_KAFKA = "refold topics apply"

TESTED_ELSEWHERE = {"refold config show", NEEDS_KAFKA, "refold dev up", "refold worker", "refold projector"}
"""The last ones by `tests/e2e/test_dev_servers.py` and `tests/cluster/test_cluster_engine.py`."""

HEADINGS = [name for name in sections() if name not in TESTED_ELSEWHERE]


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_command_prints_the_keys_of_its_section_and_no_others(heading: str, shown: Shown) -> None:
    told = told_keys(heading)
    seen = {key for answer in shown[heading] for key in keys_of(answer, told)}
    assert seen - told == set()
    assert told - seen == ABSENT_HERE.get(heading, set())


def test_topics_apply_prints_the_keys_of_its_section_and_no_others(tmp_path: Path) -> None:
    with kafka_corpora() as corpora:
        corpus = Corpus(tmp_path)
        where = ["--corpus", corpora.names("log").corpus, "--bootstrap-servers", corpora.client["bootstrap.servers"]]
        corpora.delete("log", ("jobs",))
        corpus.run("topics apply", *where, "--partitions", "2", "--replication", "1")
        (tmp_path / "topics.yaml").write_text(TOPICS_FILE.read_text().replace("134217728", "67108864"))
        corpus.run(
            "topics apply", *where, "--partitions", "2", "--replication", "1", "--file", f"{tmp_path}/topics.yaml"
        )
        told = told_keys(NEEDS_KAFKA)
        assert {key for answer in corpus.shown[NEEDS_KAFKA] for key in keys_of(answer, told)} - told == set()
        assert corpus.shown[NEEDS_KAFKA][0]["created"] == ["jobs"]
        assert corpus.shown[NEEDS_KAFKA][1]["changed"] == [{"topic": "requests", "settings": ["segment.bytes"]}]


def test_config_show_prints_every_setting(shown: Shown) -> None:
    assert set(shown["refold config show"][0]) == set(Settings.model_fields)


def test_every_command_has_a_section() -> None:
    assert {f"refold {name}" for name in command_names()} == set(sections()) - {"Errors"}
