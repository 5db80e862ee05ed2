"""What a walk over real folders finds."""

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import UsageError
from streams.documents.uris import file_uri, path_of
from streams.source import Found, Unreadable
from streams.sources.local.files import Files
from streams.sources.local.folder import FolderAdapter, FolderOptions
from streams.sources.table import adapter_for
from tests.samples.real_files import LONG_AGO_NS, as_nobody, open_descriptors, open_to_all, write


def scan(source: Path | str, options: FolderOptions | None = None) -> list[Found | Unreadable]:
    return list(FolderAdapter(str(source), options).scan())


def names(source: Path | str, options: FolderOptions | None = None, *, under: Path | None = None) -> list[str]:
    root = under or Path(source)
    return [os.path.relpath(path_of(item.finding.uri), root) for item in scan(source, options) if is_found(item)]


def is_found(item: Found | Unreadable) -> bool:
    assert isinstance(item, Found), item
    return True


def test_every_file_is_found_once_in_a_stable_order_with_size_and_time(tmp_path: Path) -> None:
    write(tmp_path / "b" / "two.txt", "22")
    write(tmp_path / "a" / "deep" / "one.md", "1")
    write(tmp_path / "zero.md", "")
    found = scan(tmp_path)
    assert names(tmp_path) == ["zero.md", "a/deep/one.md", "b/two.txt"]
    assert all(isinstance(item, Found) and item.uri == item.finding.uri for item in found)
    assert [(f.finding.size_bytes, f.finding.modified_at_ns, f.is_trustworthy) for f in found if is_found(f)] == [
        (0, LONG_AGO_NS, True),
        (1, LONG_AGO_NS, True),
        (2, LONG_AGO_NS, True),
    ]


def test_a_name_that_is_no_utf8_is_found_and_its_uri_leads_back(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9 \xff.txt")).write_text("found")
    (item,) = scan(tmp_path)
    assert isinstance(item, Found)
    assert item.uri.endswith("/caf%E9%20%FF.txt")
    assert Files().read(item.finding).data == b"found"


def test_suffixes_are_compared_without_case(tmp_path: Path) -> None:
    for name in ("A.MD", "b.md", "c.Markdown", "d.txt"):
        write(tmp_path / name)
    assert names(tmp_path, FolderOptions(suffixes=(".md", "MARKDOWN"))) == ["A.MD", "b.md", "c.Markdown"]


def test_nested_ignore_files_apply_downwards_and_may_take_back(tmp_path: Path) -> None:
    write(tmp_path / ".refoldignore", "# litter\n*.log\n/build/\n!.notes/\n")
    write(tmp_path / "sub" / ".refoldignore", "!wanted.log\n*.tmp\n")
    for name in ("a.log", "a.md", "build/x.md", "sub/build/y.md", "sub/wanted.log", "sub/other.log", "sub/z.tmp"):
        write(tmp_path / name)
    write(tmp_path / ".notes" / "kept.md")
    write(tmp_path / ".hidden" / "left.md")
    write(tmp_path / "top.tmp")
    assert names(tmp_path) == ["a.md", "top.tmp", ".notes/kept.md", "sub/wanted.log", "sub/build/y.md"]


def test_an_ignore_file_with_a_bom_and_dos_line_ends_is_understood(tmp_path: Path) -> None:
    (tmp_path / ".refoldignore").write_bytes(b"\xef\xbb\xbf*.log\r\n*.tmp\r\n")
    for name in ("a.log", "a.tmp", "a.md"):
        write(tmp_path / name)
    assert names(tmp_path) == ["a.md"]


def test_patterns_of_the_settings_leave_out_and_an_ignore_file_may_bring_back(tmp_path: Path) -> None:
    write(tmp_path / ".refoldignore", "!keep.bak\n")
    for name in ("a.bak", "keep.bak", "a.md"):
        write(tmp_path / name)
    assert names(tmp_path, FolderOptions(ignore=("*.bak",))) == ["a.md", "keep.bak"]


def test_hidden_files_are_taken_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path / ".profile.md")
    write(tmp_path / "a.md")
    assert names(tmp_path) == ["a.md"]
    assert names(tmp_path, FolderOptions(shows_hidden=True)) == [".profile.md", "a.md"]


