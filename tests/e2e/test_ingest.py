"""Documents in, search out, and proof that the indexes equal the log: by the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import age

SENTENCE = "The projector keeps what it serves in step with the log. "


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "kafka.md").write_text("# Kafka\n\nBackpressure holds a producer back when consumers are slow.\n")
    (folder / "bread.html").write_text("<html><title>Bread</title><body><p>Flour, water and salt.</p></body></html>")
    (folder / "notes.txt").write_text("Remember the milk.\n")
    age(folder)
    return folder


@pytest.fixture
def cli(tmp_path: Path) -> CliHere:
    return CliHere(tmp_path / "data")


def test_what_goes_in_is_found_and_the_indexes_equal_the_log(cli: CliHere, docs: Path) -> None:
    ingested = cli("ingest", str(docs), "--json").json
    assert (ingested["outcome"], ingested["completed"], ingested["searchable"]) == ("SUCCEEDED", 3, True)
    best = cli("search", "flour and salt", "--json").json["hits"][0]
    assert (best["title"], best["uri"].endswith("bread.html")) == ("Bread", True)
    verified = cli("verify", "--deep", "--json").json
    assert verified["consistent"]
    assert {index["expected"] for index in verified["indexes"].values()} == {ingested["chunks"]}


def test_nothing_found_is_a_no(cli: CliHere, docs: Path) -> None:
    cli("ingest", str(docs))
    assert cli("search", "zyzzyva", "--mode", "keyword", exit_code=1).stdout == ""


def test_a_second_run_does_nothing_touched_files_are_read_and_then_nothing_again(cli: CliHere, docs: Path) -> None:
    cli("ingest", str(docs))
    again = cli("ingest", str(docs), "--json").json
    assert (again["requested"], again["unchanged"]) == (0, 3)
    for path in docs.iterdir():
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))
    touched = cli("ingest", str(docs), "--json").json
    assert (touched["requested"], touched["completed"], touched["unchanged"]) == (3, 0, 3)
    last = cli("ingest", str(docs), "--json").json
    assert (last["requested"], last["unchanged"]) == (0, 3)


def test_a_document_cut_from_ten_chunks_to_three_has_three_in_both_indexes(cli: CliHere, docs: Path) -> None:
    long = docs / "long.txt"
    long.write_text(SENTENCE * 160)
    age(docs)
    before = cli("ingest", str(docs), "--json").json["chunks"] - 3
    assert before >= 10
    long.write_text(SENTENCE * 45)
    cli("ingest", str(docs))
    assert cli("documents", "show", str(long), "--json").json["chunk_count"] == 3
    indexes = cli("verify", "--json").json["indexes"]
    assert {name: index["expected"] for name, index in indexes.items()} == {"vector": 6, "keyword": 6}


def test_a_removed_file_leaves_the_indexes(cli: CliHere, docs: Path) -> None:
    cli("ingest", str(docs))
    (docs / "bread.html").unlink()
    gone = cli("ingest", str(docs), "--json").json
    assert gone["removed"] == 1
    hits = cli("search", "flour", "--mode", "keyword", "--json", exit_code=1).json["hits"]
    assert hits == []
    assert cli("documents", "list", "--status", "removed", "--json").json["documents"][0]["title"] is None
    assert cli("verify", "--json").json["consistent"]


def test_one_bad_document_fails_with_a_reason_and_the_others_are_searchable(cli: CliHere, docs: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no pdf")
    ingested = cli("ingest", str(docs), "--json", exit_code=1).json
    assert (ingested["outcome"], ingested["completed"], ingested["failed"]) == ("PARTIAL", 3, 1)
    failed = cli("documents", "list", "--status", "failed", "--json").json["documents"]
    assert [(d["uri"].endswith("broken.pdf"), bool(d["error_code"]), bool(d["hint"])) for d in failed] == [
        (True, True, True)
    ]
    assert cli("search", "backpressure", "--json").json["hits"]


def test_a_plan_says_what_would_be_done_and_does_nothing(cli: CliHere, docs: Path) -> None:
    planned = cli("plan", str(docs), "--json").json
    assert (planned["counts"]["add"], len(planned["documents"])) == (3, 3)
    assert all(document["reason"] for document in planned["documents"])
    assert cli("documents", "list", "--json").json["documents"] == []


def test_pushed_text_is_searchable_and_can_be_removed(cli: CliHere) -> None:
    added = cli("documents", "add", "milk", "--text", "remember the milk", "--metadata", "list=shopping", "--json").json
    assert (added["answer"], added["version"], added["uri"]) == ("completed", 1, "push:milk")
    found = cli("search", "milk", "--filter", "metadata.list=shopping", "--json").json["hits"]
    assert [hit["uri"] for hit in found] == ["push:milk"]
    assert cli("documents", "remove", "push:milk", "--json").json == {"removed": 1, "absent": 0, "open_of_others": 0}
    cli("search", "milk", exit_code=1)


def test_an_exported_log_imports_into_an_empty_folder_as_the_same_manifest(
    cli: CliHere, docs: Path, tmp_path: Path
) -> None:
    cli("ingest", str(docs))
    cli("log", "export", str(tmp_path / "export"))
    other = CliHere(tmp_path / "other")
    other("log", "import", str(tmp_path / "export"), "--artifacts", str(cli.data / "artifacts"))
    rebuilt = other("rebuild", "all", "--json").json["rebuilt"]
    assert {(part["parser_calls"], part["embedder_calls"]) for part in rebuilt.values()} == {(0, 0)}
    assert _manifest(other) == _manifest(cli)
    assert other("verify", "--deep", "--json").json["consistent"]
    assert _hits(other) == _hits(cli)


def _manifest(cli: CliHere) -> list[dict[str, object]]:
    documents: list[dict[str, object]] = cli("documents", "list", "--json").json["documents"]
    return documents


def _hits(cli: CliHere) -> list[str]:
    return [hit["chunk_id"] for hit in cli("search", "milk flour producer", "--json").json["hits"]]


@pytest.mark.parametrize("index", ["vector", "keyword"])
def test_a_wiped_index_is_noticed_and_rebuilt_without_parsing_or_embedding(
    cli: CliHere, docs: Path, index: str
) -> None:
    cli("ingest", str(docs))
    before = cli("search", "milk", "--mode", index, "--json").json["hits"]
    for path in sorted((cli.data / "indexes" / index).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    refused = cli("search", "milk", "--mode", index, exit_code=4)
    assert f"refold rebuild {index}" in refused.stderr
    rebuilt = cli("rebuild", index, "--json").json["rebuilt"][index]
    assert (rebuilt["documents"], rebuilt["parser_calls"], rebuilt["embedder_calls"]) == (3, 0, 0)
    after = cli("search", "milk", "--mode", index, "--json").json["hits"]
    assert [(h["chunk_id"], h["score"]) for h in after] == [(h["chunk_id"], h["score"]) for h in before]
    assert cli("verify", "--deep", "--json").json["consistent"]
