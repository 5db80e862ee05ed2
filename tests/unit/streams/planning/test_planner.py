"""What a plan says, over real folders and a manifest in memory."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.events import Finding, Mode
from streams.documents.uris import file_uri
from streams.planning.plan import PlannedAction, PlannedDocument, PlanRules
from streams.planning.planner import BATCH_DOCUMENTS
from streams.planning.removals import MassRemovalRefused
from streams.source import Found, Unreadable
from streams.sources.local.folder import FolderAdapter, FolderOptions
from tests.samples.real_files import LONG_AGO_NS, as_nobody, open_descriptors, open_to_all, write
from tests.unit.streams.planning.planned_corpus import Corpus

Action = PlannedAction


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(open_to_all(tmp_path))


def test_new_documents_are_added_and_then_unchanged(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    write(corpus.docs / "b.md")
    (first, _) = corpus.plan()
    assert (first.action, first.reason, first.uri) == (Action.ADD, "it is new", file_uri(corpus.docs / "a.md"))
    assert (first.origin.adapter, first.origin.source_root) == ("folder", file_uri(corpus.docs) + "/")
    assert first.finding == Finding(uri=first.uri, size_bytes=9, modified_at_ns=LONG_AGO_NS)
    corpus.ingest()
    assert {(d.action, d.reason) for d in corpus.plan()} == {
        (Action.UNCHANGED, "size, time and settings are the same"),
    }


def test_an_unchanged_document_is_not_read(corpus: Corpus) -> None:
    path = write(corpus.docs / "a.md")
    corpus.ingest()
    os.utime(path, ns=(1, LONG_AGO_NS))
    assert corpus.actions() == {"a.md": "unchanged"}
    assert path.stat().st_atime_ns == 1
    path.read_bytes()
    if path.stat().st_atime_ns == 1:
        pytest.skip("this file system keeps no access times, so nothing was shown")


def test_every_change_is_an_update_that_says_what_changed(corpus: Corpus) -> None:
    for name in ("size.md", "time.md", "same.md"):
        write(corpus.docs / name, "12345")
    corpus.ingest()
    write(corpus.docs / "size.md", "123456")
    write(corpus.docs / "time.md", "54321", modified_at_ns=LONG_AGO_NS + 1)
    reasons = {d.uri.rpartition("/")[2]: d.reason for d in corpus.plan() if d.action is Action.UPDATE}
    assert reasons == {"size.md": "its size changed from 5 to 6 bytes", "time.md": "it was modified"}


def test_another_setting_of_a_stage_updates_what_it_would_change(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    corpus.ingest()
    (document,) = corpus.plan(parser="parser-2")
    assert (document.action, document.reason) == (Action.UPDATE, "the settings of a stage changed")


def test_a_file_too_young_to_trust_is_read_again(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    corpus.ingest()
    young = FolderAdapter(str(corpus.docs), clock_ns=lambda: LONG_AGO_NS + 1)
    (document,) = corpus.plan(young)
    assert (document.action, document.reason) == (
        Action.UPDATE,
        "it is too young to tell whether it was modified",
    )


def test_a_folder_that_goes_by_a_name_may_move_without_being_read_again(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    options = FolderOptions(name="notes")
    corpus.ingest(FolderAdapter(str(corpus.docs), options))
    moved = corpus.docs.rename(corpus.docs.with_name("moved"))
    assert corpus.actions(FolderAdapter(str(moved), options)) == {"a.md": "unchanged"}


@pytest.mark.parametrize(
    ("mode", "new", "same", "changed", "gone"),
    [
        (Mode.AUTO, "add", "unchanged", "update", "remove"),
        (Mode.ADD_ONLY, "add", "exists", "exists", None),
        (Mode.UPDATE_ONLY, "absent", "unchanged", "update", "remove"),
        (Mode.SKIP_EXISTING, "add", "exists", "exists", "remove"),
    ],
)
def test_modes_follow_their_table(
    corpus: Corpus, *, mode: Mode, new: str, same: str, changed: str, gone: str | None
) -> None:
    for name in ("same", "changed", "gone"):
        write(corpus.docs / name)
    corpus.ingest()
    write(corpus.docs / "new")
    write(corpus.docs / "changed", "something else")
    (corpus.docs / "gone").unlink()
    expected = {"new": new, "same": same, "changed": changed} | ({"gone": gone} if gone else {})
    assert corpus.actions(rules=PlanRules(mode=mode)) == expected


def test_force_overrides_unchanged_and_skip_existing_but_not_add_only(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    corpus.ingest()
    forced = {mode: corpus.actions(rules=PlanRules(mode=mode, force=True))["a.md"] for mode in list(Mode)[1:]}
    assert forced == {
        Mode.AUTO: "update",
        Mode.ADD_ONLY: "exists",
        Mode.UPDATE_ONLY: "update",
        Mode.SKIP_EXISTING: "update",
    }


@pytest.mark.parametrize("error_class", ["PERMANENT", "POISON", "TIMEOUT"])
def test_what_failed_for_good_is_left_alone_until_something_changes(corpus: Corpus, error_class: str) -> None:
    path = write(corpus.docs / "broken.pdf")
    (planned,) = corpus.plan()
    corpus.states.fail(planned.uri, planned.finding, error_class)
    (again,) = corpus.plan()
    assert (again.action, again.reason) == (
        Action.FAILED_BEFORE,
        f"failed before ({error_class}), and nothing has changed since",
    )
    assert corpus.actions(parser="parser-2") == {"broken.pdf": "add"}
    assert corpus.actions(rules=PlanRules(force=True)) == {"broken.pdf": "add"}
    young = FolderAdapter(str(corpus.docs), clock_ns=lambda: LONG_AGO_NS + 1)
    assert corpus.actions(young) == {"broken.pdf": "add"}
    path.chmod(0o600)
    assert corpus.actions() == {"broken.pdf": "add"}
    write(path, "mended")
    assert corpus.actions() == {"broken.pdf": "add"}


@pytest.mark.parametrize("error_class", ["TRANSIENT", "UNKNOWN"])
def test_what_failed_for_a_passing_reason_is_tried_again(corpus: Corpus, error_class: str) -> None:
    write(corpus.docs / "a.md")
    (planned,) = corpus.plan()
    corpus.states.fail(planned.uri, planned.finding, error_class)
    (again,) = corpus.plan()
    assert (again.action, again.reason) == (Action.ADD, f"it failed before ({error_class})")


def test_a_failed_update_of_a_live_document_is_left_alone_and_stays_live(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    corpus.ingest()
    write(corpus.docs / "a.md", "broken now")
    (update,) = corpus.plan()
    assert update.action is Action.UPDATE
    corpus.states.fail(update.uri, update.finding, "PERMANENT")
    assert corpus.actions() == {"a.md": "failed_before"}
    assert corpus.actions(rules=PlanRules(mode=Mode.ADD_ONLY)) == {"a.md": "exists"}


def test_a_removed_document_that_comes_back_is_added(corpus: Corpus) -> None:
    path = write(corpus.docs / "a.md")
    corpus.ingest()
    path.unlink()
    corpus.ingest()
    assert corpus.states.live_uris() == []
    write(path)
    (document,) = corpus.plan()
    assert (document.action, document.reason) == (Action.ADD, "it was removed before")


@pytest.mark.parametrize(
    ("count", "gone", "is_refused"), [(9, 9, False), (10, 3, False), (10, 4, True), (100, 31, True)]
)
def test_a_source_that_lost_too_much_removes_nothing_unasked(
    corpus: Corpus, *, count: int, gone: int, is_refused: bool
) -> None:
    for number in range(count):
        write(corpus.docs / f"{number:03}.md")
    corpus.ingest()
    for number in range(gone):
        (corpus.docs / f"{number:03}.md").unlink()
    write(corpus.docs / "new.md")
    planned: list[PlannedDocument] = []
    try:
        for batch in corpus.batches():
            planned += batch
    except MassRemovalRefused:
        assert is_refused
    else:
        assert not is_refused
    actions = [document.action for document in planned]
    assert actions.count(Action.REMOVE) == (0 if is_refused else gone)
    assert actions.count(Action.ADD) == 1, "others may be asked for"
    allowed = corpus.actions(rules=PlanRules(allow_removals=True))
    assert list(allowed.values()).count("remove") == gone


def test_an_emptied_mount_point_is_refused(corpus: Corpus) -> None:
    for number in range(10):
        write(corpus.docs / f"{number}.md")
    corpus.ingest()
    shutil.rmtree(corpus.docs)
    corpus.docs.mkdir()
    with pytest.raises(MassRemovalRefused, match="10 of 10"):
        corpus.plan()


def test_a_folder_that_cannot_be_read_protects_what_was_below_it(corpus: Corpus) -> None:
    for number in range(5):
        write(corpus.docs / "closed" / "deep" / f"{number}.md")
        write(corpus.docs / "open" / f"{number}.md")
    corpus.ingest()
    (corpus.docs / "open" / "0.md").unlink()
    (corpus.docs / "closed").chmod(0o000)
    corpus.scratch.chmod(0o777)
    actions = as_nobody(corpus.actions)
    assert actions == {
        "": "unreadable",
        "0.md": "remove",
        "1.md": "unchanged",
        "2.md": "unchanged",
        "3.md": "unchanged",
        "4.md": "unchanged",
    }


def test_sources_planned_together_count_each_document_once_and_hold_it_for_each_other(corpus: Corpus) -> None:
    write(corpus.docs / "sub" / "a.md")
    write(corpus.docs / "b.md")
    corpus.ingest()
    write(corpus.docs / ".refoldignore", "sub/\n")
    both = (FolderAdapter(str(corpus.docs)), FolderAdapter(str(corpus.docs / "sub")), FolderAdapter(str(corpus.docs)))
    assert [(d.uri.rpartition("/")[2], d.action.value) for d in corpus.plan(*both)] == [
        ("b.md", "unchanged"),
        ("a.md", "unchanged"),
    ]
    assert corpus.actions()["a.md"] == "left_out", "alone, the folder does not take it any more"


class ReplayedSource:
    """A source that was scanned elsewhere."""

    def __init__(self, source_root: str, items: Sequence[Found | Unreadable]) -> None:
        self.name = "replayed"
        self.source_root = self.source_uri = self.place = source_root
        self._items = items
        self.taken = 0

    def scan(self) -> Iterator[Found | Unreadable]:
        for item in self._items:
            self.taken += 1
            yield item

    def covers(self, uri: str) -> bool:
        return uri.startswith(self.place)

    def still_holds(self, _: str) -> bool:
        return False

    def fetch(self, finding: Finding) -> None:  # type: ignore[override]
        raise NotImplementedError(finding)


def many(count: int) -> ReplayedSource:
    uris = [f"push:{number:04}" for number in range(count)]
    return ReplayedSource("push:", [Found(uri, Finding(uri=uri, validators={"etag": "1"})) for uri in uris])


def test_a_scan_is_drawn_one_batch_at_a_time(corpus: Corpus) -> None:
    source = many(3 * BATCH_DOCUMENTS)
    batches = corpus.batches(source)
    assert source.taken == 0
    assert len(next(batches)) == BATCH_DOCUMENTS
    assert source.taken == BATCH_DOCUMENTS


def test_a_document_that_another_job_adds_behind_the_scan_is_not_removed(corpus: Corpus) -> None:
    source = many(BATCH_DOCUMENTS + 1)
    batches = corpus.batches(source)
    planned = list(next(batches))
    late = PlannedDocument(
        document_id=planned[0].document_id.replace("0", "f"),  # type: ignore[arg-type]
        uri="push:late",
        action=Action.ADD,
        reason="",
        origin=planned[0].origin,
    )
    corpus.states.complete([late])
    planned += [document for batch in batches for document in batch]
    assert {document.action for document in planned} == {Action.ADD}


def test_metadata_that_changed_is_an_update(corpus: Corpus) -> None:
    finding = Finding(uri="push:a", validators={"etag": "1"})
    corpus.ingest(ReplayedSource("push:", [Found("push:a", finding, metadata={"author": "Ada"})]))
    same = ReplayedSource("push:", [Found("push:a", finding, metadata={"author": "Ada"})])
    other = ReplayedSource("push:", [Found("push:a", finding, metadata={"author": "Bob"})])
    assert corpus.actions(same) == {"push:a": "unchanged"}
    assert [document.reason for document in corpus.plan(other)] == ["its metadata changed"]


def test_a_finding_that_tells_nothing_is_read_again(corpus: Corpus) -> None:
    source = ReplayedSource("push:", [Found("push:a", Finding(uri="push:a"))])
    corpus.ingest(source)
    assert [document.reason for document in corpus.plan(source)] == ["nothing is known to compare it with"]


def test_a_limit_counts_requests_reads_no_further_and_removes_nothing(corpus: Corpus) -> None:
    for number in range(6):
        write(corpus.docs / f"{number}.md")
    corpus.ingest()
    (corpus.docs / "0.md").unlink()
    for number in range(2, 6):
        write(corpus.docs / f"{number}.md", "changed")
    assert corpus.actions(rules=PlanRules(limit=2)) == {"1.md": "unchanged", "2.md": "update", "3.md": "update"}
    source = many(5 * BATCH_DOCUMENTS)
    assert len(corpus.plan(source, rules=PlanRules(limit=BATCH_DOCUMENTS + 1))) == BATCH_DOCUMENTS + 1
    assert source.taken == 2 * BATCH_DOCUMENTS


def test_a_source_that_is_gone_is_refused_and_nothing_is_removed(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    adapter = FolderAdapter(str(corpus.docs))
    corpus.ingest()
    shutil.rmtree(corpus.docs)
    with pytest.raises(UsageError, match="does not exist"):
        corpus.plan(adapter)


def test_a_mode_of_a_newer_release_is_refused(corpus: Corpus) -> None:
    write(corpus.docs / "a.md")
    with pytest.raises(UsageError, match="unknown"):
        corpus.plan(rules=PlanRules(mode=Mode.UNKNOWN))


def test_a_plan_given_up_closes_its_temporary_tables(corpus: Corpus) -> None:
    before = open_descriptors()
    batches = corpus.batches(many(2 * BATCH_DOCUMENTS), many(3))
    next(batches)
    batches.close()
    assert open_descriptors() == before


def test_rules_come_back_from_the_parameters_of_a_job() -> None:
    rules = PlanRules(mode=Mode.ADD_ONLY, force=True, allow_removals=True, limit=7)
    assert PlanRules.from_parameters(Mode.ADD_ONLY, rules.as_parameters()) == rules
    assert PlanRules.from_parameters(Mode.AUTO, {}) == PlanRules()