def test_the_data_folder_inside_a_source_is_not_entered(tmp_path: Path) -> None:
    write(tmp_path / "refold-data" / "artifact")
    write(tmp_path / "a.md")
    (tmp_path / "link").symlink_to("refold-data")
    (tmp_path / "link-to-file").symlink_to("refold-data/artifact")
    assert names(tmp_path, FolderOptions(never_enter=(str(tmp_path / "refold-data"),))) == ["a.md"]


def test_a_glob_walks_only_where_it_can_match(tmp_path: Path) -> None:
    for name in ("docs/a.md", "docs/b.txt", "docs/sub/c.md", "other/d.md"):
        write(tmp_path / name)
    assert names(f"{tmp_path}/docs/*.md", under=tmp_path) == ["docs/a.md"]
    assert names(f"{tmp_path}/**/*.md", under=tmp_path) == ["docs/a.md", "docs/sub/c.md", "other/d.md"]
    assert names(f"{tmp_path}/*/[ab].*", under=tmp_path) == ["docs/a.md", "docs/b.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "report [1].md")
    write(tmp_path / "report 1.md")
    assert names(tmp_path / "report [1].md", under=tmp_path) == ["report [1].md"]


def test_a_file_named_by_itself_is_taken_whatever_the_rules_say(tmp_path: Path) -> None:
    hidden = write(tmp_path / ".env.txt")
    (item,) = scan(hidden, FolderOptions(suffixes=("md",), ignore=("*",)))
    assert isinstance(item, Found)
    assert item.uri == FolderAdapter(str(hidden)).source_root == file_uri(hidden)


def test_a_linked_file_is_its_real_file_and_comes_once(tmp_path: Path) -> None:
    outside = write(tmp_path / "elsewhere" / "real.md")
    write(tmp_path / "root" / "a.md")
    for link in ("one.md", "two.md"):
        (tmp_path / "root" / link).symlink_to(outside)
    (tmp_path / "root" / "again.md").symlink_to("a.md")
    assert names(tmp_path / "root") == ["a.md", "../elsewhere/real.md"]


def test_a_link_into_an_ignored_folder_brings_what_it_names(tmp_path: Path) -> None:
    write(tmp_path / ".refoldignore", "build/\n")
    write(tmp_path / "build" / "latest.md")
    write(tmp_path / "build" / "other.md")
    (tmp_path / "latest.md").symlink_to("build/latest.md")
    assert names(tmp_path) == ["build/latest.md"]


def test_the_name_of_a_link_decides_whether_it_is_taken(tmp_path: Path) -> None:
    blob = write(tmp_path / "blobs" / "2f3a")
    write(tmp_path / "root" / "x.txt")
    (tmp_path / "root" / "readme.md").symlink_to(blob)
    (tmp_path / "root" / "weights.bin").symlink_to(blob)
    assert names(tmp_path / "root", FolderOptions(suffixes=("md",))) == ["../blobs/2f3a"]


def test_a_linked_folder_is_walked_once_by_its_real_path(tmp_path: Path) -> None:
    write(tmp_path / "shared" / "s.md")
    write(tmp_path / "shared" / "deep" / "d.md")
    write(tmp_path / "root" / "inner" / "i.md")
    for link, target in {"l1": "../shared", "l2": "../shared", "l3": "../shared/deep", "l4": "inner"}.items():
        (tmp_path / "root" / link).symlink_to(target)
    assert names(tmp_path / "root") == ["inner/i.md", "../shared/s.md", "../shared/deep/d.md"]


def test_a_folder_linked_before_the_one_around_it_is_not_walked_twice(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a" / "one.md")
    write(tmp_path / "x" / "two.md")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "1-part").symlink_to("../x/a")
    (tmp_path / "root" / "2-whole").symlink_to("../x")
    assert sorted(names(tmp_path / "root")) == ["../x/a/one.md", "../x/two.md"]


def test_a_file_linked_before_the_folder_around_it_comes_once(tmp_path: Path) -> None:
    write(tmp_path / "x" / "one.md")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "1-file.md").symlink_to("../x/one.md")
    (tmp_path / "root" / "2-folder").symlink_to("../x")
    assert names(tmp_path / "root") == ["../x/one.md"]


