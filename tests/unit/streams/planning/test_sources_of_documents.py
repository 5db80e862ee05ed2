"""Which documents are a source's own, so that what was deleted leaves whoever brought it, and nothing else does."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Finding
from schemas.ids import document_id_of
from streams.documents.states import KnownDocument
from streams.documents.uris import file_uri
from streams.planning.plan import PlannedAction, PlanRules
from streams.planning.removals import MassRemovalRefused
from streams.sources.local.folder import FolderAdapter, FolderOptions
from tests.samples.real_files import as_nobody, open_to_all, write
from tests.unit.streams.planning.planned_corpus import Corpus

NAMED = FolderOptions(name="share")
ALLOWED = PlanRules(allow_removals=True)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(open_to_all(tmp_path))


def source(corpus: Corpus, below: str = "", options: FolderOptions | None = None) -> FolderAdapter:
    return FolderAdapter(f"{corpus.docs}/{below}", options)


def live_names(corpus: Corpus) -> list[str]:
    return sorted(uri.rpartition("/")[2] for uri in corpus.states.live_uris())


@pytest.mark.parametrize("first", ["", "sub", "sub/a.md", "sub/*.md", "**/*.md"])
@pytest.mark.parametrize("last", ["", "sub", "sub/*.md", "**/a.*", "s[tu]b/*"])
def test_a_deleted_document_leaves_with_any_source_it_lies_in_whichever_brought_it(
    corpus: Corpus, *, first: str, last: str
) -> None:
    path = write(corpus.docs / "sub" / "a.md")
    write(corpus.docs / "sub" / "b.md")
    corpus.ingest(source(corpus, last))
    write(path, "edited, so that the next source is its latest")
    corpus.ingest(source(corpus, first))
    path.unlink()
    removed = [d.uri for d in corpus.plan(source(corpus, last)) if d.action is PlannedAction.REMOVE]
    assert removed == [file_uri(path)]


@pytest.mark.parametrize("last", ["other", "sub/deep", "*.md", "sub/*.txt", "sub/b.md", "sub/?/*.md"])
def test_a_deleted_document_is_no_business_of_a_source_it_does_not_lie_in(corpus: Corpus, last: str) -> None:
    for name in ("sub/a.md", "sub/b.md", "sub/deep/c.md", "other/d.md", "sub-not/a.md"):
        write(corpus.docs / name)
    corpus.ingest()
    (corpus.docs / "sub" / "a.md").unlink()
    assert {d.action for d in corpus.plan(source(corpus, last))} <= {PlannedAction.UNCHANGED}


def test_a_file_whose_name_begins_like_anothers_is_not_its(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    write(corpus.docs / "a.md.old")
    corpus.ingest()
    (corpus.docs / "a.md.old").unlink()
    assert corpus.actions(source(corpus, "a.md")) == {"a.md": "unchanged"}


def test_a_name_stands_for_a_place_too(corpus: Corpus) -> None:
    path = write(corpus.docs / "sub" / "a.md")
    write(corpus.docs / "sub" / "b.md")
    corpus.ingest(source(corpus, "", NAMED))
    write(path, "edited")
    corpus.ingest(source(corpus, "**/*.md", NAMED))
    path.unlink()
    removed = [d.uri for d in corpus.plan(source(corpus, "", NAMED)) if d.action is PlannedAction.REMOVE]
    assert removed == ["folder:share/sub/a.md"]
    assert "remove" not in corpus.actions().values(), "without the name they are other documents"
    assert corpus.actions(source(corpus, "*.md", NAMED)) == {}, "the pattern does not describe it"


def test_two_folders_of_one_name_hold_for_each_other(corpus: Corpus) -> None:
    write(corpus.docs / "one" / "a.md")
    write(corpus.docs / "two" / "b.md")
    both = (source(corpus, "one", NAMED), source(corpus, "two", NAMED))
    corpus.ingest(*both)
    assert set(corpus.actions(*both).values()) == {"unchanged"}
    write(corpus.docs / "two" / ".refoldignore", "b.md\n")
    assert corpus.actions(*both) == {"a.md": "unchanged", "b.md": "left_out"}


@pytest.mark.parametrize("uri", ["push:docs/a.md", "https://example.org/a.md", "folder:other/a.md"])
def test_what_no_scan_brought_no_scan_removes(corpus: Corpus, uri: str) -> None:
    write(corpus.docs / "a.md")
    adapter = source(corpus)
    finding = Finding(uri=uri, size_bytes=1)
    corpus.states.known[document_id_of(uri)] = KnownDocument(
        document_id_of(uri), uri, adapter.source_root, is_live=True, finding=finding
    )
    assert corpus.actions(adapter, rules=ALLOWED) == {"a.md": "add"}


NARROWINGS = {
    "suffixes": FolderOptions(suffixes=(".md",)),
    "include": FolderOptions(include=("*.md",)),
    "ignore": FolderOptions(ignore=("*.txt",)),
    "hidden": FolderOptions(),
}


@pytest.mark.parametrize("narrowing", NARROWINGS)
def test_narrowing_what_is_taken_removes_nothing_unasked(corpus: Corpus, narrowing: str) -> None:
    name = ".b.txt" if narrowing == "hidden" else "b.txt"
    for each in ("a.md", name, f"sub/{name}"):
        write(corpus.docs / each)
    corpus.ingest(source(corpus, "", FolderOptions(shows_hidden=True)))
    narrow = source(corpus, "", NARROWINGS[narrowing])
    planned = {d.uri.rpartition("docs/")[2]: (d.action.value, d.reason) for d in corpus.plan(narrow)}
    why = "it is still there, but its source leaves it out now; --allow-removals removes it"
    assert planned == {
        "a.md": ("unchanged", "size, time and settings are the same"),
        name: ("left_out", why),
        f"sub/{name}": ("left_out", why),
    }
    corpus.ingest(narrow)
    assert live_names(corpus) == sorted(["a.md", name, name])
    (corpus.docs / "sub" / name).unlink()
    assert [(d.uri.rpartition("docs/")[2], d.action.value) for d in corpus.plan(narrow)][1:] == [
        (name, "left_out"),
        (f"sub/{name}", "remove"),
    ]
    corpus.states.complete(corpus.plan(narrow, rules=ALLOWED))
    assert live_names(corpus) == ["a.md"]


def test_a_new_ignore_file_removes_nothing_unasked(corpus: Corpus) -> None:
    write(corpus.docs / "private" / "a.md")
    corpus.ingest()
    write(corpus.docs / ".refoldignore", "private/\n")
    assert corpus.actions() == {"a.md": "left_out"}
    assert corpus.actions(rules=ALLOWED) == {"a.md": "remove"}


def test_what_is_left_out_is_no_loss_that_the_guard_counts(corpus: Corpus) -> None:
    for number in range(10):
        write(corpus.docs / f"{number}.md")
        write(corpus.docs / f"{number}.txt")
    corpus.ingest()
    (corpus.docs / "0.txt").unlink()
    actions = list(corpus.actions(source(corpus, "", NARROWINGS["suffixes"])).values())
    assert (actions.count("left_out"), actions.count("remove")) == (9, 1)


def test_what_a_link_brought_leaves_when_its_file_is_deleted_and_not_when_the_link_is(corpus: Corpus) -> None:
    outside = write(corpus.docs.parent / "outside" / "x.md")
    (corpus.docs / "link").symlink_to(outside.parent)
    corpus.ingest()
    assert corpus.states.live_uris() == [file_uri(outside)]
    (corpus.docs / "link").unlink()
    assert corpus.actions() == {"x.md": "left_out"}
    (corpus.docs / "link").symlink_to(outside.parent)
    outside.unlink()
    assert corpus.actions() == {"x.md": "remove"}


def test_a_link_in_a_files_place_is_another_document(corpus: Corpus) -> None:
    path = write(corpus.docs / "a.md")
    corpus.ingest()
    target = write(corpus.docs.parent / "outside" / "b.md")
    path.unlink()
    path.symlink_to(target)
    assert corpus.actions() == {"b.md": "add", "a.md": "remove"}


def test_another_name_of_a_file_that_is_reported_is_gone(corpus: Corpus) -> None:
    path = write(corpus.docs / "b.md")
    corpus.ingest()
    os.link(path, corpus.docs / "a.md")
    assert corpus.actions() == {"a.md": "add", "b.md": "remove"}
    assert corpus.actions(source(corpus, "", FolderOptions(ignore=("b.md",)))) == {"a.md": "add", "b.md": "left_out"}


@pytest.mark.parametrize("brought_by", ["", "closed", "closed/*.md"])
def test_what_cannot_be_looked_at_is_never_taken_for_removed(corpus: Corpus, brought_by: str) -> None:
    write(corpus.docs / "closed" / "a.md")
    write(corpus.docs / "open" / "b.md")
    corpus.ingest(source(corpus, "open"), source(corpus, brought_by))
    corpus.scratch.chmod(0o777)
    (corpus.docs / "closed").chmod(0o000)
    for rules in (PlanRules(), ALLOWED):
        assert as_nobody(lambda rules=rules: corpus.actions(rules=rules)) == {"": "unreadable", "b.md": "unchanged"}


def test_what_is_left_out_and_cannot_be_looked_at_stays(corpus: Corpus) -> None:
    write(corpus.docs / "closed" / "a.md")
    corpus.ingest()
    write(corpus.docs / ".refoldignore", "closed/\n")
    corpus.scratch.chmod(0o777)
    (corpus.docs / "closed").chmod(0o000)
    assert as_nobody(corpus.actions) == {"a.md": "left_out"}


def test_the_guard_counts_what_lies_in_the_source_whoever_brought_it(corpus: Corpus) -> None:
    for number in range(20):
        write(corpus.docs / f"{number % 2}" / f"{number}.md")
    corpus.ingest(source(corpus, "0"))
    corpus.ingest(source(corpus, "1"))
    shutil.rmtree(corpus.docs / "1")
    with pytest.raises(MassRemovalRefused, match="10 of 20 documents"):
        corpus.plan()


def test_a_document_of_two_sources_in_one_plan_is_removed_once(corpus: Corpus) -> None:
    path = write(corpus.docs / "sub" / "a.md")
    corpus.ingest()
    path.unlink()
    both = corpus.plan(source(corpus), source(corpus, "sub"), source(corpus, "sub/*.md"))
    assert [d.action for d in both] == [PlannedAction.REMOVE]


SOURCES = ("", "a", "a/b", "*.md", "**/*.md", "a/*.md", "a/1.md", "2.md")
FILES = tuple(f"{folder}{name}" for folder in ("", "a/", "a/b/") for name in ("1.md", "2.md", "1.txt"))
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "delete", "ingest"]), st.sampled_from(FILES), st.sampled_from(SOURCES)),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_after_any_history_an_ingest_of_the_folder_leaves_what_is_there(steps: Sequence[tuple[str, str, str]]) -> None:
    with TemporaryDirectory() as folder:
        corpus = Corpus(Path(folder).resolve())
        (corpus.docs / "a" / "b").mkdir(parents=True)
        for count, (step, name, below) in enumerate(steps):
            path = corpus.docs / name
            if step == "write":
                write(path, "x" * count)
            elif step == "delete":
                path.unlink(missing_ok=True)
            elif not below.endswith(("1.md", "2.md")) or (corpus.docs / below).exists():
                corpus.states.complete(corpus.plan(source(corpus, below), rules=ALLOWED))
        corpus.states.complete(corpus.plan(rules=ALLOWED))
        there = sorted(file_uri(path) for path in corpus.docs.rglob("*") if path.is_file())
        assert corpus.states.live_uris() == there
