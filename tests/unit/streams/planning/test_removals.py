import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DiskFull, MachineError
from schemas.ids import document_id_of
from streams.planning.removals import MassRemovalRefused, SourceLoss, Unmet, refuse_mass_removal
from streams.scratch import IdSet, SortedSpool

DOCS = "file:///docs/"


@pytest.mark.parametrize(
    ("live", "gone", "is_refused"),
    [
        (9, 9, False),
        (10, 3, False),
        (10, 4, True),
        (10, 10, True),
        (100, 30, False),
        (100, 31, True),
        (1_000, 300, False),
        (1_000, 301, True),
        (0, 0, False),
    ],
)
def test_more_than_thirty_percent_of_ten_or_more_is_refused(live: int, gone: int, is_refused: bool) -> None:  # noqa: FBT001 - a table
    assert SourceLoss(DOCS, live, gone).is_refused is is_refused


def test_the_refusal_names_the_counts_the_source_and_the_way_out() -> None:
    with pytest.raises(MassRemovalRefused, match="12 of 20 documents of file:///docs/") as caught:
        refuse_mass_removal([SourceLoss("file:///fine/", 100, 1), SourceLoss(DOCS, 20, 12)])
    assert caught.value.hint is not None
    assert "--allow-removals" in caught.value.hint


def expect(unmet: Unmet, *uris: str, root: str = DOCS) -> None:
    unmet.expect(root, [(document_id_of(uri), uri) for uri in uris])


def test_what_no_scan_met_remains_by_source(tmp_path: Path) -> None:
    with Unmet(tmp_path) as unmet:
        expect(unmet, "file:///docs/a", "file:///docs/b", "file:///docs/c")
        expect(unmet, "file:///notes/n", root="file:///notes/")
        unmet.meet([document_id_of("file:///docs/b"), document_id_of("file:///elsewhere/x")])
        assert unmet.settle(()) == [SourceLoss(DOCS, 3, 2), SourceLoss("file:///notes/", 1, 1)]
        assert {(uri, root) for _, uri, root in unmet.gone} == {
            ("file:///docs/a", DOCS),
            ("file:///docs/c", DOCS),
            ("file:///notes/n", "file:///notes/"),
        }


def test_what_lies_below_something_unreadable_is_spared(tmp_path: Path) -> None:
    with Unmet(tmp_path) as unmet:
        expect(unmet, "file:///docs/closed/a", "file:///docs/closed/deep/b", "file:///docs/closed-not/c")
        expect(unmet, "file:///docs/broken.md", "file:///docs/d")
        assert unmet.settle({"file:///docs/closed/", "file:///docs/broken.md"}) == [SourceLoss(DOCS, 5, 2)]
        assert sorted(uri for _, uri, _ in unmet.gone) == ["file:///docs/closed-not/c", "file:///docs/d"]


def test_an_unreadable_root_spares_everything(tmp_path: Path) -> None:
    with Unmet(tmp_path) as unmet:
        expect(unmet, "file:///docs/a", "file:///docs/deep/b")
        assert unmet.settle({"file:///"}) == [SourceLoss(DOCS, 2, 0)]
        assert list(unmet.gone) == []


@settings(deadline=None)  # disks have bad days
@given(live=st.sets(st.integers(0, 40)), met=st.lists(st.integers(0, 40)))
def test_the_unmet_are_the_live_ones_without_those_met(live: set[int], met: list[int]) -> None:
    uris = {number: f"file:///docs/{number}" for number in range(41)}
    with TemporaryDirectory() as scratch, Unmet(Path(scratch)) as unmet:
        expect(unmet, *(uris[number] for number in live))
        unmet.meet(document_id_of(uris[number]) for number in met)
        unmet.settle(())
        assert {uri for _, uri, _ in unmet.gone} == {uris[number] for number in live - set(met)}


@pytest.mark.parametrize("run_lines", [1, 7, 1_000, 100_000])
def test_lines_come_back_sorted_however_many_runs_they_make(tmp_path: Path, run_lines: int) -> None:
    lines = [f"{number * 7_919 % 20_011:05} {'é' * (number % 9)}" for number in range(2_500)]
    with SortedSpool(tmp_path, run_lines=run_lines) as spool:
        for start in range(0, len(lines), 3):
            spool.add(lines[start : start + 3])
        assert list(spool) == sorted(lines)
        assert list(spool) == sorted(lines), "a second time, too"


def test_a_spool_holds_one_run_in_memory(tmp_path: Path) -> None:
    with SortedSpool(tmp_path, run_lines=100) as spool:
        for number in range(1_000):
            spool.add([str(number)])
            assert len(spool._tail) < 100


def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    with SortedSpool(tmp_path, run_lines=1) as spool:
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, spool._file.fileno())
        os.close(full)
        with pytest.raises(DiskFull) as caught:
            spool.add(["line"])
    assert caught.value.hint is not None


def test_an_id_is_new_once(tmp_path: Path) -> None:
    with IdSet(tmp_path) as ids:
        assert ids.add(["a", "b", "a"]) == {"a", "b"}
        assert ids.add(["b", "c"]) == {"c"}
        assert ids.add([]) == set()
        assert len(ids) == 3


def test_temporary_tables_leave_nothing_in_their_folder_even_while_open(tmp_path: Path) -> None:
    with IdSet(tmp_path) as ids, Unmet(tmp_path):
        for start in range(0, 20_000, 1_000):
            ids.add([f"{number:036}" for number in range(start, start + 1_000)])
        assert list(tmp_path.iterdir()) == []


def test_a_scratch_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for opened in (IdSet, SortedSpool):
        with pytest.raises(MachineError, match=r"temporary \w+ cannot be kept") as caught:
            opened(tmp_path / "missing")
        assert caught.value.hint is not None