def test_a_link_may_name_what_the_rules_of_another_link_left_out(tmp_path: Path) -> None:
    write(tmp_path / "x" / "a" / "left-out.md")
    write(tmp_path / "x" / "a" / "taken.md")
    write(tmp_path / "root" / ".refoldignore", "1-part/left-out.md\n")
    for link, target in {"1-part": "../x/a", "2-whole": "../x", "3.md": "../x/a/left-out.md"}.items():
        (tmp_path / "root" / link).symlink_to(target)
    assert names(tmp_path / "root") == ["../x/a/left-out.md", "../x/a/taken.md"]


def test_a_folder_replaced_by_a_link_during_the_scan_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "other.md")
    write(tmp_path / "root" / "a.md")
    write(tmp_path / "root" / "sub" / "b.md")
    found = FolderAdapter(str(tmp_path / "root")).scan()
    next(found)
    (tmp_path / "root" / "sub").rename(tmp_path / "moved")
    (tmp_path / "root" / "sub").symlink_to("../elsewhere")
    assert list(found) == []


def test_an_ignore_file_may_be_a_link_and_a_folder_of_that_name_is_none(tmp_path: Path) -> None:
    write(tmp_path / "shared-rules", "*.log\n")
    (tmp_path / "one" / "sub").mkdir(parents=True)
    (tmp_path / "one" / ".refoldignore").symlink_to("../shared-rules")
    (tmp_path / "one" / "sub" / ".refoldignore").symlink_to("..")
    for name in ("a.log", "a.md", "sub/b.log", "sub/b.md"):
        write(tmp_path / "one" / name)
    assert names(tmp_path / "one") == ["a.md", "sub/b.md"]


FOLDERS = ("root", "root/a", "root/a/b", "root/c", "out", "out/d", "out/d/e")


@settings(deadline=None)  # disks have bad days
@given(
    files=st.sets(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["1.md", "2.md"])), max_size=8),
    links=st.dictionaries(
        st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["k", "l", "z"])),
        st.one_of(
            st.sampled_from(FOLDERS),
            st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["1.md", "2.md", "k", "l"])).map("/".join),
        ),
        max_size=6,
    ),
)
def test_whatever_links_there_are_each_reachable_file_is_found_once(
    files: set[tuple[str, str]], links: dict[tuple[str, str], str]
) -> None:
    with TemporaryDirectory() as folder:
        base = Path(folder).resolve()
        for name in FOLDERS:
            (base / name).mkdir(parents=True, exist_ok=True)
        for where, name in files:
            write(base / where / name)
        for (where, name), target in links.items():
            if not (base / where / name).exists():
                (base / where / name).symlink_to(base / target)
        found = [path_of(item.uri) for item in scan(base / "root") if isinstance(item, Found)]
        assert len(found) == len(set(found))
        # A link that leads up is a loop from some places and a way from others: it bounds from both sides.
        above_links = {above for where, _ in links for above in (base / where, *(base / where).parents)}
        assert _reachable(base / "root", without=above_links) <= set(found) <= _reachable(base / "root", without=set())


def _reachable(root: Path, *, without: set[Path]) -> set[Path]:
    """The real files that one gets to from `root` by any path, following no link to one of `without`."""
    seen: set[Path] = set()
    waiting = [root]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.exists():
            continue
        seen.add(path)
        for below in path.iterdir() if path.is_dir() else ():
            target = Path(os.path.realpath(below))
            if not (below.is_symlink() and target in without):
                waiting.append(target)
    return {path for path in seen if path.is_file()}


