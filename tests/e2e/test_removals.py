"""How documents leave: because their files did, and because somebody said so."""

from __future__ import annotations

import os
import pty
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.commands.cli_here import CliHere
from tests.commands.refold_cli import age


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name in ("a.md", "b.txt", "sub/x.md", "sub/y.md", "sub/deep/z.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"This is {path.stem}alpha.\n")
    age(folder)
    return folder


@pytest.fixture
def cli(tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch) -> CliHere:
    monkeypatch.chdir(tmp_path)
    cli = CliHere(tmp_path / "data")
    cli("ingest", str(docs))
    return cli


def live(cli: CliHere) -> list[str]:
    listed: list[dict[str, Any]] = cli("documents", "list", "--status", "live", "--json").json["documents"]
    return [one["uri"].rpartition("docs/")[2] or one["uri"] for one in listed]


def test_what_a_narrower_ingest_has_brought_leaves_with_the_folder(cli: CliHere, docs: Path) -> None:
    for name in ("a.md", "sub/x.md"):
        (docs / name).write_text("It was edited, which is why it is read again.\n")
    cli("ingest", str(docs / "a.md"))
    cli("ingest", str(docs / "sub"))
    (docs / "a.md").unlink()
    shutil.rmtree(docs / "sub")
    assert cli("plan", str(docs), "--json").json["counts"]["remove"] == 4
    assert cli("ingest", str(docs), "--json").json["removed"] == 4
    assert live(cli) == ["b.txt"]


def test_narrower_suffixes_are_told_and_remove_only_what_is_allowed(cli: CliHere, docs: Path) -> None:
    narrow = CliHere(cli.data, {"REFOLD_SOURCES__SUFFIXES": '[".md"]'})
    planned = narrow("plan", str(docs))
    assert "2 documents are still there, but left out" in planned.stderr
    told = narrow("ingest", str(docs))
    assert "2 documents are still there, but left out" in told.stderr
    kept = narrow("ingest", str(docs), "--json").json
    assert (kept["left_out"], kept["removed"], kept["unchanged"]) == (2, 0, 3)
    counts = narrow("ingest", str(docs), "--dry-run", "--allow-removals", "--json").json["counts"]
    assert (counts["remove"], counts["left_out"]) == (2, 0)
    assert len(live(cli)) == 5, "a plan changes nothing"
    assert narrow("ingest", str(docs), "--allow-removals", "--json").json["removed"] == 2
    assert live(cli) == ["a.md", "sub/x.md", "sub/y.md"]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("docs/sub", 3),
        ("docs/sub/", 3),
        ("docs/*.md", 1),
        ("docs/**/*.md", 3),
        ("docs", 5),
        ("docs/s?b/deep/../deep/*", 1),
    ],
)
def test_folders_and_globs_leave_when_that_is_confirmed_though_they_are_gone(
    cli: CliHere, docs: Path, *, name: str, count: int
) -> None:
    shutil.rmtree(docs)
    asked = cli("documents", "remove", name, "--json", exit_code=2).json["error"]
    assert (asked["message"], "--yes" in asked["hint"]) == (f"{count} documents would be removed", True)
    assert len(live(cli)) == 5
    assert cli("documents", "remove", name, "--yes", "--json").json == {
        "removed": count,
        "absent": 0,
        "open_of_others": 0,
    }
    assert len(live(cli)) == 5 - count


def test_one_document_leaves_without_a_question_and_none_is_an_error(cli: CliHere, docs: Path) -> None:
    (docs / "a.md").unlink()
    assert cli("documents", "remove", "docs/a.md", "--json").json == {"removed": 1, "absent": 0, "open_of_others": 0}
    assert cli("documents", "remove", "docs/a.md", "--json", exit_code=1).json == {
        "removed": 0,
        "absent": 1,
        "open_of_others": 0,
    }
    for name in ("docs/none.md", "docs/*.pdf", "elsewhere/"):
        assert "there is no document" in cli("documents", "remove", name, "--yes", exit_code=2).stderr


def test_a_source_takes_along_what_its_links_led_to_and_no_other_of_that_name(cli: CliHere, docs: Path) -> None:
    outside = docs.parent / "outside" / "o.md"
    outside.parent.mkdir()
    outside.write_text("This is omega.\n")
    age(outside.parent)
    (docs / "link.md").symlink_to(outside)
    cli("ingest", str(docs))
    cli("ingest", str(docs), "--as", "share")
    cli("documents", "add", "share/p", "--text", "pushed")
    assert cli("documents", "remove", "folder:share/", "--yes", "--json").json["removed"] == 6
    assert cli("documents", "remove", str(docs), "docs/a.md", "docs/sub", "--yes", "--json").json["removed"] == 6
    assert live(cli) == ["push:share/p"]
    assert cli("documents", "remove", "push:*/*", "--yes", "--json").json["removed"] == 1


@pytest.mark.parametrize(
    ("name", "count"),
    [("push:a=b", 1), ("push:50 %/tea time", 1), ("push:50 %/", 2), ("push:50 %/*", 2)],
)
def test_a_uri_is_taken_as_people_write_it(cli: CliHere, *, name: str, count: int) -> None:
    for pushed in ("a=b", "50 %/tea time", "50 %/x"):
        cli("documents", "add", pushed, "--text", "pushed")
    assert cli("documents", "remove", name, "--yes", "--json").json["removed"] == count
    assert len(live(cli)) == 5 + 3 - count


@pytest.mark.parametrize(("said", "left"), [(b"n\n", 5), (b"y\n", 2)])
def test_a_person_at_a_terminal_is_asked(cli: CliHere, *, said: bytes, left: int) -> None:
    terminal, end = pty.openpty()
    os.write(terminal, said)
    process = cli.start("documents", "remove", "docs/sub", stdin=end)
    _, stderr = process.communicate(timeout=60)
    os.close(end)
    os.close(terminal)
    assert "remove 3 documents?" in stderr
    assert (process.returncode, len(live(cli))) == (0 if left == 2 else 1, left)
