"""A byte that turned over on the disk: what it damages is told, one command mends it, and everything else goes on."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.events import DocumentRequested, Meta
from schemas.ids import document_id_of, event_id_of
from streams.log import Draft
from streams.logs.sqlite.log import SqliteLog
from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import age
from tests.samples.flipped_bits import tamper


@pytest.fixture
def cli(tmp_path: Path) -> CliHere:
    return CliHere(tmp_path / "data")


def test_a_request_that_the_disk_has_changed_is_a_damaged_log_and_not_a_bad_request(
    cli: CliHere, tmp_path: Path
) -> None:
    (tmp_path / "note.txt").write_text("a note about bread")
    age(tmp_path)
    cli("ingest", str(tmp_path / "note.txt"))
    uri = "push:asked-before-the-disk-failed"
    meta = Meta(event_id=event_id_of(uri, "test"), occurred_at=datetime.now(UTC), pipeline_id="test")
    request = DocumentRequested(meta=meta, document_id=document_id_of(uri), uri=uri, content=b"some words")
    with closing(SqliteLog(cli.data / "log.sqlite")) as log:
        (end,) = (end for _, end in log.append(None, [Draft("requests", request.document_id, request)]).items())
    tamper(cli.data / "log.sqlite", 'UPDATE requests SET frame = flip_bit(frame) WHERE "offset" = ?', end - 1)
    failed = cli("ingest", str(tmp_path / "note.txt"), exit_code=4)
    line, hint = failed.stderr.strip().splitlines()[-2:]
    assert f"record {end - 1} of requests:0 does not read back" in line
    assert "backup" in hint
    assert "RequestRejected" not in cli("log", "tail", "--topic", "adapters", "--json").stdout
    assert [hit["uri"] for hit in cli("search", "bread", "--json").json["hits"]] == [(tmp_path / "note.txt").as_uri()]


def test_a_damaged_artifact_costs_its_document_nothing_and_the_others_neither(cli: CliHere, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# One\n\nThe first document is about bread.\n")
    (docs / "b.md").write_text("# Two\n\nThe second document is about water.\n")
    age(docs)
    cli("ingest", str(docs))
    tamper(cli.data / "artifacts" / "packed.sqlite", "UPDATE contents SET data = flip_bit(data)")  # every one
    unreadable = cli("verify", "--deep", "--json", exit_code=1).json["indexes"]
    assert {index["unreadable"] for index in unreadable.values()} == {2}
    (docs / "a.md").write_text("# One\n\nThe first document is about bread and salt.\n")
    (docs / "c.md").write_text("# Two\n\nThe second document is about water.\n")  # whose results are known, and damaged
    age(docs)
    assert cli("ingest", str(docs), "--json").json["outcome"] == "SUCCEEDED"
    assert cli("ingest", str(docs), "--force", "--json").json["outcome"] == "SUCCEEDED"
    hits = cli("search", "salt", "--json").json["hits"]
    assert "bread and salt" in hits[0]["text"]
    healed = cli("verify", "--deep", "--json").json
    assert healed["consistent"]
    assert {index["unreadable"] for index in healed["indexes"].values()} == {0}