def test_loops_of_links_are_reported_once_each_and_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "root" / "sub" / "a.md")
    (tmp_path / "root" / "sub" / "up").symlink_to("..")
    (tmp_path / "root" / "out").symlink_to("../other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "back").symlink_to("../root")
    (tmp_path / "root" / "self").symlink_to("self")
    found = scan(tmp_path / "root")
    assert [item.uri for item in found if isinstance(item, Found)] == [file_uri(tmp_path / "root" / "sub" / "a.md")]
    assert {item.uri: item.reason for item in found if isinstance(item, Unreadable)} == {
        file_uri(tmp_path / "root" / "self"): "this symbolic link leads back to itself",
        file_uri(tmp_path / "root" / "sub" / "up"): "this symbolic link leads back to a folder it lies in",
        file_uri(tmp_path / "other" / "back"): "this symbolic link leads back to a folder it lies in",
    }


def test_a_link_that_leads_nowhere_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to("missing.md")
    assert scan(tmp_path) == []


def test_hard_links_to_one_file_are_one_document(tmp_path: Path) -> None:
    write(tmp_path / "first.md")
    (tmp_path / "a").mkdir()
    os.link(tmp_path / "first.md", tmp_path / "second.md")
    os.link(tmp_path / "first.md", tmp_path / "a" / "third.md")
    assert names(tmp_path) == ["first.md"]


def test_ordinary_files_leave_nothing_behind_in_memory(tmp_path: Path) -> None:
    for number in range(50):
        write(tmp_path / f"{number}.md")
    walk = FolderAdapter(str(tmp_path))._walk()
    assert len(list(walk)) == 50
    assert not walk._inodes
    assert not walk._linked_files


def test_pipes_sockets_and_devices_are_no_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.md")
    (tmp_path / "null.md").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.md")
        assert scan(tmp_path) == []
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        FolderAdapter("pipe.md")


def test_a_folder_without_permission_is_reported_and_the_scan_goes_on(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    write(tmp_path / "a.md")
    write(tmp_path / "closed" / "b.md")
    write(tmp_path / "half" / "c.md")
    write(tmp_path / "z" / "d.md")
    (tmp_path / "closed").chmod(0o000)
    (tmp_path / "half").chmod(0o744)  # its names can be listed, but not looked at
    found = as_nobody(lambda: scan(tmp_path))
    assert [item.uri for item in found if isinstance(item, Found)] == [
        file_uri(tmp_path / "a.md"),
        file_uri(tmp_path / "z" / "d.md"),
    ]
    assert [(item.uri, item.reason) for item in found if isinstance(item, Unreadable)] == [
        (file_uri(tmp_path / "closed") + "/", "the folder cannot be listed: Permission denied"),
        (file_uri(tmp_path / "half") + "/", "the folder cannot be read: Permission denied"),
    ]


def test_a_link_into_a_folder_without_permission_protects_what_it_leads_to(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    target = write(tmp_path / "closed" / "deep" / "b.md").parent
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(target)
    (tmp_path / "closed").chmod(0o000)
    (item,) = as_nobody(lambda: scan(tmp_path / "root"))
    assert isinstance(item, Unreadable)
    assert item.uri == file_uri(target)


def test_an_ignore_file_that_cannot_be_read_or_understood_closes_its_folder(tmp_path: Path) -> None:
    open_to_all(tmp_path)
    write(tmp_path / "a.md")
    write(tmp_path / "secret" / "b.md")
    write(tmp_path / "secret" / ".refoldignore", "*").chmod(0o000)
    write(tmp_path / "typo" / "c.md")
    write(tmp_path / "typo" / ".refoldignore", "!")
    found = as_nobody(lambda: scan(tmp_path))
    assert [item.uri for item in found if isinstance(item, Found)] == [file_uri(tmp_path / "a.md")]
    assert [item.reason for item in found if isinstance(item, Unreadable)] == [
        "the folder cannot be read: Permission denied",
        "its .refoldignore cannot be understood: Invalid git pattern: '!'",
    ]


def test_a_file_too_young_to_tell_a_later_change_by_is_not_trusted(tmp_path: Path) -> None:
    write(tmp_path / "a.md")

    def is_trusted(age_ns: int) -> bool:
        (item,) = FolderAdapter(str(tmp_path), clock_ns=lambda: LONG_AGO_NS + age_ns).scan()
        assert isinstance(item, Found)
        return item.is_trustworthy

    assert [is_trusted(age) for age in (0, 1_999_999_999, 2_000_000_000)] == [False, False, True]
    assert is_trusted(-3600 * 10**9), "a date in the future is as good as another"


def test_a_young_file_under_a_clock_of_whole_seconds_never_looks_the_same_twice(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    os.utime(tmp_path / "a.md", (1_600_000_000, 1_600_000_000))
    ticks = iter(range(1_600_000_000 * 10**9, 2**63, 10**8))
    first, second = (next(FolderAdapter(str(tmp_path), clock_ns=lambda: next(ticks)).scan()) for _ in range(2))
    assert isinstance(first, Found)
    assert isinstance(second, Found)
    assert first.finding != second.finding


def test_giving_permission_to_a_file_makes_a_new_finding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md")
    path.chmod(0o000)
    (before,) = scan(tmp_path)
    path.chmod(0o600)
    (after,) = scan(tmp_path)
    assert isinstance(before, Found)
    assert isinstance(after, Found)
    assert before.finding != after.finding


def test_a_named_folder_gives_uris_that_survive_a_move(tmp_path: Path) -> None:
    write(tmp_path / "here" / "ä" / "a.md")
    write(tmp_path / "outside" / "o.md")
    (tmp_path / "here" / "link").symlink_to("../outside")
    options = FolderOptions(name="notes")
    before = [item.uri for item in scan(tmp_path / "here", options)]
    (tmp_path / "here").rename(tmp_path / "there")
    adapter = FolderAdapter(str(tmp_path / "there"), options)
    after = list(adapter.scan())
    assert before == [item.uri for item in after] == ["folder:notes/%C3%A4/a.md", "folder:notes/link/o.md"]
    assert adapter.source_root == "folder:notes/"
    assert isinstance(after[0], Found)
    assert path_of(after[0].finding.uri) == tmp_path / "there" / "ä" / "a.md"


@pytest.mark.parametrize("source", ["docs", "docs/a.md", "docs/**/*.md", "docs/[a-c] b/?.txt"])
def test_a_source_uri_makes_the_same_source_again(tmp_path: Path, source: str) -> None:
    write(tmp_path / "docs" / "a.md")
    adapter = FolderAdapter(f"{tmp_path}/{source}")
    again = adapter_for(adapter.source_uri)
    assert again.source_root == adapter.source_root
    assert list(again.scan()) == list(adapter.scan())


def test_each_kind_of_source_has_its_own_root(tmp_path: Path) -> None:
    write(tmp_path / "docs" / "a.md")
    root = file_uri(tmp_path)
    sources = {
        "docs": f"{root}/docs/",
        "docs/": f"{root}/docs/",
        "docs/a.md": f"{root}/docs/a.md",
        "docs/*.md": f"{root}/docs/*.md",
    }
    assert {source: FolderAdapter(f"{tmp_path}/{source}").source_root for source in sources} == sources


@pytest.mark.parametrize("source", ["missing", "missing/*.md", "a.md/below", "loop", "file:///no/such/folder"])
def test_a_source_that_does_not_exist_is_refused_at_once(tmp_path: Path, source: str) -> None:
    write(tmp_path / "a.md")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match=r"does not exist|cannot be reached"):
        adapter_for(source if ":" in source else f"{tmp_path}/{source}")


def test_a_root_that_vanishes_before_the_scan_is_no_empty_folder(tmp_path: Path) -> None:
    for source in (tmp_path / "docs", write(tmp_path / "file.md")):
        source.parent.mkdir(exist_ok=True)
    (tmp_path / "docs").mkdir()
    folder, file = FolderAdapter(str(tmp_path / "docs")), FolderAdapter(str(tmp_path / "file.md"))
    (tmp_path / "docs").rmdir()
    (tmp_path / "file.md").unlink()
    for adapter in (folder, file):
        with pytest.raises(UsageError, match="does not exist"):
            list(adapter.scan())


def test_a_scheme_that_no_adapter_reads_is_refused() -> None:
    with pytest.raises(UsageError, match="no adapter reads ftp"):
        adapter_for("ftp://example.com/")


def test_an_option_that_is_no_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pattern"):
        FolderAdapter(str(tmp_path), FolderOptions(ignore=("!",)))


def test_options_come_back_from_the_parameters_of_a_job() -> None:
    options = FolderOptions(suffixes=("md",), ignore=("*.log", "caf\udce9"), name="notes", shows_hidden=True)
    assert FolderOptions.from_parameters(options.as_parameters()) == options
    assert FolderOptions.from_parameters({}) == FolderOptions()


def test_a_scan_that_is_given_up_leaves_no_file_open(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "b.md")
    before = open_descriptors()
    found = iter(FolderAdapter(str(tmp_path)).scan())
    next(found)
    del found
    assert open_descriptors() == before
